package sflow

import (
	"errors"
	"slices"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/packet"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// one is a datagram with one sample.
func one(format uint32, body ...[]byte) []byte {
	return cat(u32s(5, 1), addr("192.0.2.254").AsSlice(), u32s(1, 77, 5000, 1), rec(format, cat(body...)))
}

// decodeOne decodes a datagram with one flow sample.
func decodeOne(t *testing.T, b []byte) (flow.Record, flow.Sample) {
	t.Helper()
	flows, samples, _, err := decodeAll(t, b)
	if err != nil || len(flows) != 1 {
		t.Fatalf("got %d flows, %v", len(flows), err)
	}
	return flows[0], samples[0]
}

// TestHeads has every word of the three heads at its place.
func TestHeads(t *testing.T) {
	for _, c := range []struct {
		name   string
		format uint32
		head   []byte
		want   flow.Sample
		in     uint32
		out    uint32
		rate   uint32
	}{
		{"flow", FlowSample, u32s(11, 2<<24|0xfedcba, 13, 14, 15, 16, 17, 0),
			flow.Sample{Sequence: 11, SourceType: 2, Source: 0xfedcba, Interval: 13, Pool: 14, Drops: 15}, 16, 17, 13},
		{"expanded flow", ExpandedFlowSample, u32s(11, 1, 0x12345678, 13, 14, 15, 0, 16, 0, 17, 0),
			flow.Sample{Sequence: 11, SourceType: 1, Source: 0x12345678, Interval: 13, Pool: 14, Drops: 15}, 16, 17,
			13},
		{"discarded packet", DiscardedPacket, u32s(11, 2, 0x12345678, 15, 16, 17, 18, 0),
			flow.Sample{Kind: flow.SampleDiscarded, Sequence: 11, SourceType: 2, Source: 0x12345678, Drops: 15,
				Reason: 18}, 16, 17, 0},
	} {
		r, p := decodeOne(t, one(c.format, c.head))
		c.want.Agent, c.want.SubAgent, c.want.Uptime = addr("192.0.2.254"), 1, 5000
		if p.Communities = nil; !equalSamples(p, c.want) {
			t.Errorf("%s: got %+v\nwant %+v", c.name, p, c.want)
		}
		if r.Input != c.in || r.Output != c.out || r.SamplingRate != c.rate ||
			r.Has(flow.SamplingRate) != (c.rate != 0) || r.Sequence != 77 || r.Packets != 1 {
			t.Errorf("%s: got %+v", c.name, r)
		}
		if !r.Has(flow.Packets) || r.Has(flow.Bytes) || p.Headers != 0 {
			t.Errorf("%s: without records, but %+v", c.name, r)
		}
		if dropped := c.format == DiscardedPacket; r.Has(flow.FwdStatus) != dropped || dropped && r.FwdStatus != 128 {
			t.Errorf("%s: forwarding status %d", c.name, r.FwdStatus)
		}
		for n := range c.head {
			flows, _, _, err := decodeAll(t, one(c.format, c.head[:n:n]))
			if !errors.Is(err, wire.ErrShort) || flows[0].Has(flow.Packets) {
				t.Fatalf("%s of %d bytes: got %v", c.name, n, err)
			}
		}
	}
}

// equalSamples compares samples without slices.
func equalSamples(a, b flow.Sample) bool {
	return a.Kind == b.Kind && a.Agent == b.Agent && a.SubAgent == b.SubAgent && a.Uptime == b.Uptime &&
		a.Sequence == b.Sequence &&
		a.SourceType == b.SourceType && a.Source == b.Source && a.Interval == b.Interval && a.Pool == b.Pool &&
		a.Drops == b.Drops &&
		a.Reason == b.Reason && a.OutFormat == b.OutFormat && a.Headers == b.Headers && a.Extended == b.Extended
}

// TestInterfaces has every format of an interface, in both encodings. The agent
// itself is no interface.
func TestInterfaces(t *testing.T) {
	for _, c := range []struct {
		name           string
		format         uint32
		head           []byte
		in, out        uint32
		hasIn, hasOut  bool
		reason, status uint32
		direction      uint8
	}{
		{"interfaces", FlowSample, u32s(0, 3, 1, 0, 0, 3, 4, 0), 3, 4, true, true, 0, 0, 0},
		{"egress", FlowSample, u32s(0, 4, 1, 0, 0, 3, 4, 0), 3, 4, true, true, 0, 0, 1},
		{"discarded", FlowSample, u32s(0, 3, 1, 0, 0, 3, 1<<30|0x102, 0), 3, 0, true, false, 0x102, 128, 0},
		{"seven interfaces", FlowSample, u32s(0, 3, 1, 0, 0, 3, 2<<30|7, 0), 3, 0, true, false, 0, 0, 0},
		{"internal", FlowSample, u32s(0, 3, 1, 0, 0, 0x3fffffff, 0x3fffffff, 0), 0, 0, false, false, 0, 0, 1},
		{"input of format 2", FlowSample, u32s(0, 3, 1, 0, 0, 2<<30|3, 4, 0), 0, 4, false, true, 0, 0, 0},
		{"input of format 1", FlowSample, u32s(0, 3, 1, 0, 0, 1<<30|3, 4, 0), 0, 4, false, true, 0, 0, 0},
		{"expanded", ExpandedFlowSample, u32s(0, 0, 1<<24, 1, 0, 0, 0, 1<<24, 0, 1<<31, 0), 1 << 24, 1 << 31, true,
			true, 0, 0, 0},
		{"expanded, discarded", ExpandedFlowSample, u32s(0, 0, 3, 1, 0, 0, 0, 3, 1, 0x102, 0), 3, 0, true, false, 0x102,
			128, 0},
		{"expanded, seven interfaces", ExpandedFlowSample, u32s(0, 0, 3, 1, 0, 0, 0, 3, 2, 7, 0), 3, 0, true, false, 0,
			0, 0},
		{"from the agent", FlowSample, u32s(0, 4, 1, 0, 0, 0x3fffffff, 4, 0), 0, 4, false, true, 0, 0, 1},
		{"to the agent", FlowSample, u32s(0, 3, 1, 0, 0, 3, 0x3fffffff, 0), 3, 0, true, false, 0, 0, 0},
		{"expanded, internal", ExpandedFlowSample, u32s(0, 0, 3, 1, 0, 0, 0, 0x3fffffff, 0, 0x3fffffff, 0), 0, 0, false,
			false, 0, 0, 1},
		{"expanded, internal as -1", ExpandedFlowSample, u32s(0, 0, 3, 1, 0, 0, 0, 0xffffffff, 0, 0xffffffff, 0), 0, 0,
			false, false, 0, 0, 1},
		{"expanded, format 256", ExpandedFlowSample, u32s(0, 0, 3, 1, 0, 0, 256, 3, 256, 4, 0), 0, 0, false, false, 0,
			0, 0},
	} {
		r, p := decodeOne(t, one(c.format, c.head))
		if r.Input != c.in || r.Output != c.out || r.Has(flow.Input) != c.hasIn || r.Has(flow.Output) != c.hasOut ||
			!r.Has(flow.Direction) || p.Reason != c.reason || uint32(r.FwdStatus) != c.status ||
			r.Direction != c.direction {
			t.Errorf("%s: got input %d (%v), output %d (%v), reason %#x, status %d, direction %d", c.name, r.Input,
				r.Has(flow.Input), r.Output, r.Has(flow.Output), p.Reason, r.FwdStatus, r.Direction)
		}
	}
}

// TestUnknownIsSkipped puts samples and records that nobody knows before those that
// are decoded.
func TestUnknownIsSkipped(t *testing.T) {
	sampled := flow.Record{Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"), Proto: 17, DstPort: 53}
	head := packet.Append(nil, &sampled)
	header := rec(1, cat(u32s(1, 1400, 4, uint32(len(head))), head, make([]byte, -len(head)&3)))
	r, p := decodeOne(t, one(FlowSample, u32s(1, 3, 100, 0, 0, 3, 4, 4),
		rec(4242, u32s(1, 2, 3)), rec(4711<<12|1, []byte{1, 2, 3, 4}), rec(2222, nil), header))
	if p.Headers&flow.HasFrame == 0 || p.Protocol != 1 || p.FrameLength != 1400 || r.Src != sampled.Src ||
		r.DstPort != 53 || r.Bytes != 1400 || r.Scale(r.Bytes) != 140000 || r.Scale(r.Packets) != 100 {
		t.Errorf("got %+v", r)
	}
	b := cat(u32s(5, 1), addr("192.0.2.254").AsSlice(), u32s(1, 77, 5000, 3),
		rec(99, u32s(1)), rec(4711<<12|FlowSample, u32s(1, 2)),
		rec(CounterSample, cat(u32s(1, 7, 2), rec(4711<<12|1, u32s(5)), rec(2002, u32s(1, 2)))))
	flows, _, counters, err := decodeAll(t, b)
	if err != nil || len(flows) != 0 || len(counters) != 1 || counters[0].Kind != "host_parent" ||
		counters[0].Counters[1].Value != 2 {
		t.Errorf("got %d flows, %+v, %v", len(flows), counters, err)
	}
}

// TestShortRecords cuts every record at every length: an error, and nothing that
// is half there.
func TestShortRecords(t *testing.T) {
	hop := cat(u32s(2), addr("2001:db8::1").AsSlice())
	for _, c := range []struct {
		format uint32
		body   []byte
		field  flow.Field
	}{
		{1, cat(u32s(1, 100, 0, 16), make([]byte, 16)), flow.Bytes},
		{1001, u32s(1, 2, 3, 4), flow.SrcVLAN},
		{1002, cat(hop, u32s(24, 16)), flow.SrcMask},
		{1003, cat(hop, u32s(1, 2, 3, 2, 1, 1, 9, 2, 2, 10, 11, 1, 77, 100)), flow.SrcAS},
		{1007, cat(hop, hop), flow.XlateSrc},
	} {
		head := u32s(1, 3, 100, 0, 0, 3, 4, 1)
		if r, _ := decodeOne(t, one(FlowSample, head, rec(c.format, c.body))); !r.Has(c.field) {
			t.Errorf("record %d: %s is missing", c.format, c.field.Name())
		}
		for n := range c.body {
			flows, _, _, err := decodeAll(t, one(FlowSample, head, rec(c.format, c.body[:n:n])))
			if !errors.Is(err, wire.ErrShort) || flows[0].Has(c.field) {
				t.Errorf("record %d of %d bytes: got %v, %s: %v", c.format, n, err, c.field.Name(),
					flows[0].Has(c.field))
			}
		}
	}
}

// TestWhatRecordsSet has the fields of every record of a sample, and says of each
// that it was sent.
func TestWhatRecordsSet(t *testing.T) {
	four, six := addr("192.0.2.1").AsSlice(), addr("2001:db8::1").AsSlice()
	mac := func(n byte) []byte { return []byte{2, 0, 0, 0, 0, n, 0, 0} }
	hop := cat(u32s(1), four)
	for _, c := range []struct {
		format uint32
		body   []byte
		fields []flow.Field
		ok     func(r *flow.Record, p *flow.Sample) bool
	}{
		{2, cat(u32s(64), mac(1), mac(2), u32s(0x86dd)), []flow.Field{flow.Bytes, flow.InSrcMAC, flow.OutDstMAC},
			func(r *flow.Record, p *flow.Sample) bool {
				return r.Bytes == 64 && p.EthLength == 64 && r.InSrcMAC[5] == 1 && r.OutDstMAC[5] == 2 &&
					p.EtherType == 0x86dd && p.Extended == flow.HasEthernetSample
			}},
		{3, cat(u32s(60, 6), four, four, u32s(5, 6, 0x12, 4)),
			[]flow.Field{flow.Bytes, flow.Src, flow.Dst, flow.Proto, flow.SrcPort, flow.DstPort, flow.TCPFlags,
				flow.SrcTOS}, func(r *flow.Record, p *flow.Sample) bool {
				return r.Bytes == 60 && r.Proto == 6 && r.Src.Is4() && r.Dst.Is4() && r.SrcPort == 5 &&
					r.DstPort == 6 &&
					r.TCPFlags == 0x12 && r.SrcTOS == 4 && r.IPVersion == 4 && p.Extended == flow.HasIPv4Sample
			}},
		{4, cat(u32s(60, 6), six, six, u32s(5, 6, 0x12, 4)),
			[]flow.Field{flow.Bytes, flow.Src, flow.Dst, flow.Proto, flow.SrcPort, flow.DstPort, flow.TCPFlags,
				flow.SrcTOS}, func(r *flow.Record, p *flow.Sample) bool {
				return r.Src.Is6() && r.Dst.Is6() && r.SrcPort == 5 && r.SrcTOS == 4 && r.IPVersion == 6 &&
					p.IPLength == 60 && p.Extended == flow.HasIPv6Sample
			}},
		{1001, u32s(10, 1, 20, 2), []flow.Field{flow.SrcVLAN, flow.DstVLAN}, func(r *flow.Record, p *flow.Sample) bool {
			return r.SrcVLAN == 10 && r.DstVLAN == 20 && p.SrcVLAN == 10 && p.SrcPriority == 1 && p.DstVLAN == 20 &&
				p.DstPriority == 2 && p.Extended == flow.HasSwitch
		}},
		{1002, cat(hop, u32s(24, 16)), []flow.Field{flow.NextHop, flow.SrcMask, flow.DstMask},
			func(r *flow.Record, p *flow.Sample) bool {
				return r.NextHop == addr("192.0.2.1") && r.SrcMask == 24 && r.DstMask == 16 &&
					p.Extended == flow.HasRouter
			}},
		{1003, cat(hop, u32s(1, 2, 3, 1, 2, 1, 9, 0, 100)),
			[]flow.Field{flow.SrcAS, flow.DstAS, flow.PrevAS, flow.NextAS, flow.NextHop, flow.BGPNextHop},
			func(r *flow.Record, p *flow.Sample) bool {
				return r.DstAS == 9 && r.NextAS == 9 && p.ASPathLength == 1 && p.GatewayVersion == 1 &&
					p.Extended == flow.HasGateway
			}},
		{1004, cat(u32s(106, 5), []byte("anna1\x00\x00\x00"), u32s(106, 1), []byte("b\x00\x00\x00")),
			[]flow.Field{flow.User}, func(r *flow.Record, p *flow.Sample) bool {
				return string(r.User) == "anna1"
			}},
		{1007, cat(hop, u32s(2), six), []flow.Field{flow.XlateSrc, flow.XlateDst},
			func(r *flow.Record, p *flow.Sample) bool {
				return r.XlateSrc == addr("192.0.2.1") && r.XlateDst == addr("2001:db8::1")
			}},
		{1029, u32s(5001), []flow.Field{flow.SegmentID}, func(r *flow.Record, p *flow.Sample) bool {
			return r.SegmentID == 5001 && p.VNI == 5001 && p.Headers == flow.HasVNI
		}},
		{1037, cat(u32s(9, 5), []byte("deny1\x00\x00\x00"), u32s(1)), nil, func(r *flow.Record, p *flow.Sample) bool {
			return p.ACL == 9 && string(p.ACLName) == "deny1" && p.ACLDirection == 1 && r.Direction == 0 &&
				p.Extended == flow.HasACL
		}},
	} {
		// What the head says of every sample, and IPVersion, which is made of Src.
		want := flow.Set{}
		for _, f := range append(c.fields, flow.Packets, flow.Input, flow.Output, flow.Direction, flow.SamplingRate) {
			want.Add(f)
		}
		r, p := decodeOne(t, one(FlowSample, u32s(1, 3, 100, 0, 0, 4, 3, 2), rec(c.format, c.body),
			rec(c.format, c.body)))
		if !c.ok(&r, &p) || r.Present != want {
			t.Errorf("record %d: got fields %b, want %b\n%+v\n%+v", c.format, r.Present, want, r, p)
		}
	}
}

func TestGateway(t *testing.T) {
	hop := cat(u32s(2), addr("2001:db8::1").AsSlice())
	head := u32s(1, 3, 100, 0, 0, 3, 4, 1)
	r, p := decodeOne(t, one(FlowSample, head,
		rec(1003, cat(hop, u32s(1, 2, 3, 3, 2, 0, 2, 1, 9, 1, 2, 10, 11, 2, 77, 78, 100)))))
	if r.SrcAS != 2 || r.PrevAS != 3 || r.NextAS != 9 || r.DstAS != 11 || r.BGPNextHop != addr("2001:db8::1") ||
		r.NextHop != r.BGPNextHop ||
		p.AS != 1 || p.ASPathType != 2 || p.ASPathLength != 3 || p.GatewayVersion != 2 ||
		!slices.Equal(p.Communities, u32s(77, 78)) || p.LocalPref != 100 {
		t.Errorf("got %+v\n%+v", r, p)
	}
	if r, p := decodeOne(t, one(FlowSample, head, rec(1003, u32s(0, 1, 2, 3, 0, 0, 100)))); r.DstAS != 0 ||
		!r.Has(flow.DstAS) || r.Has(flow.BGPNextHop) || p.ASPathLength != 0 || p.LocalPref != 100 {
		t.Errorf("without a path: got %+v\n%+v", r, p)
	}
	_, _, _, err := decodeAll(t, one(FlowSample, head, rec(1003, u32s(3, 1))))
	if !errors.Is(err, ErrAddress) {
		t.Errorf("address of type 3: got %v", err)
	}
}

// TestCountsAreBounded claims as many of everything as fits the field.
func TestCountsAreBounded(t *testing.T) {
	const many = 0xffffffff
	head := u32s(1, 3, 100, 0, 0, 3, 4, 1)
	for name, b := range map[string][]byte{
		"samples":         cat(u32s(5, 1), addr("192.0.2.254").AsSlice(), u32s(1, 77, 5000, many)),
		"bytes of sample": cat(u32s(5, 1), addr("192.0.2.254").AsSlice(), u32s(1, 77, 5000, 1, 1, many)),
		"records":         one(FlowSample, u32s(1, 3, 100, 0, 0, 3, 4, many)),
		"bytes of record": one(FlowSample, head, u32s(1, many)),
		"bytes of packet": one(FlowSample, head, rec(1, u32s(1, 100, 0, many))),
		"segments":        one(FlowSample, head, rec(1003, u32s(0, 1, 2, 3, many))),
		"AS numbers":      one(FlowSample, head, rec(1003, u32s(0, 1, 2, 3, 1, 2, many))),
		"communities":     one(FlowSample, head, rec(1003, u32s(0, 1, 2, 3, 0, many))),
		"name":            one(FlowSample, head, rec(1004, u32s(0, many))),
		"counter records": one(CounterSample, u32s(1, 7, many)),
		"bytes of name":   one(CounterSample, u32s(1, 7, 1), rec(2000, u32s(many))),
	} {
		if _, _, _, err := decodeAll(t, b); !errors.Is(err, wire.ErrShort) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestEthernetWithoutPadding tells a record with addresses of 6 bytes by its length.
func TestEthernetWithoutPadding(t *testing.T) {
	src, dst := []byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 2}
	for _, body := range [][]byte{
		cat(u32s(64), src, dst, u32s(0x86dd)),
		cat(u32s(64), src, []byte{0, 0}, dst, []byte{0, 0}, u32s(0x86dd)),
	} {
		r, p := decodeOne(t, one(FlowSample, u32s(1, 3, 100, 0, 0, 4, 3, 1), rec(2, body)))
		if r.Bytes != 64 || string(r.InSrcMAC[:]) != string(src) || string(r.OutDstMAC[:]) != string(dst) ||
			p.EtherType != 0x86dd {
			t.Errorf("%d bytes: %d bytes from %x to %x, type %#x", len(body), r.Bytes, r.InSrcMAC, r.OutDstMAC,
				p.EtherType)
		}
	}
}

// TestSkippedIsCounted counts the records of formats that nobody knows.
func TestSkippedIsCounted(t *testing.T) {
	var d Decoder
	decode := func(b []byte) {
		h, samples, err := ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := samples.Next()
		if s.Format == FlowSample {
			err = d.Flow(&flow.Record{}, &flow.Record{}, &h, s)
		} else {
			err = d.Counters(&flow.CounterRecord{}, &h, s, func(*flow.CounterRecord) {})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	decode(one(FlowSample, u32s(1, 3, 100, 0, 0, 3, 4, 3), rec(4242, u32s(1)), rec(1001, u32s(1, 2, 3, 4)),
		rec(4711<<12|1, nil)))
	decode(one(CounterSample, cat(u32s(1, 7, 2), rec(4711<<12|1, u32s(5)), rec(2002, u32s(1, 2)))))
	if d.Skipped != 3 {
		t.Errorf("%d records were skipped, want 3", d.Skipped)
	}
}

// TestHostCounters has the network adapters of a host and the requests of a web server
// as they are on the wire.
func TestHostCounters(t *testing.T) {
	mac := func(n byte) []byte { return []byte{0, 0x50, 0x56, 0, 0, n, 0, 0} }
	_, _, got, err := decodeAll(t, one(CounterSample, u32s(9, 2<<24|1, 2),
		rec(2001, cat(u32s(2, 2, 2), mac(1), mac(2), u32s(3, 1), mac(3))),
		rec(2201, u32s(1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 200, 300, 400, 500, 0))))
	if err != nil || len(got) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	const want = "2=00:50:56:00:00:01,2=00:50:56:00:00:02,3=00:50:56:00:00:03"
	if c := got[0].Counters; got[0].Kind != "host_adapters" || len(c) != 1 || string(c[0].Text) != want {
		t.Errorf("adapters: got %+v", got[0])
	}
	values := map[string]uint64{}
	for _, c := range got[1].Counters {
		values[c.Name] = c.Value
	}
	if got[1].Kind != "http" || len(values) != 15 || values["method_get"] != 2 || values["method_connect"] != 8 ||
		values["status_2xx"] != 200 || values["status_5xx"] != 500 {
		t.Errorf("http: got %+v", got[1])
	}
	for _, body := range [][]byte{u32s(0xffffffff), u32s(1, 2, 0xffffffff), u32s(1)} {
		if _, _, _, err := decodeAll(t, one(CounterSample, u32s(9, 1, 1), rec(2001, body))); !errors.Is(err,
			wire.ErrShort) {
			t.Errorf("adapters %x: got %v", body, err)
		}
	}
}

// TestInterfaceCounters has the words of an interface's counters as they are on the
// wire, behind both heads.
func TestInterfaceCounters(t *testing.T) {
	body := rec(1, u32s(7, 6, 1, 2, 1, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25))
	want := map[string]uint64{
		"interface": 7, "interface_type": 6, "speed": 1<<32 | 2, "interface_direction": 1, "interface_status": 3,
		"in_bytes":                 4<<32 | 5,
		"in_unicast_packets_total": 10, "in_mcast_packets_total": 11, "in_broadcast_packets_total": 12,
		"in_dropped_packets": 13, "in_errors": 14, "in_unknown_protocol": 15,
		"out_bytes": 16<<32 | 17, "out_unicast_packets_total": 20, "out_mcast_packets_total": 21,
		"out_broadcast_packets_total": 22, "out_dropped_packets": 23, "out_errors": 24, "promiscuous": 25,
	}
	for _, b := range [][]byte{
		one(CounterSample, u32s(9, 2<<24|7, 1), body),
		one(ExpandedCounterSample, u32s(9, 2, 7, 1), body),
	} {
		_, _, got, err := decodeAll(t, b)
		if err != nil || len(got) != 1 || got[0].Sequence != 9 || got[0].SourceType != 2 || got[0].Source != 7 ||
			len(got[0].Counters) != len(want) {
			t.Fatalf("got %+v, %v", got, err)
		}
		for _, c := range got[0].Counters {
			if v, ok := want[c.Name]; !ok || v != c.Value {
				t.Errorf("%s: got %d, want %d", c.Name, c.Value, v)
			}
		}
	}
}
