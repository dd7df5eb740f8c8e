package execd

import (
	"fmt"
	"maps"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/agent"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"
)

// accumulator hands the metrics of a plugin on, in the caller's goroutine: when there is
// no room behind it, the plugin waits. Telegraf's own hands them over a channel.
type accumulator struct {
	maker     agent.MetricMaker
	to        func(telegraf.Metric)
	precision time.Duration
	lines     *lineSink // nil where lines are not taken
}

// lineSink takes the lines of an input behind which nothing has to see its metrics.
type lineSink struct {
	*sink
	input *models.RunningInput
	tags  map[string]string
}

// newLineSink returns where an input may write lines, nil when its configuration asks for
// what a line cannot give: then it adds metrics.
func newLineSink(s *sink, c *config.Config, input *models.RunningInput) *lineSink {
	o := input.Config
	if len(c.Processors) > 0 || o.Filter.IsActive() || o.Precision > 0 || o.NameOverride != "" ||
		o.MeasurementPrefix != "" || o.MeasurementSuffix != "" || o.TimeSource != "" && o.TimeSource != "metric" {
		return nil
	}
	tags := maps.Clone(c.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, o.Tags)
	return &lineSink{sink: s, input: input, tags: tags}
}

// LineTags returns the tags that a metric gets besides its own, and whether AddLines may
// be called.
func (a *accumulator) LineTags() (tags map[string]string, ok bool) {
	if a.lines == nil {
		return nil, false
	}
	return a.lines.tags, true
}

// AddLines takes metrics that are lines already, of the given number. When there is no
// room behind it, the plugin waits.
func (a *accumulator) AddLines(lines []byte, metrics int) {
	a.lines.addLines(lines)
	a.lines.input.MetricsGathered.Incr(int64(metrics))
	models.GlobalMetricsGathered.Incr(int64(metrics))
}

func (a *accumulator) AddFields(
	name string, fields map[string]any, tags map[string]string, t ...time.Time,
) {
	a.addMetric(name, fields, tags, telegraf.Untyped, t)
}

func (a *accumulator) AddGauge(
	name string, fields map[string]any, tags map[string]string, t ...time.Time,
) {
	a.addMetric(name, fields, tags, telegraf.Gauge, t)
}

func (a *accumulator) AddCounter(
	name string, fields map[string]any, tags map[string]string, t ...time.Time,
) {
	a.addMetric(name, fields, tags, telegraf.Counter, t)
}

func (a *accumulator) AddSummary(
	name string, fields map[string]any, tags map[string]string, t ...time.Time,
) {
	a.addMetric(name, fields, tags, telegraf.Summary, t)
}

func (a *accumulator) AddHistogram(
	name string, fields map[string]any, tags map[string]string, t ...time.Time,
) {
	a.addMetric(name, fields, tags, telegraf.Histogram, t)
}

func (a *accumulator) addMetric(
	name string, fields map[string]any, tags map[string]string, kind telegraf.ValueType, t []time.Time,
) {
	at := time.Now()
	if len(t) > 0 {
		at = t[0]
	}
	a.AddMetric(metric.New(name, tags, fields, at, kind))
}

func (a *accumulator) AddMetric(m telegraf.Metric) {
	m.SetTime(m.Time().Round(a.precision))
	if m = a.maker.MakeMetric(m); m != nil {
		a.to(m)
	}
}

func (a *accumulator) SetPrecision(precision time.Duration) { a.precision = precision }

func (a *accumulator) AddError(err error) {
	if err != nil {
		a.maker.Log().Errorf("Error in plugin: %v", err)
	}
}

func (a *accumulator) WithTracking(most int) telegraf.TrackingAccumulator {
	return &tracking{accumulator: a, delivered: make(chan telegraf.DeliveryInfo, most)}
}

// tracking is an accumulator that tells when metrics are written.
type tracking struct {
	*accumulator
	delivered chan telegraf.DeliveryInfo
}

func (t *tracking) AddTrackingMetric(m telegraf.Metric) telegraf.TrackingID {
	m, id := metric.WithTracking(m, t.deliver)
	t.AddMetric(m)
	return id
}

func (t *tracking) AddTrackingMetricGroup(group []telegraf.Metric) telegraf.TrackingID {
	tracked, id := metric.WithGroupTracking(group, t.deliver)
	for _, m := range tracked {
		t.AddMetric(m)
	}
	return id
}

func (t *tracking) Delivered() <-chan telegraf.DeliveryInfo { return t.delivered }

func (t *tracking) deliver(info telegraf.DeliveryInfo) { t.delivered <- info }

// chain starts the processors. What is given to the function that it returns goes
// through all of them and on to last. stop ends them, the first one first.
func chain(
	list models.RunningProcessors, last func(telegraf.Metric),
) (first func(telegraf.Metric), stop func(), err error) {
	var started models.RunningProcessors
	stop = func() {
		for i := len(started) - 1; i >= 0; i-- {
			started[i].Stop()
		}
	}
	first = last
	for i := len(list) - 1; i >= 0; i-- {
		p := list[i]
		behind := &accumulator{maker: p, to: first, precision: time.Nanosecond}
		if err := p.Start(behind); err != nil {
			stop()
			return nil, nil, fmt.Errorf("%s: %w", p.LogName(), err)
		}
		started = append(started, p)
		first = func(m telegraf.Metric) {
			p.Lock()
			defer p.Unlock()
			if err := p.Add(m, behind); err != nil {
				behind.AddError(err)
				m.Drop()
			}
		}
	}
	return first, stop, nil
}
