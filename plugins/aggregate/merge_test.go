package aggregate

import (
	"fmt"
	"testing"
)

// fill adds to a table, and to what is wanted of it, a flow of each key from one to another, and
// counters of the way back for every third.
func fill(t *Table, from, to uint64, want map[uint64][2]uint64) {
	var cells [1]Cell
	for k := from; k < to; k++ {
		key := []uint64{k % 7, k}
		t.Locate(key, cells[:])
		cells[0].Add(1000+k, 2000+k, 1, 3, k)
		sum := want[k]
		sum[0] += k
		if k%3 == 0 {
			t.AddReverse(cells[0], key, 1, 2*k)
			sum[1] += 2 * k
		}
		want[k] = sum
	}
}

// same says what of a table is not as wanted.
func same(t *Table, want map[uint64][2]uint64) error {
	rows := 0
	for ref := range t.Rows() {
		r := t.Row(ref)
		k := r.Key[1]
		if sum := want[k]; r.Key[0] != k%7 || sum != [2]uint64{r.Bytes, r.RevBytes} || r.First != 1000+k ||
			r.Last != 2000+k {
			return fmt.Errorf("row %+v, expected sums %v", r, sum)
		}
		rows++
	}
	if rows != len(want) || t.Len() != len(want) {
		return fmt.Errorf("%d rows, Len %d, expected %d", rows, t.Len(), len(want))
	}
	return nil
}

// Tables become one with all sums, whether they have few keys in common, whose cells are
// taken over, or many; and take more keys afterwards.
func TestMergeOfAnyOverlap(t *testing.T) {
	const n = 40000
	for _, overlap := range []uint64{0, 1, n / 10, n / 2, n - n/10, n} {
		t.Run(fmt.Sprint(overlap), func(t *testing.T) {
			want := map[uint64][2]uint64{}
			sum := New(Options{Words: 2, Own: 1})
			fill(sum, 0, n, want)
			for round := range uint64(3) { // as for partial answers
				twin := sum.Twin()
				from := (n - overlap) * (round + 1)
				fill(twin, from, from+n, want)
				sum.Merge(twin)
				if err := same(sum, want); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				fill(sum, 0, 100, want)
			}
			fill(sum, 5*n, 6*n, want)
			if err := same(sum, want); err != nil {
				t.Fatal(err)
			}
			waste := 0
			for i := range sum.parts {
				waste += sum.parts[i].end - sum.parts[i].size
			}
			if waste > sum.Len() {
				t.Errorf("%d cells have no row, %d have one", waste, sum.Len())
			}
		})
	}
}

// A row may take the cell of one that came from another table.
func TestDisplaceAfterMerge(t *testing.T) {
	const n = 20000
	displaced := 0
	sum := New(Options{Words: 2, Bound: 2 * n, Beyond: func(uint64) { displaced++ }})
	twin := sum.Twin()
	fill(sum, 0, n, map[uint64][2]uint64{})
	fill(twin, n, 2*n, map[uint64][2]uint64{})
	sum.Merge(twin)
	if sum.Len() != 2*n {
		t.Fatalf("%d rows, expected %d", sum.Len(), 2*n)
	}
	weight := Weight{cellBytes, cellBytes}
	for k := range uint64(500) {
		key := []uint64{8, 1<<40 + k}
		c, _ := sum.Displace(key, 2<<50, weight)
		if sum.IsRest(c) || !c.IsNew() {
			t.Fatalf("key %d: of the rest %v, new %v", k, sum.IsRest(c), c.IsNew())
		}
		c.Add(1, 1, 1, 1, 1<<50)
	}
	flows := uint64(0)
	for ref := range sum.Rows() {
		flows += sum.Row(ref).Flows
	}
	rest, _ := sum.Rest()
	if sum.Len() != 2*n+500-displaced || flows+rest.Flows != 2*n+500 || rest.Flows != uint64(displaced) {
		t.Errorf("%d rows of %d flows and %d in the rest, expected %d, %d and %d", sum.Len(), flows, rest.Flows,
			2*n+500-displaced, 2*n+500-displaced, displaced)
	}
}
