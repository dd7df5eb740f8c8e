package main

import (
	"errors"
	"slices"
	"time"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"

	"github.com/flowgraf/flowgraf/outputs/nfdump"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/inputs/netflow"
)

// keepBytes spares the datagrams that outputs.nfdump of this process alone takes the
// way through base64, which is a twentieth of the work. Where anything else could get
// them, nothing changes.
func keepBytes(c *config.Config) {
	var others []*models.Filter
	for _, out := range c.Outputs {
		if _, ours := out.Output.(*nfdump.Nfdump); !ours {
			others = append(others, &out.Config.Filter)
		}
	}
	for _, p := range slices.Concat(c.Processors, c.AggProcessors) {
		others = append(others, &p.Config.Filter)
	}
	for _, a := range c.Aggregators {
		others = append(others, &a.Config.Filter)
	}
	if slices.ContainsFunc(others, takesDatagrams) {
		return
	}
	for _, in := range c.Inputs {
		renamed := in.Config.NameOverride + in.Config.MeasurementPrefix + in.Config.MeasurementSuffix
		if p, ours := in.Input.(*netflow.NetFlow); ours && renamed == "" {
			p.DatagramBytes = true
		}
	}
}

// localInputs are inputs that bring no metrics of others: they measure.
var localInputs = []string{"netflow", "internal", "smtp_relay", "cpu", "mem", "disk", "diskio", "system", "net",
	"kernel",
	"processes", "procstat", "swap", "idle"}

// withoutDatagrams says that outputs.nfdump has nothing to keep: no input emits
// datagrams, and none brings metrics from elsewhere among which they could be.
func withoutDatagrams(c *config.Config) error {
	wanted := slices.ContainsFunc(c.Outputs, func(out *models.RunningOutput) bool {
		_, ours := out.Output.(*nfdump.Nfdump)
		return ours
	})
	if !wanted {
		return nil
	}
	for _, in := range c.Inputs {
		p, ours := in.Input.(*netflow.NetFlow)
		if !ours && !slices.Contains(localInputs, in.Config.Name) || ours && slices.Contains(p.Metrics, "datagrams") {
			return nil
		}
	}
	return errors.New(`outputs.nfdump keeps nothing: it writes the metric netflow_datagram, and no input emits it; ` +
		`put "datagrams" into the option metrics of [[inputs.netflow]], as ` +
		`metrics = ["flows", "exporters", "datagrams"]`)
}

// takesDatagrams says whether a plugin could get a metric netflow_datagram, by the
// filters for names alone: the other ones depend on what is in it.
func takesDatagrams(f *models.Filter) bool {
	names := models.Filter{
		NamePass: f.NamePass, NamePassSeparators: f.NamePassSeparators,
		NameDrop: f.NameDrop, NameDropSeparators: f.NameDropSeparators,
	}
	if names.Compile() != nil {
		return true
	}
	takes, err := names.Select(metric.New(flowmetric.DatagramMeasurement, nil, nil, time.Time{}))
	return takes || err != nil
}
