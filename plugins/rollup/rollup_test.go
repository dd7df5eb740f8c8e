package rollup

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// day is a time at which windows of a minute begin.
var day = time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)

// sums are what must not get lost.
type sums struct{ flows, packets, bytes, scaledPackets, scaledBytes uint64 }

// of adds the counters of a flow.
func (s *sums) of(r *flow.Record) {
	s.flows += max(1, r.Flows)
	s.packets, s.bytes = s.packets+r.Packets, s.bytes+r.Bytes
	s.scaledPackets, s.scaledBytes = s.scaledPackets+r.Scale(r.Packets), s.scaledBytes+r.Scale(r.Bytes)
}

// plus adds the sums of a point.
func (s *sums) plus(p *Point) {
	s.flows, s.packets, s.bytes = s.flows+p.Flows, s.packets+p.Packets, s.bytes+p.Bytes
	s.scaledPackets, s.scaledBytes = s.scaledPackets+p.ScaledPackets, s.scaledBytes+p.ScaledBytes
}

// traffic makes flows, the same for the same seed.
type traffic struct {
	*rand.Rand
	hosts uint64
	names []*flow.Names
}

func newTraffic(seed uint64, hosts int) *traffic {
	t := &traffic{Rand: rand.New(rand.NewPCG(seed, 1)), hosts: uint64(hosts)}
	for i := range 20 {
		t.names = append(t.names, &flow.Names{Exporter: fmt.Sprint("router", i%3), Input: fmt.Sprint("eth", i),
			Output: fmt.Sprint("eth", i/2), InputVM: fmt.Sprint("vm", i), InputPortgroup: fmt.Sprint("net", i%4)})
	}
	return t
}

// addr returns the address of a host: a few have most of the traffic.
func (t *traffic) addr() netip.Addr {
	h := t.Uint64N(t.hosts)
	h = h * t.Uint64N(t.hosts) / t.hosts
	if h%5 == 0 {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(h >> 16), byte(h >> 8), 15: byte(h)})
	}
	return netip.AddrFrom4([4]byte{10, byte(h >> 16), byte(h >> 8), byte(h)})
}

// flow sets r to a flow that was seen at about a time.
func (t *traffic) flow(r *flow.Record, at time.Time) {
	r.Reset()
	r.Version, r.Domain = flow.IPFIX, uint32(t.IntN(2))
	r.Exporter = netip.AddrFrom4([4]byte{192, 0, 2, byte(t.IntN(4))})
	r.Src, r.Dst, r.Proto = t.addr(), t.addr(), []uint8{1, 6, 17, 47}[t.IntN(4)]
	r.SrcPort, r.DstPort = uint16(t.Uint32()), []uint16{53, 80, 443, 22, uint16(t.Uint32())}[t.IntN(5)]
	r.Last = flow.TimeOf(at.Add(-time.Duration(t.IntN(5000)) * time.Millisecond))
	r.First = r.Last - flow.Time(t.Int64N(int64(7*time.Minute)))
	r.Packets = 1 + t.Uint64N(1000)
	r.Bytes = r.Packets * (40 + t.Uint64N(1460))
	r.Present = flow.SetOf(flow.Src, flow.Dst, flow.Proto, flow.SrcPort, flow.DstPort, flow.Bytes, flow.Packets)
	if t.IntN(3) > 0 {
		r.Input, r.Output, r.Direction = uint32(t.IntN(9)), uint32(t.IntN(9)), uint8(t.IntN(2))
		r.SrcAS, r.DstAS = uint32(64500+t.IntN(30)), uint32(64500+t.IntN(30))
		for _, f := range []flow.Field{flow.Input, flow.Output, flow.Direction, flow.SrcAS, flow.DstAS} {
			r.Present.Add(f)
		}
	}
	if t.IntN(4) == 0 {
		r.SamplingRate = uint32(1 + t.IntN(4096))
	}
	if t.IntN(10) == 0 {
		r.Flows = uint64(t.IntN(5))
		r.Present.Add(flow.Flows)
	}
	if t.IntN(2) == 0 {
		r.Names = t.names[t.IntN(len(t.names))]
	}
	if t.IntN(8) == 0 {
		r.User, r.AppID = []byte(fmt.Sprint("user", t.IntN(50))), []byte{13, 0, byte(t.IntN(9))}
		r.Present.Add(flow.User)
		r.Present.Add(flow.AppID)
	}
}

// random returns a definition of random options.
func random(t *traffic, name string) Definition {
	d := Definition{Name: name, Interval: time.Duration(1+t.IntN(120)) * time.Second, MaxSeries: 1 + t.IntN(400),
		By: Weight(t.IntN(3)), Distinct: t.IntN(2) == 0}
	if t.IntN(4) == 0 {
		d.MaxSeries = 0
	}
	all := TagNames()
	for range t.IntN(5) {
		if tag := all[t.IntN(len(all))]; !slices.Contains(d.Tags, tag) {
			d.Tags = append(d.Tags, tag)
		}
	}
	if t.IntN(2) == 0 && d.MaxSeries > 0 {
		d.Top = t.IntN(d.MaxSeries + 1)
	}
	if t.IntN(3) == 0 {
		d.Spread = time.Duration(t.IntN(10)) * d.Interval
	}
	if t.IntN(3) == 0 {
		filters := []string{"proto tcp", "port 443 or src net 10.0.0.0/16", "ipv6", "not proto udp", "bytes > 50k"}
		d.Filter = filters[t.IntN(len(filters))]
	}
	return d
}

// TestSumsAreExact: for random flows, tags, caps, orders, restarts and goroutines the sum
// over all points of a roll-up is that over the flows, and no two points of a roll-up have
// the same tags and time.
func TestSumsAreExact(t *testing.T) {
	for seed := range uint64(16) {
		if testing.Short() && seed > 10 {
			break
		}
		tr := newTraffic(seed, 1+int(seed*seed*20))
		var defs []Definition
		for i := range 4 {
			defs = append(defs, random(tr, fmt.Sprint("r", i)))
		}
		want, got := make([]sums, len(defs)), make([]sums, len(defs))
		seen := map[string]bool{}
		now := day.Add(time.Duration(tr.Int64N(int64(time.Hour))))
		for range 1 + tr.IntN(3) { // restarts
			s, err := New(defs, Options{})
			if err != nil {
				t.Fatalf("%+v: %v", defs, err)
			}
			s.Start(now)
			take := func(p *Point) { takePoint(t, seen, got, defs, p) }
			now = feedRandomly(s, tr, now, want, take)
			s.Finish(now, take)
			now = now.Add(time.Duration(1 + tr.Int64N(int64(time.Minute))))
		}
		for i := range defs {
			if got[i] != want[i] {
				t.Errorf("seed %d: %+v:\ngot  %+v\nwant %+v", seed, defs[i], got[i], want[i])
			}
		}
	}
}

// takePoint adds a point to the sums of its roll-up, and looks whether it is alone.
func takePoint(t *testing.T, seen map[string]bool, got []sums, defs []Definition, p *Point) {
	i := slices.IndexFunc(defs, func(d Definition) bool { return d.Name == p.Name })
	got[i].plus(p)
	series := fmt.Sprint(p.Name, p.Begin.UnixNano(), p.Tags)
	if seen[series] {
		t.Errorf("%s is reported twice", series)
	}
	seen[series] = true
	if !p.Begin.Before(p.End) || p.Flows > 0 && (p.First > p.Last || !p.Sized || p.Smallest > p.Largest) {
		t.Errorf("%+v makes no sense", *p)
	}
	if p.Distinct && p.Flows > 0 && (p.Sources == 0 || p.Destinations == 0) {
		t.Errorf("%+v has no addresses", *p)
	}
}

// feedRandomly gives flows to a Set from several goroutines while time goes on, and adds
// to want what matches. It returns the time.
func feedRandomly(s *Set, tr *traffic, now time.Time, want []sums, take func(*Point)) time.Time {
	feeders := []*Feeder{s.NewFeeder(), s.NewFeeder(), s.NewFeeder()}
	for range 1 + tr.IntN(25) {
		records := make([][]flow.Record, len(feeders))
		for i := range records {
			records[i] = make([]flow.Record, tr.IntN(200))
			for j := range records[i] {
				r := &records[i][j]
				tr.flow(r, now)
				for k, roll := range s.rollups {
					if roll.filter == nil || roll.filter.Match(r, nil) {
						want[k].of(r)
					}
				}
			}
		}
		var wg sync.WaitGroup
		s.Begin()
		for i, f := range feeders {
			wg.Go(func() {
				for j := range records[i] {
					f.Add(&records[i][j])
				}
				f.Flush()
			})
		}
		wg.Wait()
		s.End()
		wg.Go(func() { s.Counts() }) // as windows close
		now = now.Add(time.Duration(tr.Int64N(int64(40 * time.Second))))
		if tr.IntN(50) == 0 {
			now = now.Add(time.Duration(tr.Int64N(int64(5*time.Hour))) - 2*time.Hour) // the clock is set
		}
		s.Close(now, take)
		wg.Wait()
	}
	return now
}

// TestDefinitions: what is wrong is refused, with what was expected and a suggestion.
func TestDefinitions(t *testing.T) {
	for _, c := range []struct {
		name string
		d    Definition
		want string
	}{
		{"nothing", Definition{Name: "n"}, ""},
		{"tags of each kind", Definition{Name: "n", Tags: []string{"source", "service", "in_vm", "protocol"}}, ""},
		{"no name", Definition{}, "name: expected that of a measurement"},
		{"tag", Definition{Name: "n", Tags: []string{"scr"}}, `got "scr"; did you mean "src"?`},
		{"tag, far off", Definition{Name: "n", Tags: []string{"xyzzy"}}, `got "xyzzy"`},
		{"tag that is a field", Definition{Name: "n", Tags: []string{"flows"}}, `field of each point, got "flows"`},
		{"tag with more words", Definition{Name: "n", Tags: []string{"src_ip"}}, `got "src_ip"; did you mean "src"?`},
		{"tag with fewer", Definition{Name: "n", Tags: []string{"dst_as"}}, `did you mean "bgp_dst_as"?`},
		{"word of several tags", Definition{Name: "n", Tags: []string{"as"}}, `did you mean "bgp_src_as"?`},
		{"half of a tag", Definition{Name: "n", Tags: []string{"VM"}}, `did you mean "in_vm"?`},
		{"derived tag", Definition{Name: "n", Tags: []string{"servce"}}, `did you mean "service"?`},
		{"tag twice", Definition{Name: "n", Tags: []string{"src", "src"}}, `got "src" again`},
		{"filter", Definition{Name: "n", Filter: "prto tcp"}, `did you mean`},
		{"filter of files", Definition{Name: "n", Filter: "ident abc"}, "filter: expected"},
		{"interval", Definition{Name: "n", Interval: time.Millisecond},
			`interval: expected 1s to 24h0m0s, got "1ms"`},
		{"broken interval", Definition{Name: "n", Interval: 1500 * time.Millisecond}, "whole seconds"},
		{"top", Definition{Name: "n", Top: -1}, "top: expected"},
		{"top above all", Definition{Name: "n", Top: 20, MaxSeries: 10}, "expected at most max_series, 10, got 20"},
		{"max_series", Definition{Name: "n", MaxSeries: -1}, "max_series: expected"},
		{"spread", Definition{Name: "n", Spread: time.Hour * 2}, "spread: expected"},
		{"bits", Definition{Name: "n", IPv4Net: 33}, "ipv4_net: expected 1 to 32 bits, got 33"},
		{"bits of IPv6", Definition{Name: "n", IPv6Net: 129}, "ipv6_net: expected"},
	} {
		_, err := New([]Definition{c.d}, Options{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := New([]Definition{{Name: "n"}, {Name: "n"}}, Options{}); err == nil {
		t.Error("two roll-ups have the same name")
	}
	if w, err := ParseWeight("byte"); err == nil || !strings.Contains(err.Error(), `did you mean "bytes"?`) {
		t.Errorf("%v, %v", w, err)
	}
}
