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
