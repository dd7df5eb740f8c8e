package decoding

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/selfstat"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/rollup"
)

// Rollup is what the configuration says of a roll-up.
type Rollup struct {
	Name        string          `toml:"name"`
	Tags        []string        `toml:"tags"`
	Filter      string          `toml:"filter"`
	Interval    config.Duration `toml:"interval"`
	Top         int             `toml:"top"`
	TopBy       string          `toml:"top_by"`
	MaxSeries   int             `toml:"max_series"`
	Spread      config.Duration `toml:"spread"`
	Distinct    *bool           `toml:"distinct"` // true if not set
	Deduplicate string          `toml:"deduplicate"`
	IPv4Net     int             `toml:"ipv4_net"`
	IPv6Net     int             `toml:"ipv6_net"`
}

// RollupOptions are the options of roll-ups, and what they have in common.
type RollupOptions struct {
	Rollups  []Rollup
	Internal []string // networks
	Rank     []string // addresses and networks of exporters, the best first
	Flows    bool     // there is a metric per flow besides
}

// New checks the options and returns the roll-ups, nil when there are none. The error
// joins all that is wrong.
func (o *RollupOptions) New() (*rollup.Set, error) {
	internal, err := networks("internal_networks", o.Internal)
	rank, rankErr := networks("exporter_rank", o.Rank)
	errs := []error{err, rankErr}
	var list []rollup.Definition
	for i := range o.Rollups {
		d, wrong := o.Rollups[i].definition(o.Flows)
		for _, err := range wrong {
			errs = append(errs, fmt.Errorf("rollup %d (%q): %w", i+1, o.Rollups[i].Name, err))
		}
		list = append(list, d)
	}
	if len(list) == 0 {
		return nil, errors.Join(errs...)
	}
	set, err := rollup.New(list, rollup.Options{Internal: internal, Rank: rank, Text: flowmetric.FieldText()})
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return set, nil
}

// networks reads an option that is a list of networks.
func networks(option string, list []string) (all []netip.Prefix, err error) {
	for _, text := range list {
		p, err := flow.ParseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", option, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// definition checks the words of a roll-up; package rollup checks the rest.
func (r *Rollup) definition(flows bool) (d rollup.Definition, wrong []error) {
	d = rollup.Definition{Name: r.Name, Tags: r.Tags, Filter: r.Filter, Interval: time.Duration(r.Interval), Top: r.Top,
		MaxSeries: r.MaxSeries, Spread: time.Duration(r.Spread), IPv4Net: r.IPv4Net, IPv6Net: r.IPv6Net,
		Distinct: r.Distinct == nil || *r.Distinct}
	if err := r.measurement(flows); err != nil {
		wrong = append(wrong, err)
	}
	var err error
	if d.By, err = rollup.ParseWeight(r.TopBy); err != nil {
		wrong = append(wrong, fmt.Errorf("top_by: %w", err))
	}
	if d.Deduplicate, err = rollup.ParseDeduplicate(r.Deduplicate); err != nil {
		wrong = append(wrong, fmt.Errorf("deduplicate: %w", err))
	}
	return d, wrong
}

// taken says of the measurements that there are already what their points are.
var taken = map[string]string{
	flowmetric.Measurement:         "a metric per flow, so that sums over it would have each flow twice",
	flowmetric.EventMeasurement:    "a metric per event",
	flowmetric.CounterMeasurement:  "the counters of sFlow's interfaces",
	flowmetric.OptionsMeasurement:  "what exporters tell in options",
	flowmetric.ExporterMeasurement: "the health of exporters",
	flowmetric.QualityMeasurement:  "the quality of what exporters send",
	flowmetric.DatagramMeasurement: "the datagrams themselves",
}

// measurement refuses a name that another measurement has. Where there is no metric per
// flow, the name netflow is free: a roll-up may go on under it.
func (r *Rollup) measurement(flows bool) error {
	of, ok := taken[r.Name]
	if !ok || r.Name == flowmetric.Measurement && !flows {
		return nil
	}
	better, also := "netflow_total", ""
	if len(r.Tags) > 0 {
		better = "netflow_by_" + r.Tags[0]
	}
	if r.Name == flowmetric.Measurement {
		also = `, or leave "flows" out of metrics`
	}
	return fmt.Errorf("name: expected one that no other measurement has, got %q, which has %s; take one as %q%s", r.Name,
		of, better, also)
}

// rollups are a pool's roll-ups while it runs.
type rollups struct {
	set   *rollup.Set
	later time.Duration // of the times of points: two pools, also of two processes, must not write the same
	done  chan struct{} // closed to end closing windows
	ended chan struct{}
}

// start begins to close windows; the points go to the accumulator.
func (p *Pool) startRollups() {
	r := &p.rollups
	if r.set = p.opt.Rollups; r.set == nil {
		return
	}
	if r.later == 0 {
		r.later = time.Duration(rand.Int64N(int64(time.Millisecond)))
	}
	r.set.Start(time.Now())
	done, ended := make(chan struct{}), make(chan struct{})
	r.done, r.ended = done, ended
	go func() {
		defer close(ended)
		r.set.Run(done, p.addPoint)
	}()
}

// stopRollups emits what the open windows have.
func (p *Pool) stopRollups() {
	r := &p.rollups
	if r.done == nil {
		return
	}
	close(r.done)
	<-r.ended
	r.done = nil
	r.set.Finish(time.Now(), p.addPoint)
}

// addPoint emits the metric of a point.
func (p *Pool) addPoint(point *rollup.Point) {
	p.acc.AddMetric(flowmetric.Rollup(point, p.rollups.later))
}

// RollupCounts returns what the roll-ups count of themselves, in their order.
func (p *Pool) RollupCounts() []rollup.Counts {
	if p.opt.Rollups == nil {
		return nil
	}
	return p.opt.Rollups.Counts()
}

// countRollups sets the fields of netflow_exporter about roll-ups, all of them together.
func (p *Pool) countRollups(fields map[string]any) {
	var sum rollup.Counts
	for _, c := range p.RollupCounts() {
		sum.Flows, sum.Late, sum.Twins = sum.Flows+c.Flows, sum.Late+c.Late, sum.Twins+c.Twins
		sum.Folded, sum.Evicted = sum.Folded+c.Folded, sum.Evicted+c.Evicted
		sum.Points, sum.Series = sum.Points+c.Points, sum.Series+c.Series
	}
	if p.opt.Rollups == nil {
		return
	}
	fields["rollup_flows"], fields["rollup_late_flows"], fields["rollup_double_flows"] = sum.Flows, sum.Late, sum.Twins
	fields["rollup_series_folded"], fields["rollup_series_evicted"] = sum.Folded, sum.Evicted
	fields["rollup_points"], fields["rollup_series"] = sum.Points, sum.Series
}

// RollupStatistics are the counts of each roll-up in Telegraf's statistics of itself. The
// zero value has none.
type RollupStatistics []rollupStatistics

type rollupStatistics struct {
	flows, late, double, folded, evicted, points, series selfstat.Stat
}

// Register makes the statistics: measurement internal_netflow_rollup, a series for each
// roll-up.
func (s *RollupStatistics) Register(c *selfstat.Collector, list []Rollup) {
	if c == nil {
		return
	}
	for i := range list {
		tags := map[string]string{"rollup": list[i].Name}
		stat := func(field string) selfstat.Stat { return c.Register("netflow_rollup", field, tags) }
		*s = append(*s, rollupStatistics{stat("flows"), stat("late_flows"), stat("double_flows"), stat("series_folded"),
			stat("series_evicted"), stat("points"), stat("series")})
	}
}

// Set sets the statistics.
func (s RollupStatistics) Set(counts []rollup.Counts) {
	for i := range s[:min(len(s), len(counts))] {
		c := &counts[i]
		for stat, n := range map[selfstat.Stat]uint64{s[i].flows: c.Flows, s[i].late: c.Late, s[i].double: c.Twins,
			s[i].folded: c.Folded, s[i].evicted: c.Evicted, s[i].points: c.Points, s[i].series: c.Series} {
			stat.Set(int64(n))
		}
	}
}

// summed is what a lane sums flows up with.
type summed struct {
	feeder           *rollup.Feeder
	both             bool // records of both directions come as one
	forward, reverse flow.Record
}

// addFlow adds a flow to the roll-ups; events are no traffic.
func (s *summed) addFlow(r *flow.Record) {
	switch {
	case flowmetric.IsEvent(r):
	case s.both && collector.SplitBiflow(r, &s.forward, &s.reverse):
		s.feeder.Add(&s.forward)
		s.feeder.Add(&s.reverse)
	default:
		s.feeder.Add(r)
	}
}
