package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/plugins/nffilter"
	"github.com/flowgraf/flowgraf/relay"
	"github.com/flowgraf/flowgraf/relay/control"
)

func newTraceCommand() *cobra.Command {
	var o traceOptions
	cmd := &cobra.Command{
		Use:   "trace MAIL | ALERT",
		Short: "From an alert mail to its flows, its metric, and its way through the queue",
		Long: `Trace takes an alert mail and prints what led to it and what became of it:

  the flows    the command that lists them: the archive, the time before the alert, and
               the filter that the alert's tags make; with -c the first of them, too
  the metric   the query in InfluxQL for its points
  the mail     where it is in the relay's queue, and with --log the lines of its way

MAIL is a file with the mail as it was received, - for standard input, the id that the
queue and the log have for it, or its Message-ID. A mail that has been delivered is in
the queue no more: then the file tells the most. ALERT is the name of a rule, or the id
of an alert, that is not OK now.

Tags make a filter as far as flows have what they say: addresses, ports, protocol,
interfaces, AS numbers, VLANs, and the exporter.

The exit code is 1 when there is no such mail or alert, it cannot be read, or with -c the
flows cannot be, and 2 when the command line is wrong.`,
		Example: `  flowgraf trace alert.eml
  flowgraf trace 5c0ffee5-187a2b3c4d5e6f70 --log /var/log/flowgraf.log
  flowgraf trace traffic-of-a-host -c 20 --before 30m
  flowgraf trace alert-0123456789abcdef0123456789abcdef@collector.example.net`,
		Args: files(1, 1, "one mail or alert: a file, an id, a Message-ID or a rule"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.trace(cmd.Context(), cmd.OutOrStdout(), cmd.InOrStdin(), args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.spool, "spool", "/var/spool/flowgraf", "the relay's `directory`")
	f.StringVar(&o.archive, "flows", "/var/lib/flowgraf/flows", "the archive's `directory`")
	f.StringVar(&o.log, "log", "", "the agent's log `file`, for the mail's way")
	f.DurationVar(&o.before, "before", 10*time.Minute, "how much before the alert began is looked at")
	f.DurationVar(&o.after, "after", time.Minute, "how much behind it")
	f.Uint64VarP(&o.count, "count", "c", 0, "list so many of the flows, too")
	return cmd
}

// traceOptions are the flags of flowgraf trace.
type traceOptions struct {
	spool, archive, log string
	before, after       time.Duration
	count               uint64
}

// queueID is the form of a mail's id in the queue.
var queueID = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{16}\b`)

// traced is what is known of an alert and its mail.
type traced struct {
	alert *tracedAlert // nil when it is not known
	mail  *control.Mail
	id    string // of the mail in the queue, "" when not known

	messageID string // of the mail, "" when not known
}

func (o *traceOptions) trace(ctx context.Context, out io.Writer, in io.Reader, name string) error {
	t, err := o.find(in, name)
	if err != nil {
		return err
	}
	var unlisted error
	if t.alert != nil {
		t.alert.print(out)
		unlisted = o.flows(ctx, out, t.alert)
		fmt.Fprintf(out, "\nmetric:\n  %s\n", o.influxQL(t.alert))
	} else {
		fmt.Fprintf(out, "alert:   not known: the mail is not in the queue any more; name the file with it\n")
	}
	fmt.Fprintf(out, "\nmail:\n")
	switch {
	case t.mail != nil:
		brief := *t.mail
		brief.Message = ""
		printMail(out, &brief)
	case t.id != "":
		fmt.Fprintf(out, "  %s is not in the queue of %s: delivered, given up or removed\n", t.id, o.spool)
	default:
		fmt.Fprintf(out, "  not in the queue of %s\n", o.spool)
	}
	if o.log == "" || t.id == "" && t.messageID == "" {
		return unlisted
	}
	return errors.Join(unlisted, printWay(out, o.log, t.id, t.messageID))
}

// find returns the alert and the mail that a name means.
func (o *traceOptions) find(in io.Reader, name string) (t traced, err error) {
	if name == "-" {
		return o.ofMail(in)
	}
	if info, statErr := os.Stat(name); statErr == nil && info.Mode().IsRegular() {
		f, err := os.Open(name)
		if err != nil {
			return t, err
		}
		defer f.Close()
		if t, err = o.ofMail(f); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return t, err
	}
	switch {
	case queueID.FindString(name) == name:
		return o.ofQueue(name, "")
	case strings.Contains(name, "@"):
		return o.ofQueue("", strings.Trim(name, "<>"))
	}
	t.alert, err = findAlert(filepath.Join(o.spool, alertState), name)
	return t, err
}

// ofMail reads a mail, and looks for it in the queue.
func (o *traceOptions) ofMail(r io.Reader) (t traced, err error) {
	m, err := readAlertMail(r)
	if err != nil {
		return t, err
	}
	t.alert, t.id, t.messageID = m.alert, m.queueID, m.messageID
	if found, err := o.ofQueue(m.queueID, m.messageID); err == nil { // without a queue the file says enough
		t.mail, t.id = found.mail, found.id
	}
	return t, nil
}

// ofQueue finds a mail in the queue by its id there, or by its Message-ID.
func (o *traceOptions) ofQueue(id, messageID string) (t traced, err error) {
	request := control.Request{Command: control.Show, IDs: []string{id}}
	if id == "" {
		request = control.Request{Command: control.Show, All: true}
	}
	response, err := relay.Control(o.spool, request)
	if err != nil {
		return t, err
	}
	t.id = id
	for i := range response.Mails {
		mail := &response.Mails[i]
		m, err := readAlertMail(strings.NewReader(mail.Message))
		if id == "" && (err != nil || m.messageID != messageID) {
			continue
		}
		t.mail, t.id = mail, mail.ID
		if err == nil {
			t.alert = m.alert
		}
		return t, nil
	}
	if id == "" {
		return t, fmt.Errorf("no mail with the Message-ID %s is in the queue of %s: name the file with the mail",
			messageID, o.spool)
	}
	return t, nil
}

// span is the time that is looked at.
func (o *traceOptions) span(a *tracedAlert) (from, to time.Time) {
	from = a.time
	if !a.since.IsZero() && a.since.Before(from) {
		from = a.since
	}
	return from.Add(-o.before), a.time.Add(o.after)
}

// flows prints the command that lists an alert's flows, and the first of them.
func (o *traceOptions) flows(ctx context.Context, out io.Writer, a *tracedAlert) error {
	const layout = "2006/01/02.15:04:05"
	from, to := o.span(a)
	args := []string{"-R", o.archive, "--current", "-t", from.Local().Format(layout) + "-" + to.Local().Format(layout)}
	filter := a.filter()
	if filter != "" {
		args = append(args, filter)
	}
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = shellWord(arg)
	}
	fmt.Fprintf(out, "\nflows:\n  flowgraf dump %s\n", strings.Join(quoted, " "))
	if o.count == 0 {
		return nil
	}
	dump := newDumpCommand()
	dump.SilenceUsage, dump.SilenceErrors = true, true
	dump.SetArgs(append([]string{"-c", fmt.Sprint(o.count), "-q"}, args...))
	dump.SetOut(out)
	dump.SetErr(out)
	return dump.ExecuteContext(ctx)
}

// influxQL returns the query for the points of an alert's metric.
func (o *traceOptions) influxQL(a *tracedAlert) string {
	from, to := o.span(a)
	var b strings.Builder
	fmt.Fprintf(&b, `SELECT * FROM "%s" WHERE time >= '%s' AND time <= '%s'`,
		strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.measurement), from.UTC().Format(time.RFC3339),
		to.UTC().Format(time.RFC3339))
	for _, tag := range a.tags {
		fmt.Fprintf(&b, ` AND "%s" = '%s'`, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(tag.key),
			strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(tag.value))
	}
	return b.String()
}

// shellWord quotes a word for a shell where it has to be.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/.:_-") == "" && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// tag is a tag of a metric.
type tag struct{ key, value string }

// tracedAlert is a change of an alert's level.
type tracedAlert struct {
	rule, id, level, measurement string
	time, since                  time.Time
	tags, fields                 []tag
}

// print prints what an alert is.
func (a *tracedAlert) print(out io.Writer) {
	fmt.Fprintf(out, "alert:   %s\nid:      %s\nlevel:   %s\ntime:    %s\n", a.rule, a.id, a.level,
		a.time.Local().Format(time.RFC3339))
	if !a.since.IsZero() {
		fmt.Fprintf(out, "since:   %s\n", a.since.Local().Format(time.RFC3339))
	}
}

// testsOf are the tests of a filter that tags of metrics make.
var testsOf = map[string]string{
	"src": "src ip", "dst": "dst ip", "host": "ip", "ip": "ip", "source": "router ip", "exporter": "router ip",
	"protocol": "proto", "src_port": "src port", "dst_port": "dst port", "port": "port", "in_snmp": "in if",
	"out_snmp": "out if", "bgp_src_as": "src as", "bgp_dst_as": "dst as", "src_as": "src as", "dst_as": "dst as",
	"as": "as", "vlan_src": "src vlan", "vlan_dst": "dst vlan", "src_tos": "src tos", "in_vm": "src vm",
	"out_vm": "dst vm", "in_src_mac": "in src mac", "out_dst_mac": "out dst mac", "next_hop": "next ip",
}

// filter returns the filter of an alert's tags, "" when none of them says anything of
// flows.
func (a *tracedAlert) filter() string {
	var tests []string
	for _, t := range slices.Concat(a.tags, a.fields) {
		words, ok := testsOf[t.key]
		if !ok {
			continue
		}
		if strings.HasSuffix(words, "ip") && strings.Contains(t.value, "/") {
			words = strings.TrimSuffix(words, "ip") + "net"
			if _, err := netip.ParsePrefix(t.value); err != nil {
				continue
			}
		}
		test := words + " " + t.value
		if strings.ContainsAny(t.value, " \t") {
			test = words + ` "` + strings.ReplaceAll(t.value, `"`, "") + `"`
		}
		if _, err := nffilter.Parse(test, nffilter.Options{Countries: true}); err == nil {
			tests = append(tests, test)
		}
	}
	return strings.Join(tests, " and ")
}

// mostLines bounds the lines of a mail's way.
const mostLines = 1000

// printWay prints the lines of a log that tell of a mail. The id that it has in the queue may
// be "": then the line of its arrival tells it, which has its Message-ID.
func printWay(out io.Writer, path, id, messageID string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintf(out, "\nits way:\n")
	lines, found := bufio.NewReaderSize(f, 64<<10), 0
	for found < mostLines {
		line, err := lines.ReadSlice('\n')
		if id == "" && bytes.Contains(line, []byte(" M=<"+messageID+">")) {
			id = queueID.FindString(string(line))
		}
		if id != "" && slices.Contains(queueID.FindAllString(string(line), -1), id) {
			found++
			fmt.Fprintf(out, "  %s\n", strings.TrimSpace(string(line)))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) { // of a long line the rest is looked at too
			return err
		}
	}
	if found == 0 {
		fmt.Fprintf(out, "  %s says nothing of it: perhaps an older log does\n", path)
	}
	return nil
}
