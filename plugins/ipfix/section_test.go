package ipfix

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/packet"
)

// TestSections decodes packets in the elements 315, 313 and 104, of fixed and
// variable length, and with more bytes than a step can hold.
func TestSections(t *testing.T) {
	in := flow.Record{Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2"), SrcPort: 53,
		DstPort: 1024, Proto: 17, Bytes: 300}
	frame := append(packet.Append(nil, &in), make([]byte, 300)...)
	for _, c := range []struct {
		id, length uint16
		value      []byte
		size       bool
		want       uint64
	}{
		{315, Variable, frame, true, 1234},
		{315, 96, frame[:96], false, 14 + 300},
		{315, 300, frame[:300], false, 14 + 300},
		{313, Variable, frame[14:200], false, 300},
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
		if got.Src != in.Src || got.Dst != in.Dst || got.SrcPort != 53 || got.DstPort != 1024 || got.Proto != 17 ||
			got.Packets != 1 ||
			got.Bytes != c.want || got.Input != 7 || got.Sample == nil || got.Sample.Kind != flow.SampleSection {
			t.Errorf("element %d of %d bytes: got %+v", c.id, c.length, got)
		}
	}
}

// TestSectionsWithoutLength takes the length of a packet from its IP header, behind
// whatever the link has before it; labels and other protocols are none.
func TestSectionsWithoutLength(t *testing.T) {
	in := flow.Record{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SrcPort: 53,
		DstPort: 1024, Proto: 17, Bytes: 300}
	frame := packet.Append(nil, &in)
	macs, ip := frame[:12], frame[14:]
	for _, c := range []struct {
		name  string
		frame []byte
		want  uint64
	}{
		{"Ethernet", frame, 314},
		{"a tag", slices.Concat(macs, []byte{0x81, 0, 0, 7, 8, 0}, ip), 318},
		{"three tags", slices.Concat(macs, []byte{0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7, 8, 0}, ip), 326},
		{"two labels from 262144", slices.Concat(macs, []byte{0x88, 0x47, 0x49, 0x30, 0x50, 64, 0x49, 0x30, 0x61, 64},
			ip), 322},
		{"PPPoE", slices.Concat(macs, []byte{0x88, 0x64, 0x11, 0, 0, 1, 1, 46, 0, 0x21}, ip), 322},
		{"ARP-like", slices.Concat(macs, []byte{0x88, 0xb5, 0x45, 0, 9, 9, 9, 9, 9, 9}), 0},
		{"a pseudowire", slices.Concat(macs, []byte{0x88, 0x47, 0, 1, 0x11, 64, 0, 0, 0, 0}, frame), 0},
		{"no byte behind its length", frame[:14+6], 314},
		{"a length that is cut off", frame[:14+5], 0},
		{"labels that are cut off", slices.Concat(macs, []byte{0x88, 0x47, 0x49, 0x30, 0x50, 64, 0x49}), 0},
	} {
		tmpl, err := NewTemplate(256, []FieldSpec{{ID: frameSection, Length: Variable}})
		if err != nil {
			t.Fatal(err)
		}
		var got flow.Record
		var d RecordDecoder
		if _, err := d.Decode(tmpl, &got, encodeOne(tmpl,
			&flow.Record{Extra: []flow.Element{{ID: frameSection, Value: c.frame}}})); err != nil {
			t.Fatal(err)
		}
		if got.Bytes != c.want || got.Packets != 1 || got.Has(flow.Bytes) != (c.want != 0) {
			t.Errorf("%s: got %d bytes, want %d", c.name, got.Bytes, c.want)
		}
	}
}

// TestTunnelsInSections sends packets in tunnels in the elements 315 and 313: they go
// through the same dissector as sFlow's (see TestDissect of package sflow).
func TestTunnelsInSections(t *testing.T) {
	inner := flow.Record{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), SrcPort: 1024,
		DstPort: 80, Proto: 6, Bytes: 200}
	frame := packet.Append(nil, &inner) // Ethernet, IPv4, TCP
	outer := func(proto uint8, dst uint16) []byte {
		r := flow.Record{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SrcPort: 50000,
			DstPort: dst, Proto: proto, Bytes: 300}
		return packet.Append(nil, &r)
	}
	const ethernet, ip = 14, 20
	for _, c := range []struct {
		name  string
		frame []byte
		vni   uint64
	}{
		{"VXLAN", slices.Concat(outer(17, 4789), []byte{8, 0, 0, 0, 0, 0x13, 0x89, 0}, frame), 5001},
		{"GRE", slices.Concat(outer(47, 0)[:ethernet+ip], []byte{0, 0, 8, 0}, frame[ethernet:]), 0},
		{"IP in IP", slices.Concat(outer(4, 0)[:ethernet+ip], frame[ethernet:]), 0},
		{"QinQ and MPLS", slices.Concat(frame[:12], []byte{0x88, 0xa8, 0, 5, 0x81, 0, 0, 7, 0x88, 0x47, 0, 1, 0x11, 64},
			frame[ethernet:]), 0},
	} {
		for _, id := range []uint16{frameSection, ipHeaderSection} {
			packet := c.frame
			if id == ipHeaderSection {
				if c.name == "QinQ and MPLS" {
					continue
				}
				packet = packet[ethernet:]
			}
			tmpl, err := NewTemplate(256, []FieldSpec{{ID: id, Length: Variable}})
			if err != nil {
				t.Fatal(err)
			}
			var got flow.Record
			var d RecordDecoder
			if _, err := d.Decode(tmpl, &got,
				encodeOne(tmpl, &flow.Record{Extra: []flow.Element{{ID: id, Value: packet}}})); err != nil {
				t.Fatal(err)
			}
			tunnel := c.name != "QinQ and MPLS"
			if got.Src != inner.Src || got.DstPort != 80 || got.Proto != 6 || got.Has(flow.TunSrc) != tunnel ||
				got.SegmentID != c.vni || got.Packets != 1 {
				t.Errorf("%s in element %d: got %+v", c.name, id, got)
			}
			if !tunnel && (got.SrcVLAN != 7 || got.Sample.OuterVLAN != 5 || got.MPLSDepth != 1) {
				t.Errorf("%s: got VLAN %d, outer %d, %d labels", c.name, got.SrcVLAN, got.Sample.OuterVLAN,
					got.MPLSDepth)
			}
		}
	}
}

// encodeOne returns the bytes of one record.
func encodeOne(tmpl *Template, r *flow.Record) []byte {
	var b []byte
	for _, f := range tmpl.Fields {
		b = appendField(b, f, 0, useOf(f), r, clock{})
	}
	return b
}
