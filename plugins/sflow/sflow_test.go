package sflow

import (
	"encoding/binary"
	"maps"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/packet"
)

// addr parses an address.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// decodeAll decodes a datagram and returns copies of what it holds.
func decodeAll(t testing.TB, b []byte) (flows []flow.Record, samples []flow.Sample, counters []flow.CounterRecord,
	err error) {
	t.Helper()
	h, list, err := ParseHeader(b)
	if err != nil {
		return nil, nil, nil, err
	}
	var d Decoder
	base := flow.Record{Received: 1}
	for {
		s, ok := list.Next()
		if !ok && err == nil {
			err = list.Err()
		}
		if !ok {
			return flows, samples, counters, err
		}
		switch s.Format {
		case FlowSample, ExpandedFlowSample, DiscardedPacket:
			var r flow.Record
			if e := d.Flow(&r, &base, &h, s); e != nil && err == nil {
				err = e
			}
			flows, samples = append(flows, r), append(samples, *r.Sample)
		case CounterSample, ExpandedCounterSample:
			var o flow.CounterRecord
			e := d.Counters(&o, &h, s, func(o *flow.CounterRecord) {
				c := *o
				c.Counters = append([]flow.Counter(nil), o.Counters...)
				counters = append(counters, c)
			})
			if e != nil && err == nil {
				err = e
			}
		}
	}
}

func TestFlowRoundTrip(t *testing.T) {
	want := []flow.Record{
		{Src: addr("192.0.2.1"), Dst: addr("198.51.100.2"), SrcPort: 1024, DstPort: 443, Proto: 6, TCPFlags: 0x1b,
			SrcTOS: 8, SrcVLAN: 7, Input: 3, Output: 4, SamplingRate: 512, Bytes: 900, MaxTTL: 63},
		{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), SrcPort: 53, DstPort: 5353, Proto: 17, Input: 1, Output: 2,
			SamplingRate: 1, Bytes: 90, MaxTTL: 1},
		{Src: addr("192.0.2.1"), Dst: addr("198.51.100.2"), DstPort: 0x0800, Proto: 1, Input: 9, Output: 9, Bytes: 84,
			MaxTTL: 9},
	}
	e := Encoder{Agent: addr("192.0.2.254"), SubAgent: 2}
	e.Begin(nil, 5e9)
	for i := range want {
		e.Flow(&want[i], packet.ProtocolEthernet, packet.Append(nil, &want[i]), uint32(want[i].Bytes))
	}
	got, samples, _, err := decodeAll(t, e.End())
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %d flows, %v", len(got), err)
	}
	for i, w := range want {
		g := got[i]
		if g.Src != w.Src || g.Dst != w.Dst || g.SrcPort != w.SrcPort || g.DstPort != w.DstPort || g.Proto != w.Proto ||
			g.TCPFlags != w.TCPFlags ||
			g.SrcTOS != w.SrcTOS || g.SrcVLAN != w.SrcVLAN || g.Input != w.Input || g.Output != w.Output ||
			g.Bytes != w.Bytes || g.Packets != 1 ||
			g.SamplingRate != max(w.SamplingRate, 1) || g.MaxTTL != w.MaxTTL || g.IPVersion == 0 {
			t.Errorf("got %+v\nwant %+v", g, w)
		}
	}
	if s := samples[0]; s.Agent != addr("192.0.2.254") || s.SubAgent != 2 || s.Uptime != 5000 || s.Interval != 512 {
		t.Errorf("got %+v", s)
	}
}

func TestCounterRoundTrip(t *testing.T) {
	for i := range counterFormats {
		f := &counterFormats[i]
		want := flow.CounterRecord{Kind: f.kind}
		for j, c := range f.columns {
			v := flow.Counter{Name: c.name, Value: uint64(j + 1)}
			switch c.shape {
			case u64:
				v.Value, v.Unknown = math.MaxUint64-uint64(j), j == 0
			case f32:
				v = flow.Counter{Name: c.name, Real: true, Float: 0.25}
			case mac:
				v = flow.Counter{Name: c.name, Text: []byte{1, 2, 3, 4, 5, 6}}
			case uuid:
				v = flow.Counter{Name: c.name, Text: []byte("0123456789abcdef")}
			case text:
				v = flow.Counter{Name: c.name, Text: []byte("eno1")}
			case adapters:
				v = flow.Counter{Name: c.name, Text: []byte("2=00:50:56:00:00:01,3=00:50:56:00:00:02")}
			}
			want.Counters = append(want.Counters, v)
		}
		e := Encoder{Agent: addr("2001:db8::9")}
		e.Begin(nil, 0)
		e.Counters(77, want)
		_, _, got, err := decodeAll(t, e.End())
		if err != nil || len(got) != 1 || got[0].Kind != f.kind || got[0].Source != 77 ||
			!reflect.DeepEqual(got[0].Counters, want.Counters) {
			t.Errorf("%s: got %+v, %v\nwant %+v", f.kind, got, err, want)
		}
	}
}

// cat puts byte slices behind each other.
func cat(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// u32s are big-endian words.
func u32s(v ...uint32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return b
}

// rec is a record or sample with its head.
func rec(format uint32, body []byte) []byte {
	return cat(u32s(format, uint32(len(body))), body)
}

// sampleDatagram is a datagram of our own with every kind of sample and record.
func sampleDatagram() []byte {
	mac := []byte{2, 0, 0, 0, 0, 1, 0, 0}
	records := cat(
		rec(2, cat(u32s(64), mac, mac, u32s(0x800))),
		rec(3, cat(u32s(60, 17), addr("10.0.0.1").AsSlice(), addr("10.0.0.2").AsSlice(), u32s(5, 6, 0, 4))),
		rec(1001, u32s(10, 1, 20, 2)),
		rec(1002, cat(u32s(1), addr("10.9.9.9").AsSlice(), u32s(24, 16))),
		rec(1003, cat(u32s(1), addr("10.8.8.8").AsSlice(),
			u32s(64500, 64501, 64502, 1, 2, 2, 64503, 64504, 1, 0xfde80001, 100))),
		rec(1004, cat(u32s(0, 4), []byte("anna"), u32s(0, 0))),
		rec(1007, cat(u32s(1), addr("203.0.113.1").AsSlice(), u32s(0))),
		rec(1030, u32s(5001)),
		rec(1036, u32s(42)),
		rec(1037, cat(u32s(9, 4), []byte("deny"), u32s(2))),
		rec(1038, cat(u32s(4), []byte("drop"))),
		rec(4242, u32s(1)),
	)
	v6 := rec(4, cat(u32s(60, 58), addr("2001:db8::1").AsSlice(), addr("2001:db8::2").AsSlice(), u32s(0, 0, 0, 0)))
	samples := cat(
		rec(FlowSample, cat(u32s(1, 3, 100, 1000, 0, 3, 0x40000102, 12), records)),
		rec(ExpandedFlowSample, cat(u32s(2, 0, 7, 200, 2000, 5, 0, 7, 2, 6, 1), v6)),
		rec(DiscardedPacket, cat(u32s(3, 0, 7, 1, 7, 8, 256, 1), rec(1036, u32s(3)))),
		rec(4711<<12|1, u32s(1, 2)),
		rec(ExpandedCounterSample, cat(u32s(4, 0, 7, 2), rec(1005, cat(u32s(4), []byte("eno1"))), rec(9999, nil))),
	)
	return cat(u32s(5, 1), addr("192.0.2.254").AsSlice(), u32s(1, 77, 5000, 5), samples)
}

func TestExtendedRecords(t *testing.T) {
	flows, samples, counters, err := decodeAll(t, sampleDatagram())
	if err != nil || len(flows) != 3 || len(counters) != 1 {
		t.Fatalf("got %d flows, %d counter records, %v", len(flows), len(counters), err)
	}
	r, s := flows[0], samples[0]
	if r.Src != addr("10.0.0.1") || r.DstPort != 6 || r.Bytes != 64 || r.SamplingRate != 100 || r.SrcVLAN != 10 ||
		r.DstVLAN != 20 ||
		r.NextHop != addr("10.9.9.9") || r.SrcMask != 24 || r.SrcAS != 64501 || r.PrevAS != 64502 ||
		r.NextAS != 64503 || r.DstAS != 64504 ||
		r.BGPNextHop != addr("10.8.8.8") || string(r.User) != "anna" || r.XlateSrc != addr("203.0.113.1") ||
		r.Has(flow.XlateDst) ||
		r.SegmentID != 5001 || r.Direction != 1 || r.Has(flow.Output) || r.FwdStatus != 128 {
		t.Errorf("got %+v", r)
	}
	if s.AS != 64500 || s.ASPathLength != 2 || s.LocalPref != 100 || len(s.Communities) != 4 || s.Queue != 42 ||
		string(s.ACLName) != "deny" || string(s.Function) != "drop" || s.Reason != 0x102 {
		t.Errorf("got %+v", s)
	}
	if r := flows[1]; r.Src != addr("2001:db8::1") || r.Input != 7 || r.Has(flow.Output) || r.IPVersion != 6 ||
		samples[1].OutFormat != 2 {
		t.Errorf("got %+v", r)
	}
	if r := flows[2]; samples[2].Kind != flow.SampleDiscarded || samples[2].Reason != 256 || r.Rate() != 1 {
		t.Errorf("got %+v", r)
	}
	if c := counters[0]; c.Kind != "port_name" || string(c.Counters[0].Text) != "eno1" || c.Source != 7 {
		t.Errorf("got %+v", c)
	}
}

func TestCutAndFlipped(t *testing.T) {
	b := sampleDatagram()
	for n := range b {
		decodeAll(t, b[:n:n])
		bad := append([]byte(nil), b...)
		bad[n] ^= 0xff
		decodeAll(t, bad)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	list := packets()
	list["all records"] = sampleDatagram()
	for name, b := range list {
		var d Decoder
		var r flow.Record
		var o flow.CounterRecord
		base := flow.Record{}
		n := testing.AllocsPerRun(100, func() {
			h, samples, err := ParseHeader(b)
			for s, ok := samples.Next(); ok && err == nil; s, ok = samples.Next() {
				switch s.Format {
				case FlowSample, ExpandedFlowSample, DiscardedPacket:
					err = d.Flow(&r, &base, &h, s)
				case CounterSample, ExpandedCounterSample:
					err = d.Counters(&o, &h, s, func(*flow.CounterRecord) {})
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sampleDatagram())
	e := Encoder{Agent: addr("2001:db8::9")}
	e.Begin(nil, 0)
	e.Counters(1, flow.CounterRecord{Kind: "interface"}, flow.CounterRecord{Kind: "host"},
		flow.CounterRecord{Kind: "lag"})
	r := flow.Record{Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"), Proto: 6, SrcVLAN: 3}
	e.Flow(&r, 1, packet.Append(nil, &r), 100)
	f.Add(e.End())
	f.Fuzz(func(t *testing.T, b []byte) {
		flows, _, _, _ := decodeAll(t, b)
		for i := range flows {
			if flows[i].Packets != 1 && flows[i].Packets != 0 {
				t.Fatalf("got %d packets", flows[i].Packets)
			}
		}
	})
}

// routed are the records that a switch or router adds to the packet's header.
func routed() []byte {
	hop := addr("10.9.9.9").AsSlice()
	return cat(
		rec(1001, u32s(10, 1, 20, 2)),
		rec(1002, cat(u32s(1), hop, u32s(24, 16))),
		rec(1003, cat(u32s(1), hop, u32s(64500, 64501, 64502, 1, 2, 3, 64503, 64504, 64505, 2, 0xfde80001, 0xfde80002,
			100))))
}

// packets are datagrams of seven samples each of one packet.
func packets() map[string][]byte {
	mac := [6]byte{2, 0, 0, 0, 0, 1}
	four := flow.Record{Src: addr("192.0.2.1"), Dst: addr("198.51.100.2"), SrcPort: 1024, DstPort: 443, Proto: 6,
		InSrcMAC: mac, OutDstMAC: mac}
	six := flow.Record{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), SrcPort: 53, DstPort: 5353, Proto: 17,
		SrcVLAN: 7}
	tunnel := four
	tunnel.Proto, tunnel.DstPort = 17, 4789
	list := map[string][]byte{}
	for name, c := range map[string]struct{ head, more []byte }{
		"ipv4 tcp":        {packet.Append(nil, &four), nil},
		"ipv4 tcp routed": {packet.Append(nil, &four), routed()},
		"802.1Q ipv6 udp": {packet.Append(nil, &six), nil},
		"vxlan": {cat(packet.Append(nil, &tunnel), []byte{8, 0, 0, 0, 0, 0x13, 0x89, 0},
			packet.Append(nil, &four)), nil},
	} {
		head := append(c.head, make([]byte, 128-len(c.head))...)
		header := rec(1, cat(u32s(1, 900, 4, 128), head))
		count := uint32(1)
		if c.more != nil {
			count = 4
		}
		b := cat(u32s(5, 1), addr("192.0.2.254").AsSlice(), u32s(1, 77, 5000, 7))
		for i := range uint32(7) {
			b = append(b, rec(FlowSample, cat(u32s(i, 3, 512, 512*i, 0, 3, 4, count), header, c.more))...)
		}
		list[name] = b
	}
	return list
}

func BenchmarkFlow(b *testing.B) {
	list := packets()
	for _, name := range slices.Sorted(maps.Keys(list)) {
		b.Run(name, func(b *testing.B) {
			var d Decoder
			var out, base flow.Record
			b.ReportAllocs()
			for b.Loop() {
				h, samples, err := ParseHeader(list[name])
				for s, ok := samples.Next(); ok && err == nil; s, ok = samples.Next() {
					err = d.Flow(&out, &base, &h, s)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(7*b.N), "ns/record")
		})
	}
}

func BenchmarkCounters(b *testing.B) {
	e := Encoder{Agent: addr("192.0.2.254")}
	e.Begin(nil, 0)
	for range 7 {
		e.Counters(1, flow.CounterRecord{Kind: "interface"}, flow.CounterRecord{Kind: "ethernet"})
	}
	dg := e.End()
	var d Decoder
	var o flow.CounterRecord
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		h, samples, err := ParseHeader(dg)
		for s, ok := samples.Next(); ok && err == nil; s, ok = samples.Next() {
			err = d.Counters(&o, &h, s, func(*flow.CounterRecord) { n++ })
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}
