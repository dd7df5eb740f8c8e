package ipfix_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestRateInTheRecord: the first of the record's rates that is not 0 is the flow's, at most
// what 32 bits hold.
func TestRateInTheRecord(t *testing.T) {
	for _, c := range []struct {
		record string
		fields []ipfix.FieldSpec
		rate   uint32
		source flow.RateSource
	}{
		{"00000064", []ipfix.FieldSpec{f(34, 4)}, 100, flow.RateRecord},
		{"00000001", []ipfix.FieldSpec{f(34, 4)}, 1, flow.RateRecord},
		{"64" + "32", []ipfix.FieldSpec{f(34, 1), f(50, 1)}, 100, flow.RateRecord},
		{"64" + "32", []ipfix.FieldSpec{f(50, 1), f(34, 1)}, 100, flow.RateRecord},
		{"00" + "32", []ipfix.FieldSpec{f(34, 1), f(50, 1)}, 50, flow.RateRecord},
		{"00000000ffffffff", []ipfix.FieldSpec{f(34, 8)}, math.MaxUint32, flow.RateRecord},
		{"0000000100000000", []ipfix.FieldSpec{f(34, 8)}, math.MaxUint32, flow.RateRecord},
		{"06", []ipfix.FieldSpec{f(4, 1)}, 0, flow.RateUnknown},
	} {
		r := one(t, flow.Record{}, c.record, c.fields...)
		if r.SamplingRate != c.rate || r.SamplingSource != c.source {
			t.Errorf("%s: 1 in %d, source %d, want %d, %d", c.record, r.SamplingRate, r.SamplingSource, c.rate, c.source)
		}
	}
}

// TestValueOfEachElement: what a record has of an element, in the length of its type in IANA's
// registry; nothing where the record has none, or not all of it.
func TestValueOfEachElement(t *testing.T) {
	a4, a6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	full := flow.Record{Src: a4, Dst: a6, NextHop: a4, SrcPort: 53, Proto: 1, TCPFlags: 0x112, ICMP: 0x0304, Bytes: 0x1234,
		InSrcMAC: [6]byte{1, 2, 3, 4, 5, 6}, MPLS: [10]uint32{0x123456, 0x11}, MPLSDepth: 1, User: []byte("alice"),
		PortBlock: [4]uint16{1, 2, 3, 4}, Input: 7, SrcMask: 24}
	full.Present = flow.SetOf(flow.Src, flow.Dst, flow.SrcPort, flow.Proto, flow.TCPFlags, flow.ICMP, flow.Bytes,
		flow.InSrcMAC, flow.MPLS, flow.User, flow.Input, flow.SrcMask, flow.AppID)
	for _, c := range []struct {
		pen  uint32
		id   uint16
		want string // "-" where there is none
	}{
		{0, 8, "c0000201"}, {0, 27, "-"}, {0, 12, "-"}, {0, 28, "20010db8000000000000000000000001"}, {0, 7, "0035"},
		{0, 4, "01"}, {0, 6, "0112"}, {0, 32, "0304"}, {0, 139, "0304"}, {0, 176, "03"}, {0, 177, "04"}, {0, 178, "03"},
		{0, 179, "04"}, {0, 1, "0000000000001234"}, {0, 56, "010203040506"}, {0, 57, "-"}, {0, 70, "123456"}, {0, 71, "-"},
		{0, 371, "616c696365"}, {0, 95, "-"}, {0, 10, "00000007"}, {0, 9, "18"}, {0, 29, "18"}, {0, 14, "-"}, {0, 15, "-"},
		{0, 361, "-"}, {0, 231, "-"}, {0, 152, "-"}, {9, 8, "-"}, {6876, 890, "-"}, {0, 500, "-"},
	} {
		b, ok := ipfix.Value([]byte("x"), c.pen, c.id, &full)
		got := hex.EncodeToString(b[1:])
		if c.want == "-" && (ok || got != "") || c.want != "-" && (!ok || got != c.want) {
			t.Errorf("element %d/%d is %q, %v, want %s", c.pen, c.id, got, ok, c.want)
		}
	}
}

// TestNumbersOfVariableLength are written in as few bytes as they need, at least one, and
// are read again.
func TestNumbersOfVariableLength(t *testing.T) {
	tmpl := template(t, 256, f(1, ipfix.Variable), f(4, 1))
	for n, want := range map[uint64]string{0: "0100", 1: "0101", 255: "01ff", 256: "020100", 65535: "02ffff",
		1 << 16: "03010000", 1<<24 - 1: "03ffffff", 1 << 24: "0401000000", 1 << 32: "050100000000", 1 << 40: "06010000000000",
		1 << 48: "0701000000000000", 1<<56 - 1: "07ffffffffffffff", 1 << 56: "080100000000000000",
		math.MaxUint64: "08ffffffffffffffff"} {
		var e ipfix.Encoder
		e.Begin(nil, exported)
		e.AddData(tmpl, []flow.Record{{Bytes: n, Proto: 6}})
		if got := hex.EncodeToString(e.End()[20:]); !strings.HasPrefix(got, want+"06") {
			t.Errorf("%d is written as %s, want %s", n, got, want)
		}
		if r := one(t, flow.Record{}, want+"06", tmpl.Fields...); r.Bytes != n || r.Proto != 6 {
			t.Errorf("%s is %d", want, r.Bytes)
		}
	}
}

// TestRecordsBehindOthers: nothing of a record is left in the next one of its template, or of
// another.
func TestRecordsBehindOthers(t *testing.T) {
	names := template(t, 256, f(371, ipfix.Variable), f(4, 1))
	long := append([]byte{255, 1, 44}, bytes.Repeat([]byte("b"), 300)...)
	var d ipfix.RecordDecoder
	var r flow.Record
	for _, c := range []struct {
		record string
		user   string
		kept   int
	}{{"\x05alice\x06", "alice", 0}, {string(long) + "\x11", "", 1}, {"\x03bob\x06", "bob", 0}, {"\x00\x06", "", 0}} {
		if _, err := d.Next(names, &r, []byte(c.record)); err != nil || string(r.User) != c.user || len(r.Extra) != c.kept {
			t.Errorf("%.10q: %v, user %q, kept %d", c.record, err, r.User, len(r.Extra))
		}
	}
	one, other := template(t, 300, f(8, 4), f(9, 1), f(4, 1)), template(t, 301, f(12, 4), f(4, 1))
	if _, err := d.Next(one, &r, []byte{192, 0, 2, 1, 24, 6}); err != nil || r.SrcMask != 24 || len(r.User) != 0 {
		t.Errorf("%v: mask %d, user %q", err, r.SrcMask, r.User)
	}
	if _, err := d.Next(other, &r, []byte{192, 0, 2, 2, 17}); err != nil || r.Src.IsValid() || r.SrcMask != 0 ||
		r.Dst != netip.MustParseAddr("192.0.2.2") || r.Has(flow.Src) || r.TemplateID != 301 {
		t.Errorf("%v: %+v", err, r)
	}
}

// TestOptionsBehindOthers: an option record has its own scope and fields, and no others'.
func TestOptionsBehindOthers(t *testing.T) {
	scope := f(149, 4)
	scope.Scope = true
	tmpl, err := ipfix.NewOptionsTemplate(300, []ipfix.FieldSpec{scope, f(34, 1), {PEN: 9, ID: 34, Length: 1}})
	if err != nil {
		t.Fatal(err)
	}
	var e ipfix.Encoder
	e.Begin(nil, exported)
	n := e.AddOptions(tmpl, []flow.OptionRecord{
		{Scope: []flow.Element{{ID: 149, Value: []byte{1}}}, Fields: []flow.Element{{PEN: 9, ID: 34, Value: []byte{2}},
			{ID: 34, Value: []byte{3}}, {ID: 34, Value: []byte{4}}, {ID: 149, Value: []byte{5}}}},
		{Fields: []flow.Element{{PEN: 34, ID: 9, Value: []byte{6}}, {PEN: 9, ID: 35, Value: []byte{7}}, {PEN: 8, ID: 34,
			Value: []byte{8}}}},
	})
	b := e.End()[20:]
	if want := []byte{0, 0, 0, 1, 3, 2, 0, 0, 0, 0, 0, 0}; n != 2 || !bytes.Equal(b, want) {
		t.Fatalf("%d records: %x, want %x", n, b, want)
	}
	var o flow.OptionRecord
	for i, want := range []byte{3, 0} {
		if n, err := ipfix.DecodeOption(tmpl, &o, b[6*i:]); n != 6 || err != nil || len(o.Scope) != 1 || len(o.Fields) != 2 ||
			o.Fields[0].Value[0] != want || o.TemplateID != 300 {
			t.Errorf("record %d: %d bytes, %v, %+v", i, n, err, o)
		}
	}
}

// TestScopesWithoutBytes: NetFlow v9's scope "system" often has none (RFC 3954, section 6.1):
// up to four of them are kept, fields without bytes are not.
func TestScopesWithoutBytes(t *testing.T) {
	for n := range 7 {
		var fields []ipfix.FieldSpec
		for range n {
			fields = append(fields, ipfix.FieldSpec{ID: 1, Scope: true})
		}
		tmpl, err := ipfix.NewOptionsTemplate(256, append(fields, f(34, 1), f(35, 0)))
		if err != nil {
			t.Fatal(err)
		}
		var o flow.OptionRecord
		if got, err := ipfix.DecodeOption(tmpl, &o, []byte{9}); got != 1 || err != nil || len(o.Scope) != min(n, 4) ||
			len(o.Fields) != 1 || o.Fields[0].ID != 34 {
			t.Errorf("%d scopes: %d bytes, %v, %+v", n, got, err, o)
		}
	}
}

// TestPaddingInLists: padding is no element of a record in a list, and only IANA's element
// 210 is padding.
func TestPaddingInLists(t *testing.T) {
	inner := template(t, 300, f(4, 1), f(210, 2), ipfix.FieldSpec{PEN: 9, ID: 210, Length: 1})
	list := []byte{3, 1, 44, 6, 0, 0, 7, 17, 0, 0, 8}
	d := ipfix.RecordDecoder{Templates: known{300: inner}}
	var r flow.Record
	if _, err := d.Decode(template(t, 256, f(ipfix.SubTemplateList, uint16(len(list)))), &r, list); err != nil ||
		d.ListErr() != nil {
		t.Fatal(err, d.ListErr())
	}
	if got, want := text(r.Nested), "1.0.0 allOf 292: 0/4=06\n1.0.0 allOf 292: 9/210=07\n"+
		"1.0.1 allOf 292: 0/4=11\n1.0.1 allOf 292: 9/210=08\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, c := range []struct {
		spec ipfix.FieldSpec
		want uint8
	}{{f(70, 3), 1}, {f(79, 3), 1}, {f(69, 3), 0}, {f(80, 3), 0}, {f(70, 4), 0},
		{ipfix.FieldSpec{PEN: 9, ID: 70, Length: 3}, 0}} {
		value := ipfix.AppendBasicList(nil, flow.Ordered, c.spec, make([]byte, c.spec.Length))
		if _, err := d.Decode(template(t, 256, f(ipfix.BasicList, uint16(len(value)))), &r, value); err != nil ||
			r.MPLSDepth != c.want {
			t.Errorf("%v in a list: %v, %d labels", c.spec, err, r.MPLSDepth)
		}
	}
}
