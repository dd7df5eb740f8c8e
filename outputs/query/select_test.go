package query

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// hourly makes an archive: two sources with a file for every hour around midnight,
// in directories by day, and one source without directories. File i has i+1 flows.
func hourly(t *testing.T) string {
	t.Helper()
	base := t.TempDir()
	day := time.Date(2026, 11, 21, 21, 0, 0, 0, time.UTC)
	for _, source := range []string{"a", "b", "flat"} {
		for i := range 6 {
			at := day.Add(time.Duration(i) * time.Hour)
			sub := at.Format("2006/01/02")
			if source == "flat" {
				sub = ""
			}
			dir := filepath.Join(base, source, sub)
			must(t, os.MkdirAll(dir, 0o755))
			w, err := nffile.Create(filepath.Join(dir, at.Format("nfcapd.200601021504")), nffile.Options{})
			must(t, err)
			for n := range i + 1 {
				first := flow.TimeOf(at) + flow.Time(n)*flow.Time(time.Minute)
				must(t, w.Append(&flow.Record{First: first, Last: first + flow.Time(30*time.Second), Packets: 1}))
			}
			must(t, w.Close())
		}
		must(t, os.WriteFile(filepath.Join(base, source, "nfcapd.current.99"), nil, 0o644))
	}
	return base
}

// TestSelection reads ranges of files, and nfdump reads as many flows.
func TestSelection(t *testing.T) {
	base := hourly(t)
	for _, c := range []struct {
		s    Selection
		want string // the hours of the files
	}{
		{Selection{Range: base + "/a"}, "21 22 23 00 01 02"},
		{Selection{File: base + "/a"}, "21 22 23 00 01 02"},
		{Selection{File: base + "/flat/nfcapd.202611212200"}, "22"},
		{Selection{Range: base + "/flat/nfcapd.202611212200"}, "22 23 00 01 02"},
		{Selection{Range: base + "/a/2026/11/21/nfcapd.202611212200"}, "22 23"},
		{Selection{Range: base + "/flat/nfcapd.202611212200:nfcapd.202611220000"}, "22 23 00"},
		{Selection{Range: base + "/a/2026/11/21/nfcapd.202611212200:nfcapd.202611212300"}, "22 23"},
		{Selection{Range: base + "/a/2026/11/21/nfcapd.202611212300:2026/11/22/nfcapd.202611220100"}, "23 00 01"},
		{Selection{Range: base + "/a/nfcapd.202611212300:nfcapd.202611220100"}, "23 00 01"},
		{Selection{Sources: base + "/a:b", Range: "."}, "21 22 23 00 01 02 21 22 23 00 01 02"},
		{Selection{Sources: base + "/a:b", File: "2026/11/21/nfcapd.202611212200"}, "22 22"},
		{Selection{Sources: base + "/a:b", Range: "2026/11/21/nfcapd.202611212300:2026/11/22/nfcapd.202611220000"}, "23 00 23 00"},
	} {
		files, err := c.s.Files()
		must(t, err)
		var hours []string
		for _, f := range files {
			hours = append(hours, f[len(f)-4:len(f)-2])
		}
		if got := strings.Join(hours, " "); got != c.want {
			t.Errorf("%+v: %s, expected %s", c.s, got, c.want)
		}
		_, sum, err := Info(files)
		must(t, err)
		if s := c.s.Range; strings.HasPrefix(s, base+"/a/nfcapd") {
			continue // nfdump 1.7.1 does not find the sub-directories
		}
		args := []string{"-I"}
		for option, value := range map[string]string{"-r": c.s.File, "-R": c.s.Range, "-M": c.s.Sources} {
			if value != "" {
				args = append(args, option, value)
			}
		}
		if out := peers.Run(t, "nfdump", args...); !strings.Contains(out, fmt.Sprintf("Flows: %d\n", sum.Flows)) {
			t.Errorf("%+v: %d flows, nfdump %v says\n%.200s", c.s, sum.Flows, args, out)
		}
	}
}

// TestSelectionRefused: what names nothing says why.
func TestSelectionRefused(t *testing.T) {
	base := hourly(t)
	for want, s := range map[string]Selection{
		"expected either a file or a range":   {},
		"no such file":                        {Range: base + "/flat/nfcapd.202611212200:nfcapd.209911220000"},
		"LAST is a name beside FIRST":         {Range: base + "/flat/nfcapd.202611212200:/nfcapd.202611212300"},
		"as many sub-directories":             {Range: "nfcapd.202611212200:2026/11/22/nfcapd.202611220100"},
		"must not begin with /":               {Sources: base + "/a:b", Range: "/2026"},
		"should be the name of a directory":   {Sources: base + "/a:b/c", Range: "."},
		"no file from nfcapd.202611220200 to": {Range: base + "/flat/nfcapd.202611220200:nfcapd.202611212200"},
	} {
		if files, err := s.Files(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %d files, %v, expected %q", s, len(files), err, want)
		}
	}
}

// TestGuess finds files in every layout of directories that nfcapd has.
func TestGuess(t *testing.T) {
	const name = "nfcapd.202611221305"
	for _, sub := range []string{"2026/11/22", "2026/11/22/13", "2026/46/7", "2026/46/7/13", "2026/326", "2026/326/13", "2026-11-22", "2026-11-22/13"} {
		base := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(base, sub), 0o755))
		must(t, os.WriteFile(filepath.Join(base, sub, name), nil, 0o644))
		if got := guess(base, name); got != filepath.Join(sub, name) {
			t.Errorf("%s: %s", sub, got)
		}
	}
	if got := guess(t.TempDir(), name); got != name {
		t.Errorf("a file that is nowhere: %s", got)
	}
}

// TestWindow reads the flows of windows, as nfdump does.
func TestWindow(t *testing.T) {
	base := hourly(t)
	files, err := Files(base + "/flat")
	must(t, err)
	for text, want := range map[string]uint64{
		"2026": 21, "2026/11/22": 15, "2026/11/22.01:02": 3 + 6, "2026/11/21-2026/11/22": 6, "2026/11/22.02:01:00-2026/11/22.02:03:30": 3,
		"+5400": 3, "-60": 1, "2027": 0, "2026/11/22.02:00:01-2026/11/22.02:00:29": 0,
	} {
		w, err := ParseWindow(text, files, time.UTC)
		must(t, err)
		in := Input{files, w}
		totals, err := in.Each(context.Background(), func(*flow.Record) error { return nil })
		must(t, err)
		_, top, err := in.Top(context.Background(), []Stat{{Element: Proto, Orders: []Order{ByFlows}}}, 1)
		must(t, err)
		if totals.Records != want || top.Records != want || totals.Read != top.Read {
			t.Errorf("%s: %d flows, %d in the ranking, expected %d", text, totals.Records, top.Records, want)
		}
		if strings.ContainsAny(text[:1], "+-") {
			continue // nfdump 1.7.1 means the first file with it
		}
		out := peers.Run(t, "nfdump", "-R", base+"/flat", "-t", text, "-o", "null")
		if want > 0 && !strings.Contains(out, fmt.Sprintf("passed: %d,", want)) {
			t.Errorf("%s: %d flows, nfdump says\n%s", text, want, out)
		}
	}
	for _, text := range []string{"", "yesterday", "+x", "2026/11/22-2026/11/21", "2026-11-22"} {
		if w, err := ParseWindow(text, files, time.UTC); err == nil {
			t.Errorf("window %q is taken: %v", text, w)
		}
	}
}

// TestWrite copies flows of all layouts into one file, which nfdump reads.
func TestWrite(t *testing.T) {
	samples, _ := filepath.Glob("../../../shared/samples/nfdump/*.nf")
	base := hourly(t)
	files, err := Files(base)
	must(t, err)
	for _, c := range []struct {
		name string
		in   Input
		want int
	}{{"tree", Input{Files: files}, 63}, {"window", Input{files, Window{From: uint64(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).UnixMilli())}}, 45}, {"samples", Input{Files: samples}, 110}} {
		if len(c.in.Files) == 0 {
			continue // the samples are not there
		}
		to := filepath.Join(t.TempDir(), "nfcapd.202611220000")
		totals, err := c.in.Write(context.Background(), to, nffile.Options{Compression: nffile.LZ4})
		must(t, err)
		r, err := nffile.Verify(to, nil)
		must(t, err)
		if int(totals.Records) != c.want || int(r.Flows) != c.want || !r.Sound() {
			t.Errorf("%s: %d flows, expected %d; %s %v", c.name, totals.Records, c.want, &r, r.Problems)
		}
		if out := peers.Run(t, "nfdump", "-r", to, "-o", "null"); !strings.Contains(out, fmt.Sprintf("processed: %d,", c.want)) {
			t.Errorf("%s: nfdump says\n%s", c.name, out)
		}
		if !slices.Equal(addresses(t, c.in.Files, c.in.Window), addresses(t, []string{to}, Window{})) {
			t.Errorf("%s: other flows in the new file", c.name)
		}
		if _, err := c.in.Write(context.Background(), to, nffile.Options{}); err == nil || !strings.Contains(err.Error(), "exists") {
			t.Errorf("%s: an existing file: %v", c.name, err)
		}
	}
}

// addresses are the addresses, ports and counters of all flows.
func addresses(t *testing.T, files []string, w Window) (all []string) {
	t.Helper()
	_, err := Input{files, w}.Each(context.Background(), func(r *flow.Record) error {
		all = append(all, fmt.Sprint(r.Src, r.Dst, r.SrcPort, r.DstPort, r.Proto, r.Packets, r.Bytes, r.RevBytes, r.Exporter, r.User, r.MPLS, r.Present))
		return nil
	})
	must(t, err)
	return all
}
