package rollup

import (
	"time"

	"github.com/flowgraf/flowgraf/plugins/aggregate"
)

// window is the sums of a roll-up between two times.
type window struct {
	*rollup
	begin, end time.Time
	since      uint64    // begin in milliseconds since 1970
	until      uint64    // end, likewise
	number     uint64    // the round in which it began
	began      time.Time // when it began, and no other window did, also when the clock was set back
	table      *aggregate.Table
	addresses  sketches
	evicted    uint64
}

// The window's own words of a cell. All are 0 at first.
const (
	ownBytes    = iota // scaled
	ownPackets         // scaled
	ownLargest         // bytes of a flow, scaled
	ownSmallest        // likewise, all bits turned
	ownError           // how much may be missing, of what counts for the rank
	ownSources         // a set of addresses: see sketches
	_
	ownDestinations // likewise
	_
	ownWords
)

// plainWords are the words of a window that counts no addresses.
const plainWords = ownSources

// newWindow returns a window that begins at a time, to the end of the interval.
func (r *rollup) newWindow(begin time.Time) *window {
	w := &window{rollup: r, begin: begin, end: begin.Truncate(r.Interval).Add(r.Interval), number: r.round}
	w.began = begin.Add(time.Duration(r.set))
	w.since, w.until = uint64(begin.UnixMilli()), uint64(w.end.UnixMilli())
	own := plainWords
	if r.Distinct {
		own = ownWords
	}
	w.table = aggregate.New(aggregate.Options{Words: r.words, Own: own, Bound: r.MaxSeries, Joined: w.join})
	return w
}

// addAll adds the flows that a lane has gathered.
func (w *window) addAll(l *lane, f *Feeder) {
	cells, missed := f.scratch.cells[:l.n], 0
	w.table.Locate(l.keys[:l.n*w.words], cells)
	if w.Distinct {
		w.warm(l, f, cells)
	}
	full := w.table.IsFull()
	for i, c := range cells {
		v := &f.values[l.values[i]]
		if v.last < w.since {
			w.counts.Late++
		}
		if full && w.table.IsRest(c) {
			f.scratch.missed[missed] = uint8(i)
			missed++
			continue
		}
		w.addFlow(c, v)
	}
	for _, i := range f.scratch.missed[:missed] {
		w.addFlow(w.displace(l.keys[int(i)*w.words:(int(i)+1)*w.words]), &f.values[l.values[i]])
	}
}

// addUntagged is addAll for flows of which none has a tag: they are of one series, and
// summed up before they are added.
func (w *window) addUntagged(l *lane, f *Feeder) {
	c := w.cell(l.keys[:w.words])
	own := w.table.Own(c)
	sum := value{first: ^uint64(0)}
	largest, smallest := own[ownLargest], own[ownSmallest]
	for _, number := range l.values[:l.n] {
		v := &f.values[number]
		if v.last < w.since {
			w.counts.Late++
		}
		sum.first, sum.last = min(sum.first, v.first), max(sum.last, v.last)
		sum.flows, sum.packets, sum.bytes = sum.flows+v.flows, sum.packets+v.packets, sum.bytes+v.bytes
		sum.scaledPackets, sum.scaledBytes = sum.scaledPackets+v.scaledPackets, sum.scaledBytes+v.scaledBytes
		largest, smallest = max(largest, v.scaledBytes), max(smallest, ^v.scaledBytes)
		if w.Distinct {
			w.addresses.addHash(own[ownSources:ownSources+2], v.src)
			w.addresses.addHash(own[ownDestinations:ownDestinations+2], v.dst)
		}
	}
	c.Add(sum.first, sum.last, sum.flows, sum.packets, sum.bytes)
	own[ownBytes] += sum.scaledBytes
	own[ownPackets] += sum.scaledPackets
	own[ownLargest], own[ownSmallest] = largest, smallest
}

// warm reads what adding flows to cells will read, so that the processor need not wait for
// one to ask for the next.
func (w *window) warm(l *lane, f *Feeder, cells []aggregate.Cell) {
	touched := f.scratch.touched
	for i, c := range cells {
		v, own := &f.values[l.values[i]], w.table.Own(c)
		touched ^= w.addresses.touch(own[ownSources+1], v.src) ^ w.addresses.touch(own[ownDestinations+1], v.dst)
	}
	f.scratch.touched = touched // the loads must not be optimised away
}

// addFlow adds a flow to a cell.
func (w *window) addFlow(c aggregate.Cell, v *value) {
	c.Add(v.first, v.last, v.flows, v.packets, v.bytes)
	own := w.table.Own(c)
	own[ownBytes] += v.scaledBytes
	own[ownPackets] += v.scaledPackets
	own[ownLargest] = max(own[ownLargest], v.scaledBytes)
	own[ownSmallest] = max(own[ownSmallest], ^v.scaledBytes)
	if w.Distinct {
		w.addresses.addHash(own[ownSources:ownSources+2], v.src)
		w.addresses.addHash(own[ownDestinations:ownDestinations+2], v.dst)
	}
}

// displace returns a cell for a key that has none: that of the lightest.
func (w *window) displace(key []uint64) aggregate.Cell {
	c, least, displaced := w.table.Displace(key, w.estimate)
	w.evicted += uint64(displaced)
	if c.IsNew() {
		w.table.Own(c)[ownError] = least
	}
	return c
}

// estimate returns how much the key of a cell weighs at most.
func (w *window) estimate(c aggregate.Cell) uint64 {
	own := w.table.Own(c)
	switch w.By {
	case ByPackets:
		return own[ownPackets] + own[ownError]
	case ByFlows:
		return c.Flows() + own[ownError]
	}
	return own[ownBytes] + own[ownError]
}

// join adds what is a window's own of a cell to that of another one.
func (w *window) join(into, from []uint64) {
	into[ownBytes] += from[ownBytes]
	into[ownPackets] += from[ownPackets]
	into[ownLargest] = max(into[ownLargest], from[ownLargest])
	into[ownSmallest] = max(into[ownSmallest], from[ownSmallest])
	if !w.Distinct {
		return
	}
	for at := ownSources; at < ownWords; at += 2 {
		w.addresses.join(into[at:at+2], from[at:at+2])
	}
}

// cell returns the cell of a key.
func (w *window) cell(key []uint64) aggregate.Cell {
	var cells [1]aggregate.Cell
	w.table.Locate(key, cells[:])
	if w.table.IsRest(cells[0]) {
		return w.displace(key)
	}
	return cells[0]
}

// addPart adds a part of a flow, whose size is not that of a flow.
func (w *window) addPart(key []uint64, v *value) {
	c := w.cell(key)
	own := w.table.Own(c)
	largest, smallest := own[ownLargest], own[ownSmallest]
	w.addFlow(c, v)
	own[ownLargest], own[ownSmallest] = largest, smallest
}
