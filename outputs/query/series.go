package query

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/aggregate"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Series asks for the sums of flows over time: of all of them, or a line for each value of
// some keys.
type Series struct {
	Aggregation Aggregation // whose keys the lines have; without keys there is one line
	Lines       int         // how many lines at most, the largest ones; 0 is all
	By          Order       // what the largest are found by: ByFlows, ByPackets or ByBytes
	Peak        bool        // by the largest slot, not by the sum

	// Slot returns the slot of a file, in which all of its flows are counted. Without it a
	// flow is counted in that of its last packet, Step milliseconds long, from 1970.
	Slot func(path string) int64
	Step int64
}

// SlotSum is the sum of the flows of one slot, both directions together.
type SlotSum struct {
	Slot                  int64
	Flows, Packets, Bytes uint64
}

// Line is one line of a series.
type Line struct {
	Flow                  Flow // has the keys
	Flows, Packets, Bytes uint64
	Slots                 []SlotSum // those with flows, in order
}

// SeriesResult is what comes out of a Series: the largest lines, and all others as one.
// Total has everything, also what has no row (Totals.Rest).
type SeriesResult struct {
	Lines       []Line
	Rest, Total Line
	Keys        int // how many different keys there are
}

// View asks for several things in one scan.
type View struct {
	Stats  []Stat
	N      int // rows of each statistic, 0 is all
	Series []Series

	// Partial, where it is set, is called about every so often with what has been found so
	// far, while nothing is read, and more rarely where making that takes long: five times
	// as long is read. It is not called where flows have to be read in order.
	Partial func(*Viewed)
	Every   time.Duration
}

// Viewed is the answer to a View: a table for each statistic and order, and the series.
type Viewed struct {
	Tables []Table
	Series []SeriesResult
	Totals Totals
}

// View answers all that a view asks for from one scan of the input, as Top does.
func (in Input) View(ctx context.Context, v View) (*Viewed, error) {
	r := &request{series: v.Series, every: v.Every}
	if v.Partial != nil {
		r.partial = func(c *counter, t Totals) { v.Partial(v.answer(c, t)) }
	}
	sum, totals, err := in.count(ctx, v.Stats, r)
	return v.answer(sum, totals), err
}

// answer makes the answer of what has been counted.
func (v *View) answer(c *counter, t Totals) *Viewed {
	out := &Viewed{Totals: t, Tables: tablesOf(c, v.Stats, v.N)}
	for i := range v.Series {
		out.Series = append(out.Series, c.kinds[len(v.Stats)+i].groups.series.result(&v.Series[i]))
	}
	return out
}

// series are groups of which each is of one slot: the slot is the last word of their key.
type series struct {
	groups *groups
	step   uint64
	slotOf func(path string) int64
	path   string // whose slot is known
	slot   uint64
}

// newSeries prepares for a series.
func newSeries(s *Series, columns *[]nffile.Column, memory int) *series {
	g := planGroups(&s.Aggregation, columns)
	g.words++
	g.makeTable(memory)
	g.series = &series{groups: g, step: uint64(max(1, s.Step)), slotOf: s.Slot}
	return g.series
}

// of returns the slot of a flow, with its bits such that earlier ones are less.
func (s *series) of(b *batch, f *nffile.Brief) uint64 {
	if s.slotOf == nil {
		return f.Last / s.step
	}
	if path := b.block.Path(); s.path != path {
		s.path, s.slot = path, uint64(s.slotOf(path))
	}
	return s.slot
}

// alone says whether all flows of a batch are of one row: there are no keys, and the slot is
// that of the file.
func (s *series) alone(words int) bool { return words == 1 && s.slotOf != nil }

// addAll counts the flows of a batch that are of one row.
func (s *series) addAll(b *batch) {
	if b.n == 0 {
		return
	}
	g := s.groups
	flows := b.flows[:b.n]
	first, last := flows[0].First, flows[0].Last
	var sum SlotSum
	for i := range flows {
		f := &flows[i]
		first, last = min(first, f.First), max(last, f.Last)
		sum.Flows += f.Flows
		sum.Packets += f.Packets + f.RevPackets
		sum.Bytes += f.Bytes + f.RevBytes
	}
	g.keys[0] = s.of(b, &flows[0])
	g.table.Locate(g.keys[:1], g.cells[:1])
	c := g.cells[0]
	if c.IsNew() {
		g.note(c, b, 0)
	}
	c.Add(first, last, sum.Flows, sum.Packets, sum.Bytes)
}

// keyed are the rows of a series by their keys alone: how much they have of what the
// largest are found by.
type keyed struct {
	table *aggregate.Table
	words int
	keys  []uint64
	cells [aggregate.Batch]aggregate.Cell
	refs  []aggregate.Ref
}

// The words of a row that are the caller's in keyed: the largest slot, and which line it is.
const (
	ownPeak = iota
	ownLine
)

// each calls fn for all rows of the series, with the cell of their key.
func (k *keyed) each(g *groups, fn func(aggregate.Row, aggregate.Cell)) {
	flush := func() {
		cells := k.cells[:len(k.refs)]
		k.table.Locate(k.keys, cells)
		for i, c := range cells {
			fn(g.table.Row(k.refs[i]), c)
		}
		k.keys, k.refs = k.keys[:0], k.refs[:0]
	}
	for ref := range g.table.Rows() {
		key := g.table.Row(ref).Key
		k.keys, k.refs = append(k.keys, key[:len(key)-1]...), append(k.refs, ref)
		if k.words == 0 { // without keys there is one row for all
			k.keys = append(k.keys, 0)
		}
		if len(k.refs) == aggregate.Batch {
			flush()
		}
	}
	if len(k.refs) > 0 {
		flush()
	}
}

// valueOf returns what lines are compared by.
func valueOf(by Order, flows, packets, bytes uint64) uint64 {
	switch by {
	case ByFlows:
		return flows
	case ByPackets:
		return packets
	}
	return bytes
}

// result chooses the largest lines and puts all slots in order.
func (s *series) result(ask *Series) SeriesResult {
	g := s.groups
	k := &keyed{words: g.words - 1}
	k.table = aggregate.New(aggregate.Options{Words: max(1, k.words), Own: ownLine + 1})
	k.each(g, func(r aggregate.Row, c aggregate.Cell) {
		packets, bytes := r.Packets+r.RevPackets, r.Bytes+r.RevBytes
		c.Add(r.First, r.Last, r.Flows, packets, bytes)
		own := k.table.Own(c)
		own[ownPeak] = max(own[ownPeak], valueOf(ask.By, r.Flows, packets, bytes))
	})
	out := SeriesResult{Keys: k.table.Len()}
	out.Lines = k.largest(g, ask)
	for i := range out.Lines {
		out.Lines[i].Slots = nil
	}
	rest, total := map[int64]SlotSum{}, map[int64]SlotSum{}
	k.each(g, func(r aggregate.Row, c aggregate.Cell) {
		sum := SlotSum{int64(r.Key[len(r.Key)-1]), r.Flows, r.Packets + r.RevPackets, r.Bytes + r.RevBytes}
		addSlot(total, sum)
		if n := k.table.Own(c)[ownLine]; n > 0 {
			line := &out.Lines[n-1]
			line.Slots = append(line.Slots, sum)
		} else {
			addSlot(rest, sum)
		}
	})
	for i := range out.Lines {
		slices.SortFunc(out.Lines[i].Slots, bySlot)
	}
	out.Rest, out.Total = lineOf(rest), lineOf(total)
	if r, some := g.table.Rest(); some { // no slot is known
		out.Total.Flows += r.Flows
		out.Total.Packets += r.Packets + r.RevPackets
		out.Total.Bytes += r.Bytes + r.RevBytes
	}
	return out
}

// largest returns the lines that are asked for, and notes in their rows which they are.
func (k *keyed) largest(g *groups, ask *Series) []Line {
	type ranked struct {
		value uint64
		ref   aggregate.Ref
	}
	rows := func(yield func(ranked) bool) {
		for ref := range k.table.Rows() {
			r := k.table.Row(ref)
			v := valueOf(ask.By, r.Flows, r.Packets, r.Bytes)
			if ask.Peak {
				v = r.Own[ownPeak]
			}
			if !yield(ranked{v, ref}) {
				return
			}
		}
	}
	n := ask.Lines
	if n <= 0 || n > k.table.Len() {
		n = k.table.Len()
	}
	best := firstOf(rows, max(1, n), func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.value, a.value), k.table.Compare(a.ref, b.ref))
	})
	lines := make([]Line, len(best))
	for i, b := range best {
		r := k.table.Row(b.ref)
		r.Own[ownLine] = uint64(i) + 1
		f := Flow{Record: new(flow.Record), Extra: new(nffile.Extra)}
		g.setKeys(r.Key, &f)
		lines[i] = Line{Flow: f, Flows: r.Flows, Packets: r.Packets, Bytes: r.Bytes}
	}
	return lines
}

// addSlot adds a sum to that of its slot.
func addSlot(slots map[int64]SlotSum, s SlotSum) {
	sum := slots[s.Slot]
	slots[s.Slot] = SlotSum{s.Slot, sum.Flows + s.Flows, sum.Packets + s.Packets, sum.Bytes + s.Bytes}
}

// lineOf returns the line of some slots.
func lineOf(slots map[int64]SlotSum) Line {
	var l Line
	for _, s := range slots {
		l.Slots = append(l.Slots, s)
		l.Flows += s.Flows
		l.Packets += s.Packets
		l.Bytes += s.Bytes
	}
	slices.SortFunc(l.Slots, bySlot)
	return l
}

// bySlot orders sums by their slots.
func bySlot(a, b SlotSum) int { return cmp.Compare(a.Slot, b.Slot) }
