package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

func TestSameSeedSameFlows(t *testing.T) {
	now := time.Unix(1700000000, 0)
	sums := func(seed uint64) (s totals) {
		tr := newTraffic(seed, false)
		var r flow.Record
		for range 5000 {
			tr.next(&r, now)
			s.add(&r)
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
	tr := newTraffic(1, true)
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

// Every protocol carries what was generated, to the byte and the millisecond.
func TestEncodersCarryEveryFlow(t *testing.T) {
	for _, protocol := range []string{"v1", "v5", "v7", "v9", "ipfix", "vmware", "sflow"} {
		t.Run(protocol, func(t *testing.T) {
			enc, v4only, err := newEncoder(protocol)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			tr := newTraffic(3, v4only)
			want := make([]flow.Record, 200)
			for i := range want {
				tr.next(&want[i], now)
			}
			dec := collector.NewDecoder(collector.Options{})
			got := 0
			handler := collector.Handler{Flow: func(r *flow.Record) {
				if w := &want[got]; r.Src != w.Src || r.Dst != w.Dst || r.SrcPort != w.SrcPort || r.DstPort != w.DstPort ||
					r.Bytes != w.Bytes || r.Packets != w.Packets || r.First.Milli() != w.First.Milli() || r.Last.Milli() != w.Last.Milli() {
					t.Fatalf("flow %d: got %+v\nwant %+v", got, r, w)
				}
				got++
			}}
			decode := func(b []byte) {
				err := dec.Decode(collector.Datagram{
					Exporter: netip.MustParseAddrPort("192.0.2.1:40000"), Received: now, Payload: b,
				}, handler)
				if err != nil {
					t.Fatal(err)
				}
			}
			if b := enc.templates(nil, now); b != nil {
				decode(b)
			}
			for recs := want; len(recs) > 0; {
				b, n := enc.data(nil, now, recs)
				if n == 0 || len(b) > 1472 {
					t.Fatalf("%d flows in a datagram of %d bytes", n, len(b))
				}
				decode(b)
				recs = recs[n:]
			}
			if got != len(want) {
				t.Errorf("%d flows came back of %d", got, len(want))
			}
		})
	}
}
