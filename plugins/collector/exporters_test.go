package collector

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// TestConfiguredRates holds the order of the rates: see domain.rate.
func TestConfiguredRates(t *testing.T) {
	host := netip.PrefixFrom(from.Addr(), from.Addr().BitLen())
	for _, c := range []struct {
		name   string
		config ExporterConfig
		own    uint32
		want   uint32
		source flow.RateSource
	}{
		{"default", ExporterConfig{Prefix: host, Policy: flow.Policy{Rate: 4096}}, 0, 4096, flow.RateConfig},
		{"the exporter's own beats the default", ExporterConfig{Prefix: host, Policy: flow.Policy{Rate: 4096}}, 100,
			100, flow.RateRecord},
		{"override", ExporterConfig{Prefix: host, Policy: flow.Policy{Rate: 4096, Override: true}}, 100, 4096,
			flow.RateConfig},
		{"another network", ExporterConfig{Prefix: netip.MustParsePrefix("203.0.113.0/24"),
			Policy: flow.Policy{Rate: 4096}}, 0, 0, flow.RateUnknown},
	} {
		d, s := NewDecoder(Options{Exporters: []ExporterConfig{c.config}}), newSender()
		tmpl := compiled(t, 256, spec(1, 4), spec(34, 4))
		var got flow.Record
		s.send(t, d, Handler{Flow: func(r *flow.Record) { got = *r }}, func(e *ipfix.Encoder) {
			e.AddTemplates(tmpl)
			e.AddData(tmpl, []flow.Record{{Bytes: 1, SamplingRate: c.own}})
		})
		if got.SamplingRate != c.want || got.SamplingSource != c.source && c.want != 0 {
			t.Errorf("%s: got %d from %d", c.name, got.SamplingRate, got.SamplingSource)
		}
	}
}

// TestDiscardedPacketsAreNotScaled: sFlow reports every packet that was discarded, so no
// configured rate is its own.
func TestDiscardedPacketsAreNotScaled(t *testing.T) {
	w := wire.Writer{}
	for _, v := range []uint32{5, 1, 0xc0000201, 0, 1, 1000, 1, 5, 32 + 24, // header, and a sample of format 5
		1, 0, 7, 0, 7, 0, 262, 1, 1, 16, 1, 100, 4, 0} {
		w.Uint32(v)
	}
	for _, override := range []bool{false, true} {
		d := NewDecoder(Options{Exporters: []ExporterConfig{{Prefix: netip.PrefixFrom(from.Addr(), 32),
			Policy: flow.Policy{Rate: 4096, Override: override}}}})
		var got flow.Record
		if err := d.Decode(datagram(w.Buf()), Handler{Flow: func(r *flow.Record) { got = *r }}); err != nil {
			t.Fatal(err)
		}
		if got.Bytes != 100 || got.Rate() != 1 || got.SamplingSource != flow.RateUnknown {
			t.Errorf("override %v: one in %d, %+v", override, got.Rate(), got)
		}
	}
}

func TestRefusedAndCapped(t *testing.T) {
	d := NewDecoder(Options{MaxExporters: 3, RefuseUnknown: true, Exporters: []ExporterConfig{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("10.9.0.0/16"), Refuse: true}}})
	good := streams(t)[0].data
	flows := 0
	for _, addr := range []string{"10.0.0.1", "10.9.0.1", "192.0.2.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"} {
		dg := Datagram{Exporter: netip.AddrPortFrom(netip.MustParseAddr(addr), 1), Received: received, Payload: good}
		if err := d.Decode(dg, Handler{Flow: func(*flow.Record) { flows++ }}); err != nil {
			t.Fatal(err)
		}
	}
	if flows != 3*30 || d.Refused() != 2 || d.OverMost() != 1 || len(d.exporters) != 3 {
		t.Errorf("%d flows, %d refused, %d over the bound, %d exporters", flows, d.Refused(), d.OverMost(),
			len(d.exporters))
	}
}

func TestCountModes(t *testing.T) {
	dir := func(v uint8) *flow.Record {
		r := &flow.Record{Direction: v}
		r.Present.Add(flow.Direction)
		return r
	}
	attr := func(in, out uint16) *flow.Record {
		r := &flow.Record{IngressAttr: in, EgressAttr: out}
		r.Present.Add(flow.IngressAttr)
		r.Present.Add(flow.EgressAttr)
		return r
	}
	for _, c := range []struct {
		mode flow.CountMode
		r    *flow.Record
		want bool
	}{
		{flow.CountAll, dir(1), true}, {flow.CountIngress, dir(0), true}, {flow.CountIngress, dir(1), false},
		{flow.CountIngress, &flow.Record{}, true},
		{flow.CountEgress, dir(0), false}, {flow.CountEgress, dir(1), true}, {flow.CountDelivered, attr(1, 2), true},
		{flow.CountDelivered, attr(2, 2), true},
		{flow.CountDelivered, attr(2, 1), false}, {flow.CountDelivered, attr(3, 2), false},
		{flow.CountDelivered, &flow.Record{}, true},
	} {
		if got := c.mode.Counts(c.r); got != c.want {
			t.Errorf("mode %d, direction %d, attributes %d %d: got %t", c.mode, c.r.Direction, c.r.IngressAttr,
				c.r.EgressAttr, got)
		}
	}
}

// TestNamesAreJoined sends the tables under another domain than the data. Behind a name that is
// shorter than its field there may be what was there before.
func TestNamesAreJoined(t *testing.T) {
	d, s := NewDecoder(Options{Exporters: []ExporterConfig{{Prefix: netip.PrefixFrom(from.Addr(), 32), Name: "edge",
		Interfaces: map[uint32]string{4: "lan"}}}}), newSender()
	scoped := func(id uint16, name uint16) *ipfix.Template {
		return compiled(t, 300+id%100, ipfix.FieldSpec{ID: id, Length: 4, Scope: true}, spec(name, 16))
	}
	s.e.Domain = 99
	s.send(t, d, Handler{}, func(e *ipfix.Encoder) {
		for _, c := range []struct {
			scope, name uint16
			value       byte
			text        string
		}{{10, 82, 3, "wan\x00of before"}, {234, 236, 7, "blue"}, {95, 96, 80, "https"}, {302, 84, 5, "one-512"}} {
			tmpl := scoped(c.scope, c.name)
			e.AddTemplates(tmpl)
			e.AddOptions(tmpl, []flow.OptionRecord{{Scope: []flow.Element{{ID: c.scope,
				Value: []byte{0, 0, 0, c.value}}}, Fields: []flow.Element{{ID: c.name, Value: []byte(c.text)}}}})
		}
		users := compiled(t, 400, ipfix.FieldSpec{ID: 8, Length: 4, Scope: true}, spec(371, 16))
		e.AddTemplates(users)
		e.AddOptions(users, []flow.OptionRecord{{Scope: []flow.Element{{ID: 8, Value: []byte{10, 0, 0, 7}}},
			Fields: []flow.Element{{ID: 371, Value: []byte("alice\x00bob")}}}})
	})
	s.e.Domain = 1
	tmpl := compiled(t, 256, spec(10, 4), spec(14, 4), spec(234, 4), spec(95, 4), spec(302, 4), spec(8, 4), spec(12, 4))
	var got flow.Names
	h := Handler{Flow: func(r *flow.Record) { got = *r.Names }}
	rec := flow.Record{Input: 3, Output: 4, IngressVRF: 7, AppID: []byte{0, 0, 0, 80}, SamplerID: 5,
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("10.0.0.7")}
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(tmpl); e.AddData(tmpl, []flow.Record{rec}) })
	want := flow.Names{Exporter: "edge", Input: "wan", Output: "lan", IngressVRF: "blue", App: "https",
		Sampler: "one-512", User: "alice"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
