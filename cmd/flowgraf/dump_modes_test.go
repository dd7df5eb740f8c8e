package main

import (
	"encoding/csv"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// TestDumpExclusive: each pair of options that exclude each other says so with both names,
// and what to do, and nothing is done: no file is written or changed.
func TestDumpExclusive(t *testing.T) {
	file := flowFile(t, 3)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "new")
	args := map[string][]string{"E": {"-E", file}, "v": {"-v", file}, "J": {"-J", "2"}, "i": {"-i", "edge"},
		"I": {"-I"}, "g": {"-g"}, "s": {"-s", "ip"}, "w": {"-w", to}, "r": {"-r", file},
		"R": {"-R", filepath.Dir(file)},
		"A": {"-A", "srcip"}, "b": {"-b"}, "B": {"-B"}, "z": {"-z=lz4"}, "y": {"-y"}, "j": {"-j"}}
	try := func(a, b string) {
		line := append(append([]string{}, args[a]...), args[b]...)
		if a != "r" {
			line = append(line, "-r", file)
		}
		out, err := dumped(t, line...)
		if err == nil || !strings.HasPrefix(err.Error(), "-"+a+" with -"+b+": ") ||
			!strings.Contains(err.Error(), "nfdump") || !strings.Contains(err.Error(), "expected ") || out != "" {
			t.Errorf("-%s with -%s: %v: %s", a, b, err, out)
		}
	}
	for i, a := range dumpActions {
		for _, b := range dumpActions[i+1:] {
			try(a.option, b.option)
		}
	}
	for _, c := range dumpConflicts {
		try(c.option, c.other)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the file has changed: %v", err)
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("a file was written")
	}
}

// nfdumpWarnings are what nfdump says of options on standard error.
var nfdumpWarnings = regexp.MustCompile(`(?m)^(Option -m|Command line switch|Warning: Aggregation) .*\n`)

// TestDumpUnheeded: where nfdump does not heed an option and does the rest, so is it here,
// and said.
func TestDumpUnheeded(t *testing.T) {
	file := flowFile(t, 20)
	for _, c := range []struct{ line, says string }{
		{"-a -s ip/bytes", "-a, -A, -b and -B are not heeded beside -s ip"},
		{"-A srcip -s ip/bytes", "-a, -A, -b and -B are not heeded beside -s ip"},
		{"-b -s ip/bytes", "-a, -A, -b and -B are not heeded beside -s ip"},
		{"-O bytes -s ip/bytes", "-O is not heeded beside -s"},
		{"-m -s ip/bytes", "-O is not heeded beside -s"},
		{"-I", ""},
		{"-b -B -o line", ""},
		{"-I proto.tcp", "the filter is not heeded beside -I"},
		{"-g proto.tcp", "the filter is not heeded beside -I and -g"},
		{"-m -O bytes -o line", ""},
	} {
		words := append([]string{"-r", file, "-q"}, strings.Fields(strings.ReplaceAll(c.line, ".", " "))...)
		if strings.Contains(c.line, ".") {
			words = append(words[:len(words)-2], "proto tcp")
		}
		want := nfdumpWarnings.ReplaceAllString(peers.Run(t, "nfdump", words...), "")
		out, err := dumped(t, words...)
		note, rest, noted := strings.Cut(out, "\n")
		if c.says == "" {
			rest, noted = out, true
		}
		if err != nil || !noted || !strings.Contains(note, c.says) ||
			strings.TrimSpace(rest) != strings.TrimSpace(want) {
			t.Errorf("%s: %v, printed\n%s\nnfdump prints\n%s", c.line, err, out, want)
		}
	}
	want, _ := dumped(t, "-r", file, "-q", "-O", "tstart")
	if out, err := dumped(t, "-r", file, "-q", "-O", "bytes", "-m"); err != nil || out != want {
		t.Errorf("-O bytes -m: %v: %s", err, out)
	}
	if _, err := dumped(t, "-r", file, "-s", "record", "-O", "bytes"); err == nil ||
		!strings.HasPrefix(err.Error(), "-O with -s record: ") {
		t.Errorf("-s record -O: %v", err)
	}
}

// TestDumpInfoFormats: -I is JSON, JSON lines and CSV too, with the figures of the text, and
// no other format is left out of account.
func TestDumpInfoFormats(t *testing.T) {
	file := flowFile(t, 7)
	info := func(format string) string {
		t.Helper()
		out, err := dumped(t, "-r", file, "-I", "-o", format)
		if err != nil {
			t.Errorf("-o %s: %v", format, err)
		}
		return out
	}
	for _, format := range []string{"json", "ndjson"} {
		var got struct {
			Ident          string
			Flows, Packets uint64
		}
		if err := json.Unmarshal([]byte(info(format)), &got); err != nil || got.Flows != 7 || got.Packets != 14 {
			t.Errorf("-o %s: %v: %+v", format, err, got)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(info("csv"))).ReadAll()
	if err != nil || len(rows) != 2 || rows[0][1] != "flows" || rows[1][1] != "7" || rows[1][0] != "none" {
		t.Errorf("-o csv: %v: %q", err, rows)
	}
	for _, format := range []string{"line", "extended", "raw"} {
		if out := info(format); out != peers.Run(t, "nfdump", "-I", "-r", file) {
			t.Errorf("-o %s: %s", format, out)
		}
	}
	for _, format := range []string{"parquet", "influx", "pipe", "table", "csv-fast", "csv:%sa", "fmt:%sa", "cvs"} {
		for _, args := range [][]string{{"-I"}, {"-g"}, {"-E", file}, {"-w", filepath.Join(t.TempDir(), "new")}} {
			out, err := dumped(t, append(args, "-r", file, "-o", format)...)
			if err == nil || out != "" || !strings.Contains(err.Error(), "-o ") && format != "cvs" {
				t.Errorf("%s -o %s: %v: %q", args[0], format, err, out)
			}
		}
	}
}

// TestDumpInfoOfDamage: no figures are printed of files that cannot be read, and those of
// others are, with an error.
func TestDumpInfoOfDamage(t *testing.T) {
	file := flowFile(t, 7)
	bad := filepath.Join(filepath.Dir(file), "nfcapd.202611281205")
	if err := os.WriteFile(bad, []byte("no flows"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"line", "json", "csv"} {
		if out, err := dumped(t, "-r", bad, "-I", "-o", format); err == nil || out != "" {
			t.Errorf("-o %s: %v: %q", format, err, out)
		}
		if out, err := dumped(t, "-R", filepath.Dir(file), "-I", "-o", format); err == nil ||
			!strings.Contains(out, "7") {
			t.Errorf("-R -o %s: %v: %q", format, err, out)
		}
	}
}

// TestDumpInfoOfAWindow: with -t, -I and -g are of the files that may have flows of then.
func TestDumpInfoOfAWindow(t *testing.T) {
	file := flowFile(t, 7)
	for window, want := range map[string]string{"2026/11/28": "Flows: 7\n", "2026/11/29": "Flows: 0\n"} {
		if out, err := dumped(t, "--tz", "UTC", "-r", file, "-I", "-t", window); err != nil ||
			!strings.Contains(out, "\n"+want) {
			t.Errorf("%s: %v: %s", window, err, out)
		}
		out, err := dumped(t, "--tz", "UTC", "-r", file, "-g", "-t", window)
		if lines := strings.Count(out, "\n"); err != nil || (lines == 2) != (want == "Flows: 7\n") {
			t.Errorf("%s: %v: %s", window, err, out)
		}
	}
}

// TestDumpCompatOfAggregations: with --compat 1.7.1 addresses of the family that a key does
// not name are cut as the real nfdump cuts them; the time zone of --tz is that of -P too.
func TestDumpCompatOfAggregations(t *testing.T) {
	t.Setenv("TZ", "UTC")
	file := filepath.Join(t.TempDir(), "nfcapd.202611281200")
	w, err := nffile.Create(file, nffile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := flow.TimeOf(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC))
	for _, a := range []string{"2001:db8::1:2:3:4", "192.0.2.5", "198.51.100.7"} {
		r := flow.Record{Version: flow.V9, First: at, Last: at, Received: at, Proto: 6, Packets: 1, Bytes: 40,
			Src: netip.MustParseAddr(a), Dst: netip.MustParseAddr(a)}
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sorted := func(text string) string {
		lines := strings.Split(strings.Trim(text, "\n"), "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	for _, keys := range []string{"dstip4/16", "srcip4/24,dstip4/8"} {
		args := []string{"-r", file, "-q", "-6", "-A", keys, "-o", "fmt:%da %pkt %byt %fl"}
		want := sorted(peers.Run(t, "nfdump", args...))
		if out, err := dumped(t, append(args, "--compat", "1.7.1")...); err != nil || sorted(out) != want {
			t.Errorf("-A %s: %v: printed\n%s\nnfdump prints\n%s", keys, err, out, want)
		}
	}
	for zone, want := range map[string]int{"UTC": 3, "Asia/Tokyo": 0} {
		out, err := dumped(t, "-r", file, "-q", "-O", "bytes", "--tz", zone, "-o", "ndjson", "-P",
			"first seen 2026-11-28T12")
		if err != nil || strings.Count(out, "\n") != want {
			t.Errorf("%s: %v: %s", zone, err, out)
		}
	}
}
