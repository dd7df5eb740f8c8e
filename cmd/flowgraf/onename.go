package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/influxdata/telegraf/config"

	"github.com/flowgraf/flowgraf/plugins/decoding"
	"github.com/flowgraf/flowgraf/plugins/inputs/netflow"
)

// oneName refuses a name_override that gives several sums of the same flows one
// measurement: sums over it would have each flow several times, and of two points of one
// series and time a database keeps one.
func oneName(c *config.Config) error {
	var errs []error
	for _, p := range runningPlugins(c) {
		in, ours := p.plugin.(*netflow.NetFlow)
		if !ours || len(in.Rollups) == 0 {
			continue
		}
		flows := in.Metrics == nil || slices.Contains(in.Metrics, decoding.MetricFlows)
		if p.nameOverride == "" || len(in.Rollups) == 1 && !flows {
			continue
		}
		err := fmt.Errorf("%s: name_override: expected none, or name_prefix, where roll-ups are beside others or a "+
			"metric per flow: sums over one measurement would have each flow several times; got %q", p.label(),
			p.nameOverride)
		data, _, _ := config.LoadConfigFile(p.source)
		errs = append(errs, locate(p.source, data, p.kind+"."+p.name, p.nth, err))
	}
	return errors.Join(errs...)
}
