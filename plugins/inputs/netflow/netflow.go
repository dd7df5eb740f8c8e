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
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/inputs"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
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
	Log            telegraf.Logger `toml:"-"`

	listener *collector.Listener
	done     chan struct{} // closed to end repeat
	wg       sync.WaitGroup
	acc      telegraf.Accumulator
	wants    wants

	// mu guards the decoder: the listener's goroutine decodes, Gather reads its
	// counters.
	mu      sync.Mutex
	decoder *collector.Decoder
	builder *flowmetric.Builder
	handler collector.Handler
	at      time.Time         // receipt of the datagram at hand
	batch   []telegraf.Metric // of the datagrams at hand
	panics  uint64

	datagrams flowmetric.DatagramBuilder
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
	n.builder, err = flowmetric.NewBuilder(flowmetric.Options{FlowTags: n.FlowTags, PEN: pen, Stock: stock, ExtraFields: n.ExtraFields})
	if err != nil {
		return err
	}
	o := collector.Options{Protocols: protocols, Log: n.Log.Warnf, TemplatesOnly: !n.wants.decoding(), SplitBiflows: !stock}
	if err := n.exporterOptions(&o); err != nil {
		return err
	}
	n.decoder = collector.NewDecoder(o)
	n.handler = collector.Handler{}
	if n.wants.flows {
		n.handler.Flow = n.flow
		n.handler.Counter = n.counter
	}
	if n.wants.options {
		n.handler.Option = n.option
	}
	return nil
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

// newListener returns the listener of the configuration, not yet open.
func (n *NetFlow) newListener() *collector.Listener {
	return collector.NewListener(collector.ListenerOptions{
		Address:    n.ServiceAddress,
		ReadBuffer: int(n.ReadBufferSize),
		Warn:       n.Log.Warnf,
	})
}

// Check says whether the plugin could start: whether its port is free.
func (n *NetFlow) Check() error {
	l := n.newListener()
	defer l.Stop()
	return l.Start(func([]collector.Datagram) {})
}

// Start opens the socket and begins to receive.
func (n *NetFlow) Start(acc telegraf.Accumulator) error {
	n.acc = acc
	n.restore()
	restored := n.known()
	l := n.newListener()
	if err := l.Start(n.receive); err != nil {
		return &startupError{err}
	}
	n.listener = l
	if n.StateFile != "" || n.wants.datagrams {
		done := make(chan struct{})
		n.done = done
		n.wg.Go(func() { n.repeat(done, restored) })
	}
	n.Log.Infof("Listening on %s, %s", n.ServiceAddress, l.Addr())
	return nil
}

// Stop closes the socket and waits. No metric is added after it.
func (n *NetFlow) Stop() {
	if n.listener != nil {
		n.listener.Stop()
	}
	if n.done != nil {
		close(n.done)
		n.wg.Wait()
		n.done = nil
		if n.StateFile != "" {
			if err := collector.SaveKnown(n.StateFile, n.known()); err != nil {
				n.Log.Errorf("state_file %s cannot be written, templates are lost at the next restart: %v", n.StateFile, err)
			}
		}
	}
}

// receive decodes datagrams and emits their metrics. They are added outside the
// lock: adding waits for the outputs, and Gather must not. They are added in a
// row: what reads them is woken once for all of them.
func (n *NetFlow) receive(list []collector.Datagram) {
	for _, m := range n.decodeAll(list) {
		n.acc.AddMetric(m)
	}
}

// decodeAll returns the metrics of datagrams; the slice is reused.
func (n *NetFlow) decodeAll(list []collector.Datagram) []telegraf.Metric {
	trace := n.DumpPackets || n.Log.Level().Includes(telegraf.Trace)
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.batch)
	n.batch = n.batch[:0]
	for _, dg := range list {
		if trace {
			n.Log.Tracef("%s: raw data: %s", dg.Exporter, hex.EncodeToString(dg.Payload))
		}
		n.decode(dg)
	}
	return n.batch
}

// decode adds the metrics of a datagram to the batch. A panic, which would end
// the agent, costs the datagram only.
func (n *NetFlow) decode(dg collector.Datagram) {
	defer func() {
		if p := recover(); p != nil {
			if n.panics++; n.panics == 1 {
				n.Log.Errorf("decoding a datagram of %s failed, please report this: %v; raw data: %s\n%s",
					dg.Exporter, p, hex.EncodeToString(dg.Payload), debug.Stack())
			}
		}
	}()
	n.at = dg.Received
	if n.wants.datagrams {
		n.batch = append(n.batch, n.datagrams.Metric(dg))
	}
	if !n.wants.decoding() && !n.wants.datagrams {
		return
	}
	if err := n.decoder.Decode(dg, n.handler); err != nil {
		n.Log.Debugf("%v", err)
	}
}

// flow adds a flow to the batch.
func (n *NetFlow) flow(r *flow.Record) {
	n.batch = append(n.batch, n.builder.Flow(r, flowmetric.Timestamp(n.at)))
}

// counter adds a counter record of sFlow to the batch.
func (n *NetFlow) counter(o *flow.CounterRecord) {
	if m := n.builder.Counters(o, flowmetric.Timestamp(n.at)); m != nil {
		n.batch = append(n.batch, m)
	}
}

// option adds an option record to the batch.
func (n *NetFlow) option(o *flow.OptionRecord) {
	n.batch = append(n.batch, n.builder.Option(o, flowmetric.Timestamp(n.at)))
}

// Gather emits the counters of the exporters and of the socket.
func (n *NetFlow) Gather(acc telegraf.Accumulator) error {
	if !n.wants.exporters || n.listener == nil {
		return nil
	}
	now := time.Now()
	for _, s := range n.exporters() {
		acc.AddFields(flowmetric.ExporterMeasurement, exporterFields(&s), map[string]string{
			"source":  s.Exporter.String(),
			"version": s.Version.String(),
			"domain":  strconv.FormatUint(uint64(s.Domain), 10),
		}, now)
	}
	n.mu.Lock()
	forgotten, refused, panics := n.decoder.Forgotten(), n.decoder.Refused(), n.panics
	n.mu.Unlock()
	acc.AddFields(flowmetric.ExporterMeasurement, map[string]interface{}{
		"kernel_drops":      n.listener.Drops(),
		"read_errors":       n.listener.ReadErrors(),
		"read_buffer_size":  uint64(n.listener.ReadBuffer()),
		"domains_forgotten": forgotten,
		"refused":           refused,
		"internal_errors":   panics,
	}, map[string]string{"listener": n.ServiceAddress}, now)
	return nil
}

// exporters returns a copy of all counters, sorted.
func (n *NetFlow) exporters() []collector.ExporterStats {
	var list []collector.ExporterStats
	n.mu.Lock()
	n.decoder.Exporters(func(s *collector.ExporterStats) { list = append(list, *s) })
	n.mu.Unlock()
	slices.SortFunc(list, func(a, b collector.ExporterStats) int {
		if c := netip.Addr.Compare(a.Exporter, b.Exporter); c != 0 {
			return c
		}
		if a.Version != b.Version {
			return int(a.Version) - int(b.Version)
		}
		return int(int64(a.Domain) - int64(b.Domain))
	})
	return list
}

// exporterFields returns the fields of netflow_exporter for one domain.
func exporterFields(s *collector.ExporterStats) map[string]interface{} {
	return map[string]interface{}{
		"datagrams":             s.Datagrams,
		"bytes":                 s.Bytes,
		"flows":                 s.Flows,
		"uncounted":             s.Uncounted,
		"options":               s.Options,
		"counters":              s.Counters,
		"templates":             s.Templates,
		"sequence_gaps":         s.SequenceGaps,
		"sequence_lost":         s.SequenceLost,
		"sequence_late":         s.SequenceLate,
		"sequence_restarts":     s.SequenceRestarts,
		"sets_without_template": s.SetsWithoutTemplate,
		"sets_resumed":          s.SetsResumed,
		"sets_expired":          s.SetsExpired,
		"sets_waiting":          uint64(s.SetsWaiting),
		"decode_errors":         s.DecodeErrors,
		"unsupported":           s.Unsupported,
		"time_repairs":          s.TimeRepairs,
		"templates_known":       uint64(s.TemplatesKnown),
		"sampling_rate":         uint64(s.SamplingRate),
		"clock_skew_ms":         int64(s.ClockSkew) / int64(time.Millisecond),
	}
}

func init() {
	inputs.Add("netflow", func() telegraf.Input { return &NetFlow{} })
}
