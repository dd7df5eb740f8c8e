package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/outputs/report"
)

// dumpOptions are the flags of flowgraf dump, named as nfdump's.
type dumpOptions struct {
	files       archive.Selection
	window      string
	within      bool
	noIndex     bool
	filterFile  string
	checkFilter bool
	explain     bool
	verify      string
	exporters   string
	geo, tor    string
	systems     func(netip.Addr) uint32 // of addresses, by the file of -G
	stats       []string
	top         int
	count       flowCount
	query       queryOptions
	info        bool
	write       string
	compression string
	output      string
	compat      string
	timeZone    string
	report      report.Options
	habits      dumpHabits
}

func newDumpCommand() *cobra.Command {
	var o dumpOptions
	cmd := &cobra.Command{
		Use:   "dump -r FILE | -R DIR|FIRST:LAST [FILTER]",
		Short: "List and rank the flows of nfdump files",
		Long:  dumpHelp(), Example: dumpExamples,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.habits.version {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "flowgraf", versionString())
				return err
			}
			args, err := o.habits.apply(&o, cmd.Flags(), args)
			if err != nil {
				return err
			}
			if o.verify != "" {
				return verify(cmd, append([]string{o.verify}, args...), false)
			}
			return o.dump(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args, cmd.Flags())
		},
	}
	o.addFlags(cmd.Flags())
	o.addQueryFlags(cmd)
	o.habits.addFlags(cmd, &o.query.order)
	return cmd
}

// addFlags adds the flags of what is read, filtered and printed.
func (o *dumpOptions) addFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.files.File, "read", "r", "", "read one `file`, or a directory")
	f.StringVarP(&o.files.Range, "tree", "R", "", "read all files of a `range`: a directory, FILE, or FIRST:LAST")
	f.StringVarP(&o.files.Sources, "sources", "M", "", "look for -r or -R in each of `base/a:b:c`")
	f.BoolVar(&o.files.Current, "current", false, "files that are being written too")
	f.StringVarP(&o.window, "time", "t", "", "only flows within a `window`: START[-END], +N, -N")
	f.BoolVar(&o.noIndex, "no-index", false, "read all blocks, also those that by an index hold nothing that matches")
	f.BoolVar(&o.within, "within", false, "with -t: only flows that begin and end in the window, as nfdump has it")
	f.StringVarP(&o.filterFile, "filter-file", "f", "", "read the filter from a `file`")
	f.BoolVarP(&o.checkFilter, "check-filter", "Z", false, "only tell whether the filter is right")
	f.BoolVarP(&o.info, "info", "I", false, "the statistics that the files keep")
	f.StringVarP(&o.write, "write", "w", "", "write the flows into a new `file`")
	f.StringVarP(&o.compression, "compression", "z", "lz4",
		"of the new file: lz4, none, lzo, bz2 or zstd, as lz4:9 with a `level`")
	f.StringArrayVarP(&o.stats, "stat", "s", nil, "rank this `element`, may be repeated")
	f.IntVarP(&o.top, "top", "n", 10, "how many rows of a table, or of sorted and aggregated flows, 0 is all")
	f.VarP(&o.count, "count", "c", "read only the first so many flows that match, 0 is all")
	f.StringVarP(&o.output, "output", "o", "line", "the output `format`, 'help' lists them")
	f.StringVar(&o.compat, "compat", "best", "print exactly as this `version` of nfdump: 1.7.1 or 1.7.8")
	f.StringVar(&o.timeZone, "tz", "", "the time `zone` of times, as in UTC or Europe/Berlin (default the local one)")
	f.BoolVarP(&o.report.Quiet, "quiet", "q", false, "no header and no summary")
	f.BoolVarP(&o.report.Plain, "plain", "N", false, "plain numbers")
	f.BoolVarP(&o.report.LongIPv6, "long-ipv6", "6", false, "IPv6 addresses in full")
}

// dumpGCPercent makes garbage collections rarer than Go's 100 does. A query leaves
// little garbage, but the plugins' packages have filled megabytes at the start of the
// process (see package startup), and each collection goes through them. The first is late.
const dumpGCPercent = 400

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

// dump does what the flags say.
func (o *dumpOptions) dump(ctx context.Context, out, warnings io.Writer, args []string, flags *pflag.FlagSet) error {
	collectLate(dumpGCPercent)
	switch {
	case o.output == "help":
		return report.Help(out, formatsOfDump)
	case o.explain:
		return explainFilter(out, args, o.filterFile, warnings)
	case o.exporters != "":
		return listExporters(out, o.exporters)
	}
	if err := o.checkFiles(args); err != nil {
		return err
	}
	n, output := flags.Changed("top"), flags.Changed("output")
	if err := o.prepareReport(out); err != nil {
		return err
	}
	if err := errors.Join(o.prepareQuery(n, output, warnings), o.checkOutput(out)); err != nil {
		return err
	}
	filter, err := readFilter(args, o.filterFile, o.report.Location, o.report.Country != nil || o.checkFilter,
		warnings)
	if err != nil || o.checkFilter {
		return err
	}
	compression, level, err := nffile.ParseCompression(o.compression)
	if err != nil {
		return fmt.Errorf("-z: %w", err)
	}
	found, err := o.selected(warnings)
	if err != nil {
		return err
	}
	if done, err := o.habits.runAction(ctx, out, o, found.Files); done {
		return errors.Join(append(found.Unreadable, err)...)
	}
	in := query.Input{Files: found.Files, Filter: filter, Country: o.report.Country, AS: o.systems}
	if o.window != "" {
		if in.Window, err = query.ParseWindow(o.window, in.Files, o.location()); err != nil {
			return fmt.Errorf("-t: %w", err)
		}
		in.Window.Within = o.within
	}
	if !o.noIndex && o.write == "" {
		useIndexes(&in, warnings)
	}
	o.noteUnheeded(filter != nil, warnings)
	unread := errors.Join(found.Unreadable...)
	switch {
	case o.info:
		ident, stat, readErr := query.Info(ctx, in.Window.Files(in.Files))
		if readErr != nil && stat == (nffile.Stat{}) { // there are no figures to print
			return errors.Join(readErr, unread)
		}
		return errors.Join(report.Info(out, ident, &stat, o.output, o.report), readErr, unread)
	case o.habits.gnuplot:
		return errors.Join(plot(ctx, out, in.Window.Files(in.Files)), unread)
	}
	return errors.Join(o.runQuery(ctx, out, warnings, in, nffile.Options{Compression: compression, Level: level}),
		unread)
}

// location is the time zone of times.
func (o *dumpOptions) location() *time.Location {
	if o.report.Location == nil {
		return time.Local
	}
	return o.report.Location
}

// checkFiles says what is wrong when no file is named, or some where the filter is
// expected: a shell makes more than one word of a pattern behind -r.
func (o *dumpOptions) checkFiles(words []string) error {
	named := o.files.File != "" || o.files.Range != ""
	for _, word := range words {
		if _, err := os.Stat(word); err != nil || o.checkFilter {
			continue
		}
		if named {
			return fmt.Errorf("%s is a file, where a filter is expected: -r reads one file, -R a directory or "+
				"FIRST:LAST", word)
		}
		return fmt.Errorf("%s is a file, where a filter is expected: name it with -r, or a directory with -R", word)
	}
	if !named && !o.checkFilter {
		return errors.New("what is to be read? Name a file with -r, or a directory or FIRST:LAST with -R")
	}
	return nil
}

// selected finds the files, and names on warnings what is missing.
func (o *dumpOptions) selected(warnings io.Writer) (archive.Selected, error) {
	found, err := o.files.Files()
	if err != nil {
		return found, err
	}
	for _, missing := range found.Missing {
		fmt.Fprintln(warnings, "flowgraf: missing:", missing)
	}
	name := o.files.File + o.files.Range
	switch {
	case len(found.Files) > 0:
		return found, nil
	case found.Current > 0:
		return found, fmt.Errorf("%s: no complete file yet; what is being written (nfcapd.current.*, %d files) is "+
			"read with --current", name, found.Current)
	}
	return found, errors.Join(append(found.Unreadable, fmt.Errorf("%s: no flow files here", name))...)
}

// usage returns what the command has cost since started.
func usage(started time.Time) report.Usage {
	wall := time.Since(started)
	user, system := cpuTime()
	return report.Usage{System: system, User: user, Wall: wall, Runtime: wall}
}
