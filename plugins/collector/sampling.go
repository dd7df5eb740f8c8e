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

// any returns the rate for flows that name no sampler: the general one, else
// that of the only sampler, else 0.
func (s *rates) any() uint32 {
	if s.general != 0 || len(s.byID) != 1 {
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

// told sets the sampling rate of r that the exporter has told.
func (dom *domain) told(w *work, r *flow.Record) {
	if r.SamplingRate != 0 {
		return
	}
	own, shared := &dom.rates, dom.exporter.known
	if !shared.hasRates.Load() {
		return
	}
	named := r.Has(flow.SamplerID)
	limited := len(own.limited) > 0 || shared.hasLimits.Load()
	rate, source := uint32(0), flow.RateSelector
	if named && limited {
		rate = dom.limitedRate(w, r, true)
	}
	if named && rate == 0 {
		if rate = own.byID[r.SamplerID]; rate == 0 {
			rate = shared.rate(r.SamplerID)
		}
	}
	if rate == 0 {
		source = flow.RateDomain
		if limited {
			rate = dom.limitedRate(w, r, false)
		}
	}
	names := named || shared.namesSamplers.Load()
	if rate == 0 && names {
		rate = own.general
	} else if rate == 0 {
		rate = own.any()
	}
	if rate == 0 {
		rate = shared.anyRate(names)
	}
	if rate == 0 && limited {
		rate = own.card()
	}
	if rate != 0 {
		r.SamplingRate, r.SamplingSource = rate, source
		r.Present.Add(flow.SamplingRate)
	}
}

// limitedRate returns the rate that is told of flows as r, the narrowest one, 0 when there
// is none: with named of those that r's sampler has taken.
func (dom *domain) limitedRate(w *work, r *flow.Record, named bool) uint32 {
	find := func(kind limitKind, id uint64) uint32 {
		l := limit{kind: kind, id: id, named: named}
		if named {
			l.sampler = r.SamplerID
		}
		if rate := dom.rates.limited[l]; rate != 0 {
			return rate
		}
		return dom.exporter.known.limitedRate(l)
	}
	egress := r.Has(flow.Direction) && r.Direction == 1
	rate := uint32(0)
	if egress {
		if rate = find(limitEgress, uint64(r.Output)); rate == 0 {
			rate = find(limitInterface, uint64(r.Output))
		}
	} else {
		rate = find(limitInterface, uint64(r.Input))
		if rate == 0 && !r.Has(flow.Direction) {
			rate = find(limitEgress, uint64(r.Output))
		}
	}
	if rate == 0 && r.ObservationPoint != 0 {
		rate = find(limitPoint, r.ObservationPoint)
	}
	if rate == 0 && w.template != nil {
		rate = find(limitTemplate, uint64(w.template.ID))
	}
	if rate == 0 {
		rate = find(limitDomain, uint64(dom.key.domain))
	}
	return rate
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

// announced is what a domain's exporter has told of one rate.
type announced struct {
	rate   uint32 // the latest
	trust  int8   // announcements that are still needed before it is believed
	rises  uint8  // in a row
	steady uint8  // announcements of the same, in a row
}

const (
	wantedTrust = 3 // equal announcements in a row, of an exporter that told nonsense
	manyRises   = 3 // as of a counter
	longSteady  = 8 // announcements after which a change is a change
)

// learnRate takes a rate as far as it is to be believed.
func (d *Decoder) learnRate(m *message, s *sampler) {
	dom := m.dom
	a, known := dom.announced[s.limit]
	if !known && len(dom.announced) >= maxSamplers {
		return
	}
	rate, valid := s.rate()
	applied, doubtful := believe(rate, d.opt.MaxRate)
	before := a
	switch {
	case !valid || doubtful && applied == 0:
		a = announced{trust: wantedTrust}
	default:
		a.announce(applied)
	}
	if dom.announced == nil {
		dom.announced = map[limit]announced{}
	}
	if !known {
		d.grow(dom, announcedSize)
	}
	dom.announced[s.limit] = a
	if doubtful || a.trust > 0 {
		d.doubtRate(m, 1, rate, applied)
	}
	if a.trust > 0 {
		applied = 0
	}
	if known && a.rate == before.rate && a.trust == before.trust {
		return
	}
	dom.rates.set(s.limit, applied)
	dom.exporter.known.setRate(s.limit, applied, dom.key.domain)
}

// announcedSize is about what an announced rate takes in memory, in bytes.
const announcedSize = 160

// announce takes an announcement. Numbers that rise and rise are no rate.
func (a *announced) announce(rate uint32) {
	switch {
	case a.trust > 0 && a.rate == rate:
		a.trust--
	case a.trust > 0:
		a.rate, a.trust = rate, wantedTrust
	case rate == a.rate:
		if a.steady++; a.steady >= longSteady {
			a.rises, a.steady = 0, 0
		}
	case rate > a.rate && a.rate > 1:
		a.rate, a.steady = rate, 0
		if a.rises++; a.rises >= manyRises {
			a.rises, a.trust = 0, wantedTrust
		}
	default:
		a.rate, a.steady, a.rises = rate, 0, 0
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
		d.log.say(m.received, "%s, %s domain %d: a sampling rate of %.0f cannot be, it is read as %d, with its bytes in the other order: "+
			"set sampling_rate and sampling = \"override\" for this exporter if that is wrong", m.addr, m.dom.key.version, m.dom.key.domain, rate, applied)
		return
	}
	d.log.say(m.received, "%s, %s domain %d: what it tells as its sampling rate (%.0f) cannot be one, and is not applied: "+
		"set sampling_rate for this exporter if it samples (sampling_refused counts on)", m.addr, m.dom.key.version, m.dom.key.domain, rate)
}
