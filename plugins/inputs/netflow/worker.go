package netflow

import (
	"encoding/hex"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// maxWorkers bounds the workers: beyond them the agent's own pipeline, which is one
// goroutine, is what limits.
const maxWorkers = 64

// autoWorkers returns how many workers a machine gets: with one or two processors
// one, which needs no queue, else one less than there are.
func autoWorkers() int { return max(1, min(runtime.GOMAXPROCS(0)-1, 8)) }

// worker decodes the datagrams of some of the observation domains.
type worker struct {
	plugin *NetFlow

	busy sync.Mutex // held while datagrams are decoded and their metrics added

	// mu guards the decoder: the worker decodes, Gather reads its counters.
	mu      sync.Mutex
	decoder *collector.Decoder
	builder *flowmetric.Builder
	handler collector.Handler
	at      time.Time         // receipt of the datagram at hand
	batch   []telegraf.Metric // of the datagrams at hand
	panics  uint64

	datagrams flowmetric.DatagramBuilder
}

// newWorker returns a worker. Builders are not safe for concurrent use, so it has
// its own.
func (n *NetFlow) newWorker(d *collector.Decoder, o flowmetric.Options) (*worker, error) {
	b, err := flowmetric.NewBuilder(o)
	if err != nil {
		return nil, err
	}
	w := &worker{plugin: n, decoder: d, builder: b}
	if n.wants.flows {
		w.handler.Flow = w.flow
		w.handler.Counter = w.counter
	}
	if n.wants.options {
		w.handler.Option = w.option
	}
	return w, nil
}

// receive decodes datagrams and emits their metrics. They are added outside the
// lock: adding waits for the outputs, and Gather must not. They are added in a
// row: what reads them is woken once for all of them.
func (w *worker) receive(list []collector.Datagram) {
	w.busy.Lock()
	defer w.busy.Unlock()
	for _, m := range w.decodeAll(list) {
		w.plugin.acc.AddMetric(m)
	}
}

// decodeAll returns the metrics of datagrams; the slice is reused.
func (w *worker) decodeAll(list []collector.Datagram) []telegraf.Metric {
	n := w.plugin
	trace := n.DumpPackets || n.Log.Level().Includes(telegraf.Trace)
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.batch)
	w.batch = w.batch[:0]
	for _, dg := range list {
		if trace {
			n.Log.Tracef("%s: raw data: %s", dg.Exporter, hex.EncodeToString(dg.Payload))
		}
		w.decode(dg)
	}
	return w.batch
}

// decode adds the metrics of a datagram to the batch. A panic, which would end
// the agent, costs the datagram only.
func (w *worker) decode(dg collector.Datagram) {
	defer func() {
		if p := recover(); p != nil {
			if w.panics++; w.panics == 1 {
				w.plugin.Log.Errorf("decoding a datagram of %s failed, please report this: %v; raw data: %s\n%s",
					dg.Exporter, p, hex.EncodeToString(dg.Payload), debug.Stack())
			}
		}
	}()
	w.at = dg.Received
	wants := w.plugin.wants
	if wants.datagrams && len(dg.Payload) > 0 {
		w.batch = append(w.batch, w.datagrams.Metric(dg))
	}
	if !wants.decoding() && !wants.datagrams {
		return
	}
	if err := w.decoder.Decode(dg, w.handler); err != nil {
		w.plugin.Log.Debugf("%v", err)
	}
}

// flow adds a flow to the batch.
func (w *worker) flow(r *flow.Record) {
	w.batch = append(w.batch, w.builder.Flow(r, flowmetric.Timestamp(w.at)))
}

// counter adds a counter record of sFlow to the batch.
func (w *worker) counter(o *flow.CounterRecord) {
	if m := w.builder.Counters(o, flowmetric.Timestamp(w.at)); m != nil {
		w.batch = append(w.batch, m)
	}
}

// option adds an option record to the batch.
func (w *worker) option(o *flow.OptionRecord) {
	w.batch = append(w.batch, w.builder.Option(o, flowmetric.Timestamp(w.at)))
}
