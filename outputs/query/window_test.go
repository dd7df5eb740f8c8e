package query

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// hours makes a file for each of six hours around midnight: file i has i+1 flows, one a
// minute, of half a minute each.
func hours(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for i := range 6 {
		at := time.Date(2026, 11, 21, 21+i, 0, 0, 0, time.UTC)
		w, err := nffile.Create(filepath.Join(dir, at.Format("nfcapd.200601021504")), nffile.Options{})
		must(t, err)
		for n := range i + 1 {
			first := flow.TimeOf(at) + flow.Time(n)*flow.Time(time.Minute)
			must(t, w.Append(&flow.Record{First: first, Last: first + flow.Time(30*time.Second), Packets: 1}))
		}
		must(t, w.Close())
	}
	return dir
}

// TestWindow reads the flows of windows, as nfdump does.
func TestWindow(t *testing.T) {
	dir := hours(t)
	files, err := archive.Files(dir)
	must(t, err)
	for text, want := range map[string]uint64{
		"2026": 21, "2026/11/22": 15, "2026/11/22.01:02": 3 + 6, "2026/11/21-2026/11/22": 6,
		"2026/11/22.02:01:00-2026/11/22.02:03:30": 3,
		"+5400": 3, "-60": 1, "2027": 0, "2026/11/22.02:00:01-2026/11/22.02:00:29": 0,
	} {
		w, err := ParseWindow(text, files, time.UTC)
		must(t, err)
		w.Within = true
		in := Input{Files: files, Window: w}
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
		out := peers.Run(t, "nfdump", "-R", dir, "-t", text, "-o", "null")
		if want > 0 && !strings.Contains(out, fmt.Sprintf("passed: %d,", want)) {
			t.Errorf("%s: %d flows, nfdump says\n%s", text, want, out)
		}
	}
	for text, want := range map[string]int{"2026/11/22.02:01:15-2026/11/22.02:02:10": 2, "2026/11/22.02:05:30": 1,
		"2026/11/22.02:05:31": 0, "2026/11/22.02:00:31-2026/11/22.02:00:59": 0} { // flows that overlap it
		w, err := ParseWindow(text, files, time.UTC)
		must(t, err)
		totals, err := Input{Files: files, Window: w}.Each(context.Background(),
			func(*flow.Record) error { return nil })
		must(t, err)
		if int(totals.Records) != want {
			t.Errorf("%s: %d flows overlap it, expected %d", text, totals.Records, want)
		}
	}
	for iso, text := range map[string]string{"2026-11-22": "2026/11/22", "2026-11-22T02:05": "2026/11/22.02:05",
		"2026-11-22 02:01:15-2026-11-22 02:02:10": "2026/11/22.02:01:15-2026/11/22.02:02:10",
		"2026-11-21-2026/11/22.01":                "2026/11/21-2026/11/22.01"} {
		w, err := ParseWindow(iso, files, time.UTC)
		must(t, err)
		if want, err := ParseWindow(text, files, time.UTC); err != nil || w != want {
			t.Errorf("%s is %+v, expected what %s is, %+v: %v", iso, w, text, want, err)
		}
	}
	for _, text := range []string{"", "yesterday", "+x", "2026/11/22-2026/11/21", "2026-11-22T", "2026-11"} {
		if w, err := ParseWindow(text, files, time.UTC); err == nil {
			t.Errorf("window %q is taken: %v", text, w)
		}
	}
}

// TestWrite copies flows of all layouts into one file, which nfdump reads.
func TestWrite(t *testing.T) {
	samples, _ := filepath.Glob(filepath.Join(peers.Samples("nfdump"), "*.nf"))
	files, err := archive.Files(hours(t))
	must(t, err)
	for _, c := range []struct {
		name string
		in   Input
		want int
	}{{"tree", Input{Files: files}, 21}, {"window",
		Input{Files: files, Window: Window{From: uint64(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).UnixMilli())}},
		15}, {"samples", Input{Files: samples}, 110}} {
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
		if out := peers.Run(t, "nfdump", "-r", to, "-o", "null"); !strings.Contains(out,
			fmt.Sprintf("processed: %d,", c.want)) {
			t.Errorf("%s: nfdump says\n%s", c.name, out)
		}
		if !slices.Equal(addresses(t, c.in.Files, c.in.Window), addresses(t, []string{to}, Window{})) {
			t.Errorf("%s: other flows in the new file", c.name)
		}
		if _, err := c.in.Write(context.Background(), to, nffile.Options{}); err == nil ||
			!strings.Contains(err.Error(), "exists") {
			t.Errorf("%s: an existing file: %v", c.name, err)
		}
	}
}

// addresses are the addresses, ports and counters of all flows.
func addresses(t *testing.T, files []string, w Window) (all []string) {
	t.Helper()
	_, err := Input{Files: files, Window: w}.Each(context.Background(), func(r *flow.Record) error {
		all = append(all, fmt.Sprint(r.Src, r.Dst, r.SrcPort, r.DstPort, r.Proto, r.Packets, r.Bytes, r.RevBytes,
			r.Exporter, r.User, r.MPLS, r.Present))
		return nil
	})
	must(t, err)
	return all
}
