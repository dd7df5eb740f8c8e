package collector

import (
	"net/netip"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
	"github.com/flowgraf/flowgraf/plugins/packet"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// TestFixedVersions decodes v1 and v7, whole and cut, and counts their gaps.
func TestFixedVersions(t *testing.T) {
	recs := streamRecords(3)
	h := netflow.V5Header{SysUptime: 1e6, Seconds: uint32(exported / 1e9)}
	for _, c := range []struct {
		version flow.Version
		append  func([]byte, netflow.V5Header, []flow.Record) []byte
		lost    uint64
	}{{flow.V1, netflow.AppendV1, 0}, {flow.V7, netflow.AppendV7, 7}} {
		d := NewDecoder(Options{})
		n := 0
		handler := Handler{Flow: func(r *flow.Record) {
			w := recs[n%3]
			if r.Src != w.Src || r.Dst != w.Dst || r.Bytes != w.Bytes || r.Packets != w.Packets ||
				r.SrcPort != w.SrcPort || r.DstPort != w.DstPort ||
				r.TCPFlags != w.TCPFlags || r.Proto != w.Proto || r.Input != w.Input || r.First != w.First ||
				r.Last != w.Last || r.Version != c.version {
				t.Errorf("%s: got %+v\nwant %+v", c.version, r, w)
			}
			if c.version == flow.V7 && r.SrcAS != w.SrcAS {
				t.Errorf("AS %d", r.SrcAS)
			}
			n++
		}}
		h.Sequence = 0
		if err := d.Decode(datagram(c.append(nil, h, recs)), handler); err != nil {
			t.Fatal(err)
		}
		h.Sequence = 10
		b := c.append(nil, h, recs)
		if err := d.Decode(datagram(b), handler); err != nil {
			t.Fatal(err)
		}
		if s := only(t, d); n != 6 || s.Flows != 6 || s.SequenceUnsure != c.lost {
			t.Errorf("%s: %d flows, %+v", c.version, n, s)
		}
		if err := d.Decode(datagram(b[:len(b)-1]), handler); err == nil || n != 8 {
			t.Errorf("%s cut: %d flows, %v", c.version, n, err)
		}
		for i := range b {
			_ = d.Decode(datagram(b[:i]), handler)
			n = 0
		}
	}
}

// TestSFlow decodes flow and counter samples of two agents behind one address.
func TestSFlow(t *testing.T) {
	d := NewDecoder(Options{})
	flows, counters, packets := 0, 0, uint64(0)
	h := Handler{
		Flow:    func(r *flow.Record) { flows++; packets += r.Packets * r.Rate() },
		Counter: func(o *flow.CounterRecord) { counters++ },
	}
	rec := streamRecords(1)[0]
	rec.SamplingRate = 100
	agents := []*sflow.Encoder{{Agent: netip.MustParseAddr("192.0.2.1")},
		{Agent: netip.MustParseAddr("192.0.2.2"), Sequence: 5000}}
	for i := range 10 {
		for port, e := range agents {
			e.Begin(nil, exported)
			e.Flow(&rec, packet.ProtocolEthernet, packet.Append(nil, &rec), 100)
			e.Counters(3, flow.CounterRecord{Kind: "interface"}, flow.CounterRecord{Kind: "ethernet"})
			if b := e.End(); i != 4 {
				dg := Datagram{Exporter: netip.AddrPortFrom(from.Addr(), uint16(1000+10*i+port)),
					Received: received.Add(time.Duration(i) * time.Second), Payload: b}
				if err := d.Decode(dg, h); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	s := only(t, d)
	if flows != 18 || packets != 1800 || counters != 36 || s.Counters != 18 || s.SequenceLost != 2 ||
		s.SequenceGaps != 2 || s.SequenceRestarts != 0 || s.SamplingRate != 100 {
		t.Errorf("%d flows, %d packets, %d counters, %+v", flows, packets, counters, s)
	}
}

// TestScopesAreNoElements learns from NetFlow v9's option records with scopes whose
// numbers are those of elements: scope 2 is an interface, scope 1 no counter, and
// none of them the sampler that elements 48 and 302 name.
func TestScopesAreNoElements(t *testing.T) {
	options := func(id uint16, fields ...ipfix.FieldSpec) *ipfix.Template {
		tmpl, err := ipfix.NewOptionsTemplate(id, fields)
		if err != nil {
			t.Fatal(err)
		}
		return tmpl
	}
	interfaces := options(300, ipfix.FieldSpec{ID: 2, Length: 4, Scope: true}, ipfix.FieldSpec{ID: 82, Length: 4})
	cache := options(301, ipfix.FieldSpec{ID: 4, Length: 2, Scope: true}, ipfix.FieldSpec{ID: 34, Length: 4})
	flows := mustTemplate(t, []ipfix.FieldSpec{{ID: 10, Length: 4}, {ID: 1, Length: 4}, {ID: 2, Length: 4}})
	e := netflow.V9Encoder{SourceID: 1}
	e.Boot = exported - 1e9
	e.Begin(nil, exported)
	e.AddTemplates(interfaces, cache, flows)
	e.AddOptions(interfaces,
		[]flow.OptionRecord{{Scope: []flow.Element{{ID: 2, Value: []byte{3}}},
			Fields: []flow.Element{{ID: 82, Value: []byte("eth3")}}}})
	e.AddOptions(cache, []flow.OptionRecord{{Scope: []flow.Element{{ID: 4, Value: []byte{6}}},
		Fields: []flow.Element{{ID: 34, Value: []byte{100}}}}})
	e.AddData(flows, []flow.Record{{Input: 3, Bytes: 50, Packets: 1}})
	got := 0
	h := Handler{
		Flow: func(r *flow.Record) {
			got++
			if r.Names == nil || r.Names.Input != "eth3" || r.Bytes != 50 || r.Packets != 1 || r.Proto != 0 ||
				r.SamplingRate != 100 || r.SamplingSource != flow.RateDomain {
				t.Errorf("got %+v, %+v", r, r.Names)
			}
		},
		Option: func(o *flow.OptionRecord) {
			if len(o.Scope) != 1 || len(o.Fields) != 1 || o.Scope[0].ID != 2 && o.Scope[0].ID != 4 {
				t.Errorf("got %+v", o)
			}
		},
	}
	if err := NewDecoder(Options{}).Decode(datagram(e.End()), h); err != nil || got != 1 {
		t.Errorf("got %d flows, %v", got, err)
	}
}
