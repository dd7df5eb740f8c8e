package ipfix_test

import (
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// one decodes a single record given in hex.
func one(t *testing.T, base flow.Record, record string, fields ...ipfix.FieldSpec) flow.Record {
	t.Helper()
	b, err := hex.DecodeString(record)
	if err != nil {
		t.Fatal(err)
	}
	d := ipfix.RecordDecoder{Base: base}
	var r flow.Record
	n, err := d.Decode(template(t, 256, fields...), &r, b)
	if err != nil || n != len(b) {
		t.Fatalf("read %d of %d bytes: %v", n, len(b), err)
	}
	return r
}

// f is a field of IANA's.
func f(id, length uint16) ipfix.FieldSpec { return ipfix.FieldSpec{ID: id, Length: length} }

func TestInvalidTemplates(t *testing.T) {
	many := make([]ipfix.FieldSpec, ipfix.MaxFields+1)
	for i := range many {
		many[i] = f(1, 1)
	}
	for name, c := range map[string]struct {
		id     uint16
		fields []ipfix.FieldSpec
	}{
		"no fields": {256, nil}, "no bytes": {256, []ipfix.FieldSpec{f(8, 0), f(12, 0)}},
		"id":              {255, []ipfix.FieldSpec{f(8, 4)}},
		"too many fields": {256, many}, "too long": {256, []ipfix.FieldSpec{f(8, 40000), f(12, 40000)}},
	} {
		if _, err := ipfix.NewTemplate(c.id, c.fields); !errors.Is(err, ipfix.ErrTemplate) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if tmpl, err := ipfix.NewTemplate(256, []ipfix.FieldSpec{f(371, ipfix.Variable)}); err != nil ||
		tmpl.MinLength() != 1 {
		t.Errorf("a variable field alone: %v", err)
	}
}

func TestEffectiveCounters(t *testing.T) {
	type want struct{ bytes, packets, out, rev uint64 }
	for _, c := range []struct {
		name   string
		record string
		fields []ipfix.FieldSpec
		want   want
		extra  int
	}{
		{"delta", "0102", []ipfix.FieldSpec{f(1, 1), f(2, 1)}, want{bytes: 1, packets: 2}, 0},
		{"delta and post", "01020304", []ipfix.FieldSpec{f(23, 1), f(24, 1), f(1, 1), f(2, 1)},
			want{bytes: 3, packets: 4, out: 1}, 0},
		{"post alone", "0102", []ipfix.FieldSpec{f(23, 1), f(24, 1)}, want{bytes: 1, packets: 2, out: 1}, 0},
		{"totals", "0102", []ipfix.FieldSpec{f(85, 1), f(86, 1)}, want{bytes: 1, packets: 2}, 2},
		{"totals beside delta", "0102", []ipfix.FieldSpec{f(85, 1), f(1, 1)}, want{bytes: 2}, 1},
		{"delta of zero beside post", "05060000", []ipfix.FieldSpec{f(23, 1), f(24, 1), f(1, 1), f(2, 1)},
			want{bytes: 5, packets: 6, out: 5}, 2},
		{"initiator and responder", "01020304", []ipfix.FieldSpec{f(231, 1), f(232, 1), f(298, 1), f(299, 1)},
			want{bytes: 1, packets: 3, rev: 2}, 4},
		{"biflow", "0102", []ipfix.FieldSpec{f(1, 1), {PEN: 29305, ID: 1, Length: 1}}, want{bytes: 1, rev: 2}, 1},
		{"twice, the first counts", "0102", []ipfix.FieldSpec{f(1, 1), f(1, 1)}, want{bytes: 1}, 1},
		{"a delta of no bytes", "02", []ipfix.FieldSpec{f(1, 0), f(85, 1)}, want{bytes: 2}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := one(t, flow.Record{}, c.record, c.fields...)
			if got := (want{r.Bytes, r.Packets, r.OutBytes, r.RevBytes}); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if len(r.Extra) != c.extra {
				t.Errorf("got %d elements in Extra, want %d", len(r.Extra), c.extra)
			}
		})
	}
}

func TestAddressesOfBothFamilies(t *testing.T) {
	const zero4, zero6 = "00000000", "00000000000000000000000000000000"
	const v4, v6 = "c0000201", "20010db8000000000000000000000001"
	for _, c := range []struct {
		record, want string
		fields       []ipfix.FieldSpec
	}{
		{v4 + zero6, "192.0.2.1", []ipfix.FieldSpec{f(8, 4), f(27, 16)}},
		{zero4 + v6, "2001:db8::1", []ipfix.FieldSpec{f(8, 4), f(27, 16)}},
		{zero6 + v4, "192.0.2.1", []ipfix.FieldSpec{f(27, 16), f(8, 4)}},
		{zero4 + zero6, "0.0.0.0", []ipfix.FieldSpec{f(8, 4), f(27, 16)}},
		{v6, "2001:db8::1", []ipfix.FieldSpec{f(27, 16)}},
	} {
		r := one(t, flow.Record{}, c.record, c.fields...)
		if r.Src != netip.MustParseAddr(c.want) || !r.Has(flow.Src) {
			t.Errorf("%s: got %v, want %s", c.record, r.Src, c.want)
		}
	}
}

func TestLengths(t *testing.T) {
	r := one(t, flow.Record{}, "0000000000000001bb", f(11, 9-2), f(7, 2))
	if r.SrcPort != 443 || r.DstPort != 0 || len(r.Extra) != 1 {
		t.Errorf("a port of 7 bytes: got %d, %d, %v", r.SrcPort, r.DstPort, r.Extra)
	}
	r = one(t, flow.Record{}, "010203", f(8, 3))
	if r.Has(flow.Src) || len(r.Extra) != 1 {
		t.Errorf("an address of 3 bytes: got %v, %v", r.Src, r.Extra)
	}
	r = one(t, flow.Record{}, "06aabb", f(4, 1), f(210, 2))
	if r.Proto != 6 || len(r.Extra) != 0 {
		t.Errorf("padding: got %v", r.Extra)
	}
	r = one(t, flow.Record{}, "0312345604c00002010450", f(1, ipfix.Variable), f(8, ipfix.Variable), f(4, 1), f(5, 1))
	if r.Bytes != 0x123456 || r.Src != netip.MustParseAddr("192.0.2.1") || r.Proto != 4 || r.SrcTOS != 0x50 {
		t.Errorf("variable lengths: got %+v", r)
	}
	r = one(t, flow.Record{}, "03c0000206", f(8, ipfix.Variable), f(4, 1))
	if r.Has(flow.Src) || r.Proto != 6 || len(r.Extra) != 1 {
		t.Errorf("an address of 3 bytes in a variable field: got %v, %v", r.Src, r.Extra)
	}
}

// TestVendorsIdsAreTheirOwn keeps elements of enterprises apart from IANA's.
func TestVendorsIdsAreTheirOwn(t *testing.T) {
	r := one(t, flow.Record{}, "0507", ipfix.FieldSpec{PEN: 6871, ID: 1, Length: 1}, f(4, 1))
	if r.Bytes != 0 || r.Proto != 7 || len(r.Extra) != 1 || r.Extra[0].PEN != 6871 {
		t.Errorf("got %+v", r)
	}
}

// TestTwiceInAnOption: of an element that an option record has twice the first counts;
// a scope has numbers of its own.
func TestTwiceInAnOption(t *testing.T) {
	tmpl, err := ipfix.NewOptionsTemplate(256,
		[]ipfix.FieldSpec{{ID: 4, Length: 1, Scope: true}, f(34, 2), f(4, 1), f(34, 4), {PEN: 9, ID: 34, Length: 1}})
	if err != nil {
		t.Fatal(err)
	}
	var o flow.OptionRecord
	n, err := ipfix.DecodeOption(tmpl, &o, []byte{1, 0, 100, 6, 0, 0, 0, 0, 5})
	if err != nil || n != 9 || len(o.Scope) != 1 || len(o.Fields) != 3 || o.Fields[0].Value[1] != 100 ||
		o.Fields[1].ID != 4 || o.Fields[2].PEN != 9 {
		t.Errorf("%d bytes, %v: got %+v", n, err, o)
	}
}

// TestTranslationOfOldASA: until release 8.4 an ASA told translated addresses in
// numbers of its own, for which the record has the same places and the encoder the
// same values as for IANA's.
func TestTranslationOfOldASA(t *testing.T) {
	fields := []ipfix.FieldSpec{f(40001, 4), f(40002, 4), f(40003, 2), f(40004, 2)}
	r := one(t, flow.Record{}, "c0a80e0102020208003544aa", fields...)
	if r.XlateSrc.String() != "192.168.14.1" || r.XlateDst.String() != "2.2.2.8" || r.XlateSPort != 53 ||
		r.XlateDPort != 17578 ||
		!r.Has(flow.XlateSrc) || !r.Has(flow.XlateDst) || !r.Has(flow.XlateSPort) || !r.Has(flow.XlateDPort) ||
		len(r.Extra) != 4 {
		t.Errorf("got %+v", r)
	}
	tmpl, err := ipfix.NewTemplate(256, fields)
	if err != nil {
		t.Fatal(err)
	}
	r.Extra = nil
	var e ipfix.Encoder
	e.Begin(nil, exported)
	e.AddData(tmpl, []flow.Record{r})
	if got := hex.EncodeToString(e.End()[20:]); got != "c0a80e0102020208003544aa" {
		t.Errorf("encoded: got %s", got)
	}
}

func TestICMP(t *testing.T) {
	for name, r := range map[string]flow.Record{
		"32":          one(t, flow.Record{}, "010800", f(4, 1), f(32, 2)),
		"176 and 177": one(t, flow.Record{}, "010800", f(4, 1), f(176, 1), f(177, 1)),
		"139":         one(t, flow.Record{}, "3a0800", f(4, 1), f(139, 2)),
	} {
		if r.ICMP != 0x0800 || r.DstPort != 0x0800 || r.Has(flow.DstPort) {
			t.Errorf("%s: got ICMP %#x, port %#x", name, r.ICMP, r.DstPort)
		}
	}
	r := one(t, flow.Record{}, "0600500000", f(4, 1), f(11, 2), f(32, 2))
	if r.DstPort != 80 || r.ICMP != 0 {
		t.Errorf("TCP with an ICMP field: got port %d", r.DstPort)
	}
}

func TestTenantIsTheFlow(t *testing.T) {
	fields := []ipfix.FieldSpec{f(8, 4), f(12, 4), f(4, 1), {PEN: 6876, ID: 881, Length: 4},
		{PEN: 6876, ID: 882, Length: 4},
		{PEN: 6876, ID: 880, Length: 1}, {PEN: 6876, ID: 886, Length: 2}, {PEN: 6876, ID: 887, Length: 2}}
	r := one(t, flow.Record{}, "c0000201c0000202110a0000010a0000020604d20050", fields...)
	if r.Src.String() != "10.0.0.1" || r.Dst.String() != "10.0.0.2" || r.Proto != 6 || r.SrcPort != 1234 ||
		r.DstPort != 80 {
		t.Errorf("the flow: got %+v", r)
	}
	if r.TunSrc.String() != "192.0.2.1" || r.TunDst.String() != "192.0.2.2" || r.TunProto != 17 || !r.Has(flow.TunSrc) {
		t.Errorf("the tunnel: got %v > %v, %d", r.TunSrc, r.TunDst, r.TunProto)
	}
	r = one(t, flow.Record{}, "c0000201c00002021100000000000000000000000000", fields...)
	if r.Src.String() != "192.0.2.1" || r.Proto != 17 || r.Has(flow.TunSrc) {
		t.Errorf("without a tenant: got %+v", r)
	}
}

func TestSetTimes(t *testing.T) {
	const x = exported
	for _, c := range []struct {
		name        string
		rec         flow.Record
		first, last flow.Time
		want        [2]flow.Time
		repair      bool
	}{
		{"as sent", flow.Record{Exported: x}, x - 5, x - 3, [2]flow.Time{x - 5, x - 3}, false},
		{"none", flow.Record{Exported: x}, 0, 0, [2]flow.Time{x, x}, false},
		{"none, and no export time", flow.Record{Received: x + 9}, 0, 0, [2]flow.Time{x + 9, x + 9}, false},
		{"an event's time", flow.Record{Exported: x, EventTime: x - 7}, 0, 0, [2]flow.Time{x - 7, x - 7}, false},
		{"start and an event's time", flow.Record{Exported: x, EventTime: x - 7}, x - 9, 0, [2]flow.Time{x - 9, x - 7},
			false},
		{"first alone", flow.Record{Exported: x}, x - 5, 0, [2]flow.Time{x - 5, x - 5}, false},
		{"last alone", flow.Record{Exported: x}, 0, x - 5, [2]flow.Time{x - 5, x - 5}, false},
		{"future", flow.Record{Exported: x}, x - 5, x + 3600e9, [2]flow.Time{x - 5, x}, true},
		{"three days to two days ago", flow.Record{Exported: x}, x - 3*86400e9, x - 2*86400e9,
			[2]flow.Time{x - 3*86400e9, x - 2*86400e9}, false},
		{"forty days long", flow.Record{Exported: x}, x - 40*86400e9, x - 1e9, [2]flow.Time{x - 40*86400e9, x - 1e9},
			false},
		{"end before start", flow.Record{Exported: x}, x - 5e9, x - 9e9, [2]flow.Time{x - 9e9, x - 9e9}, true},
		{"start in the future", flow.Record{Exported: x}, x + 7200e9, x - 9e9, [2]flow.Time{x - 9e9, x - 9e9}, true},
		{"start in 1970", flow.Record{Exported: x}, 12345e6, x - 9e9, [2]flow.Time{x - 9e9, x - 9e9}, true},
		{"end in 1970", flow.Record{Exported: x}, x - 9e9, 12345e6, [2]flow.Time{x - 9e9, x}, true},
		{"an exporter that lives in 1970", flow.Record{Exported: 99999e6, Received: x}, 12345e6, 12346e6,
			[2]flow.Time{12345e6, 12346e6}, false},
		{"end a little before start", flow.Record{Exported: x}, x - 5e9 + 3, x - 5e9, [2]flow.Time{x - 5e9, x - 5e9},
			true},
		{"largest", flow.Record{Exported: x}, math.MaxInt64, math.MaxInt64, [2]flow.Time{x, x}, true},
		{"smallest", flow.Record{Exported: x}, math.MinInt64, math.MinInt64, [2]flow.Time{x, x}, false},
	} {
		r := c.rec
		ipfix.SetTimes(&r, c.first, c.last)
		if [2]flow.Time{r.First, r.Last} != c.want || r.Has(flow.TimeRepair) != c.repair {
			t.Errorf("%s: got %v to %v, repair %t", c.name, r.First.Time(), r.Last.Time(), r.Has(flow.TimeRepair))
		}
		if r.Has(flow.FirstSeen) != (c.first > 0) || r.Has(flow.LastSeen) != (c.last > 0) {
			t.Errorf("%s: FirstSeen %t, LastSeen %t", c.name, r.Has(flow.FirstSeen), r.Has(flow.LastSeen))
		}
	}
	long := flow.Record{Exported: x}
	long.Present.Add(flow.FwEvent)
	ipfix.SetTimes(&long, x-3*86400e9, x)
	if long.First != x-3*86400e9 {
		t.Error("the start of a firewall's long connection was repaired")
	}
}

// TestAge: counts of milliseconds wrap after 49.7 days.
func TestAge(t *testing.T) {
	const day = 86400_000
	for _, c := range []struct {
		name      string
		now, then uint32
		want      flow.Time
	}{
		{"a second ago", 5000, 4000, 1e9},
		{"a second ahead", 4000, 5000, -1e9},
		{"three days ago", 30 * day, 27 * day, 3 * day * 1e6},
		{"forty days ago", 41 * day, day, 40 * day * 1e6},
		{"forty days ago, before a wrap", 2 * day, 1<<32 - 38*day, 40 * day * 1e6},
		{"a second ahead, over a wrap", 1<<32 - 500, 500, -1e9},
	} {
		if got := ipfix.Age(c.now, c.then); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, time.Duration(got), time.Duration(c.want))
		}
	}
}

func TestNTPOrMicroseconds(t *testing.T) {
	r := one(t, flow.Record{Exported: exported}, "0005443dcd9b6a40", f(154, 8)) // microseconds since 1970
	if want := flow.Time(0x0005443dcd9b6a40) * 1000; r.First != want {
		t.Errorf("got %v, want %v", r.First.Time(), want.Time())
	}
}

func TestShortHeaders(t *testing.T) {
	for n := range ipfix.HeaderLen {
		if _, _, err := ipfix.ParseHeader(make([]byte, n)); !errors.Is(err, wire.ErrShort) {
			t.Errorf("%d bytes: got %v", n, err)
		}
	}
	if _, _, err := ipfix.ParseHeader(make([]byte, 16)); err == nil {
		t.Error("version 0 was accepted")
	}
}

// FuzzTemplates reads a template set and decodes bytes with what it defines; what
// is encoded again must be decoded to the same.
func FuzzTemplates(f *testing.F) {
	seed := func(templates, data string, options bool) {
		a, _ := hex.DecodeString(templates)
		b, _ := hex.DecodeString(data)
		f.Add(a, b, options)
	}
	seed("01000003000800040001000800210003", "c00002010000000000000001123456", false)
	seed("0100000200080004017bffff", "01020304ff0001410102030400", false)
	seed("010000030007000280010002000072e9ffff", "", false)
	seed("01000002000100040001002200040000", "0000000100000064", true)
	f.Fuzz(func(t *testing.T, templates, data []byte, options bool) {
		r := ipfix.NewTemplateReader(templates, options, nil)
		for {
			id, fields, ok := r.Next()
			if !ok {
				return
			}
			tmpl, err := ipfix.NewTemplate(id, fields)
			if err != nil {
				continue
			}
			if tmpl.Options() {
				var o flow.OptionRecord
				_, _ = ipfix.DecodeOption(tmpl, &o, data)
				continue
			}
			roundTrip(t, tmpl, data)
		}
	})
}

// holdsNoAddress tells of an element that is an address in a length that is none. What is
// decoded from one that comes again beside it cannot be encoded: its place is the first.
func holdsNoAddress(f ipfix.FieldSpec) bool {
	e, ok := ie.Lookup(f.PEN, f.ID)
	return ok && (e.Type == ie.IPv4Address || e.Type == ie.IPv6Address) && f.Length != 4 && f.Length != 16
}

// roundTrip decodes data, encodes it, and decodes it again.
func roundTrip(t *testing.T, tmpl *ipfix.Template, data []byte) {
	t.Helper()
	d := ipfix.RecordDecoder{Base: flow.Record{Exported: exported}, Uptime: &ipfix.Uptime{}}
	var r, again flow.Record
	n, err := d.Decode(tmpl, &r, data)
	if err != nil || r.Src.Is4In6() || slices.ContainsFunc(tmpl.Fields, holdsNoAddress) {
		return
	}
	if n < tmpl.MinLength() || n > len(data) {
		t.Fatalf("read %d bytes of %d", n, len(data))
	}
	e := ipfix.Encoder{SetWriter: ipfix.SetWriter{Limit: 65000}}
	e.Begin(nil, exported)
	if e.AddData(tmpl, []flow.Record{r}) == 0 {
		return
	}
	_, body, err := ipfix.ParseHeader(e.End())
	if err != nil {
		t.Fatal(err)
	}
	sets := ipfix.NewSets(body)
	set, _ := sets.Next()
	if _, err := d.Decode(tmpl, &again, set.Body); err != nil {
		t.Fatal(err)
	}
	nextIsDecode(t, tmpl, data, set.Body)
	if again.Bytes != r.Bytes || again.SrcPort != r.SrcPort || again.Src != r.Src || again.Proto != r.Proto ||
		again.Input != r.Input {
		t.Fatalf("got  %+v\nwant %+v\ntemplate %v", again, r, tmpl.Fields)
	}
}

// nextIsDecode decodes b behind a as the next record, and alone: both must give
// the same, whatever a collector has done to the record between.
func nextIsDecode(t *testing.T, tmpl *ipfix.Template, a, b []byte) {
	t.Helper()
	base := flow.Record{Exported: exported, Version: flow.IPFIX, Domain: 3}
	d := ipfix.RecordDecoder{Base: base, Uptime: &ipfix.Uptime{}}
	var r flow.Record
	if _, err := d.Decode(tmpl, &r, a); err != nil {
		return
	}
	r.SamplingRate, r.SamplingSource, r.Names = 7, flow.RateConfig, &flow.Names{}
	r.RevBytes, r.RevPackets, r.Bytes, r.Packets = 0, 0, 5, 5
	for f := range flow.Field(flow.NumFields) {
		r.Present.Add(f)
	}
	alone := ipfix.RecordDecoder{Base: base, Uptime: &ipfix.Uptime{}}
	*alone.Uptime = *d.Uptime
	var want flow.Record
	n, err := d.Next(tmpl, &r, b)
	m, wantErr := alone.Decode(tmpl, &want, b)
	if n != m || (err == nil) != (wantErr == nil) {
		t.Fatalf("got %d bytes, %v; want %d, %v", n, err, m, wantErr)
	}
	if len(want.Extra) == 0 && len(r.Extra) == 0 {
		want.Extra, r.Extra = nil, nil
	}
	if len(want.Nested) == 0 && len(r.Nested) == 0 {
		want.Nested, r.Nested = nil, nil
	}
	if err == nil && !reflect.DeepEqual(r, want) {
		t.Fatalf("after another record: got\n%+v\nalone\n%+v\ntemplate %v", r, want, tmpl.Fields)
	}
}

// TestNext decodes records behind others: of every element the decoder knows
// alone, and of many at once.
func TestNext(t *testing.T) {
	var all []ipfix.FieldSpec
	for _, e := range ie.All() {
		if e.PEN == 0 || e.PEN == ie.VMwarePEN || e.PEN == ie.ReversePEN {
			all = append(all, ipfix.FieldSpec{PEN: e.PEN, ID: e.ID})
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	lengths := []uint16{1, 2, 3, 4, 4, 6, 8, 8, 12, 16, 16, ipfix.Variable}
	for i := range 3 * len(all) {
		fields := []ipfix.FieldSpec{all[i%len(all)]}
		for range rng.IntN(12) {
			fields = append(fields, all[rng.IntN(len(all))])
		}
		for j := range fields {
			fields[j].Length = lengths[rng.IntN(len(lengths))]
		}
		records := [2][]byte{}
		for j := range records {
			for _, f := range fields {
				n := int(f.Length)
				if f.Length == ipfix.Variable {
					n = rng.IntN(20)
					records[j] = append(records[j], byte(n))
				}
				for range n {
					records[j] = append(records[j], byte(rng.IntN(256)*rng.IntN(2)))
				}
			}
		}
		nextIsDecode(t, template(t, 256, fields...), records[0], records[1])
	}
	tmpl := template(t, 256, fullFields()...)
	recs := []flow.Record{full(), {Src: netip.MustParseAddr("192.0.2.77"), First: exported, Last: exported}}
	e := ipfix.Encoder{}
	e.Begin(nil, exported)
	e.AddData(tmpl, recs)
	_, body, _ := ipfix.ParseHeader(e.End())
	n, _ := (&ipfix.RecordDecoder{}).Decode(tmpl, &flow.Record{}, body[4:])
	nextIsDecode(t, tmpl, body[4:], body[4+n:])
}

// TestFieldsWithoutBytes sends a template of which almost all fields have no bytes: a
// record has what has some, and not a thousand empty elements besides.
func TestFieldsWithoutBytes(t *testing.T) {
	fields := []ipfix.FieldSpec{{ID: 1, Length: 1}}
	for id := uint16(500); len(fields) < ipfix.MaxFields-1; id++ {
		fields = append(fields, ipfix.FieldSpec{PEN: 1, ID: id})
	}
	fields = append(fields, ipfix.FieldSpec{PEN: 2, ID: 7, Length: 1})
	tmpl, err := ipfix.NewTemplate(256, fields)
	if err != nil {
		t.Fatal(err)
	}
	var d ipfix.RecordDecoder
	var r flow.Record
	if n, err := d.Decode(tmpl, &r, []byte{5, 6}); n != 2 || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if r.Bytes != 5 || len(r.Extra) != 1 || r.Extra[0].ID != 7 || r.Extra[0].Value[0] != 6 {
		t.Errorf("got %d bytes and the elements %v", r.Bytes, r.Extra)
	}
	if !tmpl.Equal(fields) {
		t.Error("the template is not what was sent")
	}
	for i := range fields {
		fields[i].Scope = i < 900
	}
	options, err := ipfix.NewOptionsTemplate(257, fields)
	if err != nil {
		t.Fatal(err)
	}
	var o flow.OptionRecord
	if n, err := ipfix.DecodeOption(options, &o, []byte{5, 6}); n != 2 || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if len(o.Scope) > 1+4 || len(o.Fields) != 1 {
		t.Errorf("an option record has %d scopes and %d fields", len(o.Scope), len(o.Fields))
	}
}
