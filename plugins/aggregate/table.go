// Package aggregate sums flows up by key: a value of a field, and the protocol where it
// is asked for. The sums are exact. A bound keeps the memory of keys that somebody
// else chooses, as addresses, finite: what has a key beyond it is summed in one row for
// the rest, so that the rows always sum up to all flows.
package aggregate

import (
	"cmp"
	"math/bits"
	"math/rand/v2"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Key is what the flows of one row have in common.
type Key struct {
	Value flow.Value // of the field that is aggregated by
	Proto uint8      // 0 where it is not known
	Known bool       // the protocol is part of the key
}

// Row is the sums of the flows of one key.
type Row struct {
	Key
	First, Last          uint64 // milliseconds since 1970
	Flows                uint64
	Packets, Bytes       uint64 // of the flow's direction
	RevPackets, RevBytes uint64
}

// Cell holds the sums of one row. It is a line of the cache, 64 bytes, and never
// moves.
type Cell struct {
	value          flow.Value
	first, last    uint64 // milliseconds since 1970
	flows          uint64
	packets, bytes uint64 // of the flow's direction
	reverse        uint32 // position in Table.reverse, plus one; 0 is none
	proto          uint8
	known          bool // the protocol is part of the key
}

// is says whether k is the key of the cell.
func (c *Cell) is(k *Key) bool { return c.value == k.Value && c.proto == k.Proto && c.known == k.Known }

// key returns the key of the cell.
func (c *Cell) key() Key { return Key{c.value, c.proto, c.known} }

// counters are those of the reverse direction, which most flows do not have.
type counters struct{ packets, bytes uint64 }

// Table is a hash table of cells. The index holds the numbers of cells, plus one;
// its size is a power of two and at least twice the number of cells. The hash is
// seeded: addresses in flows can be chosen by an attacker.
type Table struct {
	chunks  []*[chunkCells]Cell
	size    int // cells in use
	reverse []counters
	index   []uint32
	seed    uint64
	bound   int  // cells at most
	rest    Cell // of the keys beyond them
	touched uint64
}

const (
	chunkBits  = 10
	chunkCells = 1 << chunkBits

	maxCells = 1<<30 - 1 // the index has twice as many, numbered by 32 bits
)

// Batch is how many keys are looked up at once: their cache misses overlap.
const Batch = 64

// New returns an empty Table that has rows for at most bound keys, or for all when
// bound is 0. Which keys have rows is who comes first; all others go into the rest.
func New(bound int) *Table {
	if bound <= 0 {
		bound = maxCells
	}
	t := &Table{index: make([]uint32, 1024), seed: rand.Uint64(), bound: min(bound, maxCells)}
	t.rest.first = ^uint64(0)
	return t
}

// Len returns how many keys have a row.
func (t *Table) Len() int { return t.size }

// cell returns cell number i.
func (t *Table) cell(i uint32) *Cell { return &t.chunks[i>>chunkBits][i&(chunkCells-1)] }

// Merge adds the sums of o.
func (t *Table) Merge(o *Table) {
	var keys [Batch]Key
	var cells [Batch]*Cell
	for from := 0; from < o.size; from += Batch {
		n := min(Batch, o.size-from)
		for i := range n {
			keys[i] = o.cell(uint32(from + i)).key()
		}
		t.Locate(keys[:n], cells[:n])
		for i, c := range cells[:n] {
			t.mergeCell(c, o, o.cell(uint32(from+i)))
		}
	}
	t.mergeCell(&t.rest, o, &o.rest)
}

// mergeCell adds the sums of a cell of o.
func (t *Table) mergeCell(c *Cell, o *Table, a *Cell) {
	c.Add(a.first, a.last, a.flows, a.packets, a.bytes)
	if a.reverse > 0 {
		r := &o.reverse[a.reverse-1]
		t.AddReverse(c, r.packets, r.bytes)
	}
}

// Add adds flows: of the first and last millisecond since 1970, so many, with the
// packets and bytes of their direction.
func (c *Cell) Add(first, last, flows, packets, bytes uint64) {
	c.first = min(c.first, first)
	c.last = max(c.last, last)
	c.flows += flows
	c.packets += packets
	c.bytes += bytes
}

// AddReverse adds counters of the reverse direction to a cell of the table.
func (t *Table) AddReverse(c *Cell, packets, bytes uint64) {
	if c.reverse == 0 {
		t.reverse = append(t.reverse, counters{})
		c.reverse = uint32(len(t.reverse))
	}
	r := &t.reverse[c.reverse-1]
	r.packets += packets
	r.bytes += bytes
}

// Locate finds the cells of at most Batch keys, and makes those that are not
// there; with the bound reached it is the cell of the rest. The index is read for all keys, then the cells
// that it names, and only then are the keys compared: so the processor need not wait for one to ask for the
// next.
func (t *Table) Locate(keys []Key, cells []*Cell) {
	for 2*min(t.size+len(keys), t.bound) > len(t.index) {
		t.grow()
	}
	var slots [Batch]uint32
	var first [Batch]uint32
	for i := range keys {
		slots[i] = t.slot(&keys[i])
		first[i] = t.index[slots[i]]
	}
	touched := t.touched
	for i := range keys {
		cells[i] = nil
		if first[i] != 0 {
			c := t.cell(first[i] - 1)
			touched ^= c.value.Lo
			cells[i] = c
		}
	}
	t.touched = touched // the loads above must not be optimised away
	for i := range keys {
		if c := cells[i]; c == nil || !c.is(&keys[i]) {
			cells[i] = t.find(&keys[i], slots[i])
		}
	}
}

// slot returns where the search for k begins.
func (t *Table) slot(k *Key) uint32 {
	hi, lo := bits.Mul64(k.Value.Hi^t.seed, k.Value.Lo^uint64(k.Proto)<<56^0x9E3779B97F4A7C15)
	hi, lo = bits.Mul64(hi^lo^k.Value.Lo, t.seed|1)
	return uint32(hi^lo) & uint32(len(t.index)-1)
}

// find returns the cell of k, a new one when there is none, or that of the rest. The search begins at a
// slot; the index has room.
func (t *Table) find(k *Key, slot uint32) *Cell {
	mask := uint32(len(t.index) - 1)
	for ; t.index[slot] != 0; slot = (slot + 1) & mask {
		if c := t.cell(t.index[slot] - 1); c.is(k) {
			return c
		}
	}
	if t.size == t.bound {
		return &t.rest
	}
	if t.size == len(t.chunks)*chunkCells {
		t.chunks = append(t.chunks, new([chunkCells]Cell))
	}
	c := t.cell(uint32(t.size))
	*c = Cell{value: k.Value, proto: k.Proto, known: k.Known, first: ^uint64(0)}
	t.size++
	t.index[slot] = uint32(t.size)
	return c
}

// grow doubles the index.
func (t *Table) grow() {
	t.index = make([]uint32, 2*len(t.index))
	mask := uint32(len(t.index) - 1)
	for n := range uint32(t.size) {
		k := t.cell(n).key()
		i := t.slot(&k)
		for t.index[i] != 0 {
			i = (i + 1) & mask
		}
		t.index[i] = n + 1
	}
}

// Row returns row i, of those from 0 to Len.
func (t *Table) Row(i int) Row { return t.row(t.cell(uint32(i))) }

// Rest returns the sums of all flows whose keys have no row, false when there are none.
func (t *Table) Rest() (Row, bool) { return t.row(&t.rest), t.rest.flows > 0 }

// row returns a cell as a row.
func (t *Table) row(c *Cell) Row {
	r := Row{Key: c.key(), First: c.first, Last: c.last, Flows: c.flows, Packets: c.packets, Bytes: c.bytes}
	if c.reverse > 0 {
		r.RevPackets, r.RevBytes = t.reverse[c.reverse-1].packets, t.reverse[c.reverse-1].bytes
	}
	return r
}

// Compare orders the keys of two rows: by value, then by protocol.
func (t *Table) Compare(i, j int) int {
	a, b := t.cell(uint32(i)), t.cell(uint32(j))
	return cmp.Or(cmp.Compare(a.value.Hi, b.value.Hi), cmp.Compare(a.value.Lo, b.value.Lo),
		cmp.Compare(a.proto, b.proto))
}
