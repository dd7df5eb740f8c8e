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
	i, o := 0, 0
	state := 0 // literals of the instruction before; 4 stands for more than 3
	if len(src) > 0 && src[0] > 17 {
		n := int(src[0]) - 17
		i = 1
		if err := lzoLiterals(dst, src, o, i, n); err != nil {
			return 0, err
		}
		i, o, state = i+n, o+n, min(n, 4)
	}
	for {
		if i+2 > len(src) {
			return 0, errLZOTorn
		}
		op := int(src[i])
		i++
		if op < 16 && state == 0 {
			n, at, err := lzoLength(src, i, op, 15)
			if err == nil {
				n, i = n+3, at
				err = lzoLiterals(dst, src, o, i, n)
			}
			if err != nil {
				return 0, err
			}
			i, o, state = i+n, o+n, 4
			continue
		}
		var length, distance int
		switch {
		case op >= 64:
			length, distance, state = op>>5+1, int(src[i])<<3+op>>2&7+1, op&3
			i++
		case op >= 16:
			bits := 31
			if op < 32 {
				bits = 7
			}
			var err error
			if length, i, err = lzoLength(src, i, op&bits, bits); err != nil {
				return 0, err
			}
			if i+2 > len(src) {
				return 0, errLZOTorn
			}
			v := int(binary.LittleEndian.Uint16(src[i:]))
			i += 2
			length, distance, state = length+2, v>>2+1, v&3
			if op < 32 {
				distance += op&8<<11 + 16383
				if distance == 16384 {
					if i != len(src) {
						return 0, fmt.Errorf("LZO: %d bytes behind the end of the stream", len(src)-i)
					}
					return o, nil
				}
			}
		default:
			length, distance = 2, int(src[i])<<2+op>>2+1
			if state == 4 {
				length, distance = 3, distance+2048
			}
			i, state = i+1, op&3
		}
		if err := lzoMatch(dst, o, length, distance); err != nil {
			return 0, err
		}
		o += length
		if err := lzoLiterals(dst, src, o, i, state); err != nil {
			return 0, err
		}
		i, o = i+state, o+state
	}
}

// lzoLength completes a length of which the instruction has the low bits. It returns
// where the stream goes on.
func lzoLength(src []byte, i, low, most int) (n, next int, err error) {
	if low != 0 {
		return low, i, nil
	}
	for n = most; i < len(src); i++ {
		if src[i] != 0 {
			return n + int(src[i]), i + 1, nil
		}
		if n += 255; n > MaxBlock {
			return 0, 0, errTooLarge
		}
	}
	return 0, 0, errLZOTorn
}

// lzoWide is how many bytes are copied at once. Where there is room for it, more are
// copied than wanted: the next instruction writes over them.
const lzoWide = 16

// lzoLiterals copies n bytes from src[i:] to dst[o:].
func lzoLiterals(dst, src []byte, o, i, n int) error {
	if n <= lzoWide && i+lzoWide <= len(src) && o+lzoWide <= len(dst) {
		*(*[lzoWide]byte)(dst[o:]) = [lzoWide]byte(src[i:])
		return nil
	}
	if n > len(src)-i {
		return errLZOTorn
	}
	if n > len(dst)-o {
		return errLZOShort
	}
	copy(dst[o:], src[i:i+n])
	return nil
}

// lzoMatch copies n bytes from distance bytes back to dst[o:]; they may overlap.
func lzoMatch(dst []byte, o, n, distance int) error {
	from := o - distance
	if from < 0 {
		return errLZOCorrupt
	}
	if n <= lzoWide && distance >= lzoWide && o+lzoWide <= len(dst) {
		*(*[lzoWide]byte)(dst[o:]) = [lzoWide]byte(dst[from:])
		return nil
	}
	if n > len(dst)-o {
		return errLZOShort
	}
	for end := o + n; o < end; { // twice as many with each turn
		o += copy(dst[o:end], dst[from:o])
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
