package rollup

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/axiomhq/hyperloglog"

	"github.com/flowgraf/flowgraf/plugins/aggregate"
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

// entryOf returns the register that a hash belongs to, and its value there: the position of
// the first bit that is set behind those of the register.
func entryOf(hash uint64) entry {
	register := hash >> (64 - precision)
	value := bits.LeadingZeros64(hash<<precision|1<<(precision-1)) + 1
	return entry(register<<valueBits) | entry(value)
}

// insert adds an address.
func (r *registers) insert(e entry) { r[e.register()] = max(r[e.register()], e.value()) }

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
		r.insert(e)
	}
}

// merge adds the addresses of others. As values are below 128, the larger ones of eight are
// found at once.
func (r *registers) merge(o *registers) {
	const top = 0x8080808080808080
	for i := 0; i < len(r); i += 8 {
		a, b := binary.NativeEndian.Uint64(r[i:]), binary.NativeEndian.Uint64(o[i:])
		larger := (a | top - b) & top >> 7 * 0xff // all bits of bytes that are not smaller in a
		binary.NativeEndian.PutUint64(r[i:], a&larger|b&^larger)
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

// register returns the number of the register.
func (e entry) register() uint16 { return uint16(e >> valueBits) }

// value returns the value of the register.
func (e entry) value() uint8 { return uint8(e & valueMask) }

// list is a sketch of few addresses.
type list [listEntries]entry

// sketches are the sets of addresses of a window's series. A set is two words of a cell:
// the hash that was added last, as long as it has no registers, and, from the second address
// on, which list or which registers have them: numberAt and above its number, plus one;
// below, for a list, bit 0 and behind it how many entries it has, for registers their least
// value and, from lowestAt on, how many of them have it: most addresses of a large set do not
// raise a register, and this says so of most of them.
type sketches struct {
	lists arena[list]
	dense arena[registers]
}

// The bits of the second word of a set at which the number of registers with the least value
// begins, and the number of what has the addresses.
const (
	lowestAt = 8
	numberAt = 20
)

// wordOf returns the second word of a set that has some registers.
func wordOf(number uint64, least uint8, lowest int) uint64 {
	return (number+1)<<numberAt | uint64(lowest)<<lowestAt | uint64(least)<<1
}

// isDense says whether the second word of a set names registers.
func isDense(word uint64) bool { return word&1 == 0 && word != 0 }

// arena has values that are numbered and never move; those that are given back are used
// again.
type arena[T any] struct {
	chunks [][]T
	slab   []T // what is left of chunks that were made at once
	size   uint64
	free   []uint64
}

const (
	arenaBits  = 5 // of the number of a value in its chunk
	arenaChunk = 1 << arenaBits

	// The bytes of chunks that are made one by one, and of several that are made at once then.
	arenaSingle = 256 << 10
	arenaSlab   = 2 << 20
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
		a.chunks = append(a.chunks, a.chunk())
	}
	a.size++
	return a.size - 1
}

// chunk returns a new chunk. Those of many values are on huge pages: with others most
// additions walk through the page tables.
func (a *arena[T]) chunk() []T {
	var value T
	bytes := arenaChunk * int(unsafe.Sizeof(value))
	if len(a.slab) == 0 {
		if len(a.chunks)*bytes < arenaSingle {
			return make([]T, arenaChunk)
		}
		a.slab = make([]T, arenaSlab/bytes*arenaChunk)
		aggregate.WantHugePages(a.slab)
	}
	c := a.slab[:arenaChunk:arenaChunk]
	a.slab = a.slab[arenaChunk:]
	return c
}

// give gives a value back.
func (a *arena[T]) give(n uint64) { a.free = append(a.free, n) }

// isList says whether the second word of a set, which is not 0, names a list, of so many
// entries.
func isList(word uint64) (entries uint64, list bool) {
	return word >> 1 & (1<<(lowestAt-1) - 1), word&1 != 0
}

// listOf returns the entries of a set that has a list.
func (s *sketches) listOf(word uint64) []entry {
	n, _ := isList(word)
	return s.lists.at(word>>numberAt - 1)[:n]
}

// leastOf returns the least value of the registers of a set that has no list.
func leastOf(word uint64) uint8 { return uint8(word >> 1 & (1<<(lowestAt-1) - 1)) }

// mayLack says whether adding an address to a set may change the set.
func mayLack(set []uint64, hash uint64, e entry) bool {
	if word := set[1]; isDense(word) {
		return e.value() > leastOf(word)
	}
	return set[0] != hash
}

// nowhere is the place of an address in a set that has neither registers nor a list.
var nowhere uint8

// place returns the first byte to be read when an address is added to a set, by its second
// word. Where the set has registers it is the value that the address may raise, and mask has
// all bits, else none.
func (s *sketches) place(word uint64, e entry) (first *uint8, mask uint8) {
	switch {
	case isDense(word):
		return &s.dense.at(word>>numberAt - 1)[e.register()], ^uint8(0)
	case word != 0:
		return (*uint8)(unsafe.Pointer(s.lists.at(word>>numberAt - 1))), 0
	}
	return &nowhere, 0
}

// addHash adds an address, by its hash, to a set.
func (s *sketches) addHash(set []uint64, hash uint64) { s.addEntry(set, hash, entryOf(hash)) }

// addEntry adds an address, by its hash and what entryOf makes of it, to a set.
func (s *sketches) addEntry(set []uint64, hash uint64, e entry) {
	last, word := set[0], set[1]
	if isDense(word) {
		if e.value() > leastOf(word) {
			s.raise(set, e)
		}
		return
	}
	set[0] = hash
	if last == hash || last == 0 {
		return
	}
	if word == 0 {
		set[1] = (s.lists.takeValue()+1)<<numberAt | 1
		s.insert(set, entryOf(last))
	}
	s.insert(set, e)
}

// raise adds a value, which is above the least, to the registers of a set.
func (s *sketches) raise(set []uint64, e entry) {
	word := set[1]
	r := s.dense.at(word>>numberAt - 1)
	before := r[e.register()]
	if e.value() <= before {
		return
	}
	r[e.register()] = e.value()
	if before == leastOf(word) {
		if word -= 1 << lowestAt; word>>lowestAt&(1<<(numberAt-lowestAt)-1) == 0 {
			s.settle(set)
			return
		}
		set[1] = word
	}
}

// settle notes what is known of the least value of a set's registers.
func (s *sketches) settle(set []uint64) {
	number := set[1]>>numberAt - 1
	least, lowest := s.dense.at(number).least()
	set[1] = wordOf(number, least, lowest)
}

// insert adds an address to a set that has a list.
func (s *sketches) insert(set []uint64, e entry) {
	n, _ := isList(set[1])
	l := s.lists.at(set[1]>>numberAt - 1)
	for i := range l[:n] {
		if l[i].register() == e.register() {
			l[i] = max(l[i], e)
			return
		}
	}
	if n < listEntries {
		l[n] = e
		set[1] += 2
		return
	}
	s.registers(set).insert(e)
	s.settle(set)
}

// registers returns the registers of a set, which it gets where it has none; settle is
// called when they are set.
func (s *sketches) registers(set []uint64) *registers {
	word := set[1]
	if isDense(word) {
		return s.dense.at(word>>numberAt - 1)
	}
	number := s.dense.takeValue()
	r := s.dense.at(number)
	if word != 0 {
		r.insertAll(s.listOf(word))
		s.lists.give(word>>numberAt - 1)
	} else if set[0] != 0 {
		r.insert(entryOf(set[0]))
	}
	set[1] = wordOf(number, 0, 0)
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
		s.registers(into).insertAll(s.listOf(from[1]))
		s.settle(into)
	default:
		s.registers(into).merge(s.dense.at(from[1]>>numberAt - 1))
		s.settle(into)
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
			(*r).insert(entryOf(*one))
		}
	}
	_, short := isList(set[1])
	switch {
	case set[1] == 0:
		(*r).insert(entryOf(set[0]))
	case short:
		(*r).insertAll(s.listOf(set[1]))
	default:
		(*r).merge(s.dense.at(set[1]>>numberAt - 1))
	}
}
