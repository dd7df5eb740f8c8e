// Package smtp_relay is the Telegraf input that shows what the mail relays of this
// process do, as the measurement smtp_relay: an output cannot make metrics of its own.
// It reads what outputs.smtp_relay has registered with Telegraf's statistics of
// itself (package selfstat), and needs no connection to the output.
package smtp_relay

import (
	_ "embed"
	"strings"

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

// Gather implements telegraf.Input: a metric for each series of each relay.
func (p *SMTPRelay) Gather(acc telegraf.Accumulator) error {
	now := map[string]totals{}
	for _, m := range selfstat.Metrics() {
		if m.Name() != registered {
			continue
		}
		fields := m.Fields()
		latency, hasLatency := fields["latency_ms"].(int64)
		delivered, hasDelivered := fields["delivered"].(int64)
		if hasLatency && hasDelivered {
			relay := nameOf(m)
			now[relay] = totals{latency, delivered}
			if n := delivered - p.before[relay].delivered; n > 0 {
				fields["latency_mean_ms"] = float64(latency-p.before[relay].latencyMS) / float64(n)
			}
		}
		acc.AddFields(measurement, fields, m.Tags(), m.Time())
	}
	p.before = now
	return nil
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
