// Package netflow is the Telegraf processor processors.netflow: it turns the datagrams of
// metrics netflow_datagram into flows and roll-ups, with the decoder and the options of the
// input of the same name. So edge collectors can send what exporters send through a
// message queue, and any number of agents decode it.
package netflow

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/processors"
	"github.com/influxdata/telegraf/selfstat"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/decoding"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/handover"
)

//go:embed sample.conf
var sampleConfig string

// defaultInterval is how often netflow_exporter is emitted.
const defaultInterval = config.Duration(10 * time.Second)

// NetFlow is the plugin. Its exported fields are its options.
type NetFlow struct {
	Datagrams    string               `toml:"datagrams"`
	Metrics      []string             `toml:"metrics"`
	Interval     config.Duration      `toml:"exporters_interval"`
	Protocol     string               `toml:"protocol"`
	PENFiles     []string             `toml:"private_enterprise_number_files"`
	FlowTags     []string             `toml:"flow_tags"`
	Measurements string               `toml:"measurements"`
	ExtraFields  []string             `toml:"extra_fields"`
	StateFile    string               `toml:"state_file"`
	Exporters    []decoding.Exporter  `toml:"exporter"`
	Unknown      string               `toml:"unknown_exporters"`
	MaxExporters int                  `toml:"max_exporters"`
	MaxRate      int64                `toml:"max_sampling_rate"`
	TunnelView   string               `toml:"tunnel_view"`
	Workers      int                  `toml:"workers"`
	VCenter      *decoding.VCenter    `toml:"vcenter"`
	Enrich       *decoding.Enrichment `toml:"enrich"`
	Rollups      []decoding.Rollup    `toml:"rollup"`
	Internal     []string             `toml:"internal_networks"`
	Rank         []string             `toml:"exporter_rank"`
	Interfaces   []string             `toml:"interface_counters"`
	Log          telegraf.Logger      `toml:"-"`
	Statistics   *selfstat.Collector  `toml:"-"`

	// Place names what the plugin leaves to that of the next configuration at a reload,
	// which goes on where it has ended; with the same Identity its options are the same.
	Place, Identity string `toml:"-"`

	pool    *decoding.Pool
	wants   decoding.Wants
	stats   decoding.RollupStatistics
	parser  flowmetric.DatagramParser
	bad     selfstat.Stat // metrics that are no datagrams
	badOnce sync.Once

	dropping sync.Mutex
	dropped  []telegraf.Metric // those that are to be dropped soon
	older    int               // of these, those that have been kept for long enough
	done     chan struct{}
	wg       sync.WaitGroup
}

// SampleConfig returns the documented configuration.
func (*NetFlow) SampleConfig() string { return sampleConfig }

// Init checks the configuration. It reads the mapping files and asks nothing of the
// network.
func (n *NetFlow) Init() error {
	var errs []error
	if n.Datagrams != "" && n.Datagrams != "drop" && n.Datagrams != "pass" {
		errs = append(errs, fmt.Errorf("datagrams: expected 'drop' or 'pass', got %q", n.Datagrams))
	}
	if n.Interval == 0 {
		n.Interval = defaultInterval
	}
	if n.Interfaces == nil {
		n.Interfaces = defaultInterfaces
	}
	if n.Interval < config.Duration(time.Second) {
		errs = append(errs, fmt.Errorf("exporters_interval: expected at least 1s, got %q", time.Duration(n.Interval)))
	}
	o := decoding.Options{Workers: n.Workers, StateFile: n.StateFile, VCenter: n.VCenter, Enrichment: n.Enrich,
		Relayed: true, Log: n.Log}
	table := decoding.ExporterOptions{Protocol: n.Protocol, Exporters: n.Exporters, Unknown: n.Unknown,
		MaxExporters: n.MaxExporters, TunnelView: n.TunnelView, MaxRate: n.MaxRate}
	list := n.Metrics
	if list == nil {
		list = []string{decoding.MetricFlows, decoding.MetricOptions, decoding.MetricExporters}
	}
	stock, err := decoding.ParseMeasurements(n.Measurements)
	pen, penErr := flowmetric.LoadPEN(n.PENFiles...)
	errs = append(errs, err, penErr, table.Apply(&o.Decoder), n.wants.Parse(list))
	if n.wants.Datagrams {
		errs = append(errs, errors.New("metrics: expected datagrams = \"pass\" to have the datagrams too, "+
			"got \"datagrams\""))
	}
	o.Decoder.Log, o.Decoder.SplitBiflows, o.Wants = n.Log.Warnf, !stock, n.wants
	o.Metrics = flowmetric.Options{FlowTags: n.FlowTags, PEN: pen, Stock: stock, ExtraFields: n.ExtraFields}
	rollups := decoding.RollupOptions{Rollups: n.Rollups, Internal: n.Internal, Rank: n.Rank, Flows: n.wants.Flows}
	o.Rollups, err = rollups.New()
	pool, poolErr := decoding.New(o)
	if err = errors.Join(append(errs, err, poolErr)...); err != nil {
		return err
	}
	n.pool = pool
	if n.Statistics != nil {
		n.bad = n.Statistics.Register("netflow_processor", "malformed", nil)
		n.stats.Register(n.Statistics, n.Rollups)
	}
	return nil
}

// estate is what the plugin leaves.
type estate struct {
	pool     *decoding.Pool // stopped
	identity string
}

// Stop does nothing more.
func (*estate) Stop() {}

// Start begins to take metrics.
func (n *NetFlow) Start(acc telegraf.Accumulator) error {
	switch before, _ := handover.Take(n.Place).(*estate); {
	case before == nil:
		n.pool.Restore()
	case n.Identity == before.identity && len(n.PENFiles) == 0:
		n.pool = before.pool
		n.pool.Continue()
	default:
		n.pool.Inherit(before.pool)
	}
	n.pool.Start(acc)
	n.pool.Keep()
	n.done = make(chan struct{})
	done := n.done
	n.wg.Go(func() { n.tell(acc, done) })
	return nil
}

// Add decodes a datagram. What is none goes on as it is.
func (n *NetFlow) Add(m telegraf.Metric, acc telegraf.Accumulator) error {
	if m.Name() != flowmetric.DatagramMeasurement {
		n.interfaceCounters(m)
		acc.AddMetric(m)
		return nil
	}
	dg, err := n.parser.Parse(m)
	if err != nil {
		if n.bad != nil {
			n.bad.Incr(1)
		}
		n.badOnce.Do(func() { n.Log.Warnf("A metric is no datagram and goes on as it is (further ones too): %v", err) })
		acc.AddMetric(m)
		return nil
	}
	n.pool.Receive([]collector.Datagram{dg})
	if n.Datagrams == "pass" {
		acc.AddMetric(m)
	} else {
		n.drop(m)
	}
	return nil
}

// dropInterval is how long a metric of an input that waits for its delivery is kept before
// it is dropped. inputs.nats_consumer of Telegraf v1.39 notes what it has given away after
// that: what is dropped at once it may never acknowledge, and gets again.
const dropInterval = 100 * time.Millisecond

// drop drops a metric, soon where its input waits for that.
func (n *NetFlow) drop(m telegraf.Metric) {
	if _, waits := m.(telegraf.TrackingMetric); !waits {
		m.Drop()
		return
	}
	n.dropping.Lock()
	defer n.dropping.Unlock()
	n.dropped = append(n.dropped, m)
}

// dropAll drops what has been kept; younger keeps what has come since the call before.
func (n *NetFlow) dropAll(younger bool) {
	n.dropping.Lock()
	list := n.dropped[:n.older]
	if !younger {
		list = n.dropped
	}
	n.dropped = slices.Clone(n.dropped[len(list):])
	n.older = len(n.dropped)
	n.dropping.Unlock()
	for _, m := range list {
		m.Drop()
	}
}

// Stop waits until all is decoded and emitted, also what open windows have. In a reload the
// plugin leaves what it has learned to the next one.
func (n *NetFlow) Stop() {
	if n.done == nil {
		return
	}
	close(n.done)
	n.wg.Wait()
	n.done = nil
	n.pool.Stop()
	n.dropAll(false)
	n.stats.Set(n.pool.RollupCounts())
	handover.Leave(n.Place, &estate{n.pool, n.Identity})
}

// tell emits the counters of the exporters, at the interval, and drops what has been taken.
func (n *NetFlow) tell(acc telegraf.Accumulator, done <-chan struct{}) {
	tick, drop := time.NewTicker(time.Duration(n.Interval)), time.NewTicker(dropInterval)
	defer tick.Stop()
	defer drop.Stop()
	for {
		select {
		case <-done:
			return
		case <-drop.C:
			n.dropAll(true)
		case now := <-tick.C:
			n.stats.Set(n.pool.RollupCounts())
			n.pool.GatherQuality(acc, now, 0)
			if !n.wants.Exporters {
				continue
			}
			n.pool.Gather(acc, now)
			fields := map[string]any{}
			n.pool.Count(fields)
			acc.AddFields(flowmetric.ExporterMeasurement, fields, map[string]string{"listener": "processor"}, now)
		}
	}
}

func init() {
	processors.AddStreaming("netflow", func() telegraf.StreamingProcessor { return &NetFlow{} })
}
