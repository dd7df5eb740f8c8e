package collector

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// heard is where to look for the rate of a flow, in this order: what its own source port
// has told, what its domain, and what its exporter in whatever domain.
type heard struct {
	port, own *rates
	shared    *knowledge // nil is nothing
	number    uint16     // of the port
}

// noRates is what a port has told that has told nothing.
var noRates rates

// setRate sets the sampling rate of r that the exporter has told. Where its source ports
// contradict each other, a port that tells rates is an exporter of its own.
func (dom *domain) setRate(w *work, r *flow.Record) {
	shared := dom.exporter.known
	if r.SamplingRate != 0 || !shared.hasRates.Load() {
		return
	}
	h := heard{port: &noRates, own: &dom.rates, shared: shared, number: w.m.port}
	rate, source := uint32(0), flow.RateUnknown
	if len(dom.tellers) > 1 {
		if t := dom.teller(w.m.port); t != nil {
			h.port = &t.rates
			if dom.contradicted {
				rate, source = heard{port: &noRates, own: &t.rates}.rate(w, r, shared.namesSamplers.Load())
				if rate == 0 && t.rates.none() {
					return // it has told that it leaves nothing out
				}
			}
		}
	}
	if rate == 0 {
		rate, source = h.rate(w, r, shared.namesSamplers.Load())
	}
	if rate != 0 {
		r.SamplingRate, r.SamplingSource = rate, source
		r.Present.Add(flow.SamplingRate)
	}
}

// rate returns the rate of r, 0 when there is none: that of the sampler it names, else
// that of flows as it, else the general one. With names its exporter's flows name their
// samplers.
func (h heard) rate(w *work, r *flow.Record, names bool) (rate uint32, source flow.RateSource) {
	named := r.Has(flow.SamplerID)
	limited := len(h.port.limited) > 0 || len(h.own.limited) > 0 || h.shared != nil && h.shared.hasLimits.Load()
	if named && limited {
		rate = h.limitedRate(w, r, true)
	}
	if named && rate == 0 {
		rate = h.sampler(r.SamplerID)
	}
	if rate != 0 {
		return rate, flow.RateSelector
	}
	if limited {
		rate = h.limitedRate(w, r, false)
	}
	if rate == 0 {
		rate = h.any(named || names)
	}
	if rate == 0 && limited {
		differ := false
		rate, differ = h.card()
		w.cardless = w.cardless || differ
	}
	return rate, flow.RateDomain
}

// card returns the rate that all line cards have; differ says that they have several.
func (h *heard) card() (rate uint32, differ bool) {
	if rate, differ = h.port.card(); rate != 0 || differ {
		return rate, differ
	}
	if rate, differ = h.own.card(); rate != 0 || differ || h.shared == nil {
		return rate, differ
	}
	return h.shared.cardRate(h.number)
}

// hasCards says whether a rate is limited to a line card.
func (h *heard) hasCards() bool {
	return h.port.hasCards || h.own.hasCards || h.shared != nil && h.shared.hasCards.Load()
}

// cardOf returns the line card that a flow names, by itself or by its interface (see
// learnCard); 0 when it is not known.
func (h *heard) cardOf(r *flow.Record, iface uint32) uint64 {
	for i := range r.Extra {
		if e := &r.Extra[i]; e.PEN == 0 && e.ID == ie.LineCardId && e.Nth == 0 {
			return wire.Uint(e.Value)
		}
	}
	if r.EngineID != 0 && r.Has(flow.EngineID) {
		return uint64(r.EngineID)
	}
	if h.shared != nil {
		return uint64(h.shared.card(iface))
	}
	return 0
}

// sampler returns the rate of a sampler.
func (h *heard) sampler(id uint64) (rate uint32) {
	if rate = h.port.byID[id]; rate == 0 {
		rate = h.own.byID[id]
	}
	if rate == 0 && h.shared != nil {
		rate = h.shared.rate(h.number, id)
	}
	return rate
}

// limited returns the rate of some flows.
func (h *heard) limited(l limit) (rate uint32) {
	if rate = h.port.limited[l]; rate == 0 {
		rate = h.own.limited[l]
	}
	if rate == 0 && h.shared != nil {
		rate = h.shared.limitedRate(h.number, l)
	}
	return rate
}

// any returns the rate of flows that name no sampler; with general never that of one.
func (h *heard) any(general bool) (rate uint32) {
	if rate = h.port.any(general); rate == 0 {
		rate = h.own.any(general)
	}
	if rate == 0 && h.shared != nil {
		rate = h.shared.anyRate(h.number, general)
	}
	return rate
}

// limitedRate returns the rate announced for flows like r, the narrowest one, 0 when there
// is none: with named of those that r's sampler has taken.
func (h *heard) limitedRate(w *work, r *flow.Record, named bool) uint32 {
	find := func(kind limitKind, id uint64) uint32 {
		l := limit{kind: kind, id: id, named: named}
		if named {
			l.sampler = r.SamplerID
		}
		return h.limited(l)
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
	if rate == 0 && h.hasCards() {
		iface := r.Input
		if egress {
			iface = r.Output
		}
		if card := h.cardOf(r, iface); card != 0 {
			rate = find(limitCard, card)
		}
	}
	if rate == 0 {
		rate = find(limitDomain, uint64(w.m.dom.key.domain))
	}
	return rate
}
