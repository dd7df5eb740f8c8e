package netflow

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/serializers/influx"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// exported is when the test's datagrams were sent.
const exported = flow.Time(1767323044e9)

// flows returns flows as a router reports them, with changing addresses and
// ports.
func flows(from, n int) []flow.Record {
	recs := make([]flow.Record, n)
	for i := range recs {
		k := from + i
		recs[i] = flow.Record{
			First: exported - 9e9 - flow.Time(k%1000)*1e6, Last: exported - 1e9 - flow.Time(k%500)*1e6,
			Src: netip.AddrFrom4([4]byte{10, byte(k >> 9), 0, byte(k)}), Dst: netip.AddrFrom4([4]byte{172, 16, byte(k >> 5), byte(k * 7)}),
			NextHop: netip.AddrFrom4([4]byte{10, 2, 0, 1}), SrcPort: uint16(1024 + k), DstPort: 443, Proto: 6, TCPFlags: 0x1b,
			Bytes: uint64(k) * 1000, Packets: uint64(k % 200), Input: 3, Output: 4, SrcMask: 24, DstMask: 16, SrcAS: 64500, DstAS: 64501,
		}
	}
	return recs
}

// fields is a usual router's template.
func fields() []ipfix.FieldSpec {
	return []ipfix.FieldSpec{
		{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 15, Length: 4}, {ID: 10, Length: 4}, {ID: 14, Length: 4},
		{ID: 2, Length: 8}, {ID: 1, Length: 8}, {ID: 152, Length: 8}, {ID: 153, Length: 8}, {ID: 7, Length: 2}, {ID: 11, Length: 2},
		{ID: 6, Length: 1}, {ID: 4, Length: 1}, {ID: 5, Length: 1}, {ID: 16, Length: 4}, {ID: 17, Length: 4},
		{ID: 9, Length: 1}, {ID: 13, Length: 1}, {ID: 61, Length: 1},
	}
}

// datagrams returns IPFIX datagrams with n flows, and the template in front.
func datagrams(t testing.TB, n int) [][]byte {
	t.Helper()
	tmpl, err := ipfix.NewTemplate(256, fields())
	if err != nil {
		t.Fatal(err)
	}
	e := ipfix.Encoder{Domain: 1}
	e.Begin(nil, exported)
	e.AddTemplates(tmpl)
	list := [][]byte{e.End()}
	recs := flows(0, n)
	for len(recs) > 0 {
		e.Begin(nil, exported)
		recs = recs[e.AddData(tmpl, recs):]
		list = append(list, e.End())
	}
	return list
}

// v5Datagrams returns NetFlow v5 datagrams with n flows.
func v5Datagrams(n int) [][]byte {
	var list [][]byte
	h := netflow.V5Header{SysUptime: 1e6, Seconds: uint32(exported / 1e9)}
	for done := 0; done < n; {
		k := min(n-done, netflow.V5MaxCount)
		list = append(list, netflow.AppendV5(nil, h, flows(done, k)))
		h.Sequence += uint32(k)
		done += k
	}
	return list
}

// vmwareDatagrams returns IPFIX as a virtual distributed switch sends it: a flow
// between two virtual machines, and one inside a VXLAN segment.
func vmwareDatagrams(t testing.TB) [][]byte {
	t.Helper()
	vmware := func(id, n uint16) ipfix.FieldSpec { return ipfix.FieldSpec{PEN: 6876, ID: id, Length: n} }
	common := []ipfix.FieldSpec{{ID: 1, Length: 8}, {ID: 2, Length: 8}, {ID: 152, Length: 8}, {ID: 153, Length: 8}, {ID: 10, Length: 4},
		{ID: 14, Length: 4}, {ID: 61, Length: 1}, {ID: 136, Length: 1}, {ID: 351, Length: 8}, vmware(890, 2), vmware(888, 2), vmware(889, 1)}
	plain, err := ipfix.NewTemplate(256, append([]ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 7, Length: 2}, {ID: 11, Length: 2}, {ID: 4, Length: 1}, {ID: 6, Length: 1}}, common...))
	if err != nil {
		t.Fatal(err)
	}
	vxlan, err := ipfix.NewTemplate(257, append([]ipfix.FieldSpec{vmware(893, 4), vmware(894, 4), vmware(895, 1), vmware(881, 4), vmware(882, 4),
		vmware(880, 1), vmware(886, 2), vmware(887, 2), vmware(898, ipfix.Variable)}, common...))
	if err != nil {
		t.Fatal(err)
	}
	recs := flows(7, 1)
	recs[0].IngressAttr, recs[0].EgressAttr, recs[0].Direction, recs[0].EndReason = 1, 2, 1, 1
	inner := recs[0]
	inner.TunSrc, inner.TunDst, inner.TunProto, inner.SegmentID = netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("192.0.2.12"), 17, 5001
	inner.Extra = []flow.Element{{PEN: 6876, ID: 898, Value: []byte("5a3c1f0e-port")}}
	var e ipfix.Encoder
	e.Begin(nil, exported)
	e.AddTemplates(plain, vxlan)
	e.AddData(plain, recs)
	e.AddData(vxlan, []flow.Record{inner})
	return [][]byte{e.End()}
}

// v9Datagrams returns NetFlow v9 with a sampler table, an interface table, and a
// flow that names the sampler.
func v9Datagrams(t testing.TB) [][]byte {
	t.Helper()
	sampler, err := ipfix.NewTemplate(300, []ipfix.FieldSpec{{ID: 1, Length: 4, Scope: true}, {ID: 48, Length: 1}, {ID: 49, Length: 1}, {ID: 50, Length: 4}, {ID: 84, Length: 8}})
	if err != nil {
		t.Fatal(err)
	}
	names, err := ipfix.NewTemplate(301, []ipfix.FieldSpec{{ID: 2, Length: 4, Scope: true}, {ID: 82, Length: 16}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := ipfix.NewTemplate(256, append(fields()[:7:7], ipfix.FieldSpec{ID: 22, Length: 4}, ipfix.FieldSpec{ID: 21, Length: 4}, ipfix.FieldSpec{ID: 48, Length: 1}))
	if err != nil {
		t.Fatal(err)
	}
	e := netflow.V9Encoder{SourceID: 3}
	e.Boot = exported - 3600e9
	e.Begin(nil, exported)
	e.AddTemplates(sampler, names, data)
	e.AddOptions(sampler, []flow.OptionRecord{{Fields: []flow.Element{{ID: 48, Value: []byte{1}}, {ID: 49, Value: []byte{2}}, {ID: 50, Value: []byte{0, 0, 4, 0}}, {ID: 84, Value: []byte("one-1024")}}}})
	e.AddOptions(names, []flow.OptionRecord{{Scope: []flow.Element{{ID: 2, Value: []byte{0, 0, 0, 3}}}, Fields: []flow.Element{{ID: 82, Value: []byte("xe-0/0/3")}}}})
	recs := flows(3, 2)
	recs[0].SamplerID = 1
	e.AddData(data, recs)
	return [][]byte{e.End()}
}

func received(b []byte) collector.Datagram {
	return collector.Datagram{Exporter: netip.MustParseAddrPort("192.0.2.1:2055"), Received: time.Unix(1767323045, 0), Payload: b}
}

func allReceived(payloads [][]byte) (list []collector.Datagram) {
	for _, b := range payloads {
		list = append(list, received(b))
	}
	return list
}

// BenchmarkFlow measures a flow from datagram to metric, and to line protocol.
// The stock plugin takes 7.7 to 10 microseconds for the first alone.
func BenchmarkFlow(b *testing.B) {
	const n = 20000
	for _, c := range []struct {
		name string
		list []collector.Datagram
	}{{"v5", allReceived(v5Datagrams(n))}, {"ipfix", allReceived(datagrams(b, n))}} {
		for _, serialize := range []bool{false, true} {
			name := c.name + " to metric"
			if serialize {
				name = c.name + " to line protocol"
			}
			b.Run(name, func(b *testing.B) {
				p := newPlugin(b, nil)
				s := &influx.Serializer{UintSupport: true}
				if err := s.Init(); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				total := 0
				for range b.N {
					for part := range slices.Chunk(c.list, 64) { // as many as come at once
						metrics := p.decodeAll(part)
						total += len(metrics)
						if serialize {
							line(b, s, metrics)
						}
					}
				}
				if total != b.N*n {
					b.Fatalf("got %d metrics, want %d", total, b.N*n)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/flow")
			})
		}
	}
}

func line(b *testing.B, s *influx.Serializer, metrics []telegraf.Metric) {
	if _, err := s.SerializeBatch(metrics); err != nil {
		b.Fatal(err)
	}
}
