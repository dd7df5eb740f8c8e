package nffile

import "math/bits"

// The rules of an LZ4 block: a match has at least 4 bytes, at a distance of at
// most 65535; the last 5 bytes are literals, and the last match begins at least 12
// bytes before the end.
const (
	minMatch    = 4
	maxDistance = 65535
	endLiterals = 24 // 12 would do, but up to 16 bytes are compared and copied at once
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
//
// Flows are hard to predict, and a branch that the processor foretells wrongly takes as
// long as twenty comparisons. So what almost all flows have is searched at fixed places,
// with few branches (numbers and ends), and the rest place by place (matches).
type lz4Writer struct {
	dst    []byte
	src    []byte
	o      int    // end of the output
	anchor int    // where the literals begin that are not written yet
	rec    record // where matches are looked for

	places [1 << tableBits]uint16 // the last place of 8 bytes, its low 16 bits
	tails  [1 << tailBits]int32   // the end of the last record with a tail
	seen   [maxRecord]int32       // where the last record of a size begins, plus 1
}

// record is a record in which matches are looked for, and those before to which it is
// compared; a distance of 0 is none.
type record struct {
	start    int
	end      int
	distance int // to the last record of this size
	tail     int // where it begins to be equal to the end of another
	tailDist int
}

// Places in the record of a flow, in whose first element times and counters come
// before the ports; IPv4 addresses are in the one behind it.
const (
	packetsAt  = recordHeadSize + 4 + 24
	portsAt    = recordHeadSize + 4 + 40
	behindAt   = recordHeadSize + 4 + 48
	leastPlain = 96 // bytes of a record that numbers and ends can search
)

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
		s.beginRecord(at, limit)
		if s.plain(p) {
			p = s.ends(s.numbers(p))
		}
		if p < s.rec.end {
			p = s.matches(p)
		}
		at = s.rec.end
	}
	o := s.o
	s.src, s.dst = nil, nil
	n := len(src) - s.anchor
	dst[o] = byte(min(n, 15) << 4)
	o++
	if n >= 15 {
		o = putLength(dst, o, n-15)
	}
	return o + copy(dst[o:], src[s.anchor:])
}

// beginRecord makes the record at a place the one that is searched, and looks up what it is
// compared to.
func (s *lz4Writer) beginRecord(at, limit int) {
	r := &s.rec
	r.start, r.distance, r.tailDist = at, 0, 0
	size := int(le.Uint16(s.src[at+2:]))
	if size < 4 || size >= maxRecord || size > limit-at {
		r.end, r.tail = limit, limit
		return
	}
	r.end, r.tail = at+size, at+size
	if before := int(s.seen[size]); before > 0 && at-before < maxDistance {
		r.distance = at - before + 1
	}
	s.seen[size] = int32(at + 1)
	if size >= tailSize+8 {
		s.findTail()
	}
}

// findTail looks for the last record that ends with the same bytes.
func (s *lz4Writer) findTail() {
	r := &s.rec
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
	if (a^le.Uint64(t[8:]))|(b^le.Uint64(t[16:]))|(c^le.Uint64(t[24:]))|(d^le.Uint64(t[32:]))|
		(e^le.Uint64(t[40:])) != 0 {
		return
	}
	before := le.Uint64(t) ^ load(s.src, r.end-tailSize-8)
	r.tail = r.end - tailSize - bits.LeadingZeros64(before)>>3
	r.tailDist = r.end - end
}

// plain says whether numbers can search the record from p on.
func (s *lz4Writer) plain(p int) bool {
	r := &s.rec
	return r.distance > 0 && p < r.start+portsAt && r.end-r.start >= leastPlain &&
		le.Uint32(s.src[r.start+recordHeadSize:]) == elGeneric|52<<16
}

// numbers finds and writes the matches from p to the ports: where words are equal, from
// some byte on, to those of the record before. It returns where the search goes on.
func (s *lz4Writer) numbers(p int) int {
	src, distance := s.src, s.rec.distance
	f := s.rec.start + (p-s.rec.start)&^7
	packets, end := s.rec.start+packetsAt, s.rec.start+portsAt
	same := p // where what is equal begins
	behind := uint(p-f) << 3 & 63
	if x := (load(src, f) ^ load(src, f-distance)) >> behind << behind; x != 0 {
		same = f + 8 - bits.LeadingZeros64(x)>>3
	}
	for f += 8; f < end; f += 8 {
		x := load(src, f) ^ load(src, f-distance)
		if x == 0 {
			continue
		}
		if f-same >= minMatch {
			s.sequence(same, f-same, distance)
		}
		same = f + 8 - bits.LeadingZeros64(x)>>3
		if f != packets {
			continue
		}
		if d, x := s.look(f); x == 0 { // few numbers are most
			s.sequence(f, 8, d)
			same = f + 8
		}
	}
	if f-same < minMatch {
		return f
	}
	n := f - same + equalBytes(load(src, f), load(src, f-distance))
	s.sequence(same, n, distance)
	return same + n
}

// look returns the distance from p to the last place with the same 8 bytes, and 0; not 0
// where there is none. It enters p in the table, where no later place may be.
func (s *lz4Writer) look(p int) (distance int, diff uint64) {
	word := load(s.src, p)
	place := &s.places[word*prime1>>(64-tableBits)]
	distance = int(uint16(p) - *place)
	*place = uint16(p)
	diff = word ^ load(s.src, p-distance)
	if distance == 0 {
		diff = 1
	}
	return distance, diff
}

// ends finds and writes the matches in ports, protocol and IPv4 addresses, and the tail.
// It returns where the search goes on, which is p where it is not made for what is there.
func (s *lz4Writer) ends(p int) int {
	src, r := s.src, &s.rec
	f := r.start + portsAt
	if p > f+2 || le.Uint32(src[r.start+behindAt:]) != elIPv4|12<<16 {
		return p
	}
	d, x := s.look(f + 2) // the second port, protocol and flags
	at := f + 4           // or these without it
	distance, diff := s.look(at)
	if x == 0 {
		at = f + 2
	}
	if x == 0 {
		distance = d
	}
	if x == 0 {
		diff = 0
	}
	if diff != 0 {
		return p
	}
	n := 8 + equalBytes(load(src, at+8), load(src, at+8-distance))
	s.sequence(at, n, distance)
	p = max(f+14, (at+n+1)&^1) // the network of one address, and the other
	if p < r.tail-minMatch {
		distance, diff = s.look(p)
		n = 8 + equalBytes(load(src, p+8), load(src, p+8-distance))
		o, anchor := s.o, s.anchor
		s.sequence(p, n, distance)
		hit := int((diff|-diff)>>63) - 1 // all bits, or none
		s.o = o + (s.o-o)&hit
		s.anchor = anchor + (s.anchor-anchor)&hit
	}
	p = s.anchor
	if r.tailDist > 0 && p <= r.end-minMatch {
		p = max(p, r.tail)
		n := s.extend(p, r.end-p, r.tailDist)
		s.sequence(p, n, r.tailDist)
		p += n
	}
	return p
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
func (s *lz4Writer) matches(p int) int {
	src, r := s.src, &s.rec
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
			n = s.extend(p, n, distance)
		}
		s.sequence(p, n, distance)
		p += n
	}
	return p
}

// extend returns how long a match is that has n bytes at least.
func (s *lz4Writer) extend(p, n, distance int) int {
	src, end := s.src, len(s.src)-lastBytes
	for ; p+n+8 <= end; n += 8 {
		if diff := load(src, p+n) ^ load(src, p+n-distance); diff != 0 {
			return n + bits.TrailingZeros64(diff)>>3
		}
	}
	for p+n < end && src[p+n] == src[p+n-distance] {
		n++
	}
	return n
}

// sequence writes the literals up to p, and a match of n bytes there.
func (s *lz4Writer) sequence(p, n, distance int) {
	src, dst, o := s.src, s.dst, s.o
	literals, match := p-s.anchor, n-minMatch
	dst[o] = byte(min(literals, 15)<<4 | min(match, 15))
	o++
	if literals >= 15 {
		o = putLength(dst, o, literals-15)
	}
	if literals <= 16 {
		le.PutUint64(dst[o:o+8], load(src, s.anchor))
		le.PutUint64(dst[o+8:o+16], load(src, s.anchor+8))
	} else {
		copy(dst[o:], src[s.anchor:p])
	}
	o += literals
	le.PutUint16(dst[o:o+2], uint16(distance))
	o += 2
	if match >= 15 {
		o = putLength(dst, o, match-15)
	}
	s.o, s.anchor = o, p+n
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
