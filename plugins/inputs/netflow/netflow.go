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
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	common_tls "github.com/influxdata/telegraf/plugins/common/tls"
	"github.com/influxdata/telegraf/plugins/inputs"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/outcome"
)

//go:embed sample.conf
var sampleConfig string

// The values of the option metrics.
const (
	metricFlows     = "flows"
	metricOptions   = "options"
	metricExporters = "exporters"
	metricDatagrams = "datagrams"
)

// NetFlow is the plugin. Its exported fields are its options.
type NetFlow struct {
	ServiceAddress string          `toml:"service_address"`
	ReadBufferSize config.Size     `toml:"read_buffer_size"`
	Protocol       string          `toml:"protocol"`
	DumpPackets    bool            `toml:"dump_packets" deprecated:"1.35.0;use 'log_level' 'trace' instead"`
	PENFiles       []string        `toml:"private_enterprise_number_files"`
	Metrics        []string        `toml:"metrics"`
	FlowTags       []string        `toml:"flow_tags"`
	Measurements   string          `toml:"measurements"`
	ExtraFields    []string        `toml:"extra_fields"`
	StateFile      string          `toml:"state_file"`
	Exporters      []Exporter      `toml:"exporter"`
	Unknown        string          `toml:"unknown_exporters"`
	MaxExporters   int             `toml:"max_exporters"`
	TunnelView     string          `toml:"tunnel_view"`
	Workers        int             `toml:"workers"`
	MaxConnections int             `toml:"max_connections"`
	IdleTimeout    config.Duration `toml:"idle_timeout"`
	VCenter        *VCenter        `toml:"vcenter"`
	common_tls.ServerConfig
	Log telegraf.Logger `toml:"-"`

	listener receiver
	pool     *collector.Workers // nil with one worker
	done     chan struct{}      // closed to end repeat
	wg       sync.WaitGroup
	acc      telegraf.Accumulator
	wants    wants
	workers  []*worker

	// DatagramBytes leaves the payload of netflow_datagram bytes instead of base64. The
	// agent sets it when these metrics go to outputs.nfdump of the same process alone.
	DatagramBytes bool `toml:"-"`

	stateErrors  atomic.Uint64 // failures to read or write the state file
	stateFailing bool          // the last attempt to write it; of repeat, then of Stop
}

// wants are the metrics to emit.
type wants struct{ flows, options, exporters, datagrams bool }

// decoding says whether what is wanted takes a decoder.
func (w wants) decoding() bool { return w.flows || w.options || w.exporters }

// SampleConfig returns the documented configuration.
func (*NetFlow) SampleConfig() string { return sampleConfig }

// Init checks the configuration. It reads the mapping files and asks nothing of
// the network.
func (n *NetFlow) Init() error {
	if n.ServiceAddress == "" {
		return errors.New("service_address required")
	}
	if _, _, err := collector.ParseAddress(n.ServiceAddress); err != nil {
		return err
	}
	protocols, err := n.protocols()
	if err != nil {
		return err
	}
	if err := n.chooseMetrics(); err != nil {
		return err
	}
	pen, err := flowmetric.LoadPEN(n.PENFiles...)
	if err != nil {
		return err
	}
	stock := false
	switch n.Measurements {
	case "", "separate":
	case "stock":
		stock = true
	default:
		return fmt.Errorf("measurements: expected 'separate' or 'stock', got %q", n.Measurements)
	}
	o := collector.Options{Protocols: protocols, Log: n.Log.Warnf, TemplatesOnly: !n.wants.decoding(), SplitBiflows: !stock}
	if err := n.exporterOptions(&o); err != nil {
		return err
	}
	if err := n.listenerOptions(); err != nil {
		return err
	}
	metrics := flowmetric.Options{FlowTags: n.FlowTags, PEN: pen, Stock: stock, ExtraFields: n.ExtraFields}
	if n.VCenter != nil {
		if err := n.VCenter.init(n.Log, &o, &metrics); err != nil {
			return fmt.Errorf("vcenter: %w", err)
		}
	}
	return n.makeWorkers(o, metrics)
}

// protocols returns the versions that the option protocol leaves; none is all.
// As in the stock plugin, v9 and IPFIX include each other.
func (n *NetFlow) protocols() ([]flow.Version, error) {
	switch strings.ToLower(n.Protocol) {
	case "":
		return nil, nil
	case "netflow v5":
		return []flow.Version{flow.V5}, nil
	case "netflow v9", "ipfix":
		return []flow.Version{flow.V9, flow.IPFIX}, nil
	case "netflow v1":
		return []flow.Version{flow.V1}, nil
	case "netflow v7":
		return []flow.Version{flow.V7}, nil
	case "sflow", "sflow v5":
		return []flow.Version{flow.SFlow}, nil
	}
	return nil, fmt.Errorf("invalid protocol %q, only supports 'netflow v1', 'netflow v5', 'netflow v7', 'netflow v9', 'ipfix' and 'sflow v5'", n.Protocol)
}

// chooseMetrics reads the option metrics.
func (n *NetFlow) chooseMetrics() error {
	list := n.Metrics
	if list == nil {
		list = []string{metricFlows, metricOptions, metricExporters}
	}
	for _, name := range list {
		switch name {
		case metricFlows:
			n.wants.flows = true
		case metricOptions:
			n.wants.options = true
		case metricExporters:
			n.wants.exporters = true
		case metricDatagrams:
			n.wants.datagrams = true
		default:
			return fmt.Errorf("metrics: expected 'flows', 'options', 'exporters' or 'datagrams', got %q", name)
		}
	}
	return nil
}

// Start opens the port and begins to receive.
func (n *NetFlow) Start(acc telegraf.Accumulator) error {
	n.acc = acc
	n.restore()
	restored, saved := n.known(), n.revision() // before the first datagram
	l, err := n.newListener()
	if err != nil {
		return err
	}
	handle := n.workers[0].receive
	n.pool = nil
	if len(n.workers) > 1 {
		n.pool = collector.NewWorkers(len(n.workers), n.shard, func(i int, list []collector.Datagram) { n.workers[i].receive(list) })
		handle = n.pool.Dispatch
	}
	if err := l.Start(handle); err != nil {
		n.stopPool()
		return &outcome.Startup{Err: err}
	}
	n.listener = l
	if n.VCenter != nil {
		n.VCenter.client.Start()
	}
	if n.StateFile != "" || n.wants.datagrams {
		done := make(chan struct{})
		n.done = done
		n.wg.Go(func() { n.repeat(done, restored, saved) })
	}
	n.Log.Infof("Listening on %s, %s", n.ServiceAddress, l.Addr())
	return nil
}

// stopPool waits for the workers.
func (n *NetFlow) stopPool() {
	if n.pool != nil {
		n.pool.Stop()
	}
}

// Stop closes the port and waits. No metric is added after it.
func (n *NetFlow) Stop() {
	if n.listener != nil {
		n.listener.Stop()
	}
	n.stopPool()
	for _, w := range n.workers {
		w.adding.Wait()
	}
	if n.VCenter != nil {
		n.VCenter.client.Stop()
	}
	if n.done != nil {
		close(n.done)
		n.wg.Wait()
		n.done = nil
		n.save(n.known())
	}
}

// makeWorkers makes the decoders and what makes metrics of what they decode.
func (n *NetFlow) makeWorkers(o collector.Options, metrics flowmetric.Options) error {
	count := n.Workers
	switch {
	case count == 0:
		count = autoWorkers()
	case count < 0 || count > maxWorkers:
		return fmt.Errorf("workers: expected 1 to %d, or 0 for as many as the machine has processors for, got %d", maxWorkers, count)
	}
	n.workers = nil
	for _, d := range collector.NewDecoders(count, o) {
		w, err := n.newWorker(d, metrics)
		if err != nil {
			return err
		}
		n.workers = append(n.workers, w)
	}
	return nil
}

// shard returns the worker of a datagram.
func (n *NetFlow) shard(dg *collector.Datagram) int {
	return n.workers[0].decoder.Shard(dg, len(n.workers))
}

// Gather emits the counters of the exporters and of the port.
func (n *NetFlow) Gather(acc telegraf.Accumulator) error {
	if !n.wants.exporters || n.listener == nil {
		return nil
	}
	now := time.Now()
	for _, s := range n.exporters() {
		acc.AddFields(flowmetric.ExporterMeasurement, exporterFields(&s), exporterTags(&s), now)
	}
	var forgotten, refused, panics uint64
	for _, w := range n.workers {
		w.mu.Lock()
		forgotten, refused, panics = forgotten+w.decoder.Forgotten(), refused+w.decoder.Refused(), panics+w.panics.Load()
		w.mu.Unlock()
	}
	fields := n.listener.fields()
	fields["domains_forgotten"], fields["refused"], fields["internal_errors"] = forgotten, refused, panics
	fields["state_errors"] = n.stateErrors.Load()
	fields["workers"], fields["queue_full"] = uint64(len(n.workers)), uint64(0)
	if pool := n.pool; pool != nil {
		fields["queue_full"] = pool.Full()
	}
	if n.VCenter != nil {
		n.VCenter.count(fields)
	}
	acc.AddFields(flowmetric.ExporterMeasurement, fields, map[string]string{"listener": n.ServiceAddress}, now)
	return nil
}

// exporters returns a copy of all counters, sorted.
func (n *NetFlow) exporters() []collector.ExporterStats {
	var list []collector.ExporterStats
	for _, w := range n.workers {
		w.mu.Lock()
		w.decoder.Exporters(func(s *collector.ExporterStats) { list = append(list, *s) })
		w.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b collector.ExporterStats) int {
		return cmp.Or(a.Exporter.Compare(b.Exporter), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Port, b.Port))
	})
	return list
}

// exporterTags returns the tags of netflow_exporter for one domain.
func exporterTags(s *collector.ExporterStats) map[string]string {
	tags := map[string]string{
		"source":  s.Exporter.String(),
		"version": s.Version.String(),
		"domain":  strconv.FormatUint(uint64(s.Domain), 10),
	}
	if s.Port != 0 {
		tags["port"] = strconv.FormatUint(uint64(s.Port), 10)
	}
	if s.Stream {
		tags["transport"] = "tcp"
	}
	return tags
}

// exporterFields returns the fields of netflow_exporter for one domain.
func exporterFields(s *collector.ExporterStats) map[string]interface{} {
	return map[string]interface{}{
		"datagrams":               s.Datagrams,
		"bytes":                   s.Bytes,
		"flows":                   s.Flows,
		"uncounted":               s.Uncounted,
		"options":                 s.Options,
		"counters":                s.Counters,
		"templates":               s.Templates,
		"sequence_gaps":           s.SequenceGaps,
		"sequence_lost":           s.SequenceLost,
		"sequence_late":           s.SequenceLate,
		"sequence_restarts":       s.SequenceRestarts,
		"exporter_datagrams":      s.ExporterDatagrams,
		"exporter_datagrams_lost": s.ExporterDatagramsLost,
		"exporter_flows":          s.ExporterFlows,
		"exporter_flows_lost":     s.ExporterFlowsLost,
		"exporter_flows_unsent":   s.ExporterFlowsUnsent,
		"sets_without_template":   s.SetsWithoutTemplate,
		"sets_resumed":            s.SetsResumed,
		"sets_expired":            s.SetsExpired,
		"sets_waiting":            uint64(s.SetsWaiting),
		"decode_errors":           s.DecodeErrors,
		"unsupported":             s.Unsupported,
		"time_repairs":            s.TimeRepairs,
		"templates_known":         uint64(s.TemplatesKnown),
		"sampling_rate":           uint64(s.SamplingRate),
		"clock_skew_ms":           int64(s.ClockSkew) / int64(time.Millisecond),
	}
}

func init() {
	inputs.Add("netflow", func() telegraf.Input { return &NetFlow{} })
}
