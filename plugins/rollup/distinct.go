package rollup

import (
	"math/bits"

	"github.com/axiomhq/hyperloglog"
)

// precision of the sketches: 1,024 registers of a byte, so that the standard error is
// 1.04/sqrt(1024), 3.3 % (Flajolet, Fusy, Gandouet, Meunier: HyperLogLog, 2007).
const (
	precision    = 10
	numRegisters = 1 << precision
)

// registers are those of a sketch of package hyperloglog, which makes a number of them:
// what is inserted into them without it is what its InsertHash does.
type registers [numRegisters]uint8

// place returns which register a hash belongs to, and its value there: the position of the
// first bit that is set behind those of the register.
func place(hash uint64) (register, value uint16) {
	return uint16(hash >> (64 - precision)),
		uint16(bits.LeadingZeros64(hash<<precision|1<<(precision-1))) + 1
}

// insert adds an address by its hash.
func (r *registers) insert(hash uint64) {
	i, v := place(hash)
	r[i] = max(r[i], uint8(v))
}

// least returns the least of the values, and how many registers have it.
func (r *registers) least() (value uint8, count int) {
	for _, v := range r {
		switch {
		case count == 0 || v < value:
			value, count = v, 1
		case v == value:
			count++
		}
	}
	return value, count
}

// insertAll adds what a list has.
func (r *registers) insertAll(l []entry) {
	for _, e := range l {
		r[e>>valueBits] = max(r[e>>valueBits], uint8(e&valueMask))
	}
}

// merge adds the addresses of others.
func (r *registers) merge(o *registers) {
	for i, v := range o {
		r[i] = max(r[i], v)
	}
}

// estimate returns how many addresses there are.
func (r *registers) estimate() uint64 {
	// The header of the package's encoding of dense registers: its version, the precision,
	// no bias, not sparse, the number of registers.
	data := [8 + numRegisters]byte{0: 2, 1: precision, 6: numRegisters >> 8}
	copy(data[8:], r[:])
	var s hyperloglog.Sketch
	if err := s.UnmarshalBinary(data[:]); err != nil {
		panic(err) // no register is above 55
	}
	return s.Estimate()
}

// entry is a register that is not 0: its number, and behind valueBits its value. A list of
// them says the same as registers, in a line of the cache instead of 16.
type entry uint16

const (
	valueBits   = 6
	valueMask   = 1<<valueBits - 1
	listEntries = 32
)

// list is a sketch of few addresses.
type list [listEntries]entry

// dense is a sketch of many addresses.
type dense struct {
	registers
	lowest int // how many of the registers have the least of their values
}

// sketches are the sets of addresses of a window's series. A set is two words of a cell:
// the hash that was added last, and, from the second address on, which list or which
// registers have them: numberAt and above its number, plus one; below, for a list, bit 0
// and behind it how many entries it has, for registers their least value: most addresses
// of a large set do not raise a register, and this says so of most of them.
type sketches struct {
	lists arena[list]
	dense arena[dense]
}

// numberAt is the bit of the second word of a set at which the number begins.
const numberAt = 8

// arena has values that are numbered and never move; those that are given back are used
// again.
type arena[T any] struct {
	chunks [][]T
	size   uint64
	free   []uint64
}

const (
	arenaBits  = 5 // of the number of a value in its chunk
	arenaChunk = 1 << arenaBits
)

// at returns a value by its number.
func (a *arena[T]) at(n uint64) *T { return &a.chunks[n>>arenaBits][n&(arenaChunk-1)] }

// takeValue returns the number of a value that nobody else has, all 0.
func (a *arena[T]) takeValue() uint64 {
	if last := len(a.free) - 1; last >= 0 {
		n := a.free[last]
		a.free = a.free[:last]
		clear(a.chunks[n>>arenaBits][n&(arenaChunk-1) : n&(arenaChunk-1)+1])
		return n
	}
	if a.size == uint64(len(a.chunks))*arenaChunk {
		a.chunks = append(a.chunks, make([]T, arenaChunk))
	}
	a.size++
	return a.size - 1
}

// give gives a value back.
func (a *arena[T]) give(n uint64) { a.free = append(a.free, n) }

// isList says whether the second word of a set, which is not 0, names a list, of so many
// entries.
func isList(word uint64) (entries uint64, list bool) {
	return word >> 1 & (1<<(numberAt-1) - 1), word&1 != 0
}

// listOf returns the entries of a set that has a list.
func (s *sketches) listOf(word uint64) []entry {
	n, _ := isList(word)
	return s.lists.at(word>>numberAt - 1)[:n]
}

// touch reads what adding a hash will read, for its value to be in the cache.
func (s *sketches) touch(word, hash uint64) uint64 {
	switch {
	case word == 0:
		return 0
	case word&1 != 0:
		return uint64(s.lists.at(word>>numberAt - 1)[0])
	}
	register, value := place(hash)
	if value <= leastOf(word) {
		return 0
	}
	return uint64(s.dense.at(word>>numberAt - 1).registers[register])
}

// leastOf returns the least value of the registers of a set that has no list.
func leastOf(word uint64) uint16 { return uint16(word >> 1 & (1<<(numberAt-1) - 1)) }

// addHash adds an address, by its hash, to a set.
func (s *sketches) addHash(set []uint64, hash uint64) {
	last, word := set[0], set[1]
	set[0] = hash
	if last == hash || last == 0 {
		return
	}
	if word&1 == 0 && word != 0 {
		if register, value := place(hash); value > leastOf(word) {
			s.raise(set, register, uint8(value))
		}
		return
	}
	if word == 0 {
		set[1] = (s.lists.takeValue()+1)<<numberAt | 1
		s.insert(set, last)
	}
	s.insert(set, hash)
}

// raise adds a value, which is above the least, to the registers of a set.
func (s *sketches) raise(set []uint64, register uint16, value uint8) {
	d := s.dense.at(set[1]>>numberAt - 1)
	before := d.registers[register]
	if value <= before {
		return
	}
	d.registers[register] = value
	if uint16(before) == leastOf(set[1]) {
		if d.lowest--; d.lowest == 0 {
			d.settle(set)
		}
	}
}

// settle sets what is known of the least value of a set's registers.
func (d *dense) settle(set []uint64) {
	var value uint8
	value, d.lowest = d.least()
	set[1] = set[1]>>numberAt<<numberAt | uint64(value)<<1
}

// insert adds a hash to a set that has a list.
func (s *sketches) insert(set []uint64, hash uint64) {
	n, _ := isList(set[1])
	register, value := place(hash)
	l := s.lists.at(set[1]>>numberAt - 1)
	for i := range l[:n] {
		if uint16(l[i]>>valueBits) == register {
			l[i] = max(l[i], entry(register<<valueBits|value))
			return
		}
	}
	if n < listEntries {
		l[n] = entry(register<<valueBits | value)
		set[1] += 2
		return
	}
	d := s.registers(set)
	d.insert(hash)
	d.settle(set)
}

// registers returns the registers of a set, which it gets where it has none; settle is
// called when they are set.
func (s *sketches) registers(set []uint64) *dense {
	word := set[1]
	if _, short := isList(word); word != 0 && !short {
		return s.dense.at(word>>numberAt - 1)
	}
	number := s.dense.takeValue()
	r := s.dense.at(number)
	if word != 0 {
		r.insertAll(s.listOf(word))
		s.lists.give(word>>numberAt - 1)
	} else if set[0] != 0 {
		r.insert(set[0])
	}
	set[1] = (number + 1) << numberAt
	return r
}

// join adds the addresses of a set to another one, and takes away what the former has: it
// is empty then.
func (s *sketches) join(into, from []uint64) {
	_, short := isList(from[1])
	switch {
	case from[1] == 0 && from[0] == 0:
		return
	case from[1] == 0:
		s.addHash(into, from[0])
	case short:
		d := s.registers(into)
		d.insertAll(s.listOf(from[1]))
		d.settle(into)
	default:
		d := s.registers(into)
		d.merge(&s.dense.at(from[1]>>numberAt - 1).registers)
		d.settle(into)
	}
	into[0] = from[0]
	switch {
	case from[1] == 0:
	case short:
		s.lists.give(from[1]>>numberAt - 1)
	default:
		s.dense.give(from[1]>>numberAt - 1)
	}
	from[0], from[1] = 0, 0
}

// addTo adds the addresses of a set to registers; one is only noted by its hash, as long
// as there are no others.
func (s *sketches) addTo(r **registers, one *uint64, set []uint64) {
	switch {
	case set[0] == 0:
		return
	case set[1] == 0 && *r == nil && (*one == 0 || *one == set[0]):
		*one = set[0]
		return
	case *r == nil:
		*r = &registers{}
		if *one != 0 {
			(*r).insert(*one)
		}
	}
	_, short := isList(set[1])
	switch {
	case set[1] == 0:
		(*r).insert(set[0])
	case short:
		(*r).insertAll(s.listOf(set[1]))
	default:
		(*r).merge(&s.dense.at(set[1]>>numberAt - 1).registers)
	}
}
