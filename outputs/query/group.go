package query

import (
	"cmp"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// cell holds the sums of one row. It is a line of the cache, 64 bytes, and never
// moves.
type cell struct {
	value          flow.Value
	first, last    uint64 // milliseconds since 1970
	flows          uint64
	packets, bytes uint64 // of the flow's direction
	reverse        uint32 // position in group.reverse, plus one; 0 is none
	proto          uint8
	known          bool // the protocol is part of the key
}

// is says whether k is the key of the cell.
func (c *cell) is(k *Key) bool { return c.value == k.value && c.proto == k.proto }

// key returns the key of the cell.
func (c *cell) key() Key { return Key{c.value, c.proto, c.known} }

// counters are those of the reverse direction, which most flows do not have.
type counters struct{ packets, bytes uint64 }

// group is a hash table of cells. The index holds the numbers of cells, plus one;
// its size is a power of two and at least twice the number of cells. The hash is
// seeded: addresses in flows can be chosen by an attacker.
type group struct {
	chunks  []*[chunkCells]cell
	size    int // cells in use
	reverse []counters
	index   []uint32
	seed    uint64
	touched uint64
}

const (
	chunkBits  = 10
	chunkCells = 1 << chunkBits
)

func (g *group) init() {
	g.index = make([]uint32, 1024)
	g.seed = rand.Uint64()
}

// cell returns cell number i.
func (g *group) cell(i uint32) *cell { return &g.chunks[i>>chunkBits][i&(chunkCells-1)] }

// count counts at most batchSize flows by their values in a column.
func (g *group) count(flows []nffile.Brief, column int, byProto bool) {
	var keys [batchSize]Key
	var cells [batchSize]*cell
	for i := range flows {
		keys[i].value = flows[i].Values[column]
		if byProto {
			keys[i].proto, keys[i].Known = flows[i].Proto, true
		}
	}
	g.locate(keys[:len(flows)], cells[:len(flows)])
	for i, c := range cells[:len(flows)] {
		f := &flows[i]
		c.add(f.First, f.Last, f.Flows, f.Packets, f.Bytes)
		if f.RevPackets|f.RevBytes != 0 {
			g.addReverse(c, f.RevPackets, f.RevBytes)
		}
	}
}

// merge adds the sums of o.
func (g *group) merge(o *group) {
	var keys [batchSize]Key
	var cells [batchSize]*cell
	for from := 0; from < o.size; from += batchSize {
		n := min(batchSize, o.size-from)
		for i := range n {
			keys[i] = o.cell(uint32(from + i)).key()
		}
		g.locate(keys[:n], cells[:n])
		for i, c := range cells[:n] {
			a := o.cell(uint32(from + i))
			c.add(a.first, a.last, a.flows, a.packets, a.bytes)
			if a.reverse > 0 {
				r := &o.reverse[a.reverse-1]
				g.addReverse(c, r.packets, r.bytes)
			}
		}
	}
}

// add adds sums.
func (c *cell) add(first, last, flows, packets, bytes uint64) {
	c.first = min(c.first, first)
	c.last = max(c.last, last)
	c.flows += flows
	c.packets += packets
	c.bytes += bytes
}

// addReverse adds counters of the reverse direction.
func (g *group) addReverse(c *cell, packets, bytes uint64) {
	if c.reverse == 0 {
		g.reverse = append(g.reverse, counters{})
		c.reverse = uint32(len(g.reverse))
	}
	r := &g.reverse[c.reverse-1]
	r.packets += packets
	r.bytes += bytes
}

// locate finds the cells of at most batchSize keys, and makes those that are not
// there. The index is read for all keys, then the cells that it names, and only then
// are the keys compared: so the processor need not wait for one to ask for the next.
func (g *group) locate(keys []Key, cells []*cell) {
	for 2*(g.size+len(keys)) > len(g.index) {
		g.grow()
	}
	var slots [batchSize]uint32
	var first [batchSize]uint32
	for i := range keys {
		slots[i] = g.slot(&keys[i])
		first[i] = g.index[slots[i]]
	}
	touched := g.touched
	for i := range keys {
		cells[i] = nil
		if first[i] != 0 {
			c := g.cell(first[i] - 1)
			touched ^= c.value.Lo
			cells[i] = c
		}
	}
	g.touched = touched // the loads above must not be optimised away
	for i := range keys {
		if c := cells[i]; c == nil || !c.is(&keys[i]) {
			cells[i] = g.find(&keys[i], slots[i])
		}
	}
}

// slot returns where the search for k begins.
func (g *group) slot(k *Key) uint32 {
	hi, lo := bits.Mul64(k.value.Hi^g.seed, k.value.Lo^uint64(k.proto)<<56^0x9E3779B97F4A7C15)
	hi, lo = bits.Mul64(hi^lo^k.value.Lo, g.seed|1)
	return uint32(hi^lo) & uint32(len(g.index)-1)
}

// find returns the cell of k, a new one when there is none. The search begins at a
// slot; the index has room.
func (g *group) find(k *Key, slot uint32) *cell {
	mask := uint32(len(g.index) - 1)
	for ; g.index[slot] != 0; slot = (slot + 1) & mask {
		if c := g.cell(g.index[slot] - 1); c.is(k) {
			return c
		}
	}
	if g.size == len(g.chunks)*chunkCells {
		g.chunks = append(g.chunks, new([chunkCells]cell))
	}
	c := g.cell(uint32(g.size))
	*c = cell{value: k.value, proto: k.proto, known: k.Known, first: ^uint64(0)}
	g.size++
	g.index[slot] = uint32(g.size)
	return c
}

// grow doubles the index.
func (g *group) grow() {
	g.index = make([]uint32, 2*len(g.index))
	mask := uint32(len(g.index) - 1)
	for n := range uint32(g.size) {
		k := g.cell(n).key()
		i := g.slot(&k)
		for g.index[i] != 0 {
			i = (i + 1) & mask
		}
		g.index[i] = n + 1
	}
}

// row returns cell number i as a row.
func (g *group) row(i uint32) Row {
	c := g.cell(i)
	r := Row{Key: c.key(), First: c.first, Last: c.last, Flows: c.flows, InPackets: c.packets, InBytes: c.bytes}
	if c.reverse > 0 {
		r.OutPackets, r.OutBytes = g.reverse[c.reverse-1].packets, g.reverse[c.reverse-1].bytes
	}
	return r
}

// top returns the first n rows in an order, all when n is 0.
func (g *group) top(o Order, n int, ascending bool) []Row {
	type ranked struct {
		value uint64
		cell  uint32
	}
	compare := func(a, b ranked) int {
		c := cmp.Compare(b.value, a.value)
		if ascending {
			c = -c
		}
		if c == 0 {
			c = compareKeys(g.cell(a.cell), g.cell(b.cell))
		}
		return c
	}
	if n <= 0 || n > g.size {
		n = g.size
	}
	// The first n are kept, unsorted beyond twice that, and cut back when full: what
	// comes behind them then is passed over.
	best, full := make([]ranked, 0, 2*n), false
	for i := range uint32(g.size) {
		r := g.row(i)
		next := ranked{r.value(o), i}
		if full && compare(next, best[n-1]) > 0 {
			continue
		}
		best = append(best, next)
		if len(best) == 2*n {
			slices.SortFunc(best, compare)
			best, full = best[:n], true
		}
	}
	slices.SortFunc(best, compare)
	rows := make([]Row, 0, n)
	for _, b := range best[:min(n, len(best))] {
		rows = append(rows, g.row(b.cell))
	}
	return rows
}

// compareKeys orders cells by value, then by protocol.
func compareKeys(a, b *cell) int {
	return cmp.Or(cmp.Compare(a.value.Hi, b.value.Hi), cmp.Compare(a.value.Lo, b.value.Lo), cmp.Compare(a.proto, b.proto))
}
