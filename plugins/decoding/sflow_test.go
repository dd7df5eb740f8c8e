package decoding

import (
	"net/netip"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/packet"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// sampled returns an sFlow datagram with a sample of an IPv6 packet that has a flow label,
// from the device itself.
func sampled(label byte) []byte {
	r := decodingtest.Flows(0, 2)[1]
	r.Src, r.Dst = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	r.Input, r.SamplingRate = 0x3fffffff, 400
	head := packet.Append(nil, &r)
	head[14+3] = label // the last byte of IPv6's first word, behind Ethernet
	e := sflow.Encoder{Agent: netip.MustParseAddr("192.0.2.254"), Boot: decodingtest.Exported - 1e12}
	e.Begin(nil, decodingtest.Exported)
	e.Flow(&r, packet.ProtocolEthernet, head, 1234)
	return e.End()
}

// TestFlowLabelOfASample: the label of a sampled IPv6 packet is in its metric, and no
// interface where it came from the device itself.
func TestFlowLabelOfASample(t *testing.T) {
	p := newPool(t, nil)
	for label, want := range map[byte]any{0xde: "0x000000de", 0: nil} {
		got := p.Decode(decodingtest.AllReceived([][]byte{sampled(label)}))
		if len(got) != 1 {
			t.Fatalf("label %#x: %d metrics", label, len(got))
		}
		f := got[0].Fields()
		if _, in := f["in_snmp"]; f["flow_label"] != want || in || f["out_snmp"] != uint64(4) {
			t.Errorf("label %#x: got %v", label, f)
		}
	}
}

// TestUnknownFormatsAreCounted: samples, and records in them, of formats that nobody
// knows are in netflow_exporter, and cost the others nothing.
func TestUnknownFormatsAreCounted(t *testing.T) {
	p := newPool(t, nil)
	b := sampled(0)
	const samples = 24 // where their number stands
	odd := append(b[:len(b):len(b)], 0xff, 0xff, 0xf0, 0x01, 0, 0, 0, 4, 1, 2, 3, 4)
	odd[samples+3]++
	inside := append([]byte(nil), b...)
	inside[samples+4+8+28+3], inside[samples+4+8+32] = 1, 0xab // the record's format
	flows := 0
	for _, payload := range [][]byte{b, odd, inside} {
		flows += len(p.Decode(decodingtest.AllReceived([][]byte{payload})))
	}
	acc := &fieldsOf{}
	p.Gather(acc, time.Unix(1767323045, 0))
	if n := acc.fields["unknown_formats"]; n != uint64(2) || acc.fields["decode_errors"] != uint64(0) || flows < 2 {
		t.Errorf("%v counted, %d flows, fields %v", n, flows, acc.fields)
	}
}

// fieldsOf keeps the fields of netflow_exporter.
type fieldsOf struct {
	decodingtest.Accumulator
	fields map[string]any
}

// AddFields implements telegraf.Accumulator.
func (a *fieldsOf) AddFields(name string, fields map[string]any, tags map[string]string, _ ...time.Time) {
	if name == flowmetric.ExporterMeasurement && tags["version"] == flow.SFlow.String() {
		a.fields = fields
	}
}
