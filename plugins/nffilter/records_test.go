package nffilter

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// base is when the flows of the tests begin: 2023-11-14 22:13:20 UTC.
var base = flow.TimeOf(time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC))

// sent makes fields present.
func sent(r flow.Record, fields ...flow.Field) flow.Record {
	for _, f := range append(fields, flow.Src, flow.Dst, flow.Proto, flow.Bytes, flow.Packets, flow.IPVersion) {
		r.Present.Add(f)
	}
	r.IPVersion, r.Version = 4, flow.V9
	if r.Src.Is6() {
		r.IPVersion = 6
	}
	return r
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// testFlow is a flow and what a file says besides.
type testFlow struct {
	record  flow.Record
	context Context
}

// testFlows are eight flows of many kinds, by number from 1.
func testFlows() []testFlow {
	second := flow.Time(time.Second)
	list := []testFlow{
		{record: sent(flow.Record{Src: ip("10.1.2.3"), Dst: ip("192.0.2.10"), SrcPort: 51000, DstPort: 80,
			Proto: 6, TCPFlags: 0x02,
			Packets: 10, Bytes: 1000, First: base, Last: base + 5*second, Input: 5, Output: 7, SrcMask: 24,
			DstMask: 16,
			SrcAS:   64500, DstAS: 64501},
			flow.Input, flow.Output, flow.SrcMask, flow.DstMask, flow.SrcAS, flow.DstAS, flow.Direction)},
		{record: sent(flow.Record{Src: ip("10.1.2.4"), Dst: ip("192.0.2.11"), SrcPort: 443, DstPort: 52000,
			Proto: 6, TCPFlags: 0x12,
			Packets: 10, Bytes: 2000, First: base, Last: base + 5*second, FwdStatus: 64, Input: 5, Output: 8,
			SrcMask: 24, DstMask: 16},
			flow.Input, flow.Output, flow.SrcMask, flow.DstMask, flow.FwdStatus, flow.Direction)},
		{record: sent(flow.Record{Src: ip("10.2.0.1"), Dst: ip("198.51.100.53"), SrcPort: 40000, DstPort: 53,
			Proto:   17,
			Packets: 1, Bytes: 70, First: base + second, Last: base + second, SrcTOS: 46, DstTOS: 16, Direction: 1,
			Input: 6, Output: 7},
			flow.Input, flow.Output, flow.SrcTOS, flow.DstTOS, flow.Direction)},
		{record: sent(flow.Record{Src: ip("172.16.0.1"), Dst: ip("10.1.2.3"), DstPort: 8 << 8, ICMP: 8 << 8, Proto: 1,
			Packets: 3, Bytes: 252, First: base + 2*second, Last: base + 4*second}, flow.ICMP)},
		{record: sent(flow.Record{Src: ip("2001:db8::1"), Dst: ip("2001:db8:ffff::2"), SrcPort: 50001,
			DstPort: 8443, Proto: 6,
			TCPFlags: 0xD8, Packets: 1000, Bytes: 1500000, Flows: 3, RevPackets: 7777, RevBytes: 77, First: base,
			Last:    base + second,
			SrcVLAN: 101, DstVLAN: 202, MPLS: [10]uint32{74565 << 4, 100 << 4, 153<<4 | 1}, MPLSDepth: 3,
			InSrcMAC: [6]byte{10, 11, 12, 13, 14, 15}, OutDstMAC: [6]byte{2, 0, 0, 0, 0, 1}, InDstMAC: [6]byte{2, 0,
				0, 0, 0, 2},
			OutSrcMAC: [6]byte{2, 0, 0, 0, 0, 3}, NextAS: 65010, PrevAS: 65020, NextHop: ip("fe80::1"), MinTTL: 2,
			MaxTTL: 3},
			flow.Flows, flow.SrcVLAN, flow.DstVLAN, flow.MPLS, flow.InSrcMAC, flow.OutDstMAC, flow.InDstMAC,
			flow.OutSrcMAC,
			flow.NextAS, flow.PrevAS, flow.NextHop, flow.MinTTL, flow.MaxTTL)},
		{record: sent(flow.Record{Src: ip("10.9.9.9"), Dst: ip("203.0.113.7"), SrcPort: 1234, DstPort: 80,
			Proto: 6, Bytes: 500,
			Event: true, EventTime: base + 3*second, FwEvent: 3, FwXEvent: 1001, XlateSrc: ip("198.51.100.9"),
			XlateDst:   ip("203.0.113.7"),
			XlateSPort: 55555, XlateDPort: 80, User: []byte("alice"), IngressVRF: 9, EgressVRF: 8,
			IngressACL: [12]byte{3: 7, 7: 8, 11: 9}, EgressACL: [12]byte{3: 10, 7: 11, 11: 12}},
			flow.EventTime, flow.FwEvent, flow.FwXEvent, flow.XlateSrc, flow.XlateDst, flow.XlateSPort,
			flow.XlateDPort,
			flow.User, flow.IngressVRF, flow.EgressVRF, flow.IngressACL, flow.EgressACL)},
		{record: sent(flow.Record{Src: ip("100.64.0.5"), Dst: ip("203.0.113.8"), SrcPort: 20100, DstPort: 443,
			Proto: 6,
			Event: true, EventTime: base + 3*second, NATEvent: 4, XlateSrc: ip("198.51.100.10"), XlateSPort: 20001,
			PortBlock: [4]uint16{20000, 20511, 1, 512}, EngineType: 1, EngineID: 77, Exporter: ip("127.0.0.1"),
			NextHop: ip("10.0.0.1"), BGPNextHop: ip("10.0.0.2")},
			flow.EventTime, flow.NATEvent, flow.XlateSrc, flow.XlateSPort, flow.PortBlock, flow.NextHop,
			flow.BGPNextHop),
			context: Context{SysID: 2}},
		{record: sent(flow.Record{Src: ip("10.3.0.1"), Dst: ip("192.0.2.80"), SrcPort: 33333, DstPort: 80,
			Proto: 6, TCPFlags: 0x1b,
			Packets: 5, Bytes: 600, First: base, Last: base + 2*second, TunSrc: ip("10.10.10.10"),
			TunDst: ip("11.11.11.11"), TunProto: 4,
			ObservationPoint: 5, Domain: 6, SamplingRate: 100,
			Names: &flow.Names{Input: "Gi0/1", InputVM: "web 1", Exporter: "core", App: "http"}},
			flow.TunSrc, flow.TunDst, flow.TunProto, flow.ObservationPoint),
			context: Context{ClientLatency: 1000, ServerLatency: 2000, AppLatency: 3000,
				Payload: []byte("GET /index HTTP/1.1\r\n")}},
	}
	for i := range list {
		list[i].context.Count, list[i].context.Ident = uint64(i+1), "router1"
	}
	return list
}

// matching returns the numbers of the test flows that a filter matches, "-" for none.
func matching(f *Filter) string {
	var ids []string
	for i, t := range testFlows() {
		if f.Match(&t.record, &t.context) {
			ids = append(ids, strconv.Itoa(i+1))
		}
	}
	if len(ids) == 0 {
		return "-"
	}
	return strings.Join(ids, " ")
}

// mustParse returns a filter in UTC.
func mustParse(t testing.TB, text string) *Filter {
	t.Helper()
	f, err := Parse(text, Options{Location: time.UTC})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}
