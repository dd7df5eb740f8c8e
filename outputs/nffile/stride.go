package nffile

import "math/bits"

// The rules of an LZ4 block: a match has at least 4 bytes, at a distance of at
// most 65535; the last 5 bytes are literals, and the last match begins at least 12
// bytes before the end.
const (
	minMatch    = 4
	maxDistance = 65535
	endLiterals = 12
)

// strideBound returns the most bytes that packStride needs for n bytes.
func strideBound(n int) int { return n + n/255 + 64 }

// strideSlack is how many bytes behind a record the comparison reads.
const strideSlack = 64

// stride packs blocks of records. It looks for matches at one place only: where
// the record before that has the same size has the same bytes. Flow records of one
// template differ in few places, so most of what a search would find is there,
// and finding it takes a comparison instead of a hash table and few branches.
type stride struct {
	dst    []byte
	src    []byte
	o      int // end of the output
	anchor int // where the literals begin that are not written yet

	// The match that is not written yet: it may go on in the next record.
	match, matchEnd, distance int

	seen  [maxRecord]int32 // where the last record of a size begins, plus 1
	equal [maxRecord/64 + 1]uint64
}

// pack writes src, the records of a block, to dst as one raw LZ4 block and returns
// its length. dst has at least strideBound(len(src)) bytes.
func (s *stride) pack(dst, src []byte) int {
	s.dst, s.o, s.anchor = dst, 0, 0
	s.match, s.matchEnd, s.distance = 0, 0, 0
	clear(s.seen[:])
	// Where there is memory behind src, it may be read, but is not compared.
	s.src = src[:min(len(src)+strideSlack, cap(src))]
	for at := 0; len(src)-at > endLiterals; {
		size := int(le.Uint16(src[at+2:]))
		if size < 4 || size > len(src)-at-endLiterals || size > len(s.src)-at-strideSlack {
			break // the last record, or none
		}
		if size < maxRecord {
			before := int(s.seen[size]) - 1
			s.seen[size] = int32(at + 1)
			if before >= 0 && at-before <= maxDistance {
				s.record(at, size, at-before)
			}
		}
		at += size
	}
	s.flush()
	s.src = src
	return s.tail()
}

// record finds the matches of the record at a place with the one that begins
// distance bytes before.
func (s *stride) record(at, size, distance int) {
	words := (size + 63) >> 6
	for w := range words {
		s.equal[w] = equalBytes((*[64]byte)(s.src[at+w<<6:]), (*[64]byte)(s.src[at-distance+w<<6:]))
	}
	if tail := size & 63; tail != 0 {
		s.equal[words-1] &= 1<<tail - 1
	}
	s.equal[words] = 0
	pos := 0
	if s.matchEnd == at && s.distance == distance {
		pos = runLength(s.equal[:words+1], 0)
		s.matchEnd += pos
	}
	for w := pos >> 6; w < words; {
		m, next := s.equal[w], s.equal[w+1]
		// Where 5 equal bytes begin: a shorter match is not worth its three bytes.
		starts := m & (m>>1 | next<<63) & (m>>2 | next<<62) & (m>>3 | next<<61) & (m>>4 | next<<60)
		starts &= ^uint64(0) << (pos & 63)
		if starts == 0 {
			w++
			pos = w << 6
			continue
		}
		first := bits.TrailingZeros64(starts)
		pos = w<<6 + first
		n := bits.TrailingZeros64(^(m >> (first & 63)))
		if first+n >= 64 {
			n = runLength(s.equal[:words+1], pos)
		}
		s.flush()
		s.match, s.matchEnd, s.distance = at+pos, at+pos+n, distance
		pos += n
		w = pos >> 6
	}
}

// equalBytes returns a bit for every byte that is the same in a and b, the first
// byte's the lowest.
func equalBytes(a, b *[64]byte) uint64 {
	t := zeroBytes(le.Uint64(a[0:])^le.Uint64(b[0:]))>>7 |
		zeroBytes(le.Uint64(a[8:])^le.Uint64(b[8:]))>>6 |
		zeroBytes(le.Uint64(a[16:])^le.Uint64(b[16:]))>>5 |
		zeroBytes(le.Uint64(a[24:])^le.Uint64(b[24:]))>>4 |
		zeroBytes(le.Uint64(a[32:])^le.Uint64(b[32:]))>>3 |
		zeroBytes(le.Uint64(a[40:])^le.Uint64(b[40:]))>>2 |
		zeroBytes(le.Uint64(a[48:])^le.Uint64(b[48:]))>>1 |
		zeroBytes(le.Uint64(a[56:])^le.Uint64(b[56:]))
	// Byte j of t has the bit of byte j of word i at i: transpose the 8 by 8 bits.
	x := (t ^ t>>7) & 0x00aa00aa00aa00aa
	t ^= x ^ x<<7
	x = (t ^ t>>14) & 0x0000cccc0000cccc
	t ^= x ^ x<<14
	x = (t ^ t>>28) & 0x00000000f0f0f0f0
	return t ^ x ^ x<<28
}

// zeroBytes sets the highest bit of every byte that is 0 in x, and no other bit.
func zeroBytes(x uint64) uint64 {
	const low = 0x7f7f7f7f7f7f7f7f
	return ^((x&low + low) | x | low)
}

// runLength returns how many bits from pos on are set. The last word of m is 0.
func runLength(m []uint64, pos int) int {
	w := pos >> 6
	n := bits.TrailingZeros64(^(m[w] >> (pos & 63)))
	if n < 64-pos&63 {
		return n
	}
	n = 64 - pos&63
	for w++; w < len(m); w++ {
		more := bits.TrailingZeros64(^m[w])
		n += more
		if more < 64 {
			break
		}
	}
	return n
}

// flush writes the literals up to the match, and the match.
func (s *stride) flush() {
	if s.matchEnd == 0 {
		return
	}
	dst, o := s.dst, s.o
	n, match := s.match-s.anchor, s.matchEnd-s.match-minMatch
	token := o
	dst[token] = byte(min(n, 15)<<4 | min(match, 15))
	o++
	if n >= 15 {
		o = putLength(dst, o, n-15)
	}
	literals := s.src[s.anchor:]
	if n <= 16 {
		le.PutUint64(dst[o:], le.Uint64(literals))
		le.PutUint64(dst[o+8:], le.Uint64(literals[8:]))
	} else {
		copy(dst[o:], literals[:n])
	}
	o += n
	le.PutUint16(dst[o:], uint16(s.distance))
	o += 2
	if match >= 15 {
		o = putLength(dst, o, match-15)
	}
	s.o, s.anchor, s.matchEnd = o, s.matchEnd, 0
}

// tail writes the literals at the end of the block and returns its length.
func (s *stride) tail() int {
	literals := s.src[s.anchor:]
	n := len(literals)
	dst, o := s.dst, s.o
	dst[o] = byte(min(n, 15) << 4)
	o++
	if n >= 15 {
		o = putLength(dst, o, n-15)
	}
	return o + copy(dst[o:], literals)
}

// putLength writes what of a length does not fit into a token.
func putLength(dst []byte, o, n int) int {
	for ; n >= 255; n -= 255 {
		dst[o] = 255
		o++
	}
	dst[o] = byte(n)
	return o + 1
}
