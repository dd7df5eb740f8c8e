package collector

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// withdraw sends the withdrawal of an options template, or with 3 of all.
func (x *announcer) withdraw(domain uint32, id uint16) {
	x.t.Helper()
	x.s.e.Domain = domain
	x.s.send(x.t, x.d, Handler{}, func(e *ipfix.Encoder) {
		e.Set(ipfix.OptionsTemplateSet, func(w *wire.Writer) { w.Uint16(id); w.Uint16(0) })
	})
}

// hangUp ends the connection from a port.
func (x *announcer) hangUp(port uint16) {
	x.t.Helper()
	dg := Datagram{Exporter: netip.AddrPortFrom(from.Addr(), port), Received: x.s.at, Stream: true}
	if err := x.d.Decode(dg, Handler{}); err != nil {
		x.t.Fatal(err)
	}
}

// TestSamplerIsWithdrawn: over a connection a sampler ends with the options template by
// which it was told (RFC 7011, section 8.1), unless something else of the exporter tells it.
func TestSamplerIsWithdrawn(t *testing.T) {
	every := func(n uint64) []flow.Element { return []flow.Element{number(305, 4, 1), number(306, 4, n-1)} }
	selector := []flow.Element{number(302, 2, 4)}
	for _, c := range []struct {
		name string
		send func(x *announcer)
		want uint32
	}{
		{"not withdrawn", func(*announcer) {}, 100},
		{"withdrawn", func(x *announcer) { x.withdraw(1, 300) }, 0},
		{"all withdrawn", func(x *announcer) { x.withdraw(1, 3) }, 0},
		{"another one withdrawn", func(x *announcer) { x.withdraw(1, 301) }, 100},
		{"withdrawn in another domain", func(x *announcer) { x.withdraw(2, 300) }, 100},
		{"withdrawn and told again", func(x *announcer) {
			x.withdraw(1, 300)
			x.options(1, 300, selector, every(20))
		}, 20},
		{"redefined as something else", func(x *announcer) {
			x.options(1, 300, []flow.Element{number(10, 4, 1)}, []flow.Element{number(141, 4, 1)})
		}, 0},
		{"another template tells it, before", func(x *announcer) {
			x.options(1, 301, append(selector, number(143, 4, 1)), every(50))
			x.options(1, 300, selector, every(100))
			x.withdraw(1, 300)
		}, 50},
		{"another template tells it, later", func(x *announcer) {
			x.options(1, 301, append(selector, number(143, 4, 1)), every(50))
			x.withdraw(1, 300)
		}, 50},
		{"another domain tells it", func(x *announcer) {
			x.options(2, 300, selector, every(25))
			x.withdraw(1, 300)
		}, 25},
		{"another connection tells it", func(x *announcer) {
			x.s.port = 9
			x.options(1, 400, selector, every(40))
			x.hangUp(2055)
		}, 40},
		{"another connection has told it and ends", func(x *announcer) {
			x.s.port = 9
			x.options(1, 400, selector, every(40))
			x.s.port = 2055
			x.hangUp(9)
		}, 100},
		{"the connection ends", func(x *announcer) {
			x.hangUp(2055)
			x.s.port = 9
		}, 0},
	} {
		x := newAnnouncer(t, Options{})
		x.s.stream = true
		x.options(1, 300, selector, every(100))
		c.send(x)
		if got := x.rate(1, flow.Record{SamplerID: 4}, spec(302, 2)); got != c.want {
			t.Errorf("%s: got a rate of %d, want %d", c.name, got, c.want)
		}
		if x.d.bytes < 0 {
			t.Errorf("%s: %d bytes are counted", c.name, x.d.bytes)
		}
	}
	x := newAnnouncer(t, Options{})
	x.options(1, 300, selector, every(100))
	x.withdraw(1, 300)
	if got := x.rate(1, flow.Record{SamplerID: 4}, spec(302, 2)); got != 100 {
		t.Errorf("a withdrawal over UDP was not ignored (RFC 7011, section 8.4): got a rate of %d", got)
	}
}

// TestWithdrawnMemory: what withdrawn templates have told is not counted any more.
func TestWithdrawnMemory(t *testing.T) {
	x := newAnnouncer(t, Options{})
	x.s.stream = true
	before := 0
	for i := range 3 {
		for id := range uint64(50) {
			x.options(1, 300, []flow.Element{number(302, 2, id)}, []flow.Element{number(305, 4, 1), number(306, 4, 7)})
		}
		x.withdraw(1, 300)
		if i == 0 {
			before = x.d.bytes
		} else if x.d.bytes != before {
			t.Errorf("round %d: %d bytes are counted, were %d", i, x.d.bytes, before)
		}
	}
	if n := len(x.d.newest.announced); n != 0 {
		t.Errorf("%d rates are still announced", n)
	}
}
