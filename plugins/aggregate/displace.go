package aggregate

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// Beyond the bound a Table can go on as weighted Space-Saving (Metwally, Agrawal, El
// Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams, 2005): a
// key without a row takes that of the least weight, whose sums go to the rest. So the
// sums stay exact.
//
// To find the lightest row costs more than all else, so the lightest quarter of a part is
// displaced at once, and the next keys take these cells (Anderson et al.: A
// High-Performance Algorithm for Identifying Frequent Items in Data Streams, 2017). A key
// that weighs more than all flows of its part by three quarters of the part's rows has a
// row for certain.
//
// Most keys never weigh as much as what was displaced last, and need no row: a sieve of
// some weights, of which each key has one, together with others, has what was added to the
// rest for them, and while that is no more than the heaviest that was displaced their flows
// go to the rest at once (Homem, Carvalho: Finding top-k elements in data streams, 2010).

// displacedShare is one row in how many is displaced at once.
const displacedShare = 4

// standing is what a row weighs.
type standing struct {
	weight uint64
	cell   uint32
}

// restBit marks the cell of the rest, in cellMore.
const restBit = 1 << 16

// IsRest says whether a cell that Locate found is one of the rest.
func (t *Table) IsRest(c Cell) bool { return c[cellMore]&restBit != 0 }

// IsFull says whether a new key gets no row.
func (t *Table) IsFull() bool { return t.size+t.spare >= t.bound }

// Weight is what a row weighs: the sum of two words of its cell.
type Weight [2]int

// FlowsWord is the word of a cell that counts its flows.
const FlowsWord = cellFlows

// OwnWord returns which word of a cell the i-th of the caller's is.
func (t *Table) OwnWord(i int) int { return cellKey + t.words + i }

// Of returns what a cell weighs.
func (w Weight) Of(c Cell) uint64 { return c[w[0]] + c[w[1]] }

// sieveShare is how many weights the sieve of a part has at least for each of its rows, and
// half of how many at most.
const sieveShare = 2

// Displace returns the cell that a flow of a key is to be added to, for which Locate has
// found one of the rest, the last time that it was called. adds is what the flow will add to
// the weight of a cell. It is a cell of the key where it has a row by now, or where it may
// weigh more than the heaviest row that was displaced in its part: that of one of the
// lightest, whose sums have gone to the rest. That cell is new, and least is what the rest
// may have of the key at most. Else it is the cell of the rest, and least is 0. Weight must
// not fall while sums are added. Cells that were located before may be of other keys
// afterwards.
func (t *Table) Displace(key []uint64, adds uint64, weight Weight) (c Cell, least uint64) {
	hash := t.hash(key)
	p := t.partOf(hash)
	if t.taken > 0 {
		if c := t.find(p, key, hash, p.size); !t.IsRest(c) {
			return c, 0
		}
	}
	if p.size+len(p.spare) == 0 {
		t.pass(hash)
		return p.rest, 0
	}
	if p.sieve == nil {
		p.sieve = newWords(1 << bits.Len(uint(sieveShare*p.size-1)))
	}
	passed := p.passed(hash)
	if *passed+adds <= p.displaced {
		*passed += adds
		t.pass(hash)
		return p.rest, 0
	}
	least = *passed
	if len(p.spare) == 0 {
		t.displaceLightest(p, weight)
	}
	last := len(p.spare) - 1
	number := p.spare[last]
	p.spare = p.spare[:last]
	c = t.cell(p, number)
	copy(t.key(c), key)
	p.insert(placeOf(hash, number))
	p.size++
	t.size, t.spare, t.taken = t.size+1, t.spare-1, t.taken+1
	return c, least
}

// passed returns what the rest has of the keys that share a weight of the sieve with one,
// by its hash, at most. The index has the lower half of hashes, and parts the highest bits.
func (p *part) passed(hash uint64) *uint64 { return &p.sieve[hash>>32&uint64(len(p.sieve)-1)] }

// pass notes that the rest has something of a key, by its hash.
func (t *Table) pass(hash uint64) {
	if t.beyond != nil {
		t.beyond(hash)
	}
}

// displaceLightest moves the lightest rows of a part, which has some, to the rest.
func (t *Table) displaceLightest(p *part, weight Weight) {
	p.standings = slices.Grow(p.standings[:0], p.size)
	for n := range t.rowsOf(p) {
		p.standings = append(p.standings, standing{weight.Of(t.cell(p, n)), n})
	}
	list := p.standings
	n := max(1, len(list)/displacedShare)
	lightestFirst(list, n)
	for _, s := range list[:n] {
		p.displaced = max(p.displaced, s.weight)
		c := t.cell(p, s.cell)
		hash := t.hash(t.key(c))
		passed := p.passed(hash)
		*passed = max(*passed, s.weight)
		t.pass(hash)
		t.mergeCell(p, p.rest, p, c)
		if r := c[cellMore] >> 32; r > 0 {
			p.reverse[r-1] = counters{}
		}
		p.remove(hash, s.cell)
		more := c[cellMore] &^ (1<<32 - 1)
		clear(c)
		c[cellFirst], c[cellMore] = ^uint64(0), more
		p.spare = append(p.spare, s.cell)
	}
	p.size -= n
	t.size, t.spare = t.size-n, t.spare+n
}

// lightestFirst puts the n lightest before the others: quickselect (Hoare: Algorithm 65,
// Find, 1961).
func lightestFirst(list []standing, n int) {
	for len(list) > 1 && n > 0 && n < len(list) {
		pivot := list[rand.IntN(len(list))].weight // who sends flows can choose their weights
		i, j := 0, len(list)-1
		for i <= j {
			for list[i].weight < pivot {
				i++
			}
			for list[j].weight > pivot {
				j--
			}
			if i <= j {
				list[i], list[j] = list[j], list[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case n <= j:
			list = list[:j+1]
		case n >= i:
			list, n = list[i:], n-i
		default:
			return
		}
	}
}

// remove takes a cell, by the hash of its key, out of the index, and moves those behind it up
// that would not be found else.
func (p *part) remove(hash uint64, number uint32) {
	mask := uint32(len(p.index) - 1)
	hole := uint32(hash) & mask
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
