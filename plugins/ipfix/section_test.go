package ipfix

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// TestSections decodes packets in the elements 315, 313 and 104, of fixed and
// variable length, and with more bytes than a step can hold.
func TestSections(t *testing.T) {
	in := flow.Record{Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2"), SrcPort: 53, DstPort: 1024, Proto: 17, Bytes: 300}
	frame := append(sflow.AppendPacket(nil, &in), make([]byte, 300)...)
	for _, c := range []struct {
		id, length uint16
		value      []byte
		size       bool
		want       uint64
	}{
		{315, Variable, frame, true, 1234},
		{315, 96, frame[:96], false, 354},
		{315, 300, frame[:300], false, 354},
		{313, Variable, frame[14:200], false, 340},
		{104, 64, frame[:64], true, 1234},
	} {
		fields := []FieldSpec{{ID: 10, Length: 4}, {ID: c.id, Length: c.length}}
		r := flow.Record{Input: 7, Extra: []flow.Element{{ID: c.id, Value: c.value}, {ID: 312, Value: []byte{4, 210}}}}
		if c.size {
			fields = append(fields, FieldSpec{ID: 312, Length: 2})
		}
		tmpl, err := NewTemplate(256, fields)
		if err != nil {
			t.Fatal(err)
		}
		var got flow.Record
		var d RecordDecoder
		b := encodeOne(tmpl, &r)
		if _, err := d.Decode(tmpl, &got, b); err != nil {
			t.Fatal(err)
		}
		if got.Src != in.Src || got.Dst != in.Dst || got.SrcPort != 53 || got.DstPort != 1024 || got.Proto != 17 || got.Packets != 1 ||
			got.Bytes != c.want || got.Input != 7 || got.Sample == nil || got.Sample.Kind != flow.SampleSection {
			t.Errorf("element %d of %d bytes: got %+v", c.id, c.length, got)
		}
	}
}

// encodeOne returns the bytes of one record.
func encodeOne(tmpl *Template, r *flow.Record) []byte {
	var b []byte
	for _, f := range tmpl.Fields {
		b = appendField(b, f, r, clock{})
	}
	return b
}
