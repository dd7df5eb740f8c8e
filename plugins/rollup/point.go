package rollup

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/plugins/aggregate"
)

// Tag is a tag of a Point.
type Tag struct{ Name, Value string }

// Point is the sums of one series in one window.
type Point struct {
	Name       string
	Begin, End time.Time // of the window; two windows of a roll-up never begin together
	Tags       []Tag     // those that have a value, in the order of the definition
	Other      bool      // the series for what has none of its own

	Flows, Packets, Bytes      uint64 // as the exporters sent them
	ScaledPackets, ScaledBytes uint64 // as estimated from sampling rates
	First, Last                uint64 // milliseconds since 1970
	Smallest, Largest          uint64 // scaled bytes of a flow
	Sized                      bool   // Smallest and Largest are known
	Sources, Destinations      uint64 // distinct addresses, with an error of 3 %
	Distinct                   bool   // they were counted
	Folded                     uint64 // of Other: series that are in it, in whole or in part; with Bounded by HyperLogLog
	Bounded                    bool   // there were more than MaxSeries: see Error
	Error                      uint64 // how much of Other may be of this series at most, of what counts for the rank

	sources, destinations *registers // nil: Sources is 0, or the hash of the only one
}

// hold is by how much a series must be heavier than one that was told of the last time,
// to take its place: a quarter.
const hold = 4

// ranked is a row and what it weighs.
type ranked struct {
	ref    aggregate.Ref
	weight uint64
}

// tell gives the points of a window that has been closed.
func (w *window) tell(s *Set, now time.Time, yield func(*Point)) {
	other := &Point{Name: w.Name, Begin: w.began, End: w.end, Other: true, Distinct: w.Distinct, First: ^uint64(0)}
	if now.After(w.began) && now.Before(w.end) {
		other.End = now
	}
	w.table.Rests(func(r aggregate.Row) {
		other.Bounded = true
		w.addRow(other, &r)
	})
	evicted := w.beyond.estimate()
	points := w.points(s, other)
	if other.Bounded {
		other.Folded = w.beyond.estimate()
	}
	if other.Flows|other.Packets|other.Bytes != 0 {
		for i := range w.tags {
			other.Tags = append(other.Tags, Tag{w.tags[i].name, Other})
		}
		points = append(points, other)
	}
	w.note(points, other, evicted)
	for _, p := range points {
		p.estimate()
		yield(p)
	}
}

// points returns the points of the series that are reported, and adds the others to other.
func (w *window) points(s *Set, other *Point) []*Point {
	rows := w.rank()
	top := len(rows)
	if w.Top > 0 {
		top = min(top, w.Top)
	}
	points, places, kept := make([]*Point, 0, top+1), map[string]int{}, map[string]struct{}{}
	for i, row := range rows {
		r := w.table.Row(row.ref)
		if i >= top || r.Key[0] == overflow {
			other.Folded++
			w.beyond.insert(entryOf(w.table.Hash(r.Key)))
			w.addRow(other, &r)
			continue
		}
		kept[string(appendKey(nil, r.Key))] = struct{}{}
		p := &Point{Name: w.Name, Begin: w.began, End: other.End, Distinct: w.Distinct, Bounded: other.Bounded,
			First: ^uint64(0), Error: r.Own[ownError]}
		name := w.describe(s, p, r.Key)
		if at, again := places[name]; again { // two keys look alike in tags
			p = points[at]
		} else if p.isOther(w) {
			p = other
		} else {
			places[name] = len(points)
			points = append(points, p)
		}
		w.addRow(p, &r)
	}
	w.remember(kept)
	return points
}

// note counts a window that has been closed.
func (w *window) note(points []*Point, other *Point, evicted uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts.Folded += other.Folded
	w.counts.Evicted += evicted
	w.counts.Points += uint64(len(points))
	if len(points) > 0 {
		w.counts.Windows++
	}
}

// rank returns the rows, those to be told of first. What was told of the last time needs
// less weight to be so again.
func (w *window) rank() []ranked {
	rows := make([]ranked, 0, w.table.Len())
	var key []byte
	for ref := range w.table.Rows() {
		r := w.table.Row(ref)
		weight := r.Own[ownBytes]
		switch w.By {
		case ByPackets:
			weight = r.Own[ownPackets]
		case ByFlows:
			weight = r.Flows
		}
		key = appendKey(key[:0], r.Key)
		if _, held := w.before[string(key)]; held {
			weight += weight / hold
		}
		rows = append(rows, ranked{ref, weight})
	}
	if w.Top > 0 && w.Top < len(rows) {
		slices.SortFunc(rows, func(a, b ranked) int {
			switch {
			case a.weight > b.weight:
				return -1
			case a.weight < b.weight:
				return 1
			}
			return w.table.Compare(a.ref, b.ref)
		})
	}
	return rows
}

// remember keeps which series were told of, for the next window.
func (w *window) remember(kept map[string]struct{}) {
	w.before = nil
	if w.Top == 0 {
		return
	}
	w.before = kept
	for key := range kept {
		for i := range w.tags {
			if id, ok := w.tags[i].text([]byte(key)); ok {
				w.texts.keep(id, w.round)
			}
		}
	}
}

// text returns the number of the text in a key as bytes, false where there is none.
func (t *tag) text(key []byte) (uint32, bool) {
	word := binary.NativeEndian.Uint64(key[8*t.at:])
	switch t.kind {
	case tagOctets, tagLabel, tagUser:
		return uint32(word), true
	case tagExporter:
		return uint32(word), binary.NativeEndian.Uint64(key[8*t.at+8:]) == 0
	case tagInterface:
		return uint32(word), word&nameBit != 0
	}
	return 0, false
}

// appendKey appends a key as bytes.
func appendKey(b []byte, key []uint64) []byte {
	for _, w := range key {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return b
}

// describe sets the tags of a point, and returns them as one text.
func (w *window) describe(s *Set, p *Point, key []uint64) string {
	var b strings.Builder
	for i := range w.tags {
		t := &w.tags[i]
		if key[0]&(1<<i) != 0 {
			if value := clean(t.value(s, &w.texts, key)); value != "" {
				p.Tags = append(p.Tags, Tag{t.name, value})
				b.WriteString(value)
			}
		}
		b.WriteByte(0)
	}
	return b.String()
}

// isOther says whether a point cannot be told from the series for the rest.
func (p *Point) isOther(w *window) bool {
	return len(w.tags) > 0 && len(p.Tags) == len(w.tags) &&
		!slices.ContainsFunc(p.Tags, func(t Tag) bool { return t.Value != Other })
}

// addRow adds a row to a point.
func (w *window) addRow(p *Point, r *aggregate.Row) {
	p.First, p.Last = min(p.First, r.First), max(p.Last, r.Last)
	p.Flows, p.Packets, p.Bytes = p.Flows+r.Flows, p.Packets+r.Packets, p.Bytes+r.Bytes
	p.ScaledPackets, p.ScaledBytes = p.ScaledPackets+r.Own[ownPackets], p.ScaledBytes+r.Own[ownBytes]
	if r.Own[ownSmallest] != 0 {
		smallest := ^r.Own[ownSmallest]
		if p.Sized {
			smallest = min(smallest, p.Smallest)
		}
		p.Smallest, p.Largest, p.Sized = smallest, max(p.Largest, r.Own[ownLargest]), true
	}
	if w.Distinct {
		w.addresses.addTo(&p.sources, &p.Sources, r.Own[ownSources:ownSources+2])
		w.addresses.addTo(&p.destinations, &p.Destinations, r.Own[ownDestinations:ownDestinations+2])
	}
}

// estimate makes numbers of the addresses.
func (p *Point) estimate() {
	number := func(r *registers, one uint64) uint64 {
		if r != nil {
			return r.estimate()
		}
		return min(one, 1)
	}
	p.Sources, p.Destinations = number(p.sources, p.Sources), number(p.destinations, p.Destinations)
	p.sources, p.destinations = nil, nil
}
