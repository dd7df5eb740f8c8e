package decoding

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"

	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/rollup"
)

// withRollups adds roll-ups to the options of a pool.
func withRollups(t testing.TB, o *Options, list ...Rollup) {
	t.Helper()
	options := RollupOptions{Rollups: list}
	var err error
	if o.Rollups, err = options.New(); err != nil {
		t.Fatal(err)
	}
}

// sumOf sums fields of a measurement up, of flows and what is made of them.
func sumOf(metrics []telegraf.Metric, measurement string, fields ...string) (sum uint64) {
	for _, m := range metrics {
		for _, f := range fields {
			if v, ok := m.GetField(f); ok && m.Name() == measurement && m.HasField("flow_start") {
				sum += v.(uint64)
			}
		}
	}
	return sum
}

// TestRollupsOfThePool: what the roll-ups sum up is what the metrics of the flows do, from
// all protocols, with both directions in a record or in two, by one worker or several.
func TestRollupsOfThePool(t *testing.T) {
	var list [][]byte
	for _, l := range [][][]byte{decodingtest.V5(20), decodingtest.V9(t), decodingtest.VMware(t),
		decodingtest.BothWays(t), decodingtest.Datagrams(t, 300), decodingtest.SFlow(), decodingtest.Events(t),
		decodingtest.V1V7()} {
		list = append(list, l...)
	}
	for name, change := range map[string]func(*Options){
		"separate":        func(*Options) {},
		"stock":           func(o *Options) { o.Decoder.SplitBiflows, o.Metrics.Stock = false, true },
		"several workers": func(o *Options) { o.Workers = 4 },
	} {
		p := newPool(t, func(o *Options) {
			change(o)
			withRollups(t, o, Rollup{Name: "total"}, Rollup{Name: "few", MaxSeries: 7, Top: 5,
				Tags: []string{"source", "src", "dst", "protocol", "tcp_flags"}})
		})
		acc := &decodingtest.Accumulator{}
		p.Start(acc)
		p.Receive(decodingtest.AllReceived(list))
		p.Stop()
		got := acc.List()
		// With the stock plugin's measurements events are in netflow too.
		events := sumOf(decoded(t, list), flowmetric.EventMeasurement, "in_bytes", "rev_bytes")
		want := sumOf(got, flowmetric.Measurement, "in_bytes", "rev_bytes")
		if p.opt.Metrics.Stock {
			want -= events
		}
		for _, roll := range []string{"total", "few"} {
			if sum := sumOf(got, roll, "bytes"); sum != want || want == 0 {
				t.Errorf("%s: %s has %d bytes, the flows %d", name, roll, sum, want)
			}
		}
		if scaled := sumOf(got, flowmetric.Measurement, "scaled_bytes"); !p.opt.Metrics.Stock &&
			sumOf(got, "few", "scaled_bytes") != scaled {
			t.Errorf("%s: %d scaled bytes, the flows %d", name, sumOf(got, "few", "scaled_bytes"), scaled)
		}
	}
}

// decoded returns the metrics of datagrams.
func decoded(t *testing.T, list [][]byte) []telegraf.Metric {
	return newPool(t, nil).Decode(decodingtest.AllReceived(list))
}

// TestRollupsAreEmittedByTheClock: a window's points come when it is over, with times that
// no other window has, also after the pool goes on, and nothing comes after Stop.
func TestRollupsAreEmittedByTheClock(t *testing.T) {
	p := newPool(t, func(o *Options) {
		o.Wants = Wants{}
		withRollups(t, o, Rollup{Name: "r", Interval: config.Duration(time.Second)})
	})
	acc := &decodingtest.Accumulator{}
	total, list := uint64(0), decodingtest.AllReceived(decodingtest.Datagrams(t, 100))
	for _, r := range decodingtest.Flows(0, 100) {
		total += r.Bytes
	}
	for run := range 3 {
		p.Start(acc)
		p.Receive(list)
		for deadline := time.Now().Add(60 * time.Second); acc.Count("r") == run; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("run %d: no points", run)
			}
		}
		p.Stop()
		p.Continue()
	}
	times := map[int64]bool{}
	for _, m := range acc.List() {
		times[m.Time().UnixNano()] = true
		if m.Name() != "r" {
			t.Errorf("got a metric %s", m.Name())
		}
	}
	if got := sumOf(acc.List(), "r", "bytes"); got != 3*total || len(times) != len(acc.List()) {
		t.Errorf("%d points at %d times have %d bytes, want %d", len(acc.List()), len(times), got, 3*total)
	}
	n := len(acc.List())
	time.Sleep(1100 * time.Millisecond)
	if len(acc.List()) != n {
		t.Error("metrics were added after Stop")
	}
}

// TestRollupsOfManyGoroutines: flows come in several goroutines while windows close.
func TestRollupsOfManyGoroutines(t *testing.T) {
	p := newPool(t, func(o *Options) {
		o.Wants, o.Workers = Wants{}, 4
		withRollups(t, o, Rollup{Name: "r", Tags: []string{"src_net", "dst"}, Top: 3,
			Interval: config.Duration(time.Second)})
	})
	acc := &decodingtest.Accumulator{}
	p.Start(acc)
	list := decodingtest.AllReceived(decodingtest.Datagrams(t, 500))
	var want uint64
	for _, r := range decodingtest.Flows(0, 500) {
		want += r.Bytes
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				p.Receive(list)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	p.Stop()
	if got := sumOf(acc.List(), "r", "bytes"); got != 80*want {
		t.Errorf("%d bytes, want %d", got, 80*want)
	}
}

// TestRollupTags: every tag that a roll-up can have is written as the tag of a flow is.
func TestRollupTags(t *testing.T) {
	for _, tag := range rollup.TagNames() {
		p := newPool(t, func(o *Options) {
			withRollups(t, o, Rollup{Name: "r", Tags: []string{tag}})
			if _, isField := flow.FieldByName(tag); isField {
				o.Metrics.FlowTags = []string{tag}
			}
		})
		acc := &decodingtest.Accumulator{}
		p.Start(acc)
		p.Receive(decodingtest.AllReceived(slices.Concat(decodingtest.Datagrams(t, 5), decodingtest.VMware(t),
			decodingtest.V5(2), decodingtest.V9(t))))
		p.Stop()
		flows, series := map[string]bool{}, map[string]bool{}
		for _, m := range acc.List() {
			value, _ := m.GetTag(tag)
			switch m.Name() {
			case "r":
				series[value] = true
			case flowmetric.Measurement:
				flows[strings.TrimRight(value, `\`)] = true
			}
		}
		// The tag flows of NetFlow v5 is the stock plugin's, the count of the header.
		if _, isField := flow.FieldByName(tag); isField && tag != "flows" && !maps.Equal(flows, series) {
			t.Errorf("%s: the flows have %v, the roll-up %v", tag, flows, series)
		}
		if len(series) == 0 {
			t.Errorf("%s: no series", tag)
		}
	}
}

// TestRollupOptions: what is wrong is refused, all of it.
func TestRollupOptions(t *testing.T) {
	o := RollupOptions{Rollups: []Rollup{{Name: "a", TopBy: "byte"}, {Name: "b", Deduplicate: "no"}}}
	_, err := o.New()
	if err == nil ||
		!strings.Contains(err.Error(), `top_by: expected 'bytes', 'packets' or 'flows', got "byte"; did`) ||
		!strings.Contains(err.Error(), `rollup 2 ("b"): deduplicate: expected 'off', 'ingress' or 'rank', got "no"`) {
		t.Errorf("got %v", err)
	}
	o = RollupOptions{Rollups: []Rollup{{Name: "a", Tags: []string{"scr"}}, {Name: "b", Tags: []string{"dts"}}}}
	if _, err := o.New(); err == nil || strings.Count(err.Error(), "did you mean") != 2 {
		t.Errorf("got %v", err)
	}
	o = RollupOptions{Internal: []string{"10.0.0.0/33"}, Rank: []string{"edge"}, Rollups: []Rollup{
		{Name: "a", Tags: []string{"scr", "dts"}, Filter: "dst prt 80", Spread: config.Duration(2 * time.Hour)},
		{Name: "a", Tags: []string{"src", "src"}, TopBy: "byte", Interval: config.Duration(time.Millisecond), Top: -1,
			MaxSeries: -1, IPv4Net: 33, IPv6Net: 129, Deduplicate: "no"},
	}}
	_, err = o.New()
	for _, want := range []string{"internal_networks", "exporter_rank", `rollup 1 ("a"): tags: expected fields`, `"dts"`,
		"prt", `rollup 1 ("a"): spread`, `rollup 2 ("a"): name: expected another`, `got "src" again`, "top_by", "interval",
		"top:", "max_series", "ipv4_net", "ipv6_net", "deduplicate"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not told of in %v", want, err)
		}
	}
	for _, o := range []RollupOptions{{Internal: []string{"10.0.0.0/33"}}, {Rank: []string{"edge"}}} {
		if _, err := o.New(); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	if s, err := (&RollupOptions{}).New(); s != nil || err != nil {
		t.Errorf("without roll-ups: %v, %v", s, err)
	}
}

// TestRollupNames: a roll-up cannot have the measurement of something else, as sums over it
// would be wrong; that of flows it can have in their place.
func TestRollupNames(t *testing.T) {
	named := func(name string, flows bool, tags ...string) error {
		o := RollupOptions{Rollups: []Rollup{{Name: name, Tags: tags}}, Flows: flows}
		_, err := o.New()
		return err
	}
	for name, of := range taken {
		want := fmt.Sprintf(`rollup 1 (%q): name: expected one that no other measurement has, got %q, which has %s; `+
			`take one as "netflow_by_service"`, name, name, of)
		if err := named(name, true, "service"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if err := named(name, false); (err == nil) != (name == flowmetric.Measurement) {
			t.Errorf("%s, without a metric per flow: %v", name, err)
		}
	}
	if err := named("netflow_by_service", true); err != nil {
		t.Error(err)
	}
}

// BenchmarkRollups decodes flows into the roll-ups alone.
func BenchmarkRollups(b *testing.B) {
	p := newPool(b, func(o *Options) {
		o.Wants = Wants{}
		withRollups(b, o, Rollup{Name: "interface", Tags: []string{"source", "in_snmp", "out_snmp"}},
			Rollup{Name: "service", Tags: []string{"service"}, Top: 100})
	})
	p.Start(&decodingtest.Accumulator{})
	defer p.Stop()
	list := decodingtest.AllReceived(decodingtest.Datagrams(b, 1000))
	b.ReportAllocs()
	for b.Loop() {
		p.Receive(list)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/flow")
}
