// Package aggregate sums flows up by key: one or several values that they have in common.
// The sums are exact. A bound keeps the memory of keys that somebody else chooses, as
// addresses, finite: what has a key beyond it is summed in one row for the rest, so that
// the rows always sum up to all flows.
package aggregate

import (
	"iter"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
)

// Cell holds the sums of one row, and its key: see the offsets below.
type Cell []uint64

// The words of a Cell, before those of its key and those that are the caller's.
const (
	cellFirst = iota // milliseconds since 1970
	cellLast
	cellFlows
	cellPackets // of the flow's direction
	cellBytes
	cellMore // TCP flags of both directions, 8 bits each, and from bit 32 the position in part.reverse, plus one
	cellKey
)

// place is what the index has of a row: the number of its cell, plus one, and above it the
// lower half of its hash. A look at the index alone so finds the cell, with few errors, and
// the index grows without a look at the cells.
type place = uint64

func placeOf(hash uint64, cell uint32) place { return place(hash<<32) | place(cell+1) }

// cellAt returns the number of the cell, hashAt the lower half of the hash.
func cellAt(e place) uint32 { return uint32(e) - 1 }
func hashAt(e place) uint32 { return uint32(e >> 32) }

// counters are those of the reverse direction, which most flows do not have.
type counters struct{ packets, bytes uint64 }

// Row is the sums of the flows of one key.
type Row struct {
	Key                  []uint64 // in the table's memory: not to be changed
	Own                  []uint64 // the caller's words, likewise
	First, Last          uint64   // milliseconds since 1970
	Flows                uint64
	Packets, Bytes       uint64 // of the flow's direction
	RevPackets, RevBytes uint64
	Flags, RevFlags      uint8 // TCP flags that any of the flows has
}

// Table is a hash table of cells, in parts that hold what begins with the same bits of
// the hash: two tables are merged by several goroutines. The hash is seeded: addresses in
// flows can be chosen by an attacker.
type Table struct {
	words  int // of a key
	stride int // words of a cell
	seed   uint64
	twist  uint64 // a second seed, odd
	shift  uint   // of a hash, for the number of its part
	bound  int    // cells at most
	size   int    // cells in use
	spare  int    // cells that are kept for keys that displace others
	taken  int    // of these, by keys since Locate
	parts  [numParts]part
	pages  pages
	joined func(into, from []uint64)
	beyond func(hash uint64)
}

// part is a part of a Table. Its size is a power of two and at least twice the number of
// rows. Cells never move.
type part struct {
	chunks  [][]uint64
	size    int     // rows
	end     int     // the number of the next cell: more than size where some have no row
	index   []place // 0 is free
	reverse []counters
	rest    Cell // of the keys beyond the bound
	touched uint64

	// See Displace.
	standings []standing
	spare     []uint32 // cells whose rows were displaced, and that have no other yet
	displaced uint64   // what the heaviest row of these and those before has weighed
	sieve     []uint64 // what the rest has of the keys that share a weight, at most
}

const (
	partBits = 3
	numParts = 1 << partBits

	chunkBits  = 8
	chunkCells = 1 << chunkBits

	// With a bound below it, a Table has one part: of some few rows each part would have
	// few or none, whatever its keys weigh.
	fewCells = numParts * chunkCells

	maxCells = 1<<30 - 1 // the index of a part has twice as many, numbered by 32 bits
)

// Batch is how many keys are looked up at once: their cache misses overlap.
const Batch = 256

// Options say what a Table is for.
type Options struct {
	Words int // of a key, at least 1
	Own   int // words in each row that are the caller's: 0 until it sets them
	Bound int // rows at most, not counting that of the rest; 0 is no bound

	// Joined is called when the rows of one key in two tables become one, with the
	// caller's words of both; it sets the former. It is called by several goroutines. nil
	// does nothing.
	Joined func(into, from []uint64)

	// Beyond is called by Displace for each flow that goes to the rest, and for each row
	// that does, with the hash of the key. nil does nothing.
	Beyond func(hash uint64)
}

// RowBytes is about what a row costs, in bytes of memory: its cell, and its places in the
// index, of which a third are in use.
func (o Options) RowBytes() int { return 8*(cellKey+o.Words+o.Own) + 24 }

// lineWords is how many words a line of the cache has, on most processors.
const lineWords = 8

// New returns an empty Table. With a bound, which keys have rows is who comes first; all
// others go into the rest.
func New(o Options) *Table {
	t := &Table{words: o.Words, stride: cellKey + o.Words + o.Own, seed: rand.Uint64(), twist: rand.Uint64() | 1,
		shift: 64 - partBits, bound: maxCells, joined: o.Joined, beyond: o.Beyond}
	if o.Bound > 0 {
		t.bound = min(o.Bound, maxCells)
	}
	if t.bound < fewCells {
		t.shift = 64
	}
	for i := range t.parts {
		p := &t.parts[i]
		p.index = newWords(2 * Batch)
		p.rest = make(Cell, t.stride)
		p.rest[cellFirst], p.rest[cellMore] = ^uint64(0), restBit
	}
	return t
}

// Twin returns an empty Table that can be merged with t: it has the same hash.
func (t *Table) Twin() *Table {
	twin := New(Options{Words: t.words, Own: t.stride - cellKey - t.words, Bound: t.bound, Joined: t.joined,
		Beyond: t.beyond})
	twin.seed, twin.twist = t.seed, t.twist
	return twin
}

// Len returns how many keys have a row.
func (t *Table) Len() int { return t.size }

// cell returns cell number i.
func (t *Table) cell(p *part, i uint32) Cell {
	at := int(i&(chunkCells-1)) * t.stride
	return p.chunks[i>>chunkBits][at : at+t.stride : at+t.stride]
}

// key returns the key of a cell.
func (t *Table) key(c Cell) []uint64 { return c[cellKey : cellKey+t.words] }

// is says whether the cell has a key. Keys differ in their last words most.
func (c Cell) is(key []uint64) bool {
	have := c[cellKey : cellKey+len(key)]
	for i := len(key) - 1; i >= 0; i-- {
		if have[i] != key[i] {
			return false
		}
	}
	return true
}

// Own returns the caller's words of a cell.
func (t *Table) Own(c Cell) []uint64 { return c[cellKey+t.words:] }

// Merge adds the sums of o, a twin of t that is not used after it.
func (t *Table) Merge(o *Table) {
	if t.size+t.spare+o.size > t.bound {
		for i := range t.parts {
			p := &t.parts[i]
			before := p.size
			t.mergePart(p, o, i, p.size+t.bound-t.size-t.spare)
			t.size += p.size - before
		}
		return
	}
	var wg sync.WaitGroup
	for i := range t.parts {
		wg.Go(func() { t.mergePart(&t.parts[i], o, i, maxCells) })
	}
	wg.Wait()
	t.size = 0
	for i := range t.parts {
		t.size += t.parts[i].size
	}
}

// mergePart adds the sums of a part of o, with cells up to a limit.
func (t *Table) mergePart(p *part, o *Table, number, limit int) {
	from := &o.parts[number]
	missing := t.mergeCommon(p, from)
	for 2*(p.size+missing) > len(p.index) {
		p.grow()
	}
	if missing >= adoptAtLeast && 2*missing >= from.size && p.size+missing <= limit {
		t.adopt(p, from)
	} else {
		t.copyRows(p, o, from, limit)
	}
	t.mergeCell(p, p.rest, from, from.rest)
}

// adoptAtLeast is how many rows are worth to be taken over with their cells.
const adoptAtLeast = 4 * chunkCells

// mergeCommon adds the sums of the keys that both parts have, whose cells in from have no
// row afterwards. It returns how many others there are. The indexes are in the same order,
// so that the processor reads one after the other.
func (t *Table) mergeCommon(p, from *part) (missing int) {
	mask := uint32(len(p.index) - 1)
	for _, e := range from.index {
		if e == 0 {
			continue
		}
		missing++
		for slot := hashAt(e) & mask; p.index[slot] != 0; slot = (slot + 1) & mask {
			if hashAt(p.index[slot]) != hashAt(e) {
				continue
			}
			a := t.cell(from, cellAt(e))
			if c := t.cell(p, cellAt(p.index[slot])); c.is(t.key(a)) {
				t.mergeCell(p, c, from, a)
				a[cellFirst] = ^uint64(0)
				missing--
				break
			}
		}
	}
	return missing
}

// adopt takes the rows of from over with their cells. The index has room.
func (t *Table) adopt(p, from *part) {
	base := len(p.chunks) * chunkCells
	for n := p.end; n < base; n++ {
		t.cell(p, uint32(n))[cellFirst] = ^uint64(0)
	}
	p.chunks = append(p.chunks, from.chunks...)
	p.end = base + from.end
	reverse := uint64(len(p.reverse)) << 32
	p.reverse = append(p.reverse, from.reverse...)
	for _, e := range from.index {
		if e == 0 {
			continue
		}
		c := t.cell(from, cellAt(e))
		if c.IsNew() {
			continue
		}
		if c[cellMore]>>32 > 0 {
			c[cellMore] += reverse
		}
		p.insert(placeOf(uint64(hashAt(e)), uint32(base)+cellAt(e)))
		p.size++
	}
}

// copyRows makes rows for those of from, a part of o, as far as the limit allows. The index
// has room.
func (t *Table) copyRows(p *part, o *Table, from *part, limit int) {
	for n := range uint32(from.end) {
		if c := o.cell(from, n); !c.IsNew() {
			t.mergeCell(p, t.find(p, t.key(c), t.hash(t.key(c)), limit), from, c)
		}
	}
}

// mergeCell adds the sums of a cell of another table's part.
func (t *Table) mergeCell(p *part, c Cell, from *part, a Cell) {
	if t.joined != nil {
		t.joined(t.Own(c), t.Own(a))
	}
	c.Add(a[cellFirst], a[cellLast], a[cellFlows], a[cellPackets], a[cellBytes])
	c[cellMore] |= a[cellMore] & 0xffff
	if r := a[cellMore] >> 32; r > 0 {
		p.addReverse(c, from.reverse[r-1].packets, from.reverse[r-1].bytes)
	}
}

// Add adds flows: of the first and last millisecond since 1970, so many, with the
// packets and bytes of their direction.
func (c Cell) Add(first, last, flows, packets, bytes uint64) {
	_ = c[cellBytes]
	c[cellFirst] = min(c[cellFirst], first)
	c[cellLast] = max(c[cellLast], last)
	c[cellFlows] += flows
	c[cellPackets] += packets
	c[cellBytes] += bytes
}

// touch reads a word of each line of the cache that a cell lies in.
func (c Cell) touch() (word uint64) {
	for i := 0; i < len(c); i += lineWords {
		word ^= c[i]
	}
	if len(c)%lineWords != 0 {
		word ^= c[len(c)-1]
	}
	return word
}

// IsNew says whether nothing has been added to the cell yet.
func (c Cell) IsNew() bool { return c[cellFirst] == ^uint64(0) }

// AddFlags adds TCP flags of the flow's direction.
func (c Cell) AddFlags(flags uint8) { c[cellMore] |= uint64(flags) }

// AddReverseFlags adds TCP flags of the reverse direction.
func (c Cell) AddReverseFlags(flags uint8) { c[cellMore] |= uint64(flags) << 8 }

// AddReverse adds counters of the reverse direction to a cell, which Locate found for the key.
func (t *Table) AddReverse(c Cell, key []uint64, packets, bytes uint64) {
	t.partOf(t.hash(key)).addReverse(c, packets, bytes)
}

func (p *part) addReverse(c Cell, packets, bytes uint64) {
	if c[cellMore]>>32 == 0 {
		p.reverse = append(p.reverse, counters{})
		c[cellMore] |= uint64(len(p.reverse)) << 32
	}
	r := &p.reverse[c[cellMore]>>32-1]
	r.packets += packets
	r.bytes += bytes
}

// Locate finds the cells of at most Batch keys, which stand one behind the other, and
// makes those that are not there; with the bound reached it is a cell of the rest. The
// index is read for all keys, then the cells that it names, or what Displace will ask for,
// and only then are the keys compared: so the processor need not wait for one to ask for the next. Loops that only
// load let it ask for more at once than those that compute the next address as well.
func (t *Table) Locate(keys []uint64, cells []Cell) {
	t.reserve(len(cells))
	full := t.IsFull()
	t.taken = 0
	var hashes [Batch]uint64
	var slots [Batch]*place
	for i := range cells {
		h := t.hash(keys[i*t.words : (i+1)*t.words])
		p := t.partOf(h)
		hashes[i], slots[i] = h, &p.index[uint32(h)&uint32(len(p.index)-1)]
	}
	var touched uint64
	for _, slot := range slots[:len(cells)] {
		touched ^= *slot
	}
	for i := range cells {
		cells[i] = nil
		h := hashes[i]
		p := t.partOf(h)
		mask := uint32(len(p.index) - 1)
		slot := uint32(h) & mask
		for p.index[slot] != 0 && hashAt(p.index[slot]) != uint32(h) {
			slot = (slot + 1) & mask
		}
		if e := p.index[slot]; e != 0 {
			cells[i] = t.cell(p, cellAt(e))
		}
	}
	for _, c := range cells {
		touched ^= c.touch()
	}
	for i := range cells {
		c, p := cells[i], t.partOf(hashes[i])
		if c == nil && full {
			cells[i] = p.rest
			if p.sieve != nil {
				touched ^= *p.passed(hashes[i])
			}
			continue
		}
		if key := keys[i*t.words : (i+1)*t.words]; c == nil || !c.is(key) {
			before := p.size
			cells[i] = t.find(p, key, hashes[i], before+t.bound-t.size-t.spare)
			t.size += p.size - before
		}
	}
	t.parts[0].touched = touched // the loads above must not be optimised away
}

// reserve makes room for so many new cells in any part.
func (t *Table) reserve(n int) {
	for i := range t.parts {
		for p := &t.parts[i]; 2*(p.size+n) > len(p.index); {
			p.grow()
		}
	}
}

// partOf returns the part of a hash.
func (t *Table) partOf(hash uint64) *part { return &t.parts[hash>>t.shift&(numParts-1)] }

// Hash returns the hash of a key, which Options.Beyond is told.
func (t *Table) Hash(key []uint64) uint64 { return t.hash(key) }

// hash returns the hash of a key.
func (t *Table) hash(key []uint64) uint64 {
	h := t.seed
	for ; len(key) >= 2; key = key[2:] {
		hi, lo := bits.Mul64(h^key[0], t.twist^key[1])
		h = hi ^ lo ^ h
	}
	if len(key) > 0 {
		hi, lo := bits.Mul64(h^key[0], t.twist)
		h = hi ^ lo
	}
	hi, lo := bits.Mul64(h, t.seed|1)
	return hi ^ lo
}

// find returns the cell of a key in its part, a new one when there is none, or that of
// the rest when the part has as many cells as the limit. The index has room.
func (t *Table) find(p *part, key []uint64, hash uint64, limit int) Cell {
	mask := uint32(len(p.index) - 1)
	slot := uint32(hash) & mask
	for ; p.index[slot] != 0; slot = (slot + 1) & mask {
		if e := p.index[slot]; hashAt(e) == uint32(hash) {
			if c := t.cell(p, cellAt(e)); c.is(key) {
				return c
			}
		}
	}
	if p.size >= limit {
		return p.rest
	}
	if p.end == len(p.chunks)*chunkCells {
		p.chunks = append(p.chunks, t.pages.chunk(chunkCells*t.stride))
	}
	c := t.cell(p, uint32(p.end))
	copy(t.key(c), key)
	c[cellFirst] = ^uint64(0)
	p.index[slot] = placeOf(hash, uint32(p.end))
	p.size++
	p.end++
	return c
}

// grow doubles the index of a part.
func (p *part) grow() {
	old := p.index
	p.index = newWords(2 * len(old))
	for _, e := range old {
		if e != 0 {
			p.insert(e)
		}
	}
}

// insert puts what is not in the index there, which has room.
func (p *part) insert(e place) {
	mask := uint32(len(p.index) - 1)
	slot := hashAt(e) & mask
	for p.index[slot] != 0 {
		slot = (slot + 1) & mask
	}
	p.index[slot] = e
}

// Ref names a row of a Table.
type Ref uint64

// Rows returns all rows, in no order.
func (t *Table) Rows() iter.Seq[Ref] {
	return func(yield func(Ref) bool) {
		for i := range t.parts {
			for n := range t.rowsOf(&t.parts[i]) {
				if !yield(Ref(i)<<32 | Ref(n)) {
					return
				}
			}
		}
	}
}

// rowsOf returns the numbers of the cells of a part that have rows.
func (t *Table) rowsOf(p *part) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		all := p.end == p.size
		for n := range uint32(p.end) {
			if (all || !t.cell(p, n).IsNew()) && !yield(n) {
				return
			}
		}
	}
}

// Row returns a row.
func (t *Table) Row(ref Ref) Row {
	p := &t.parts[ref>>32]
	return t.row(p, t.cell(p, uint32(ref)))
}

// Rest returns the sums of all flows whose keys have no row, false when there are none.
func (t *Table) Rest() (Row, bool) {
	sum := Row{First: ^uint64(0)}
	for i := range t.parts {
		r := t.row(&t.parts[i], t.parts[i].rest)
		sum.First, sum.Last = min(sum.First, r.First), max(sum.Last, r.Last)
		sum.Flows += r.Flows
		sum.Packets, sum.Bytes = sum.Packets+r.Packets, sum.Bytes+r.Bytes
		sum.RevPackets, sum.RevBytes = sum.RevPackets+r.RevPackets, sum.RevBytes+r.RevBytes
		sum.Flags, sum.RevFlags = sum.Flags|r.Flags, sum.RevFlags|r.RevFlags
	}
	return sum, sum.Flows > 0
}

// row returns a cell as a row.
func (t *Table) row(p *part, c Cell) Row {
	r := Row{Key: t.key(c), Own: t.Own(c), First: c[cellFirst], Last: c[cellLast], Flows: c[cellFlows],
		Packets: c[cellPackets], Bytes: c[cellBytes], Flags: uint8(c[cellMore]), RevFlags: uint8(c[cellMore] >> 8)}
	if n := c[cellMore] >> 32; n > 0 {
		r.RevPackets, r.RevBytes = p.reverse[n-1].packets, p.reverse[n-1].bytes
	}
	return r
}

// Compare orders the keys of two rows, the first word first.
func (t *Table) Compare(i, j Ref) int {
	return slices.Compare(t.key(t.cell(&t.parts[i>>32], uint32(i))), t.key(t.cell(&t.parts[j>>32], uint32(j))))
}
