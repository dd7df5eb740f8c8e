package aggregate

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// Displacing keeps the sums exact, the rows within the bound, and every key whose weight
// may matter in a row: what a row lacks is at most what it inherited, and what weighs more
// than all flows of its part by three quarters of the rows has one. Of
// which keys the rest has something is told.
func TestDisplace(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		bound := 1 + r.IntN(300)
		if seed%3 == 0 {
			bound += fewCells - 100 // of several parts, mostly
		}
		beyond := map[uint64]bool{}
		table := New(Options{Words: words, Own: 1, Bound: bound,
			Joined: func(into, from []uint64) { into[0] += from[0] }, Beyond: func(hash uint64) { beyond[hash] = true }})
		weight := Weight{cellBytes, table.OwnWord(0)}
		inherited := map[[words]uint64]uint64{}
		want, all := map[[words]uint64]uint64{}, sums{}
		add := func(c Cell, f *flowOf) {
			c.Add(f.first, f.last, f.flows, f.packets, f.bytes)
			c.AddFlags(f.flags)
			c.AddReverseFlags(f.revFlags)
			table.AddReverse(c, f.key[:], f.revPackets, f.revBytes)
		}
		for range 2000 {
			var flows []flowOf
			var keys []uint64
			for range 1 + r.IntN(20) {
				f := flowOf{key: [words]uint64{uint64(r.IntN(3)), r.Uint64N(1 + r.Uint64N(6000)), 7},
					sums: sums{5, 9, 1, 2, 1 + r.Uint64N(100), r.Uint64N(3), 1, 2, 4}}
				for range 1 + r.IntN(2) { // one that has no row may come again at once
					want[f.key] += f.bytes
					all.plus(f.sums)
					flows, keys = append(flows, f), append(keys, f.key[:]...)
				}
			}
			var cells [Batch]Cell
			table.Locate(keys, cells[:len(flows)])
			for i := range flows {
				if !table.IsRest(cells[i]) {
					add(cells[i], &flows[i])
				}
			}
			for i := range flows {
				if !table.IsRest(cells[i]) {
					continue
				}
				f := &flows[i]
				c, least := table.Displace(f.key[:], f.bytes, weight)
				if c.IsNew() {
					table.Own(c)[0], inherited[f.key] = least, least
				}
				add(c, f)
			}
		}
		got, rows, kept, lacks := sums{}, 0, map[[words]uint64]bool{}, maps.Clone(want)
		addRow := func(row Row) {
			got.plus(sums{row.First, row.Last, row.Flows, row.Packets, row.Bytes, row.RevPackets, row.RevBytes,
				row.Flags, row.RevFlags})
		}
		for ref := range table.Rows() {
			row := table.Row(ref)
			rows++
			addRow(row)
			key := [words]uint64(row.Key)
			kept[key], lacks[key] = true, want[key]-row.Bytes
			if row.Bytes > want[key] || row.Bytes+row.Own[0] < want[key] || row.Own[0] != inherited[key] {
				t.Fatalf("seed %d: %v has %d bytes and lacks %d at most, had %d", seed, key, row.Bytes, row.Own[0],
					want[key])
			}
		}
		table.Rests(addRow)
		checkHeavy(t, table, want, kept)
		for key, bytes := range lacks {
			if told := beyond[table.Hash(key[:])]; told != (bytes > 0) {
				t.Fatalf("seed %d: the rest has %d bytes of %v, which was told: %v", seed, bytes, key, told)
			}
		}
		if got != all || rows > bound || table.Len() != rows {
			t.Fatalf("seed %d: %d rows of %d have %+v, want %+v", seed, rows, bound, got, all)
		}
	}
}

// Keys that weigh less than what has been displaced stay in the rest, and take no row from
// others, as long as what they share a weight of the sieve with does.
func TestLightKeysDisplaceNothing(t *testing.T) {
	const bound, weighs = 100, 1000
	displaced := 0
	table := New(Options{Words: words, Own: 1, Bound: bound, Beyond: func(uint64) { displaced++ }})
	weight := Weight{cellBytes, table.OwnWord(0)}
	add := func(key [words]uint64, bytes uint64) Cell {
		var cells [1]Cell
		if table.Locate(key[:], cells[:]); table.IsRest(cells[0]) {
			cells[0], _ = table.Displace(key[:], bytes, weight)
		}
		cells[0].Add(1, 1, 1, 1, bytes)
		return cells[0]
	}
	for k := range uint64(bound + 1) {
		add([words]uint64{1, k}, weighs)
	}
	if want := bound / displacedShare; displaced != want {
		t.Fatalf("the first key too many has displaced %d, want %d", displaced, want)
	}
	rows := table.Len()
	for k := range uint64(10 * bound) {
		key := [words]uint64{2, k}
		if *table.parts[0].passed(table.Hash(key[:])) >= weighs {
			continue // who shares it was displaced
		}
		if c := add(key, 1); !table.IsRest(c) || table.Len() != rows {
			t.Fatalf("key %d, which weighs nothing, has a row", k)
		}
	}
	heavy, parts := [words]uint64{3}, 0
	for ; table.IsRest(add(heavy, weighs/10)); parts++ {
		if parts > 10 {
			t.Fatal("what weighs more than the lightest row has none")
		}
	}
	if table.Len() != rows+1 {
		t.Errorf("%d rows, want that of the heavy key besides %d", table.Len(), rows)
	}
}

// checkHeavy says what has no row although it weighs enough for certain.
func checkHeavy(t *testing.T, table *Table, want map[[words]uint64]uint64, kept map[[words]uint64]bool) {
	t.Helper()
	all := map[*part]uint64{}
	for key, bytes := range want {
		all[table.partOf(table.hash(key[:]))] += bytes
	}
	for key, bytes := range want {
		p := table.partOf(table.hash(key[:]))
		rows := uint64(p.size + len(p.spare))
		if enough := rows - rows/displacedShare; enough > 0 && bytes > all[p]/enough+1 && !kept[key] {
			t.Fatalf("%v weighs %d of %d of its part, which has %d rows, but it has none", key, bytes, all[p], rows)
		}
	}
}
