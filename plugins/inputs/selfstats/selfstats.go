// Package selfstats is Telegraf's input internal: what the agent and its plugins count
// of themselves, with package selfstat, as metrics. Telegraf's own is in a directory
// that Go lets no other program import. Names, tags, fields and options are the same.
package selfstats

import (
	_ "embed"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/selfstat"
)

//go:embed sample.conf
var sampleConfig string

// Internal is the plugin. Its options are described in sample.conf.
type Internal struct {
	CollectMemstats bool `toml:"collect_memstats"`
	CollectGostats  bool `toml:"collect_gostats"`
	PerInstance     bool `toml:"per_instance"`
}

// SampleConfig implements telegraf.PluginDescriber.
func (*Internal) SampleConfig() string { return sampleConfig }

// instanceTag is Telegraf's number of a plugin: another one after each change of the
// configuration.
const instanceTag = "_id"

// Gather implements telegraf.Input.
func (p *Internal) Gather(acc telegraf.Accumulator) error {
	sums := map[string]telegraf.Metric{}
	for _, m := range selfstat.Metrics() {
		if m.Name() == "internal_agent" {
			m.AddTag("go_version", goVersion())
		}
		if p.PerInstance {
			acc.AddMetric(m)
			continue
		}
		m.RemoveTag(instanceTag)
		key := seriesOf(m)
		sum := sums[key]
		if sum == nil {
			sums[key] = m
			continue
		}
		for _, f := range m.FieldList() {
			value, _ := f.Value.(int64)
			have, _ := sum.GetField(f.Key)
			before, _ := have.(int64)
			sum.AddField(f.Key, before+value)
		}
	}
	for _, m := range sums {
		acc.AddMetric(m)
	}
	if p.CollectMemstats {
		acc.AddFields("internal_memstats", memory(), map[string]string{})
	}
	if p.CollectGostats {
		acc.AddFields("internal_gostats", measured(), map[string]string{"go_version": goVersion()})
	}
	return nil
}

func goVersion() string { return strings.TrimPrefix(runtime.Version(), "go") }

// seriesOf tells the series of a metric from others.
func seriesOf(m telegraf.Metric) string {
	var b strings.Builder
	b.WriteString(m.Name())
	for _, tag := range m.TagList() { // sorted
		b.WriteString("\x00" + tag.Key + "\x00" + tag.Value)
	}
	return b.String()
}

// memory returns the memory that the process uses.
func memory() map[string]any {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return map[string]any{
		"alloc_bytes": m.Alloc, "total_alloc_bytes": m.TotalAlloc, "sys_bytes": m.Sys,
		"pointer_lookups": m.Lookups, "mallocs": m.Mallocs, "frees": m.Frees,
		"heap_alloc_bytes": m.HeapAlloc, "heap_sys_bytes": m.HeapSys, "heap_idle_bytes": m.HeapIdle,
		"heap_in_use_bytes": m.HeapInuse, "heap_released_bytes": m.HeapReleased, "heap_objects": m.HeapObjects,
		"num_gc": m.NumGC,
	}
}

// measured returns what Go's runtime measures, of distributions the median's bucket.
func measured() map[string]any {
	var samples []metrics.Sample
	for _, d := range metrics.All() {
		samples = append(samples, metrics.Sample{Name: d.Name})
	}
	metrics.Read(samples)
	fields := map[string]any{}
	for _, s := range samples {
		name := strings.NewReplacer("/", "_", ":", "_", "-", "_").Replace(strings.TrimPrefix(s.Name, "/"))
		switch s.Value.Kind() {
		case metrics.KindUint64:
			fields[name] = s.Value.Uint64()
		case metrics.KindFloat64:
			fields[name] = s.Value.Float64()
		case metrics.KindFloat64Histogram:
			fields[name] = median(s.Value.Float64Histogram())
		}
	}
	return fields
}

// median returns the lower bound of the bucket that has the median.
func median(h *metrics.Float64Histogram) float64 {
	var total, below uint64
	for _, n := range h.Counts {
		total += n
	}
	i := slices.IndexFunc(h.Counts, func(n uint64) bool {
		below += n
		return below >= total/2
	})
	return h.Buckets[max(i, 0)]
}

func init() {
	inputs.Add("internal", func() telegraf.Input { return &Internal{CollectMemstats: true} })
}
