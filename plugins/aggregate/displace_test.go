package aggregate

import (
	"math/rand/v2"
	"testing"
)

// Displacing keeps the sums exact, the rows within the bound, and every key whose weight
// may matter in a row: what a row lacks is at most what it inherited.
func TestDisplace(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		bound := 1 + r.IntN(300)
		table := New(Options{Words: words, Own: 1, Bound: bound,
			Joined: func(into, from []uint64) { into[0] += from[0] }})
		weight := func(c Cell) uint64 { return c[cellBytes] + table.Own(c)[0] }
		inherited := map[[words]uint64]uint64{}
		want, all := map[[words]uint64]uint64{}, sums{}
		for range 20000 {
			f := &flowOf{key: [words]uint64{uint64(r.IntN(3)), r.Uint64N(1 + r.Uint64N(2000)), 7},
				sums: sums{5, 9, 1, 2, 1 + r.Uint64N(100), r.Uint64N(3), 1, 2, 4}}
			want[f.key] += f.bytes
			all.plus(f.sums)
			var cells [1]Cell
			table.Locate(f.key[:], cells[:])
			c := cells[0]
			if table.IsRest(c) {
				var least uint64
				var displaced bool
				if c, least, displaced = table.Displace(f.key[:], weight); displaced {
					table.Own(c)[0], inherited[f.key] = least, least
				}
			}
			c.Add(f.first, f.last, f.flows, f.packets, f.bytes)
			c.AddFlags(f.flags)
			c.AddReverseFlags(f.revFlags)
			table.AddReverse(c, f.key[:], f.revPackets, f.revBytes)
		}
		got, rows := sums{}, 0
		add := func(row Row) {
			got.plus(sums{row.First, row.Last, row.Flows, row.Packets, row.Bytes, row.RevPackets, row.RevBytes,
				row.Flags, row.RevFlags})
		}
		for ref := range table.Rows() {
			row := table.Row(ref)
			rows++
			add(row)
			key := [words]uint64(row.Key)
			if row.Bytes > want[key] || row.Bytes+row.Own[0] < want[key] || row.Own[0] != inherited[key] {
				t.Fatalf("seed %d: %v has %d bytes and lacks %d at most, had %d", seed, key, row.Bytes, row.Own[0],
					want[key])
			}
		}
		table.Rests(add)
		if got != all || rows > bound || table.Len() != rows {
			t.Fatalf("seed %d: %d rows of %d have %+v, want %+v", seed, rows, bound, got, all)
		}
	}
}
