package flowmetric

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/rollup"
)

// TestNewIsTelegrafs makes metrics of tags and fields and compares with Telegraf's own.
func TestNewIsTelegrafs(t *testing.T) {
	at := time.Unix(1767323045, 6)
	for _, n := range []int{0, 1, 2, 3, 39, 100, 300} {
		tags := []telegraf.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}, {Key: "c", Value: "3"}}[:n%4]
		var fields []telegraf.Field
		asMap, tagMap := map[string]any{}, map[string]string{}
		for i := range n {
			f := telegraf.Field{Key: fmt.Sprintf("f%03d", i), Value: uint64(i)}
			fields = append(fields, f)
			asMap[f.Key] = f.Value
		}
		for _, tag := range tags {
			tagMap[tag.Key] = tag.Value
		}
		got, want := New("m", tags, fields, at), metric.New("m", tagMap, asMap, at)
		if got.Name() != "m" || !maps.Equal(got.Tags(), want.Tags()) || !maps.Equal(got.Fields(), want.Fields()) ||
			!got.Time().Equal(at) || got.Type() != telegraf.Untyped || got.HashID() != want.HashID() ||
			len(got.FieldList()) != n {
			t.Errorf("%d fields: %v, expected %v", n, got, want)
		}
		for i := range fields { // what was given is copied
			fields[i].Key = "gone"
		}
		for i := range tags {
			tags[i].Value = "gone"
		}
		got.AddTag("b2", "x")
		got.AddField("more", true)
		want.AddTag("b2", "x")
		want.AddField("more", true)
		if !maps.Equal(got.Tags(), want.Tags()) || !maps.Equal(got.Fields(), want.Fields()) ||
			got.HashID() != want.HashID() {
			t.Errorf("%d fields and more: %v, expected %v", n, got, want)
		}
		if text := got.String(); !strings.HasPrefix(text, "m map[") ||
			!strings.HasSuffix(text, " 1767323045000000006") {
			t.Errorf("as text it is %q", text)
		}
	}
}

// TestRejectedMetricsAreCounted: each copy that an output loses counts once; what is written or
// filtered out does not.
func TestRejectedMetricsAreCounted(t *testing.T) {
	var lost atomic.Uint64
	b := builder(t, Options{Lost: &lost})
	r := record(flow.IPFIX)
	first, second := b.Flow(r, time.Unix(0, 1)), b.Flow(r, time.Unix(0, 2))
	copied := first.Copy()
	first.Accept()
	second.Drop()
	if lost.Load() != 0 {
		t.Errorf("%d are counted before one is lost", lost.Load())
	}
	copied.Reject()
	second.Reject()
	if lost.Load() != 2 {
		t.Errorf("%d are counted, expected 2", lost.Load())
	}
	datagrams := DatagramBuilder{Lost: &lost}
	datagrams.Metric(flow.Datagram{Exporter: netip.MustParseAddrPort("192.0.2.1:2055")}).Reject()
	builder(t, Options{}).Flow(r, time.Unix(0, 3)).Reject() // counts nowhere
	if lost.Load() != 3 {
		t.Errorf("%d are counted, expected 3", lost.Load())
	}
}

// TestRollups: what a point has stands in its metric, and nothing that it has not.
func TestRollups(t *testing.T) {
	begin := time.Unix(1767323040, 0)
	sums := map[string]any{"bytes": uint64(6000), "packets": uint64(60), "flows": uint64(6),
		"scaled_bytes":   uint64(60000),
		"scaled_packets": uint64(600), "flow_start": uint64(1), "flow_end": uint64(2)}
	rates := map[string]any{"bytes_per_second": 1000.0, "packets_per_second": 10.0, "flows_per_second": 0.1}
	point := func() rollup.Point {
		return rollup.Point{Name: "traffic", Begin: begin, End: begin.Add(time.Minute), Flows: 6, Packets: 60,
			Bytes:         6000,
			ScaledPackets: 600, ScaledBytes: 60000, First: 1, Last: 2, Smallest: 3, Largest: 4, Sources: 5,
			Destinations: 6, Folded: 7, Error: 8}
	}
	for name, c := range map[string]struct {
		change func(p *rollup.Point)
		more   map[string]any
		rates  bool
	}{
		"sums": {func(*rollup.Point) {}, nil, true},
		"sizes": {func(p *rollup.Point) { p.Sized = true },
			map[string]any{"smallest_flow": uint64(3), "largest_flow": uint64(4)}, true},
		"addresses": {func(p *rollup.Point) { p.Distinct = true },
			map[string]any{"distinct_src": uint64(5), "distinct_dst": uint64(6)}, true},
		"a bound": {func(p *rollup.Point) { p.Bounded = true }, map[string]any{"error_bound": uint64(8)},
			true},
		"the rest": {func(p *rollup.Point) { p.Other = true }, map[string]any{"series_folded": uint64(7)},
			true},
		"the rest of a bound": {func(p *rollup.Point) { p.Other, p.Bounded = true, true },
			map[string]any{"series_folded": uint64(7)}, true},
		"no time":        {func(p *rollup.Point) { p.End = p.Begin }, nil, false},
		"time backwards": {func(p *rollup.Point) { p.End = p.Begin.Add(-time.Second) }, nil, false},
	} {
		p := point()
		p.Tags = []rollup.Tag{{Name: "source", Value: "192.0.2.1"}, {Name: "app", Value: "web"}}
		c.change(&p)
		want := maps.Clone(sums)
		if c.rates {
			maps.Copy(want, rates)
		}
		maps.Copy(want, c.more)
		m := Rollup(&p, 5*time.Nanosecond)
		if !maps.Equal(m.Fields(), want) {
			t.Errorf("%s: %v, expected %v", name, m.Fields(), want)
		}
		tags := m.TagList()
		if m.Name() != "traffic" || !m.Time().Equal(begin.Add(5)) || len(tags) != 2 || tags[0].Key != "app" ||
			tags[1].Value != "192.0.2.1" {
			t.Errorf("%s: %v", name, m)
		}
	}
}

// TestNumbersOfDatagrams takes numbers of each type that a serialisation may make of them, up to
// their bounds.
func TestNumbersOfDatagrams(t *testing.T) {
	for _, c := range []struct {
		value any
		most  int64
		want  int64 // -1 is refused
	}{
		{uint64(0), 65535, 0}, {uint64(65535), 65535, 65535}, {uint64(65536), 65535, -1},
		{uint64(math.MaxUint64), math.MaxInt64, -1}, {uint64(math.MaxInt64), math.MaxInt64, math.MaxInt64},
		{int64(0), 65535, 0}, {int64(65535), 65535, 65535}, {int64(65536), 65535, -1}, {int64(-1), 65535, -1},
		{int64(math.MinInt64), math.MaxInt64, -1}, {int64(math.MaxInt64), math.MaxInt64, math.MaxInt64},
		{0.0, 65535, 0}, {2055.0, 65535, 2055}, {65535.0, 65535, 65535}, {65536.0, 65535, -1}, {-1.0, 65535, -1},
		{math.NaN(), 65535, -1}, {math.Inf(1), math.MaxInt64, -1}, {math.Inf(-1), math.MaxInt64, -1},
		{0x1p63, math.MaxInt64, -1}, {0x1p62, math.MaxInt64, 1 << 62}, {"2055", 65535, -1}, {true, 65535, -1},
		{nil, 65535, -1},
	} {
		m := metric.New("m", nil, map[string]any{"x": 1}, time.Unix(0, 1))
		if c.value != nil {
			m = &Metric{Measurement: "m", FieldPtrs: []*telegraf.Field{{Key: "n", Value: c.value}}}
		}
		got, err := intField(m, "n", c.most)
		if refused := c.want < 0; (err != nil) != refused || !refused && got != c.want {
			t.Errorf("%v (%T) up to %d: %d, %v, expected %d", c.value, c.value, c.most, got, err, c.want)
		}
		if want := fmt.Sprintf("m: field n: expected a number from 0 to %d, got ", c.most); err != nil &&
			!strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: the error is %q, expected %q", c.value, err, want)
		}
	}
}

// TestDatagramsKeepWhatTheyAre: resent ones and each policy come back, several in turn by the same
// builder and parser.
func TestDatagramsKeepWhatTheyAre(t *testing.T) {
	var b DatagramBuilder
	var p DatagramParser
	policies := []flow.Policy{{}, {Rate: 7}, {SeparatePorts: true}, {Rate: 7}, {}, {Rate: 8, SeparatePorts: true}}
	for i, policy := range policies {
		for _, from := range []string{"192.0.2.1:0", "[2001:db8::1]:65535", "[::ffff:192.0.2.7]:9"} {
			want := flow.Datagram{Exporter: netip.MustParseAddrPort(from), Received: time.Unix(0, int64(i)).UTC(),
				Payload: []byte(from), Resent: i%2 == 1, Policy: policy}
			m := b.Metric(want)
			want.Exporter = netip.AddrPortFrom(want.Exporter.Addr().Unmap(), want.Exporter.Port())
			if m.HasField("resent") != want.Resent || m.HasField("policy") != (policy != flow.Policy{}) {
				t.Errorf("%+v has the fields %v", want, m.Fields())
			}
			got, err := p.Parse(m)
			if err != nil || got.Exporter != want.Exporter || !got.Received.Equal(want.Received) ||
				string(got.Payload) != from || got.Resent != want.Resent || got.Policy != policy {
				t.Errorf("got %+v, %v, expected %+v", got, err, want)
			}
		}
	}
}
