package decoding

import (
	"encoding/hex"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
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

// maxLanes bounds the goroutines that a worker spreads many datagrams over.
const maxLanes = 16

// maxMetrics is about how many metrics a worker holds before it emits them, but for
// those of one datagram. Usually it is all that have come at once; but a record may be
// a byte, and its metric a thousand.
const maxMetrics = 16384

// maxBytes is how many bytes of datagrams become metrics before those are emitted, but
// for the last datagram: a field may be of one byte, so the fields are bounded by it too.
const maxBytes = 256 << 10

// mostMetrics is how many metrics a worker holds at most, but for those of the last set
// or datagram, of at most 65,507 bytes.
const mostMetrics = 4 * maxMetrics

// A worker that has had work for hotAfter, a fifth of the time for which a listener lets
// datagrams gather at most, without a pause as long as coolAfter, does not keep up alone.
const (
	hotAfter  = 80 * time.Millisecond
	coolAfter = time.Millisecond
)

// worker decodes the datagrams of some of the observation domains. Where it does not
// keep up, it lets all processors decode their flows, also those of one domain.
type worker struct {
	pool *Pool

	busy  sync.Mutex // held while datagrams are decoded and their metrics added
	since time.Time  // when work came after a pause
	ended time.Time  // when the last datagrams were done

	// mu guards the decoder: the worker decodes, Gather reads its counters.
	mu      sync.Mutex
	decoder *collector.Decoder
	batch   *collector.Batch
	lanes   []*lane
	metrics []telegraf.Metric // of the datagrams at hand
	lines   flowLines         // of them
	spare   []telegraf.Metric // of those before
	older   flowLines         // of those before
	adding  sync.WaitGroup    // of those before
	panics  atomic.Uint64

	datagrams flowmetric.DatagramBuilder
}

// lane makes the metrics of some of the flows, in one goroutine at a time.
type lane struct {
	builder *flowmetric.Builder
	metrics []telegraf.Metric
	asLines bool      // flows become lines
	lines   flowLines // of them
	sums    *summed   // nil without roll-ups
	tallies *tallies  // nil when nobody wants the quality
}

// newWorker returns a worker.
func (p *Pool) newWorker(d *collector.Decoder) (*worker, error) {
	w := &worker{pool: p, decoder: d}
	w.datagrams.Lost = &p.datagramsLost
	count := 1
	if p.opt.Wants.Flows || p.opt.Wants.Quality || p.opt.Rollups != nil {
		count = min(runtime.GOMAXPROCS(0), maxLanes)
	}
	b := collector.BatchOptions{Joined: func() { w.collect(false) }, Panicked: w.panicked}
	for range count {
		builder, err := flowmetric.NewBuilder(p.opt.Metrics) // not safe for concurrent use
		if err != nil {
			return nil, err
		}
		l := &lane{builder: builder}
		if p.quality != nil {
			l.tallies = newTallies(p.quality.doubts)
		}
		if p.opt.Rollups != nil {
			l.sums = &summed{feeder: p.opt.Rollups.NewFeeder(), both: !p.opt.Decoder.SplitBiflows}
		}
		w.lanes = append(w.lanes, l)
		b.Handlers = append(b.Handlers, p.handler(l))
	}
	w.batch = d.NewBatch(b)
	return w, nil
}

// handler returns what takes what a lane has decoded, as far as it is wanted.
func (p *Pool) handler(l *lane) (h collector.Handler) {
	switch {
	case p.opt.Wants.Flows && l.sums != nil:
		h.Flow = func(r *flow.Record) {
			l.sums.addFlow(r)
			l.flow(r)
		}
	case p.opt.Wants.Flows:
		h.Flow = l.flow
	case l.sums != nil:
		h.Flow = l.sums.addFlow
	}
	if p.opt.Wants.Flows {
		h.Counter = l.counter
	}
	if l.tallies != nil {
		h = l.tallying(h)
	}
	if p.opt.Wants.Options {
		h.Option = l.option
	}
	return h
}

// tallying returns a handler that counts what the quality needs, besides.
func (l *lane) tallying(h collector.Handler) collector.Handler {
	flows, counters := h.Flow, h.Counter
	h.Flow = func(r *flow.Record) {
		l.tallies.flow(r)
		if flows != nil {
			flows(r)
		}
	}
	h.Counter = func(o *flow.CounterRecord) {
		l.tallies.counter(o)
		if counters != nil {
			counters(o)
		}
	}
	return h
}

// receive decodes datagrams and emits their metrics. They are added outside the
// lock: adding waits for the outputs, and Gather must not. They are added in a
// row: what reads them is woken once for all of them. A worker that does not keep up
// decodes the next datagrams while it adds the metrics of these.
func (w *worker) receive(list []collector.Datagram) {
	w.busy.Lock()
	defer w.busy.Unlock()
	now := time.Now()
	if now.Sub(w.ended) > coolAfter {
		w.since = now
	}
	hot := now.Sub(w.since) > hotAfter
	w.batch.Spread(hot)
	for len(list) > 0 {
		metrics, n := w.decode(list, w.pool.lines != nil)
		lines := w.lines
		list = list[n:]
		w.adding.Wait() // of the metrics before
		if hot {
			w.adding.Go(func() { w.emit(metrics, lines) })
		} else {
			w.emit(metrics, lines)
		}
	}
	w.ended = time.Now()
}

// emit adds metrics, and flows that are lines.
func (w *worker) emit(metrics []telegraf.Metric, lines flowLines) {
	if lines.count > 0 {
		w.pool.lines.AddLines(lines.text, lines.count)
	}
	for _, m := range metrics {
		w.pool.acc.AddMetric(m)
	}
	clear(metrics)
}

// decode returns the metrics of datagrams, and of how many from the first. The slice is
// used again by the call after the next, and must be cleared by then. Where flows become
// lines, those are in w.lines as long.
func (w *worker) decode(list []collector.Datagram, asLines bool) (metrics []telegraf.Metric, n int) {
	log := w.pool.opt.Log
	trace := w.pool.opt.Trace || log.Level().Includes(telegraf.Trace)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.metrics, w.spare = w.spare[:0], w.metrics
	w.lines, w.older = w.older.empty(), w.lines
	for _, l := range w.lanes {
		l.asLines = asLines
	}
	if p := w.pool; p.opt.Rollups != nil {
		p.opt.Rollups.Begin()
		defer w.summed()
	}
	for size := 0; n < len(list) && w.held() < maxMetrics && size < maxBytes; n++ {
		dg := list[n]
		size += len(dg.Payload)
		if trace {
			log.Tracef("%s: raw data: %s", dg.Exporter, hex.EncodeToString(dg.Payload))
		}
		w.addDatagram(dg)
	}
	w.batch.Run()
	w.collect(true)
	if flowmetric.ClockRestarts() > 0 && w.pool.clockTold.CompareAndSwap(false, true) {
		log.Warnf("the clock of this machine was ahead by more than a minute and has been set back: points made " +
			"meanwhile are in the future, " +
			"and the times begin anew (clock_restarts counts on); let it be set by NTP before the agent starts")
	}
	return w.metrics, n
}

// summed ends what the lanes have summed up.
func (w *worker) summed() {
	for _, l := range w.lanes {
		l.sums.feeder.Flush()
	}
	w.pool.opt.Rollups.End()
}

// held returns about how many metrics the datagrams at hand have and will have.
func (w *worker) held() int {
	held := len(w.metrics) + w.lines.count + w.batch.Records()
	for _, l := range w.lanes {
		held += len(l.metrics) + l.lines.count
	}
	return held
}

// collect takes over what the lanes have made. More than mostMetrics, of records of a few
// bytes, it emits itself: Gather then waits for the outputs, which is better than to run
// out of memory. Unless it is the last time, lines stay with the first lane while no other
// has any: there the next ones come behind them, and nothing is copied.
func (w *worker) collect(last bool) {
	for _, l := range w.lanes {
		w.metrics = append(w.metrics, l.metrics...)
		clear(l.metrics)
		l.metrics = l.metrics[:0]
	}
	most := len(w.metrics)+w.lines.count+w.lanes[0].lines.count > mostMetrics
	if last || most || slices.ContainsFunc(w.lanes[1:], func(l *lane) bool { return l.lines.count > 0 }) {
		for _, l := range w.lanes {
			w.lines.takeLines(&l.lines)
		}
	}
	if len(w.metrics)+w.lines.count > mostMetrics {
		w.adding.Wait()
		w.emit(w.metrics, w.lines)
		w.metrics, w.lines = w.metrics[:0], w.lines.empty()
	}
}

// addDatagram takes a datagram into the batch. A panic, which would end the agent, costs the
// datagram only.
func (w *worker) addDatagram(dg collector.Datagram) {
	defer func() {
		if p := recover(); p != nil {
			w.panicked(dg.Exporter, dg.Payload, p, debug.Stack())
		}
	}()
	wants := w.pool.opt.Wants
	if w.decoder.Screen(&dg) && wants.Datagrams && len(dg.Payload) > 0 {
		w.datagrams.Bytes = w.pool.opt.DatagramBytes
		w.metrics = append(w.metrics, w.datagrams.Metric(w.pool.opt.VCenter.tell(dg)))
	}
	if !w.pool.opt.decoding() && !wants.Datagrams {
		return
	}
	if err := w.batch.Add(dg); err != nil {
		w.pool.opt.Log.Debugf("%v", err)
	}
}

// panicked counts a defect, and tells of the first.
func (w *worker) panicked(exporter netip.AddrPort, raw []byte, p any, stack []byte) {
	if w.panics.Add(1) == 1 {
		w.pool.opt.Log.Errorf("decoding a datagram of %s failed, please report this: %v; raw data: %s\n%s",
			exporter, p, hex.EncodeToString(raw), stack)
	}
}

// flow makes the metric of a flow, or its line.
func (l *lane) flow(r *flow.Record) {
	at := flowmetric.Timestamp(r.Received.Time())
	if l.asLines {
		text := l.builder.AppendFlow(l.lines.text, r, at)
		if len(text) > len(l.lines.text) {
			l.lines.count++
		}
		l.lines.text = text
		return
	}
	l.metrics = append(l.metrics, l.builder.Flow(r, at))
}

// counter makes the metric of a counter record of sFlow.
func (l *lane) counter(o *flow.CounterRecord) {
	if m := l.builder.Counters(o, flowmetric.Timestamp(o.Received.Time())); m != nil {
		l.metrics = append(l.metrics, m)
	}
}

// option makes the metric of an option record.
func (l *lane) option(o *flow.OptionRecord) {
	l.metrics = append(l.metrics, l.builder.Option(o, flowmetric.Timestamp(o.Received.Time())))
}
