package aggregate

import (
	"encoding/binary"
	"testing"
)

// words is the length of the keys of most tests.
const words = 3

// sums are what a row has, in a form that can be compared.
type sums struct {
	first, last, flows, packets, bytes, revPackets, revBytes uint64
	flags, revFlags                                          uint8
}

// flowOf is a flow of a test.
type flowOf struct {
	key [words]uint64
	sums
}

// flowsOf makes flows of bytes, ten for each: few keys, in any order.
func flowsOf(b []byte) (flows []flowOf) {
	for ; len(b) >= 10; b = b[10:] {
		first := uint64(binary.LittleEndian.Uint16(b[2:]))
		flows = append(flows, flowOf{[words]uint64{uint64(b[0] >> 7), uint64(b[0] & 0x7f), uint64(b[1] & 3)},
			sums{first, first + uint64(b[4]), 1 + uint64(b[5]), uint64(b[6]), uint64(b[7]), uint64(b[8]), uint64(b[9]),
				b[5], b[6]}})
	}
	return flows
}

// addFlows adds flows to a table, in batches of that many.
func addFlows(t *Table, flows []flowOf, batch int) {
	for len(flows) > 0 {
		n := min(batch, len(flows))
		keys, cells := make([]uint64, 0, n*words), make([]Cell, n)
		for i := range n {
			keys = append(keys, flows[i].key[:]...)
		}
		t.Locate(keys, cells)
		for i, c := range cells {
			f := &flows[i]
			c.Add(f.first, f.last, f.flows, f.packets, f.bytes)
			c.AddFlags(f.flags)
			c.AddReverseFlags(f.revFlags)
			if f.revPackets|f.revBytes != 0 {
				t.AddReverse(c, f.key[:], f.revPackets, f.revBytes)
			}
		}
		flows = flows[n:]
	}
}

// plus adds the sums of o to s, whose first may be that of no flow yet.
func (s *sums) plus(o sums) {
	if s.flows == 0 {
		s.first = o.first
	}
	s.first, s.last = min(s.first, o.first), max(s.last, o.last)
	s.flows += o.flows
	s.packets, s.bytes = s.packets+o.packets, s.bytes+o.bytes
	s.revPackets, s.revBytes = s.revPackets+o.revPackets, s.revBytes+o.revBytes
	s.flags, s.revFlags = s.flags|o.flags, s.revFlags|o.revFlags
}

// sums returns those of a row.
func (r *Row) sums() sums {
	return sums{r.First, r.Last, r.Flows, r.Packets, r.Bytes, r.RevPackets, r.RevBytes, r.Flags, r.RevFlags}
}

// all returns the sums over all rows and the rest.
func (t *Table) all() (sum sums) {
	for ref := range t.Rows() {
		r := t.Row(ref)
		sum.plus(r.sums())
	}
	if rest, some := t.Rest(); some {
		sum.plus(rest.sums())
	}
	return sum
}

// check compares a table with the flows that it has, summed up in another way: each
// row is the sums of its key, of which the first have rows, and the rest is all others.
func check(t *testing.T, table *Table, flows []flowOf, bound int, exact bool) {
	t.Helper()
	want, all := map[[words]uint64]*sums{}, sums{}
	for i := range flows {
		f := &flows[i]
		if want[f.key] == nil {
			want[f.key] = new(sums)
		}
		want[f.key].plus(f.sums)
		all.plus(f.sums)
	}
	if most := min(len(want), bound); table.Len() != most {
		t.Errorf("%d rows, expected %d", table.Len(), most)
	}
	seen := map[[words]uint64]bool{}
	for ref := range table.Rows() {
		r := table.Row(ref)
		key := [words]uint64(r.Key)
		if seen[key] {
			t.Errorf("key %v has two rows", key)
		}
		seen[key] = true
		if w := want[key]; w == nil || exact && r.sums() != *w {
			t.Errorf("row %+v, expected %+v", r, w)
		}
	}
	if _, some := table.Rest(); some != (len(want) > bound) && exact {
		t.Errorf("a rest: %v, with %d keys for %d rows", some, len(want), bound)
	}
	if sum := table.all(); sum != all {
		t.Errorf("all rows sum up to %+v, the flows to %+v", sum, all)
	}
}

// FuzzSums: with any flows, in batches of any size, the sums over rows and the rest are
// those over flows, and so they are when two tables are merged.
func FuzzSums(f *testing.F) {
	seed := make([]byte, 4000)
	for i := range seed {
		seed[i] = byte(i * i / 7)
	}
	f.Add(seed, uint8(7), uint8(20))
	f.Add(seed, uint8(63), uint8(255))
	f.Add(seed[:1300], uint8(0), uint8(1))
	f.Add([]byte{}, uint8(0), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, batch, bound uint8) {
		size, most := 1+int(batch)%Batch, max(1, int(bound))
		flows := flowsOf(b)
		table := New(Options{Words: words, Bound: most})
		addFlows(table, flows, size)
		check(t, table, flows, most, true)

		half := len(flows) / 2
		one := New(Options{Words: words, Bound: most})
		two := one.Twin()
		addFlows(one, flows[:half], size)
		addFlows(two, flows[half:], size)
		_, some := one.Rest()
		_, more := two.Rest()
		one.Merge(two)
		if !some && !more {
			check(t, one, flows, most, true)
			return
		}
		var all sums
		for i := range flows {
			all.plus(flows[i].sums)
		}
		if sum := one.all(); sum != all || one.Len() > most {
			t.Errorf("merged: %d rows sum up to %+v, the flows to %+v", one.Len(), sum, all)
		}
	})
}

// manyFlows are two flows for each of so many keys.
func manyFlows(keys int) []flowOf {
	flows := make([]flowOf, 2*keys)
	for i := range flows {
		flows[i].key = [words]uint64{0, uint64(i % keys), 6}
		flows[i].sums = sums{first: uint64(i), last: uint64(i), flows: 1, packets: 2, bytes: uint64(i)}
	}
	return flows
}

// TestManyKeys: a table grows with its keys, over many chunks, and stops at its bound,
// where its memory does too.
func TestManyKeys(t *testing.T) {
	const keys = 100_000
	flows := manyFlows(keys)
	for _, bound := range []int{0, 1, 5000, keys} {
		table := New(Options{Words: words, Bound: bound})
		addFlows(table, flows, Batch)
		most := bound
		if bound == 0 {
			most = keys
		}
		check(t, table, flows, most, true)
		cells, index := 0, 0
		for i := range table.parts {
			cells += len(table.parts[i].chunks) * chunkCells
			index += len(table.parts[i].index)
		}
		if cells > most+numParts*chunkCells || index > numParts*4*Batch+5*most {
			t.Errorf("bound %d: memory for %d cells, an index of %d", bound, cells, index)
		}
	}
}

// TestJoined: when two rows become one, the caller says of its own words which stay.
func TestJoined(t *testing.T) {
	const keys = 1000
	one := New(Options{Words: words, Own: 1, Joined: func(into, from []uint64) {
		if into[0] == 0 || from[0] < into[0] {
			into[0] = from[0]
		}
	}})
	two := one.Twin()
	addFlows(one, manyFlows(keys), Batch)
	addFlows(two, manyFlows(2*keys), Batch)
	for i, table := range []*Table{one, two} {
		for ref := range table.Rows() {
			r := table.Row(ref)
			r.Own[0] = 1 + (r.Key[1]+uint64(i))%2
		}
	}
	one.Merge(two)
	for ref := range one.Rows() {
		r := one.Row(ref)
		want := uint64(1)
		if r.Key[1] >= keys {
			want = 1 + (r.Key[1]+1)%2
		}
		if r.Own[0] != want {
			t.Fatalf("%+v, expected %d", r, want)
		}
	}
}

// TestCompare: the first word first, as numbers without sign.
func TestCompare(t *testing.T) {
	table := New(Options{Words: words})
	rising := [][words]uint64{{}, {0, 0, 6}, {0, 1}, {0, 1, 1}, {1}, {1 << 63}}
	var keys []uint64
	for _, k := range rising {
		keys = append(keys, k[:]...)
	}
	table.Locate(keys, make([]Cell, len(rising)))
	refs := map[[words]uint64]Ref{}
	for ref := range table.Rows() {
		refs[[words]uint64(table.Row(ref).Key)] = ref
	}
	for i := range rising {
		for j := range rising {
			if got := table.Compare(refs[rising[i]], refs[rising[j]]); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%v and %v: %d", rising[i], rising[j], got)
			}
		}
	}
}

// BenchmarkLocate is the look-up and the sums of a flow, of 200,000 keys in turns.
func BenchmarkLocate(b *testing.B) {
	const keys = 1_200_000
	table := New(Options{Words: 2})
	var batch [2 * Batch]uint64
	var cells [Batch]Cell
	n := uint64(0)
	for b.Loop() {
		for i := range Batch {
			n++
			batch[2*i+1] = n * 7919 % keys
		}
		table.Locate(batch[:], cells[:])
		for _, c := range cells {
			c.Add(1, 2, 1, 3, 4)
		}
	}
}
