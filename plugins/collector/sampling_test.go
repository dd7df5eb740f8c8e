package collector

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/packet"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// number is an element of IANA's with a number of some bytes.
func number(id uint16, length int, v uint64) flow.Element {
	return flow.Element{ID: id, Value: binary.BigEndian.AppendUint64(nil, v)[8-length:]}
}

// announcer sends messages of one exporter to a decoder.
type announcer struct {
	t *testing.T
	d *Decoder
	s *sender
}

func newAnnouncer(t *testing.T, o Options) *announcer {
	return &announcer{t: t, d: NewDecoder(o), s: newSender()}
}

// options sends an options template and a record of it.
func (x *announcer) options(domain uint32, id uint16, scope, fields []flow.Element) {
	x.t.Helper()
	var specs []ipfix.FieldSpec
	for _, e := range scope {
		specs = append(specs, ipfix.FieldSpec{ID: e.ID, Length: uint16(len(e.Value)), Scope: true})
	}
	for _, e := range fields {
		specs = append(specs, ipfix.FieldSpec{ID: e.ID, Length: uint16(len(e.Value))})
	}
	tmpl := compiled(x.t, id, specs...)
	x.s.e.Domain = domain
	x.s.send(x.t, x.d, Handler{}, func(e *ipfix.Encoder) {
		e.AddTemplates(tmpl)
		e.AddOptions(tmpl, []flow.OptionRecord{{Scope: scope, Fields: fields}})
	})
}

// rate returns the sampling rate of a flow that a template's fields hold.
func (x *announcer) rate(domain uint32, r flow.Record, fields ...ipfix.FieldSpec) uint32 {
	x.t.Helper()
	tmpl := compiled(x.t, 256, append([]ipfix.FieldSpec{spec(1, 8)}, fields...)...)
	var got flow.Record
	x.s.e.Domain = domain
	x.s.send(x.t, x.d, Handler{Flow: func(r *flow.Record) { got = *r }}, func(e *ipfix.Encoder) {
		e.AddTemplates(tmpl)
		e.AddData(tmpl, []flow.Record{r})
	})
	return got.SamplingRate
}

var system = []flow.Element{number(143, 4, 1)} // a metering process

// TestSelectors reads the parameters of each method, and of what exporters fill beside
// them (RFC 5477, section 8.2; RFC 7014, section 4).
func TestSelectors(t *testing.T) {
	share := func(id uint16, p float64) flow.Element { return number(id, 8, math.Float64bits(p)) }
	for _, c := range []struct {
		name   string
		fields []flow.Element
		want   uint32
	}{
		{"count-based", []flow.Element{number(304, 1, 1), number(305, 4, 1), number(306, 4, 99)}, 100},
		{"count-based, several in a row", []flow.Element{number(304, 2, 1), number(305, 4, 10), number(306, 4, 990)},
			100},
		{"count-based without a space tells nothing", []flow.Element{number(304, 1, 1), number(305, 4, 500)}, 0},
		{"time-based", []flow.Element{number(304, 1, 2), number(307, 4, 1000), number(308, 4, 49000)}, 50},
		{"time-based by the parameters of packets",
			[]flow.Element{number(304, 1, 2), number(305, 4, 1), number(306, 4, 24)}, 25},
		{"n of N beside an interval of packets",
			[]flow.Element{number(305, 4, 1), number(304, 1, 3), number(309, 4, 1), number(310, 4, 256)}, 256},
		{"n of N where the parameters of counts are zero",
			[]flow.Element{number(304, 1, 3), number(305, 4, 0), number(306, 4, 0), number(309, 4, 5),
				number(310, 4, 500)}, 100},
		{"n of N before an interval with its space",
			[]flow.Element{number(304, 1, 3), number(305, 4, 1), number(306, 4, 0), number(309, 4, 1),
				number(310, 4, 40)}, 40},
		{"uniform", []flow.Element{number(304, 1, 4), share(311, 0.0005)}, 2000},
		{"hash", []flow.Element{number(304, 1, 6), number(329, 8, 0), number(330, 8, 0xffff), number(331, 8, 0),
			number(332, 8, 0xff)}, 256},
		{"hash of a range that begins elsewhere",
			[]flow.Element{number(304, 1, 8), number(329, 8, 1000), number(330, 8, 1999), number(331, 8, 1100),
				number(332, 8, 1109)}, 100},
		{"hash of CRC without ranges", []flow.Element{number(304, 1, 8)}, 0},
		{"flows, count-based", []flow.Element{number(390, 1, 1), number(396, 1, 1), number(397, 2, 19)}, 20},
		{"flows, time-based", []flow.Element{number(390, 2, 2), number(398, 4, 1), number(399, 4, 6)}, 7},
		{"flows, n of N", []flow.Element{number(390, 1, 3), number(309, 1, 1), number(310, 2, 20)}, 20},
		{"property match takes no sample", []flow.Element{number(304, 1, 5)}, 0},
		{"the interval of NetFlow v9 is zero",
			[]flow.Element{number(34, 4, 0), number(304, 1, 1), number(305, 4, 1), number(306, 4, 9)}, 10},
	} {
		x := newAnnouncer(t, Options{})
		x.options(1, 300, system, c.fields)
		if got := x.rate(1, flow.Record{Bytes: 1}); got != c.want {
			t.Errorf("%s: got a rate of %d, want %d", c.name, got, c.want)
		}
	}
}

// TestRatesInDataRecords: a flow may tell itself how it was selected.
func TestRatesInDataRecords(t *testing.T) {
	x := newAnnouncer(t, Options{})
	extra := []flow.Element{number(390, 1, 1), number(396, 4, 1), number(397, 4, 63)}
	if got := x.rate(1, flow.Record{Extra: extra}, spec(390, 1), spec(396, 4), spec(397, 4)); got != 64 {
		t.Errorf("got a rate of %d, want 64", got)
	}
	extra = []flow.Element{number(309, 4, 1), number(310, 4, 1<<30+7)}
	if got := x.rate(1, flow.Record{Extra: extra}, spec(309, 4), spec(310, 4)); got != 0 {
		t.Errorf("a population that cannot be: got a rate of %d", got)
	}
	x.d.Exporters(func(s *ExporterStats) {
		if s.SamplingRefused == 0 {
			t.Error("it was not counted")
		}
	})
}

// TestMethodsInDataRecords: the rate of a flow whose method of sampling does not exist is
// not applied, as that of an option record is not.
func TestMethodsInDataRecords(t *testing.T) {
	for _, c := range []struct {
		name    string
		fields  []flow.Element
		want    uint32
		refused uint64
	}{
		{"deterministic", []flow.Element{number(34, 4, 100), number(35, 1, 1)}, 100, 0},
		{"random", []flow.Element{number(34, 4, 100), number(35, 1, 2)}, 100, 0},
		{"a method of a byte that does not exist", []flow.Element{number(34, 4, 100), number(35, 1, 77)}, 0, 1},
		{"a mode that does not exist", []flow.Element{number(50, 4, 100), number(49, 1, 200)}, 0, 1},
		{"an interval with an algorithm that does not exist", []flow.Element{number(34, 4, 100), number(304, 2, 10)},
			0, 1},
		{"a population with one", []flow.Element{number(304, 2, 999), number(309, 4, 1), number(310, 4, 64)}, 0, 1},
		{"a flow selector that does not exist",
			[]flow.Element{number(390, 2, 999), number(396, 4, 1), number(397, 4, 9)}, 0, 1},
		{"an interval beside n of N", []flow.Element{number(34, 4, 100), number(304, 1, 3), number(309, 4, 1),
			number(310, 4, 64)}, 100, 0},
	} {
		x := newAnnouncer(t, Options{})
		var specs []ipfix.FieldSpec
		for _, e := range c.fields {
			specs = append(specs, spec(e.ID, uint16(len(e.Value))))
		}
		if got := x.rate(1, flow.Record{Bytes: 1, Extra: c.fields}, specs...); got != c.want {
			t.Errorf("%s: got a rate of %d, want %d", c.name, got, c.want)
		}
		if got := only(t, x.d).SamplingRefused; got != c.refused {
			t.Errorf("%s: %d counted, want %d", c.name, got, c.refused)
		}
	}
}

// TestLineCards: cards that sample alike have one rate; of others a flow takes that of its
// own, which it names itself, or of which an option record tells by its interface.
func TestLineCards(t *testing.T) {
	lines := 0
	x := newAnnouncer(t, Options{Log: func(string, ...any) { lines++ }})
	interval := func(n uint64) []flow.Element { return []flow.Element{number(34, 4, n)} }
	card := func(n uint64) []flow.Element { return []flow.Element{number(141, 4, n)} }
	rate := func(want uint32, when string, domain uint32, r flow.Record, fields ...ipfix.FieldSpec) {
		t.Helper()
		if got := x.rate(domain, r, fields...); got != want {
			t.Errorf("%s: got a rate of %d, want %d", when, got, want)
		}
	}
	named := func(n uint64) flow.Record { return flow.Record{Input: 5, Extra: card(n)} }
	x.options(1, 300, card(1), interval(100))
	x.options(1, 300, card(2), interval(100))
	rate(100, "all cards alike", 1, flow.Record{Input: 5}, spec(10, 4))
	rate(100, "all cards alike, told in another domain", 7, flow.Record{Input: 5}, spec(10, 4))
	x.options(1, 300, card(2), interval(2000))
	rate(0, "cards that differ", 1, flow.Record{Input: 5}, spec(10, 4))
	rate(0, "cards that differ, again", 1, flow.Record{Input: 5}, spec(10, 4))
	if lines != 1 {
		t.Errorf("%d lines in the log, want 1", lines)
	}
	rate(2000, "the flow names its card", 1, named(2), spec(10, 4), spec(141, 4))
	rate(100, "the flow names another card", 1, named(1), spec(10, 4), spec(141, 4))
	rate(2000, "by the slot of the engine", 1, flow.Record{EngineID: 2}, spec(39, 1))
	rate(0, "the flow names a card of which nothing is told", 1, named(3), spec(10, 4), spec(141, 4))
	x.options(2, 301, []flow.Element{number(10, 4, 5)}, card(2))
	x.options(2, 302, card(1), []flow.Element{number(10, 4, 6)})
	rate(2000, "interface 5 is on card 2", 1, flow.Record{Input: 5}, spec(10, 4))
	rate(100, "interface 6 is on card 1", 1, flow.Record{Input: 6}, spec(10, 4))
	rate(100, "going out at 6", 1, flow.Record{Input: 5, Output: 6, Direction: 1}, spec(10, 4), spec(14, 4),
		spec(61, 1))
	x.options(1, 303, []flow.Element{number(10, 4, 5)}, interval(7))
	rate(7, "the rate of an interface is narrower", 1, flow.Record{Input: 5}, spec(10, 4))
}

// TestLimitedRates: what an option record is about limits the flows that it applies to, and
// a flow takes the narrowest that applies to it.
func TestLimitedRates(t *testing.T) {
	x := newAnnouncer(t, Options{})
	interval := func(n uint64) []flow.Element { return []flow.Element{number(34, 4, n)} }
	x.options(1, 300, system, interval(5))
	x.options(1, 301, []flow.Element{number(10, 4, 10)}, interval(100))
	x.options(1, 302, []flow.Element{number(10, 4, 20)}, interval(2000))
	x.options(1, 303, []flow.Element{number(14, 4, 40)}, interval(400))
	x.options(1, 304, []flow.Element{number(138, 8, 77)}, interval(70))
	x.options(1, 305, []flow.Element{number(145, 2, 256)}, interval(60))
	x.options(1, 306, []flow.Element{number(302, 8, 0)}, interval(8))
	x.options(1, 307, []flow.Element{number(302, 8, 9), number(10, 4, 10)}, interval(900))
	x.options(2, 308, []flow.Element{number(149, 4, 3)}, interval(33))
	io := []ipfix.FieldSpec{spec(10, 4), spec(14, 4)}
	with := func(more ...uint16) []ipfix.FieldSpec {
		list := io
		for _, id := range more {
			length := uint16(1)
			if id == 138 || id == 302 {
				length = 8
			}
			list = append(list[:len(list):len(list)], spec(id, length))
		}
		return list
	}
	for _, c := range []struct {
		name   string
		domain uint32
		r      flow.Record
		fields []ipfix.FieldSpec
		want   uint32
	}{
		{"in at 10", 1, flow.Record{Input: 10, Output: 20}, io, 100},
		{"in at 20", 1, flow.Record{Input: 20, Output: 10}, io, 2000},
		{"seen going out at 10", 1, flow.Record{Input: 30, Output: 10, Direction: 1}, with(61), 100},
		{"seen coming in at 10", 1, flow.Record{Input: 10, Output: 40, Direction: 0}, with(61), 100},
		{"seen coming in elsewhere, out at 40", 1, flow.Record{Input: 11, Output: 40, Direction: 0}, with(61), 60},
		{"out at 40", 1, flow.Record{Input: 11, Output: 40}, io, 400},
		{"of an observation point", 1, flow.Record{Input: 11, ObservationPoint: 77}, with(138), 70},
		{"of the template", 1, flow.Record{Input: 11}, io, 60},
		{"of selector 0", 1, flow.Record{Input: 10, SamplerID: 0}, with(302), 8},
		{"of selector 9 at 10", 1, flow.Record{Input: 10, SamplerID: 9}, with(302), 900},
		{"another domain, of which another one tells", 3, flow.Record{Input: 11}, io[:1], 60},
	} {
		if got := x.rate(c.domain, c.r, c.fields...); got != c.want {
			t.Errorf("%s: got a rate of %d, want %d", c.name, got, c.want)
		}
	}
}

// TestRatesOfSFlowBeyondTheBound: no agent of sFlow sends them with their bytes in the other
// order, so none is read so; the flow stays, without a rate.
func TestRatesOfSFlowBeyondTheBound(t *testing.T) {
	for _, c := range []struct {
		told    uint32
		want    uint32
		refused uint64
	}{{1_000_000, 1_000_000, 0}, {1 << 20, 0, 1}, {1_049_088, 0, 1}, {0x050d0000, 0, 1}} {
		var lines []string
		d := NewDecoder(Options{Log: func(format string, args ...any) {
			lines = append(lines, fmt.Sprintf(format, args...))
		}})
		rec := streamRecords(1)[0]
		rec.SamplingRate = c.told
		e := &sflow.Encoder{Agent: netip.MustParseAddr("192.0.2.1")}
		e.Begin(nil, exported)
		e.Flow(&rec, packet.ProtocolEthernet, packet.Append(nil, &rec), 100)
		var got []uint32
		h := Handler{Flow: func(r *flow.Record) { got = append(got, r.SamplingRate) }}
		if err := d.Decode(Datagram{Exporter: from, Received: received, Payload: e.End()}, h); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, []uint32{c.want}) || only(t, d).SamplingRefused != c.refused {
			t.Errorf("a rate of %d: got %d, %d refused", c.told, got, only(t, d).SamplingRefused)
		}
		if len(lines) != int(c.refused) || c.refused > 0 && !strings.Contains(lines[0], "and is not applied") {
			t.Errorf("a rate of %d: got the lines %q", c.told, lines)
		}
	}
}

// TestRatesThatCannotBe: they are not applied and counted, once told, and the default of
// the configuration holds.
func TestRatesThatCannotBe(t *testing.T) {
	announce := func(fields ...flow.Element) []flow.Element { return fields }
	for _, c := range []struct {
		name    string
		told    [][]flow.Element
		want    uint32
		refused uint64
	}{
		{"beyond the bound", [][]flow.Element{announce(number(34, 4, 1_000_001))}, 0, 1},
		{"at the bound", [][]flow.Element{announce(number(34, 4, 1_000_000))}, 1_000_000, 0},
		{"bytes in the other order", [][]flow.Element{announce(number(34, 4, 0x050d0000))}, 3333, 1},
		{"bytes in the other order, more than two of them", [][]flow.Element{announce(number(34, 4, 0xa0860100))},
			100_000, 1},
		{"what a router could send", [][]flow.Element{announce(number(34, 4, 0x00100200))}, 0, 1},
		{"a method that does not exist", [][]flow.Element{announce(number(34, 4, 67), number(35, 1, 131))}, 0, 1},
		{"a sampler of no mode", [][]flow.Element{announce(number(48, 1, 1), number(49, 1, 77), number(50, 4, 10))}, 0,
			1},
		{"a selector of no algorithm",
			[][]flow.Element{announce(number(304, 2, 300), number(305, 4, 1), number(306, 4, 9))}, 0, 1},
		{"nonsense, then what could be", [][]flow.Element{announce(number(34, 4, 67), number(35, 1, 131)),
			announce(number(34, 4, 68), number(35, 1, 1))}, 0, 2},
		{"nonsense, then the same again and again", [][]flow.Element{announce(number(34, 4, 67), number(35, 1, 131)),
			announce(number(34, 4, 68), number(35, 1, 1)), announce(number(34, 4, 68), number(35, 1, 1)),
			announce(number(34, 4, 68), number(35, 1, 1)),
			announce(number(34, 4, 68), number(35, 1, 1))}, 68, 4},
		{"rising like a counter", [][]flow.Element{announce(number(34, 4, 1000)), announce(number(34, 4, 1007)),
			announce(number(34, 4, 1019)),
			announce(number(34, 4, 1020))}, 0, 1},
		{"changed twice", [][]flow.Element{announce(number(34, 4, 100)), announce(number(34, 4, 200)),
			announce(number(34, 4, 150))}, 150, 0},
	} {
		lines := 0
		x := newAnnouncer(t, Options{Log: func(format string, args ...any) {
			lines++
			if text := fmt.Sprintf(format, args...); len(text) < 80 {
				t.Errorf("%s: a line that tells no remedy: %q", c.name, text)
			}
		}})
		for _, fields := range c.told {
			x.options(1, 300, system, fields)
		}
		if got := x.rate(1, flow.Record{Bytes: 1}); got != c.want {
			t.Errorf("%s: got a rate of %d, want %d", c.name, got, c.want)
		}
		if got := only(t, x.d).SamplingRefused; got != c.refused || lines != int(min(c.refused, 1)) {
			t.Errorf("%s: %d counted and %d lines, want %d", c.name, got, lines, c.refused)
		}
	}
	x := newAnnouncer(t, Options{MaxRate: 50})
	if got := x.rate(1, flow.Record{SamplingRate: 51}, spec(34, 4)); got != 0 || only(t, x.d).SamplingRefused != 1 {
		t.Errorf("a record beyond a bound of the user's: got a rate of %d", got)
	}
	if got := x.rate(1, flow.Record{SamplingRate: 50}, spec(34, 4)); got != 50 {
		t.Errorf("a record at that bound: got a rate of %d", got)
	}
}

// TestSamplerEnds: with the interval 0, and when flows name no sampler any more; but not
// where another record of the exporter says otherwise.
func TestSamplerEnds(t *testing.T) {
	x := newAnnouncer(t, Options{})
	interval := func(n uint64) []flow.Element { return []flow.Element{number(34, 4, n), number(35, 1, min(n, 1))} }
	rate := func(want uint32, when string) {
		t.Helper()
		if got := x.rate(1, flow.Record{Bytes: 1}); got != want {
			t.Errorf("%s: got a rate of %d, want %d", when, got, want)
		}
	}
	x.options(1, 300, system, interval(100))
	rate(100, "announced")
	x.options(1, 300, system, interval(0))
	rate(0, "taken back")
	x.options(1, 300, system, interval(100))
	x.options(2, 300, system, interval(0))
	rate(100, "another domain has none")
	x.options(2, 300, system, interval(50))
	x.options(1, 300, system, interval(0))
	rate(50, "another domain has one")

	x = newAnnouncer(t, Options{})
	x.options(1, 301, []flow.Element{number(302, 1, 2)}, []flow.Element{number(309, 4, 1), number(310, 4, 20)})
	if got := x.rate(1, flow.Record{SamplerID: 2}, spec(302, 1)); got != 20 {
		t.Errorf("named: got a rate of %d, want 20", got)
	}
	rate(0, "flows name no sampler any more")
	x.options(1, 301, []flow.Element{number(302, 1, 2)}, []flow.Element{number(309, 4, 1), number(310, 4, 0)})
	if got := x.rate(1, flow.Record{SamplerID: 2}, spec(302, 1)); got != 0 {
		t.Errorf("a population of 0: got a rate of %d", got)
	}
}
