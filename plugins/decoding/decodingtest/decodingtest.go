// Package decodingtest makes datagrams as exporters of several kinds send them, for
// tests of what decodes them.
package decodingtest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// Exported is when the's datagrams were sent.
const Exported = flow.Time(1767323044e9)

// Flows returns flows as a router reports them, with changing addresses and
// ports.
func Flows(from, n int) []flow.Record {
	recs := make([]flow.Record, n)
	for i := range recs {
		k := from + i
		recs[i] = flow.Record{
			First: Exported - 9e9 - flow.Time(k%1000)*1e6, Last: Exported - 1e9 - flow.Time(k%500)*1e6,
			Src:     netip.AddrFrom4([4]byte{10, byte(k >> 9), 0, byte(k)}),
			Dst:     netip.AddrFrom4([4]byte{172, 16, byte(k >> 5), byte(k * 7)}),
			NextHop: netip.AddrFrom4([4]byte{10, 2, 0, 1}), SrcPort: uint16(1024 + k), DstPort: 443, Proto: 6,
			TCPFlags: 0x1b,
			Bytes:    uint64(k) * 1000, Packets: uint64(k % 200), Input: 3, Output: 4, SrcMask: 24, DstMask: 16,
			SrcAS: 64500, DstAS: 64501,
		}
	}
	return recs
}

// Fields is a usual router's template.
func Fields() []ipfix.FieldSpec {
	return []ipfix.FieldSpec{
		{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 15, Length: 4}, {ID: 10, Length: 4}, {ID: 14, Length: 4},
		{ID: 2, Length: 8}, {ID: 1, Length: 8}, {ID: 152, Length: 8}, {ID: 153, Length: 8}, {ID: 7, Length: 2},
		{ID: 11, Length: 2},
		{ID: 6, Length: 1}, {ID: 4, Length: 1}, {ID: 5, Length: 1}, {ID: 16, Length: 4}, {ID: 17, Length: 4},
		{ID: 9, Length: 1}, {ID: 13, Length: 1}, {ID: 61, Length: 1},
	}
}

// Datagrams returns IPFIX datagrams with n flows, and the template in front.
func Datagrams(t testing.TB, n int) [][]byte {
	t.Helper()
	tmpl, err := ipfix.NewTemplate(256, Fields())
	if err != nil {
		t.Fatal(err)
	}
	e := ipfix.Encoder{Domain: 1}
	e.Begin(nil, Exported)
	e.AddTemplates(tmpl)
	list := [][]byte{e.End()}
	recs := Flows(0, n)
	for len(recs) > 0 {
		e.Begin(nil, Exported)
		recs = recs[e.AddData(tmpl, recs):]
		list = append(list, e.End())
	}
	return list
}

// V5 returns NetFlow v5 datagrams with n flows.
func V5(n int) [][]byte {
	var list [][]byte
	h := netflow.V5Header{SysUptime: 1e6, Seconds: uint32(Exported / 1e9)}
	for done := 0; done < n; {
		k := min(n-done, netflow.V5MaxCount)
		list = append(list, netflow.AppendV5(nil, h, Flows(done, k)))
		h.Sequence += uint32(k)
		done += k
	}
	return list
}

// VMware returns IPFIX as a virtual distributed switch sends it: a flow
// between two virtual machines, and one inside a VXLAN segment.
func VMware(t testing.TB) [][]byte {
	t.Helper()
	vmware := func(id, n uint16) ipfix.FieldSpec { return ipfix.FieldSpec{PEN: 6876, ID: id, Length: n} }
	common := []ipfix.FieldSpec{{ID: 1, Length: 8}, {ID: 2, Length: 8}, {ID: 152, Length: 8}, {ID: 153, Length: 8},
		{ID: 10, Length: 4},
		{ID: 14, Length: 4}, {ID: 61, Length: 1}, {ID: 136, Length: 1}, {ID: 351, Length: 8}, vmware(890, 2),
		vmware(888, 2), vmware(889, 1)}
	plain, err := ipfix.NewTemplate(256,
		append([]ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 7, Length: 2}, {ID: 11, Length: 2},
			{ID: 4, Length: 1}, {ID: 6, Length: 1}}, common...))
	if err != nil {
		t.Fatal(err)
	}
	vxlan, err := ipfix.NewTemplate(257,
		append([]ipfix.FieldSpec{vmware(893, 4), vmware(894, 4), vmware(895, 1), vmware(881, 4), vmware(882, 4),
			vmware(880, 1), vmware(886, 2), vmware(887, 2), vmware(898, ipfix.Variable)}, common...))
	if err != nil {
		t.Fatal(err)
	}
	recs := Flows(7, 1)
	recs[0].IngressAttr, recs[0].EgressAttr, recs[0].Direction, recs[0].EndReason = 1, 2, 1, 1
	inner := recs[0]
	inner.TunSrc, inner.TunDst, inner.TunProto, inner.SegmentID = netip.MustParseAddr("192.0.2.11"),
		netip.MustParseAddr("192.0.2.12"), 17, 5001
	inner.Extra = []flow.Element{{PEN: 6876, ID: 898, Value: []byte("5a3c1f0e-port")}}
	var e ipfix.Encoder
	e.Begin(nil, Exported)
	e.AddTemplates(plain, vxlan)
	e.AddData(plain, recs)
	e.AddData(vxlan, []flow.Record{inner})
	return [][]byte{e.End()}
}

// Totals returns IPFIX of an exporter whose counters, of both directions, run on since a
// flow began: a flow that is reported twice, with 400 and then 1000 bytes, 40 and then 100
// of them in the other direction, and one that does not say when it began.
func Totals(t testing.TB) [][]byte {
	t.Helper()
	reverse := func(id uint16) ipfix.FieldSpec { return ipfix.FieldSpec{PEN: 29305, ID: id, Length: 8} }
	fields := []ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 85, Length: 8}, {ID: 86, Length: 8},
		reverse(85), reverse(86)}
	whole, err := ipfix.NewTemplate(256, append(fields[:6:6], ipfix.FieldSpec{ID: 152, Length: 8}))
	if err != nil {
		t.Fatal(err)
	}
	noStart, err := ipfix.NewTemplate(257, fields)
	if err != nil {
		t.Fatal(err)
	}
	first := Flows(1, 1)[0]
	first.Bytes, first.Packets, first.RevBytes, first.RevPackets = 400, 4, 40, 2
	again := first
	again.Bytes, again.Packets, again.RevBytes, again.RevPackets = 1000, 10, 100, 5
	var e ipfix.Encoder
	e.Begin(nil, Exported)
	e.AddTemplates(whole, noStart)
	e.AddData(whole, []flow.Record{first, again})
	e.AddData(noStart, []flow.Record{again})
	return [][]byte{e.End()}
}

// BothWays returns IPFIX whose elements 23 and 24 may be what came back: a flow of 400
// bytes and 4 packets with 40 bytes and 2 packets.
func BothWays(t testing.TB) [][]byte {
	t.Helper()
	tmpl, err := ipfix.NewTemplate(256, []ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 1, Length: 8},
		{ID: 2, Length: 8}, {ID: 23, Length: 8}, {ID: 24, Length: 8}})
	if err != nil {
		t.Fatal(err)
	}
	r := Flows(1, 1)[0]
	r.Bytes, r.Packets, r.OutBytes, r.OutPackets = 400, 4, 40, 2
	var e ipfix.Encoder
	e.Begin(nil, Exported)
	e.AddTemplates(tmpl)
	e.AddData(tmpl, []flow.Record{r})
	return [][]byte{e.End()}
}

// V9 returns NetFlow v9 with a sampler table, an interface table, and a
// flow that names the sampler.
func V9(t testing.TB) [][]byte {
	t.Helper()
	sampler, err := ipfix.NewTemplate(300, []ipfix.FieldSpec{{ID: 1, Length: 4, Scope: true}, {ID: 48, Length: 1},
		{ID: 49, Length: 1}, {ID: 50, Length: 4}, {ID: 84, Length: 8}})
	if err != nil {
		t.Fatal(err)
	}
	names, err := ipfix.NewTemplate(301, []ipfix.FieldSpec{{ID: 2, Length: 4, Scope: true}, {ID: 82, Length: 16}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := ipfix.NewTemplate(256, append(Fields()[:7:7], ipfix.FieldSpec{ID: 22, Length: 4},
		ipfix.FieldSpec{ID: 21, Length: 4}, ipfix.FieldSpec{ID: 48, Length: 1}))
	if err != nil {
		t.Fatal(err)
	}
	e := netflow.V9Encoder{SourceID: 3}
	e.Boot = Exported - 3600e9
	e.Begin(nil, Exported)
	e.AddTemplates(sampler, names, data)
	e.AddOptions(sampler, []flow.OptionRecord{{Fields: []flow.Element{{ID: 48, Value: []byte{1}},
		{ID: 49, Value: []byte{2}}, {ID: 50, Value: []byte{0, 0, 4, 0}}, {ID: 84, Value: []byte("one-1024")}}}})
	e.AddOptions(names, []flow.OptionRecord{{Scope: []flow.Element{{ID: 2, Value: []byte{0, 0, 0, 3}}},
		Fields: []flow.Element{{ID: 82, Value: []byte("xe-0/0/3")}}}})
	recs := Flows(3, 2)
	recs[0].SamplerID = 1
	e.AddData(data, recs)
	return [][]byte{e.End()}
}

// Received returns a datagram as if it had come from 192.0.2.1.
func Received(b []byte) collector.Datagram {
	return collector.Datagram{Exporter: netip.MustParseAddrPort("192.0.2.1:2055"), Received: time.Unix(1767323045, 0),
		Payload: b}
}

// AllReceived returns datagrams as Received does.
func AllReceived(payloads [][]byte) (list []collector.Datagram) {
	for _, b := range payloads {
		list = append(list, Received(b))
	}
	return list
}
