package collector

import (
	"math"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// maxSamplers bounds the samplers that are kept for one domain or exporter.
const maxSamplers = 256

// rates are the sampling rates that option records have told, for a domain or
// for a whole exporter.
type rates struct {
	general uint32            // without a sampler id
	byID    map[uint64]uint32 // by sampler or selector id
}

// set keeps a rate. An id of 0 without named is the general one.
func (s *rates) set(id uint64, named bool, rate uint32) {
	if !named {
		s.general = rate
		return
	}
	if s.byID == nil {
		s.byID = map[uint64]uint32{}
	}
	if _, known := s.byID[id]; known || len(s.byID) < maxSamplers {
		s.byID[id] = rate
	}
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

// rate sets the sampling rate of r: a configured override, else what the record or
// the header says stays, then the sampler it names, the domain, the exporter, and
// the configured default. A flow that could name a
// sampler and names none gets no sampler's rate. Events are not sampled.
func (dom *domain) rate(r *flow.Record) {
	c := dom.exporter.config
	if c == nil || c.Rate == 0 || unsampled(r) {
		dom.told(r)
		return
	}
	if !c.Override {
		dom.told(r)
	}
	if c.Override || r.SamplingRate == 0 {
		r.SamplingRate, r.SamplingSource = c.Rate, flow.RateConfig
		r.Present.Add(flow.SamplingRate)
	}
}

// unsampled says whether r tells of each event there was: of a firewall, of an address
// translator, or of a packet that sFlow reports as discarded.
func unsampled(r *flow.Record) bool {
	return r.Has(flow.FwEvent) || r.Has(flow.NATEvent) || r.Sample != nil && r.Sample.Kind == flow.SampleDiscarded
}

// told sets the sampling rate of r that the exporter has told.
func (dom *domain) told(r *flow.Record) {
	if r.SamplingRate != 0 || unsampled(r) {
		return
	}
	own, shared := &dom.rates, dom.exporter.known
	if !shared.hasRates.Load() {
		return
	}
	if r.SamplerID != 0 {
		rate := own.byID[r.SamplerID]
		if rate == 0 {
			rate = shared.rate(r.SamplerID)
		}
		if rate != 0 {
			r.SamplingRate, r.SamplingSource = rate, flow.RateSelector
			r.Present.Add(flow.SamplingRate)
			return
		}
	}
	rate := own.general
	if !r.Has(flow.SamplerID) {
		rate = own.any()
	}
	if rate == 0 {
		rate = shared.anyRate(r.Has(flow.SamplerID))
	}
	if rate != 0 {
		r.SamplingRate, r.SamplingSource = rate, flow.RateDomain
		r.Present.Add(flow.SamplingRate)
	}
}

// learn takes from an option record what decoding needs: sampling rates, names, and
// the start of the exporter.
func (dom *domain) learn(o *flow.OptionRecord) {
	var s sampler
	for i := range o.Fields {
		s.take(&o.Fields[i])
		if e := &o.Fields[i]; e.PEN == 0 && e.ID == 160 && o.Version == flow.IPFIX {
			dom.uptime.SetBoot(flow.Milli(wire.Uint(e.Value)))
		}
	}
	if o.Version == flow.IPFIX {
		for i := range o.Scope {
			s.take(&o.Scope[i])
		}
	}
	dom.learnNames(o)
	if rate := s.rate(); rate != 0 {
		dom.rates.set(s.id, s.named, rate)
		dom.exporter.known.setRate(s.id, s.named, rate)
	}
}

// sampler collects the elements that tell a sampling rate
// (specs/flow-protocols.md, Sampling).
type sampler struct {
	id                uint64
	named             bool
	interval          uint64 // elements 34 and 50
	packets, space    uint64 // 305, 306
	size, population  uint64 // 309, 310
	probability       float64
	hasPackets, hasNM bool
}

func (s *sampler) take(e *flow.Element) {
	if e.PEN != 0 {
		return
	}
	v := wire.Uint(e.Value)
	switch e.ID {
	case 34, 50:
		s.interval = v
	case 48, 302:
		s.id, s.named = v, len(e.Value) > 0
	case 305:
		s.packets, s.hasPackets = v, true
	case 306:
		s.space = v
	case 309:
		s.size = v
	case 310:
		s.population, s.hasNM = v, true
	case 311:
		switch len(e.Value) {
		case 4:
			s.probability = float64(math.Float32frombits(uint32(v)))
		case 8:
			s.probability = math.Float64frombits(v)
		}
	}
}

// rate returns one packet in how many is taken, 0 when the record does not say.
func (s *sampler) rate() uint32 {
	rate := float64(s.interval)
	switch {
	case s.interval != 0:
	case s.hasPackets && s.packets != 0:
		rate = (float64(s.packets) + float64(s.space)) / float64(s.packets)
	case s.hasNM && s.size != 0:
		rate = float64(s.population) / float64(s.size)
	case s.probability > 0 && s.probability <= 1:
		rate = 1 / s.probability
	}
	return uint32(min(math.Round(rate), math.MaxUint32))
}
