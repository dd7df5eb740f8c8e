package collector

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// lane is what a goroutine decodes data records with: the memory that one record
// leaves to the next. A Decoder has one, a Batch one for each of its goroutines.
type lane struct {
	opt     *Options
	handler Handler

	rec     ipfix.RecordDecoder
	flow    flow.Record
	reverse flow.Record // of a biflow
	outer   flow.Record // with OuterFlows
	names   flow.Names
	inner   inner
	counter flow.CounterRecord
	samples sflow.Decoder
	running running // of the decoder's own lane
}

// work is the data records of a set, or of a datagram that has no sets, and what came
// of them. To do it reads the state of the domain and changes nothing there: take
// does that.
type work struct {
	m    *message
	body []byte

	template *ipfix.Template // of a set
	fixed    *fixed          // of NetFlow v1, v5 or v7
	packets  sflow.Samples   // of sFlow: those in body

	later bool         // done by a Batch
	clock ipfix.Uptime // the exporter's, for a Batch

	flows     uint32
	counters  uint64
	uncounted uint64
	repairs   uint64
	plain     bool    // most of its records are only counted and given: see plain
	sampled   bool    // its records tell how they were selected
	doubts    uint64  // sampling rates that cannot be
	doubted   float64 // the last of them
	cardless  bool    // flows have no rate, as their line card is not known
	rate      uint32  // sampling rate of the last flow that had one
	skipped   uint64  // samples, and records in them, of formats that are not known
	failures  uint64
	failure   error // the first
	unsure    bool  // records were not decoded, so their number is unknown
}

// fail notes an error.
func (w *work) fail(err error) {
	if w.failures++; w.failures == 1 {
		w.failure = err
	}
}

// newLane returns a lane for a decoder with some options.
func newLane(o *Options) *lane {
	l := &lane{opt: o}
	l.rec.Templates = &l.inner
	return l
}

// do decodes the records of w.
func (l *lane) do(w *work) {
	if w.m.base != &l.rec.Base {
		l.rec.Base = *w.m.base
	}
	w.sampled = w.template != nil && w.template.Selects()
	w.plain = l.plain(w)
	switch {
	case w.template != nil:
		l.set(w)
	case w.fixed != nil:
		l.records(w)
	default:
		l.packets(w)
	}
}

// set decodes the records of a set.
func (l *lane) set(w *work) {
	t, body := w.template, w.body
	l.rec.Uptime = &w.m.dom.uptime
	if w.later {
		l.rec.Uptime = &w.clock
	}
	if t.Lists() {
		l.inner = inner{w.m.dom, w.m.port}
	}
	for first := true; len(body) >= t.MinLength(); first = false {
		n, err := 0, error(nil)
		if first {
			n, err = l.rec.Decode(t, &l.flow, body)
		} else {
			n, err = l.rec.Next(t, &l.flow, body)
		}
		if err != nil {
			w.fail(err)
			w.unsure = true
			return
		}
		body = body[n:]
		if t.Lists() && l.rec.ListErr() != nil {
			w.fail(l.rec.ListErr())
		}
		l.emit(w)
		if l.handler.Flow == nil && t.FixedSize() {
			w.flows += uint32(len(body) / t.MinLength())
			return
		}
	}
}

// records decodes the records of NetFlow v1, v5 or v7.
func (l *lane) records(w *work) {
	size := w.fixed.record
	netflow.Begin(&l.flow, &l.rec.Base)
	for b := w.body; len(b) >= size; b = b[size:] {
		w.fixed.decode(&l.flow, b[:size])
		l.emit(w)
		if l.handler.Flow == nil {
			w.flows += uint32(len(b)/size - 1)
			break
		}
		netflow.Continue(&l.flow, &l.rec.Base)
	}
}

// packets decodes the samples of an sFlow datagram.
func (l *lane) packets(w *work) {
	skipped := l.samples.Skipped
	for {
		s, ok := w.packets.Next()
		if !ok {
			break
		}
		var err error
		switch s.Format {
		case sflow.FlowSample, sflow.ExpandedFlowSample, sflow.DiscardedPacket:
			if err = l.samples.Flow(&l.flow, &l.rec.Base, &w.m.sflow, s); err == nil || l.flow.Has(flow.Packets) {
				l.emit(w)
			}
		case sflow.CounterSample, sflow.ExpandedCounterSample:
			err = l.counters(w, s)
		default:
			w.skipped++
		}
		if err != nil {
			w.fail(err)
		}
	}
	w.skipped += l.samples.Skipped - skipped
	if err := w.packets.Err(); err != nil {
		w.fail(err)
	}
}

// counters decodes a counter sample, where anybody wants it.
func (l *lane) counters(w *work, s sflow.Sample) error {
	w.counters++
	if l.handler.Counter == nil {
		return nil
	}
	o := &l.counter
	o.Exporter, o.ExporterPort, o.Received = w.m.addr, w.m.port, w.m.received
	return l.samples.Counters(o, &w.m.sflow, s, l.handler.Counter)
}

// plain says whether there is nothing to add to the flows of w but for some: nobody has
// said anything of the exporter, neither its option records nor the configuration.
func (l *lane) plain(w *work) bool {
	exp := w.m.dom.exporter
	return exp.config == nil && l.opt.Enrich == nil && !w.sampled &&
		(w.template == nil || !w.template.CountsTotals()) &&
		!exp.known.hasRates.Load() && !exp.known.hasNames.Load()
}

// special are the fields of flows that are not only counted and given, but looked at
// more closely.
var special = flow.SetOf(flow.TimeRepair, flow.FwEvent, flow.NATEvent, flow.OutBytes, flow.OutPackets,
	flow.RevBytes, flow.RevPackets, flow.TunSrc)

// emit completes the flow at hand and gives it to the handler.
func (l *lane) emit(w *work) {
	r, dom := &l.flow, w.m.dom
	if w.plain && !r.Present.Meets(special) && r.SamplingRate <= l.opt.MaxRate && r.RevBytes|r.RevPackets == 0 {
		w.flows++
		if r.SamplingRate != 0 {
			w.rate = r.SamplingRate
		}
		if l.handler.Flow != nil {
			l.handler.Flow(r)
		}
		return
	}
	l.rate(w, r)
	if r.SamplingRate != 0 {
		w.rate = r.SamplingRate
	}
	if r.Has(flow.TimeRepair) {
		w.repairs++
	}
	w.flows++
	if l.handler.Flow == nil {
		return
	}
	if w.template != nil && w.template.CountsTotals() {
		l.running.difference(dom, r, w.template.Totals())
	}
	reversed := (r.Has(flow.OutBytes) || r.Has(flow.OutPackets)) && dom.outCounters(r)
	if c := dom.exporter.config; c != nil && !c.Count.Counts(r) {
		w.uncounted++
		return
	}
	if l.opt.OuterFlows && r.Sample == nil && r.Has(flow.TunSrc) {
		outerFlow(r, &l.outer)
		r = &l.outer
	}
	if !l.opt.SplitBiflows || !isBiflow(r) {
		l.give(w, r)
	} else {
		split(r, &l.reverse)
		l.give(w, r)
		l.give(w, &l.reverse)
	}
	if reversed { // the next record does not set them
		l.flow.RevBytes, l.flow.RevPackets = 0, 0
	}
}

// give gives a flow to the handler, with the names of its numbers and a sampling rate
// that comes with them.
func (l *lane) give(w *work, r *flow.Record) {
	l.join(w.m.dom, r)
	if r.SamplingRate != 0 {
		w.rate = r.SamplingRate
	}
	l.handler.Flow(r)
}

// assign lets the batch at hand do w, or does it now.
func (d *Decoder) assign(w work) {
	if d.batch != nil && !w.sequential() {
		w.later, w.clock = true, w.m.dom.uptime
		d.batch.works = append(d.batch.works, w)
		d.batch.records += w.records()
		return
	}
	d.settle()
	d.work = w
	d.own.do(&d.work)
	d.take(&d.work)
}

// sampleSize is about the fewest bytes that a sample of sFlow has.
const sampleSize = 64

// records returns about how many records w has, mostly too many.
func (w *work) records() int {
	switch {
	case w.template != nil:
		return len(w.body) / w.template.MinLength()
	case w.fixed != nil:
		return len(w.body) / w.fixed.record
	}
	return len(w.body) / sampleSize
}

// sequential says whether w is done at its turn only, as it can change what later records
// depend on: the exporter's clock, or the running totals of its flows.
func (w *work) sequential() bool {
	return w.template != nil && (w.template.MovesClock(&w.m.dom.uptime) || w.template.CountsTotals())
}

// take takes what came of w into the state of the domain.
func (d *Decoder) take(w *work) {
	m, s := w.m, &w.m.dom.stats
	m.flows += w.flows
	m.unsure = m.unsure || w.unsure
	s.Flows += uint64(w.flows)
	if w.flows > 0 && w.template != nil && !m.dom.isProven {
		d.prove(m.dom)
	}
	s.Counters += w.counters
	s.Uncounted += w.uncounted
	s.UnknownFormats += w.skipped
	s.TimeRepairs += w.repairs
	if w.rate != 0 {
		s.SamplingRate = w.rate
	}
	if w.doubts > 0 {
		applied, _ := believe(w.doubted, d.opt.MaxRate, m.dom.key.version)
		d.doubtRate(m, w.doubts, w.doubted, applied)
	}
	if w.cardless {
		d.tellCardless(m)
	}
	if w.failures > 0 {
		d.fail(m, w.failure)
		s.DecodeErrors += w.failures - 1
	}
}

// end ends a datagram: its sequence number is checked once its records are decoded.
func (d *Decoder) end(m *message) {
	if d.batch == nil {
		d.checkSequence(m)
		return
	}
	d.batch.ended = append(d.batch.ended, m)
}

// checkSequence compares the sequence number of a datagram, whose records are decoded,
// with what the exporter has sent before.
func (d *Decoder) checkSequence(m *message) {
	dom := m.dom
	if dom.key.version == flow.IPFIX {
		dom.exporter.known.flows.Add(uint64(m.flows))
	}
	if d.opt.TemplatesOnly || m.past {
		return
	}
	if dom.key.version == flow.V1 { // which has no sequence numbers
		return
	}
	s, stats := dom.sequence(m), &dom.stats
	switch dom.key.version {
	case flow.V5, flow.V7:
		s.take(stats, m.sequence, sent{flows: m.count})
	case flow.V9, flow.IPFIX:
		s.take(stats, m.sequence, sent{m.flows, m.options, m.templates, m.unsure})
	case flow.SFlow:
		s.datagrams(stats, m.sequence)
	}
}
