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

	"github.com/flowgraf/flowgraf/relay/maillog"
)

func newQueueStatsCommand() *cobra.Command {
	var source logSource
	var top int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats [FILE...]",
		Short: "Sum the relay's log up: totals, hosts, domains, hours, times in the queue",
		Long: `Stats sums the log of outputs.smtp_relay up as eximstats does exim's: what came, what
was delivered, put off, refused and bounced, by client and server, by the domains of
senders and recipients, by hour (UTC), and how long mails were in the queue.

FILE is the "logfile" of [agent], rotated ones compressed with gzip too. Without FILE
it reads what is piped in, or at a terminal the journal of systemd; see flowgraf
queue log.`,
		Example: `  flowgraf queue stats /var/log/flowgraf/flowgraf.log
  flowgraf queue stats --json /var/log/flowgraf/flowgraf.log* | jq .delivered
  journalctl -u flowgraf --since yesterday | flowgraf queue stats --top 5`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if top < 0 {
				return usageError{fmt.Errorf("--top is %d: expected a number of rows, or 0 for all", top)}
			}
			var sum maillog.Summary
			if err := source.readLogs(cmd.Context(), cmd.InOrStdin(), args, sum.Read); err != nil {
				return err
			}
			s := sum.Statistics()
			if asJSON {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(s)
			}
			if s.First.IsZero() && s.Arrived.Mails+s.Delivered.Mails+s.Refused == 0 {
				return errors.New("the log has no line of the mail relay's: expected the log of an agent with " +
					"outputs.smtp_relay")
			}
			return printStatistics(cmd.OutOrStdout(), s, top)
		},
	}
	cmd.Flags().IntVarP(&top, "top", "n", 20, "rows of each table, 0 for all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with all rows")
	source.addFlags(cmd)
	return cmd
}

func printStatistics(out io.Writer, s *maillog.Statistics, top int) error {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	if !s.First.IsZero() {
		fmt.Fprintf(w, "From %s to %s\n\n", s.First.UTC().Format(time.DateTime), s.Last.UTC().Format(time.DateTime))
	}
	fmt.Fprintf(w, "TOTAL\tNUMBER\tSIZE\n")
	fmt.Fprintf(w, "mails taken\t%d\t%s\n", s.Arrived.Mails, sizeOf(float64(s.Arrived.Octets)))
	fmt.Fprintf(w, "  for recipients\t%d\t\n", s.Recipients)
	fmt.Fprintf(w, "  of them notifications\t%d\t\n", s.Bounces)
	fmt.Fprintf(w, "delivered, recipients\t%d\t%s\n", s.Delivered.Mails, sizeOf(float64(s.Delivered.Octets)))
	fmt.Fprintf(w, "failed, recipients\t%d\t\n", s.Failed)
	fmt.Fprintf(w, "put off, attempts\t%d\t\n", s.Deferred)
	fmt.Fprintf(w, "  of mails\t%d\t\n", s.DeferredMails)
	fmt.Fprintf(w, "refused\t%d\t\n", s.Refused)
	fmt.Fprintf(w, "complete, mails\t%d\t\n", s.Completed)
	for _, table := range []struct {
		title string
		rows  []maillog.Volume
		sized bool
	}{
		{"CLIENT", s.Clients, true}, {"SENDER DOMAIN", s.SenderDomains, true}, {"SERVER", s.Servers, true},
		{"RECIPIENT DOMAIN", s.RecipientDomains, true}, {"PUT OFF BY", s.Deferrals, false},
		{"FAILED AT", s.Failures, false}, {"REFUSED", s.Refusals, false},
	} {
		printVolumes(w, table.title, table.rows, table.sized, top)
	}
	printQueueTimes(w, s)
	printHours(w, s.Hours)
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func printVolumes(w io.Writer, title string, rows []maillog.Volume, sized bool, top int) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\tMAILS", title)
	if sized {
		fmt.Fprint(w, "\tSIZE")
	}
	fmt.Fprintln(w)
	for i, row := range rows {
		if i == top && top > 0 {
			fmt.Fprintf(w, "(%d more)\t\n", len(rows)-i)
			return
		}
		fmt.Fprintf(w, "%s\t%d", row.Name, row.Mails)
		if sized {
			fmt.Fprintf(w, "\t%s", sizeOf(float64(row.Octets)))
		}
		fmt.Fprintln(w)
	}
}

func printQueueTimes(w io.Writer, s *maillog.Statistics) {
	if s.Completed == 0 {
		return
	}
	fmt.Fprintf(w, "\nTIME IN THE QUEUE\tMAILS\tSHARE\n")
	for _, share := range s.QueueTimes {
		if share.Mails == 0 {
			continue
		}
		name := "under " + share.Within.String()
		if share.Within == 0 {
			name = "longer"
		}
		fmt.Fprintf(w, "%s\t%d\t%.1f %%\n", name, share.Mails, 100*float64(share.Mails)/float64(s.Completed))
	}
}

// printHours prints hours, and of a log of more than two days the hours of the day.
func printHours(w io.Writer, hours []maillog.Hour) {
	const most = 48
	if len(hours) == 0 {
		return
	}
	layout := "2006-01-02 15:00"
	if len(hours) > most {
		var days [24]maillog.Hour
		for _, h := range hours {
			d := &days[h.Start.Hour()]
			d.Start = time.Date(1, 1, 1, h.Start.Hour(), 0, 0, 0, time.UTC)
			d.Arrived += h.Arrived
			d.Delivered += h.Delivered
			d.Deferred += h.Deferred
			d.Failed += h.Failed
			d.Refused += h.Refused
		}
		hours, layout = days[:], "15:00"
	}
	fmt.Fprintf(w, "\nHOUR (UTC)\tTAKEN\tDELIVERED\tPUT OFF\tFAILED\tREFUSED\n")
	for _, h := range hours {
		name := h.Start.Format(layout)
		if h.Start.IsZero() && layout != "15:00" {
			name = "(no time)"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", name, h.Arrived, h.Delivered, h.Deferred, h.Failed, h.Refused)
	}
}
