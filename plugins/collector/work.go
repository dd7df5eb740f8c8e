package collector

import (
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

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
	d.takeWork(&d.work)
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

// takeWork takes what came of w into the state of the domain.
func (d *Decoder) takeWork(w *work) {
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
