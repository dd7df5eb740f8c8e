package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/tests/peers"
)

// recordedModes are the options behind recorded outputs of nfdump, by their name.
var recordedModes = map[string][]string{
	"A-proto-dstport": {"-A", "proto,dstport"},
	"A-srcip4_24":     {"-A", "srcip4/24,dstport"},
	"B":               {"-B"},
	"I":               {"-I"},
	"O-bytes":         {"-O", "bytes", "-o", "line"},
	"a":               {"-a", "-o", "line"},
	"stat-record":     {"-s", "record/bytes", "-n", "3", "-o", "line"},
	"stat-csv":        {"-s", "srcip/bytes", "-n", "3", "-o", "csv"},
}

// putRight are lines of recordings that are wrong, and what is printed instead: nfdump
// 1.7.1 forgets types of ICMP in -A.
var putRight = strings.NewReplacer("ICMP     0.0", "ICMP     8.0")

// notAlike are recordings that nothing is printed like: 1.7.8 turns flows with -B without
// their counters, and has the time of an event for the begin of its row.
var notAlike = map[string]bool{"178-A-proto-dstport": true, "178-A-srcip4_24": true, "178-B": true}

// TestRecordedModes compares what aggregations, orders and rankings print with what
// nfdump 1.7.1 and 1.7.8 have printed of a file: the same lines, whose order nfdump leaves
// to a hash table.
func TestRecordedModes(t *testing.T) {
	t.Setenv("TZ", "UTC")
	dir := peers.Samples("nfdump")
	recorded, _ := filepath.Glob(filepath.Join(dir, "out", "17[18]-*.txt"))
	if len(recorded) == 0 {
		t.Skip("the samples of nfdump are not there")
	}
	compared := 0
	for _, path := range recorded {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		version, mode, _ := strings.Cut(name, "-")
		args, ok := recordedModes[mode]
		if !ok || notAlike[name] {
			continue
		}
		compat := "1.7.1"
		if version == "178" {
			compat = "1.7.8"
		} else if mode == "stat-record" { // the format that Debian's has without -o
			args = slices.Concat(args[:len(args)-1], []string{"nsel"})
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		args = slices.Concat(args, []string{"-r", filepath.Join(dir, "filtertest-8records.nf"), "--compat", compat,
			"--tz", "UTC"})
		got, err := dumped(t, args...)
		if err != nil {
			t.Fatal(name, err)
		}
		compared++
		g, w := sortedLines(got), sortedLines(putRight.Replace(string(want)))
		for i := range max(len(g), len(w)) {
			if i >= len(g) || i >= len(w) || g[i] != w[i] {
				t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(g, "\n"), strings.Join(w, "\n"))
				break
			}
		}
	}
	if compared < 13 {
		t.Errorf("only %d recordings were compared", compared)
	}
}

// costs is the line of a summary that differs from run to run.
var costs = regexp.MustCompile(`(?m)^Sys: .*\n`)

// sortedLines returns the lines of an output, but that of its costs, sorted.
func sortedLines(s string) []string {
	lines := strings.Split(costs.ReplaceAllString(s, ""), "\n")
	slices.Sort(lines)
	return lines
}
