package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// makeFlow fills r with flow number i: addresses and ports of a skewed choice.
func makeFlow(r *flow.Record, i int) {
	x := uint32(i) * 2654435761
	skew := func(v uint32) byte { return byte(v & (v >> 8) & (v >> 16)) }
	r.Reset()
	for _, f := range []flow.Field{flow.Src, flow.Dst, flow.Input, flow.SrcAS, flow.SrcVLAN, flow.NextHop} {
		r.Present.Add(f)
	}
	r.Exporter, r.Version = netip.AddrFrom4([4]byte{192, 0, 2, byte(i & 3)}), flow.V9
	r.First = flow.TimeOf(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)) + flow.Time(x%300000)*1e6
	r.Last = r.First + flow.Time(x>>7%10000)*1e6
	r.Received = r.Last
	r.Src = netip.AddrFrom4([4]byte{10, 0, skew(x), byte(x >> 24)})
	r.Dst = netip.AddrFrom4([4]byte{198, 51, 100, skew(x >> 3)})
	if i%5 == 0 {
		r.Src = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: skew(x >> 5)})
		r.Dst = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, 15: skew(x >> 6)})
	}
	r.Proto = []uint8{6, 6, 6, 17, 17, 1}[x>>9%6]
	r.SrcPort, r.DstPort = uint16(x>>11), uint16(skew(x>>4))
	r.TCPFlags, r.SrcTOS, r.DstTOS = uint16(x>>3&0x1f), byte(x>>13&4), byte(x>>14&8)
	r.Packets, r.Bytes = uint64(1+x>>20%50), uint64(40+x>>3%60000)
	if i%7 == 0 {
		r.RevPackets, r.RevBytes, r.Flows = 3, 300, 2
	}
	r.Input, r.Output, r.SrcAS, r.DstAS = x>>9%4, x>>11%4, 64500+x>>4%16, 64600+x>>7%16
	r.SrcVLAN, r.DstVLAN = uint16(x>>5%8), uint16(x>>6%8)
}

// makeFile writes flows from-to into a file.
func makeFile(t testing.TB, path string, from, to int) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	w, err := nffile.Create(path, nffile.Options{Compression: nffile.LZ4})
	must(t, err)
	var r flow.Record
	for i := from; i < to; i++ {
		makeFlow(&r, i)
		must(t, w.Append(&r))
	}
	must(t, w.Close())
}

// tree makes three files with 60000 flows in order.
func tree(t testing.TB) []string {
	t.Helper()
	dir := t.TempDir()
	makeFile(t, filepath.Join(dir, "b/nfcapd.2"), 40000, 60000)
	makeFile(t, filepath.Join(dir, "a/nfcapd.1"), 0, 30000)
	makeFile(t, filepath.Join(dir, "a/nfcapd.2"), 30000, 40000)
	files, err := archive.Files(dir)
	must(t, err)
	return files
}

func TestEach(t *testing.T) {
	files := tree(t)
	n := 0
	var want flow.Record
	totals, err := Each(context.Background(), files, func(r *flow.Record) error {
		makeFlow(&want, n)
		if r.Src != want.Src || r.Bytes != want.Bytes || r.SrcPort != want.SrcPort || r.Exporter != want.Exporter {
			return fmt.Errorf("flow %d is %+v", n, r)
		}
		n++
		return nil
	})
	must(t, err)
	if n != 60000 || totals.Records != 60000 || totals.Flows != 60000+(60000+6)/7 {
		t.Errorf("%d flows, %+v", n, totals)
	}
}

func TestEachEnds(t *testing.T) {
	files := tree(t)
	n := 0
	count := func(end error) func(*flow.Record) error {
		n = 0
		return func(*flow.Record) error {
			if n++; n == 100 {
				return end
			}
			return nil
		}
	}
	if totals, err := Each(context.Background(), files, count(ErrStop)); err != nil || totals.Records != 100 ||
		!totals.HasWindow {
		t.Errorf("ErrStop: %v, %+v", err, totals)
	}
	failure := errors.New("no")
	if _, err := Each(context.Background(), files, count(failure)); !errors.Is(err, failure) || n != 100 {
		t.Errorf("an error of the function: %v after %d", err, n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Each(ctx, files, count(nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, _, err := Top(ctx, files, []Stat{{Orders: []Order{ByFlows}}}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Top, cancelled: %v", err)
	}
}

// TestDamage: what is damaged is named and counted, everything else is read.
func TestDamage(t *testing.T) {
	files := tree(t)
	content, err := os.ReadFile(files[0])
	must(t, err)
	copy(content[60000:], bytes.Repeat([]byte{0xff}, 64)) // within the first block: a literal of no end
	must(t, os.WriteFile(files[0], content, 0o644))
	must(t, os.WriteFile(files[1], []byte("a text"), 0o644))
	totals, err := Each(context.Background(), files, func(*flow.Record) error { return nil })
	if err == nil || !strings.Contains(err.Error(), files[0]) || !strings.Contains(err.Error(), files[1]) {
		t.Errorf("the error is %v", err)
	}
	if totals.Skipped != 1 || totals.Records < 20000+15000 || totals.Records >= 50000 {
		t.Errorf("%+v", totals)
	}
	_, top, err := Top(context.Background(), files, []Stat{{Orders: []Order{ByFlows}}}, 1)
	if err == nil || top.Records != totals.Records {
		t.Errorf("Top: %v, %+v", err, top)
	}
}

// TestDamageIsToldInOrder: however many goroutines read, with and without a filter, what is
// wrong is told in the order of the files, and what is sound comes in order.
func TestDamageIsToldInOrder(t *testing.T) {
	dir := t.TempDir()
	var files []string
	var want []string
	for n := range 3 {
		path := filepath.Join(dir, fmt.Sprint("nfcapd.", n))
		makeFile(t, path, n*18000, (n+1)*18000)
		content, err := os.ReadFile(path)
		must(t, err)
		for at := 60000 + 4000*n; at < len(content); at += 500000 { // some blocks of each file
			copy(content[at:], bytes.Repeat([]byte{0xff}, 64))
		}
		must(t, os.WriteFile(path, content, 0o644))
		_, err = Each(context.Background(), []string{path}, func(*flow.Record) error { return nil })
		if err == nil {
			t.Fatalf("%s is read without an error", path)
		}
		files, want = append(files, path), append(want, err.Error())
	}
	for _, text := range []string{"src port < 500", "src port < 500 and count < 1000000"} {
		filter, err := nffilter.Parse(text, nffilter.Options{})
		must(t, err)
		in := Input{Files: files, Filter: filter}
		var all, some []flow.Record
		totals, err := Input{Files: files}.Each(context.Background(), func(r *flow.Record) error {
			if r.SrcPort < 500 {
				all = append(all, *r)
			}
			return nil
		})
		if err == nil || err.Error() != strings.Join(want, "\n") {
			t.Fatalf("the list says\n%v\nexpected\n%s", err, strings.Join(want, "\n"))
		}
		filtered, err := in.Each(context.Background(), func(r *flow.Record) error {
			some = append(some, *r)
			return nil
		})
		if err == nil || err.Error() != strings.Join(want, "\n") || filtered.Read != totals.Read ||
			filtered.Skipped != totals.Skipped || len(some) == 0 || !reflect.DeepEqual(some, all) {
			t.Errorf("%s: %d flows of %d, expected %d of %d; the error is\n%v", text, len(some), filtered.Read, len(all),
				totals.Read, err)
		}
		_, top, err := in.Top(context.Background(), []Stat{{Orders: []Order{ByFlows}}}, 1)
		if err == nil || err.Error() != strings.Join(want, "\n") || top.Records != filtered.Records {
			t.Errorf("%s: the ranking has %d flows, expected %d; it says\n%v", text, top.Records, filtered.Records, err)
		}
	}
}

// valuesOf returns the values of an element in r, of which the flows of makeFlow have no
// others than fields.
func valuesOf(r *flow.Record, e Element) (v []flow.Value) {
	for _, c := range elements[e].columns {
		switch end, ok := endOf(c); {
		case ok:
			told := r.Value(flow.Field(c))
			if told.Lo == 0 {
				told.Lo = uint64(someSystem(r.Addr(flow.Field(end))))
			}
			v = append(v, told)
		case e.Kind() == KindCountry:
			v = append(v, flow.Value{Lo: newCountries(someCountry).number(r.Value(flow.Field(c)))})
		case c < nffile.Column(flow.NumFields):
			v = append(v, r.Value(flow.Field(c)))
		case c == nffile.SysID:
			v = append(v, flow.Value{Lo: 1 + uint64(r.Exporter.As4()[3])})
		default:
			v = append(v, flow.Value{})
		}
	}
	return v
}

// someCountry puts addresses into two countries, and others into none.
func someCountry(a netip.Addr) string {
	return []string{"DE", "FR", "", "nowhere"}[a.As16()[15]%4]
}

// someSystem puts addresses into two systems, and others into none.
func someSystem(a netip.Addr) uint32 { return []uint32{0, 64900, 4200000900}[a.As16()[15]%3] }

// TestTopIsExact compares Top with maps, for every element and order.
func TestTopIsExact(t *testing.T) {
	files := tree(t)
	in := Input{Files: files, Country: someCountry, AS: someSystem}
	type sums struct{ flows, packets, bytes uint64 }
	var stats []Stat
	want := make([]map[Key]sums, Record)
	for e := range Record {
		stats = append(stats, Stat{Element: e, ByProto: e%2 == 1, Orders: []Order{ByFlows, ByInBytes}})
		want[e] = map[Key]sums{}
	}
	_, err := Each(context.Background(), files, func(r *flow.Record) error {
		for e := range Record {
			var keys []Key
			for _, v := range valuesOf(r, e) {
				k := Key{value: v}
				if stats[e].ByProto || e == Proto {
					k.proto, k.Known = r.Proto, true
				}
				keys = append(keys, k)
			}
			for _, key := range keys {
				s := want[e][key]
				want[e][key] = sums{s.flows + flowsOf(r), s.packets + r.Packets, s.bytes + r.Bytes}
			}
		}
		return nil
	})
	must(t, err)
	tables, totals, err := in.Top(context.Background(), stats, 0)
	must(t, err)
	if totals.Records != 60000 || len(tables) != 2*int(Record) {
		t.Fatalf("%d tables, %+v", len(tables), totals)
	}
	for _, table := range tables {
		got := map[Key]sums{}
		for i, r := range table.Rows {
			got[r.Key] = sums{r.Flows, r.InPackets, r.InBytes}
			if i > 0 && r.value(table.Order) > table.Rows[i-1].value(table.Order) {
				t.Errorf("%s by %s: row %d is out of order", table.Stat.Element, table.Order, i)
			}
		}
		if !maps.Equal(got, want[table.Stat.Element]) {
			t.Errorf("%s: %d rows, expected %d, or other sums", table.Stat.Element, len(got),
				len(want[table.Stat.Element]))
		}
	}
	first, _, err := in.Top(context.Background(), stats, 3)
	must(t, err)
	for i := range first {
		if !slices.Equal(first[i].Rows, tables[i].Rows[:min(3, len(tables[i].Rows))]) {
			t.Errorf("%s by %s: the first 3 are others than those of all", first[i].Stat.Element, first[i].Order)
		}
	}
}

func TestParseStat(t *testing.T) {
	for s, want := range map[string]Stat{
		"srcip":                 {Element: SrcIP, Orders: []Order{ByFlows}},
		"port:p/bytes/packets":  {Element: Port, ByProto: true, Orders: []Order{ByPackets, ByBytes}},
		"proto:p:a/bps":         {Element: Proto, ByProto: true, Ascending: true, Orders: []Order{ByBPS}},
		"ip/flows:a":            {Element: IP, Ascending: true, Orders: []Order{ByFlows}},
		"flags:d/obyte/obyte:d": {Element: Flags, Orders: []Order{ByOutBytes}},
	} {
		got, err := ParseStat(s)
		if err != nil || got.Element != want.Element || got.ByProto != want.ByProto ||
			got.Ascending != want.Ascending || !slices.Equal(got.Orders, want.Orders) {
			t.Errorf("%q is %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "src", "srcip:x", "srcip/size", "srcip/"} {
		if got, err := ParseStat(s); (err == nil) != (s == "srcip/") {
			t.Errorf("%q is %+v, %v", s, got, err)
		}
	}
}

func TestRates(t *testing.T) {
	for _, c := range []struct{ v, ms, want uint64 }{{10, 0, 0}, {10, 5000, 2}, {999949, 1500, 666632},
		{1 << 63, 1, 1<<64 - 1}, {1 << 60, 1000, 1 << 60}} {
		if got := PerSecond(c.v, c.ms); got != c.want {
			t.Errorf("PerSecond(%d, %d) = %d, expected %d", c.v, c.ms, got, c.want)
		}
	}
}

func BenchmarkTop(b *testing.B) {
	path := filepath.Join(b.TempDir(), "f")
	const n = 300000
	makeFile(b, path, 0, n)
	for _, spec := range []string{"proto", "srcip/bytes", "ip:p", "srcport"} {
		stat, err := ParseStat(spec)
		must(b, err)
		b.Run(spec, func(b *testing.B) {
			for range b.N {
				_, _, err := Top(context.Background(), []string{path}, []Stat{stat}, 10)
				must(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/flow")
		})
	}
}

func BenchmarkEach(b *testing.B) {
	path := filepath.Join(b.TempDir(), "f")
	const n = 300000
	makeFile(b, path, 0, n)
	for range b.N {
		_, err := Each(context.Background(), []string{path}, func(*flow.Record) error { return nil })
		must(b, err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/flow")
}

// TestTopWindow: Top counts the flows of a window that Each has.
func TestTopWindow(t *testing.T) {
	files := tree(t)
	start := uint64(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC).UnixMilli())
	for _, w := range []Window{{}, {From: start + 100000}, {To: start + 200000},
		{From: start + 100000, To: start + 150000}, {From: start + 1e9}} {
		in := Input{Files: files, Window: w}
		want, err := in.Each(context.Background(), func(*flow.Record) error { return nil })
		must(t, err)
		_, got, err := in.Top(context.Background(), []Stat{{Orders: []Order{ByFlows}}}, 1)
		must(t, err)
		if got != want {
			t.Errorf("%v: %+v, expected %+v", w, got, want)
		}
	}
}

// slowUser is a user that takes its time for each block.
type slowUser struct {
	Totals
	takes time.Duration
}

func (u *slowUser) use(*nffile.Block, uint64) (records, flows uint64, damage, err error) {
	time.Sleep(u.takes)
	return 10, 10, nil, nil // as many as the file says
}
func (u *slowUser) end() error    { return nil }
func (u *slowUser) sums() *Totals { return &u.Totals }

// The scan itself measures how long it takes to tell what has been found: between the end
// of one telling and the next there is reading for five times as long.
func TestScanMeasuresItsPauses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221000")
	makeFile(t, path, 0, 10)
	synctest.Test(t, func(t *testing.T) {
		const telling = time.Second
		var ended time.Time
		var reading []time.Duration
		p := pause{every: 100 * time.Millisecond, fn: func(Totals) {
			reading = append(reading, time.Since(ended))
			time.Sleep(telling)
			ended = time.Now()
		}}
		ended = time.Now()
		in := Input{Files: slices.Repeat([]string{path}, 200)} // 100 blocks a user, 20 seconds
		users := []user{&slowUser{takes: 200 * time.Millisecond}, &slowUser{takes: 200 * time.Millisecond}}
		_, err := in.scan(t.Context(), p, users...)
		must(t, err)
		if len(reading) < 3 || reading[0] > telling {
			t.Fatalf("told after reading for %v, expected after 100 ms first and every 5 s later", reading)
		}
		for _, d := range reading[1:] {
			if d < pauseShare*telling || d > 2*pauseShare*telling {
				t.Errorf("told after reading for %v, expected 5 s", d)
			}
		}
	})
}

// What has been found so far is told more rarely where telling it takes long: an answer of
// millions of rows is not made again after each second of reading.
func TestPausesAreAShareOfReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pause{every: time.Second, fn: func(Totals) {}}
		for took, want := range map[time.Duration]time.Duration{0: time.Second, 200 * time.Millisecond: time.Second,
			10 * time.Second: 50 * time.Second} {
			var s source
			s.pauseIn(p, took)
			if got := time.Until(s.until); got != want {
				t.Errorf("a pause took %v: the next is in %v, want %v", took, got, want)
			}
		}
		var s source
		s.pauseIn(pause{every: time.Second}, time.Second)
		if !s.until.IsZero() {
			t.Error("a pause without a function")
		}
	})
}
