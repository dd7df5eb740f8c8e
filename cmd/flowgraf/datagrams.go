package main

import (
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
