package collector

import (
	"fmt"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// from sets the source port of what comes next.
func (x *announcer) from(port uint16) *announcer {
	x.s.port = port
	return x
}

// TestPortsHaveTheirOwnRates: several exporters behind one address that use one domain
// tell their rates each from its port.
func TestPortsHaveTheirOwnRates(t *testing.T) {
	interval := func(n uint64) []flow.Element { return []flow.Element{number(34, 4, n)} }
	sampler := func(id, n uint64) []flow.Element { return []flow.Element{number(48, 1, id), number(50, 4, n)} }
	at := func(i uint64) []flow.Element { return []flow.Element{number(10, 4, i)} }
	type flows struct {
		port   uint16
		domain uint32
		r      flow.Record
		fields []ipfix.FieldSpec
		want   uint32
	}
	for _, c := range []struct {
		name string
		tell func(x *announcer)
		want []flows
	}{
		{"general ones", func(x *announcer) {
			x.from(1).options(1, 300, system, interval(100))
			x.from(2).options(1, 300, system, interval(1000))
		}, []flows{{port: 1, want: 100}, {port: 2, want: 1000}, {port: 3, want: 1000}}},
		{"of samplers of one name", func(x *announcer) {
			x.from(1).options(1, 300, system, sampler(1, 100))
			x.from(2).options(1, 300, system, sampler(1, 1000))
		}, []flows{{port: 1, r: flow.Record{SamplerID: 1}, fields: []ipfix.FieldSpec{spec(48, 1)}, want: 100},
			{port: 2, r: flow.Record{SamplerID: 1}, fields: []ipfix.FieldSpec{spec(48, 1)}, want: 1000}}},
		{"of samplers, which no flow names", func(x *announcer) {
			x.from(1).options(1, 300, system, sampler(1, 100))
			x.from(2).options(1, 300, system, sampler(2, 1000))
		}, []flows{{port: 1, want: 100}, {port: 2, want: 1000}}},
		{"of interfaces of one number", func(x *announcer) {
			x.from(1).options(1, 300, at(7), interval(100))
			x.from(2).options(1, 300, at(7), interval(1000))
		}, []flows{{port: 1, r: flow.Record{Input: 7}, fields: []ipfix.FieldSpec{spec(10, 4)}, want: 100},
			{port: 2, r: flow.Record{Input: 7}, fields: []ipfix.FieldSpec{spec(10, 4)}, want: 1000}}},
		{"one of them samples no more", func(x *announcer) {
			x.from(1).options(1, 300, system, interval(100))
			x.from(2).options(1, 300, system, interval(1000))
			x.from(1).options(1, 300, system, interval(0))
		}, []flows{{port: 1, want: 0}, {port: 2, want: 1000}}},
		{"options of a domain of their own", func(x *announcer) {
			x.from(1).options(9, 300, system, interval(100))
			x.from(2).options(9, 300, system, interval(1000))
		}, []flows{{port: 1, want: 100}, {port: 2, want: 1000}}},
		{"one exporter whose options come from another port", func(x *announcer) {
			x.from(4).options(1, 300, system, interval(100))
		}, []flows{{port: 1, want: 100}, {port: 2, want: 100}}},
		{"one exporter that tells samplers and the rest from two ports", func(x *announcer) {
			x.from(1).options(1, 300, system, interval(50))
			x.from(2).options(1, 301, system, sampler(6, 100))
		}, []flows{{port: 1, r: flow.Record{SamplerID: 6}, fields: []ipfix.FieldSpec{spec(48, 1)}, want: 100}}},
		{"one exporter that comes back on another port", func(x *announcer) {
			x.from(1).options(1, 300, system, interval(100))
			x.from(2).options(1, 300, system, interval(200))
		}, []flows{{port: 2, want: 200}, {port: 3, want: 200}}},
		{"more ports than are kept", func(x *announcer) {
			for port := range uint16(3 * maxPorts) {
				x.from(port).options(1, 300, system, interval(100))
			}
			x.from(1).options(1, 300, system, interval(300))
		}, []flows{{port: 1, want: 300}, {port: 3*maxPorts - 1, want: 100}}},
	} {
		x := newAnnouncer(t, Options{})
		c.tell(x)
		for _, f := range c.want {
			if got := x.from(f.port).rate(max(f.domain, 1), f.r, f.fields...); got != f.want {
				t.Errorf("%s: a flow of port %d has a rate of %d, want %d", c.name, f.port, got, f.want)
			}
		}
	}
}

// TestContradictingRatesAreTold: once, with the remedy, when two ports keep telling
// different rates; not of an exporter that came back on another port, nor of what is sent
// again from memory.
func TestContradictingRatesAreTold(t *testing.T) {
	var lines []string
	x := newAnnouncer(t, Options{Log: func(format string,
		args ...any) {
		lines = append(lines, fmt.Sprintf(format, args...))
	}})
	tell := func(port uint16, n uint64) {
		x.from(port).options(1, 300, system, []flow.Element{number(34, 4, n)})
	}
	tell(1, 100)
	tell(2, 1000)
	tell(2, 1000)
	x.d.Known(func(dg Datagram) {
		if err := x.d.Decode(dg, Handler{}); err != nil {
			t.Error(err)
		}
	})
	if len(lines) != 0 {
		t.Errorf("an exporter that came back on another port: %q", lines)
	}
	for range 3 {
		tell(1, 100)
		tell(2, 1000)
	}
	if len(lines) != 1 || !strings.Contains(lines[0], `ports = "separate"`) ||
		!strings.Contains(lines[0], "1 in 100 ") {
		t.Errorf("want one line that proposes to separate the ports, got %q", lines)
	}
	n := only(t, x.d).SamplingRefused
	if n != 0 {
		t.Errorf("%d rates were refused", n)
	}
}

// TestTellersAreBounded: what ports tell is given back with the port, to the byte.
func TestTellersAreBounded(t *testing.T) {
	x := newAnnouncer(t, Options{})
	for port := range uint16(1000) {
		x.from(port).options(1, 300, system, []flow.Element{number(34, 4, 100)})
	}
	dom := x.d.newest
	if n := len(dom.tellers); n != maxPorts {
		t.Errorf("%d ports are kept, want %d", n, maxPorts)
	}
	for len(dom.tellers) > 0 {
		before := x.d.bytes
		x.d.endTeller(dom, dom.tellers[0].port)
		if x.d.bytes != before-announcedSize {
			t.Errorf("%d bytes were given back, want %d", before-x.d.bytes, announcedSize)
		}
	}
}
