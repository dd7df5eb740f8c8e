package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
}

func newDumpCommand() *cobra.Command {
	var o dumpOptions
	cmd := &cobra.Command{
		Use:   "dump -r FILE | -R DIR|FIRST:LAST [FILTER]",
		Short: "List and rank the flows of nfdump files",
		Long: `Dump reads files of flowgraf and of nfdump 1.6, 1.7 and 1.8 and prints as nfdump
does: the flows, a line each, or with -s a table of the elements with most flows,
packets or bytes. Its options are nfdump's.

-R takes a directory (all files of its tree), a file (it and those behind it in its
directory), or FIRST:LAST, where LAST is a name beside FIRST. With sub-directories
both have them, or they are guessed from the times in the names. -M base/a:b does
the same in base/a and base/b. What one of them lacks, and a LAST that does not
exist, are named on standard error; what is there is read. Symbolic links are
followed, and each file is read once.

Files that are being written (nfcapd.current.*) are left out of directories;
--current reads them too, up to the last block that has been written. A file that
is named with -r is read in any case.

-t takes START or START-END, as 2026/11/22.13:30:00 or less of it, or +N or -N, the
first or last N seconds of the files. Flows pass that overlap it; with --within those
that begin and end in it, as with nfdump.

FILTER is nfdump's filter language, that of 1.7.1, 1.7.8 and 1.8 at once: only the
flows that match it are listed, ranked or written. It may be several words. -f reads
it from a file, -Z only tells whether it is right. Beyond nfdump it knows '!=', a
network behind 'ip', 'tcp and port https', 'scaled bytes', the names of fields in
metrics (in_snmp 5), and vm, portgroup, app, user and 'if name' with a name. A filter
that is wrong ends with exit code 254.

-w writes the flows into a new file that nfdump 1.7 reads, whatever the layout of
those read; -I prints the sums that the files keep of themselves.

-s takes element[:p][/order...], as in srcip, dstport/bytes or ip:p/packets.
Elements: ` + wrap(strings.Join(query.Elements(), " "), 70) + `

-o takes one of these formats; -o help also lists the tags of fmt: and csv:
` + indent(report.FormatLines(formatsOfDump)) + `

Where nfdump's versions differ, each format is printed as the version does that does
it better (outputs/report/FORMATS.md says which); --compat 1.7.1 and 1.7.8 print what
that version prints, byte for byte.

Where a file has an index (flowgraf index), only the blocks are read that can hold the
addresses, ports and AS numbers that the filter asks for; what is found is the same.

-a sums flows of the same protocol, addresses and ports up into one, -A those of the
same keys: ` + wrap(strings.Join(query.AggregationKeys(), " "), 70) + `
The addresses srcip4, srcip6, dstip4 and dstip6 have a length, as in srcip4/24. -b puts
both directions of a connection into one row, -B also guesses which side is the
server. -O sorts flows or rows, -n keeps the first of them, -P those that match a
filter, and -w writes them. -s record ranks such rows. Rows and sorted flows take at
most --memory; what had no room then is told on standard error.

Files that cannot be read, or are damaged, are named on standard error; what can
be read of the others is printed, and so is what has been found when Ctrl-C ends it.

Exit codes: 0 done, also when nothing matches; 254 the filter is wrong; 1 everything
else, damaged and refused files too. They are nfdump 1.7's, which says 0 of a file that
it refuses, and 255 of a damaged one; nfdump 1.8 has 1 for filters too.`,
		Example: `  flowgraf dump -r nfcapd.202611221200
  flowgraf dump -R /var/lib/flowgraf/flows -s srcip/bytes -n 5
  flowgraf dump -R /var/lib/flowgraf/flows 'proto tcp and dst port in [80 443] and bytes > 1m'
  flowgraf dump -r nfcapd.202611221200 -s dstip/bytes 'src net 192.0.2.0/24'
  flowgraf dump -R flows/nfcapd.202611221200:nfcapd.202611221255 -t 2026/11/22.12:30
  flowgraf dump -M /var/lib/flowgraf/flows/rtr1:rtr2 -R . -I
  flowgraf dump -R /var/lib/flowgraf/flows --current -c 20
  flowgraf dump -R old -w nfcapd.202611220000 -z zstd
  flowgraf dump -R /var/lib/flowgraf/flows -s dstport -s proto -n 20
  flowgraf dump -R /var/lib/flowgraf/flows -A srcip4/24,dstport -O bytes -n 20
  flowgraf dump -r nfcapd.202611221200 -b -P 'bytes > 100m'
  flowgraf dump -r nfcapd.202611221200 -O duration -n 5`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.verify != "" {
				return verify(cmd, append([]string{o.verify}, args...), false)
			}
			n, output := cmd.Flags().Changed("top"), cmd.Flags().Changed("output")
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args, n, output)
		},
	}
	f := cmd.Flags()
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
	o.addQueryFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("read", "tree")
	cmd.MarkFlagsMutuallyExclusive("info", "write", "stat")
	return cmd
}

// dumpGCPercent makes garbage collections rarer than Go's 100 does. A query leaves
// little garbage, but the plugins' packages have filled megabytes at the start of the
// process, and each collection goes through them.
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

// run does what the flags say; n and output say whether -n and -o are among them.
func (o *dumpOptions) run(ctx context.Context, out, warnings io.Writer, args []string, n, output bool) error {
	debug.SetGCPercent(dumpGCPercent)
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
	if err := errors.Join(o.prepareQuery(n, output, warnings), o.prepareOutput(out)); err != nil {
		return err
	}
	filter, err := readFilter(args, o.filterFile, o.report.Location, warnings)
	if err != nil || o.checkFilter {
		return err
	}
	compression, level, err := nffile.ParseCompression(o.compression)
	if err != nil {
		return err
	}
	found, err := o.selected(warnings)
	if err != nil {
		return err
	}
	in := query.Input{Files: found.Files, Filter: filter}
	if o.window != "" {
		if in.Window, err = query.ParseWindow(o.window, in.Files, o.location()); err != nil {
			return err
		}
		in.Window.Within = o.within
	}
	if !o.noIndex && o.write == "" {
		useIndexes(&in, warnings)
	}
	unread := errors.Join(found.Unreadable...)
	if o.info {
		ident, stat, readErr := query.Info(in.Files)
		return errors.Join(report.Info(out, ident, &stat, o.output, o.report), readErr, unread)
	}
	return errors.Join(o.runQuery(ctx, out, warnings, in, nffile.Options{Compression: compression, Level: level}), unread)
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
