package netflow

import (
	"sync"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/logger"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/influxdata/telegraf/metric"
)

// newPlugin returns an initialised plugin on a free port of the loopback.
func newPlugin(t testing.TB, change func(*NetFlow)) *NetFlow {
	t.Helper()
	n := &NetFlow{ServiceAddress: "udp://127.0.0.1:0", Workers: 1, Log: logger.New("inputs", "netflow", "")}
	if change != nil {
		change(n)
	}
	if err := n.Init(); err != nil {
		t.Fatal(err)
	}
	return n
}

// decodeAll returns the metrics of datagrams, of a plugin with one worker.
func (n *NetFlow) decodeAll(list []collector.Datagram) []telegraf.Metric {
	return n.workers[0].decodeAll(list)
}

// decodeAll returns the metrics of datagrams.
func (w *worker) decodeAll(list []collector.Datagram) []telegraf.Metric {
	metrics, n := w.decode(list)
	if n == len(list) {
		return metrics
	}
	return append(append([]telegraf.Metric(nil), metrics...), w.decodeAll(list[n:])...)
}

// accumulator keeps what a plugin adds.
type accumulator struct {
	mu      sync.Mutex
	metrics []telegraf.Metric
}

func (a *accumulator) AddMetric(m telegraf.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.metrics = append(a.metrics, m)
}

// count returns the number of metrics of a measurement.
func (a *accumulator) count(measurement string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, m := range a.metrics {
		if m.Name() == measurement {
			n++
		}
	}
	return n
}

// list returns a copy of what has been added.
func (a *accumulator) list() []telegraf.Metric {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]telegraf.Metric(nil), a.metrics...)
}

func (a *accumulator) AddFields(name string, fields map[string]interface{}, tags map[string]string, t ...time.Time) {
	a.AddMetric(metric.New(name, tags, fields, t[0]))
}
func (a *accumulator) AddGauge(name string, fields map[string]interface{}, tags map[string]string, t ...time.Time) {
	a.AddFields(name, fields, tags, t...)
}
func (a *accumulator) AddCounter(name string, fields map[string]interface{}, tags map[string]string, t ...time.Time) {
	a.AddFields(name, fields, tags, t...)
}
func (a *accumulator) AddSummary(name string, fields map[string]interface{}, tags map[string]string, t ...time.Time) {
	a.AddFields(name, fields, tags, t...)
}
func (a *accumulator) AddHistogram(name string, fields map[string]interface{}, tags map[string]string, t ...time.Time) {
	a.AddFields(name, fields, tags, t...)
}
func (a *accumulator) SetPrecision(time.Duration)                               {}
func (a *accumulator) AddError(error)                                           {}
func (a *accumulator) WithTracking(maxTracked int) telegraf.TrackingAccumulator { return nil }
