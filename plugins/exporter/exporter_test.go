package exporter

import (
	"net/netip"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

func TestSameSeedSameFlows(t *testing.T) {
	now := time.Unix(1700000000, 0)
	sums := func(seed uint64) (s Totals) {
		tr := newTraffic(seed, false, Plain)
		var r flow.Record
		for range 5000 {
			tr.next(&r, now)
			s.Add(&r)
		}
		return s
	}
	if a, b := sums(7), sums(7); a != b {
		t.Errorf("one seed, two sums: %+v and %+v", a, b)
	}
	if a, b := sums(7), sums(8); a == b {
		t.Errorf("two seeds, one sum: %+v", a)
	}
	s := sums(7)
	if s.Flows != 5000 || s.TCP+s.UDP+s.ICMP != 5000 || s.IPv6 == 0 || s.UDP == 0 || s.ICMP == 0 || s.TCP < s.UDP {
		t.Errorf("not the mix that is promised: %+v", s)
	}
}

// A few talkers have much of the traffic, and a long tail has little each.
func TestHeavyTalkersAndALongTail(t *testing.T) {
	tr := newTraffic(1, true, Plain)
	flows := map[netip.Addr]int{}
	var r flow.Record
	for range 20000 {
		tr.next(&r, time.Unix(1700000000, 0))
		flows[r.Src]++
		flows[r.Dst]++
	}
	most := 0
	for _, n := range flows {
		most = max(most, n)
	}
	if most < 2000 || len(flows) < 3000 {
		t.Errorf("the busiest of %d hosts has %d of 20,000 flows", len(flows), most)
	}
}

// protocols are those of Protocols.
var protocols = []string{"v1", "v5", "v7", "v9", "ipfix", "vmware", "sflow"}

// decodeAll decodes what an exporter sends for n flows, and calls fn with each flow and
// what it was made from.
func decodeAll(t *testing.T, o Options, n int, now time.Time, fn func(got, want *flow.Record)) {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	dec := collector.NewDecoder(collector.Options{})
	recs := e.Flows(n, now)
	got := 0
	decode := func(b []byte) {
		err := dec.Decode(collector.Datagram{
			Exporter: netip.MustParseAddrPort("192.0.2.1:40000"), Received: now, Payload: b,
		}, collector.Handler{Flow: func(r *flow.Record) {
			fn(r, &recs[got])
			got++
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if b := e.Templates(nil, now); b != nil {
		decode(b)
	}
	for left := recs; len(left) > 0; {
		b, n := e.Data(nil, now, left)
		if n == 0 || len(b) > 1472 {
			t.Fatalf("%d flows in a datagram of %d bytes", n, len(b))
		}
		decode(b)
		left = left[n:]
	}
	if got != n {
		t.Errorf("%d flows came back of %d", got, n)
	}
}

// Every protocol carries what was generated, to the byte and the millisecond, in either
// mix.
func TestEncodersCarryEveryFlow(t *testing.T) {
	for _, mix := range []Mix{Plain, Realistic} {
		for _, protocol := range protocols {
			t.Run(string(mix)+" "+protocol, func(t *testing.T) {
				decodeAll(t, Options{Protocol: protocol, Mix: mix, Seed: 3}, 300, time.Now(), func(r, w *flow.Record) {
					if r.Src != w.Src || r.Dst != w.Dst || r.SrcPort != w.SrcPort || r.DstPort != w.DstPort ||
						r.Proto != w.Proto ||
						r.Bytes != w.Bytes || r.Packets != w.Packets || r.Input != w.Input || r.Output != w.Output ||
						r.First.Milli() != w.First.Milli() || r.Last.Milli() != w.Last.Milli() {
						t.Fatalf("got %+v\nwant %+v", r, w)
					}
				})
			})
		}
	}
}

// TestFlowsEndBeforeTheyAreExported: nfcapd moves a flow that ends after the exporter's
// uptime 49 days back. The clocks of NetFlow v9 and IPFIX have whole seconds, and now is
// late in one.
func TestFlowsEndBeforeTheyAreExported(t *testing.T) {
	now := time.Now().Truncate(time.Second).Add(987 * time.Millisecond)
	for _, mix := range []Mix{Plain, Realistic} {
		for _, protocol := range protocols {
			decodeAll(t, Options{Protocol: protocol, Mix: mix, Seed: 3}, 2000, now, func(r, _ *flow.Record) {
				if r.Exported != 0 && r.Last > r.Exported || r.First > r.Last {
					t.Fatalf("%s, %s: a flow from %s to %s is exported at %s", mix, protocol, r.First.Time(),
						r.Last.Time(), r.Exported.Time())
				}
			})
		}
	}
}

// TestVirtualSwitchRoles: what has a source outside enters by the uplink (1) and leaves
// by a virtual machine's port (2); what a machine sends goes the other way.
func TestVirtualSwitchRoles(t *testing.T) {
	in, out := 0, 0
	inside := netip.MustParsePrefix("10.0.0.0/8")
	decodeAll(t, Options{Protocol: "vmware", Seed: 1}, 500, time.Now(), func(r, _ *flow.Record) {
		if r.IPVersion != 4 {
			return
		}
		ingress, egress := uint16(1), uint16(2)
		if inside.Contains(r.Src) {
			ingress, egress = 2, 1
			out++
		} else {
			in++
		}
		if r.IngressAttr != ingress || r.EgressAttr != egress || r.Direction != 1 {
			t.Fatalf("from %s to %s: ports of kind %d and %d, direction %d", r.Src, r.Dst, r.IngressAttr, r.EgressAttr,
				r.Direction)
		}
	})
	if in < 100 || out < 100 {
		t.Errorf("%d flows from outside, %d from machines", in, out)
	}
}

// TestRealisticMix has what it promises.
func TestRealisticMix(t *testing.T) {
	now := time.Now()
	hosts, ports, interfaces, as, seconds, templates := map[netip.Addr]int{}, map[uint16]bool{}, map[uint32]bool{},
		map[uint32]bool{}, map[int64]bool{}, map[uint16]int{}
	six := 0
	const n = 60000
	decodeAll(t, Options{Protocol: "ipfix", Mix: Realistic, Seed: 1}, n, now, func(r, _ *flow.Record) {
		hosts[r.Src]++
		hosts[r.Dst]++
		ports[r.SrcPort], ports[r.DstPort] = true, true
		interfaces[r.Input] = true
		as[r.SrcAS] = true
		seconds[int64(now.Sub(r.Last.Time())/time.Second)] = true
		templates[r.TemplateID]++
		if r.IPVersion == 6 {
			six++
		}
	})
	most := 0
	for _, count := range hosts {
		most = max(most, count)
	}
	if most < 300 || len(hosts) < 20000 || len(hosts) > 400_000 {
		t.Errorf("the busiest of %d hosts is in %d of %d flows", len(hosts), most, n)
	}
	if len(ports) < 20000 || len(interfaces) < 50 || len(as) < 500 || len(seconds) < 58 || len(templates) != 6 ||
		six < n/4 || six > n/2 {
		t.Errorf("%d ports, %d interfaces, %d AS, ends in %d seconds, templates %v, %d of IPv6", len(ports),
			len(interfaces), len(as), len(seconds), templates, six)
	}
}

// TestExportersAreToldApart by the number that each has.
func TestExportersAreToldApart(t *testing.T) {
	for protocol, domains := range map[string][2]uint32{"v5": {0, 1}, "v9": {9, 10}, "ipfix": {10, 11},
		"vmware": {0, 1}, "sflow": {0, 1}} {
		for id, want := range domains {
			decodeAll(t, Options{Protocol: protocol, ID: id}, 10, time.Now(), func(r, _ *flow.Record) {
				if r.Domain != want && (r.Sample == nil || r.Sample.SubAgent != want) {
					t.Fatalf("%s, exporter %d: domain %d, want %d", protocol, id, r.Domain, want)
				}
			})
		}
	}
}

func TestNewSaysWhatItExpects(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Protocol: "v6"}, `protocol "v6": expected v1, v5, v7, v9, ipfix, vmware or sflow`},
		{Options{Protocol: "v9", Mix: "odd"}, `mix "odd": expected plain or realistic`},
	} {
		if _, err := New(c.o); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// Generated flows could be real: sizes of packets, durations, types of ICMP (RFC 792, RFC
// 4443), and the AS numbers of the outside on the side that is outside.
func TestFlowsArePlausible(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for _, mix := range []Mix{Plain, Realistic} {
		tr := newTraffic(3, false, mix)
		ago, long, large, several := flow.Time(2e9), 0, 0, 0
		if mix == Realistic {
			ago = 60e9
		}
		var r flow.Record
		for range 20000 {
			tr.next(&r, now)
			switch {
			case r.Packets == 0 || r.Bytes < r.Packets*28 || r.Bytes/r.Packets > 1500:
				t.Fatalf("%d bytes in %d packets", r.Bytes, r.Packets)
			case r.Proto == 6 && r.Packets < 3:
				t.Fatalf("a TCP connection of %d packets", r.Packets)
			case r.Last < r.First || r.Last-r.First > 55e9 || r.Packets == 1 && r.First != r.Last:
				t.Fatalf("%d packets took %v", r.Packets, time.Duration(r.Last-r.First))
			case r.Last > flow.TimeOf(now) || flow.TimeOf(now)-r.Last > ago:
				t.Fatalf("ended %v ago", time.Duration(flow.TimeOf(now)-r.Last))
			case r.Proto == 1 && (r.DstPort != 0x0800 || r.ICMP != 0x0800 || r.SrcPort != 0),
				r.Proto == 58 && (r.DstPort != 0x8000 || r.ICMP != 0x8000 || r.SrcPort != 0):
				t.Fatalf("protocol %d: source port %d, type and code %#x and %#x", r.Proto, r.SrcPort, r.DstPort,
					r.ICMP)
			}
			if r.Last-r.First > 1e9 {
				long++
			}
			if r.Bytes > 1e6 {
				large++
			}
			if r.Packets > 1 {
				several++
			}
		}
		if long < 5000 || large < 20 || large > 5000 || several < 10000 {
			t.Errorf("%v: of 20,000 flows %d took over a second, %d have over a megabyte, %d several packets", mix,
				long, large, several)
		}
	}
}
