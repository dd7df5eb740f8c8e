package aggregate

import (
	"encoding/binary"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// flowOf is a flow of a test.
type flowOf struct {
	key Key
	Row // its sums
}

// flowsOf makes flows of bytes, ten for each: few keys, in any order, with a protocol
// or without.
func flowsOf(b []byte) (flows []flowOf) {
	for ; len(b) >= 10; b = b[10:] {
		first := uint64(binary.LittleEndian.Uint16(b[2:]))
		f := flowOf{key: Key{Value: flow.Value{Hi: uint64(b[0] >> 7), Lo: uint64(b[0] & 0x7f)}}}
		if b[1]&1 != 0 {
			f.key.Proto, f.key.Known = b[1]>>1, true
		}
		f.Row = Row{First: first, Last: first + uint64(b[4]), Flows: 1 + uint64(b[5]), Packets: uint64(b[6]),
			Bytes: uint64(b[7]), RevPackets: uint64(b[8]), RevBytes: uint64(b[9])}
		flows = append(flows, f)
	}
	return flows
}

// add adds flows to a table, in batches of that many.
func add(t *Table, flows []flowOf, batch int) {
	for len(flows) > 0 {
		n := min(batch, len(flows))
		keys, cells := make([]Key, n), make([]*Cell, n)
		for i := range n {
			keys[i] = flows[i].key
		}
		t.Locate(keys, cells)
		for i, c := range cells {
			f := &flows[i]
			c.Add(f.First, f.Last, f.Flows, f.Packets, f.Bytes)
			if f.RevPackets|f.RevBytes != 0 {
				t.AddReverse(c, f.RevPackets, f.RevBytes)
			}
		}
		flows = flows[n:]
	}
}

// plus adds the sums of o to those of r, whose first may be that of no flow yet.
func (r *Row) plus(o *Row) {
	if r.Flows == 0 {
		r.First = o.First
	}
	r.First, r.Last = min(r.First, o.First), max(r.Last, o.Last)
	r.Flows += o.Flows
	r.Packets += o.Packets
	r.Bytes += o.Bytes
	r.RevPackets += o.RevPackets
	r.RevBytes += o.RevBytes
}

// check compares a table with the flows that it has, summed up in another way: each
// row is the sums of its key, of which the first have rows, and the rest is all others.
func check(t *testing.T, table *Table, flows []flowOf, bound int, exact bool) {
	t.Helper()
	want, all := map[Key]*Row{}, Row{}
	for i := range flows {
		f := &flows[i]
		if want[f.key] == nil {
			want[f.key] = &Row{Key: f.key}
		}
		want[f.key].plus(&f.Row)
		all.plus(&f.Row)
	}
	if most := min(len(want), bound); table.Len() != most {
		t.Errorf("%d rows, expected %d", table.Len(), most)
	}
	sum, seen := Row{}, map[Key]bool{}
	for i := range table.Len() {
		r := table.Row(i)
		if seen[r.Key] {
			t.Errorf("key %v has two rows", r.Key)
		}
		seen[r.Key] = true
		if w := want[r.Key]; w == nil || exact && r != *w {
			t.Errorf("row %+v, expected %+v", r, w)
		}
		sum.plus(&r)
	}
	rest, some := table.Rest()
	if some != (len(want) > bound) && exact {
		t.Errorf("a rest: %v, with %d keys for %d rows", some, len(want), bound)
	}
	if some {
		sum.plus(&rest)
	}
	if sum != all {
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
		table := New(most)
		add(table, flows, size)
		check(t, table, flows, most, true)

		half := len(flows) / 2
		one, two := New(most), New(most)
		add(one, flows[:half], size)
		add(two, flows[half:], size)
		lossless := one.rest.flows+two.rest.flows == 0
		one.Merge(two)
		if lossless {
			check(t, one, flows, most, true)
			return
		}
		var sum, all Row
		for i := range flows {
			all.plus(&flows[i].Row)
		}
		for i := range one.Len() {
			r := one.Row(i)
			sum.plus(&r)
		}
		if rest, some := one.Rest(); some {
			sum.plus(&rest)
		}
		if sum != all || one.Len() > most {
			t.Errorf("merged: %d rows sum up to %+v, the flows to %+v", one.Len(), sum, all)
		}
	})
}

// TestManyKeys: a table grows with its keys, over many chunks, and stops at its bound,
// where its memory does too.
func TestManyKeys(t *testing.T) {
	const keys = 100_000
	flows := make([]flowOf, 2*keys)
	for i := range flows {
		flows[i].key = Key{Value: flow.Value{Lo: uint64(i % keys)}, Proto: 6, Known: true}
		flows[i].Row = Row{First: uint64(i), Last: uint64(i), Flows: 1, Packets: 2, Bytes: uint64(i)}
	}
	for _, bound := range []int{0, 1, 5000, keys} {
		table := New(bound)
		add(table, flows, Batch)
		most := bound
		if bound == 0 {
			most = keys
		}
		check(t, table, flows, most, true)
		if cells := len(table.chunks) * chunkCells; cells > most+chunkCells || len(table.index) > max(1024, 4*most) {
			t.Errorf("bound %d: memory for %d cells, an index of %d", bound, cells, len(table.index))
		}
	}
}

// TestCompare: by value as a number of 128 bits, then by protocol.
func TestCompare(t *testing.T) {
	table := New(0)
	rising := []Key{{}, {Proto: 6, Known: true}, {Value: flow.Value{Lo: 1}},
		{Value: flow.Value{Lo: 1}, Proto: 1, Known: true},
		{Value: flow.Value{Hi: 1}}}
	table.Locate(rising, make([]*Cell, len(rising)))
	for i := range rising {
		for j := range rising {
			if got := table.Compare(i, j); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%v and %v: %d", rising[i], rising[j], got)
			}
		}
	}
}

// BenchmarkLocate is the look-up and the sums of a flow, of 200,000 keys in turns.
func BenchmarkLocate(b *testing.B) {
	const keys = 200_000
	table := New(0)
	var batch [Batch]Key
	var cells [Batch]*Cell
	n := uint64(0)
	for b.Loop() {
		for i := range batch {
			n++
			batch[i].Value.Lo = n * 7919 % keys
		}
		table.Locate(batch[:], cells[:])
		for _, c := range cells {
			c.Add(1, 2, 1, 3, 4)
		}
	}
}
