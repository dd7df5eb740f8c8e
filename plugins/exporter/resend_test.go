package exporter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// sentAt is when the flows of the tests were received: months ago.
var sentAt = flow.TimeOf(time.Date(2026, 3, 1, 12, 0, 30, 250e6, time.UTC))

// wide returns a flow with a value in every field that travels in v9 and IPFIX alike.
func wide(v6 bool) flow.Record {
	r := flow.Record{
		First: sentAt - 9e9, Last: sentAt - 2e9, Received: sentAt,
		Src: netip.MustParseAddr("10.1.2.3"), Dst: netip.MustParseAddr("192.0.2.10"), SrcPort: 51234, DstPort: 443,
		Proto: 6, IPVersion: 4, TCPFlags: 0x1b, SrcTOS: 184, DstTOS: 46, FwdStatus: 64,
		Packets: 1 << 33, Bytes: 1 << 40, RevPackets: 8, RevBytes: 700, Flows: 3,
		Input: 70000, Output: 7, SrcMask: 24, DstMask: 16, Direction: 1, BiflowDir: 2, EndReason: 3, FragFlags: 0x40,
		SrcVLAN: 101, DstVLAN: 202, SrcAS: 64500, DstAS: 4200000001, NextAS: 65010, PrevAS: 65020,
		NextHop: netip.MustParseAddr("198.51.100.1"), BGPNextHop: netip.MustParseAddr("198.51.100.2"),
		MPLS: [10]uint32{100<<4 | 3<<1, 200 << 4, 300<<4 | 1}, MPLSDepth: 3,
		InSrcMAC: [6]byte{1, 2, 3, 4, 5, 6}, OutDstMAC: [6]byte{11, 2, 3, 4, 5, 6},
		InDstMAC: [6]byte{21, 2, 3, 4, 5, 6}, OutSrcMAC: [6]byte{31, 2, 3, 4, 5, 6},
		XlateSrc: netip.MustParseAddr("203.0.113.1"), XlateDst: netip.MustParseAddr("203.0.113.2"), XlateSPort: 1000,
		XlateDPort: 2000, AppID: []byte{3, 0, 0, 80}, ObservationPoint: 1 << 40, IngressVRF: 9, EgressVRF: 8,
		PortBlock: [4]uint16{20000, 20511, 1, 512}, MinTTL: 57, MaxTTL: 64, SegmentID: 5001, FlowID: 77,
		EngineType: 3, EngineID: 4,
	}
	if v6 {
		r.Src, r.Dst, r.IPVersion = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:ffff::2"), 6
		r.NextHop, r.BGPNextHop = netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")
		r.XlateSrc, r.XlateDst = netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2001:db8:2::1")
	}
	present(&r)
	return r
}

// firewallEvent returns an event of a firewall, with what only NetFlow v9 carries.
func firewallEvent() flow.Record {
	r := flow.Record{
		Event: true, First: sentAt - 1e9, Last: sentAt - 1e9, EventTime: sentAt - 1e9, Received: sentAt,
		Src: netip.MustParseAddr("10.9.9.9"), Dst: netip.MustParseAddr("203.0.113.7"), SrcPort: 1234, DstPort: 80,
		Proto: 6, IPVersion: 4, FlowID: 123456, FwEvent: 3, FwXEvent: 1001, NATEvent: 4, NATPool: 5,
		IngressACL: [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, EgressACL: [12]byte{12, 11, 10},
		User: []byte("alice"),
	}
	present(&r)
	return r
}

// tunnelled returns a flow inside of a tunnel, which only IPFIX carries.
func tunnelled(v6 bool) flow.Record {
	r := wide(v6)
	r.TunSrc, r.TunDst, r.TunProto = netip.MustParseAddr("10.10.10.10"), netip.MustParseAddr("11.11.11.11"), 47
	if v6 {
		r.TunSrc, r.TunDst = netip.MustParseAddr("2001:db8:3::1"), netip.MustParseAddr("2001:db8:4::1")
	}
	present(&r)
	return r
}

// present marks the fields that have a value, and counters and ports.
func present(r *flow.Record) {
	r.Present = flow.SetOf(flow.FirstSeen, flow.LastSeen, flow.Bytes, flow.Packets, flow.SrcPort, flow.DstPort,
		flow.Proto)
	for f := range flow.Field(flow.NumFields) {
		if !isZero(r, f) {
			r.Present.Add(f)
		}
	}
}

// resend encodes flows and decodes what comes of it.
func resend(t *testing.T, v flow.Version, recs []flow.Record, lost func(string, *flow.Record)) (got []flow.Record) {
	t.Helper()
	dec := collector.NewDecoder(collector.Options{Log: t.Logf})
	e := NewResender(v, 258, func(b []byte) error {
		return dec.Decode(collector.Datagram{
			Exporter: netip.MustParseAddrPort("192.0.2.1:40000"), Received: time.Now(), Payload: slices.Clone(b),
		}, collector.Handler{Flow: func(r *flow.Record) {
			c := *r
			c.User, c.AppID, c.Extra = bytes.Clone(r.User), bytes.Clone(r.AppID), nil
			for _, x := range r.Extra {
				x.Value = bytes.Clone(x.Value)
				c.Extra = append(c.Extra, x)
			}
			got = append(got, c)
		}})
	}, lost)
	for i := range recs {
		if err := e.Add(&recs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	dec.Exporters(func(s *collector.ExporterStats) {
		if s.SequenceLost+s.SequenceGaps+s.DecodeErrors+s.SetsWithoutTemplate+s.TimeRepairs != 0 || s.Domain != 258 {
			t.Errorf("%v: %+v", v, *s)
		}
	})
	return got
}

// differ names the fields in which two flows differ: those of the wire and of its
// datagrams apart.
func differ(got, want *flow.Record) string {
	var out []string
	a, b := reflect.ValueOf(*got), reflect.ValueOf(*want)
	for i := range a.NumField() {
		switch name := a.Type().Field(i).Name; name {
		case "Present", "Exporter", "ExporterPort", "Domain", "Version", "TemplateID", "Sequence", "SysUptime",
			"HeaderCount", "HeaderRate", "Exported", "Received", "Extra", "ICMP":
		default:
			if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
				out = append(out, fmt.Sprintf("%s: %v, expected %v", name, a.Field(i), b.Field(i)))
			}
		}
	}
	return strings.Join(out, "; ")
}

// What was received before goes out again with every field that it had, whatever mix of
// fields comes, and months later.
func TestResendCarriesEveryField(t *testing.T) {
	for v, kinds := range map[flow.Version][]flow.Record{
		flow.V9:    {wide(false), wide(true), firewallEvent()},
		flow.IPFIX: {wide(false), wide(true), tunnelled(false), tunnelled(true)},
	} {
		var recs []flow.Record
		for i := range 700 {
			r := kinds[i*i%len(kinds)]
			if i%3 == 0 {
				r = wide(i%2 == 0)
				r.Present.Remove(flow.MPLS)
				r.MPLS, r.MPLSDepth, r.Received = [10]uint32{}, 0, sentAt+flow.Time(i)*1e6
			}
			recs = append(recs, r)
		}
		got := resend(t, v, recs, func(field string, _ *flow.Record) { t.Fatalf("%v loses %q", v, field) })
		if len(got) != len(recs) {
			t.Fatalf("%v: %d flows came back of %d", v, len(got), len(recs))
		}
		for i := range got {
			if d := differ(&got[i], &recs[i]); d != "" {
				t.Fatalf("%v, flow %d: %s", v, i, d)
			}
			missing := recs[i].Present.Without(got[i].Present).Without(flow.SetOf(flow.IPVersion))
			if missing != (flow.Set{}) {
				t.Fatalf("%v, flow %d: fields %x are not present any more", v, i, missing)
			}
			if !Carries(v, &recs[i]) {
				t.Fatalf("%v, flow %d: Carries says no", v, i)
			}
		}
	}
}

// Version 5 carries what its records have, times included.
func TestResendAsV5(t *testing.T) {
	var recs []flow.Record
	for i := range 100 {
		r := flow.Record{First: sentAt - 9e9 + flow.Time(i)*1e6, Last: sentAt - 2e9, Received: sentAt,
			Src: netip.MustParseAddr("10.1.2.3"), Dst: netip.MustParseAddr("192.0.2.10"), SrcPort: uint16(i),
			DstPort: 443, Proto: 6, IPVersion: 4, TCPFlags: 0x1b, SrcTOS: 184, Packets: 10, Bytes: 1 << 31, Input: 700,
			Output: 7, SrcMask: 24, DstMask: 16, SrcAS: 64500, DstAS: 64501,
			NextHop:    netip.MustParseAddr("198.51.100.1"),
			EngineType: 1, EngineID: 2}
		present(&r)
		recs = append(recs, r)
	}
	if !Carries(flow.V5, &recs[0]) {
		t.Error("Carries says no")
	}
	got := resend(t, flow.V5, recs, func(field string, _ *flow.Record) { t.Fatalf("%q is lost", field) })
	for i := range got {
		if d := differ(&got[i], &recs[i]); d != "" {
			t.Fatalf("flow %d: %s", i, d)
		}
	}
	if len(got) != len(recs) {
		t.Errorf("%d flows came back of %d", len(got), len(recs))
	}
}

// Flows that are years apart, in any order, keep their times in version 5: what one datagram
// has lies in the 49 days after the start of the exporter.
func TestResendYearsApartAsV5(t *testing.T) {
	const day = flow.Time(24 * time.Hour)
	var recs []flow.Record
	for i, before := range []flow.Time{1000 * day, 0, 999 * day, 30 * day, 60 * day, 60 * day, 100 * day, 0} {
		at := sentAt - before
		r := flow.Record{First: at - 9e9, Last: at - 2e9, Received: at, Src: netip.MustParseAddr("10.1.2.3"),
			Dst: netip.MustParseAddr("192.0.2.10"), SrcPort: uint16(i), DstPort: 443, Proto: 6,
			IPVersion: 4, Packets: 10,
			Bytes: 1000}
		present(&r)
		recs = append(recs, r)
	}
	got := resend(t, flow.V5, recs, func(field string, _ *flow.Record) { t.Fatalf("%q is lost", field) })
	if len(got) != len(recs) {
		t.Fatalf("%d flows came back of %d", len(got), len(recs))
	}
	for i := range got {
		if got[i].First != recs[i].First || got[i].Last != recs[i].Last {
			t.Errorf("flow %d is from %v to %v, expected %v to %v", i, got[i].First.Time(), got[i].Last.Time(),
				recs[i].First.Time(), recs[i].Last.Time())
		}
	}
	e := NewResender(flow.V5, 0, func(b []byte) error {
		h, records, err := netflow.ParseV5Header(b)
		if err != nil {
			t.Fatal(err)
		}
		for ; len(records) >= netflow.V5RecordLen; records = records[netflow.V5RecordLen:] {
			first, last := binary.BigEndian.Uint32(records[24:]), binary.BigEndian.Uint32(records[28:])
			if first > last || last > h.SysUptime {
				t.Errorf("a flow from %d to %d at %d ms of uptime", first, last, h.SysUptime)
			}
		}
		return nil
	}, nil)
	for i := range recs {
		if err := e.Add(&recs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
}

// What a version has no place for is told, once for each flow that has it.
func TestResendTellsWhatIsLost(t *testing.T) {
	six := wide(true)
	for _, c := range []struct {
		version flow.Version
		in      flow.Record
		want    string
	}{
		{flow.IPFIX, firewallEvent(), "fw_event_ext in_acl_id out_acl_id"},
		{flow.V9, tunnelled(false), "tunnel_dst tunnel_protocol tunnel_src"},
		{flow.V5, six, ""},
		{flow.V5, flow.Record{Bytes: 1 << 32, Present: flow.SetOf(flow.Bytes)}, "in_bytes"},
		{flow.V5, flow.Record{MinTTL: 4, Flows: 1, Present: flow.SetOf(flow.MinTTL, flow.Flows, flow.DstTOS)},
			"min_ttl"},
		{flow.V9, flow.Record{Extra: []flow.Element{{PEN: 637, ID: 91, Value: []byte{1, 2}}}}, "element 637/91"},
	} {
		var told []string
		resend(t, c.version, []flow.Record{c.in}, func(field string, _ *flow.Record) { told = append(told, field) })
		slices.Sort(told)
		if got := strings.Join(told, " "); got != c.want || len(told) == 0 {
			t.Errorf("%v: %q is told, expected %q", c.version, got, c.want)
		}
		if Carries(c.version, &c.in) {
			t.Errorf("%v: Carries says yes to what loses %q", c.version, c.want)
		}
	}
}

// Elements without a field of their own go out as they came in, and a flow too large for
// a usual datagram in a large one.
func TestResendCarriesElements(t *testing.T) {
	frame := bytes.Repeat([]byte{7}, 3000)
	r := wide(false)
	r.Extra = []flow.Element{{PEN: 637, ID: 91, Value: []byte{1, 2}}, {PEN: 0, ID: 315, Value: frame},
		{PEN: 0, ID: 150, Value: []byte{1, 2, 3, 4}}}
	got := resend(t, flow.IPFIX, []flow.Record{wide(true), r, wide(true)}, nil)
	if len(got) != 3 {
		t.Fatalf("%d flows came back of 3", len(got))
	}
	found := 0
	for _, x := range got[1].Extra {
		switch {
		case x.PEN == 637 && x.ID == 91 && bytes.Equal(x.Value, []byte{1, 2}),
			x.ID == 315 && bytes.Equal(x.Value, frame):
			found++
		case x.ID == 150:
			t.Error("a time travels twice")
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 elements came back", found)
	}
}

// However many kinds of flows come, the templates of a domain stay bounded, and all are
// decoded.
func TestResendBoundsTemplates(t *testing.T) {
	var recs []flow.Record
	for i := range 3 * maxLayouts {
		r := flow.Record{First: sentAt, Last: sentAt, Received: sentAt, Bytes: uint64(i)}
		r.Present = flow.SetOf(flow.Bytes)
		for bit := range 11 {
			if i>>bit&1 != 0 {
				r.Present.Add(flow.Input + flow.Field(bit)*2)
			}
		}
		recs = append(recs, r)
	}
	got := resend(t, flow.IPFIX, recs, nil)
	if len(got) != len(recs) {
		t.Fatalf("%d flows came back of %d", len(got), len(recs))
	}
	for i := range got {
		if got[i].Bytes != uint64(i) || int(got[i].TemplateID) >= 256+maxLayouts {
			t.Fatalf("flow %d: %d bytes, template %d", i, got[i].Bytes, got[i].TemplateID)
		}
	}
}

// The largest numbers of version 5 are carried, those above are told, each by its name.
func TestLimitsOfV5(t *testing.T) {
	most := flow.Record{First: sentAt - 1e9, Last: sentAt, Src: netip.MustParseAddr("10.1.2.3"),
		Dst: netip.MustParseAddr("192.0.2.10"), IPVersion: 4, TCPFlags: 0xff, Packets: math.MaxUint32,
		Bytes: math.MaxUint32, Input: math.MaxUint16, Output: math.MaxUint16, SrcAS: math.MaxUint16,
		DstAS:   math.MaxUint16,
		NextHop: netip.MustParseAddr("198.51.100.1"), EngineType: 1, EngineID: 2}
	present(&most)
	got := resend(t, flow.V5, []flow.Record{most}, func(field string, _ *flow.Record) { t.Errorf("%q is lost", field) })
	if len(got) != 1 {
		t.Fatalf("%d flows came back", len(got))
	}
	if d := differ(&got[0], &most); d != "" || !Carries(flow.V5, &most) {
		t.Errorf("%s; Carries says %v", d, Carries(flow.V5, &most))
	}
	for want, more := range map[string]func(*flow.Record){
		"in_bytes":   func(r *flow.Record) { r.Bytes++ },
		"in_packets": func(r *flow.Record) { r.Packets++ },
		"in_snmp":    func(r *flow.Record) { r.Input++ },
		"out_snmp":   func(r *flow.Record) { r.Output++ },
		"bgp_src_as": func(r *flow.Record) { r.SrcAS++ },
		"bgp_dst_as": func(r *flow.Record) { r.DstAS++ },
		"tcp_flags":  func(r *flow.Record) { r.TCPFlags++ },
		"next_hop":   func(r *flow.Record) { r.NextHop = netip.MustParseAddr("2001:db8::1") },
		"flow_start": func(r *flow.Record) {
			r.First = r.Last - flow.Time(50*24*time.Hour)
		},
	} {
		r := most
		more(&r)
		var told []string
		resend(t, flow.V5, []flow.Record{r}, func(field string, _ *flow.Record) { told = append(told, field) })
		if !slices.Equal(told, []string{want}) {
			t.Errorf("%q is told, expected %q", told, want)
		}
	}
}
