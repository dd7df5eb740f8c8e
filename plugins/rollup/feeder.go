package rollup

import (
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/flowgraf/flowgraf/plugins/aggregate"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Feeder gives flows to the roll-ups of a Set, for one goroutine. It gathers some before
// it adds them, so that their look-ups wait for memory together.
type Feeder struct {
	set     *Set
	lanes   []lane
	values  [aggregate.Batch]value
	n       int
	at      addresses
	scratch scratch

	total  total
	summed bool // total is of all the flows
}

// addresses are those of the flow at hand that most roll-ups ask for.
type addresses struct {
	src, dst flow.Value

	exporter netip.Addr
	router   flow.Value // the same
}

// of returns an address of the flow.
func (a *addresses) of(r *flow.Record, f flow.Field) flow.Value {
	switch f {
	case flow.Src:
		return a.src
	case flow.Dst:
		return a.dst
	case flow.Router:
		return a.router
	}
	return flow.ValueOf(r.Addr(f))
}

// set takes the addresses of a flow.
func (a *addresses) set(r *flow.Record) {
	a.src, a.dst = flow.ValueOf(r.Src), flow.ValueOf(r.Dst)
	if a.exporter != r.Exporter {
		a.exporter, a.router = r.Exporter, flow.ValueOf(r.Exporter)
	}
}

// value is what is summed of a flow.
type value struct {
	first, last                uint64 // milliseconds since 1970
	flows, packets, bytes      uint64
	scaledPackets, scaledBytes uint64
	src, dst                   uint64 // hashes of the addresses
	srcEntry, dstEntry         entry  // of these
}

// weight returns what counts for a rank.
func (v *value) weight(by Weight) uint64 {
	switch by {
	case ByPackets:
		return v.scaledPackets
	case ByFlows:
		return v.flows
	}
	return v.scaledBytes
}

// The numbers of flows in a feeder are of a byte.
const _ = uint8(aggregate.Batch - 1)

// scratch is what adding takes.
type scratch struct {
	cells  [aggregate.Batch]aggregate.Cell
	missed [aggregate.Batch]miss
	news   [2 * aggregate.Batch]address
}

// miss is a flow whose key has no row: its places in the keys and in the values.
type miss struct{ key, value uint8 }

// address is one that may be new to a set, the sources or else the destinations of a cell.
type address struct {
	cell uint8
	dst  bool
	mask uint8 // of what place gives
	e    entry
}

// lane is the flows of a feeder that a roll-up takes: their keys, and numbers in values.
type lane struct {
	*rollup
	set    *Set
	at     *addresses
	keys   []uint64 // all 0 from that of flow n on
	values [aggregate.Batch]uint8
	n      int
	tagged uint64 // which tags any of them has
	labels bool   // all tags are names, which most flows do not have
	twins  uint64

	// The numbers of texts, of this round.
	asked   uint64
	names   map[string]uint32
	strings map[string]uint32
}

// NewFeeder returns a Feeder.
func (s *Set) NewFeeder() *Feeder {
	f := &Feeder{set: s, lanes: make([]lane, len(s.rollups))}
	f.at.router = flow.ValueOf(f.at.exporter)
	for i, r := range s.rollups {
		f.lanes[i] = lane{rollup: r, set: s, at: &f.at, keys: make([]uint64, aggregate.Batch*r.words),
			names: map[string]uint32{}, strings: map[string]uint32{},
			labels: !slices.ContainsFunc(r.tags, func(t tag) bool { return t.kind != tagLabel })}
	}
	return f
}

// total is the sums of several flows.
type total struct {
	value
	largest, smallest uint64 // scaled bytes of a flow
}

// sum returns the sums of some of the flows that have been gathered. Those of all are
// mostly asked for, by several roll-ups.
func (f *Feeder) sum(values []uint8) *total {
	if len(values) == f.n && f.summed {
		return &f.total
	}
	t := &f.total
	*t = total{value: value{first: ^uint64(0)}, smallest: ^uint64(0)}
	for _, n := range values {
		v := &f.values[n]
		t.first, t.last = min(t.first, v.first), max(t.last, v.last)
		t.flows, t.packets, t.bytes = t.flows+v.flows, t.packets+v.packets, t.bytes+v.bytes
		t.scaledPackets, t.scaledBytes = t.scaledPackets+v.scaledPackets, t.scaledBytes+v.scaledBytes
		t.largest, t.smallest = max(t.largest, v.scaledBytes), min(t.smallest, v.scaledBytes)
	}
	f.summed = len(values) == f.n
	return t
}

// Begin is called before flows are added, by any goroutine, End when their feeders are
// flushed. No window closes in between.
func (s *Set) Begin() { s.mu.RLock() }

// End ends what Begin begins.
func (s *Set) End() { s.mu.RUnlock() }

// Add takes a flow, of which it keeps nothing. Events, which are no traffic, are the
// caller's to leave out.
func (f *Feeder) Add(r *flow.Record) {
	if f.n == len(f.values) {
		f.Flush()
	}
	f.at.set(r)
	f.values[f.n].set(f, r)
	twin := f.set.twins != nil && f.set.twins.is(r)
	for i := range f.lanes {
		f.lanes[i].addFlow(r, uint8(f.n), twin)
	}
	f.n++
}

// set takes the numbers of a flow.
func (v *value) set(f *Feeder, r *flow.Record) {
	v.first, v.last = r.First.Milli(), r.Last.Milli()
	v.flows = max(1, r.Flows)
	v.packets, v.bytes = r.Packets, r.Bytes
	v.scaledPackets, v.scaledBytes = r.Packets, r.Bytes
	if r.SamplingRate > 1 {
		v.scaledPackets, v.scaledBytes = r.Scale(r.Packets), r.Scale(r.Bytes)
	}
	if f.set.distinct {
		v.src, v.dst = f.set.hash(f.at.src), f.set.hash(f.at.dst)
		v.srcEntry, v.dstEntry = entryOf(v.src), entryOf(v.dst)
	}
}

// hash returns the hash of an address, never 0.
func (s *Set) hash(v flow.Value) uint64 {
	high, low := bits.Mul64(v.Lo^s.seed, 0x9E3779B97F4A7C15)
	h := high ^ low ^ v.Hi
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return max(1, h^h>>33)
}

// overflow is the first word of the key of flows whose tags have no numbers left.
const overflow = ^uint64(0)

// addFlow takes a flow where it matches.
func (l *lane) addFlow(r *flow.Record, number uint8, twin bool) {
	if l.filter != nil && !l.filter.Match(r, nil) {
		return
	}
	if l.Deduplicate != DeduplicateOff && (twin || r.Direction == 1) && l.Deduplicate.drops(r, twin) {
		l.twins++
		return
	}
	l.values[l.n] = number
	if !l.labels || r.Names != nil {
		key := l.keys[l.n*l.words : (l.n+1)*l.words]
		l.setKey(key, r)
		l.tagged |= key[0]
	}
	l.n++
}

// setKey sets the key of a flow. The tags that most flows have are set here, the others by
// put.
func (l *lane) setKey(key []uint64, r *flow.Record) {
	set := uint64(0)
	for i := range l.tags {
		t := &l.tags[i]
		switch t.kind {
		case tagLabel:
			if r.Names == nil {
				continue
			}
		case tagNumber:
			if r.Has(t.field) {
				key[t.at] = r.Number(t.field)
				set |= 1 << i
			}
			continue
		}
		has, full := t.put(key, r, l)
		if full {
			clear(key)
			key[0] = overflow
			return
		}
		if has {
			set |= 1 << i
		}
	}
	key[0] = set
}

// number returns the number of a text.
func (l *lane) number(text string) uint32 {
	l.refresh()
	id, ok := l.names[text]
	if !ok {
		if id = l.texts.number(text, l.round); id != noText {
			l.names[text] = id
		}
	}
	return id
}

// octets returns the number of the text of a field.
func (l *lane) octets(f flow.Field, r *flow.Record) uint32 {
	l.refresh()
	b := r.Octets(f)
	id, ok := l.strings[string(b)]
	if !ok {
		if id = l.texts.number(l.set.textOf(r, f), l.round); id != noText {
			l.strings[string(b)] = id
		}
	}
	return id
}

// refresh forgets the numbers of a round that is over.
func (l *lane) refresh() {
	if l.asked != l.round {
		clear(l.names)
		clear(l.strings)
		l.asked = l.round
	}
}

// Flush adds what has been gathered.
func (f *Feeder) Flush() {
	for i := range f.lanes {
		if l := &f.lanes[i]; l.n|int(l.twins) != 0 {
			l.flush(f)
		}
	}
	f.n, f.summed = 0, false
}

// flush adds what a lane has gathered.
func (l *lane) flush(f *Feeder) {
	r := l.rollup
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.windows) == 0 { // before Start: nothing is lost
		r.open(time.Now().Round(0))
	}
	r.counts.Twins += l.twins
	l.twins = 0
	r.counts.Flows += uint64(l.n)
	if r.Spread > 0 {
		for i := range l.n {
			r.spread(l.keys[i*r.words:(i+1)*r.words], &f.values[l.values[i]])
		}
	} else if w := r.windows[len(r.windows)-1]; l.tagged != 0 {
		w.addAll(l, f)
	} else if l.n > 0 {
		w.addUntagged(l, f)
	}
	if l.tagged != 0 {
		clear(l.keys[:l.n*l.words])
	}
	l.n, l.tagged = 0, 0
}
