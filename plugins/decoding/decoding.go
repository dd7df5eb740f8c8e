// Package decoding turns datagrams into metrics: decoders with workers around them, what
// the configuration says of exporters, the look-up in vCenter, and the state that
// outlives a restart. The input, a processor behind a broker, and the archive share it,
// so that a datagram means the same wherever it is decoded.
//
// Decoding itself is package collector's, names and values are package flowmetric's. It
// promises that what a peer sends neither ends the process nor fills its memory or log.
package decoding

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
	"github.com/flowgraf/flowgraf/plugins/rollup"
)

// Wants are the metrics to make.
type Wants struct{ Flows, Options, Exporters, Quality, Datagrams bool }

// The values of the option metrics.
const (
	MetricFlows     = "flows"
	MetricOptions   = "options"
	MetricExporters = "exporters"
	MetricQuality   = "quality"
	MetricDatagrams = "datagrams"
)

// Parse reads the option metrics.
func (w *Wants) Parse(list []string) error {
	for _, name := range list {
		switch name {
		case MetricFlows:
			w.Flows = true
		case MetricOptions:
			w.Options = true
		case MetricExporters:
			w.Exporters = true
		case MetricQuality:
			w.Quality = true
		case MetricDatagrams:
			w.Datagrams = true
		default:
			known := []string{MetricFlows, MetricOptions, MetricExporters, MetricQuality, MetricDatagrams}
			return fmt.Errorf("metrics: expected 'flows', 'options', 'exporters', 'quality' or 'datagrams', got %q%s",
				name, nffilter.Suggestion(name, known))
		}
	}
	return nil
}

// ParseMeasurements reads the option measurements, and says whether they are those of the
// stock plugin.
func ParseMeasurements(name string) (stock bool, err error) {
	switch name {
	case "", "separate":
		return false, nil
	case "stock":
		return true, nil
	}
	return false, fmt.Errorf("measurements: expected 'separate' or 'stock', got %q", name)
}

// decoding says whether what is wanted takes a decoder.
func (o *Options) decoding() bool {
	return o.Wants.Flows || o.Wants.Options || o.Wants.Exporters || o.Wants.Quality || o.Rollups != nil
}

// Options configures a Pool.
type Options struct {
	Decoder collector.Options
	Metrics flowmetric.Options
	Wants   Wants

	// Rollups sum up flows between Start and Stop; nil does not.
	Rollups *rollup.Set

	// Workers is how many goroutines decode; 0 is as many as the machine has processors
	// for.
	Workers int

	// StateFile keeps what is known of exporters over a restart; "" is none.
	StateFile string

	// VCenter is where to look up the ports of VMware's switches; nil is nowhere.
	VCenter *VCenter

	// Enrichment is what files tell of addresses; nil is nothing.
	Enrichment *Enrichment

	// Relayed says that the datagrams come from another decoder, with the policies that it
	// follows: those are kept in the state file too. Else the configuration alone counts.
	Relayed bool

	// DatagramBytes leaves the payload of netflow_datagram bytes instead of base64.
	DatagramBytes bool

	// Trace logs the bytes of every datagram, as the log's level trace does.
	Trace bool

	Log telegraf.Logger
}

// How long sets of relayed datagrams wait for their templates, and in how much memory: of
// what is sent again once a minute one of several who share a stream gets only some.
const (
	relayedWait    = 10 * time.Minute
	relayedWaiting = 64 << 20
)

// Pool decodes datagrams with several workers and makes metrics of them.
type Pool struct {
	opt     Options
	workers []*worker
	queues  *collector.Workers // nil with one worker
	acc     telegraf.Accumulator
	lines   LineAccumulator // of acc, nil where it takes metrics only
	done    chan struct{}   // closed to end repeat
	wg      sync.WaitGroup

	restored []collector.Datagram // what was known before the first datagram
	saved    uint64               // its revision

	// Metrics that Telegraf's outputs have lost: see flowmetric.Metric.Reject.
	flowsLost, datagramsLost atomic.Uint64

	rollups rollups
	quality *quality // nil when nobody wants it

	clockTold    atomic.Bool   // that timestamps have begun anew
	stateErrors  atomic.Uint64 // failures to read or write the state file
	stateFailing bool          // the last attempt to write it; of repeat, then of Stop
}

// New checks the options and returns a pool that has not started. It reads nothing.
func New(o Options) (*Pool, error) {
	p := &Pool{opt: o}
	if o.Wants.Quality {
		p.quality = newQuality()
	}
	if o.VCenter != nil {
		if err := o.VCenter.init(o.Log, &p.opt.Metrics); err != nil {
			return nil, fmt.Errorf("vcenter: %w", err)
		}
	}
	if o.Enrichment != nil {
		if err := o.Enrichment.init(); err != nil {
			return nil, fmt.Errorf("enrich: %w", err)
		}
	}
	p.opt.Decoder.Enrich = enriching(o.VCenter, o.Enrichment)
	if o.Relayed {
		p.opt.Decoder.WaitTime, p.opt.Decoder.MaxWaiting = relayedWait, relayedWaiting
	}
	p.opt.Metrics.Lost = &p.flowsLost
	p.opt.Decoder.TemplatesOnly = !o.decoding()
	count := o.Workers
	switch {
	case count == 0:
		count = autoWorkers()
	case count < 0 || count > maxWorkers:
		return nil, fmt.Errorf("workers: expected 1 to %d, or 0 for as many as the machine has processors for, got %d",
			maxWorkers, count)
	}
	for _, d := range collector.NewDecoders(count, p.opt.Decoder) {
		w, err := p.newWorker(d)
		if err != nil {
			return nil, err
		}
		p.workers = append(p.workers, w)
	}
	return p, nil
}

// Restore reads the state file. It is called before Start.
func (p *Pool) Restore() {
	p.restore()
	p.restored, p.saved = p.known(), p.revision()
}

// Continue is called instead of Restore on a pool that has been stopped, to start it
// again with all that it knows.
func (p *Pool) Continue() { p.restored, p.saved = p.known(), p.revision() }

// Inherit is called instead of Restore, to go on where a pool with other options has
// ended, which must not be used any more.
func (p *Pool) Inherit(ended *Pool) {
	decoders := func(p *Pool) (list []*collector.Decoder) {
		for _, w := range p.workers {
			list = append(list, w.decoder)
		}
		return list
	}
	collector.Inherit(decoders(p), decoders(ended))
	p.Continue()
}

// LineAccumulator is an accumulator that may take flows as lines of line protocol, which
// costs less than a metric.
type LineAccumulator interface {
	// LineTags returns the tags that a metric gets besides its own, and whether lines are
	// taken: not where anything has to see the metrics.
	LineTags() (tags map[string]string, ok bool)

	// AddLines takes the lines of a number of metrics, and does not keep them.
	AddLines(lines []byte, metrics int)
}

// Start begins to take datagrams; their metrics go to acc, as lines where it takes those.
func (p *Pool) Start(acc telegraf.Accumulator) {
	p.acc, p.lines, p.queues = acc, nil, nil
	if l, ok := acc.(LineAccumulator); ok {
		if tags, ok := l.LineTags(); ok {
			p.lines = l
			p.setLineTags(tags)
		}
	}
	p.startRollups()
	if len(p.workers) > 1 {
		p.queues = collector.NewWorkers(len(p.workers), p.shard,
			func(i int, list []collector.Datagram) { p.workers[i].receive(list) })
	}
}

// Keep begins what goes on beside decoding: vCenter is asked, files are looked at for
// changes, and what is known of the exporters is kept and sent again. It is called after Start, once datagrams come.
func (p *Pool) Keep() {
	if p.opt.VCenter != nil {
		p.opt.VCenter.client.Start()
	}
	if p.opt.Enrichment != nil {
		p.opt.Enrichment.start(p.opt.Log)
	}
	if p.opt.StateFile == "" && !p.opt.Wants.Datagrams {
		return
	}
	done, restored, saved := make(chan struct{}), p.restored, p.saved
	p.done, p.restored = done, nil
	p.wg.Go(func() { p.repeat(done, restored, saved) })
}

// Receive takes datagrams, which it copies; with one worker it decodes them at once. It
// may be called from several goroutines, between Start and Stop.
func (p *Pool) Receive(list []collector.Datagram) {
	if p.queues != nil {
		p.queues.Dispatch(list)
		return
	}
	p.workers[0].receive(list)
}

// Decode returns the metrics of datagrams, decoded in the calling goroutine. They belong
// to the caller.
func (p *Pool) Decode(list []collector.Datagram) (metrics []telegraf.Metric) {
	for len(list) > 0 {
		i := p.shard(&list[0])
		run := 1
		for run < len(list) && p.shard(&list[run]) == i {
			run++
		}
		for some := list[:run]; len(some) > 0; {
			made, n := p.workers[i].decode(some, false)
			metrics = append(metrics, made...)
			clear(made)
			some = some[n:]
		}
		list = list[run:]
	}
	return metrics
}

// Stop waits until all is decoded and emitted, and writes the state file. Nothing is
// emitted after it. Without Start, or again, it does nothing.
func (p *Pool) Stop() {
	if p.queues != nil {
		p.queues.Stop()
	}
	for _, w := range p.workers {
		w.adding.Wait()
	}
	p.stopRollups()
	if p.opt.VCenter != nil {
		p.opt.VCenter.client.Stop()
	}
	if p.opt.Enrichment != nil {
		p.opt.Enrichment.end()
	}
	if p.done != nil {
		close(p.done)
		p.wg.Wait()
		p.done = nil
		p.save(p.known())
	}
}

// Allows says whether the datagrams of an exporter are taken. It may be called from any
// goroutine.
func (p *Pool) Allows(addr netip.Addr) bool { return p.workers[0].decoder.Allows(addr) }

// shard returns the worker of a datagram.
func (p *Pool) shard(dg *collector.Datagram) int {
	return p.workers[0].decoder.Shard(dg, len(p.workers))
}
