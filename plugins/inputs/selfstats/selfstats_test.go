package selfstats

import (
	"reflect"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/selfstat"
)

// collected takes what Gather gives.
type collected struct {
	telegraf.Accumulator
	counters []map[string]any // of internal_selfstatstest
	fields   map[string]map[string]any
}

// AddMetric implements telegraf.Accumulator.
func (c *collected) AddMetric(m telegraf.Metric) {
	if m.Name() == "internal_selfstatstest" {
		c.counters = append(c.counters, m.Fields())
	}
}

// AddFields implements telegraf.Accumulator.
func (c *collected) AddFields(name string, fields map[string]any, _ map[string]string, _ ...time.Time) {
	c.fields[name] = fields
}

// TestGather: plugins without an alias are one metric, or with per_instance one each.
func TestGather(t *testing.T) {
	for i, id := range []string{"a", "b"} {
		tags := map[string]string{"output": "x", instanceTag: id}
		selfstat.Register("selfstatstest", "written", tags).Set(int64(3 + i))
		t.Cleanup(func() { selfstat.Unregister("selfstatstest", "written", tags) })
	}
	var got collected
	gather := func(p Internal) {
		got = collected{fields: map[string]map[string]any{}}
		if err := p.Gather(&got); err != nil {
			t.Fatal(err)
		}
	}
	gather(Internal{})
	if want := []map[string]any{{"written": int64(7)}}; !reflect.DeepEqual(got.counters, want) || len(got.fields) != 0 {
		t.Errorf("%v and %v, want %v alone", got.counters, got.fields, want)
	}
	gather(Internal{PerInstance: true, CollectMemstats: true, CollectGostats: true})
	if len(got.counters) != 2 {
		t.Errorf("%v, want two", got.counters)
	}
	if n, ok := got.fields["internal_memstats"]["heap_in_use_bytes"].(uint64); !ok || n == 0 {
		t.Errorf("memory %v", got.fields["internal_memstats"])
	}
	if n, ok := got.fields["internal_gostats"]["sched_goroutines_goroutines"].(uint64); !ok || n == 0 {
		t.Errorf("Go's %v", got.fields["internal_gostats"])
	}
}
