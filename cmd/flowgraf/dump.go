package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/outputs/report"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// dumpOptions are the flags of flowgraf dump, named as nfdump's.
type dumpOptions struct {
	file      string
	directory string
	stats     []string
	top       int
	count     uint64
	quiet     bool
	report    report.Options
}

func newDumpCommand() *cobra.Command {
	var o dumpOptions
	cmd := &cobra.Command{
		Use:   "dump -r FILE | -R DIR",
		Short: "List and rank the flows of nfdump files",
		Long: `Dump reads files of flowgraf and of nfdump 1.7 and prints as nfdump does: the
flows, a line each, or with -s a table of the elements with most flows, packets
or bytes. Its options are nfdump's.

-s takes element[:p][/order...], as in srcip, dstport/bytes or ip:p/packets.
Elements: ` + wrap(strings.Join(query.Elements(), " "), 70) + `

Files that cannot be read, or are damaged, are named on standard error; what can
be read of the others is printed, and the exit code is 1.`,
		Example: `  flowgraf dump -r nfcapd.202611221200
  flowgraf dump -R /var/lib/flowgraf/flows -s srcip/bytes -n 5
  flowgraf dump -R /var/lib/flowgraf/flows -s dstport -s proto -n 20`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.file, "read", "r", "", "read one `file`")
	f.StringVarP(&o.directory, "tree", "R", "", "read all files below a `directory`")
	f.StringArrayVarP(&o.stats, "stat", "s", nil, "rank this `element`, may be repeated")
	f.IntVarP(&o.top, "top", "n", 10, "how many rows of a table, 0 is all")
	f.Uint64VarP(&o.count, "count", "c", 0, "end after so many flows of a list, 0 is all")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no header and no summary")
	f.BoolVarP(&o.report.Plain, "plain", "N", false, "plain numbers")
	f.BoolVarP(&o.report.LongIPv6, "long-ipv6", "6", false, "IPv6 addresses in full")
	cmd.MarkFlagsMutuallyExclusive("read", "tree")
	cmd.MarkFlagsOneRequired("read", "tree")
	return cmd
}

// wrap breaks a text of words into lines of at most width characters.
func wrap(text string, width int) string {
	var b strings.Builder
	column := len("Elements: ")
	for i, word := range strings.Fields(text) {
		if i > 0 && column+1+len(word) > width {
			b.WriteString("\n ")
			column = 1
		}
		if i > 0 {
			b.WriteString(" ")
		}
		b.WriteString(word)
		column += 1 + len(word)
	}
	return b.String()
}

func (o *dumpOptions) run(ctx context.Context, out io.Writer) error {
	stats := make([]query.Stat, len(o.stats))
	for i, s := range o.stats {
		var err error
		if stats[i], err = query.ParseStat(s); err != nil {
			return usageError{err}
		}
	}
	if o.top < 0 {
		return usageError{fmt.Errorf("-n is %d: expected a number of rows, or 0 for all", o.top)}
	}
	files, err := query.Files(o.file + o.directory)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s: no flow files below this directory (files being written, nfcapd.current.*, are left out)", o.directory)
	}
	if len(stats) > 0 {
		return o.rank(ctx, out, files, stats)
	}
	return o.list(ctx, out, files)
}

// list prints the flows of the files.
func (o *dumpOptions) list(ctx context.Context, out io.Writer, files []string) error {
	started := time.Now()
	line := report.NewLine(out, o.report)
	if !o.quiet {
		if err := line.Header(); err != nil {
			return err
		}
	}
	var listed uint64
	totals, err := query.Each(ctx, files, func(r *flow.Record) error {
		if err := line.Flow(r); err != nil {
			return err
		}
		if listed++; listed == o.count {
			return query.ErrStop
		}
		return nil
	})
	if flushErr := line.Flush(); flushErr != nil {
		return flushErr
	}
	return o.finish(out, &totals, started, err)
}

// rank prints the tables of the statistics.
func (o *dumpOptions) rank(ctx context.Context, out io.Writer, files []string, stats []query.Stat) error {
	started := time.Now()
	tables, totals, readErr := query.Top(ctx, files, stats, o.top)
	for i := range tables {
		if err := report.Stat(out, &tables[i], &totals, o.report); err != nil {
			return err
		}
	}
	return o.finish(out, &totals, started, readErr)
}

// finish prints the summary and passes on what was wrong with the files.
func (o *dumpOptions) finish(out io.Writer, totals *query.Totals, started time.Time, readErr error) error {
	if !o.quiet {
		if err := report.Summary(out, totals, usage(started), o.report); err != nil {
			return err
		}
	}
	return readErr
}

// usage returns what the command has cost since started.
func usage(started time.Time) report.Usage {
	wall := time.Since(started)
	user, system := cpuTime()
	return report.Usage{System: system, User: user, Wall: wall, Runtime: wall}
}
