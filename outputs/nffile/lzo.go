package nffile

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// LZO1X, written after the prose of the Linux kernel's documentation (LZO stream
// format, staging/lzo): a stream of instructions, each with a match of an earlier
// place and up to three literals behind it, or with a longer run of literals. The
// stream ends with the bytes 11 00 00.

var (
	errLZOShort   = errors.New("LZO: unpacks to more than the buffer")
	errLZOTorn    = errors.New("LZO: ends within an instruction")
	errLZOCorrupt = errors.New("LZO: a match begins before the block")
)

// unpackLZO unpacks one LZO1X stream.
func (u *unpacker) unpackLZO(raw []byte) ([]byte, error) {
	size := max(cap(u.buf), firstSize(len(raw)))
	for {
		u.grow(size)
		n, err := decodeLZO(u.buf[:min(len(u.buf), MaxBlock)], raw)
		if err == nil {
			return u.buf[:n], nil
		}
		if !errors.Is(err, errLZOShort) || size >= MaxBlock {
			return nil, err
		}
		size = min(MaxBlock, 4*size)
	}
}

// decodeLZO unpacks src into dst and returns how many bytes came out.
func decodeLZO(dst, src []byte) (int, error) {
	d := lzoStream{dst: dst, src: src}
	if len(src) > 0 && src[0] > 17 {
		n := int(src[0]) - 17
		d.i, d.state = 1, min(n, 4)
		if err := d.literals(n); err != nil {
			return 0, err
		}
	}
	for {
		d.near()
		if end, err := d.instruction(); err != nil {
			return 0, err
		} else if end {
			return d.o, nil
		}
	}
}

// lzoStream is a stream that is being unpacked.
type lzoStream struct {
	dst, src []byte
	i, o     int // the next byte of each
	state    int // literals of the instruction before; 4 stands for more than 3
}

// instruction follows any instruction, and says whether it was the end of the stream.
func (d *lzoStream) instruction() (end bool, err error) {
	src := d.src
	if d.i+2 > len(src) {
		return false, errLZOTorn
	}
	op := int(src[d.i])
	d.i++
	if op < 16 && d.state == 0 {
		n, err := d.length(op, 15)
		if err != nil {
			return false, err
		}
		d.state = 4
		return false, d.literals(n + 3)
	}
	var length, distance, literals int
	switch {
	case op >= 64:
		length, distance, literals = op>>5+1, int(src[d.i])<<3+op>>2&7+1, op&3
		d.i++
	case op >= 16:
		bits := 31
		if op < 32 {
			bits = 7
		}
		if length, err = d.length(op&bits, bits); err != nil {
			return false, err
		}
		if d.i+2 > len(src) {
			return false, errLZOTorn
		}
		v := int(binary.LittleEndian.Uint16(src[d.i:]))
		d.i += 2
		length, distance, literals = length+2, v>>2+1, v&3
		if op < 32 {
			distance += op&8<<11 + 16383
		}
		if op < 32 && distance == 16384 {
			if d.i != len(src) {
				return false, fmt.Errorf("LZO: %d bytes behind the end of the stream", len(src)-d.i)
			}
			return true, nil
		}
	default:
		length, distance, literals = 2, int(src[d.i])<<2+op>>2+1, op&3
		if d.state == 4 {
			length, distance = 3, distance+2048
		}
		d.i++
	}
	if err := d.match(length, distance); err != nil {
		return false, err
	}
	d.state = literals
	return false, d.literals(literals)
}

// The room that near wants in front of an instruction: what it reads and writes at most
// without looking.
const (
	lzoIn  = 24
	lzoOut = 56
)

// near follows instructions as long as both ends are far, lengths short and distances
// long, as nearly all are; all others are left to instruction. It copies more bytes than
// wanted where it need not ask how many: the next instruction writes over them. What kind
// of match comes next is as good as random, so a branch for each would be foretold wrongly
// every second time: their operands are taken apart without one.
func (d *lzoStream) near() {
	dst, src, i, o, state := d.dst, d.src, d.i, d.o, d.state
	for i+lzoIn <= len(src) && o+lzoOut <= len(dst) {
		w := binary.LittleEndian.Uint32(src[i:])
		op := int(w & 0xff)
		if op < 16 {
			if state != 0 || op == 0 {
				break
			}
			*(*[16]byte)(dst[o : o+16]) = [16]byte(src[i+1 : i+17])
			*(*[2]byte)(dst[o+16 : o+18]) = [2]byte(src[i+17 : i+19])
			i, o, state = i+op+4, o+op+3, 4
			continue
		}
		kind := &lzoKinds[op]
		operand := int(w >> 8)
		short := (63 - op) >> 63 // -1 where the operand is of one byte, else 0
		distance := kind.distance + operand&0xff<<3&short + operand&0xffff>>2&^short
		literals := (op&short | operand&^short) & 3
		from, length := o-distance, kind.length
		if from < 0 || distance < 16 || distance == 16384 || length == 0 {
			break
		}
		*(*[16]byte)(dst[o : o+16]) = [16]byte(dst[from : from+16])
		if length > 16 {
			*(*[16]byte)(dst[o+16 : o+32]) = [16]byte(dst[from+16 : from+32])
			*(*[8]byte)(dst[o+32 : o+40]) = [8]byte(dst[from+32 : from+40])
		}
		o += length
		i += 3 + short
		binary.LittleEndian.PutUint32(dst[o:o+4], binary.LittleEndian.Uint32(src[i:i+4]))
		i, o, state = i+literals, o+literals, literals
	}
	d.i, d.o, d.state = i, o, state
}

// lzoKinds says of the instruction of a match how long it is, 0 where the length stands
// behind it, and what the distance of its operand is added to.
var lzoKinds = func() (kinds [256]struct{ length, distance int }) {
	for op := 16; op < len(kinds); op++ {
		k := &kinds[op]
		switch {
		case op >= 64:
			k.length, k.distance = op>>5+1, op>>2&7+1
		case op > 32:
			k.length, k.distance = op&31+2, 1
		case op&7 != 0 && op < 32:
			k.length, k.distance = op&7+2, 16384+op&8<<11
		}
	}
	return kinds
}()

// length completes a length of which the instruction has the low bits.
func (d *lzoStream) length(low, most int) (n int, err error) {
	if low != 0 {
		return low, nil
	}
	for n = most; d.i < len(d.src); d.i++ {
		if d.src[d.i] != 0 {
			d.i++
			return n + int(d.src[d.i-1]), nil
		}
		if n += 255; n > MaxBlock {
			return 0, errTooLarge
		}
	}
	return 0, errLZOTorn
}

// literals copies n bytes of the stream.
func (d *lzoStream) literals(n int) error {
	if n > len(d.src)-d.i {
		return errLZOTorn
	}
	if n > len(d.dst)-d.o {
		return errLZOShort
	}
	copy(d.dst[d.o:], d.src[d.i:d.i+n])
	d.i, d.o = d.i+n, d.o+n
	return nil
}

// match copies n bytes from distance bytes back; they may overlap.
func (d *lzoStream) match(n, distance int) error {
	from, end := d.o-distance, d.o+n
	if from < 0 {
		return errLZOCorrupt
	}
	if end > len(d.dst) {
		return errLZOShort
	}
	for d.o < end { // twice as many with each turn
		d.o += copy(d.dst[d.o:end], d.dst[from:d.o])
	}
	return nil
}

// lzoBound returns the most bytes that n bytes can become.
func lzoBound(n int) int { return n + n/16 + 67 }

const (
	lzoHashBits    = 14
	lzoMaxDistance = 48 << 10 // of the instruction with the longest reach, and a bit less
	lzoLeast       = 4        // the shortest match that is looked for
)

// lzoWriter packs blocks with LZO1X, greedily: the first match found is taken.
type lzoWriter struct {
	dst   []byte
	o     int
	last  int // where the instruction before has its two bits for literals, -1 at the start
	table [1 << lzoHashBits]int32
}

// pack writes src to dst, which has at least lzoBound(len(src)) bytes, and returns
// the length.
func (w *lzoWriter) pack(dst, src []byte) int {
	w.dst, w.o, w.last = dst, 0, -1
	clear(w.table[:])
	anchor := 0
	for i := 0; i+lzoLeast <= len(src); {
		v := binary.LittleEndian.Uint32(src[i:])
		slot := &w.table[v*2654435761>>(32-lzoHashBits)]
		at := int(*slot) - 1
		*slot = int32(i + 1)
		if at < 0 || i-at >= lzoMaxDistance || binary.LittleEndian.Uint32(src[at:]) != v {
			i++
			continue
		}
		n := lzoLeast
		for i+n < len(src) && src[at+n] == src[i+n] {
			n++
		}
		w.literals(src[anchor:i])
		w.match(n, i-at)
		i += n
		anchor = i
	}
	w.literals(src[anchor:])
	w.o += copy(w.dst[w.o:], "\x11\x00\x00")
	return w.o
}

// literals writes literals: in the instruction before when they are few.
func (w *lzoWriter) literals(b []byte) {
	n := len(b)
	switch {
	case n == 0:
		return
	case w.last < 0 && n <= 238:
		w.put(byte(17 + n))
	case w.last >= 0 && n < 4:
		w.dst[w.last] |= byte(n)
	default:
		w.length(0, n-3, 15)
	}
	w.o += copy(w.dst[w.o:], b)
}

// match writes a match of at least lzoLeast bytes.
func (w *lzoWriter) match(n, distance int) {
	switch {
	case distance <= 2048 && n <= 8:
		w.last = w.o
		w.put(byte((n-1)<<5 | (distance-1)&7<<2))
		w.put(byte((distance - 1) >> 3))
		return
	case distance <= 16384:
		w.length(32, n-2, 31)
		distance--
	default:
		distance -= 16384
		w.length(byte(16|distance>>14<<3), n-2, 7)
		distance &= 1<<14 - 1
	}
	w.last = w.o
	binary.LittleEndian.PutUint16(w.dst[w.o:], uint16(distance<<2))
	w.o += 2
}

// length writes an instruction and a length of which at most most fits into it.
func (w *lzoWriter) length(op byte, n, most int) {
	if n <= most {
		w.put(op | byte(n))
		return
	}
	w.put(op)
	for n -= most; n > 255; n -= 255 {
		w.put(0)
	}
	w.put(byte(n))
}

func (w *lzoWriter) put(b byte) {
	w.dst[w.o] = b
	w.o++
}
