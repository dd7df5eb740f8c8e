package report

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// samples returns the directory with files and outputs of nfdump. The test is
// skipped where it is not there.
func samples(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(peers.Samples("nfdump"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the samples of nfdump are not there")
	}
	return dir
}

// usageLine is the line of a summary that differs from run to run.
var usageLine = regexp.MustCompile(`(?m)^Sys: .*\n`)

// list prints the flows of a file as `nfdump -o line` does.
func list(t *testing.T, file string, opt Options) string {
	t.Helper()
	return printed(t, file, "line", opt)
}

// printed prints the flows of a file in a format.
func printed(t *testing.T, file, format string, opt Options) string {
	t.Helper()
	var out bytes.Buffer
	p, err := Open(&out, format, opt)
	if err == nil {
		err = p.Begin()
	}
	if err != nil {
		t.Fatal(err)
	}
	totals, err := query.Input{Files: []string{file}}.List(context.Background(), p.Flow)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.End(&totals, Usage{}); err != nil {
		t.Fatal(err)
	}
	return usageLine.ReplaceAllString(out.String(), "")
}

// TestLiveLine compares with the nfdump that is installed, on every sample that
// is of layout 2.
func TestLiveLine(t *testing.T) {
	dir := samples(t)
	for _, file := range layout2(t, dir) {
		want := nfdump(t, "-r", file, "-o", "line")
		if got := list(t, file, Options{Location: time.UTC}); got != want {
			t.Errorf("%s:\n%s\nexpected\n%s", filepath.Base(file), got, want)
		}
	}
}

// layout2 lists the samples that the reader supports and nfdump 1.7.1 reads.
func layout2(t *testing.T, dir string) []string {
	files, err := filepath.Glob(filepath.Join(dir, "*.nf"))
	if err != nil || len(files) == 0 {
		t.Fatal("no samples", err)
	}
	var use []string
	for _, f := range files {
		name := filepath.Base(f)
		switch {
		case strings.Contains(name, "zstd"): // nfdump 1.7.1 does not read it
		case name == "softflowd-v10.nf", strings.Contains(name, "1.7.8"):
			// Flows with last < first: nfdump 1.7.1 prints a negative duration.
		default:
			use = append(use, f)
		}
	}
	return use
}

// nfdump runs nfdump, without the line of its summary that tells the time it took.
func nfdump(t *testing.T, args ...string) string {
	t.Helper()
	out := usageLine.ReplaceAllString(peers.Run(t, "nfdump", args...), "")
	return strings.ReplaceAll(out, "Skip unknown record type 9\n\n", "") // a sampler of nfdump 1.6
}

// stat prints tables as `nfdump -s … -n N` does.
func stat(t *testing.T, file string, n int, specs ...string) string {
	t.Helper()
	return statistics(t, file, n, "line", Options{Location: time.UTC}, specs...)
}

// statistics prints tables in a format.
func statistics(t *testing.T, file string, n int, format string, opt Options, specs ...string) string {
	t.Helper()
	var stats []query.Stat
	for _, s := range specs {
		st, err := query.ParseStat(s)
		if err != nil {
			t.Fatal(err)
		}
		stats = append(stats, st)
	}
	tables, totals, err := query.Top(context.Background(), []string{file}, stats, n)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Tables(&out, tables, &totals, Usage{}, format, opt); err != nil {
		t.Fatal(err)
	}
	return usageLine.ReplaceAllString(out.String(), "")
}

// sortRows sorts the rows of each table: nfdump leaves rows of equal value in the
// order of a hash table.
func sortRows(s string) string {
	tables := strings.Split(s, "\n\n")
	for i, table := range tables {
		lines := strings.Split(table, "\n")
		if len(lines) > 2 {
			slices.Sort(lines[2:])
		}
		tables[i] = strings.Join(lines, "\n")
	}
	return strings.Join(tables, "\n\n")
}

func TestStatIsNfdumps(t *testing.T) {
	dir := samples(t)
	want, err := os.ReadFile(filepath.Join(dir, "out", "171-stat.txt"))
	if err != nil {
		t.Fatal(err)
	}
	got := stat(t, filepath.Join(dir, "filtertest-8records.nf"), 5, "srcip/bytes", "port:p")
	// Of the ports the last of five is one of many of the same value.
	tie := regexp.MustCompile(`(?m)^.*        1\(10.0\) .*\n\nSummary`)
	cut := func(s string) string { return tie.ReplaceAllString(usageLine.ReplaceAllString(s, ""), "\n\nSummary") }
	if got, want := sortRows(cut(got)), sortRows(cut(string(want))); got != want {
		t.Errorf("got\n%s\nexpected\n%s", got, want)
	}
}

// TestLiveStat compares every element that nfdump 1.7.1 has, and every order, with the
// nfdump that is installed, with all rows.
func TestLiveStat(t *testing.T) {
	dir := samples(t)
	files := layout2(t, dir)
	var specs []string
	for _, e := range query.Elements() {
		// Of labels in these files 1.7.1 prints 12 of the 20 bits, of nbar other octets.
		if slices.Contains(notIn171, e) || e == "nbar" || strings.HasPrefix(e, "mpls") {
			continue
		}
		specs = append(specs, e, e+":p/bytes")
	}
	for _, o := range strings.Fields("packets ipkg opkg bytes ibyte obyte pps ipps opps bps ibps obps bpp ibpp obpp") {
		specs = append(specs, "dstip/"+o)
	}
	for _, file := range files {
		for _, spec := range specs {
			want := nfdump(t, "-r", file, "-n", "0", "-s", spec)
			if got, want := sortRows(stat(t, file, 0, spec)), sortRows(want); got != want {
				t.Errorf("%s -s %s:\n%s\nexpected\n%s", filepath.Base(file), spec, got, want)
			}
		}
	}
}

// TestInfoIsNfdumps compares the sums that files keep with what nfdump -I prints, of
// one file and of all.
func TestInfoIsNfdumps(t *testing.T) {
	dir := samples(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.nf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.Contains(file, "zstd") {
			continue // nfdump 1.7.1 does not read it
		}
		ident, stat, err := query.Info(t.Context(), []string{file})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := Info(&out, ident, &stat, "line", Options{}); err != nil {
			t.Fatal(err)
		}
		if want := nfdump(t, "-I", "-r", file); out.String() != want {
			t.Errorf("%s:\n%s\nexpected\n%s", filepath.Base(file), out.String(), want)
		}
	}
}
