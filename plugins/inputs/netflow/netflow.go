// Package netflow is the Telegraf service input inputs.netflow: it receives
// NetFlow v1, v5, v7, v9, IPFIX and sFlow over UDP and emits a metric per flow, under the names
// of Telegraf's stock input of the same name, and metrics about the exporters.
//
// Decoding is package collector's, names and values are package flowmetric's;
// this package joins them to a socket and to Telegraf. It promises that what a
// peer sends neither ends the process nor fills its memory or log, and that
// nothing is emitted after Stop.
package netflow

import (
	_ "embed"
	"errors"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	common_tls "github.com/influxdata/telegraf/plugins/common/tls"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/selfstat"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/decoding"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/handover"
)

//go:embed sample.conf
var sampleConfig string

// NetFlow is the plugin. Its exported fields are its options.
type NetFlow struct {
	ServiceAddress string               `toml:"service_address"`
	ReadBufferSize config.Size          `toml:"read_buffer_size"`
	Protocol       string               `toml:"protocol"`
	DumpPackets    bool                 `toml:"dump_packets" deprecated:"1.35.0;use 'log_level' 'trace' instead"`
	PENFiles       []string             `toml:"private_enterprise_number_files"`
	Metrics        []string             `toml:"metrics"`
	FlowTags       []string             `toml:"flow_tags"`
	Measurements   string               `toml:"measurements"`
	ExtraFields    []string             `toml:"extra_fields"`
	StateFile      string               `toml:"state_file"`
	Exporters      []decoding.Exporter  `toml:"exporter"`
	Unknown        string               `toml:"unknown_exporters"`
	MaxExporters   int                  `toml:"max_exporters"`
	MaxRate        int64                `toml:"max_sampling_rate"`
	TunnelView     string               `toml:"tunnel_view"`
	Workers        int                  `toml:"workers"`
	MaxConnections int                  `toml:"max_connections"`
	MaxPerAddress  int                  `toml:"max_connections_per_address"`
	IdleTimeout    config.Duration      `toml:"idle_timeout"`
	VCenter        *decoding.VCenter    `toml:"vcenter"`
	Enrich         *decoding.Enrichment `toml:"enrich"`
	Rollups        []decoding.Rollup    `toml:"rollup"`
	Internal       []string             `toml:"internal_networks"`
	Rank           []string             `toml:"exporter_rank"`
	common_tls.ServerConfig
	Log        telegraf.Logger     `toml:"-"`
	Statistics *selfstat.Collector `toml:"-"`

	listener receiver
	pool     *decoding.Pool
	wants    decoding.Wants
	stats    decoding.RollupStatistics

	// DatagramBytes leaves the payload of netflow_datagram bytes instead of base64. The
	// agent sets it when these metrics go to outputs.nfdump of the same process alone.
	DatagramBytes bool `toml:"-"`

	// Identity is the same in two configurations when the options are. The agent sets it;
	// after a reload the plugin of the same identity goes on as if nothing had been.
	Identity string `toml:"-"`
}

// SampleConfig returns the documented configuration.
func (*NetFlow) SampleConfig() string { return sampleConfig }

// Init checks the configuration. It reads the mapping files and asks nothing of
// the network.
func (n *NetFlow) Init() error {
	var errs []error
	if n.ServiceAddress == "" {
		errs = append(errs, errors.New("service_address required"))
	} else if _, _, err := collector.ParseAddress(n.ServiceAddress); err != nil {
		errs = append(errs, err)
	}
	o := decoding.Options{
		Workers: n.Workers, StateFile: n.StateFile, VCenter: n.VCenter, Enrichment: n.Enrich,
		DatagramBytes: n.DatagramBytes,
		Trace:         n.DumpPackets, Log: n.Log,
	}
	table := decoding.ExporterOptions{
		Protocol: n.Protocol, Exporters: n.Exporters, Unknown: n.Unknown, MaxExporters: n.MaxExporters,
		TunnelView: n.TunnelView, MaxRate: n.MaxRate,
	}
	list := n.Metrics
	if list == nil {
		list = []string{decoding.MetricFlows, decoding.MetricOptions, decoding.MetricExporters}
	}
	pen, err := flowmetric.LoadPEN(n.PENFiles...)
	errs = append(errs, table.Apply(&o.Decoder), n.wants.Parse(list), err)
	stock, err := decoding.ParseMeasurements(n.Measurements)
	errs = append(errs, err, n.listenerOptions())
	o.Decoder.Log, o.Decoder.SplitBiflows, o.Wants = n.Log.Warnf, !stock, n.wants
	rollups := decoding.RollupOptions{Rollups: n.Rollups, Internal: n.Internal, Rank: n.Rank, Flows: n.wants.Flows}
	o.Rollups, err = rollups.New()
	errs = append(errs, err)
	n.stats.Register(n.Statistics, n.Rollups)
	o.Metrics = flowmetric.Options{FlowTags: n.FlowTags, PEN: pen, Stock: stock, ExtraFields: n.ExtraFields}
	pool, err := decoding.New(o)
	if err = errors.Join(append(errs, err)...); err != nil {
		return err
	}
	n.pool = pool
	if len(list) == 0 && len(n.Rollups) == 0 {
		n.Log.Warnf("metrics is empty, and there is no [[inputs.netflow.rollup]]: nothing is made of the flows")
	}
	return nil
}

// Start opens the port and begins to receive. After a reload it takes over the port of
// the plugin before, with what was received in between, and what that has learned.
func (n *NetFlow) Start(acc telegraf.Accumulator) error {
	before, _ := handover.Take(n.ServiceAddress).(*estate)
	switch {
	case before == nil:
		n.pool.Restore()
	case n.continues(before):
		n.pool = before.pool
		n.pool.Continue()
	default:
		n.pool.Inherit(before.pool)
	}
	n.pool.Start(acc)
	l, err := n.open(before)
	if err != nil {
		n.pool.Stop()
		return err
	}
	n.listener = l
	n.pool.Keep()
	n.Log.Infof("Listening on %s, %s", n.ServiceAddress, l.Addr())
	return nil
}

// Stop closes the port and waits. No metric is added after it. In a reload the plugin
// leaves its port and what it has learned to the next one.
func (n *NetFlow) Stop() {
	l := n.listener
	leaving := l != nil && handover.Expected(n.ServiceAddress)
	if leaving {
		l.Park()
	} else if l != nil {
		l.Stop()
	}
	if n.pool != nil {
		n.pool.Stop()
	}
	if !leaving {
		return
	}
	n.listener = nil
	if !handover.Leave(n.ServiceAddress, n.estate(l)) {
		l.Stop()
	}
}

// Gather emits the counters of the exporters and of the port.
func (n *NetFlow) Gather(acc telegraf.Accumulator) error {
	n.stats.Set(n.pool.RollupCounts())
	if n.listener == nil {
		return nil
	}
	now, fields := time.Now(), n.listener.fields()
	drops, _ := fields["kernel_drops"].(uint64)
	n.pool.GatherQuality(acc, now, drops)
	if !n.wants.Exporters {
		return nil
	}
	n.pool.Gather(acc, now)
	n.pool.Count(fields)
	acc.AddFields(flowmetric.ExporterMeasurement, fields, map[string]string{"listener": n.ServiceAddress}, now)
	return nil
}

func init() {
	inputs.Add("netflow", func() telegraf.Input { return &NetFlow{} })
}
