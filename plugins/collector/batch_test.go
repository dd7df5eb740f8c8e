package collector

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// mixture returns datagrams of everything there is: all protocols, templates that
// change between data, options, samples of real exporters where they are, in an order
// that a number decides.
func mixture(t testing.TB, seed uint64) []Datagram {
	list, _ := feed(t, 3, 12)
	for round := range 3 {
		for i, s := range streams(t) {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 2055)
			for _, b := range [][]byte{s.data, s.templates, s.data, s.data} {
				if b != nil {
					list = append(list, Datagram{Exporter: from, Received: received, Payload: b, Resent: round == 2 &&
						len(list)%5 == 0})
				}
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(peers.Samples("flows"), "*.dat"))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i / 3)}), 2055)
		list = append(list, Datagram{Exporter: from, Received: received, Payload: b})
	}
	// Neighbours change places, so that sequences have gaps and templates come late.
	rng := rand.New(rand.NewPCG(seed, 1))
	for range len(list) / 4 {
		i := rng.IntN(len(list) - 1)
		list[i], list[i+1] = list[i+1], list[i]
	}
	return list
}

// recordLines returns a handler that writes down what it gets.
func recordLines(lines *[]string) Handler {
	return Handler{
		Flow:    func(r *flow.Record) { *lines = append(*lines, fmt.Sprintf("%+v %+v %+v", *r, r.Sample, r.Names)) },
		Option:  func(o *flow.OptionRecord) { *lines = append(*lines, fmt.Sprintf("%+v", *o)) },
		Counter: func(c *flow.CounterRecord) { *lines = append(*lines, fmt.Sprintf("%+v", *c)) },
	}
}

// statsOf returns the counters of all domains as text.
func statsOf(d *Decoder) string {
	all := map[string]string{}
	d.Exporters(func(s *ExporterStats) {
		all[fmt.Sprint(s.Exporter, s.Version, s.Domain, s.Port)] = fmt.Sprintf("%+v\n", *s)
	})
	text := ""
	for _, k := range slices.Sorted(maps.Keys(all)) {
		text += all[k]
	}
	return text
}

// plain leaves out of a line where things lie in memory.
func plain(lines []string) []string {
	for i, l := range lines {
		fields := strings.Fields(l)
		for j, f := range fields {
			if at := strings.Index(f, "0x"); at >= 0 {
				fields[j] = f[:at]
			}
		}
		lines[i] = strings.Join(fields, " ")
	}
	return lines
}

// TestBatchGivesWhatDecodeGives decodes the same datagrams one by one and in batches
// with several goroutines: records, their order, and all counters are the same.
func TestBatchGivesWhatDecodeGives(t *testing.T) {
	o := Options{SplitBiflows: true, MaxDomains: 100, Exporters: []ExporterConfig{
		{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Name: "router", Policy: flow.Policy{Rate: 100}},
	}}
	for seed := range uint64(8) {
		list := mixture(t, seed)
		var want []string
		one := NewDecoder(o)
		for _, dg := range list {
			_ = one.Decode(dg, recordLines(&want))
		}
		lanes := 1 + int(seed%4)
		got, parts := []string(nil), make([][]string, lanes)
		many := NewDecoder(o)
		bo := BatchOptions{Panicked: func(_ netip.AddrPort, _ []byte, p any,
			stack []byte) {
			t.Errorf("%v\n%s", p, stack)
		}}
		for i := range parts {
			bo.Handlers = append(bo.Handlers, recordLines(&parts[i]))
		}
		collect := func() {
			for i := range parts {
				got = append(got, parts[i]...)
				parts[i] = nil
			}
		}
		bo.Joined = collect
		b := many.NewBatch(bo)
		b.least = 1
		for rest := list; len(rest) > 0; {
			n := min(len(rest), 1+int(seed)*3)
			b.Spread(len(rest)%3 > 0)
			for _, dg := range rest[:n] {
				_ = b.Add(dg)
			}
			b.Run()
			collect()
			rest = rest[n:]
		}
		want, got = plain(want), plain(got)
		if len(want) < 500 || !slices.Equal(want, got) {
			i := 0
			for i < min(len(want), len(got)) && want[i] == got[i] {
				i++
			}
			t.Fatalf("seed %d: %d records, expected %d; number %d is\n%s\nexpected\n%s", seed, len(got), len(want), i,
				line(got, i), line(want, i))
		}
		if w, g := statsOf(one), statsOf(many); w != g {
			t.Fatalf("seed %d: counters are\n%s\nexpected\n%s", seed, g, w)
		}
	}
}

// line returns a line where there is one.
func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}

// TestBatchOutlivesAPanic: a handler that panics costs the records at hand only.
func TestBatchOutlivesAPanic(t *testing.T) {
	list, flows := feed(t, 1, 5)
	got, panics := 0, 0
	h := Handler{Flow: func(*flow.Record) {
		if got++; got == 7 {
			panic("seven")
		}
	}}
	b := NewDecoder(Options{}).NewBatch(BatchOptions{
		Handlers: []Handler{h},
		Joined:   func() {},
		Panicked: func(from netip.AddrPort, records []byte, p any, _ []byte) {
			if panics++; p != "seven" || len(records) == 0 || from != list[0].Exporter {
				t.Errorf("%v: %v, %d bytes", from, p, len(records))
			}
		},
	})
	for _, dg := range list {
		_ = b.Add(dg)
	}
	b.Run()
	if panics != 1 || got != flows-1 { // the second record of a set is lost
		t.Errorf("%d panics, %d flows of %d", panics, got, flows)
	}
}

// TestBatchDoesNotAllocate holds that a batch needs no memory of its own once it has
// been as large.
func TestBatchDoesNotAllocate(t *testing.T) {
	s := streams(t)[1]
	flows := 0
	b := NewDecoder(Options{}).NewBatch(BatchOptions{Handlers: []Handler{{Flow: func(*flow.Record) { flows++ }}},
		Joined: func() {}})
	_ = b.Add(datagram(s.templates))
	n := testing.AllocsPerRun(100, func() {
		for range 10 {
			_ = b.Add(datagram(s.data))
		}
		b.Run()
	})
	if n != 0 || flows == 0 {
		t.Errorf("%.1f allocations, %d flows", n, flows)
	}
}

// BenchmarkBatch is BenchmarkDecode with as many goroutines as there are processors,
// for datagrams of one domain.
func BenchmarkBatch(b *testing.B) {
	s := streams(b)[1]
	for _, lanes := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(lanes, " goroutines"), func(b *testing.B) {
			handlers := make([]Handler, lanes)
			sums := make([]struct {
				bytes uint64
				_     [56]byte
			}, lanes)
			for i := range handlers {
				handlers[i].Flow = func(r *flow.Record) { sums[i].bytes += r.Bytes }
			}
			batch := NewDecoder(Options{}).NewBatch(BatchOptions{Handlers: handlers, Joined: func() {}})
			if err := batch.Add(datagram(s.templates)); err != nil {
				b.Fatal(err)
			}
			dg := datagram(s.data)
			const datagrams = 64
			b.ReportAllocs()
			for b.Loop() {
				for range datagrams {
					if err := batch.Add(dg); err != nil {
						b.Fatal(err)
					}
				}
				batch.Run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*s.records*datagrams), "ns/record")
		})
	}
}

// FuzzBatch decodes two datagrams in turns, one by one and in a batch: the number of
// records and all counters are the same.
func FuzzBatch(f *testing.F) {
	for _, s := range streams(f) {
		f.Add(s.templates, s.data)
	}
	f.Add(framed(10, set(2, 0, "0100000200080004017bffff")), framed(10, set(256, 0, "01020304ff0001410102030400")))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		o := Options{MaxTemplates: 50, MaxBytes: 1 << 20, SplitBiflows: true}
		one, many := NewDecoder(o), NewDecoder(o)
		var want int
		var got [2]int
		batch := many.NewBatch(BatchOptions{
			Handlers: []Handler{use(&got[0]), use(&got[1])},
			Joined:   func() {},
			Panicked: func(_ netip.AddrPort, _ []byte, p any, stack []byte) { t.Errorf("%v\n%s", p, stack) },
		})
		batch.least = 1
		for _, payload := range [][]byte{b, a, b, a, b} {
			_ = one.Decode(datagram(payload), use(&want))
			_ = batch.Add(datagram(payload))
		}
		batch.Run()
		if w, g := statsOf(one), statsOf(many); want != got[0]+got[1] || w != g {
			t.Fatalf("%d+%d, expected %d; counters are\n%s\nexpected\n%s", got[0], got[1], want, g, w)
		}
	})
}

// TestBatchSeesTemplatesOfTheirTime withdraws, lets idle and contradicts templates that
// records inside structured data are of, in the batch that has such records.
func TestBatchSeesTemplatesOfTheirTime(t *testing.T) {
	inner, outer, data := listStream(t)
	var e ipfix.Encoder
	e.Begin(nil, exported)
	e.Set(ipfix.TemplateSet, func(w *wire.Writer) { w.Uint16(300); w.Uint16(0) })
	withdrawal := e.End()
	e.Begin(nil, exported)
	e.AddTemplates(compiled(t, 300, spec(8, 4), spec(11, 2)))
	other := e.End()
	e.Begin(nil, exported)
	e.Set(300, func(w *wire.Writer) { w.Uint32(0xc0000201); w.Uint16(80) })
	direct := e.End()
	udp := func(port uint16, later time.Duration, b []byte) Datagram {
		return Datagram{Exporter: netip.AddrPortFrom(from.Addr(), port), Received: received.Add(later), Payload: b}
	}
	tcp := func(b []byte) Datagram { return Datagram{Exporter: from, Received: received, Payload: b, Stream: true} }
	for name, list := range map[string][]Datagram{
		"withdrawn": {tcp(inner), tcp(outer), tcp(data), tcp(withdrawal), tcp(data)},
		"idle": {udp(1, 0, inner), udp(1, 20*time.Hour, outer), udp(1, 20*time.Hour, data),
			udp(1, 25*time.Hour, direct), udp(1, 25*time.Hour, data)},
		"contradicted": {udp(1, 0, inner), udp(3, 0, outer), udp(2, 0, other), udp(3, 0, data), udp(1, 0, inner),
			udp(3, 0, data)},
	} {
		var want, got []string
		one, many := NewDecoder(Options{}), NewDecoder(Options{})
		var now time.Time
		pass(one, &now)
		pass(many, &now)
		b := many.NewBatch(BatchOptions{Handlers: []Handler{recordLines(&got)}, Joined: func() {}})
		for _, dg := range list {
			now = dg.Received
			_ = one.Decode(dg, recordLines(&want))
			_ = b.Add(dg)
		}
		b.Run()
		if !slices.Equal(plain(want), plain(got)) || len(want) < 2 || want[0] == want[len(want)-1] {
			t.Errorf("%s: got\n%s\nexpected\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if w, g := statsOf(one), statsOf(many); w != g {
			t.Errorf("%s: counters are\n%s\nexpected\n%s", name, g, w)
		}
	}
}

// TestBatchKeepsErrorsApart: an error in the records of one datagram is no error of the
// next one, before which they are decoded.
func TestBatchKeepsErrorsApart(t *testing.T) {
	tell := framed(10, set(2, 0, "0100000200080004017bffff"))
	bad := framed(10, set(256, 0, "01020304ff00ff01"))
	b := NewDecoder(Options{}).NewBatch(BatchOptions{Handlers: []Handler{{}}, Joined: func() {}})
	next := framed(10, set(2, 0, "010100010008000401020001000a0004"))
	for i, payload := range [][]byte{tell, bad, next} {
		if err := b.Add(datagram(payload)); err != nil {
			t.Errorf("datagram %d: %v", i+1, err)
		}
	}
	b.Run()
	if s := only(t, b.d); s.DecodeErrors != 1 || s.Templates != 3 {
		t.Errorf("%d errors, %d templates", s.DecodeErrors, s.Templates)
	}
}

// TestBatchKeepsNothing: after Run a batch holds no domain, which may be forgotten, and
// no datagram.
func TestBatchKeepsNothing(t *testing.T) {
	list, _ := feed(t, 3, 5)
	b := NewDecoder(Options{}).NewBatch(BatchOptions{Handlers: []Handler{{}}, Joined: func() {}})
	for _, dg := range list {
		_ = b.Add(dg)
	}
	b.Run()
	if len(b.free) != len(list) {
		t.Errorf("%d of %d are free", len(b.free), len(list))
	}
	for _, p := range b.free {
		if p.dom != nil || p.header != nil || p.handler.Flow != nil {
			t.Fatalf("it still holds %+v", p.message)
		}
	}
}
