package decodingtest

import (
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
)

// Accumulator keeps what a plugin adds.
type Accumulator struct {
	mu      sync.Mutex
	metrics []telegraf.Metric
}

func (a *Accumulator) AddMetric(m telegraf.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.metrics = append(a.metrics, m)
}

// Count returns the number of metrics of a measurement.
func (a *Accumulator) Count(measurement string) int {
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

// List returns a copy of what has been added.
func (a *Accumulator) List() []telegraf.Metric {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]telegraf.Metric(nil), a.metrics...)
}

func (a *Accumulator) AddFields(name string, fields map[string]interface{}, tags map[string]string, t ...time.Time) {
	a.AddMetric(metric.New(name, tags, fields, t[0]))
}
func (a *Accumulator) AddGauge(name string, fields map[string]interface{}, tags map[string]string, t ...time.Time) {
	a.AddFields(name, fields, tags, t...)
}
func (a *Accumulator) AddCounter(name string, fields map[string]interface{}, tags map[string]string, t ...time.Time) {
	a.AddFields(name, fields, tags, t...)
}
func (a *Accumulator) AddSummary(name string, fields map[string]interface{}, tags map[string]string, t ...time.Time) {
	a.AddFields(name, fields, tags, t...)
}
func (a *Accumulator) AddHistogram(name string, fields map[string]interface{}, tags map[string]string, t ...time.Time) {
	a.AddFields(name, fields, tags, t...)
}
func (a *Accumulator) SetPrecision(time.Duration)                               {}
func (a *Accumulator) AddError(error)                                           {}
func (a *Accumulator) WithTracking(maxTracked int) telegraf.TrackingAccumulator { return nil }
