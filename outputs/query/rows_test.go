package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// rowFormat is what rows are compared by.
const rowFormat = "fmt:%tsr %td %pr %sa %da %sp %dp %flg %tos %in %sas %ipkt %ibyt %opkt %obyt %fl"

// rowText is a row as nfdump prints it in that format, without the blanks.
func rowText(f *Flow) string {
	dst := fmt.Sprint(f.DstPort)
	if f.Proto == 1 {
		dst = fmt.Sprintf("%d.%d", f.DstPort>>8, f.DstPort&0xff)
	}
	flags := []byte("........")
	for i, letter := range "CEUAPRSF" {
		if f.Proto == 6 && f.TCPFlags&(0x80>>i) != 0 {
			flags[i] = byte(letter)
		}
	}
	first, duration := f.First.Milli(), f.Last.Milli()-f.First.Milli()
	return fmt.Sprintf("%d.%03d %d.%03d %d %s %s %d %s %s %d %d %d %d %d %d %d %d", first/1000, first%1000,
		duration/1000, duration%1000, f.Proto, addrText(f.Src), addrText(f.Dst), f.SrcPort, dst, flags, f.SrcTOS,
		f.Input, f.SrcAS, f.Packets, f.Bytes, f.RevPackets, f.RevBytes, f.Flows)
}

// addrText is an address: what a row lacks, nfdump prints as the zero of the family of its
// first flow.
func addrText(a netip.Addr) string {
	if !a.IsValid() || a.IsUnspecified() {
		return "-"
	}
	return a.String()
}

// rowsOf returns what the listing makes of a file.
func rowsOf(t *testing.T, path string, l Listing) (rows []string) {
	t.Helper()
	_, err := Input{Files: []string{path}}.Rows(context.Background(), l, func(f *Flow) error {
		rows = append(rows, rowText(f))
		return nil
	})
	must(t, err)
	return rows
}

// nfdumpRows returns what nfdump makes of it.
func nfdumpRows(t *testing.T, path string, args ...string) (rows []string) {
	t.Helper()
	out := peers.Run(t, "nfdump", append([]string{"-r", path, "-q", "-N", "-6", "-o", rowFormat}, args...)...)
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		for i := range fields {
			if fields[i] == "::" || fields[i] == "0.0.0.0" {
				fields[i] = "-"
			}
		}
		rows = append(rows, strings.Join(fields, " "))
	}
	return rows
}

// twoWays writes connections whose directions are flows of their own.
func twoWays(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nfcapd.202611221000")
	w, err := nffile.Create(path, nffile.Options{})
	must(t, err)
	for i, c := range []struct {
		proto                    uint8
		src, dst                 string
		sport, dport             uint16
		first, last              flow.Time
		packets, bytes, rev, rby uint64
		flags                    uint16
	}{
		{6, "10.0.0.1", "10.0.0.2", 5000, 80, 1000, 2000, 10, 1000, 0, 0, 2},
		{6, "10.0.0.2", "10.0.0.1", 80, 5000, 1500, 9000, 20, 5000, 0, 0, 16},
		{17, "10.0.0.3", "10.0.0.4", 53, 6000, 1000, 2000, 3, 300, 0, 0, 0},
		{17, "10.0.0.4", "10.0.0.3", 6000, 53, 3000, 3500, 4, 40, 0, 0, 0},
		{1, "10.0.0.5", "10.0.0.6", 0, 0x800, 3000, 3500, 4, 40, 0, 0, 0},
		{1, "10.0.0.6", "10.0.0.5", 0x800, 0, 3000, 3500, 5, 50, 0, 0, 0},
		{6, "10.0.0.7", "10.0.0.8", 80, 90, 1000, 5000, 7, 700, 100, 99999, 1},
		{6, "10.0.0.8", "10.0.0.7", 90, 80, 1000, 6000, 8, 800, 50, 22, 4},
		{6, "10.0.0.9", "10.0.0.9", 80, 80, 1000, 1000, 9, 900, 0, 0, 4},
		{6, "10.0.0.9", "10.0.0.9", 80, 80, 1000, 1000, 9, 900, 0, 0, 4},
		{6, "10.0.0.11", "10.0.0.12", 1024, 80, 1000, 1000, 1, 1, 0, 0, 4},
		{6, "10.0.0.13", "10.0.0.14", 80, 1024, 1000, 1000, 1, 1, 0, 0, 4},
		{6, "2001:db8::15", "2001:db8::16", 80, 1025, 1000, 1000, 1, 1, 0, 0, 4},
		{6, "2001:db8::16", "2001:db8::15", 1025, 80, 900, 1000, 2, 2, 0, 0, 2},
		{6, "10.0.1.1", "10.0.1.2", 1023, 1024, 1000, 1000, 1, 11, 0, 0, 4},
		{17, "10.0.1.3", "10.0.1.4", 1024, 32767, 1000, 1000, 1, 12, 0, 0, 4},
		{6, "10.0.1.5", "10.0.1.6", 3306, 50454, 1000, 1000, 1, 13, 0, 0, 4},
		{6, "10.0.1.7", "10.0.1.8", 32767, 32768, 1000, 1000, 1, 14, 0, 0, 4},
		{17, "10.0.1.9", "10.0.1.10", 32768, 49151, 1000, 1000, 1, 15, 0, 0, 4},
		{6, "10.0.1.11", "10.0.1.12", 49151, 49152, 1000, 1000, 1, 16, 2, 222, 4},
		{6, "10.0.1.13", "10.0.1.14", 49152, 65535, 1000, 1000, 1, 17, 0, 0, 4},
		{6, "10.0.1.15", "10.0.1.16", 65535, 32768, 1000, 1000, 1, 18, 0, 0, 4},
		{132, "10.0.1.17", "10.0.1.18", 80, 50000, 1000, 1000, 1, 19, 0, 0, 4},
		{50, "10.0.0.17", "10.0.0.18", 0, 0, 1000, 1000, 1, 1, 0, 0, 0},
		{50, "10.0.0.18", "10.0.0.17", 0, 0, 1000, 1000, 2, 2, 0, 0, 0},
	} {
		const base = 1000000000000
		r := flow.Record{Proto: c.proto, Src: netip.MustParseAddr(c.src), Dst: netip.MustParseAddr(c.dst),
			SrcPort: c.sport, DstPort: c.dport, First: flow.Milli(base + uint64(c.first)),
			Last:    flow.Milli(base + uint64(c.last)),
			Packets: c.packets, Bytes: c.bytes, RevPackets: c.rev, RevBytes: c.rby, TCPFlags: c.flags,
			Input: uint32(i), SrcAS: 64500 + uint32(i), SrcTOS: uint8(i), Present: flow.SetOf(flow.Input, flow.SrcAS)}
		must(t, w.Append(&r))
	}
	must(t, w.Close())
	return path
}

// TestRowsAsNfdump compares the rows of aggregations, and what they have of their first
// flow, with nfdump's.
func TestRowsAsNfdump(t *testing.T) {
	generated := filepath.Join(t.TempDir(), "nfcapd.202611221000")
	makeFile(t, generated, 0, 5000)
	connections, both, client := Connections(), Connections(), Connections()
	both.Bidirectional = true
	client.Bidirectional, client.Client = true, true
	for _, path := range []string{generated, twoWays(t)} {
		for _, c := range []struct {
			args string
			a    Aggregation
		}{{"-a", connections}, {"-b", both}, {"-B", client}} {
			compareRows(t, path, c.a, c.args)
		}
		for _, keys := range []string{"srcip", "dstport", "proto,srcport", "srcip4/24,dstip4/31,proto", "dstip4/16",
			"srcip,inif,srcas",
			"srcas", "tos", "srcport,dstport,srcip,dstip,inif,srcas,dstvlan,next", "dstip6/120,srcip6/9"} {
			a, err := ParseAggregation(keys)
			must(t, err)
			a.Mapped = true
			compareRows(t, path, a, "-A", keys)
		}
	}
}

func compareRows(t *testing.T, path string, a Aggregation, args ...string) {
	t.Helper()
	got, want := rowsOf(t, path, Listing{Aggregation: a}), nfdumpRows(t, path, args...)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%v: %d rows, for nfdump %d", args, len(got), len(want))
		for i := range got {
			if i >= len(want) || got[i] != want[i] {
				t.Fatalf("%s, expected\n%s", got[i], want[min(i, len(want)-1)])
			}
		}
	}
}

// TestSortAsNfdump compares what lists and rows are sorted by.
func TestSortAsNfdump(t *testing.T) {
	generated := filepath.Join(t.TempDir(), "nfcapd.202611221000")
	makeFile(t, generated, 0, 1000)
	orders := []string{"bytes:a", "tstart:d", "duration:a", "ibytes"}
	for o := range numOrders {
		orders = append(orders, o.String())
	}
	for i, order := range orders {
		sort, err := ParseSort(order)
		must(t, err)
		l, args := Listing{Sort: &sort}, []string{"-O", strings.Replace(order, "ibytes", "ibyte", 1)}
		if i%2 == 0 || sort.By == ByFlows { // where it lists flows, nfdump takes each for one
			l.Aggregation, args = Connections(), append(args, "-a")
		}
		got, want := rowsOf(t, generated, l), nfdumpRows(t, generated, args...)
		l.N = 7
		if first := rowsOf(t, generated, l); !slices.Equal(first, got[:7]) {
			t.Errorf("%v: the first 7 are others than those of all", args)
		}
		if strings.HasSuffix(order, "bps") { // nfdump 1.7.1 does not sort by it
			if !slices.IsSortedFunc(sortValues(t, got, sort.By), func(a, b uint64) int { return cmp.Compare(b, a) }) {
				t.Errorf("%v: not sorted", args)
			}
		} else if !slices.Equal(sortValues(t, got, sort.By), sortValues(t, want, sort.By)) {
			t.Errorf("%v: %d and %d rows in another order", args, len(got), len(want))
		}
		for _, rows := range [][]string{got, want} {
			for i := range rows {
				if l.Aggregation.Keys == nil {
					rows[i] = rows[i][:strings.LastIndexByte(rows[i], ' ')]
				}
			}
			slices.Sort(rows)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: other rows", args)
		}
	}
	for _, text := range []string{"", "size", "bytes:x", "bytes:"} {
		if s, err := ParseSort(text); err == nil {
			t.Errorf("order %q is %v", text, s)
		}
	}
}

// sortValues returns the values that rows are sorted by: rows of equal value may change
// places.
func sortValues(t *testing.T, rows []string, o Order) (values []uint64) {
	t.Helper()
	for _, text := range rows {
		f := strings.Fields(text)
		var r Row
		var first, firstMilli, seconds, milli uint64
		_, err := fmt.Sscanf(f[0]+" "+f[1]+" "+strings.Join(f[11:], " "), "%d.%d %d.%d %d %d %d %d %d", &first,
			&firstMilli, &seconds, &milli, &r.InPackets, &r.InBytes, &r.OutPackets, &r.OutBytes, &r.Flows)
		must(t, err)
		r.First, r.Last = 1000*first+firstMilli, 1000*(first+seconds)+firstMilli+milli
		values = append(values, r.value(o))
	}
	return values
}

// TestRowsOrder: without an order rows come in that of their first flows, whatever the
// number of goroutines, and what is left of the rows by N, Post and ErrStop are the first.
func TestRowsOrder(t *testing.T) {
	files := tree(t)
	in := Input{Files: files}
	a, err := ParseAggregation("srcip,dstport")
	must(t, err)
	var want []string
	seen := map[string]bool{}
	_, err = in.Each(context.Background(), func(r *flow.Record) error {
		if key := fmt.Sprint(r.Src, r.DstPort); !seen[key] {
			seen[key] = true
			want = append(want, key)
		}
		return nil
	})
	must(t, err)
	post, err := nffilter.Parse("flows > 20", nffilter.Options{})
	must(t, err)
	for _, l := range []Listing{{Aggregation: a}, {Aggregation: a, N: 5}, {Aggregation: a, Post: post},
		{Aggregation: a, Post: post, N: 3}} {
		var got []string
		few, sum := 0, uint64(0)
		totals, err := in.Rows(context.Background(), l, func(f *Flow) error {
			got = append(got, fmt.Sprint(f.Src, f.DstPort))
			if f.Flows <= 20 {
				few++
			}
			sum += f.Flows
			return nil
		})
		must(t, err)
		switch {
		case l.Post == nil && !slices.Equal(got, want[:len(got)]):
			t.Errorf("%d rows in another order", len(got))
		case l.N > 0 && len(got) != l.N, l.N == 0 && l.Post == nil && (len(got) != len(want) || sum != totals.Flows):
			t.Errorf("%d rows of %d flows, expected %d of %d", len(got), sum, len(want), totals.Flows)
		case l.Post != nil && (few > 0 || len(got) == 0):
			t.Errorf("%d rows, %d of them do not match", len(got), few)
		}
	}
	stop := 0
	_, err = in.Rows(context.Background(), Listing{Aggregation: a}, func(*Flow) error {
		if stop++; stop == 3 {
			return ErrStop
		}
		return nil
	})
	if err != nil || stop != 3 {
		t.Errorf("ErrStop: %d rows, %v", stop, err)
	}
}

// TestMemory: with a bound there are fewer rows, and Rest has what they lack; flows to be
// sorted end with an error.
func TestMemory(t *testing.T) {
	files := tree(t)
	for _, of := range []string{"srcip,dstport", ""} {
		in := Input{Files: files, Memory: 200_000}
		var a Aggregation
		var err error
		if of != "" {
			a, err = ParseAggregation(of)
			must(t, err)
		}
		rows, flows := 0, uint64(0)
		totals, err := in.Rows(context.Background(), Listing{Aggregation: a, Sort: &Sort{By: ByBytes}},
			func(f *Flow) error {
				rows++
				flows += max(f.Flows, 1)
				return nil
			})
		switch {
		case of == "" && (!errors.Is(err, ErrMemory) || rows == 0 || rows > 5000):
			t.Errorf("sorted: %d rows, %v", rows, err)
		case of != "" && (err != nil || totals.Rest.Flows == 0 || flows+totals.Rest.Flows != totals.Flows ||
			rows > 3000):
			t.Errorf("%d rows of %d flows, %+v, %v", rows, flows, totals, err)
		}
	}
	stat, err := ParseStat("srcport")
	must(t, err)
	tables, totals, err := Input{Files: files, Memory: 50_000}.Top(context.Background(), []Stat{stat}, 0)
	must(t, err)
	flows := totals.Rest.Flows
	for _, r := range tables[0].Rows {
		flows += r.Flows
	}
	if totals.Rest.Flows == 0 || flows != totals.Flows {
		t.Errorf("%d rows, %d flows, %+v", len(tables[0].Rows), flows, totals)
	}
	sort := Sort{By: ByBytes}
	if _, err := (Input{Files: files, Memory: 4 << 20}).Rows(context.Background(), Listing{Sort: &sort, N: 10},
		func(*Flow) error { return nil }); err != nil {
		t.Errorf("the first 10: %v", err)
	}
}

// TestTopRecord: the statistic of flows, beside another in the same pass.
func TestTopRecord(t *testing.T) {
	path := twoWays(t)
	var stats []Stat
	for _, text := range []string{"record/bytes/opkg/tstart", "proto"} {
		s, err := ParseStat(text)
		must(t, err)
		stats = append(stats, s)
	}
	tables, _, err := Input{Files: []string{path}}.Top(context.Background(), stats, 4)
	must(t, err)
	for i, o := range []string{"opkg", "bytes"} {
		var got []string
		must(t, tables[i].Each(func(f *Flow) error {
			got = append(got, rowText(f))
			return nil
		}))
		want := nfdumpRows(t, path, "-s", "record/"+o, "-n", "4")
		if tables[i].Order.String() != o || len(got) != 4 || !slices.Equal(sortValues(t, got, tables[i].Order),
			sortValues(t, want, tables[i].Order)) {
			t.Errorf("%s: %q, expected %q", o, got, want)
		}
	}
	if len(tables) != 4 || tables[2].Order != ByFirst || len(tables[3].Rows) != 4 {
		t.Errorf("%d tables", len(tables))
	}
}

// TestInterrupted: when the context ends, what has been read until then is handed out.
func TestInterrupted(t *testing.T) {
	files := tree(t)
	for _, a := range []Aggregation{{}, Connections()} {
		ctx, cancel := context.WithCancel(context.Background())
		in, blocks := Input{Files: files}, 0
		in.Progress = func(done, total int64) {
			if blocks++; blocks == 2 {
				cancel()
			}
			if done > total || total == 0 {
				t.Errorf("%d of %d bytes", done, total)
			}
		}
		rows := uint64(0)
		totals, err := in.Rows(ctx, Listing{Aggregation: a, Sort: &Sort{By: ByBytes}}, func(*Flow) error {
			rows++
			return nil
		})
		if cancel(); !errors.Is(err, context.Canceled) || rows == 0 || rows > totals.Records ||
			totals.Records >= 60000 {
			t.Errorf("%d rows of %d flows, %v", rows, totals.Records, err)
		}
	}
}
