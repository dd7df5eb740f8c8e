package rollup

import (
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// setOf returns a Set of one definition that has started.
func setOf(t testing.TB, d Definition, o Options) *Set {
	t.Helper()
	if d.Name == "" {
		d.Name = "n"
	}
	s, err := New([]Definition{d}, o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start(day)
	return s
}

// feed adds flows.
func feed(s *Set, f *Feeder, list ...*flow.Record) {
	s.Begin()
	defer s.End()
	for _, r := range list {
		f.Add(r)
	}
	f.Flush()
}

// points returns copies of the points of the windows that are over.
func points(s *Set, now time.Time) (list []Point) {
	s.Close(now, func(p *Point) { list = append(list, *p) })
	return list
}

// tcp returns a flow that ends at a time after day.
func tcp(src, dst string, port uint16, bytes uint64, first, last time.Duration) *flow.Record {
	r := &flow.Record{Exporter: netip.MustParseAddr("192.0.2.1"), Src: netip.MustParseAddr(src),
		Dst: netip.MustParseAddr(dst), Proto: 6, SrcPort: 50000, DstPort: port, Bytes: bytes, Packets: bytes / 100,
		First: flow.TimeOf(day.Add(first)), Last: flow.TimeOf(day.Add(last))}
	r.Present = flow.SetOf(flow.Src, flow.Dst, flow.Proto, flow.SrcPort, flow.DstPort, flow.Bytes, flow.Packets)
	return r
}

// value returns the value of a tag, "" without it.
func (p *Point) value(name string) string {
	for _, t := range p.Tags {
		if t.Name == name {
			return t.Value
		}
	}
	return ""
}

func TestTags(t *testing.T) {
	r := tcp("10.1.2.3", "2001:db8:1:2::3", 443, 1000, 0, time.Second)
	r.Version, r.Domain, r.ICMP, r.SegmentID, r.EgressAttr = flow.IPFIX, 7, 0x0304, 5001, 2
	r.Input, r.Output, r.Direction, r.SrcAS = 3, 4, 1, 64500
	r.InSrcMAC, r.AppID, r.User = [6]byte{1, 2, 3, 4, 5, 6}, []byte{13, 0, 9}, []byte("someone")
	for _, f := range []flow.Field{flow.ICMP, flow.SegmentID, flow.EgressAttr, flow.Input, flow.Output, flow.Direction,
		flow.SrcAS, flow.InSrcMAC, flow.AppID, flow.User} {
		r.Present.Add(f)
	}
	named := *r
	named.Names = &flow.Names{Exporter: "edge", Input: "wan", Output: "lan\\", InputVM: "web\n01"}
	bare := &flow.Record{Exporter: netip.MustParseAddr("2001:db8::1"), First: r.First, Last: r.Last}
	for _, c := range []struct {
		tag  string
		r    *flow.Record
		want string
	}{
		{"source", r, "192.0.2.1"}, {"version", r, "IPFIX"}, {"domain", r, "7"}, {"service", r, "https"},
		{"src_net", r, "10.1.2.0/24"}, {"dst_net", r, "2001:db8:1::/48"}, {"src_class", r, "internal"},
		{"dst_class", r, "external"}, {"icmp_code", r, "4"}, {"vni", r, "5001"}, {"egress_role", r, "vm"},
		{"ingress_role", r, ""}, {"in_snmp", r, "3"}, {"bgp_src_as", r, "64500"}, {"bgp_dst_as", r, ""},
		{"in_src_mac", r, "1108152157446"}, {"app_id", r, "0d0009"}, {"username", r, "someone"},
		{"dst", r, "2001:db8:1:2::3"},
		{"exporter", r, "192.0.2.1"}, {"exporter", &named, "edge"}, {"exporter_name", r, ""}, {"interface", r, "4"},
		{"interface", &named, "lan"}, {"in_interface", &named, "wan"}, {"in_vm", &named, "web 01"},
		{"source", bare, "2001:db8::1"}, {"src", bare, ""}, {"src_net", bare, ""}, {"src_class", bare, ""},
		{"service", bare, ""}, {"username", bare, ""}, {"interface", bare, ""}, {"version", bare, "unknown"},
	} {
		s := setOf(t, Definition{Tags: []string{c.tag}}, Options{})
		feed(s, s.NewFeeder(), c.r)
		list := points(s, day.Add(time.Minute))
		if len(list) != 1 || list[0].value(c.tag) != c.want || (c.want == "") != (len(list[0].Tags) == 0) {
			t.Errorf("%s: %+v, want %q", c.tag, list, c.want)
		}
	}
}

func TestServices(t *testing.T) {
	known := newServices()
	s := setOf(t, Definition{}, Options{})
	for _, c := range []struct {
		proto    uint8
		src, dst uint16
		want     string
	}{
		{6, 50000, 443, "https"}, {6, 443, 50000, "https"}, {17, 53, 53, "domain"}, {17, 53, 123, "domain"},
		{17, 514, 40000, "syslog"}, {6, 514, 40000, "shell"}, {6, 60000, 40000, "6/40000"}, {132, 80, 1, "http"},
		{6, 3389, 22, "ssh"}, {6, 40000, 3389, "rdp"}, {47, 0, 0, "47"}, {6, 0, 0, "6/0"}, {17, 2049, 2048, "nfs"},
	} {
		r := &flow.Record{Proto: c.proto, SrcPort: c.src, DstPort: c.dst}
		if got := known.name(s, known.of(r)); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// A flow that comes after its window is in the next, and counted as late.
func TestLateFlows(t *testing.T) {
	s := setOf(t, Definition{}, Options{})
	f := s.NewFeeder()
	feed(s, f, tcp("10.0.0.1", "10.0.0.2", 80, 100, 0, 30*time.Second))
	if list := points(s, day.Add(59*time.Second)); len(list) != 0 {
		t.Errorf("a window that is not over gives %+v", list)
	}
	list := points(s, day.Add(time.Minute))
	feed(s, f, tcp("10.0.0.1", "10.0.0.2", 80, 1000, 0, 59*time.Second))
	feed(s, f, tcp("10.0.0.1", "10.0.0.2", 80, 2000, 0, 61*time.Second))
	list = append(list, points(s, day.Add(2*time.Minute))...)
	if len(list) != 2 || list[0].Bytes != 100 || list[1].Bytes != 3000 || !list[1].Begin.Equal(day.Add(time.Minute)) {
		t.Errorf("got %+v", list)
	}
	if c := s.Counts()[0]; c.Late != 1 || c.Flows != 3 || c.Windows != 2 {
		t.Errorf("counted %+v", c)
	}
}

// A long flow is divided among the windows that it covers, in proportion.
func TestSpread(t *testing.T) {
	s := setOf(t, Definition{Spread: 5 * time.Minute}, Options{})
	f := s.NewFeeder()
	s.Close(day.Add(4*time.Minute), func(*Point) {})
	long := tcp("10.0.0.1", "10.0.0.2", 80, 1000, 90*time.Second, 240*time.Second) // 30 s, 60 s, 60 s
	long.SamplingRate = 10
	feed(s, f, long, tcp("10.0.0.1", "10.0.0.3", 80, 7, 170*time.Second, 185*time.Second))
	var got []string
	for _, p := range points(s, day.Add(time.Hour)) {
		got = append(got, fmt.Sprint(p.Begin.Sub(day), p.Bytes, p.ScaledBytes, p.Flows, p.Largest))
	}
	want := []string{"1m0s 200 2000 0 0", "2m0s 400 4000 0 0", "3m0s 407 4007 1 7", "4m0s 0 0 1 10000"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Past max_series the heavy ones are kept, and what may be missing is bounded, by whatever
// weight.
func TestSpaceSaving(t *testing.T) {
	for by, name := range weights {
		t.Run(name, func(t *testing.T) { testSpaceSaving(t, Weight(by)) })
	}
}

func testSpaceSaving(t *testing.T, by Weight) {
	s := setOf(t, Definition{Tags: []string{"src"}, MaxSeries: 200, By: by}, Options{})
	f, want, flows := s.NewFeeder(), map[string]uint64{}, map[string]uint64{}
	tr := newTraffic(3, 20000)
	weight := func(bytes, packets, flows uint64) uint64 { return []uint64{bytes, packets, flows}[by] }
	var total uint64
	var batch []*flow.Record
	for i := range 100000 {
		r := tcp("10.0.0.1", "10.0.0.2", 80, 1+tr.Uint64N(1000), 0, time.Second)
		if r.Src = tr.addr(); i%10 == 0 {
			r.Src = netip.AddrFrom4([4]byte{172, 16, 0, byte(i / 10 % 8)}) // each an eightieth of all
		}
		rate := uint64(1 + i%3)
		r.SamplingRate = uint32(rate)
		weighs := weight(rate*r.Bytes, rate*r.Packets, 1)
		want[r.Src.String()] += weighs
		flows[r.Src.String()]++
		total += weighs
		if batch = append(batch, r); len(batch) == 500 {
			feed(s, f, batch...)
			batch = nil
		}
	}
	var sum uint64
	list := points(s, day.Add(time.Minute))
	inOther := len(flows)
	for _, p := range list {
		weighs := weight(p.ScaledBytes, p.ScaledPackets, p.Flows)
		sum += weighs
		if !p.Bounded {
			t.Fatalf("%+v does not say that there was a bound", p)
		}
		if p.Other {
			continue
		}
		src := p.value("src")
		if weighs > want[src] || weighs+p.Error < want[src] || p.Error > total/(200*3/4) {
			t.Errorf("%s: %d and %d more at most, had %d of %d", src, weighs, p.Error, want[src], total)
		}
		if p.Flows == flows[src] {
			inOther--
		}
	}
	if sum != total || len(list) > 201 || len(list) < 200*3/4 {
		t.Errorf("%d points weigh %d, want %d in at most 201", len(list), sum, total)
	}
	for i := range 8 {
		src := fmt.Sprint("172.16.0.", i)
		if !slices.ContainsFunc(list, func(p Point) bool { return p.value("src") == src }) {
			t.Errorf("%s, an eightieth of all, has no series", src)
		}
	}
	c := s.Counts()[0]
	if off := math.Abs(float64(c.Folded)/float64(inOther) - 1); off > 0.2 || c.Folded != c.Evicted { // 3.3 % is usual
		t.Errorf("counted %+v, want %d series in other", c, inOther)
	}
}

// What is in other as it is not among the top, and what is there past max_series, is counted
// together, each series once.
func TestFoldedIsWhateverIsInOther(t *testing.T) {
	const most, top = 1000, 10
	s := setOf(t, Definition{Tags: []string{"src"}, MaxSeries: most, Top: top}, Options{})
	f := s.NewFeeder()
	for i := range most + 1 {
		r := tcp("10.0.0.1", "10.0.0.2", 80, 100, 0, time.Second)
		r.Src = netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)})
		feed(s, f, r)
	}
	points(s, day.Add(time.Minute))
	c := s.Counts()[0]
	near := func(got uint64, want int) bool { return math.Abs(float64(got)/float64(want)-1) < 0.2 } // 3.3 % is usual
	if !near(c.Folded, most+1-top) || !near(c.Evicted, most/4) {
		t.Errorf("%d series are in other, %d of them past max_series, want %d and %d", c.Folded, c.Evicted, most+1-top,
			most/4)
	}
}

// However few series are kept, but of a single one, one that has most of the traffic is.
func TestFewSeriesHaveTheHeavyOne(t *testing.T) {
	for _, most := range []int{2, 3, 5, 20} {
		for range 20 {
			s := setOf(t, Definition{Tags: []string{"src"}, MaxSeries: most}, Options{})
			f := s.NewFeeder()
			for i := range 600 {
				light := tcp("10.0.0.1", "10.0.0.2", 80, 10, 0, time.Second)
				light.Src = netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)})
				feed(s, f, light, tcp("192.0.2.1", "10.0.0.2", 80, 1000, 0, time.Second))
			}
			list := points(s, day.Add(time.Minute))
			if !slices.ContainsFunc(list, func(p Point) bool { return p.value("src") == "192.0.2.1" }) {
				t.Fatalf("max_series = %d: what has nearly all of the traffic is not in %+v", most, list)
			}
		}
	}
}

// A series that was told of stays until another one is heavier by a quarter.
func TestTopDoesNotChurn(t *testing.T) {
	s := setOf(t, Definition{Tags: []string{"in_interface"}, Top: 1}, Options{})
	f := s.NewFeeder()
	for minute, c := range []struct {
		a, b uint64
		want string
	}{{100, 99, "a"}, {100, 110, "a"}, {100, 126, "b"}, {110, 100, "b"}, {0, 1, "b"}, {200, 100, "a"}} {
		for name, bytes := range map[string]uint64{"a": c.a, "b": c.b} {
			r := tcp("10.0.0.1", "10.0.0.2", 80, bytes, 0, time.Duration(minute)*time.Minute)
			r.Input, r.Names = 1, &flow.Names{Input: name}
			feed(s, f, r)
		}
		list := points(s, day.Add(time.Duration(minute+1)*time.Minute))
		if len(list) != 2 || list[0].value("in_interface") != c.want || !list[1].Other || list[1].Folded != 1 ||
			list[1].value("in_interface") != Other {
			t.Errorf("minute %d: %+v, want %s", minute, list, c.want)
		}
	}
}

// Distinct addresses are counted, one exactly, many within some standard errors of 3.3 %.
func TestDistinct(t *testing.T) {
	for _, hosts := range []int{1, 2, 100, 50000} {
		s := setOf(t, Definition{Tags: []string{"dst_port"}, Top: 1, Distinct: true}, Options{})
		f := s.NewFeeder()
		for i := range 2 * hosts {
			src := netip.AddrFrom4([4]byte{10, byte(i % hosts >> 16), byte(i % hosts >> 8), byte(i % hosts)})
			feed(s, f, tcp(src.String(), "192.0.2.9", uint16(1+i%2), uint64(100+i), 0, 0))
		}
		for _, p := range points(s, day.Add(time.Minute)) {
			want := float64(max(1, hosts/2)) // of even numbers, unless they have both ports
			if hosts%2 == 1 {
				want = float64(hosts)
			}
			if got := float64(p.Sources); got < want*0.87-0.5 || got > want*1.13+0.5 || p.Destinations != 1 {
				t.Errorf("%d hosts: %+v, want %v sources", hosts, p, want)
			}
		}
	}
}

// What two exporters or both interfaces of one tell of is counted once.
func TestDeduplicate(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	at := func(exporter netip.Addr, direction uint8, port uint16, first, last time.Duration) *flow.Record {
		r := tcp("10.0.0.1", "10.0.0.2", port, 100, first, last)
		r.Exporter, r.Direction = exporter, direction
		r.Present.Add(flow.Direction)
		return r
	}
	const s1, s2 = time.Second, 2 * time.Second
	for _, c := range []struct {
		name string
		how  Deduplicate
		rank []netip.Prefix
		list []*flow.Record
		want map[string]uint64
	}{
		{"off", DeduplicateOff, nil, []*flow.Record{at(a, 0, 1, 0, s1), at(a, 1, 1, 0, s1)},
			map[string]uint64{"192.0.2.1": 200}},
		{"ingress", DeduplicateIngress, nil, []*flow.Record{at(a, 0, 1, 0, s1), at(a, 1, 1, 0, s1), at(b, 0, 1, 0, s1)},
			map[string]uint64{"192.0.2.1": 100, "192.0.2.2": 100}},
		{"the first counts", DeduplicateRank, nil,
			[]*flow.Record{at(a, 0, 1, 0, s1), at(a, 1, 1, 0, s1), at(b, 0, 1, 0, s1)},
			map[string]uint64{"192.0.2.1": 100}},
		{"another flow", DeduplicateRank, nil,
			[]*flow.Record{at(a, 0, 1, 0, s1), at(b, 0, 2, 0, s1), at(b, 0, 1, s2, s2)},
			map[string]uint64{"192.0.2.1": 100, "192.0.2.2": 200}},
		{"parts of one", DeduplicateRank, nil,
			[]*flow.Record{at(a, 0, 1, 0, s1), at(b, 0, 1, 0, s1), at(a, 0, 1, s1, s2), at(b, 0, 1, s1, s2)},
			map[string]uint64{"192.0.2.1": 200}},
		{"the better one from the next on", DeduplicateRank, []netip.Prefix{netip.PrefixFrom(b, 32)},
			[]*flow.Record{at(a, 0, 1, 0, s1), at(b, 0, 1, 0, s1), at(a, 0, 1, s1, s2), at(b, 0, 1, s1, s2)},
			map[string]uint64{"192.0.2.1": 100, "192.0.2.2": 100}},
		{"one record each, the worse first", DeduplicateRank, []netip.Prefix{netip.PrefixFrom(b, 32)},
			[]*flow.Record{at(a, 0, 1, 0, s1), at(b, 0, 1, 0, s1)}, map[string]uint64{"192.0.2.1": 100}},
		{"one record each, the better first", DeduplicateRank, []netip.Prefix{netip.PrefixFrom(b, 32)},
			[]*flow.Record{at(b, 0, 1, 0, s1), at(a, 0, 1, 0, s1)}, map[string]uint64{"192.0.2.2": 100}},
		{"one packet, clocks that differ", DeduplicateRank, nil,
			[]*flow.Record{at(a, 0, 1, s1, s1), at(b, 0, 1, s1+s1, s1+s1), at(b, 0, 2, s1, s1), at(a, 0, 2, 0, 0)},
			map[string]uint64{"192.0.2.1": 100, "192.0.2.2": 100}},
		{"one packet, a moment too late", DeduplicateRank, nil,
			[]*flow.Record{at(a, 0, 1, s1, s1), at(b, 0, 1, s2+time.Millisecond, s2+time.Millisecond)},
			map[string]uint64{"192.0.2.1": 100, "192.0.2.2": 100}},
		{"one packet again and again", DeduplicateRank, nil,
			[]*flow.Record{at(a, 0, 1, 0, 0), at(b, 0, 1, s1, s1), at(a, 0, 1, s2, s2), at(b, 0, 1, s2+s1, s2+s1)},
			map[string]uint64{"192.0.2.1": 200}},
		{"the way changes", DeduplicateRank, []netip.Prefix{netip.PrefixFrom(a, 32)},
			[]*flow.Record{at(a, 0, 1, 0, 60*s1), at(b, 0, 1, 61*s1, 120*s1), at(b, 0, 1, 121*s1, 180*s1)},
			map[string]uint64{"192.0.2.1": 100, "192.0.2.2": 200}},
		{"the better one takes over what goes on", DeduplicateRank, []netip.Prefix{netip.PrefixFrom(b, 32)},
			[]*flow.Record{at(a, 0, 1, 0, s1), at(b, 0, 1, 0, 3*s1), at(a, 0, 1, s2, 3*s1), at(b, 0, 1, 4*s1, 5*s1)},
			map[string]uint64{"192.0.2.1": 100, "192.0.2.2": 100}},
	} {
		s := setOf(t, Definition{Tags: []string{"source"}, Deduplicate: c.how}, Options{Rank: c.rank})
		feed(s, s.NewFeeder(), c.list...)
		got := map[string]uint64{}
		for _, p := range points(s, day.Add(time.Minute)) {
			got[p.value("source")] += p.Bytes
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A day goes by, with ever new hosts and names of interfaces, and memory stays as it was.
func TestADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defs := []Definition{
			{Name: "hosts", Tags: []string{"src", "dst"}, Top: 20, MaxSeries: 500, Distinct: true},
			{Name: "interfaces", Tags: []string{"source", "in_interface"}, MaxSeries: 300, Interval: 10 * time.Second},
			{Name: "spread", Tags: []string{"service", "in_vm"}, MaxSeries: 300, Spread: 3 * time.Minute,
				Deduplicate: DeduplicateRank},
		}
		s, err := New(defs, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.Start(time.Now())
		done, ended := make(chan struct{}), make(chan struct{})
		var told, got, want uint64
		go func() {
			defer close(ended)
			s.Run(done, func(p *Point) { told, got = told+1, got+p.Bytes })
		}()
		f, tr := s.NewFeeder(), newTraffic(1, 1<<24)
		time.Sleep(30 * time.Second) // not when windows close
		var early uint64
		for minute := range 24 * 60 {
			s.Begin()
			for i := range 15 {
				var r flow.Record
				tr.flow(&r, time.Now())
				r.Names = &flow.Names{Input: fmt.Sprint("tunnel", minute, i), InputVM: fmt.Sprint("vm", minute, i%7)}
				f.Add(&r)
				want += r.Bytes
			}
			f.Flush()
			s.End()
			time.Sleep(time.Minute)
			if minute == 60 {
				early = heap()
			}
		}
		if late := heap(); late > early+early/2+(4<<20) {
			t.Errorf("after an hour the heap had %d bytes, after a day %d", early, late)
		}
		close(done)
		<-ended
		for _, r := range s.rollups {
			if n := len(r.texts.ids); n > 2000 {
				t.Errorf("%s keeps %d names", r.Name, n)
			}
		}
		s.Finish(time.Now(), func(p *Point) { got += p.Bytes })
		if got == 0 || got > 3*want || told < 24*60*3 || s.Counts()[0].Windows != 24*60 {
			t.Errorf("%d points with %d bytes of %d, counted %+v", told, got, want, s.Counts())
		}
		if twins := s.Counts()[2].Twins; twins == 0 && got != 3*want {
			t.Errorf("%d bytes, want 3 times %d", got, want)
		}
	})
}

// heap returns the bytes in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// known are roll-ups as the sample configuration has them.
var known = []Definition{
	{Name: "interface", Tags: []string{"source", "in_snmp", "out_snmp", "in_interface", "out_interface"}},
	{Name: "service", Tags: []string{"service"}, Top: 100, Distinct: true},
	{Name: "src_net", Tags: []string{"src_net"}, Top: 100, Distinct: true},
	{Name: "dst_net", Tags: []string{"dst_net"}, Top: 100, Distinct: true},
	{Name: "as", Tags: []string{"bgp_src_as", "bgp_dst_as"}, Top: 100},
}

// flows are many flows of few series.
func flows(n int) []flow.Record {
	list, tr := make([]flow.Record, n), newTraffic(9, 200000)
	for i := range list {
		tr.flow(&list[i], day)
	}
	return list
}

// TestNoAllocations: a flow of series that are known costs none.
func TestNoAllocations(t *testing.T) {
	defs := append(slices.Clone(known), Definition{Name: "names",
		Tags: []string{"exporter", "interface", "in_vm", "username", "app_id"}, Filter: "proto tcp or udp",
		Deduplicate: DeduplicateRank})
	s, err := New(defs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Start(day)
	f, list := s.NewFeeder(), flows(1000)
	run := func() {
		s.Begin()
		for i := range list {
			f.Add(&list[i])
		}
		f.Flush()
		s.End()
	}
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%v allocations for 1,000 flows", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	one := func(name string, defs ...Definition) {
		b.Run(name, func(b *testing.B) {
			s, err := New(defs, Options{})
			if err != nil {
				b.Fatal(err)
			}
			s.Start(day)
			f, list, all := s.NewFeeder(), flows(1<<8), flows(1<<16)
			addrs := make([]netip.Addr, len(all))
			for i := range all {
				addrs[i] = all[i].Src
			}
			b.ReportAllocs()
			s.Begin()
			for i := range b.N {
				r := &list[i&(1<<8-1)] // as decoded: in the cache
				r.Src, r.Dst = addrs[i&(1<<16-1)], addrs[i*7&(1<<16-1)]
				f.Add(r)
			}
			f.Flush()
			s.End()
		})
	}
	for _, d := range known {
		one(d.Name, d)
	}
	one("default", known...)
	full := known[2]
	full.MaxSeries = 500
	one("past max_series", full)
}
