// Package smtp_relay is the Telegraf input that shows what the mail relays of this
// process do, as the measurement smtp_relay: an output cannot make metrics of its own.
// It reads what outputs.smtp_relay has registered with Telegraf's statistics of
// itself (package selfstat), and needs no connection to the output.
package smtp_relay

import (
	_ "embed"
	"strings"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/selfstat"
)

//go:embed sample.conf
var sampleConfig string

const (
	measurement = "smtp_relay"
	registered  = "internal_" + measurement // as selfstat calls it
)

// SMTPRelay is the plugin. It has no options.
type SMTPRelay struct {
	before map[string]totals // by relay, at the last Gather
}

// totals are the sums of which a mean is made.
type totals struct{ latencyMS, delivered int64 }

// SampleConfig implements telegraf.PluginDescriber.
func (*SMTPRelay) SampleConfig() string { return sampleConfig }

// series are counters with the same tags, of one relay or of several that have no
// alias to tell them apart.
type series struct {
	tags   map[string]string
	fields map[string]any
	at     time.Time
}

// Gather implements telegraf.Input: a metric for each series of each relay.
func (p *SMTPRelay) Gather(acc telegraf.Accumulator) error {
	all := map[string]*series{}
	for _, m := range selfstat.Metrics() {
		if m.Name() != registered {
			continue
		}
		m.RemoveTag("_id") // Telegraf's: another one after each change of the configuration
		key := nameOf(m)
		if all[key] == nil {
			all[key] = &series{m.Tags(), map[string]any{}, m.Time()}
		}
		all[key].addFields(m.FieldList())
	}
	now := map[string]totals{}
	for key, s := range all {
		latency, hasLatency := s.fields["latency_ms"].(int64)
		delivered, hasDelivered := s.fields["delivered"].(int64)
		if hasLatency && hasDelivered {
			now[key] = totals{latency, delivered}
			if n := delivered - p.before[key].delivered; n > 0 {
				s.fields["latency_mean_ms"] = float64(latency-p.before[key].latencyMS) / float64(n)
			}
		}
		acc.AddFields(measurement, s.fields, s.tags, s.at)
	}
	p.before = now
	return nil
}

// addFields adds counters up; of ages, it keeps the highest.
func (s *series) addFields(fields []*telegraf.Field) {
	for _, f := range fields {
		value, _ := f.Value.(int64)
		have, _ := s.fields[f.Key].(int64)
		if f.Key == "oldest_s" {
			s.fields[f.Key] = max(have, value)
		} else {
			s.fields[f.Key] = have + value
		}
	}
}

// nameOf tells the series of one relay from those of others.
func nameOf(m telegraf.Metric) string {
	var b strings.Builder
	for _, tag := range m.TagList() { // sorted
		b.WriteString(tag.Key + "=" + tag.Value + ",")
	}
	return b.String()
}

func init() {
	inputs.Add(measurement, func() telegraf.Input { return &SMTPRelay{} })
}
