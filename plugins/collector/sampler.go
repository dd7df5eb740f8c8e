package collector

import (
	"math"
	"math/bits"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// limit says to which flows of an exporter a rate applies: the zero value to all.
type limit struct {
	kind limitKind
	id   uint64

	named   bool // only of selector, else of any
	sampler uint64
}

// limitKind is what a scope names, the narrower the larger.
type limitKind uint8

const (
	limitNothing   limitKind = iota
	limitDomain              // another observation domain than that which tells it
	limitCard                // line card
	limitTemplate            // template of the flows
	limitPoint               // observation point
	limitInterface           // where the flow came in or, metered on egress, went out
	limitEgress              // where the flow went out
)

// sampler collects what a record tells of how packets, or flows, are selected: the
// parameters of each method (RFC 5477, section 8.2; RFC 7014, section 4), those of
// NetFlow v9 (RFC 3954, section 8), and what they are limited to.
type sampler struct {
	limit
	tells     bool   // any of the parameters below
	interval  uint64 // samplingInterval, samplerRandomInterval
	method    uint64 // samplingAlgorithm, samplerMode
	algorithm uint64 // selectorAlgorithm, else flowSelectorAlgorithm
	has       uint32 // bit of each of params
	params    [numParams]uint64
}

// The parameters of selectors.
const (
	packetInterval = iota // in packets
	packetSpace
	timeInterval // in microseconds
	timeSpace
	size
	population
	probability // bits of a float64
	outputMin   // of a hash function
	outputMax
	selectedMin
	selectedMax
	flowInterval // in flows
	flowSpace
	flowTimeInterval
	flowTimeSpace
	numParams
)

// paramElements are the elements of the parameters.
var paramElements = [numParams]uint16{
	ie.SamplingPacketInterval, ie.SamplingPacketSpace, ie.SamplingTimeInterval, ie.SamplingTimeSpace,
	ie.SamplingSize, ie.SamplingPopulation, ie.SamplingProbability,
	ie.HashOutputRangeMin, ie.HashOutputRangeMax, ie.HashSelectedRangeMin, ie.HashSelectedRangeMax,
	ie.SamplingFlowInterval, ie.SamplingFlowSpacing, ie.FlowSamplingTimeInterval, ie.FlowSamplingTimeSpacing,
}

// scopeTemplate is the largest of NetFlow v9's types of scopes (RFC 3954, section 6.1).
const scopeTemplate = 5

// v9Scopes are the elements that say the same as these types; of the system and of a cache
// there is none.
var v9Scopes = [scopeTemplate + 1]uint16{2: ie.IngressInterface, 3: ie.LineCardId, 5: ie.TemplateId}

// takeElement takes an element that tells something of a selector.
func (s *sampler) takeElement(e *flow.Element) {
	if e.PEN != 0 || len(e.Value) == 0 {
		return
	}
	v := wire.Uint(e.Value)
	switch e.ID {
	case ie.SamplingInterval, ie.SamplerRandomInterval:
		s.tells = true
		s.interval = max(s.interval, v)
	case ie.SamplingAlgorithm, ie.SamplerMode:
		s.method = v
	case ie.SamplerId, ie.SelectorId:
		s.sampler, s.named = v, true
	case ie.SelectorAlgorithm:
		s.algorithm = v
	case ie.FlowSelectorAlgorithm:
		if s.algorithm == 0 {
			s.algorithm = v
		}
	default:
		s.takeParam(e, v)
	}
}

// takeParam takes a parameter of a selector.
func (s *sampler) takeParam(e *flow.Element, v uint64) {
	for i, id := range paramElements {
		if id != e.ID {
			continue
		}
		if i == probability {
			switch len(e.Value) {
			case 4:
				v = math.Float64bits(float64(math.Float32frombits(uint32(v))))
			case 8:
			default:
				return
			}
		}
		s.tells = true
		s.params[i], s.has = v, s.has|1<<i
		return
	}
}

// takeScope takes what a scope limits. In NetFlow v9 the low numbers are types of scopes
// (RFC 3954, section 6.1), others are elements as in IPFIX.
func (s *sampler) takeScope(e *flow.Element, version flow.Version, domain uint32) {
	if e.PEN != 0 || len(e.Value) == 0 {
		return
	}
	v := wire.Uint(e.Value)
	id := e.ID
	if version == flow.V9 && id <= scopeTemplate {
		if id = v9Scopes[id]; id == ie.IngressInterface {
			s.narrow(limitInterface, v)
		}
	}
	switch id {
	case 0:
	case ie.LineCardId:
		s.narrow(limitCard, v)
	case ie.TemplateId:
		s.narrow(limitTemplate, v)
	case ie.ObservationPointId:
		s.narrow(limitPoint, v)
	case ie.ObservationDomainId:
		if v != uint64(domain) {
			s.narrow(limitDomain, v)
		}
	case ie.SamplerId, ie.SelectorId:
		s.sampler, s.named = v, true
	default:
		s.takeInterface(e)
	}
}

// takeInterface takes an interface, which limits a rate also where it is no scope.
func (s *sampler) takeInterface(e *flow.Element) {
	if e.PEN != 0 {
		return
	}
	switch e.ID {
	case ie.IngressInterface, ie.IngressPhysicalInterface:
		s.narrow(limitInterface, wire.Uint(e.Value))
	case ie.EgressInterface, ie.EgressPhysicalInterface:
		s.narrow(limitEgress, wire.Uint(e.Value))
	}
}

// narrow limits what the record tells, unless it is limited more narrowly. An id of 0
// names nothing in particular.
func (s *sampler) narrow(kind limitKind, id uint64) {
	if kind > s.kind && id != 0 {
		s.kind, s.id = kind, id
	}
}

// The largest numbers of methods that exist: of samplingAlgorithm and samplerMode, which
// some exporters fill with numbers of selectorAlgorithm, and of those of IPFIX.
const (
	lastMethod    = 4
	lastAlgorithm = 9
)

// rate returns one packet in how many is taken; 0 when the record says that none is left
// out, or nothing. It is not valid when there is no such method.
func (s *sampler) rate() (rate float64, valid bool) {
	if s.method > lastMethod || s.algorithm > lastAlgorithm {
		return float64(s.interval), false
	}
	for _, one := range s.methods() {
		if rate := one(s); rate > 0 {
			return rate, true
		}
	}
	return float64(s.interval), true
}

// The ways to tell a rate. A way whose parameters are not all there says nothing (0).
func (s *sampler) systematic() float64 { return s.share(packetInterval, packetSpace) }
func (s *sampler) timed() float64      { return s.share(timeInterval, timeSpace) }
func (s *sampler) flows() float64      { return s.share(flowInterval, flowSpace) }
func (s *sampler) flowsTimed() float64 { return s.share(flowTimeInterval, flowTimeSpace) }
func (s *sampler) random() float64     { return s.quotient(population, size) }
func (s *sampler) hashed() float64 {
	return s.span(outputMin, outputMax) / s.span(selectedMin, selectedMax)
}
func (s *sampler) uniform() (rate float64) {
	if p := math.Float64frombits(s.params[probability]); s.sent(probability) && p > 0 && p <= 1 {
		rate = 1 / p
	}
	return rate
}

// methods returns the ways to read the record: that of its algorithm first, and then the
// others, as exporters fill what their algorithm does not use.
func (s *sampler) methods() []func(*sampler) float64 {
	switch s.algorithm {
	case 2:
		return timeFirst
	case 3:
		return randomFirst
	case 4:
		return uniformFirst
	case 6, 7, 8:
		return hashFirst
	}
	return countFirst
}

var (
	countFirst = []func(*sampler) float64{(*sampler).systematic, (*sampler).random, (*sampler).uniform,
		(*sampler).flows, (*sampler).timed, (*sampler).flowsTimed, (*sampler).hashed}
	timeFirst = []func(*sampler) float64{(*sampler).timed, (*sampler).flowsTimed, (*sampler).systematic,
		(*sampler).flows}
	randomFirst = []func(*sampler) float64{(*sampler).random, (*sampler).systematic, (*sampler).uniform,
		(*sampler).flows}
	uniformFirst = []func(*sampler) float64{(*sampler).uniform, (*sampler).random, (*sampler).systematic,
		(*sampler).flows}
	hashFirst = []func(*sampler) float64{(*sampler).hashed, (*sampler).random, (*sampler).uniform}
)

// sent says whether the record has some parameters.
func (s *sampler) sent(params ...int) bool {
	for _, p := range params {
		if s.has&(1<<p) == 0 {
			return false
		}
	}
	return true
}

// share returns what an interval is of it and the space behind it.
func (s *sampler) share(interval, space int) float64 {
	if !s.sent(interval, space) || s.params[interval] == 0 {
		return 0
	}
	return (float64(s.params[interval]) + float64(s.params[space])) / float64(s.params[interval])
}

// quotient returns a parameter divided by another.
func (s *sampler) quotient(of, by int) float64 {
	if !s.sent(of, by) || s.params[by] == 0 {
		return 0
	}
	return float64(s.params[of]) / float64(s.params[by])
}

// span returns how many values a range has, which begins at 0 where it does not say; of
// one that is not there as many as makes a rate of 0.
func (s *sampler) span(from, to int) float64 {
	if !s.sent(to) || s.params[to] < s.params[from] {
		if from == outputMin {
			return 0
		}
		return math.Inf(1)
	}
	return float64(s.params[to]-s.params[from]) + 1
}

// defaultMaxRate is the largest sampling rate that is believed.
const defaultMaxRate = 1_000_000

// believe returns a rate as a number that is applied, 0 when it is not to be; doubtful
// rates are those beyond the bound.
func believe(rate float64, most uint32, version flow.Version) (applied uint32, doubtful bool) {
	rate = math.Round(rate)
	switch {
	case rate <= float64(most):
		return uint32(rate), false
	case rate <= math.MaxUint32 && version != flow.SFlow:
		return turned(uint32(rate), most), true
	}
	return 0, true
}

// turned returns a rate with its bytes in the other order, as RouterOS sends it, 0 where it
// is not obvious that this is meant: what another router could send, though beyond the
// bound, is not taken for a rate of more than two bytes.
func turned(rate, most uint32) uint32 {
	other := bits.ReverseBytes32(rate)
	if other > most || rate < 1<<24 && other > math.MaxUint16 {
		return 0
	}
	return other
}
