package collector

import (
	"math"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
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

	hasCards    bool   // some of limited are of line cards
	cards       uint32 // the rate that all line cards have, else 0
	cardsDiffer bool
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
		if l.kind == limitCard {
			s.compareCards()
		}
	}
}

// compareCards looks whether all line cards have the same rate: flows mostly do not say of
// which they are.
func (s *rates) compareCards() {
	s.hasCards, s.cards, s.cardsDiffer = false, 0, false
	for l, rate := range s.limited {
		if l.kind != limitCard {
			continue
		}
		if s.hasCards = true; l.named {
			continue
		}
		if s.cards != 0 && s.cards != rate {
			s.cards, s.cardsDiffer = 0, true
			return
		}
		s.cards = rate
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

// card returns the rate that all line cards have, 0 when there is none; differ says that
// they have several.
func (s *rates) card() (rate uint32, differ bool) { return s.cards, s.cardsDiffer }

// rate sets the sampling rate of r: a configured override, else what the record or
// the header says stays, then the sampler it names, what else is announced for flows like it, the
// domain, the exporter, and the configured default. A flow that could name a
// sampler and names none gets no sampler's rate. Events are not sampled.
func (l *lane) rate(w *work, r *flow.Record) {
	dom := w.m.dom
	c := dom.exporter.config
	if unsampled(r) {
		return
	}
	if c == nil || !c.Override {
		if w.sampled {
			w.rateOf(r, l.opt.MaxRate)
		}
		if r.SamplingRate > l.opt.MaxRate {
			w.doubt(r, float64(r.SamplingRate), l.opt.MaxRate)
		}
		dom.setRate(w, r)
	}
	if c != nil && c.Rate != 0 && (c.Override || r.SamplingRate == 0) {
		r.SamplingRate, r.SamplingSource = c.Rate, flow.RateConfig
		r.Present.Add(flow.SamplingRate)
	}
}

// rateOf sets the rate that the parameters of a selector in the record itself tell, where
// it does not tell the rate itself; and takes that away where its method does not exist.
func (w *work) rateOf(r *flow.Record, most uint32) {
	var s sampler
	for i := range r.Extra {
		s.takeElement(&r.Extra[i])
	}
	rate, valid := s.rate()
	applied, doubtful := believe(rate, most, w.m.dom.key.version)
	switch {
	case !valid && s.tells:
		w.refuse(r, max(rate, float64(r.SamplingRate)))
	case r.SamplingRate != 0:
	case doubtful:
		w.doubt(r, rate, most)
	case applied != 0:
		r.SamplingRate, r.SamplingSource = applied, flow.RateRecord
		r.Present.Add(flow.SamplingRate)
	}
}

// refuse counts a rate of a record that cannot be, and takes it away.
func (w *work) refuse(r *flow.Record, rate float64) {
	w.doubts++
	w.doubted = rate
	r.SamplingRate, r.SamplingSource = 0, flow.RateUnknown
	r.Present.Remove(flow.SamplingRate)
}

// doubt does what refuse does, and sets the rate that was meant, where that is obvious.
func (w *work) doubt(r *flow.Record, rate float64, most uint32) {
	w.refuse(r, rate)
	if meant, _ := believe(rate, most, w.m.dom.key.version); meant != 0 {
		r.SamplingRate, r.SamplingSource = meant, flow.RateRecord
		r.Present.Add(flow.SamplingRate)
	}
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
	dom.learnCard(o)
	for i := range o.Fields {
		e := &o.Fields[i]
		s.takeElement(e)
		s.takeInterface(e)
		if e.PEN == 0 && e.ID == ie.SystemInitTimeMilliseconds && o.Version == flow.IPFIX {
			dom.uptime.SetBoot(flow.Milli(wire.Uint(e.Value)))
		}
	}
	for i := range o.Scope {
		s.takeScope(&o.Scope[i], o.Version, o.Domain)
		if o.Version == flow.IPFIX {
			s.takeElement(&o.Scope[i])
		}
	}
	dom.learnNames(o)
	if s.tells {
		d.learnRate(m, &s, o.TemplateID)
	}
}

// learnCard takes from an option record on which line card an interface is, where it has
// both: as a scope, or as a field.
func (dom *domain) learnCard(o *flow.OptionRecord) {
	iface, card := uint64(0), uint64(0)
	take := func(e *flow.Element, id uint16) {
		switch {
		case e.PEN != 0 || len(e.Value) == 0:
		case id == ie.LineCardId || id == ie.EngineId:
			card = wire.Uint(e.Value)
		case id == ie.IngressInterface || id == ie.IngressPhysicalInterface:
			iface = wire.Uint(e.Value)
		}
	}
	for i := range o.Scope {
		e := &o.Scope[i]
		id := e.ID
		if o.Version == flow.V9 && id <= scopeTemplate {
			id = v9Scopes[id]
		}
		take(e, id)
	}
	for i := range o.Fields {
		take(&o.Fields[i], o.Fields[i].ID)
	}
	if iface == 0 || card == 0 || iface > math.MaxUint32 || card > math.MaxUint32 {
		return
	}
	if dom.decoder.affords(dom.account, cardSize) {
		dom.chargeNames(dom.exporter.known.setCard(uint32(iface), uint32(card)))
	}
}

// tellCardless tells of the first flow that has no rate, as its line card is not known and
// the rates of the cards differ.
func (d *Decoder) tellCardless(m *message) {
	if m.dom.cardless {
		return
	}
	m.dom.cardless = true
	d.log.say(m.now, "%s, %s domain %d: its line cards sample at different rates, and its flows do not say of "+
		"which card they are: their counters are as sent: set sampling_rate for this exporter, or let it tell the "+
		"rates by interface", m.addr, m.dom.key.version, m.dom.key.domain)
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
		d.log.say(m.now, "%s, %s domain %d: a sampling rate of %.0f cannot be, it is read as %d, with its bytes "+
			"in the other order: "+
			"set sampling_rate and sampling = \"override\" for this exporter if that is wrong", m.addr,
			m.dom.key.version, m.dom.key.domain, rate, applied)
		return
	}
	d.log.say(m.now, "%s, %s domain %d: what it tells as its sampling rate (%.0f) cannot be one, and is not "+
		"applied: "+
		"set sampling_rate for this exporter if it samples (sampling_refused counts on)", m.addr, m.dom.key.version,
		m.dom.key.domain, rate)
}
