package query

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// filters are those that nfdump 1.7.1 is asked too.
var filters = []string{
	"any",
	"proto udp",
	"not proto tcp and ipv4",
	"src net 10.0.0.0/16 and dst port < 16",
	"ip in [198.51.100.1 198.51.100.2 2001:db8::1]",
	"net 2001:db8:100::/40",
	"host 10.0.0.1 or host 198.51.100.0",
	"bytes > 40k and packets < 10",
	"out bytes > 0",
	"flows > 1",
	"bps > 1m",
	"duration < 500",
	"flags S and not flags A",
	"not flags SA",
	"tos 4",
	"in if 2 or out if 3",
	"vlan 5",
	"mask 0 and proto tcp",
	"router ip 192.0.2.3",
	"count < 100",
	"ident none",
	"port in [1 2 4 8]",
	"proto icmp and icmp-type 0",
	"bpp < 100 or pps > 1000",
}

// flowLines returns what nfdump prints of the flows that a filter matches.
func flowLines(t *testing.T, file, filter string) []string {
	t.Helper()
	cmd := exec.Command(peers.Path(t, "nfdump"), "-r", file, "-q", "-N", "-6", "-o", "fmt:%sa %da %sp %dp %byt", filter)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("nfdump %q: %v", filter, err)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

// TestFiltersAsNfdump compares the flows that filters match with those that nfdump
// lists, in the list, in the ranking and in the file that is written.
func TestFiltersAsNfdump(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nfcapd.202611221000")
	makeFile(t, path, 0, 3000)
	for i, text := range filters {
		want := flowLines(t, path, text)
		f, err := nffilter.Parse(text, nffilter.Options{})
		must(t, err)
		in := Input{Files: []string{path}, Filter: f}
		var got []string
		totals, err := in.Each(context.Background(), func(r *flow.Record) error {
			dst := fmt.Sprint(r.DstPort)
			if r.Proto == 1 {
				dst = fmt.Sprintf("%d.%d", r.DstPort>>8, r.DstPort&0xff)
			}
			got = append(got, fmt.Sprintf("%s %s %d %s %d", r.Src, r.Dst, r.SrcPort, dst, r.Bytes))
			return nil
		})
		must(t, err)
		if !slices.Equal(got, want) {
			t.Errorf("%q matches %d flows, for nfdump %d", text, len(got), len(want))
			continue
		}
		tables, top, err := in.Top(context.Background(), []Stat{{Element: Proto, Orders: []Order{ByBytes}}}, 0)
		must(t, err)
		var rows uint64
		for _, r := range tables[0].Rows {
			rows += r.InBytes + r.OutBytes
		}
		if top.Records != totals.Records || rows != totals.Bytes || top.Read != totals.Read || totals.Read != 3000 {
			t.Errorf("%q: the list has %+v, the ranking %+v", text, totals, top)
		}
		out := filepath.Join(dir, fmt.Sprint("out", i))
		written, err := in.Write(context.Background(), out, nffile.Options{})
		must(t, err)
		if again := flowLines(t, out, "any"); written.Records != totals.Records || !slices.Equal(again, want) {
			t.Errorf("%q: %d flows are written, nfdump lists %d of them, expected %d", text, written.Records,
				len(again), len(want))
		}
	}
}

// TestFilterAsksForTheFlow filters by what only a file says of its flows.
func TestFilterAsksForTheFlow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221000")
	makeFile(t, path, 0, 200)
	for _, c := range []struct {
		filter string
		want   uint64
	}{
		{"count 7", 1},
		{"count > 150", 50},
		{"sysid 1 or sysid 2 or sysid 3 or sysid 4", 200},
		{"client latency > 0 or payload content x", 0},
		{"nfversion 9", 200},
		{"nfversion < 9", 0},
		{"not nfversion 9", 0},
		{"nfversion 9 and count > 150", 50},
	} {
		f, err := nffilter.Parse(c.filter, nffilter.Options{})
		must(t, err)
		in := Input{Files: []string{path}, Filter: f}
		list, err := in.Each(context.Background(), func(*flow.Record) error { return nil })
		must(t, err)
		_, top, err := in.Top(context.Background(), []Stat{{Element: SrcIP, Orders: []Order{ByFlows}}}, 1)
		must(t, err)
		if list.Records != c.want || top.Records != c.want {
			t.Errorf("%q matches %d flows in the list and %d in the ranking, expected %d", c.filter, list.Records,
				top.Records, c.want)
		}
	}
}
