package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/relay"
	"github.com/flowgraf/flowgraf/relay/control"
)

// defaultSpool is where outputs.smtp_relay has its spool unless it is told otherwise.
const defaultSpool = "/var/spool/flowgraf"

// queueOptions are the flags of flowgraf queue.
type queueOptions struct {
	spool  string
	all    bool
	failed bool
	json   bool
}

func newQueueCommand() *cobra.Command {
	var o queueOptions
	cmd := &cobra.Command{
		Use:   "queue list | show | retry | hold | release | remove | bounce | log | stats",
		Short: "Look at the mail relay's queue and change it",
		Long: `Queue works on the spool of outputs.smtp_relay, while the agent runs: the agent
carries the command out. When no agent has the spool, the spool is opened for a
moment. Run it as the user that the agent runs as. Log and stats read the log
instead.`,
		Example: `  flowgraf queue list
  flowgraf queue show 5c0ffee5-187a2b3c4d5e6f70
  flowgraf queue retry --all
  flowgraf queue list --failed --spool /var/spool/flowgraf`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("expected queue list, show, retry, hold, release, remove, bounce, log or " +
				"stats")}
		},
	}
	cmd.PersistentFlags().StringVar(&o.spool, "spool", defaultSpool, "the relay's `directory`")
	list := &cobra.Command{
		Use:   "list",
		Short: "List the mails that wait, oldest first",
		Example: `  flowgraf queue list
  flowgraf queue list --failed --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.ask(cmd.OutOrStdout(), control.Request{Command: control.List, Failed: o.failed})
		},
	}
	list.Flags().BoolVar(&o.failed, "failed", false,
		"list the mails that could not be delivered, and those that wait while some recipients have failed")
	list.Flags().BoolVar(&o.json, "json", false, "print JSON")
	cmd.AddCommand(newQueueLogCommand(), newQueueStatsCommand())
	cmd.AddCommand(list, o.change(control.Show, "Show mails: what was answered for whom, and the message"),
		o.change(control.Retry, "Try mails now, also held and failed ones"),
		o.change(control.Hold, "Keep mails until they are released; they do not expire"),
		o.change(control.Release, "Let held mails go, and try them now"),
		o.change(control.Remove, "Delete mails, without a word to the sender"),
		o.change(control.Bounce, "Give mails back to their senders as undeliverable"))
	return cmd
}

// change makes a subcommand for mails that are named.
func (o *queueOptions) change(name, short string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name + " ID...",
		Short: short,
		Example: fmt.Sprintf("  flowgraf queue %[1]s 5c0ffee5-187a2b3c4d5e6f70\n"+
			"  flowgraf queue %[1]s --all --failed", name),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if (len(ids) > 0) == o.all {
				return usageError{fmt.Errorf("queue %s: expected the ids of mails, or --all", name)}
			}
			return o.ask(cmd.OutOrStdout(), control.Request{Command: name, IDs: ids, All: o.all, Failed: o.failed})
		},
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "all mails that wait")
	cmd.Flags().BoolVar(&o.failed, "failed", false, "with --all: all mails that could not be delivered")
	if name == control.Show {
		cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	}
	return cmd
}

// ask has the request carried out and prints the answer.
func (o *queueOptions) ask(out io.Writer, request control.Request) error {
	response, err := relay.Control(o.spool, request)
	if err != nil {
		return err
	}
	switch {
	case o.json:
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(response.Mails)
	case request.Command == control.List:
		err = printQueue(out, response.Mails, o.failed)
	case request.Command == control.Show:
		for i := range response.Mails {
			printMail(out, &response.Mails[i])
		}
	default:
		for _, id := range response.Done {
			fmt.Fprintf(out, "%s %s\n", request.Command, id)
		}
	}
	if err == nil && len(response.Errors) > 0 {
		err = errors.New(strings.Join(response.Errors, "\n"))
	}
	return err
}

// printQueue prints a line for each mail.
func printQueue(out io.Writer, mails []control.Mail, failed bool) error {
	if len(mails) == 0 {
		fmt.Fprintln(out, "The queue is empty.")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tAGE\tSIZE\tSTATE\tTRIES\tNEXT\tFROM\tTO\tWHY")
	for i := range mails {
		m := &mails[i]
		state := m.State
		if m.Critical {
			state += ", critical"
		}
		why := waitsFor(m)
		if failed || why == "" {
			why = lastAnswer(m, failed)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\t<%s>\t%s\t%s\n", m.ID, time.Since(m.Received).Round(time.Second),
			m.Size, state, m.Attempts, nextTry(m), m.From, openRecipients(m, failed), why)
	}
	return w.Flush()
}

// nextTry tells in how much time a mail is tried.
func nextTry(m *control.Mail) string {
	switch {
	case m.State != "waiting" || m.Due.IsZero():
		return "-"
	case time.Until(m.Due) < time.Second:
		return "now"
	}
	return time.Until(m.Due).Round(time.Second).String()
}

// waitsFor tells why a mail is not tried at this moment: the first server that cannot be
// asked, or the one that has not answered yet. It is empty when only the mail's own last
// answer is the reason.
func waitsFor(m *control.Mail) string {
	if m.Asking != "" {
		return fmt.Sprintf("asking %s for %s", m.Asking, time.Since(m.Since).Round(time.Second))
	}
	if len(m.Waits) == 0 {
		return ""
	}
	return describeWait(&m.Waits[0])
}

func describeWait(w *control.Wait) string {
	text := w.Host + ": " + oneLine(w.Why)
	if !w.Until.IsZero() {
		text += "; paused until " + w.Until.Format(time.TimeOnly)
	}
	if !w.Since.IsZero() {
		text += ", since " + w.Since.Format(time.DateTime)
	}
	return text
}

// openRecipients names the first recipient that has no mail yet, or that has failed, and
// how many more.
func openRecipients(m *control.Mail, failed bool) string {
	var open []string
	for _, r := range m.To {
		if (r.State == "failed") == failed && r.State != "delivered" {
			open = append(open, r.Address)
		}
	}
	switch len(open) {
	case 0:
		return "-"
	case 1:
		return open[0]
	}
	return fmt.Sprintf("%s and %d more", open[0], len(open)-1)
}

func lastAnswer(m *control.Mail, failed bool) string {
	const width = 80
	text, at := "-", time.Time{}
	for _, r := range m.To {
		if r.Answer != "" && !r.Time.Before(at) && r.State != "delivered" && (r.State == "failed") == failed {
			text, at = r.Answer, r.Time
		}
	}
	text = oneLine(text)
	return strings.ToValidUTF8(text[:min(len(text), width)], "")
}

// oneLine makes what a server has answered fit for a line at a terminal.
func oneLine(answer string) string { return strings.ReplaceAll(printable(answer), "\n", " ") }

// printMail prints all of one mail.
func printMail(out io.Writer, m *control.Mail) {
	fmt.Fprintf(out, "id        %s\nstate     %s\nreceived  %s", m.ID, m.State, m.Received.Format(time.RFC3339))
	if m.Client != "" {
		fmt.Fprintf(out, " from %s", m.Client)
	}
	fmt.Fprintf(out, "\ntries     %d", m.Attempts)
	if m.State == "waiting" && !m.Due.IsZero() {
		fmt.Fprintf(out, ", the next one at %s", m.Due.Format(time.RFC3339))
	}
	if m.Asking != "" {
		fmt.Fprintf(out, "\nasking    %s since %s", m.Asking, m.Since.Format(time.RFC3339))
	}
	for i := range m.Waits {
		fmt.Fprintf(out, "\nwaits for %s", describeWait(&m.Waits[i]))
	}
	fmt.Fprintf(out, "\nsender    <%s>\n", m.From)
	for _, r := range m.To {
		fmt.Fprintf(out, "recipient <%s> %s", r.Address, r.State)
		if r.Answer != "" {
			fmt.Fprintf(out, " at %s: %s", r.Time.Format(time.RFC3339), oneLine(r.Answer))
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "message   %d octets\n\n%s\n", m.Size, printable(m.Message))
}

// printable makes a message fit for a terminal: a mail may hold escape sequences.
func printable(message string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return -1
		case r < ' ' && r != '\n' && r != '\t', r >= 0x7f && r < 0xa0:
			return '?'
		}
		return r
	}, message)
}
