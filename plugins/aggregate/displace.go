package aggregate

// Beyond the bound a Table can go on as weighted Space-Saving (Metwally, Agrawal, El
// Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams, 2005): a
// key without a row takes that of the least weight, whose sums go to the rest. So the
// sums stay exact, and a key that weighs more than all flows of its part by the rows of
// the part has a row for certain.

// standing is what a row weighed when that was last looked at. Weights only grow, so it is
// a lower bound, and the heap need not be told of every flow.
type standing struct {
	weight uint64
	cell   uint32
}

// IsRest says whether a cell that Locate found is one of the rest.
func (t *Table) IsRest(c Cell) bool {
	if t.size < t.bound {
		return false
	}
	for i := range t.parts {
		if &t.parts[i].rest[0] == &c[0] {
			return true
		}
	}
	return false
}

// Displace returns the cell of a key, for which Locate has found one of the rest: that of
// the least weight, whose sums it moves to the rest, now empty and of this key. least is
// what it weighed, so at most that is missing in the new sums of the key; 0 where the key
// has a row by now, or stays in the rest, as its part has no rows. Weight must not fall
// while sums are added. Cells that were located before may be of other keys afterwards.
func (t *Table) Displace(key []uint64, weight func(Cell) uint64) (c Cell, least uint64, displaced bool) {
	hash := t.hash(key)
	p := &t.parts[hash>>(64-partBits)]
	if c := t.find(p, key, hash, p.size); &c[0] != &p.rest[0] || p.size == 0 {
		return c, 0, false
	}
	if p.heap == nil {
		p.heap = make([]standing, 0, p.size)
		for n := range t.rowsOf(p) {
			p.heap = append(p.heap, standing{weight(t.cell(p, n)), n})
		}
		for i := len(p.heap)/2 - 1; i >= 0; i-- {
			p.sift(i)
		}
	}
	for {
		top := &p.heap[0]
		c = t.cell(p, top.cell)
		if now := weight(c); now != top.weight {
			top.weight = now
			p.sift(0)
			continue
		}
		break
	}
	least, number := p.heap[0].weight, p.heap[0].cell
	t.mergeCell(p, p.rest, p, c)
	if r := c[cellMore] >> 32; r > 0 {
		p.reverse[r-1] = counters{}
	}
	t.remove(p, number)
	more := c[cellMore] &^ (1<<32 - 1)
	clear(c)
	copy(t.key(c), key)
	c[cellFirst], c[cellMore] = ^uint64(0), more
	p.insert(placeOf(hash, number))
	return c, least, true
}

// sift moves standing i of the heap down to its place.
func (p *part) sift(i int) {
	for {
		child := 2*i + 1
		if child >= len(p.heap) {
			return
		}
		if child+1 < len(p.heap) && p.heap[child+1].weight < p.heap[child].weight {
			child++
		}
		if p.heap[i].weight <= p.heap[child].weight {
			return
		}
		p.heap[i], p.heap[child] = p.heap[child], p.heap[i]
		i = child
	}
}

// remove takes a cell out of the index, and moves those behind it up that would not be
// found else.
func (t *Table) remove(p *part, number uint32) {
	mask := uint32(len(p.index) - 1)
	hole := uint32(t.hash(t.key(t.cell(p, number)))) & mask
	for cellAt(p.index[hole]) != number {
		hole = (hole + 1) & mask
	}
	for slot := (hole + 1) & mask; p.index[slot] != 0; slot = (slot + 1) & mask {
		home := hashAt(p.index[slot]) & mask
		if (slot-home)&mask >= (slot-hole)&mask {
			p.index[hole] = p.index[slot]
			hole = slot
		}
	}
	p.index[hole] = 0
}

// Rests calls yield for the cells of the rest: see Rest. Their own words are the caller's
// too.
func (t *Table) Rests(yield func(Row)) {
	for i := range t.parts {
		p := &t.parts[i]
		if r := t.row(p, p.rest); r.Flows > 0 || r.Bytes > 0 || r.Packets > 0 {
			yield(r)
		}
	}
}

// Flows returns how many flows are in a cell.
func (c Cell) Flows() uint64 { return c[cellFlows] }
