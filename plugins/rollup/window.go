package rollup

import (
	"time"

	"github.com/axiomhq/hyperloglog"

	"github.com/flowgraf/flowgraf/plugins/aggregate"
)

// window is the sums of a roll-up between two times.
type window struct {
	*rollup
	begin, end time.Time
	since      uint64    // begin in milliseconds since 1970
	until      uint64    // end, likewise
	number     uint64    // the round in which it began
	told       time.Time // when it began, and no other window did, also when the clock was set back
	table      *aggregate.Table
	sketches   []*hyperloglog.Sketch
	evicted    uint64
}

// The window's own words of a cell. All are 0 at first.
const (
	ownBytes    = iota // scaled
	ownPackets         // scaled
	ownLargest         // bytes of a flow, scaled
	ownSmallest        // likewise, all bits turned
	ownError           // how much may be missing, of what counts for the rank
	ownSources         // hash of the first address, then number of the sketch, plus one
	_
	ownDestinations // likewise
	_
	ownWords
)

// plainWords are the words of a window that counts no addresses.
const plainWords = ownSources

// precision of the sketches: 1,024 registers of a byte, so that the standard error is
// 1.04/sqrt(1024), 3.3 % (Flajolet, Fusy, Gandouet, Meunier: HyperLogLog, 2007).
const precision = 10

// newWindow returns a window that begins at a time, to the end of the interval.
func (r *rollup) newWindow(begin time.Time) *window {
	w := &window{rollup: r, begin: begin, end: begin.Truncate(r.Interval).Add(r.Interval), number: r.round}
	w.told = begin.Add(time.Duration(r.set))
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
	full := w.table.Len() >= w.MaxSeries
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
		w.add(c, v)
	}
	for _, i := range f.scratch.missed[:missed] {
		w.add(w.displace(l.keys[int(i)*w.words:(int(i)+1)*w.words]), &f.values[l.values[i]])
	}
}

// add adds a flow to a cell.
func (w *window) add(c aggregate.Cell, v *value) {
	c.Add(v.first, v.last, v.flows, v.packets, v.bytes)
	own := w.table.Own(c)
	own[ownBytes] += v.scaledBytes
	own[ownPackets] += v.scaledPackets
	own[ownLargest] = max(own[ownLargest], v.scaledBytes)
	own[ownSmallest] = max(own[ownSmallest], ^v.scaledBytes)
	if w.Distinct {
		w.see(own, v)
	}
}

// see counts the addresses of a flow.
func (w *window) see(own []uint64, v *value) {
	if own[ownSources] != v.src {
		w.count(own[ownSources:ownSources+2], v.src)
	}
	if own[ownDestinations] != v.dst {
		w.count(own[ownDestinations:ownDestinations+2], v.dst)
	}
}

// count counts an address by its hash. Most series have one only: that needs no sketch.
func (w *window) count(words []uint64, hash uint64) {
	if words[1] == 0 {
		if words[0] == 0 {
			words[0] = hash
			return
		}
		s := newSketch()
		s.InsertHash(words[0])
		w.sketches = append(w.sketches, s)
		words[1] = uint64(len(w.sketches))
	}
	w.sketches[words[1]-1].InsertHash(hash)
}

// newSketch returns an empty sketch.
func newSketch() *hyperloglog.Sketch {
	s, err := hyperloglog.NewSketch(precision, false)
	if err != nil {
		panic(err) // the precision is a constant
	}
	return s
}

// displace returns a cell for a key that has none: that of the lightest.
func (w *window) displace(key []uint64) aggregate.Cell {
	c, least, displaced := w.table.Displace(key, w.estimate)
	if displaced {
		w.evicted++
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
		w.joinAddresses(into[at:at+2], from[at:at+2])
	}
}

// joinAddresses adds the addresses of a cell to those of another one.
func (w *window) joinAddresses(into, from []uint64) {
	switch {
	case from[1] == 0 && from[0] != 0 && into[0] != from[0]:
		w.count(into, from[0])
	case from[1] != 0:
		if into[1] == 0 {
			s := newSketch()
			if into[0] != 0 {
				s.InsertHash(into[0])
			}
			w.sketches = append(w.sketches, s)
			into[0], into[1] = max(into[0], 1), uint64(len(w.sketches))
		}
		// The precisions are the same: there is no error.
		_ = w.sketches[into[1]-1].Merge(w.sketches[from[1]-1])
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
	w.add(c, v)
	own[ownLargest], own[ownSmallest] = largest, smallest
}
