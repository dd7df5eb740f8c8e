package collector

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestBiflowsAreTwoFlows decodes RFC 5103 records with traffic in both directions
// and in one, as two flows and as one.
func TestBiflowsAreTwoFlows(t *testing.T) {
	tmpl := compiled(t, 256, spec(8, 4), spec(12, 4), spec(7, 2), spec(11, 2), spec(1, 4), spec(2, 4), spec(6, 1),
		spec(10, 4), spec(61, 1), spec(225, 4), spec(227, 2),
		ipfix.FieldSpec{PEN: ie.ReversePEN, ID: 1, Length: 4}, ipfix.FieldSpec{PEN: ie.ReversePEN, ID: 2, Length: 4},
		ipfix.FieldSpec{PEN: ie.ReversePEN, ID: 6, Length: 1})
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.2")
	rec := flow.Record{XlateSrc: netip.MustParseAddr("203.0.113.3"), XlateSPort: 2000, Src: a, Dst: b, SrcPort: 1024,
		DstPort: 443, Bytes: 100, Packets: 2, TCPFlags: 2, Input: 3, RevBytes: 900, RevPackets: 5,
		Extra: []flow.Element{{PEN: ie.ReversePEN, ID: 6, Value: []byte{0x12}}}}
	oneWay := rec
	oneWay.RevBytes, oneWay.RevPackets = 0, 0
	for _, o := range []Options{{SplitBiflows: true}, {}} {
		d, s := NewDecoder(o), newSender()
		var got []flow.Record
		h := Handler{Flow: func(r *flow.Record) { c := *r; c.Extra = nil; got = append(got, c) }}
		s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(tmpl); e.AddData(tmpl, []flow.Record{rec, oneWay}) })
		if st := only(t, d); st.Flows != 2 || st.SequenceGaps != 0 {
			t.Errorf("got %+v", st)
		}
		if !o.SplitBiflows {
			if len(got) != 2 || got[0].RevBytes != 900 {
				t.Errorf("whole: got %+v", got)
			}
			continue
		}
		if len(got) != 3 {
			t.Fatalf("got %d flows, want 3", len(got))
		}
		f, r := got[0], got[1]
		if f.Src != a || f.Bytes != 100 || f.TCPFlags != 2 || f.Has(flow.RevBytes) || !f.Has(flow.Input) ||
			!f.Has(flow.Direction) ||
			f.XlateSrc != rec.XlateSrc || f.XlateSPort != 2000 || !f.Has(flow.XlateSrc) || f.Has(flow.XlateDst) {
			t.Errorf("forward: %+v", f)
		}
		if r.Src != b || r.Dst != a || r.SrcPort != 443 || r.DstPort != 1024 || r.Bytes != 900 || r.Packets != 5 ||
			r.TCPFlags != 0x12 ||
			r.Has(flow.RevBytes) || r.Has(flow.Input) || r.Output != 3 || !r.Has(flow.Output) ||
			r.Has(flow.Direction) || !r.Has(flow.Bytes) ||
			r.XlateDst != rec.XlateSrc || r.XlateDPort != 2000 || !r.Has(flow.XlateDst) || !r.Has(flow.XlateDPort) ||
			r.Has(flow.XlateSrc) || r.Has(flow.XlateSPort) {
			t.Errorf("reverse: %+v", r)
		}
	}
}
