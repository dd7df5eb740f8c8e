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
	in, out [2]uint64 // scaled bytes of flows that were seen coming in, and of those seen going out
	counted counted
}

// both returns the scaled bytes of flows in both directions of the interface. What was seen
// coming in somewhere may be seen going out as well, there or elsewhere: of each direction
// counts the way of seeing that has told more.
func (p *portTally) both() (in, out uint64) {
	return max(p.in[0], p.in[1]), max(p.out[0], p.out[1])
}

// counted is what the counters of an interface say.
type counted struct {
	bytes  uint64    // that have come in, and gone out unless inOnly
	at     flow.Time // 0 says that there are none
	inOnly bool
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
	seen := 0
	if r.Direction == 1 {
		seen = 1
	}
	if r.Input != 0 {
		if p := e.port(r.Input); p != nil {
			p.in[seen] += bytes
		}
	}
	if r.Output != 0 {
		if p := e.port(r.Output); p != nil {
			p.out[seen] += bytes
		}
	}
}

// counter takes the counters of an interface.
func (t *tallies) counter(o *flow.CounterRecord) {
	if o.Kind != "interface" {
		return
	}
	var in, out *flow.Counter
	for i := range o.Counters {
		switch v := &o.Counters[i]; {
		case v.Unknown:
		case v.Name == "in_bytes":
			in = v
		case v.Name == "out_bytes":
			out = v
		}
	}
	if in == nil {
		return
	}
	c := counted{bytes: in.Value, at: o.Received, inOnly: out == nil}
	if !c.inOnly {
		c.bytes += out.Value
	}
	t.interfaceCounted(o.Exporter, o.Source, c)
}

// interfaceCounted takes what the counters of an interface say. Those of one direction do
// not take the place of those of both.
func (t *tallies) interfaceCounted(exporter netip.Addr, index uint32, c counted) {
	e := t.of(exporter)
	if e == nil {
		return
	}
	if p := e.port(index); p != nil && (p.counted.at == 0 || p.counted.inOnly || !c.inOnly) {
		p.counted = c
	}
}

// Interface takes the counters of an exporter's interface that somebody else has read, for
// GatherQuality to compare with its flows: the bytes that have come in and gone out, the
// latter only where both are known. It may be called while datagrams are decoded.
func (p *Pool) Interface(exporter netip.Addr, index uint32, in, out uint64, both bool, at time.Time) {
	c := counted{bytes: in, at: flow.TimeOf(at), inOnly: !both}
	if both {
		c.bytes += out
	}
	w := p.workers[0]
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.lanes[0]; l.tallies != nil {
		l.tallies.interfaceCounted(exporter, index, c)
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
		for seen := range p.in {
			p.in[seen], p.out[seen] = p.in[seen]+from.in[seen], p.out[seen]+from.out[seen]
		}
		if from.counted.at > p.counted.at {
			p.counted = from.counted
		}
	}
}
