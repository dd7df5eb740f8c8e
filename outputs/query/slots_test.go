package query

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// Lists of slots have the sums of all that was counted, in whatever order the slots came, and
// after the sums of others have been taken over.
func TestSlotSums(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	sums := slotSums{look: 2}
	list := make([]uint64, ownList)
	want := map[int64]SlotSum{}
	for range 3 {
		other, otherList := slotSums{look: 1}, make([]uint64, ownList)
		for range 3000 {
			sum := SlotSum{random.Int64N(40) - 20, 1, random.Uint64N(100), random.Uint64N(1e6)}
			into, name := &sums, list
			if random.IntN(2) == 0 {
				into, name = &other, otherList
			}
			if !into.count(name, sum) {
				t.Fatal("no memory, where there is no bound")
			}
			addSlot(want, sum)
		}
		shift := sums.adopt(&other)
		otherList[ownNewest], otherList[ownOldest] = otherList[ownNewest]+shift, otherList[ownOldest]+shift
		sums.join(list, otherList)
		all := slices.SortedFunc(maps.Values(want), bySlot)
		if got := sums.inOrder(list, nil); !slices.Equal(got, all) {
			t.Fatalf("%v, want %v", got, all)
		}
	}
}

// addSlot adds a sum to that of its slot.
func addSlot(slots map[int64]SlotSum, s SlotSum) {
	sum := slots[s.Slot]
	sum.Slot = s.Slot
	sum.plus(s)
	slots[s.Slot] = sum
}

// Beyond the bound a list takes no further slots, only its first.
func TestSlotSumsBounded(t *testing.T) {
	sums := slotSums{look: 1, bound: 2}
	list, another := make([]uint64, ownList), make([]uint64, ownList)
	for slot := range int64(4) {
		if took := sums.count(list, SlotSum{slot, 1, 1, 1}); took != (slot < 2) {
			t.Errorf("slot %d: %v", slot, took)
		}
	}
	for range 2 {
		if !sums.count(another, SlotSum{9, 1, 1, 1}) {
			t.Error("a row of its own has no first slot")
		}
	}
	if got := sums.inOrder(another, nil); !slices.Equal(got, []SlotSum{{9, 2, 2, 2}}) {
		t.Errorf("%v, want two flows in slot 9", got)
	}
}
