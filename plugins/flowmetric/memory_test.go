package flowmetric

import (
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// varied returns a flow with fields of all forms, of which each number has its own.
func varied(r *rand.Rand) *flow.Record {
	out := record(flow.IPFIX, flow.Src, flow.Dst, flow.SrcPort, flow.Bytes, flow.TCPFlags, flow.InSrcMAC)
	var a [16]byte
	for i := range a {
		a[i] = byte(r.Uint32())
	}
	if out.Src, out.Dst = netip.AddrFrom16(a), netip.AddrFrom4([4]byte(a[:])); a[0]&1 != 0 {
		out.Src = out.Dst
	}
	copy(out.InSrcMAC[:], a[4:])
	out.SrcPort, out.Bytes, out.TCPFlags = uint16(r.Uint32()), r.Uint64()>>r.UintN(64), uint16(a[3])
	for range r.IntN(30) { // elements that no record has a place for, so that metrics are of many sizes
		id := uint16(20000 + r.IntN(500))
		out.Extra = append(out.Extra, flow.Element{PEN: 99999, ID: id, Value: a[:r.IntN(len(a))]})
	}
	return out
}

// Metrics keep what they have, whatever is made after them and whatever becomes of others: each
// is what a builder that makes no other returns, which has memory of its own.
func TestMetricsShareNoValues(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := builder(t, Options{FlowTags: []string{"dst"}})
	var metrics []telegraf.Metric
	var want []map[string]any
	var tags []map[string]string
	for i := range 2000 {
		rec, at := varied(r), time.Unix(0, int64(i))
		alone := builder(t, Options{FlowTags: []string{"dst"}}).Flow(rec, at)
		want, tags = append(want, alone.Fields()), append(tags, alone.Tags())
		metrics = append(metrics, b.Flow(rec, at))
		if i%400 == 0 {
			runtime.GC()
		}
	}
	for i, m := range metrics { // every other one is changed as processors do
		if i%2 == 0 {
			for _, f := range m.FieldList() {
				f.Key, f.Value = "x"+f.Key, strings.Repeat("y", 40)
			}
			m.AddField("more", uint64(1))
			m.AddTag("more", "1")
		}
	}
	for i, m := range metrics {
		if i%2 == 1 && (!maps.Equal(m.Fields(), want[i]) || !maps.Equal(m.Tags(), tags[i]) ||
			m.Time().UnixNano() != int64(i)) {
			t.Fatalf("metric %d is %v, expected %v and %v", i, m, tags[i], want[i])
		}
	}
}

// Every form of a value is in an interface what Go itself puts there, alone and behind others,
// also texts that no piece of memory has room for.
func TestBoxedAsGoDoes(t *testing.T) {
	var m cache
	long := strings.Repeat("long", pieceBytes)
	m.scratch = []byte(long)
	address4 := netip.MustParseAddr("203.0.113.255")
	address6 := netip.MustParseAddr("2001:db8:ffff:ffff:ffff:ffff:ffff:1234")
	for range 300 {
		for _, c := range []struct {
			v    value
			want any
		}{
			{value{}, nil},
			{number(0), uint64(0)},
			{number(math.MaxUint64), uint64(math.MaxUint64)},
			{value{form: formInt, bits: math.MaxUint64}, int64(-1)},
			{value{form: formFloat, bits: math.Float64bits(-0.5)}, -0.5},
			{value{form: formFloat, bits: math.Float64bits(math.Inf(1))}, math.Inf(1)},
			{address(address4), address4.String()},
			{address(address6), address6.String()},
			{address(netip.MustParseAddr("::")), "::"},
			{address(netip.Addr{}), netip.Addr{}.String()},
			{value{form: formText}, ""},
			{value{form: formText, bits: 2, high: 4}, "nglo"},
			{value{form: formText, high: uint64(len(long))}, long},
			{boxed(true), true},
		} {
			if got := m.box(&c.v); got != c.want {
				t.Fatalf("%+v is %v (%T), expected %v (%T)", c.v, got, got, c.want, c.want)
			}
		}
	}
}

// A metric that is kept for long keeps the pieces that it and its neighbours lie in, and no more;
// and few pieces are taken.
func TestMemoryOfMetrics(t *testing.T) {
	b := builder(t, Options{})
	rec := varied(rand.New(rand.NewPCG(3, 4)))
	rec.Extra = nil
	for f := flow.Field(0); len(b.Flow(rec, time.Unix(0, 1)).FieldList()) < 24; f++ { // as many as flows have
		rec.Present.Add(f)
	}
	if n := testing.AllocsPerRun(2000, func() { b.Flow(rec, time.Unix(0, 1)) }); n > 1 {
		t.Errorf("%v allocations a flow, expected less than two", n)
	}
	const flows = 64 << 10
	kept := make([]telegraf.Metric, 0, flows/64)
	before := heap()
	for i := range flows {
		if m := b.Flow(rec, time.Unix(0, 1)); i%64 == 0 {
			kept = append(kept, m)
		}
	}
	if each := (heap() - before) / int64(len(kept)); each > 25<<10 {
		t.Errorf("one of many metrics keeps %d bytes, expected some 20 KiB", each)
	}
	runtime.KeepAlive(kept)
}

// heap returns how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
