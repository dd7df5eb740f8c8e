package collector

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
	"github.com/flowgraf/flowgraf/plugins/packet"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// stream is the datagrams of one exporter: templates first, then data.
type stream struct {
	name      string
	templates []byte
	data      []byte
	records   int
}

// exported is when the streams' datagrams were sent.
const exported = flow.Time(1767323044e9)

// streamRecords are flows as a router reports them.
func streamRecords(n int) []flow.Record {
	recs := make([]flow.Record, n)
	for i := range recs {
		recs[i] = flow.Record{
			First: exported - 9e9, Last: exported - 1e9,
			Src: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Dst: netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}),
			NextHop: netip.AddrFrom4([4]byte{10, 2, 0, 1}), SrcPort: uint16(1024 + i), DstPort: 443, Proto: 6,
			TCPFlags: 0x1b,
			Bytes:    123456, Packets: 99, Input: 3, Output: 4, SrcMask: 24, DstMask: 16, SrcAS: 64500, DstAS: 64501,
			Direction:   1,
			IngressAttr: 1, EgressAttr: 2, SegmentID: 5001, EndReason: 1, MaxTTL: 64,
		}
	}
	return recs
}

// routerFields are what a router's NetFlow v9 or IPFIX template usually has.
func routerFields(first, last ipfix.FieldSpec) []ipfix.FieldSpec {
	return []ipfix.FieldSpec{
		{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 15, Length: 4}, {ID: 10, Length: 4}, {ID: 14, Length: 4},
		{ID: 2, Length: 8}, {ID: 1, Length: 8}, first, last, {ID: 7, Length: 2}, {ID: 11, Length: 2},
		{ID: 6, Length: 1}, {ID: 4, Length: 1}, {ID: 5, Length: 1}, {ID: 16, Length: 4}, {ID: 17, Length: 4},
		{ID: 9, Length: 1}, {ID: 13, Length: 1}, {ID: 61, Length: 1}, {ID: 210, Length: 1},
	}
}

// streams returns one stream per protocol.
func streams(t testing.TB) []stream {
	t.Helper()
	recs := streamRecords(30)
	h := netflow.V5Header{SysUptime: 1e6, Seconds: uint32(exported / 1e9)}
	list := []stream{{name: "v5", data: netflow.AppendV5(nil, h, recs), records: 30}}

	boot := exported - 1e6*1e6
	v9 := netflow.V9Encoder{SourceID: 1}
	v9.Boot = boot
	tmpl := mustTemplate(t, routerFields(ipfix.FieldSpec{ID: 22, Length: 4}, ipfix.FieldSpec{ID: 21, Length: 4}))
	s := stream{name: "v9"}
	v9.Begin(nil, exported)
	v9.AddTemplates(tmpl)
	s.templates = v9.End()
	v9.Begin(nil, exported)
	s.records = v9.AddData(tmpl, recs)
	s.data = v9.End()
	list = append(list, s)

	for _, c := range []struct {
		name   string
		fields []ipfix.FieldSpec
	}{
		{"ipfix", routerFields(ipfix.FieldSpec{ID: 152, Length: 8}, ipfix.FieldSpec{ID: 153, Length: 8})},
		{"ipfix variable length",
			append(routerFields(ipfix.FieldSpec{ID: 152, Length: 8}, ipfix.FieldSpec{ID: 153, Length: 8}),
				ipfix.FieldSpec{ID: 371, Length: ipfix.Variable})},
		{"ipfix vmware", vmwareFields()},
	} {
		e := ipfix.Encoder{Domain: 1}
		s := stream{name: c.name}
		tmpl := mustTemplate(t, c.fields)
		e.Begin(nil, exported)
		e.AddTemplates(tmpl)
		s.templates = e.End()
		e.Begin(nil, exported)
		s.records = e.AddData(tmpl, recs)
		s.data = e.End()
		list = append(list, s)
	}

	packets := sflow.Encoder{Agent: netip.AddrFrom4([4]byte{192, 0, 2, 1})}
	packets.Begin(nil, exported)
	for i := range recs[:10] {
		r := recs[i]
		r.SamplingRate = 512
		packets.Flow(&r, 1, packet.Append(nil, &r), uint32(r.Bytes))
	}
	return append(list, stream{name: "sflow", data: packets.End(), records: 10})
}

// vmwareFields are those of a virtual distributed switch.
func vmwareFields() []ipfix.FieldSpec {
	return []ipfix.FieldSpec{
		{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 1, Length: 8}, {ID: 2, Length: 8}, {ID: 152, Length: 8},
		{ID: 153, Length: 8},
		{ID: 10, Length: 4}, {ID: 14, Length: 4}, {ID: 7, Length: 2}, {ID: 11, Length: 2}, {ID: 4, Length: 1},
		{ID: 136, Length: 1},
		{ID: 6, Length: 1}, {ID: 5, Length: 1}, {ID: 53, Length: 1}, {ID: 61, Length: 1}, {ID: 351, Length: 8},
		{ID: 210, Length: 1},
		{PEN: 6876, ID: 890, Length: 2}, {PEN: 6876, ID: 888, Length: 2}, {PEN: 6876, ID: 889, Length: 1},
	}
}

func mustTemplate(t testing.TB, fields []ipfix.FieldSpec) *ipfix.Template {
	t.Helper()
	tmpl, err := ipfix.NewTemplate(256, fields)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// BenchmarkDecode measures a record from datagram to handler. The budget is 100
// ns and no allocation.
func BenchmarkDecode(b *testing.B) {
	for _, s := range streams(b) {
		b.Run(s.name, func(b *testing.B) {
			d := NewDecoder(Options{})
			var bytes uint64
			h := Handler{Flow: func(r *flow.Record) { bytes += r.Bytes }}
			if s.templates != nil {
				if err := d.Decode(datagram(s.templates), h); err != nil {
					b.Fatal(err)
				}
			}
			dg := datagram(s.data)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := d.Decode(dg, h); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*s.records), "ns/record")
			if bytes != uint64(b.N*s.records)*123456 {
				b.Fatalf("expected %d records per datagram", s.records)
			}
		})
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	for _, s := range streams(t) {
		d := NewDecoder(Options{})
		var flows int
		h := Handler{Flow: func(r *flow.Record) { flows++ }}
		run := func() {
			if s.templates != nil {
				if err := d.Decode(datagram(s.templates), h); err != nil {
					t.Fatal(err)
				}
			}
		}
		run()
		dg := datagram(s.data)
		n := testing.AllocsPerRun(100, func() {
			if err := d.Decode(dg, h); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: expected no allocation, got %.1f per datagram", s.name, n)
		}
		if flows != 102*s.records && flows != 101*s.records {
			t.Errorf("%s: expected %d records a datagram, got %d in all", s.name, s.records, flows)
		}
	}
}
