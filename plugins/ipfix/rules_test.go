package ipfix_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestLabelsComeInOrder: an MPLS label that stands in a record again is the one below it, as
// some routers send element 70 for each; what there is no room for is kept as it was sent.
func TestLabelsComeInOrder(t *testing.T) {
	var fields []ipfix.FieldSpec
	record := ""
	for i := range 12 {
		fields = append(fields, f(70, 3))
		record += fmt.Sprintf("%06x", 0x100+i)
	}
	r := one(t, flow.Record{}, record, fields...)
	for i, label := range r.MPLS {
		if label != uint32(0x100+i) {
			t.Errorf("label %d is %x", i, label)
		}
	}
	if r.MPLSDepth != 10 || len(r.Extra) != 2 || r.Extra[0].Nth != 10 || r.Extra[1].Value[2] != 11 {
		t.Errorf("%d labels, kept are %v", r.MPLSDepth, r.Extra)
	}
	r = one(t, flow.Record{}, "000111"+"000222", f(78, 3), f(79, 3))
	if r.MPLS[8] != 0x111 || r.MPLS[9] != 0x222 || r.MPLSDepth != 10 || len(r.Extra) != 0 {
		t.Errorf("the last two: %x, %d, %v", r.MPLS, r.MPLSDepth, r.Extra)
	}
	r = one(t, flow.Record{}, "0111", f(70, 2))
	if r.MPLSDepth != 0 || r.Has(flow.MPLS) || len(r.Extra) != 1 {
		t.Errorf("a label of two bytes: %x, %v", r.MPLS, r.Extra)
	}
}

// TestOctetsOfOtherLengths: what has a length of its own is read in that alone, a text in
// any but none, and what is not read is kept.
func TestOctetsOfOtherLengths(t *testing.T) {
	for _, c := range []struct {
		id     uint16
		record string
		length uint16
		field  flow.Field
		want   string // "" where the field is not there
		kept   int
	}{
		{56, "010203040506", 6, flow.InSrcMAC, "010203040506", 0},
		{56, "0102030405", 5, flow.InSrcMAC, "", 1},
		{56, "01020304050607", 7, flow.InSrcMAC, "", 1},
		{56, "06010203040506", ipfix.Variable, flow.InSrcMAC, "010203040506", 0},
		{56, "050102030405", ipfix.Variable, flow.InSrcMAC, "", 1},
		{371, "61", 1, flow.User, "61", 0},
		{371, "616263", 3, flow.User, "616263", 0},
		{371, "0161", ipfix.Variable, flow.User, "61", 0},
		{371, "00", ipfix.Variable, flow.User, "", 0},
		{95, "0d000001", 4, flow.AppID, "0d000001", 0},
		{33000, strings.Repeat("07", 12), 12, flow.IngressACL, strings.Repeat("07", 12), 0},
		{33000, strings.Repeat("07", 11), 11, flow.IngressACL, "", 1},
	} {
		r := one(t, flow.Record{}, c.record, f(c.id, c.length))
		if got := hex.EncodeToString(r.Octets(c.field)); c.want != "" && got != c.want || c.want == "" &&
			strings.Trim(got, "0") != "" {
			t.Errorf("element %d of %s: %s is %s, want %q", c.id, c.record, c.field, got, c.want)
		}
		if len(r.Extra) != c.kept {
			t.Errorf("element %d of %s: %v is kept", c.id, c.record, r.Extra)
		}
	}
	long := strings.Repeat("61", 300) // longer than a step holds: only kept
	for _, length := range []uint16{255, 256, ipfix.Variable} {
		n := min(int(length), 300)
		record := long[:2*n]
		if length == ipfix.Variable {
			record = "ff012c" + record
		}
		r := one(t, flow.Record{}, record+"06", f(371, length), f(4, 1))
		wantKept := 1
		if length == 255 {
			wantKept = 0
		}
		if r.Proto != 6 || len(r.Extra) != wantKept || (len(r.User) == 255) != (length == 255) {
			t.Errorf("a name in %d bytes: %d bytes, %d kept", length, len(r.User), len(r.Extra))
		}
	}
}

// TestNamesOfTwoElements: of two elements for one text the first counts that is not empty.
func TestNamesOfTwoElements(t *testing.T) {
	v := ipfix.FieldSpec{ID: 371, Length: ipfix.Variable}
	old := ipfix.FieldSpec{ID: 40000, Length: ipfix.Variable}
	for record, want := range map[string]string{"0161" + "0162": "a", "00" + "0162": "b", "0161" + "00": "a",
		"00" + "00": ""} {
		if r := one(t, flow.Record{}, record, v, old); string(r.User) != want {
			t.Errorf("%s: %q, want %q", record, r.User, want)
		}
		swapped := map[string]string{"0161" + "0162": "a", "00" + "0162": "b", "0161" + "00": "a", "00" + "00": ""}
		if r := one(t, flow.Record{}, record, old, v); string(r.User) != swapped[record] {
			t.Errorf("%s the other way round: %q, want %q", record, r.User, swapped[record])
		}
	}
}

// TestOutCounters: where the counters before the observation point are zero, those behind it
// are the flow's, if both count from when on alike.
func TestOutCounters(t *testing.T) {
	for _, c := range []struct {
		name           string
		record         string
		fields         []ipfix.FieldSpec
		bytes, packets uint64
	}{
		{"both zero", "00000506", []ipfix.FieldSpec{f(1, 1), f(2, 1), f(23, 1), f(24, 1)}, 5, 6},
		{"octets alone behind", "00000500", []ipfix.FieldSpec{f(1, 1), f(2, 1), f(23, 1), f(24, 1)}, 5, 0},
		{"packets alone behind", "00000006", []ipfix.FieldSpec{f(1, 1), f(2, 1), f(23, 1), f(24, 1)}, 0, 6},
		{"packets before", "00010506", []ipfix.FieldSpec{f(1, 1), f(2, 1), f(23, 1), f(24, 1)}, 0, 1},
		{"octets before", "01000506", []ipfix.FieldSpec{f(1, 1), f(2, 1), f(23, 1), f(24, 1)}, 1, 0},
		{"totals behind", "00000506", []ipfix.FieldSpec{f(1, 1), f(2, 1), f(171, 1), f(172, 1)}, 0, 0},
		{"totals before", "00000506", []ipfix.FieldSpec{f(85, 1), f(86, 1), f(23, 1), f(24, 1)}, 5, 6},
		{"a total of octets behind", "00000506", []ipfix.FieldSpec{f(1, 1), f(2, 1), f(171, 1), f(24, 1)}, 0, 0},
		{"a total of packets behind", "00000506", []ipfix.FieldSpec{f(1, 1), f(2, 1), f(23, 1), f(172, 1)}, 0, 0},
		{"totals on both sides", "00000506", []ipfix.FieldSpec{f(85, 1), f(86, 1), f(171, 1), f(172, 1)}, 5, 6},
	} {
		r := one(t, flow.Record{}, c.record, c.fields...)
		if r.Bytes != c.bytes || r.Packets != c.packets {
			t.Errorf("%s: %d octets and %d packets, want %d and %d", c.name, r.Bytes, r.Packets, c.bytes, c.packets)
		}
	}
}

// TestTotalsOfVendors: CERT's counters of the other direction count from the begin of a flow
// (YAF, before RFC 5103), and no other element of theirs.
func TestTotalsOfVendors(t *testing.T) {
	cert := func(id uint16) ipfix.FieldSpec { return ipfix.FieldSpec{PEN: 6871, ID: id, Length: 8} }
	for id, want := range map[uint16]flow.Set{12: flow.SetOf(flow.RevBytes), 13: flow.SetOf(flow.RevPackets), 14: {},
		11: {}, 85: {}} {
		if got := template(t, 256, f(8, 4), cert(id)).Totals(); got != want {
			t.Errorf("element 6871/%d: totals %v, want %v", id, got, want)
		}
	}
	vendor := ipfix.FieldSpec{PEN: 9, ID: 85, Length: 8}
	if template(t, 256, vendor, f(1, 4)).CountsTotals() {
		t.Error("another vendor's element 85 is a total")
	}
}

// TestSamplersAreTold: a sampler's number that is not 0 is there, be it in the record or
// not; one of 0 is only where the record has it.
func TestSamplersAreTold(t *testing.T) {
	for _, c := range []struct {
		record string
		fields []ipfix.FieldSpec
		id     uint64
		has    bool
	}{{"0706", []ipfix.FieldSpec{f(48, 1), f(4, 1)}, 7, true}, {"0106", []ipfix.FieldSpec{f(48, 1), f(4, 1)}, 1, true},
		{"06", []ipfix.FieldSpec{f(4, 1)}, 0, false}, {"0706", []ipfix.FieldSpec{f(302, 1), f(4, 1)}, 7, true}} {
		r := one(t, flow.Record{}, c.record, c.fields...)
		if r.SamplerID != c.id || r.Has(flow.SamplerID) != c.has {
			t.Errorf("%s: sampler %d, %v", c.record, r.SamplerID, r.Has(flow.SamplerID))
		}
	}
}

// TestMoreOfTunnels: which of several addresses, ports and protocols are the tunnel's where
// a template has some twice. The order of the elements is that of the headers (RFC 7011,
// section 8).
func TestMoreOfTunnels(t *testing.T) {
	const out4, in4, zero4 = "c6336401c6336402", "c0000201c0000202", "0000000000000000"
	const out6 = "20010db8009100000000000000000001" + "20010db8009100000000000000000002"
	const in6 = "20010db8000000000000000000000001" + "20010db8000000000000000000000002"
	zero6 := strings.Repeat("0", 64)
	v4, v6 := []ipfix.FieldSpec{f(8, 4), f(12, 4)}, []ipfix.FieldSpec{f(27, 16), f(28, 16)}
	with := func(lists ...[]ipfix.FieldSpec) (all []ipfix.FieldSpec) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	vm := func(id, length uint16) ipfix.FieldSpec { return ipfix.FieldSpec{PEN: 6876, ID: id, Length: length} }
	src, dst, proto := []ipfix.FieldSpec{f(7, 2)}, []ipfix.FieldSpec{f(11, 2)}, []ipfix.FieldSpec{f(4, 1)}
	for _, c := range []struct {
		name        string
		record      string
		fields      []ipfix.FieldSpec
		src, tun    string
		sport, dprt uint16
		ts, td      uint16
		proto, tp   uint8
	}{
		{"both families outside, IPv4 used", zero6 + out4 + "04" + in6, with(v6, v4, proto, v6), "2001:db8::1",
			"198.51.100.1", 0, 0, 0, 0, 0, 4},
		{"both families outside, IPv6 used", out6 + zero4 + "29" + in6, with(v6, v4, proto, v6), "2001:db8::1",
			"2001:db8:91::1", 0, 0, 0, 0, 0, 41},
		{"the source port alone behind", out4 + "11" + in4 + "0457", with(v4, proto, v4, src), "192.0.2.1", "198.51.100.1",
			0x457, 0, 0, 0, 0, 17},
		{"the destination port alone behind", out4 + "11" + in4 + "0457", with(v4, proto, v4, dst), "192.0.2.1",
			"198.51.100.1", 0, 0x457, 0, 0, 0, 17},
		{"the protocol alone behind", out4 + in4 + "11", with(v4, v4, proto), "192.0.2.1", "198.51.100.1", 0, 0, 0, 0, 17, 0},
		{"ports again before the inner addresses", out4 + "0457" + "0001" + "04" + in4, with(v4, src, src, proto, v4),
			"192.0.2.1", "198.51.100.1", 1, 0, 0x457, 0, 0, 4},
		{"an inner header of zeros", out4 + "0457" + "06" + zero4, with(v4, src, proto, v4), "198.51.100.1", "", 0x457,
			0, 0, 0, 6, 0},
		{"VMware's, with a port of the tunnel", out4 + "0457" + "12b5" + "11" + in4 + "0001" + "0002" + "06" + "0063",
			with(v4, src, dst, proto, []ipfix.FieldSpec{vm(881, 4), vm(882, 4), vm(886, 2), vm(887, 2), vm(880, 1), vm(896, 2)}),
			"192.0.2.1", "198.51.100.1", 1, 2, 0x63, 0, 6, 17},
		{"VMware's, with the other port", out4 + "0457" + "12b5" + "11" + in4 + "0001" + "0002" + "06" + "0063",
			with(v4, src, dst, proto, []ipfix.FieldSpec{vm(881, 4), vm(882, 4), vm(886, 2), vm(887, 2), vm(880, 1), vm(897, 2)}),
			"192.0.2.1", "198.51.100.1", 1, 2, 0, 0x63, 6, 17},
		{"VMware's", out4 + "0457" + "12b5" + "11" + in4 + "0001" + "0002" + "06",
			with(v4, src, dst, proto, []ipfix.FieldSpec{vm(881, 4), vm(882, 4), vm(886, 2), vm(887, 2), vm(880, 1)}),
			"192.0.2.1", "198.51.100.1", 1, 2, 0x457, 0x12b5, 6, 17},
		{"VMware's, in no tunnel", out4 + "0457" + "12b5" + "11" + zero4 + "0000" + "0000" + "00",
			with(v4, src, dst, proto, []ipfix.FieldSpec{vm(881, 4), vm(882, 4), vm(886, 2), vm(887, 2), vm(880, 1)}),
			"198.51.100.1", "", 0x457, 0x12b5, 0, 0, 17, 0},
	} {
		r := one(t, flow.Record{}, c.record, c.fields...)
		if r.Src != netip.MustParseAddr(c.src) || c.tun != "" && r.TunSrc != netip.MustParseAddr(c.tun) ||
			r.Has(flow.TunSrc) != (c.tun != "") || r.TunSrc.IsValid() != (c.tun != "") {
			t.Errorf("%s: %s in %s, want %s in %s", c.name, r.Src, r.TunSrc, c.src, c.tun)
		}
		if got, want := [4]uint16{r.SrcPort, r.DstPort, r.TunSrcPort, r.TunDstPort}, [4]uint16{c.sport, c.dprt, c.ts,
			c.td}; got != want {
			t.Errorf("%s: ports %d, want %d", c.name, got, want)
		}
		if r.Proto != c.proto || r.TunProto != c.tp {
			t.Errorf("%s: protocol %d in %d, want %d in %d", c.name, r.Proto, r.TunProto, c.proto, c.tp)
		}
	}
}

// TestAgainWithoutATunnel: flags, classes of service or MACs that come again make no tunnel,
// and are kept.
func TestAgainWithoutATunnel(t *testing.T) {
	for _, spec := range []ipfix.FieldSpec{f(6, 1), f(5, 1), f(56, 6), f(80, 6)} {
		n := int(spec.Length)
		r := one(t, flow.Record{}, strings.Repeat("01", n)+"c0000201"+strings.Repeat("02", n), spec, f(8, 4), spec)
		if r.Src != netip.MustParseAddr("192.0.2.1") || r.Has(flow.TunSrc) || len(r.Extra) != 1 || r.Extra[0].ID != spec.ID ||
			r.Extra[0].Nth != 1 || r.Extra[0].Value[0] != 2 {
			t.Errorf("element %d again: %s, tunnel %v, kept %v", spec.ID, r.Src, r.Has(flow.TunSrc), r.Extra)
		}
		if first := r.Value(flow.Uses(0, spec.ID)[0].Field).Lo & 0xff; first != 1 {
			t.Errorf("element %d: the first is not the flow's, but %d", spec.ID, first)
		}
	}
}

// TestListsThatEnd: where a list in a record contradicts itself, the error says which, and
// what was expected; a list of no bytes is none.
func TestListsThatEnd(t *testing.T) {
	four := template(t, 300, f(8, 4))
	for _, c := range []struct {
		name   string
		id     uint16
		value  string
		want   string // of the error
		nested int
	}{
		{"no bytes", ipfix.BasicList, "", "", 0},
		{"a basicList of nothing", ipfix.BasicList, "03" + "000e0004", "", 0},
		{"a basicList cut in its element", ipfix.BasicList, "03" + "000e", "element 291 of 3 bytes", 0},
		{"a vendor's, cut in the number", ipfix.BasicList, "03" + "83780002" + "00001a", "element 291 of 8 bytes", 0},
		{"a vendor's", ipfix.BasicList, "03" + "83780002" + "00001adc" + "0001", "", 1},
		{"a vendor's of an odd number", ipfix.BasicList, "03" + "83790002" + "00001adc" + "0001", "", 1},
		{"an element cut", ipfix.BasicList, "03" + "000e0004" + "00000001" + "0000",
			"basicList of element 0/14 egressInterface(4): expected another one, got 2 bytes", 1},
		{"elements of no bytes", ipfix.BasicList, "03" + "000e0000" + "01", "expected another one, got 1 bytes", 0},
		{"a subTemplateList cut", ipfix.SubTemplateList, "03" + "01", "element 292 of 2 bytes", 0},
		{"of a template not known", ipfix.SubTemplateList, "03" + "012d" + "c0000201", "element 292: no template 301 yet", 0},
		{"of a template not known, empty", ipfix.SubTemplateList, "03" + "012d", "", 0},
		{"one byte of one not known", ipfix.SubTemplateList, "03" + "012d" + "00", "element 292: no template 301 yet", 0},
		{"of one known, padded", ipfix.SubTemplateList, "03" + "012c" + "c0000201" + "000000", "", 1},
		{"a multi list of length 4", ipfix.SubTemplateMultiList, "03" + "012c0004", "", 0},
		{"of length 3", ipfix.SubTemplateMultiList, "03" + "012c0003" + "c0000201",
			"records of template 300 in a subTemplateMultiList: expected a length of at least 4, got 3", 0},
		{"of a length beyond", ipfix.SubTemplateMultiList, "03" + "012c0009" + "c0000201", "element 293 of 9 bytes", 0},
		{"cut in its header", ipfix.SubTemplateMultiList, "03" + "012c00", "element 293 of 4 bytes", 0},
		{"twice", ipfix.SubTemplateMultiList, "03" + "012c0008" + "c0000201" + "012c0008" + "c0000202", "", 2},
	} {
		value, err := hex.DecodeString(c.value)
		if err != nil {
			t.Fatal(err)
		}
		tmpl := template(t, 256, f(c.id, ipfix.Variable), f(4, 1))
		d := ipfix.RecordDecoder{Templates: known{300: four}}
		var r flow.Record
		b := append(append([]byte{byte(len(value))}, value...), 6)
		if n, err := d.Decode(tmpl, &r, b); err != nil || n != len(b) || r.Proto != 6 {
			t.Errorf("%s: %d of %d bytes, %v", c.name, n, len(b), err)
		}
		if err := d.ListErr(); (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, ipfix.ErrList) ||
			!strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if len(r.Nested) != c.nested {
			t.Errorf("%s: %d elements, want %d", c.name, len(r.Nested), c.nested)
		}
	}
}

// TestLabelsInLists: a stack of labels in a list is the record's; there is room for ten.
func TestLabelsInLists(t *testing.T) {
	for n := range 13 {
		values := make([][]byte, n)
		for i := range values {
			values[i] = []byte{0, 1, byte(i)}
		}
		list := ipfix.AppendBasicList(nil, flow.Ordered, f(70, 3), values...)
		tmpl := template(t, 256, f(ipfix.BasicList, uint16(len(list))))
		var r flow.Record
		if _, err := new(ipfix.RecordDecoder).Decode(tmpl, &r, list); err != nil {
			t.Fatal(err)
		}
		if want := min(n, 10); int(r.MPLSDepth) != want || r.Has(flow.MPLS) != (n > 0) || len(r.Nested) != n {
			t.Errorf("%d labels: %d in the stack, %v", n, r.MPLSDepth, r.Has(flow.MPLS))
		}
		for i := range r.MPLSDepth {
			if r.MPLS[i] != 0x100+uint32(i) {
				t.Errorf("label %d of %d is %x", i, n, r.MPLS[i])
			}
		}
	}
}

// TestPacketsOfSections: only IANA's elements carry packets, and of two the frame is taken;
// the length of the frame, then that of IP, beats what the packet says.
func TestPacketsOfSections(t *testing.T) {
	ip := "4500012c" + "00004000" + "40110000" + "c0000201" + "c0000202" + "00350400" + "01180000"
	frame := "00005e005301" + "00005e005302" + "0800" + ip
	v := func(id uint16, text string) (ipfix.FieldSpec, string) { return f(id, uint16(len(text)/2)), text }
	packet, packetText := v(313, ip)
	link, linkText := v(315, frame)
	for _, c := range []struct {
		name   string
		record string
		fields []ipfix.FieldSpec
		bytes  uint64
		mac    bool
	}{
		{"a packet", packetText, []ipfix.FieldSpec{packet}, 300, false},
		{"a frame", linkText, []ipfix.FieldSpec{link}, 314, true},
		{"both", packetText + linkText, []ipfix.FieldSpec{packet, link}, 314, true},
		{"both, the frame before", linkText + packetText, []ipfix.FieldSpec{link, packet}, 314, true},
		{"a length of IP", packetText + "0777", []ipfix.FieldSpec{packet, f(224, 2)}, 0x777, false},
		{"a length of the frame", linkText + "0778", []ipfix.FieldSpec{link, f(312, 2)}, 0x778, true},
		{"both lengths", "0777" + linkText + "0778", []ipfix.FieldSpec{f(224, 2), link, f(312, 2)}, 0x778, true},
		{"both lengths, IP's last", "0778" + linkText + "0777", []ipfix.FieldSpec{f(312, 2), link, f(224, 2)}, 0x778, true},
		{"a vendor's element", linkText + "06", []ipfix.FieldSpec{{PEN: 9, ID: 315, Length: link.Length}, f(4, 1)}, 0, false},
		{"octets of the record's own", packetText + "09", []ipfix.FieldSpec{packet, f(1, 1)}, 9, false},
	} {
		r := one(t, flow.Record{}, c.record, c.fields...)
		if r.Bytes != c.bytes || (r.InSrcMAC != [6]byte{}) != c.mac || (r.Sample != nil) != (c.bytes != 0) {
			t.Errorf("%s: %d octets, MAC %x, %+v", c.name, r.Bytes, r.InSrcMAC, r.Sample)
		}
		if c.bytes != 0 && (r.Packets != 1 || r.Src != netip.MustParseAddr("192.0.2.1") || r.SrcPort != 53) {
			t.Errorf("%s: %d packets of %s, port %d", c.name, r.Packets, r.Src, r.SrcPort)
		}
	}
}
