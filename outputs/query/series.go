package query

import (
	"cmp"
	"context"
	"maps"
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

// SeriesResult is what comes out of a Series: the largest lines, and all others as one, with
// what has no row (Totals.Rest). Total has everything.
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

// series are groups whose sums are known by slots too. Their rows are by the keys alone, so
// that what is looked up for a flow is small, and each has a list of its slots.
type series struct {
	groups *groups
	step   uint64
	slotOf func(path string) int64
	path   string // whose slot is known
	slot   int64

	sums  slotSums
	list  int                // the first of the own words of a row that are its list's
	total map[int64]*SlotSum // of all flows
	last  *SlotSum           // of these, nil at first
	lost  SlotSum            // of flows that are not in the rows, as there is no memory for their slots
}

// newSeries prepares for a series.
func newSeries(s *Series, columns *[]nffile.Column, memory int) *series {
	g := planGroups(&s.Aggregation, columns)
	g.words = max(1, g.words) // without keys there is one row for all
	n := &series{groups: g, step: uint64(max(1, s.Step)), slotOf: s.Slot}
	g.series = n
	g.makeTable(memory / 2)
	n.sums.look = 1 // the slot stays until the next file
	if memory > 0 {
		n.sums.bound = max(1, memory/2/slotSumBytes)
	}
	if s.Slot == nil {
		n.sums.look = 4 // flows come nearly in the order of their times
	}
	n.reset()
	return n
}

// reset lets go of all sums but those in the table.
func (s *series) reset() {
	s.sums = slotSums{bound: s.sums.bound, look: s.sums.look}
	s.total, s.last, s.lost = map[int64]*SlotSum{}, nil, SlotSum{}
}

// of returns the slot of a flow.
func (s *series) of(b *batch, f *nffile.Brief) int64 {
	if s.slotOf == nil {
		return int64(f.Last / s.step)
	}
	if path := b.block.Path(); s.path != path {
		s.path, s.slot = path, s.slotOf(path)
	}
	return s.slot
}

// count counts the flows of a batch.
func (s *series) count(b *batch) {
	g, flows := s.groups, b.flows[:b.n]
	if len(g.plan) == 0 && s.slotOf != nil && b.n > 0 { // all are of one row and slot
		sum, last := flows[0], flows[0].Last
		for i := range flows[1:] {
			f := &flows[1+i]
			sum.First, last = min(sum.First, f.First), max(last, f.Last)
			sum.Flows += f.Flows
			sum.Packets, sum.Bytes = sum.Packets+f.Packets, sum.Bytes+f.Bytes
			sum.RevPackets, sum.RevBytes = sum.RevPackets+f.RevPackets, sum.RevBytes+f.RevBytes
		}
		sum.Last = last
		flows = []nffile.Brief{sum}
	}
	n, w := len(flows), g.words
	keys, cells := g.keys[:n*w], g.cells[:n]
	for i := range flows {
		g.key(&flows[i], keys[i*w:(i+1)*w])
	}
	g.table.Locate(keys, cells)
	for i, c := range cells {
		f := &flows[i]
		s.countIn(c, f, SlotSum{s.of(b, f), f.Flows, f.Packets + f.RevPackets, f.Bytes + f.RevBytes}, b, i)
	}
}

// countIn counts flow i of a batch in a row.
func (s *series) countIn(c aggregate.Cell, f *nffile.Brief, sum SlotSum, b *batch, i int) {
	if s.last == nil || s.last.Slot != sum.Slot {
		s.last = s.totalOf(sum.Slot)
	}
	s.last.plus(sum)
	t := s.groups.table
	if !t.IsRest(c) && !s.sums.count(t.Own(c)[s.list:], sum) {
		s.lost.plus(sum)
		return
	}
	if c.IsNew() {
		s.groups.note(c, b, i)
	}
	c.Add(f.First, f.Last, sum.Flows, sum.Packets, sum.Bytes)
}

// totalOf returns the sum of all flows of a slot.
func (s *series) totalOf(slot int64) *SlotSum {
	sum := s.total[slot]
	if sum == nil {
		sum = &SlotSum{Slot: slot}
		s.total[slot] = sum
	}
	return sum
}

// merge adds what another goroutine has counted.
func (s *series) merge(o *series) {
	from := o.groups.table
	shift := s.sums.adopt(&o.sums)
	for ref := range from.Rows() {
		if list := from.Row(ref).Own[o.list:]; list[ownNewest] > 0 {
			list[ownNewest] += shift
			list[ownOldest] += shift
		}
	}
	s.groups.table.Merge(from)
	for slot, sum := range o.total {
		s.totalOf(slot).plus(*sum)
	}
	s.lost.plus(o.lost)
}

// join makes one of what a row has of its own in two tables.
func (s *series) join(into, from []uint64) {
	joinFirst(into[:s.list], from[:s.list])
	s.sums.join(into[s.list:], from[s.list:])
}

// result chooses the largest lines and puts all slots in order.
func (s *series) result(ask *Series) SeriesResult {
	out := SeriesResult{Keys: s.groups.table.Len(), Lines: s.largest(ask)}
	rest, total := map[int64]SlotSum{}, map[int64]SlotSum{}
	for slot, sum := range s.total {
		total[slot], rest[slot] = *sum, *sum
	}
	for i := range out.Lines {
		for _, sum := range out.Lines[i].Slots {
			r := rest[sum.Slot]
			rest[sum.Slot] = SlotSum{sum.Slot, r.Flows - sum.Flows, r.Packets - sum.Packets, r.Bytes - sum.Bytes}
		}
	}
	maps.DeleteFunc(rest, func(slot int64, sum SlotSum) bool { return sum == SlotSum{Slot: slot} })
	out.Rest, out.Total = lineOf(rest), lineOf(total)
	return out
}

// largest returns the lines that are asked for.
func (s *series) largest(ask *Series) []Line {
	type ranked struct {
		value uint64
		ref   aggregate.Ref
	}
	t := s.groups.table
	var slots []SlotSum
	rows := func(yield func(ranked) bool) {
		for ref := range t.Rows() {
			r := t.Row(ref)
			v := valueOf(ask.By, r.Flows, r.Packets, r.Bytes)
			if ask.Peak {
				v, slots = 0, s.sums.inOrder(r.Own[s.list:], slots[:0])
				for _, sum := range slots {
					v = max(v, valueOf(ask.By, sum.Flows, sum.Packets, sum.Bytes))
				}
			}
			if !yield(ranked{v, ref}) {
				return
			}
		}
	}
	n := ask.Lines
	if n <= 0 || n > t.Len() {
		n = t.Len()
	}
	best := firstOf(rows, max(1, n), func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.value, a.value), t.Compare(a.ref, b.ref))
	})
	lines := make([]Line, len(best))
	for i, b := range best {
		r := t.Row(b.ref)
		f := Flow{Record: new(flow.Record), Extra: new(nffile.Extra)}
		s.groups.setKeys(r.Key, &f)
		lines[i] = Line{Flow: f, Flows: r.Flows, Packets: r.Packets, Bytes: r.Bytes,
			Slots: s.sums.inOrder(r.Own[s.list:], nil)}
	}
	return lines
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
