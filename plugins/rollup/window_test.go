package rollup

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// A flow is late where it ended before the oldest window began, whether it has tags or none.
func TestLateIsBeforeTheWindow(t *testing.T) {
	for _, d := range []Definition{{}, {Tags: []string{"dst_port"}}, {Spread: time.Minute}} {
		s := setOf(t, d, Options{})
		f := s.NewFeeder()
		points(s, day.Add(time.Minute+d.Spread)) // the window of the first minute is over
		for i, last := range []time.Duration{time.Minute - time.Millisecond, time.Minute, 2 * time.Minute} {
			feed(s, f, tcp("10.0.0.1", "10.0.0.2", 80, 100, 0, last))
			if c := s.Counts()[0]; c.Late != 1 || c.Flows != uint64(i+1) {
				t.Errorf("%+v: with a flow that ends at %s %d are late", d, last, c.Late)
			}
		}
	}
}

// Past max_series the key that is heavy by what counts stays, be it light by all else, and
// its error is of what counts.
func TestSpaceSavingByWeight(t *testing.T) {
	heavy, light := netip.MustParseAddr("172.16.0.1"), func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	for by, of := range map[Weight]func(*Point) uint64{
		ByBytes:   func(p *Point) uint64 { return p.ScaledBytes },
		ByPackets: func(p *Point) uint64 { return p.ScaledPackets },
		ByFlows:   func(p *Point) uint64 { return p.Flows },
	} {
		s := setOf(t, Definition{Tags: []string{"src"}, MaxSeries: 64, By: by}, Options{})
		f := s.NewFeeder()
		for i := range 1500 {
			r := tcp("10.0.0.1", "10.0.0.2", 80, 1000, 0, time.Second)
			r.Packets, r.Flows, r.Src = 1000, 1000, light(i)
			r.Present.Add(flow.Flows)
			feed(s, f, r)
			// One thousandth of all else.
			own := tcp("10.0.0.1", "10.0.0.2", 80, 1, 0, time.Second)
			own.Packets, own.Flows, own.Src = 1, 1, heavy
			own.Present.Add(flow.Flows)
			switch by {
			case ByBytes:
				own.Bytes = 5000
			case ByPackets:
				own.Packets = 5000
			case ByFlows:
				own.Flows = 5000
			}
			feed(s, f, own)
		}
		list := points(s, day.Add(time.Minute))
		i := slices.IndexFunc(list, func(p Point) bool { return p.value("src") == heavy.String() })
		if i < 0 || of(&list[i])+list[i].Error < 1500*5000 || of(&list[i]) > 1500*5000 {
			t.Errorf("by %s: the heavy one is not kept, or not within its error", weights[by])
		}
		for i := range list {
			if p := &list[i]; !p.Other && p.value("src") != heavy.String() && (of(p) != 1000 || p.Error%1000 != 0) {
				t.Errorf("by %s: %+v has one flow of 1,000", weights[by], *p)
			}
		}
	}
}

// What is displaced takes its smallest and largest flow along to the rest.
func TestSmallestAndLargestOfTheRest(t *testing.T) {
	s := setOf(t, Definition{Tags: []string{"src_port"}, MaxSeries: 32}, Options{})
	f := s.NewFeeder()
	left := map[string]uint64{}
	for i := range 3000 {
		r := tcp("10.0.0.1", "10.0.0.2", 80, uint64(1000+i*7%3000), 0, time.Second)
		r.SrcPort = uint16(1 + i)
		left[fmt.Sprint(r.SrcPort)] = r.Bytes
		feed(s, f, r)
	}
	list := points(s, day.Add(time.Minute))
	for _, p := range list {
		if bytes := left[p.value("src_port")]; !p.Other && (p.Smallest != bytes || p.Largest != bytes) {
			t.Errorf("%+v has one flow of %d bytes", p, bytes)
		}
		delete(left, p.value("src_port"))
	}
	sizes := slices.Sorted(maps.Values(left))
	other := list[len(list)-1]
	if !other.Other || other.Smallest != sizes[0] || other.Largest != sizes[len(sizes)-1] {
		t.Errorf("%+v, want %d to %d", other, sizes[0], sizes[len(sizes)-1])
	}
}

// What a part of a flow adds to a series leaves its smallest and largest flow alone, and
// its first and last are within the window.
func TestSpreadParts(t *testing.T) {
	s := setOf(t, Definition{Spread: 3 * time.Minute}, Options{})
	f := s.NewFeeder()
	s.Close(day.Add(2*time.Minute+time.Second), func(*Point) {})
	long := tcp("10.0.0.1", "10.0.0.2", 80, 1003, 30*time.Second, 150*time.Second)
	long.SamplingRate = 3
	feed(s, f, tcp("10.0.0.1", "10.0.0.2", 80, 2000, time.Second, 2*time.Second),
		tcp("10.0.0.1", "10.0.0.2", 80, 500, 70*time.Second, 71*time.Second), long,
		tcp("10.0.0.1", "10.0.0.2", 80, 10, 65*time.Second, 125*time.Second)) // as long as the interval: not divided
	var got []string
	for _, p := range points(s, day.Add(time.Hour)) {
		at := func(ms uint64) time.Duration { return time.UnixMilli(int64(ms)).Sub(day) }
		got = append(got, fmt.Sprint(p.Begin.Sub(day), " ", p.Flows, p.Bytes, p.ScaledBytes, p.Packets, p.ScaledPackets,
			" ", at(p.First), at(p.Last), " ", p.Smallest, p.Largest))
	}
	want := []string{
		"0s 1 2250 2752 22 27 1s 59.999s 2000 2000",
		"1m0s 1 1002 2004 10 20 1m0s 1m59.999s 500 500",
		"2m0s 2 261 763 3 8 1m5s 2m30s 10 3009",
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Errorf("window %d: %q", i, got)
			break
		}
	}
}

// Windows close when they are over and their spread is, and no two begin together when the
// clock is set back; Next says when.
func TestWindowsAndTheClock(t *testing.T) {
	s, err := New([]Definition{{Name: "minute"}, {Name: "ten", Interval: 10 * time.Second, Spread: 20 * time.Second}},
		Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Next().IsZero() {
		t.Errorf("before the start the next window closes at %s", s.Next())
	}
	s.Start(day.Add(5 * time.Second))
	next := func(want time.Duration) {
		t.Helper()
		if got := s.Next().Sub(day); got != want {
			t.Errorf("the next window opens or closes at %s, want %s", got, want)
		}
	}
	next(10 * time.Second) // a window of ten seconds opens
	turned, err := New([]Definition{{Name: "ten", Interval: 10 * time.Second}, {Name: "minute"}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if turned.Start(day); !turned.Next().Equal(day.Add(10 * time.Second)) {
		t.Errorf("of the roll-ups the other way round the next window closes at %s", turned.Next().Sub(day))
	}
	f := s.NewFeeder()
	begins := map[string]bool{}
	closed := func(now time.Duration) (list []string) {
		for _, p := range points(s, day.Add(now)) {
			key := fmt.Sprint(p.Name, " ", p.Begin.UnixNano())
			if begins[key] {
				t.Errorf("two windows of %s begin at %s", p.Name, p.Begin)
			}
			begins[key] = true
			list = append(list, fmt.Sprint(p.Name, " ", p.Begin.Sub(day), " ", p.End.Sub(day)))
		}
		return list
	}
	expect := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("closed are %q, want %q", got, want)
		}
	}
	one := func(at time.Duration) *flow.Record { return tcp("10.0.0.1", "10.0.0.2", 80, 100, at, at) }
	feed(s, f, one(6*time.Second))
	expect(closed(10 * time.Second))
	next(20 * time.Second)
	expect(closed(29*time.Second + 999*time.Millisecond))
	next(30 * time.Second)
	expect(closed(30*time.Second), "ten 5s 10s")
	feed(s, f, one(31*time.Second))
	expect(closed(60*time.Second), "minute 5s 1m0s", "ten 30s 40s")
	// An hour later, when nobody has looked: one window of each, and none that is over.
	feed(s, f, one(61*time.Second))
	expect(closed(time.Hour), "minute 1m0s 2m0s", "ten 1m0s 1m10s")
	feed(s, f, one(time.Hour))
	// The clock is set back by a moment, which changes nothing, and by an hour.
	expect(closed(time.Hour - 8*time.Second))
	feed(s, f, one(time.Hour))
	expect(closed(30*time.Second), "minute 1h0m0s 1h1m0s", "ten 1h0m0s 1h0m10s")
	feed(s, f, one(31*time.Second))
	if list := closed(2 * time.Minute); len(list) != 2 {
		t.Errorf("closed are %q", list)
	}
	for range 3 { // again and again to the same time
		s.Close(day.Add(5*time.Minute), func(*Point) {})
		feed(s, f, one(5*time.Minute))
		closed(5 * time.Second)
		feed(s, f, one(5*time.Second))
	}
	s.Finish(day.Add(6*time.Second), func(p *Point) {
		if !p.End.Equal(day.Add(6 * time.Second)) {
			t.Errorf("a window that is ended early ends at %s", p.End.Sub(day))
		}
	})
}

// Flows that have none of a roll-up's tags are one series, with what other series have.
func TestUntaggedFlows(t *testing.T) {
	s := setOf(t, Definition{Tags: []string{"in_vm"}, Distinct: true}, Options{})
	f := s.NewFeeder()
	for i := range 1000 {
		r := tcp("10.0.0.1", "10.0.0.2", 80, uint64(1000+i*7%1000), time.Duration(i)*time.Millisecond,
			time.Duration(2000-i)*time.Millisecond)
		r.Src, r.Packets = netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), uint64(i)
		if r.SamplingRate = 4; i%3 == 0 {
			r.Names = &flow.Names{InputVM: "web"}
		}
		feed(s, f, r)
		r.Names = nil
	}
	for _, p := range points(s, day.Add(time.Minute)) {
		if p.value("in_vm") == "web" {
			continue
		}
		first, last := time.UnixMilli(int64(p.First)).Sub(day), time.UnixMilli(int64(p.Last)).Sub(day)
		got := fmt.Sprint(len(p.Tags), p.Flows, p.Packets, p.Bytes, p.ScaledBytes, p.Smallest, p.Largest, p.Sized, first,
			last, p.Destinations)
		want := uint64(0)
		for i := range uint64(1000) {
			if i%3 != 0 {
				want += 1000 + i*7%1000
			}
		}
		expected := fmt.Sprint(0, 666, 499500-3*333*334/2, want, 4*want, 4*1001, 4*1999, true, time.Millisecond,
			1999*time.Millisecond, 1)
		if got != expected || p.Sources < 240 || p.Sources > 272 {
			t.Errorf("got %s, %d sources, want %s, about 256", got, p.Sources, expected)
		}
	}
}

// What a flow weighs is by how much its cell weighs more afterwards.
func TestWeightOfAFlow(t *testing.T) {
	v := &value{flows: 2, packets: 3, bytes: 5, scaledPackets: 70, scaledBytes: 110}
	for by, name := range weights {
		s := setOf(t, Definition{Tags: []string{"src"}, By: Weight(by)}, Options{})
		w := s.rollups[0].windows[0]
		c := w.cell(make([]uint64, w.words), v)
		before := w.weight.Of(c)
		w.addFlow(c, v)
		if got := w.weight.Of(c) - before; got != v.weight(w.By) || got == 0 {
			t.Errorf("by %s: the cell weighs %d more, and the flow %d", name, got, v.weight(w.By))
		}
	}
}
