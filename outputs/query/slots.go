package query

import (
	"slices"
	"unsafe"
)

// slotSums are the sums of rows by slots: each row has a list of them, the newest first,
// that two of its own words name. A slot may stand there several times.
type slotSums struct {
	chunks [][]slotSum
	end    int // the number of the next, from 0
	used   int
	bound  int // how many there may be, not counting the first of each row; 0 is no bound
	look   int // how many of a list are looked at for the slot of a flow
}

// slotSum is one in a list. They are named by their numbers plus one: 0 is none.
type slotSum struct {
	SlotSum
	before uint64 // the next in the list
}

const slotSumBytes = int(unsafe.Sizeof(slotSum{}))

// The words of a row that name its list.
const (
	ownNewest = iota
	ownOldest
	ownList // how many they are
)

// slotChunk is how many sums a chunk has.
const slotChunk = 1 << 10

// at returns the sum of a name.
func (s *slotSums) at(name uint64) *slotSum { return &s.chunks[(name-1)/slotChunk][(name-1)%slotChunk] }

// count adds a sum to that of its slot in a list, and says whether there is memory for it.
func (s *slotSums) count(list []uint64, sum SlotSum) bool {
	name := list[ownNewest]
	for n := 0; name > 0 && n < s.look; n++ {
		e := s.at(name)
		if e.Slot == sum.Slot {
			e.plus(sum)
			return true
		}
		name = e.before
	}
	if s.bound > 0 && s.used >= s.bound && list[ownNewest] > 0 {
		return false
	}
	if s.end == len(s.chunks)*slotChunk {
		s.chunks = append(s.chunks, make([]slotSum, slotChunk))
	}
	s.end++
	s.used++
	name = uint64(s.end)
	*s.at(name) = slotSum{sum, list[ownNewest]}
	if list[ownNewest] == 0 {
		list[ownOldest] = name
	}
	list[ownNewest] = name
	return true
}

// adopt takes all sums of o over, which is not used after it. It returns what is to be
// added to their names.
func (s *slotSums) adopt(o *slotSums) (shift uint64) {
	shift = uint64(len(s.chunks) * slotChunk)
	for _, chunk := range o.chunks {
		for i := range chunk {
			if chunk[i].before > 0 {
				chunk[i].before += shift
			}
		}
	}
	if len(o.chunks) > 0 {
		s.chunks = append(s.chunks, o.chunks...)
		s.end = int(shift) + o.end
	}
	s.used += o.used
	return shift
}

// join makes one of two lists.
func (s *slotSums) join(into, from []uint64) {
	switch {
	case from[ownNewest] == 0:
	case into[ownNewest] == 0:
		copy(into, from)
	default:
		s.at(into[ownOldest]).before = from[ownNewest]
		into[ownOldest] = from[ownOldest]
	}
}

// inOrder appends the sums of a list, those of each slot as one, by their slots.
func (s *slotSums) inOrder(list []uint64, to []SlotSum) []SlotSum {
	for name := list[ownNewest]; name > 0; name = s.at(name).before {
		to = append(to, s.at(name).SlotSum)
	}
	slices.SortFunc(to, bySlot)
	n := 0
	for _, sum := range to {
		if n > 0 && to[n-1].Slot == sum.Slot {
			to[n-1].plus(sum)
			continue
		}
		to[n] = sum
		n++
	}
	return to[:n]
}

// plus adds a sum to that of the same slot.
func (s *SlotSum) plus(o SlotSum) {
	s.Flows += o.Flows
	s.Packets += o.Packets
	s.Bytes += o.Bytes
}
