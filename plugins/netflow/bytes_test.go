package netflow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// The records of version 5 and 7 byte by byte, as Cisco documents them: each value is
// another one, so that a field one byte off is seen.
var (
	fixedRecord = []byte{
		192, 0, 2, 1, 198, 51, 100, 2, 10, 0, 0, 3, // addresses, next hop
		0x01, 0x02, 0x03, 0x04, // interfaces
		0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, // packets, octets
		0, 0, 0x1f, 0x40, 0, 0, 0x23, 0x28, // from 8 s to 9 s of the router's life
		0x9c, 0x41, 0x01, 0xbb, // ports
		0xff, 0x1b, 0x11, 0xb8, // padding, flags, protocol, TOS
		0xfd, 0xe8, 0xfd, 0xe9, 24, 25, 0xff, 0xff, // AS, masks, padding
	}
	fiveHead = []byte{0, 5, 0, 1, 0, 0, 0x27, 0x10, 0x69, 0x57, 0x33, 0x20, 0, 0x98, 0x96, 0x80, // until 10 ms
		0, 0, 0, 7, 2, 3, 0x40, 0x64} // sequence, engine, one of 100 packets
	sevenHead = []byte{0, 7, 0, 1, 0, 0, 0x27, 0x10, 0x69, 0x57, 0x33, 0x20, 0, 0x98, 0x96, 0x80,
		0, 0, 0, 7, 0, 0, 0, 0}
)

// checkFixed compares what all records have with what a person reads in fixedRecord.
func checkFixed(t *testing.T, r *flow.Record) {
	t.Helper()
	at := flow.Time(0x69573320)*1e9 + 10e6
	if r.Src != netip.MustParseAddr("192.0.2.1") || r.Dst != netip.MustParseAddr("198.51.100.2") ||
		r.NextHop != netip.MustParseAddr("10.0.0.3") || r.Input != 0x0102 || r.Output != 0x0304 ||
		r.Packets != 0x05060708 || r.Bytes != 0x090a0b0c || r.First != at-2e9 || r.Last != at-1e9 ||
		r.SrcPort != 40001 || r.DstPort != 443 || r.TCPFlags != 0x1b || r.Proto != 17 || r.SrcTOS != 0xb8 ||
		r.SrcAS != 65000 || r.DstAS != 65001 || r.SrcMask != 24 || r.DstMask != 25 || r.IPVersion != 4 {
		t.Errorf("got %+v", r)
	}
}

// Version 5 as Cisco documents it.
func TestV5AsCiscoDocumentsIt(t *testing.T) {
	h, records, err := ParseV5Header(append(bytes.Clone(fiveHead), fixedRecord...))
	want := V5Header{Count: 1, SysUptime: 10000, Seconds: 0x69573320, Nanos: 10e6, Sequence: 7, EngineType: 2,
		EngineID: 3, Sampling: 0x4064}
	if err != nil || h != want || len(records) != V5RecordLen {
		t.Fatalf("got %+v and %d bytes, %v", h, len(records), err)
	}
	base := flow.Record{SamplingRate: 9, SamplingSource: flow.RateConfig} // of the datagram before
	V5Base(&base, h)
	var r flow.Record
	Begin(&r, &base)
	DecodeV5(&r, records)
	checkFixed(t, &r)
	if r.Version != flow.V5 || r.Domain != 0x0203 || r.EngineType != 2 || r.EngineID != 3 || r.SamplingRate != 100 ||
		!r.Has(flow.SamplingRate) || r.SamplingSource != flow.RateHeader || r.HeaderRate != 0x4064 ||
		r.HeaderCount != 1 || r.Sequence != 7 {
		t.Errorf("of the header: %+v", r)
	}
	h.Sampling = 0x4000 // a mode without a rate
	V5Base(&base, h)
	if base.SamplingRate != 0 || base.SamplingSource != flow.RateUnknown || base.Has(flow.SamplingRate) {
		t.Errorf("a rate of the datagram before: %d", base.SamplingRate)
	}
}

// Version 7 as Cisco documents it: no engine and no sampling, the address of the router
// behind each record.
func TestV7AsCiscoDocumentsIt(t *testing.T) {
	two := append(bytes.Clone(sevenHead), fixedRecord...)
	two = append(append(two, 10, 9, 8, 7), fixedRecord...)
	two = append(two, 10, 9, 8, 6)
	two[3] = 2
	h, records, err := ParseV7Header(two)
	if err != nil || h.Sequence != 7 || h.Domain() != 0 || h.Rate() != 0 || len(records) != 2*V7RecordLen {
		t.Fatalf("got %+v and %d bytes, %v", h, len(records), err)
	}
	var base, r flow.Record
	V7Base(&base, h)
	Begin(&r, &base)
	for i, router := range []string{"10.9.8.7", "10.9.8.6"} {
		if i > 0 {
			Continue(&r, &base)
		}
		DecodeV7(&r, records[i*V7RecordLen:])
		checkFixed(t, &r)
		var found []string
		for _, e := range r.Extra {
			if e.PEN == 0 && e.ID == 130 { // exporterIPv4Address
				a, _ := netip.AddrFromSlice(e.Value)
				found = append(found, a.String())
			}
		}
		if len(found) != 1 || found[0] != router || len(r.Extra) != 3 {
			t.Errorf("record %d: routers %q, %d elements", i, found, len(r.Extra))
		}
		if r.Version != flow.V7 || r.Has(flow.EngineID) || !r.Has(flow.SrcAS) {
			t.Errorf("record %d: version %s, present %x", i, r.Version, r.Present)
		}
	}
	again := AppendV7(nil, h, []flow.Record{r})
	if !bytes.Equal(again[V7HeaderLen+V5RecordLen:], []byte{10, 9, 8, 6}) {
		t.Errorf("the router is written as %v", again[V7HeaderLen+V5RecordLen:])
	}
	r.Extra = append(r.Extra, flow.Element{PEN: 9, ID: 130, Value: []byte{1, 1, 1, 1}}) // a vendor's own
	if b := AppendV7(nil, h, []flow.Record{r}); !bytes.Equal(b, again) {
		t.Errorf("a vendor's element 130 is taken for the router")
	}
}

// A field that a version has not is not present: a filter on AS numbers must not match a
// flow of version 1, whose exporter said nothing of them.
func TestFieldsOfTheFixedVersions(t *testing.T) {
	var one, five, seven flow.Record
	V1Base(&one, V5Header{})
	V5Base(&five, V5Header{})
	V7Base(&seven, V5Header{})
	for _, f := range []flow.Field{flow.Src, flow.Dst, flow.NextHop, flow.Input, flow.Output, flow.Packets, flow.Bytes,
		flow.SrcPort, flow.DstPort, flow.TCPFlags, flow.Proto, flow.SrcTOS} {
		if !one.Has(f) || !five.Has(f) || !seven.Has(f) {
			t.Errorf("%s: %v, %v, %v; all have it", f, one.Has(f), five.Has(f), seven.Has(f))
		}
	}
	for _, f := range []flow.Field{flow.SrcAS, flow.DstAS, flow.SrcMask, flow.DstMask} {
		if one.Has(f) || !five.Has(f) || !seven.Has(f) {
			t.Errorf("%s: %v, %v, %v; versions 5 and 7 have it", f, one.Has(f), five.Has(f), seven.Has(f))
		}
	}
	if one.Version != flow.V1 || five.Version != flow.V5 || seven.Version != flow.V7 {
		t.Errorf("versions %s, %s and %s", one.Version, five.Version, seven.Version)
	}
}

// A header without a time has none, and the flows have no time from it: 1970 would be a
// point of a dashboard.
func TestHeadersWithoutATime(t *testing.T) {
	if at := (V5Header{Nanos: 5}).ExportTime(); at != 0 {
		t.Errorf("version 5: %s", at.Time())
	}
	if at := (V5Header{Seconds: 1, Nanos: 2_000_000_003}).ExportTime(); at != 1e9+3 {
		t.Errorf("version 5 with too many nanoseconds: %d", at)
	}
	if at := (V9Header{}).ExportTime(); at != 0 {
		t.Errorf("version 9: %s", at.Time())
	}
}

// A datagram that is cut anywhere gives the records that are whole, and an error that says
// what is missing; one with bytes behind its records gives no record more.
func TestFixedVersionsCutAnywhere(t *testing.T) {
	for _, c := range []struct {
		version      int
		header, size int
		parse        func([]byte) (V5Header, []byte, error)
		appendTo     func([]byte, V5Header, []flow.Record) []byte
	}{
		{1, 16, 48, ParseV1Header, AppendV1}, {5, 24, 48, ParseV5Header, AppendV5},
		{7, 24, 52, ParseV7Header, AppendV7},
	} {
		whole := c.appendTo(nil, V5Header{Seconds: 1}, make([]flow.Record, 3))
		if len(whole) != c.header+3*c.size {
			t.Fatalf("version %d: 3 records in %d bytes", c.version, len(whole))
		}
		for n := range len(whole) + 1 {
			h, records, err := c.parse(whole[:n])
			switch {
			case n < c.header:
				want := fmt.Sprintf("netflow v%d: header: expected %d bytes, got %d: ", c.version, c.header, n)
				if !errors.Is(err, wire.ErrShort) || !strings.HasPrefix(err.Error(), want) || records != nil {
					t.Errorf("version %d, %d bytes: %v", c.version, n, err)
				}
			case n < len(whole):
				if !errors.Is(err, wire.ErrShort) || len(records) != (n-c.header)/c.size*c.size || h.Count != 3 {
					t.Errorf("version %d, %d bytes: %d of records, %v", c.version, n, len(records), err)
				}
			case err != nil || len(records) != 3*c.size:
				t.Errorf("version %d: %d of records, %v", c.version, len(records), err)
			}
		}
		_, records, err := c.parse(append(whole, make([]byte, 2*c.size)...))
		if err != nil || len(records) != 3*c.size {
			t.Errorf("version %d, bytes behind the records: %d of records, %v", c.version, len(records), err)
		}
		for _, other := range []byte{0, 6, 9, 10} {
			whole[1] = other
			if _, _, err := c.parse(whole); err == nil || errors.Is(err, wire.ErrShort) ||
				!strings.HasSuffix(err.Error(), fmt.Sprintf("expected version %d, got %d", c.version, other)) {
				t.Errorf("version %d, a header of version %d: %v", c.version, other, err)
			}
		}
	}
}

// What does not fit into a field of 16 or 32 bits is the largest that fits, an AS number
// AS_TRANS (RFC 6793, section 9): a number cut at its top would be somebody else's.
func TestTooLargeForTheFixedVersions(t *testing.T) {
	r := flow.Record{Src: netip.MustParseAddr("2001:db8::1"), Input: 1 << 16, Output: 1<<32 - 1, Packets: 1 << 32,
		Bytes: 1<<64 - 1, SrcAS: 1 << 16, DstAS: 1<<16 - 1}
	b := AppendV5(nil, V5Header{}, []flow.Record{r})[V5HeaderLen:]
	be := binary.BigEndian
	if be.Uint32(b) != 0 || be.Uint16(b[12:]) != 0xffff || be.Uint16(b[14:]) != 0xffff ||
		be.Uint32(b[16:]) != 0xffffffff || be.Uint32(b[20:]) != 0xffffffff || be.Uint16(b[40:]) != 23456 ||
		be.Uint16(b[42:]) != 0xffff {
		t.Errorf("written as %x", b)
	}
}

// A template FlowSet as RFC 3954 (section 5.2) draws it, and an options template (section
// 6.1), with what exporters put behind them: a field that is missed here is missing in
// every flow.
func TestV9TemplatesAsTheRFCDrawsThem(t *testing.T) {
	readAll := func(body []byte, options bool) (got []string, err error) {
		r := NewV9TemplateReader(body, options, nil)
		for {
			id, fields, ok := r.Next()
			if !ok {
				return got, r.Err()
			}
			text := fmt.Sprint(id)
			for _, f := range fields {
				text += fmt.Sprintf(" %d:%d", f.ID, f.Length)
				if f.Scope {
					text += "s"
				}
			}
			got = append(got, text)
		}
	}
	two := []byte{1, 0, 0, 2, 0, 8, 0, 4, 0x80, 1, 0, 2, 1, 1, 0, 1, 0, 1, 0, 8}
	scoped := []byte{1, 2, 0, 4, 0, 8, 0, 1, 0, 4, 0, 34, 0, 4, 0, 35, 0, 1}
	for name, c := range map[string]struct {
		body    []byte
		options bool
		want    string
		wrong   string // a part of the error
	}{
		"two":    {two, false, "256 8:4 32769:2|257 1:8", ""},
		"padded": {append(bytes.Clone(two), 0, 0), false, "256 8:4 32769:2|257 1:8", ""},
		"padded by a word": {append(bytes.Clone(two), 0, 0, 0, 0, 1, 0),
			false, "256 8:4 32769:2|257 1:8", ""},
		"cut in a field":          {two[:len(two)-1], false, "256 8:4 32769:2", "257 of 1 fields"},
		"cut behind a count":      {two[:16], false, "256 8:4 32769:2", "257 of 1 fields"},
		"no field":                {[]byte{1, 0, 0, 0, 1, 1, 0, 1, 0, 1, 0, 8}, false, "256|257 1:8", ""},
		"an id of 0 with a field": {[]byte{0, 0, 0, 1, 0, 1, 0, 8}, false, "0 1:8", ""},
		"an option":               {scoped, true, "258 1:4s 34:4 35:1", ""},
		"an option, padded":       {append(bytes.Clone(scoped), 0, 0), true, "258 1:4s 34:4 35:1", ""},
		"an option, padded more": {append(bytes.Clone(scoped), 0, 0, 0, 0, 0, 0, 0, 0),
			true, "258 1:4s 34:4 35:1", ""},
		"an option without fields": {[]byte{1, 2, 0, 0, 0, 0}, true, "258", ""},
		"two with lengths of 5 and 6": {[]byte{1, 2, 0, 5, 0, 0, 0, 1, 0, 4, 1, 3, 0, 6, 0, 0, 0, 2, 0, 4}, true,
			"258 1:4s|259 2:4s", "258: expected lengths"},
		"an option without a scope": {[]byte{1, 2, 0, 0, 0, 4, 0, 34, 0, 4}, true, "258 34:4", ""},
		"an option without options": {[]byte{1, 2, 0, 4, 0, 0, 0, 1, 0, 4}, true, "258 1:4s", ""},
		"an id of 0 with a scope":   {[]byte{0, 0, 0, 4, 0, 0, 0, 1, 0, 4}, true, "0 1:4s", ""},
		"a length of scopes of 6": {[]byte{1, 2, 0, 6, 0, 4, 0, 1, 0, 4, 0, 34, 0, 4},
			true, "258 1:4s 34:4", "got 6 and 4"},
		"a length of options of 7": {[]byte{1, 2, 0, 4, 0, 7, 0, 1, 0, 4, 0, 34, 0, 4},
			true, "258 1:4s 34:4", "got 4 and 7"},
		"more options than bytes": {[]byte{1, 2, 0, 4, 0, 12, 0, 1, 0, 4, 0, 34, 0, 4},
			true, "258 1:4s 34:4", "got 4 and 12"},
		"more scopes than bytes": {[]byte{1, 2, 0, 12, 0, 0, 0, 1, 0, 4, 0, 2, 0, 4},
			true, "258 1:4s 2:4s", "got 12 and 0"},
		"options without a field":    {[]byte{1, 2, 0, 4, 0, 4}, true, "", "258 of 2 fields"},
		"too short for options":      {[]byte{1, 2, 0, 4, 0}, true, "", ""},
		"too short for any template": {[]byte{1, 2, 0}, false, "", ""},
	} {
		got, err := readAll(c.body, c.options)
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%s: %q, want %q", name, s, c.want)
		}
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong) ||
			!errors.Is(err, ipfix.ErrTemplate)) {
			t.Errorf("%s: the error %v, want %q", name, err, c.wrong)
		}
	}
}

// A header of version 9 byte by byte (RFC 3954, section 5.1), and one cut anywhere.
func TestV9Headers(t *testing.T) {
	b := []byte{0, 9, 0, 3, 0, 0, 0x27, 0x10, 0x69, 0x57, 0x33, 0x20, 0, 0, 0, 7, 1, 2, 3, 4, 0xaa, 0xbb}
	h, rest, err := ParseV9Header(b)
	want := V9Header{Count: 3, SysUptime: 10000, Seconds: 0x69573320, Sequence: 7, SourceID: 0x01020304}
	if err != nil || h != want || !bytes.Equal(rest, []byte{0xaa, 0xbb}) {
		t.Errorf("got %+v, %x, %v", h, rest, err)
	}
	for n := range V9HeaderLen {
		if _, _, err := ParseV9Header(b[:n]); !errors.Is(err, wire.ErrShort) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, rest, err := ParseV9Header(b[:V9HeaderLen]); err != nil || len(rest) != 0 {
		t.Errorf("a header alone: %x, %v", rest, err)
	}
	b[1] = 10
	if _, _, err := ParseV9Header(b); err == nil || !strings.Contains(err.Error(), "expected version 9, got 10") {
		t.Errorf("version 10: %v", err)
	}
}

// What an encoder of version 9 writes, byte by byte: the count is of templates and
// records, the options template has the lengths of its scopes and options in bytes.
func TestV9DatagramByteByByte(t *testing.T) {
	data, err := ipfix.NewV9Template(256, []ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 1, Length: 4}})
	if err != nil {
		t.Fatal(err)
	}
	options, err := ipfix.NewOptionsTemplate(257, []ipfix.FieldSpec{{ID: 1, Length: 4, Scope: true},
		{ID: 34, Length: 4}, {ID: 35, Length: 1}})
	if err != nil {
		t.Fatal(err)
	}
	e := V9Encoder{SourceID: 0x11}
	e.Boot = flow.Time(0x69573320)*1e9 - 10e9
	e.Begin([]byte("before"), flow.Time(0x69573320)*1e9)
	e.AddTemplates(options, data)
	r := flow.Record{Src: netip.MustParseAddr("192.0.2.1"), Bytes: 1500}
	r.Present = flow.SetOf(flow.Src, flow.Bytes)
	if n := e.AddData(data, []flow.Record{r}); n != 1 {
		t.Fatalf("%d records", n)
	}
	got := e.End()
	want := []byte("before")
	want = append(want, 0, 9, 0, 3, 0, 0, 0x27, 0x10, 0x69, 0x57, 0x33, 0x20, 0, 0, 0, 0, 0, 0, 0, 0x11,
		0, 0, 0, 16, 1, 0, 0, 2, 0, 8, 0, 4, 0, 1, 0, 4,
		0, 1, 0, 24, 1, 1, 0, 4, 0, 8, 0, 1, 0, 4, 0, 34, 0, 4, 0, 35, 0, 1, 0, 0,
		1, 0, 0, 12, 192, 0, 2, 1, 0, 0, 5, 0xdc)
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
	if e.Begin(nil, 0); e.Sequence != 1 {
		t.Errorf("sequence %d behind one datagram", e.Sequence) // of datagrams, not of flows
	}
	if b := e.End(); len(b) != V9HeaderLen || b[3] != 0 {
		t.Errorf("an empty datagram: %x", b)
	}
}
