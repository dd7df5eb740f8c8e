package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/outputs/report"
)

// dumpAction is what dump is asked for, of which there is one at a time.
type dumpAction struct {
	option, name string
	does         string // as in "nfdump lists the exporters"
}

// dumpActions are those, in the order in which nfdump heeds them: of two it does the first,
// and says nothing of the other one.
var dumpActions = []dumpAction{
	{"E", "exporters", "lists the exporters"},
	{"v", "verify", "tells whether the file is whole"},
	{"J", "recompress", "compresses the files anew"},
	{"i", "ident", "gives the file its ident"},
	{"I", "info", "prints the sums that the files keep"},
	{"g", "gnuplot", "prints the sums of each file"},
	{"s", "stat", "prints the table"},
	{"w", "write", "writes the flows into a file"},
}

// dumpConflict is a pair of options that nfdump refuses too.
type dumpConflict struct{ option, name, other, otherName, why string }

var dumpConflicts = []dumpConflict{
	{"r", "read", "R", "tree", "expected one of them, as nfdump does: -r takes a file or a directory, " +
		"-R a directory, FILE or FIRST:LAST"},
	{"A", "aggregate-by", "b", "bidirectional", directionsWithKeys},
	{"A", "aggregate-by", "B", "client", directionsWithKeys},
	{"z", "compression", "y", "lz4", oneCompression},
	{"z", "compression", "j", "bz2", oneCompression},
	{"y", "lz4", "j", "bz2", oneCompression},
}

const (
	directionsWithKeys = "expected one of them, as nfdump does: the two directions of a connection are found by " +
		"protocol, addresses and ports, which are the keys of -b and -B"
	oneCompression = "expected one of them, as nfdump does: a file has one compression"
)

// checkExclusive says which options exclude each other, what nfdump does with them, and
// what to do.
func checkExclusive(flags *pflag.FlagSet) error {
	for _, c := range dumpConflicts {
		if flags.Changed(c.name) && flags.Changed(c.otherName) {
			return fmt.Errorf("-%s with -%s: %s", c.option, c.other, c.why)
		}
	}
	var asked []dumpAction
	for _, a := range dumpActions {
		if flags.Changed(a.name) {
			asked = append(asked, a)
		}
	}
	if len(asked) < 2 {
		return nil
	}
	first, second := asked[0], asked[1]
	if first.option == "s" { // and -w
		return fmt.Errorf("-s with -w: nfdump %s and writes no file, without a word: expected -w in a run of its own; "+
			"what is in the new file is then ranked with -r, and rows are written with -a, -A, -b or -B", first.does)
	}
	return fmt.Errorf("-%s with -%s: nfdump %s and heeds -%[2]s no more, without a word: expected one of them, and a "+
		"second run for the other one", first.option, second.option, first.does)
}

// checkPrinted says which formats there are of what is not printed as flows are: what nfdump
// prints in no other way than its own text.
func (o *dumpOptions) checkPrinted(flags *pflag.FlagSet) error {
	plain := []string{"help", "null", "raw"}
	if !flags.Changed("output") || slices.Contains(plain, o.output) || report.ForPeople(o.output) &&
		!strings.HasPrefix(o.output, "fmt:") {
		return nil
	}
	if _, err := report.Open(io.Discard, o.output, report.Options{Extensions: formatsOfDump}); err != nil {
		return fmt.Errorf("-o: %w", err)
	}
	for _, a := range dumpActions {
		switch {
		case a.option == "s" || !flags.Changed(a.name):
		case a.option == "I":
			return report.CheckInfo(o.output)
		default:
			return fmt.Errorf("-o %s with -%s: nfdump %s and heeds -o no more, without a word: expected no -o",
				o.output, a.option, a.does)
		}
	}
	return nil
}

// noteUnheeded tells on warnings which options change nothing beside others, as with nfdump.
func (o *dumpOptions) noteUnheeded(filter bool, warnings io.Writer) {
	q := &o.query
	note := func(format string, args ...any) { fmt.Fprintf(warnings, "flowgraf: "+format+"\n", args...) }
	if filter && (o.info || o.habits.gnuplot) {
		note("the filter is not heeded beside -I and -g, as by nfdump: they tell what the files keep of all their " +
			"flows; -o null sums up those that match")
	}
	element := slices.IndexFunc(q.stats, func(s query.Stat) bool { return s.Element != query.Record })
	if element < 0 || slices.ContainsFunc(q.stats, func(s query.Stat) bool { return s.Element == query.Record }) {
		return
	}
	name := q.stats[element].Element.String()
	if q.order != "" {
		note("-O is not heeded beside -s, as by nfdump: an order stands behind a '/', as in -s %s/bytes", name)
	}
	if len(q.listing.Aggregation.Keys) > 0 {
		note("-a, -A, -b and -B are not heeded beside -s %s, as by nfdump: a statistic counts flows as they are; "+
			"-s record ranks such rows", name)
	}
}
