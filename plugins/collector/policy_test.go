package collector

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// ipfixOf returns an IPFIX message of domain 1 with what fill writes.
func ipfixOf(fill func(e *ipfix.Encoder)) []byte {
	e := ipfix.Encoder{Domain: 1}
	e.Begin(nil, exported)
	fill(&e)
	return e.End()
}

// bareFlows returns a template of flows, and flows of it.
func bareFlows(t testing.TB) (*ipfix.Template, []flow.Record) {
	a := netip.MustParseAddr("10.0.0.1")
	return compiled(t, 256, spec(8, 4), spec(12, 4), spec(1, 8), spec(2, 8)),
		[]flow.Record{{Src: a, Dst: a, Bytes: 1000, Packets: 10}, {Src: a, Dst: a, Bytes: 2000, Packets: 20}}
}

// scaled decodes a datagram and returns the flows' estimated bytes.
func scaled(t *testing.T, d *Decoder, dg Datagram) (list []uint64) {
	t.Helper()
	if err := d.Decode(dg, Handler{Flow: func(r *flow.Record) { list = append(list, r.Scale(r.Bytes)) }}); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestPolicyComesWithDatagrams: a decoder follows what came with the datagrams, and its
// changes; its own configuration of the exporter counts instead.
func TestPolicyComesWithDatagrams(t *testing.T) {
	tmpl, recs := bareFlows(t)
	payload := ipfixOf(func(e *ipfix.Encoder) {
		e.AddTemplates(tmpl)
		e.AddData(tmpl, recs[:1])
	})
	datagram := func(p flow.Policy) Datagram {
		return Datagram{Exporter: from, Received: received, Payload: payload, Policy: p}
	}
	own := NewDecoder(Options{Exporters: []ExporterConfig{{Prefix: netip.PrefixFrom(from.Addr(), 32),
		Policy: flow.Policy{Rate: 7}}}})
	other := NewDecoder(Options{Exporters: []ExporterConfig{{Prefix: netip.MustParsePrefix("203.0.113.0/24"),
		Policy: flow.Policy{Rate: 7}}}})
	d := NewDecoder(Options{})
	for _, c := range []struct {
		name string
		d    *Decoder
		p    flow.Policy
		want uint64 // times 1000 bytes
	}{
		{"nothing", d, flow.Policy{}, 1},
		{"a rate", d, flow.Policy{Rate: 4096}, 4096},
		{"another rate", d, flow.Policy{Rate: 10, Override: true}, 10},
		{"the rate is taken back", d, flow.Policy{}, 1},
		{"egress only", d, flow.Policy{Count: flow.CountEgress}, 1}, // the flow has no direction
		{"its own configuration", own, flow.Policy{Rate: 4096}, 7},
		{"its own configuration of others", other, flow.Policy{Rate: 4096}, 4096},
	} {
		got := scaled(t, c.d, datagram(c.p))
		if len(got) != 1 || got[0] != c.want*1000 {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want*1000)
		}
	}
}

// TestPolicyOutlivesARestart: templates of ports that are kept apart are found again in
// the state file, as ones of their port.
func TestPolicyOutlivesARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	tmpl, recs := bareFlows(t)
	apart := flow.Policy{SeparatePorts: true}
	first := NewDecoder(Options{})
	if err := first.Decode(Datagram{Exporter: from, Received: received,
		Payload: ipfixOf(func(e *ipfix.Encoder) { e.AddTemplates(tmpl) }), Policy: apart}, Handler{}); err != nil {
		t.Fatal(err)
	}
	var list []Datagram
	first.Known(func(dg Datagram) { list = append(list, dg) })
	if err := SaveKnown(file, list); err != nil {
		t.Fatal(err)
	}
	second := NewDecoder(Options{})
	if err := second.LoadKnown(file); err != nil {
		t.Fatal(err)
	}
	data := Datagram{Exporter: from, Received: received,
		Payload: ipfixOf(func(e *ipfix.Encoder) { e.AddData(tmpl, recs) }), Policy: apart}
	if got := scaled(t, second, data); len(got) != 2 {
		t.Errorf("%d flows of the port whose template is known, want 2", len(got))
	}
	data.Exporter = netip.AddrPortFrom(from.Addr(), from.Port()+1)
	if got := scaled(t, second, data); len(got) != 0 {
		t.Errorf("%d flows of another port were decoded with its template", len(got))
	}
	key, _ := Key(data)
	data.Policy = flow.Policy{} // as from a log of sets that wait
	if second.Knows(key, received) {
		t.Error("a set of another port is said to be known")
	}
	key.Exporter = from
	if !second.Knows(key, received) {
		t.Error("a set of the port is said to be unknown")
	}
}

// TestScreen: what is refused is not to be passed on, and the policy goes along.
func TestScreen(t *testing.T) {
	d := NewDecoder(Options{Protocols: []flow.Version{flow.IPFIX}, RefuseUnknown: true, Exporters: []ExporterConfig{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Policy: flow.Policy{Rate: 5}},
		{Prefix: netip.MustParsePrefix("192.0.2.9/32"), Refuse: true},
	}})
	ten, five := []byte{0, 10, 0, 16}, []byte{0, 5, 0, 0}
	for _, c := range []struct {
		name, source string
		payload      []byte
		stream       bool
		want         bool
	}{
		{"an exporter of the table", "192.0.2.1", ten, false, true},
		{"one that the table refuses", "192.0.2.9", ten, false, false},
		{"one that the table does not name", "198.51.100.1", ten, false, false},
		{"another protocol", "192.0.2.1", five, false, false},
		{"no protocol at all", "192.0.2.1", []byte("hello"), false, false},
		{"the end of a connection", "192.0.2.1", nil, true, true},
	} {
		dg := Datagram{Exporter: netip.AddrPortFrom(netip.MustParseAddr(c.source), 1), Payload: c.payload,
			Stream: c.stream, Policy: flow.Policy{Rate: 3}}
		if got := d.Screen(&dg); got != c.want || got && dg.Policy.Rate != 5 {
			t.Errorf("%s: got %v with %v", c.name, got, dg.Policy)
		}
	}
}
