package collector

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// maxSamplers bounds the rates that are kept for one domain or exporter.
const maxSamplers = 1024

// rates are the sampling rates that option records have told, for a domain or
// for a whole exporter.
type rates struct {
	general uint32            // of all flows
	byID    map[uint64]uint32 // by sampler or selector id
	limited map[limit]uint32  // of some flows
}

// set keeps a rate; 0 is that there is none.
func (s *rates) set(l limit, rate uint32) {
	switch {
	case l == limit{}:
		s.general = rate
	case l.kind == limitNothing:
		s.byID = keepRate(s.byID, l.sampler, rate)
	default:
		s.limited = keepRate(s.limited, l, rate)
	}
}

// keepRate sets a rate in a map, within the bounds; a rate of 0 is taken out.
func keepRate[K comparable](m map[K]uint32, key K, rate uint32) map[K]uint32 {
	if rate == 0 {
		delete(m, key)
		return m
	}
	if m == nil {
		m = map[K]uint32{}
	}
	if _, known := m[key]; known || len(m) < maxSamplers {
		m[key] = rate
	}
	return m
}

// none says whether there is no rate.
func (s *rates) none() bool { return s.general == 0 && len(s.byID) == 0 && len(s.limited) == 0 }

// any returns the rate for flows that name no sampler: the general one, else, unless
// general, that of the only sampler, else 0.
func (s *rates) any(general bool) uint32 {
	if s.general != 0 || general || len(s.byID) != 1 {
		return s.general
	}
	for _, rate := range s.byID {
		return rate
	}
	return 0
}

// card returns the rate that all line cards have, 0 when they differ: flows do not say
// of which they are.
func (s *rates) card() (all uint32) {
	for l, rate := range s.limited {
		if l.kind != limitCard || l.named {
			continue
		}
		if all != 0 && all != rate {
			return 0
		}
		all = rate
	}
	return all
}

// rate sets the sampling rate of r: a configured override, else what the record or
// the header says stays, then the sampler it names, what else is told of flows as it, the
// domain, the exporter, and the configured default. A flow that could name a
// sampler and names none gets no sampler's rate. Events are not sampled.
func (l *lane) rate(w *work, r *flow.Record) {
	dom := w.m.dom
	c := dom.exporter.config
	if unsampled(r) {
		return
	}
	if c == nil || !c.Override {
		if w.sampled && r.SamplingRate == 0 {
			w.rateOf(r, l.opt.MaxRate)
		}
		if r.SamplingRate > l.opt.MaxRate {
			w.doubt(r, float64(r.SamplingRate), l.opt.MaxRate)
		}
		dom.told(w, r)
	}
	if c != nil && c.Rate != 0 && (c.Override || r.SamplingRate == 0) {
		r.SamplingRate, r.SamplingSource = c.Rate, flow.RateConfig
		r.Present.Add(flow.SamplingRate)
	}
}

// rateOf sets the rate that the parameters of a selector in the record itself tell.
func (w *work) rateOf(r *flow.Record, most uint32) {
	var s sampler
	for i := range r.Extra {
		s.take(&r.Extra[i])
	}
	rate, valid := s.rate()
	applied, doubtful := believe(rate, most)
	switch {
	case !valid || doubtful:
		w.doubt(r, rate, most)
	case applied != 0:
		r.SamplingRate, r.SamplingSource = applied, flow.RateRecord
		r.Present.Add(flow.SamplingRate)
	}
}

// doubt counts a rate of a record that cannot be, and sets the one that was meant, where
// that is obvious.
func (w *work) doubt(r *flow.Record, rate float64, most uint32) {
	w.doubts++
	w.doubted = rate
	r.SamplingRate, _ = believe(rate, most)
	if r.SamplingRate == 0 {
		r.SamplingSource = flow.RateUnknown
		r.Present.Remove(flow.SamplingRate)
		return
	}
	r.SamplingSource = flow.RateRecord
	r.Present.Add(flow.SamplingRate)
}

// samples says whether the records of a template tell how they were selected by other
// elements than those with the rate itself.
func samples(t *ipfix.Template) bool {
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.PEN != 0 || f.ID < ie.SelectorAlgorithm || f.ID > ie.FlowSamplingTimeSpacing {
			continue
		}
		for _, id := range paramElements {
			if f.ID == id {
				return true
			}
		}
	}
	return false
}

// unsampled says whether r tells of each event there was: of a firewall, of an address
// translator, or of a packet that sFlow reports as discarded.
func unsampled(r *flow.Record) bool {
	return r.Has(flow.FwEvent) || r.Has(flow.NATEvent) || r.Sample != nil && r.Sample.Kind == flow.SampleDiscarded
}

// learn takes from an option record what decoding needs: sampling rates, names, and
// the start of the exporter.
func (d *Decoder) learn(m *message, o *flow.OptionRecord) {
	dom := m.dom
	var s sampler
	for i := range o.Fields {
		e := &o.Fields[i]
		s.take(e)
		s.takeInterface(e)
		if e.PEN == 0 && e.ID == ie.SystemInitTimeMilliseconds && o.Version == flow.IPFIX {
			dom.uptime.SetBoot(flow.Milli(wire.Uint(e.Value)))
		}
	}
	for i := range o.Scope {
		s.takeScope(&o.Scope[i], o.Version, o.Domain)
		if o.Version == flow.IPFIX {
			s.take(&o.Scope[i])
		}
	}
	dom.learnNames(o)
	if s.told {
		d.learnRate(m, &s)
	}
}

// doubtRate counts rates that cannot be, and tells of the first.
func (d *Decoder) doubtRate(m *message, n uint64, rate float64, applied uint32) {
	s := &m.dom.stats
	s.SamplingRefused += n
	if m.dom.doubted {
		return
	}
	m.dom.doubted = true
	if applied != 0 && rate > float64(d.opt.MaxRate) {
		d.log.say(m.received, "%s, %s domain %d: a sampling rate of %.0f cannot be, it is read as %d, with its bytes "+
			"in the other order: "+
			"set sampling_rate and sampling = \"override\" for this exporter if that is wrong", m.addr,
			m.dom.key.version, m.dom.key.domain, rate, applied)
		return
	}
	d.log.say(m.received, "%s, %s domain %d: what it tells as its sampling rate (%.0f) cannot be one, and is not "+
		"applied: "+
		"set sampling_rate for this exporter if it samples (sampling_refused counts on)", m.addr, m.dom.key.version,
		m.dom.key.domain, rate)
}
