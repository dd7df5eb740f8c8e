package collector

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestInherit: decoders of other options and number go on where others have ended: with
// templates, rates, the next sequence numbers and the counters.
func TestInherit(t *testing.T) {
	told, data := exporterOf(t)
	ended := NewDecoders(3, Options{})
	give := func(decoders []*Decoder, dg Datagram, h Handler) {
		t.Helper()
		if err := decoders[decoders[0].Shard(&dg, len(decoders))].Decode(dg, h); err != nil {
			t.Fatal(err)
		}
	}
	give(ended, datagram(told), Handler{})
	give(ended, datagram(data), Handler{})

	tmpl := compiled(t, 256, spec(8, 4), spec(1, 4))
	e := ipfix.Encoder{Domain: 5}
	message := func(addr string, flows int) Datagram {
		e.Begin(nil, exported)
		if flows == 0 {
			e.AddTemplates(tmpl)
		}
		e.AddData(tmpl, make([]flow.Record, flows))
		return Datagram{Exporter: netip.MustParseAddrPort(addr), Received: received, Payload: e.End()}
	}
	for _, dg := range []Datagram{message("192.0.2.50:2055", 0), message("192.0.2.50:2055", 3)} {
		give(ended, dg, Handler{})
	}
	e = ipfix.Encoder{Domain: 6}
	give(ended, message("192.0.2.60:2055", 1), Handler{}) // its template has not come
	e = ipfix.Encoder{Domain: 5, Sequence: 3}

	decoders := NewDecoders(2, Options{SplitBiflows: true, MaxExporters: 100})
	Inherit(decoders, ended)
	var got flow.Record
	e9 := datagram(data)
	e9.Payload[15] += 1 // the next sequence number
	give(decoders, e9, Handler{Flow: func(r *flow.Record) { got = *r }})
	if got.SamplingRate != 512 || got.Bytes != 7 {
		t.Errorf("templates and rates did not come along: %+v", got)
	}
	flows := 0
	give(decoders, message("192.0.2.50:2055", 2), Handler{Flow: func(*flow.Record) { flows++ }})
	e.Sequence += 4
	give(decoders, message("192.0.2.50:2055", 1), Handler{})
	stats := map[netip.Addr]ExporterStats{}
	for _, d := range decoders {
		d.Exporters(func(s *ExporterStats) { stats[s.Exporter] = *s })
	}
	if s := stats[from.Addr()]; s.Datagrams != 3 || s.SequenceGaps != 0 || s.Options != 2 || s.Templates != 2 {
		t.Errorf("NetFlow v9: %+v", s)
	}
	if s := stats[netip.MustParseAddr("192.0.2.50")]; flows != 2 || s.Flows != 6 || s.Datagrams != 4 ||
		s.SequenceGaps != 1 || s.SequenceLost != 4 {
		t.Errorf("IPFIX: %d flows, %+v", flows, s)
	}
	if s := stats[netip.MustParseAddr("192.0.2.60")]; s.SetsExpired != 1 || s.SetsWaiting != 0 {
		t.Errorf("a set that waited: %+v", s)
	}

	narrow := NewDecoders(1, Options{Protocols: []flow.Version{flow.V9}})
	Inherit(narrow, decoders)
	if s := only(t, narrow[0]); s.Version != flow.V9 || s.Datagrams != 3 {
		t.Errorf("of what is not wanted any more something is left: %+v", s)
	}
}
