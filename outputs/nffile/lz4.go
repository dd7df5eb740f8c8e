package nffile

import "math/bits"

// The rules of an LZ4 block: a match has at least 4 bytes, at a distance of at
// most 65535; the last 5 bytes are literals, and the last match begins at least 12
// bytes before the end.
const (
	minMatch    = 4
	maxDistance = 65535
	endLiterals = 16 // 12 would do, but 16 bytes are copied at once
	lastBytes   = 5
)

// Sizes of lz4Writer's tables, as powers of two, and how many bytes at the end of
// a record make its tail.
const (
	tableBits = 14
	tailBits  = 10
	tailSize  = 40
)

// lz4Bound returns the most bytes that lz4Writer.pack needs for n bytes.
func lz4Bound(n int) int { return n + n/255 + 64 }

// lz4Writer packs the records of a block as a raw LZ4 block. Any decoder of LZ4
// reads it; what is its own is where it looks for matches:
//
//   - the record before that has the same size: flows of one template differ in
//     few places. Matches of 4 to 7 bytes come from there alone;
//   - the last even place where the same 8 bytes stood: the same packets, the same
//     ports, the same address, in whatever record;
//   - the last record with the same tail: elements with interfaces, masks, AS and
//     exporter take few values together, and go on into the head of the next
//     record.
//
// Only the places where a match may begin are entered in the tables, and none is
// looked for within a match.
type lz4Writer struct {
	dst    []byte
	src    []byte
	o      int // end of the output
	anchor int // where the literals begin that are not written yet

	places [1 << tableBits]uint16 // the last place of 8 bytes, its low 16 bits
	tails  [1 << tailBits]int32   // the end of the last record with a tail
	seen   [maxRecord]int32       // where the last record of a size begins, plus 1
}

// record is the record that matches are looked for in, and those before to which
// it is compared; a distance of 0 is none.
type record struct {
	end      int
	distance int // to the last record of this size
	tail     int // where it begins to be equal to the end of another
	tailDist int
}

// pack writes src, the records of a block, to dst and returns its length. dst has
// at least lz4Bound(len(src)) bytes. What is not a sequence of records is packed
// too, less tightly.
func (s *lz4Writer) pack(dst, src []byte) int {
	s.dst, s.src, s.o, s.anchor = dst, src, 0, 0
	clear(s.places[:])
	clear(s.tails[:])
	clear(s.seen[:])
	p := 0
	for at, limit := 0, len(src)-endLiterals; p < limit; {
		r := s.enter(at, limit)
		if p < r.end {
			p = s.matches(p, &r)
		}
		at = r.end
	}
	s.src, s.dst = nil, nil
	n := len(src) - s.anchor
	dst[s.o] = byte(min(n, 15) << 4)
	s.o++
	if n >= 15 {
		s.o = putLength(dst, s.o, n-15)
	}
	return s.o + copy(dst[s.o:], src[s.anchor:])
}

// enter looks up what the record at a place is compared to.
func (s *lz4Writer) enter(at, limit int) record {
	size := int(le.Uint16(s.src[at+2:]))
	if size < 4 || size >= maxRecord || size > limit-at {
		return record{end: limit, tail: limit}
	}
	r := record{end: at + size, tail: at + size}
	if before := int(s.seen[size]); before > 0 && at-before < maxDistance {
		r.distance = at - before + 1
	}
	s.seen[size] = int32(at + 1)
	if size >= tailSize+8 {
		s.findTail(&r)
	}
	return r
}

// findTail looks for the last record that ends with the same bytes.
func (s *lz4Writer) findTail(r *record) {
	t := s.src[r.end-tailSize-8 : r.end]
	a, b, c, d, e := le.Uint64(t[8:]), le.Uint64(t[16:]), le.Uint64(t[24:]), le.Uint64(t[32:]), le.Uint64(t[40:])
	h := a*prime1 ^ b*prime2 ^ c*prime3 ^ d*prime4 ^ e*prime5
	entry := &s.tails[(h^h>>32)*prime1>>(64-tailBits)]
	end := int(*entry)
	*entry = int32(r.end)
	if end == 0 || r.end-end > maxDistance {
		return
	}
	t = s.src[end-tailSize-8 : end]
	if (a^le.Uint64(t[8:]))|(b^le.Uint64(t[16:]))|(c^le.Uint64(t[24:]))|(d^le.Uint64(t[32:]))|(e^le.Uint64(t[40:])) != 0 {
		return
	}
	before := le.Uint64(t) ^ load(s.src, r.end-tailSize-8)
	r.tail = r.end - tailSize - bits.LeadingZeros64(before)>>3
	r.tailDist = r.end - end
}

// Odd numbers without a pattern, for hashing.
const (
	prime1 = 0x9E3779B185EBCA87
	prime2 = 0xC2B2AE3D27D4EB4F
	prime3 = 0x165667B19E3779F9
	prime4 = 0x85EBCA77C2B2AE63
	prime5 = 0x27D4EB2F165667C5
)

// equalBytes returns how many bytes of two words are the same, from the first on.
func equalBytes(a, b uint64) int { return bits.TrailingZeros64(a^b) >> 3 }

// matches finds and writes the matches from p to the end of the record. It returns
// where the search goes on: there, or behind a match that runs on into the next
// record.
func (s *lz4Writer) matches(p int, r *record) int {
	src, dst, o, anchor := s.src, s.dst, s.o, s.anchor
	end := len(src) - lastBytes
	for p < r.end {
		n, distance := 8, r.distance
		if p >= r.tail && p <= r.end-minMatch {
			n, distance = r.end-p, r.tailDist
		} else if word := load(src, p); p&1 == 0 { // numbers begin at even places
			place := &s.places[word*prime1>>(64-tableBits)]
			d := int(uint16(p) - *place)
			*place = uint16(p)
			if d != 0 && d <= p && load(src, p-d) == word {
				distance = d
			} else if n = equalBytes(word, load(src, p-distance)); n < minMatch || distance == 0 {
				p++
				continue
			}
		} else if n = equalBytes(word, load(src, p-distance)); n < minMatch || distance == 0 {
			p++
			continue
		}
		if n >= 8 {
			for {
				if p+n+8 > end {
					for p+n < end && src[p+n] == src[p+n-distance] {
						n++
					}
					break
				}
				if diff := load(src, p+n) ^ load(src, p+n-distance); diff != 0 {
					n += bits.TrailingZeros64(diff) >> 3
					break
				}
				n += 8
			}
		}
		literals, match := p-anchor, n-minMatch
		dst[o] = byte(min(literals, 15)<<4 | min(match, 15))
		o++
		if literals >= 15 {
			o = putLength(dst, o, literals-15)
		}
		if literals <= 16 {
			le.PutUint64(dst[o:o+8], load(src, anchor))
			le.PutUint64(dst[o+8:o+16], load(src, anchor+8))
		} else {
			copy(dst[o:], src[anchor:p])
		}
		o += literals
		le.PutUint16(dst[o:o+2], uint16(distance))
		o += 2
		if match >= 15 {
			o = putLength(dst, o, match-15)
		}
		p += n
		anchor = p
	}
	s.o, s.anchor = o, anchor
	return p
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

// load returns the eight bytes at p as a number. To slice both ends costs one check;
// without the second end there are two, and a mask.
func load(b []byte, p int) uint64 { return le.Uint64(b[p : p+8]) }
