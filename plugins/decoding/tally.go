package decoding

import (
	"net/netip"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/rollup"
)

// The bounds of what is kept for the quality: addresses and indexes come from whoever
// sends.
const (
	maxTallies = defaultMaxExporters
	maxPorts   = 1024 // interfaces of an exporter
)

// longFlow is how long a flow may last: the active timeout that exporters have where
// nobody has set it, 30 minutes, and a bit.
const longFlow = uint64(31 * time.Minute / time.Millisecond)

// tallies are what a lane sees of the exporters.
type tallies struct {
	all    map[netip.Addr]*tally
	last   *tally // the one used last
	addr   netip.Addr
	doubts *rollup.Twins // of all lanes
}

// tally is what is counted of the flows of an exporter. Counters only grow.
type tally struct {
	flows    uint64
	unknown  uint64 // flows whose sampling rate nobody has told
	long     uint64 // flows longer than longFlow
	examined uint64 // scaled bytes of flows that were looked at for twins
	doubled  uint64 // of these, those that another observer has told of
	ports    map[uint32]*portTally
}

// portTally is an interface: what flows and what its own counters say.
type portTally struct {
	flows    uint64 // scaled bytes, in and out
	counter  uint64 // the sum of its counters of bytes, the latest
	counted  flow.Time
	examined bool // has counters
}

func newTallies(doubts *rollup.Twins) *tallies {
	return &tallies{all: map[netip.Addr]*tally{}, doubts: doubts}
}

// of returns the tally of an exporter, nil beyond the bound.
func (t *tallies) of(a netip.Addr) *tally {
	if t.last != nil && t.addr == a {
		return t.last
	}
	e := t.all[a]
	if e == nil {
		if len(t.all) >= maxTallies {
			return nil
		}
		e = &tally{ports: map[uint32]*portTally{}}
		t.all[a] = e
	}
	t.last, t.addr = e, a
	return e
}

// port returns the tally of an interface, nil beyond the bound.
func (e *tally) port(index uint32) *portTally {
	p := e.ports[index]
	if p == nil && len(e.ports) < maxPorts {
		p = &portTally{}
		e.ports[index] = p
	}
	return p
}

// flow counts a flow.
func (t *tallies) flow(r *flow.Record) {
	e := t.of(r.Exporter)
	if e == nil || flowmetric.IsEvent(r) {
		return
	}
	e.flows++
	if r.SamplingSource == flow.RateUnknown && r.SamplingRate == 0 {
		e.unknown++
	}
	if r.Last > r.First && r.Last.Milli()-r.First.Milli() > longFlow {
		e.long++
	}
	bytes := r.Scale(r.Bytes)
	if twin, examined := t.doubts.Sample(r); examined {
		e.examined += bytes
		if twin {
			e.doubled += bytes
		}
	}
	// What a packet adds to the counters of its interfaces is told by flows that were seen
	// coming in; those seen going out tell of the same packets again.
	if r.Direction == 1 {
		return
	}
	for _, index := range [...]uint32{r.Input, r.Output} {
		if index == 0 {
			continue
		}
		if p := e.port(index); p != nil {
			p.flows += bytes
		}
	}
}

// counter takes the counters of an interface.
func (t *tallies) counter(o *flow.CounterRecord) {
	e := t.of(o.Exporter)
	if e == nil || o.Kind != "interface" {
		return
	}
	p := e.port(o.Source)
	if p == nil {
		return
	}
	p.counter, p.counted, p.examined = 0, o.Received, true
	for i := range o.Counters {
		if c := &o.Counters[i]; c.Name == "in_bytes" || c.Name == "out_bytes" {
			p.counter += c.Value
		}
	}
}

// merge adds what another lane has seen.
func (e *tally) merge(o *tally) {
	e.flows, e.unknown, e.long = e.flows+o.flows, e.unknown+o.unknown, e.long+o.long
	e.examined, e.doubled = e.examined+o.examined, e.doubled+o.doubled
	for index, from := range o.ports {
		p := e.ports[index]
		if p == nil {
			p = &portTally{}
			e.ports[index] = p
		}
		p.flows += from.flows
		if from.examined && from.counted >= p.counted {
			p.counter, p.counted, p.examined = from.counter, from.counted, true
		}
	}
}
