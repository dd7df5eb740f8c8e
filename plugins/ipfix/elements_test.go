package ipfix_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// numberElements are elements whose value is a number, with the size that IANA's registry
// or the vendor gives them and the field that a user finds them in.
var numberElements = []struct {
	pen   uint32
	id    uint16
	size  int
	field flow.Field
}{
	{0, 1, 8, flow.Bytes}, {0, 2, 8, flow.Packets}, {0, 3, 8, flow.Flows}, {0, 4, 1, flow.Proto},
	{0, 5, 1, flow.SrcTOS}, {0, 6, 2, flow.TCPFlags}, {0, 7, 2, flow.SrcPort}, {0, 9, 1, flow.SrcMask},
	{0, 10, 4, flow.Input}, {0, 11, 2, flow.DstPort}, {0, 13, 1, flow.DstMask}, {0, 14, 4, flow.Output},
	{0, 16, 4, flow.SrcAS}, {0, 17, 4, flow.DstAS}, {0, 29, 1, flow.SrcMask}, {0, 30, 1, flow.DstMask},
	{0, 32, 2, flow.ICMP}, {0, 38, 1, flow.EngineType}, {0, 39, 1, flow.EngineID}, {0, 48, 8, flow.SamplerID},
	{0, 52, 1, flow.MinTTL}, {0, 53, 1, flow.MaxTTL}, {0, 55, 1, flow.DstTOS}, {0, 58, 2, flow.SrcVLAN},
	{0, 59, 2, flow.DstVLAN}, {0, 60, 1, flow.IPVersion}, {0, 61, 1, flow.Direction}, {0, 89, 1, flow.FwdStatus},
	{0, 128, 4, flow.NextAS}, {0, 129, 4, flow.PrevAS}, {0, 136, 1, flow.EndReason},
	{0, 138, 8, flow.ObservationPoint}, {0, 139, 2, flow.ICMP}, {0, 148, 8, flow.FlowID}, {0, 180, 2, flow.SrcPort},
	{0, 181, 2, flow.DstPort}, {0, 182, 2, flow.SrcPort}, {0, 183, 2, flow.DstPort}, {0, 197, 1, flow.FragFlags},
	{0, 227, 2, flow.XlateSPort}, {0, 228, 2, flow.XlateDPort}, {0, 230, 1, flow.NATEvent},
	{0, 231, 8, flow.Bytes}, {0, 232, 8, flow.RevBytes}, {0, 233, 1, flow.FwEvent}, {0, 234, 4, flow.IngressVRF},
	{0, 235, 4, flow.EgressVRF}, {0, 239, 1, flow.BiflowDir}, {0, 252, 4, flow.Input}, {0, 253, 4, flow.Output},
	{0, 283, 4, flow.NATPool}, {0, 298, 8, flow.Packets}, {0, 299, 8, flow.RevPackets}, {0, 302, 8, flow.SamplerID},
	{0, 351, 8, flow.SegmentID}, {0, 352, 8, flow.Bytes},
	{29305, 1, 8, flow.RevBytes}, {29305, 2, 8, flow.RevPackets},
	{6876, 888, 2, flow.EgressAttr}, {6876, 890, 2, flow.IngressAttr}, {6876, 895, 1, flow.TunProto},
	{6876, 896, 2, flow.TunSrcPort}, {6876, 897, 2, flow.TunDstPort},
}

// Each element fills the field of its meaning, in every size that reduced-size encoding
// (RFC 7011, section 6.2) allows, alone and between others, for the first record and those
// that follow it: math/big reads the same bytes.
func TestElementsFillTheirFields(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, c := range numberElements {
		for size := 1; size <= c.size; size++ {
			tmpl := template(t, 256, f(56, 6), ipfix.FieldSpec{PEN: c.pen, ID: c.id, Length: uint16(size)}, f(57, 6))
			var d ipfix.RecordDecoder
			var r flow.Record
			for i := range 4 {
				b := bytes.Repeat([]byte{0xee}, 12+size)
				for j := range size {
					b[6+j] = byte(rng.Uint32())
				}
				b[6+size-1] |= 1 // not zero
				decodeOne := d.Next
				if i == 0 {
					decodeOne = d.Decode
				}
				n, err := decodeOne(tmpl, &r, b)
				want := new(big.Int).SetBytes(b[6 : 6+size]).Uint64()
				if err != nil || n != len(b) || r.Number(c.field) != want || !r.Has(c.field) {
					t.Fatalf("%d/%d in %d bytes %x: %s is %d (present: %v), want %d; %d bytes read, %v", c.pen, c.id,
						size, b[6:6+size], c.field, r.Number(c.field), r.Has(c.field), want, n, err)
				}
			}
		}
	}
}

// Numbers are written back in every size as they were read: what replay and the archive
// send is what the exporter sent.
func TestNumbersAreWrittenBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, c := range numberElements {
		for size := 1; size <= c.size; size++ {
			tmpl := template(t, 256, ipfix.FieldSpec{PEN: c.pen, ID: c.id, Length: uint16(size)}, f(56, 6))
			b := make([]byte, size, size+6)
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
			b[size-1] |= 1
			b = append(b, 1, 2, 3, 4, 5, 6)
			var d ipfix.RecordDecoder
			var r flow.Record
			if _, err := d.Decode(tmpl, &r, b); err != nil {
				t.Fatal(err)
			}
			var e ipfix.Encoder
			e.Begin(nil, exported)
			if n := e.AddData(tmpl, []flow.Record{r}); n != 1 {
				t.Fatalf("%d/%d: %d records", c.pen, c.id, n)
			}
			if got := e.End()[ipfix.HeaderLen+4:]; !bytes.HasPrefix(got, b) {
				t.Errorf("%d/%d in %d bytes: %x is written back as %x", c.pen, c.id, size, b, got)
			}
		}
	}
}

// A text in a fixed length keeps its beginning, a number its end, and either is filled
// with zeros: RFC 7011, sections 6.1.1 and 6.1.6. In a variable length the length stands
// before it, in one byte below 255, in three from there on (section 7).
func TestLengthsOfValues(t *testing.T) {
	long := strings.Repeat("x", 300)
	three := func(n int) string { return string([]byte{255, byte(n >> 8), byte(n)}) }
	for _, c := range []struct {
		spec  ipfix.FieldSpec
		value string
		want  string
	}{
		{f(371, 8), "alice", "alice\x00\x00\x00"},
		{f(371, 3), "alice", "ali"},
		{f(371, 5), "alice", "alice"},
		{f(371, 65535), "alice", "\x05alice"},
		{f(371, 65535), "", "\x00"},
		{f(371, 65535), long[:254], "\xfe" + long[:254]},
		{f(371, 65535), long[:255], three(255) + long[:255]},
		{f(371, 65535), long, three(300) + long},
		{f(313, 4), "\x01\x02", "\x01\x02\x00\x00"},                        // octets
		{f(34, 4), "\x01\x02", "\x00\x00\x01\x02"},                         // a number
		{f(34, 1), "\x01\x02", "\x02"},                                     // a number
		{f(34, 2), "\x01\x02", "\x01\x02"},                                 // a number
		{ipfix.FieldSpec{PEN: 4711, ID: 1, Length: 4}, "ab", "ab\x00\x00"}, // nobody knows what
	} {
		option := c.spec
		option.Scope = true
		tmpl := template(t, 256, option, f(149, 4))
		var e ipfix.Encoder
		e.Begin(nil, exported)
		rec := flow.OptionRecord{Scope: []flow.Element{{PEN: c.spec.PEN, ID: c.spec.ID, Value: []byte(c.value)}},
			Fields: []flow.Element{{ID: 149, Value: []byte{9, 8, 7, 6}}}}
		if n := e.AddOptions(tmpl, []flow.OptionRecord{rec}); n != 1 {
			t.Fatalf("%d records", n)
		}
		if got := string(e.End()[ipfix.HeaderLen+4:]); !strings.HasPrefix(got, c.want+"\x09\x08\x07\x06") {
			t.Errorf("%q as %d in %d bytes: %q, want %q", c.value, c.spec.ID, c.spec.Length, got, c.want)
		}
	}
}

// No set and no datagram is longer than its length field or its limit says, whatever the
// limit is; what does not fit is left for the next, and nothing of it is written.
func TestDatagramsStayBelowTheirLimit(t *testing.T) {
	tmpl := template(t, 256, f(371, 1000), f(1, 8))
	recs := make([]flow.Record, 100)
	for _, limit := range []int{0, 1028, 1027, 1400, 5000, 65000, 65535, 70000, 1 << 20} {
		e := ipfix.Encoder{}
		e.Limit = limit
		e.Begin([]byte("before"), exported)
		n := e.AddData(tmpl, recs)
		got := e.End()[len("before"):]
		limit = min(limit, 65532) // with room for padding
		if limit == 0 {
			limit = ipfix.DefaultLimit
		}
		want := min((limit-ipfix.HeaderLen-4)/1008, 100)
		if n != want {
			t.Errorf("limit %d: %d records, want %d", limit, n, want)
		}
		if len(got) > limit {
			t.Errorf("limit %d: %d bytes", limit, len(got))
		}
		if n == 0 {
			if len(got) != ipfix.HeaderLen {
				t.Errorf("limit %d: %d bytes for no record", limit, len(got))
			}
			continue
		}
		set := got[ipfix.HeaderLen:]
		if size := int(binary.BigEndian.Uint16(set[2:])); size != len(set) || size < 4+n*1008 {
			t.Errorf("limit %d: a set of %d bytes says %d", limit, len(set), size)
		}
	}
}

// A message withdraws its templates as RFC 7011, section 8.1, draws it, and what has been
// received is sent on as it was.
func TestWithdrawalsAndRawRecords(t *testing.T) {
	e := ipfix.Encoder{Domain: 5}
	e.Begin(nil, flow.Time(0x69573320)*1e9)
	e.Withdraw(256, 300)
	e.AddRecord(template(t, 256, f(8, 4)), []byte{192, 0, 2, 1})
	e.AddRecord(template(t, 257, f(4, 1)), []byte{17})
	got := e.End()
	want := []byte{0, 10, 0, 41, 0x69, 0x57, 0x33, 0x20, 0, 0, 0, 0, 0, 0, 0, 5,
		0, 2, 0, 12, 1, 0, 0, 0, 1, 44, 0, 0,
		1, 0, 0, 8, 192, 0, 2, 1,
		1, 1, 0, 5, 17} // no padding: it would be a record
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
	if e.Sequence != 2 {
		t.Errorf("sequence %d behind two records", e.Sequence)
	}
}

// The walk over sets ends where it must and says at which byte something is wrong: the
// offsets are those of a capture.
func TestSetsSayWhere(t *testing.T) {
	for name, c := range map[string]struct {
		body  []byte
		sizes []int
		want  string
	}{
		"two":          {[]byte{1, 0, 0, 6, 9, 9, 1, 1, 0, 4}, []int{2, 0}, ""},
		"zeros behind": {[]byte{1, 0, 0, 6, 9, 9, 0, 0, 0, 0, 0, 0}, []int{2}, ""},
		"too long": {[]byte{1, 0, 0, 6, 9, 9, 1, 1, 0, 9, 7}, []int{2, 1},
			"set 257 at byte 6: expected 9 bytes, got 5"},
		"too short": {[]byte{1, 0, 0, 6, 9, 9, 1, 1, 0, 3, 7}, []int{2},
			"set 257 at byte 6: expected a length of at least 4"},
		"half a header": {[]byte{1, 0, 0, 6, 9, 9, 1, 1, 0}, []int{2},
			"set at byte 6: expected a header of 4 bytes, got 3"},
		"half, of zeros": {[]byte{1, 0, 0, 6, 9, 9, 0, 0, 0}, []int{2}, ""},
		"nothing":        {nil, nil, ""},
	} {
		sets := ipfix.NewSets(c.body)
		var sizes []int
		for {
			set, ok := sets.Next()
			if !ok {
				break
			}
			sizes = append(sizes, len(set.Body))
		}
		if len(sizes) != len(c.sizes) || len(sizes) > 0 && sizes[len(sizes)-1] != c.sizes[len(sizes)-1] {
			t.Errorf("%s: sets of %d bytes, want %d", name, sizes, c.sizes)
		}
		if err := sets.Err(); c.want == "" && err != nil || c.want != "" && (err == nil ||
			!strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Of two messages in a datagram the second is cut off and told, with the byte where it
// begins; an exporter that counts its own length wrong loses nothing.
func TestASecondMessageIsCutOff(t *testing.T) {
	head := func(length byte) []byte {
		return []byte{0, 10, 0, length, 1, 2, 3, 4, 0, 0, 0, 5, 0, 0, 0, 6}
	}
	set := []byte{1, 0, 0, 6, 9, 9}
	one := append(head(22), set...)
	two := append(bytes.Clone(one), one...)
	h, sets, err := ipfix.ParseHeader(two)
	if !errors.Is(err, ipfix.ErrLength) || !strings.Contains(err.Error(), "at byte 22 of 44") ||
		!bytes.Equal(sets, set) || h.Sequence != 5 || h.Domain != 6 || h.Exported != 0x01020304 {
		t.Errorf("two messages: %+v, %x, %v", h, sets, err)
	}
	for _, length := range []byte{0, 15, 16, 20, 22, 24, 255} {
		b := append(head(length), set...)
		if _, sets, err := ipfix.ParseHeader(b); err != nil || !bytes.Equal(sets, set) {
			t.Errorf("a length of %d in 22 bytes: %x, %v", length, sets, err)
		}
	}
	if _, _, err := ipfix.ParseHeader(two[:15]); !errors.Is(err, wire.ErrShort) {
		t.Errorf("15 bytes: %v", err)
	}
	two[1] = 9
	if _, _, err := ipfix.ParseHeader(two); err == nil || !strings.Contains(err.Error(), "expected version 10, got 9") {
		t.Errorf("version 9: %v", err)
	}
}

// A record that is cut anywhere is an error that says so, and no half of it is a flow.
func TestRecordsCutAnywhere(t *testing.T) {
	for name, fields := range map[string][]ipfix.FieldSpec{
		"fixed": {f(8, 4), f(12, 4), f(1, 8), f(2, 8)}, "variable": {f(8, 4), f(371, ipfix.Variable), f(1, 8)},
		"long":       {f(371, ipfix.Variable), f(313, ipfix.Variable)},
		"everything": fullFields(),
	} {
		tmpl := template(t, 256, fields...)
		r := full()
		r.User = bytes.Repeat([]byte("u"), 300)
		var e ipfix.Encoder
		e.Begin(nil, exported)
		if e.AddData(tmpl, []flow.Record{r}) != 1 {
			t.Fatal("no record")
		}
		b := e.End()[ipfix.HeaderLen+4:]
		d := ipfix.RecordDecoder{}
		var got flow.Record
		whole, err := d.Decode(tmpl, &got, b)
		if err != nil || whole > len(b) {
			t.Fatalf("%s: %d bytes, %v", name, whole, err)
		}
		for n := range whole {
			if k, err := d.Decode(tmpl, &got, b[:n:n]); !errors.Is(err, wire.ErrShort) {
				t.Fatalf("%s: %d of %d bytes are a record of %d, %v", name, n, whole, k, err)
			}
			if k, err := d.Next(tmpl, &got, b[:n:n]); !errors.Is(err, wire.ErrShort) {
				t.Fatalf("%s: %d of %d bytes are the next record, of %d, %v", name, n, whole, k, err)
			}
		}
	}
}

// What an exporter sends as two bytes apart is one number: ICMP's type and code (elements
// 176 to 179), whichever comes first.
func TestTypeAndCodeApart(t *testing.T) {
	for _, c := range []struct {
		fields []ipfix.FieldSpec
		record string
		proto  uint8
	}{
		{[]ipfix.FieldSpec{f(4, 1), f(176, 1), f(177, 1)}, "010304", 1},
		{[]ipfix.FieldSpec{f(177, 1), f(176, 1), f(4, 1)}, "040301", 1},
		{[]ipfix.FieldSpec{f(4, 1), f(178, 1), f(179, 1)}, "3a0304", 58},
		{[]ipfix.FieldSpec{f(4, 1), f(178, 2), f(179, 2)}, "3a00030004", 58},
		{[]ipfix.FieldSpec{f(4, 1), f(32, 2)}, "010304", 1},
	} {
		r := one(t, flow.Record{}, c.record, c.fields...)
		if r.ICMP != 0x0304 || r.DstPort != 0x0304 || r.Proto != c.proto || !r.Has(flow.ICMP) {
			t.Errorf("%v: type and code %#x, port %#x", c.fields, r.ICMP, r.DstPort)
		}
	}
}

// What VMware's switches say of a tenant's flow is the flow, and the hosts' own addresses
// are its tunnel, with type of service, flags and MAC addresses of the right header.
func TestWhichHeaderHasWhat(t *testing.T) {
	addrs := "c6336401" + "c6336402" + "c0000201" + "c0000202"
	fields := []ipfix.FieldSpec{f(8, 4), f(12, 4), f(8, 4), f(12, 4)}
	r := one(t, flow.Record{}, "b8"+"02"+addrs+"28"+"12", append(append([]ipfix.FieldSpec{f(5, 1), f(6, 1)}, fields...),
		f(5, 1), f(6, 1))...)
	if r.SrcTOS != 0x28 || r.TCPFlags != 0x12 {
		t.Errorf("type of service %#x and flags %#x are those of the outer header", r.SrcTOS, r.TCPFlags)
	}
	r = one(t, flow.Record{}, "b8"+addrs, append([]ipfix.FieldSpec{f(5, 1)}, fields...)...)
	if r.SrcTOS != 0xb8 {
		t.Errorf("type of service %#x, of one header only", r.SrcTOS)
	}
	for zeros, want := range map[string][2]string{
		"00000000" + "00000000": {"198.51.100.1", "198.51.100.2"}, // in no tunnel
		"c0000201" + "00000000": {"192.0.2.1", "0.0.0.0"},
	} {
		r := one(t, flow.Record{}, "c6336401"+"c6336402"+zeros, fields...)
		if r.Src != netip.MustParseAddr(want[0]) || r.Dst != netip.MustParseAddr(want[1]) {
			t.Errorf("inner addresses %s: from %s to %s, want %s", zeros, r.Src, r.Dst, want)
		}
		if inTunnel := want[1] == "0.0.0.0"; r.Has(flow.TunSrc) != inTunnel || r.TunDst.IsValid() != inTunnel {
			t.Errorf("inner addresses %s: tunnel from %s to %s", zeros, r.TunSrc, r.TunDst)
		}
	}
	ports := append(append([]ipfix.FieldSpec{f(7, 2), f(11, 2)}, fields...), f(7, 2), f(11, 2))
	r = one(t, flow.Record{}, "0d05"+"12b5"+addrs+"0457"+"08ae", ports...)
	if r.SrcPort != 0x0457 || r.DstPort != 0x08ae || r.TunSrcPort != 0x0d05 || r.TunDstPort != 0x12b5 ||
		!r.Has(flow.TunSrcPort) || !r.Has(flow.TunDstPort) || !r.Has(flow.SrcPort) || !r.Has(flow.DstPort) {
		t.Errorf("ports %d and %d, outer %d and %d", r.SrcPort, r.DstPort, r.TunSrcPort, r.TunDstPort)
	}
}

// Value gives the bytes of an element as the registry sizes it, so that what one version
// sent is found by the name of another; it says no where the flow has nothing.
func TestValueOfAnElement(t *testing.T) {
	r := full()
	for f := range flow.Field(flow.NumFields) {
		r.Present.Add(f)
	}
	r.Present.Remove(flow.MinTTL)
	for _, c := range []struct {
		pen  uint32
		id   uint16
		want string // "" where there is none
	}{
		{0, 8, "\xc0\x00\x02\x01"}, {0, 27, ""}, {0, 7, "\x04\xd2"}, {0, 4, "\x06"}, {0, 10, "\x00\x10\x00\x00"},
		{0, 1, "\x00\x00\x01\x00\x00\x00\x00\x00"}, {0, 56, "\x01\x02\x03\x04\x05\x06"}, {0, 371, "alice"},
		{0, 70, "\x12\x34\x51"}, {0, 71, "\xab\xcd\xe0"}, {0, 72, ""}, {0, 52, ""},
		{0, 53, "\x40"}, {0, 9999, ""}, {0, 152, ""}, // times are kept as they were
		{ie.ReversePEN, 2, ""}, // as those of all vendors
	} {
		got, ok := ipfix.Value([]byte("x"), c.pen, c.id, &r)
		if ok != (c.want != "") || string(got) != "x"+c.want {
			t.Errorf("%d/%d is %q (%v), want %q", c.pen, c.id, got[1:], ok, c.want)
		}
	}
}
