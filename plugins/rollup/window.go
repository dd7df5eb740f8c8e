package rollup

import (
	"math/bits"
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
	weight     aggregate.Weight // of a cell: what its key has at most of what counts for the rank
	addresses  sketches
	beyond     registers // of the keys that the rest has something of
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
	w.table = aggregate.New(aggregate.Options{Words: r.words, Own: own, Bound: r.MaxSeries, Joined: w.join,
		Beyond: func(hash uint64) { w.beyond.insert(entryOf(hash)) }})
	w.weight = aggregate.Weight{w.table.OwnWord(ownBytes), w.table.OwnWord(ownError)}
	switch r.By {
	case ByPackets:
		w.weight[0] = w.table.OwnWord(ownPackets)
	case ByFlows:
		w.weight[0] = aggregate.FlowsWord
	}
	return w
}

// addAll adds the flows that a lane has gathered.
func (w *window) addAll(l *lane, f *Feeder) {
	cells, values, missed := f.scratch.cells[:l.n], l.values[:l.n], f.scratch.missed[:0]
	w.countLate(values, f)
	w.table.Locate(l.keys[:l.n*w.words], cells)
	if w.table.IsFull() {
		n := 0
		for i, c := range cells {
			if w.table.IsRest(c) {
				missed = append(missed, miss{uint8(i), values[i]})
				continue
			}
			cells[n], values[n] = c, values[i]
			n++
		}
		cells, values = cells[:n], values[:n]
	}
	for i, c := range cells {
		w.addSums(c, &f.values[values[i]])
	}
	if w.Distinct {
		w.addAddresses(values, f, cells)
	}
	for _, m := range missed {
		v := &f.values[m.value]
		w.addFlow(w.displace(l.keys[int(m.key)*w.words:(int(m.key)+1)*w.words], v), v)
	}
}

// countLate counts the flows that ended before the window began.
func (w *window) countLate(values []uint8, f *Feeder) {
	late := uint64(0)
	for _, n := range values {
		_, before := bits.Sub64(f.values[n].last, w.since, 0) // half of the flows may be so: no branch
		late += before
	}
	w.counts.Late += late
}

// addUntagged is addAll for flows of which none has a tag: they are of one series, and
// summed up before they are added.
func (w *window) addUntagged(l *lane, f *Feeder) {
	values := l.values[:l.n]
	w.countLate(values, f)
	sum := f.sum(values)
	c := w.cell(l.keys[:w.words], &sum.value)
	own := w.table.Own(c)
	c.Add(sum.first, sum.last, sum.flows, sum.packets, sum.bytes)
	own[ownBytes] += sum.scaledBytes
	own[ownPackets] += sum.scaledPackets
	own[ownLargest], own[ownSmallest] = max(own[ownLargest], sum.largest), max(own[ownSmallest], ^sum.smallest)
	if !w.Distinct {
		return
	}
	src, dst := own[ownSources:ownSources+2], own[ownDestinations:ownDestinations+2]
	for _, n := range values {
		v := &f.values[n]
		if mayLack(src, v.src, v.srcEntry) {
			w.addresses.addEntry(src, v.src, v.srcEntry)
		}
		if mayLack(dst, v.dst, v.dstEntry) {
			w.addresses.addEntry(dst, v.dst, v.dstEntry)
		}
	}
}

// addAddresses adds the addresses of flows to the sets of their cells. What most flows have
// been told before is found out by loads alone, one close behind the other, so that the
// processor need not wait for one to ask for the next.
func (w *window) addAddresses(values []uint8, f *Feeder, cells []aggregate.Cell) {
	sets, news, n := &w.addresses, &f.scratch.news, 0
	var places [len(news)]*uint8
	for i, c := range cells {
		v, own := &f.values[values[i]], w.table.Own(c)[ownSources:ownWords]
		if mayLack(own[:2], v.src, v.srcEntry) {
			a := &news[n]
			a.cell, a.dst, a.e = uint8(i), false, v.srcEntry
			places[n], a.mask = sets.place(own[1], a.e)
			n++
		}
		if mayLack(own[2:], v.dst, v.dstEntry) {
			a := &news[n]
			a.cell, a.dst, a.e = uint8(i), true, v.dstEntry
			places[n], a.mask = sets.place(own[3], a.e)
			n++
		}
	}
	lacking := 0
	for i, p := range places[:n] {
		a := news[i]
		news[lacking] = a
		_, raised := bits.Sub64(uint64(*p&a.mask), uint64(a.e.value()), 0) // a branch would wait for the load
		lacking += int(raised)
	}
	for _, a := range news[:lacking] {
		v, own := &f.values[values[a.cell]], w.table.Own(cells[a.cell])[ownSources:ownWords]
		if a.dst {
			sets.addEntry(own[2:], v.dst, a.e)
		} else {
			sets.addEntry(own[:2], v.src, a.e)
		}
	}
}

// addSums adds the counters of a flow to a cell.
func (w *window) addSums(c aggregate.Cell, v *value) {
	c.Add(v.first, v.last, v.flows, v.packets, v.bytes)
	own := w.table.Own(c)
	own[ownBytes] += v.scaledBytes
	own[ownPackets] += v.scaledPackets
	own[ownLargest] = max(own[ownLargest], v.scaledBytes)
	own[ownSmallest] = max(own[ownSmallest], ^v.scaledBytes)
}

// addFlow adds a flow to a cell.
func (w *window) addFlow(c aggregate.Cell, v *value) {
	w.addSums(c, v)
	if w.Distinct {
		own := w.table.Own(c)
		w.addresses.addEntry(own[ownSources:ownSources+2], v.src, v.srcEntry)
		w.addresses.addEntry(own[ownDestinations:ownDestinations+2], v.dst, v.dstEntry)
	}
}

// displace returns the cell for a flow whose key has none: that of the lightest, or of the
// rest.
func (w *window) displace(key []uint64, v *value) aggregate.Cell {
	c, least := w.table.Displace(key, v.weight(w.By), w.weight)
	if c.IsNew() {
		w.table.Own(c)[ownError] = least
	}
	return c
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

// cell returns the cell for a flow of a key.
func (w *window) cell(key []uint64, v *value) aggregate.Cell {
	var cells [1]aggregate.Cell
	w.table.Locate(key, cells[:])
	if w.table.IsRest(cells[0]) {
		return w.displace(key, v)
	}
	return cells[0]
}

// addPart adds a part of a flow, whose size is not that of a flow, and returns the cell.
func (w *window) addPart(key []uint64, v *value) aggregate.Cell {
	c := w.cell(key, v)
	own := w.table.Own(c)
	largest, smallest := own[ownLargest], own[ownSmallest]
	w.addFlow(c, v)
	own[ownLargest], own[ownSmallest] = largest, smallest
	return c
}
