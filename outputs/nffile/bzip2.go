package nffile

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
)

// A reader of bzip2 streams in memory, written because the inverse of the sort takes
// most of the time: each byte tells where the next one is, so that the processor waits
// for its memory. Here the text is found from both ends at once, which halves that.
//
// A stream is "BZh", the size of its blocks in 100 kB as a digit, blocks, and a
// checksum of theirs. What it has been through, in this order, is undone backwards:
// runs of 4 to 259 equal bytes are shortened (expand), the rotations of the block are
// sorted and the last column is kept (unsort), each byte is replaced by its place among
// those used last, runs of the first place are counted, and that is Huffman coded
// (symbols).

var (
	errBzip2Torn    = errors.New("bzip2: ends within a block")
	errBzip2Corrupt = errors.New("bzip2: corrupt")
	errBzip2CRC     = errors.New("bzip2: the checksum is wrong")
)

const (
	bzip2Block      = 0x314159265359 // the numbers before a block and at the end
	bzip2End        = 0x177245385090
	bzip2Group      = 50 // symbols between changes of the code
	bzip2MaxCodes   = 6
	bzip2MaxLength  = 20 // of a symbol's code in bits
	bzip2FastBits   = 10 // codes up to this length are looked up
	bzip2MaxSymbols = 258
)

// bzip2Reader unpacks bzip2 streams. Its memory is reused.
type bzip2Reader struct {
	bitReader
	column     []byte   // last column of the sorted rotations, then the text
	next, prev []uint32 // of a byte: where the next and the one before are, <<8, and itself
	counts     [256]uint32
	codes      [bzip2MaxCodes]bzip2Code
	selectors  []uint8 // of the code of each group
	alphabet   [256]byte
	used       int // bytes in alphabet
}

// unpackBZ2 unpacks bzip2 streams, one behind the other.
func (u *unpacker) unpackBZ2(raw []byte) ([]byte, error) {
	if u.bz2 == nil {
		u.bz2 = new(bzip2Reader)
	}
	z := u.bz2
	z.bitReader = bitReader{src: raw}
	u.grow(64 << 10)
	out := u.buf[:0]
	for {
		var err error
		if out, err = z.stream(out); err != nil {
			return nil, err
		}
		u.buf = out[:cap(out)]
		z.align()
		if z.used8() >= len(raw) {
			return out, nil
		}
	}
}

// stream appends what one stream unpacks to.
func (z *bzip2Reader) stream(out []byte) ([]byte, error) {
	head := z.readBits(32)
	if level := head & 0xff; head>>8 != 'B'<<16|'Z'<<8|'h' || level < '1' || level > '9' {
		return nil, fmt.Errorf("%w: it does not begin with BZh1 to BZh9", errBzip2Corrupt)
	}
	size := int(head&0xff-'0') * 100000
	var all uint32
	for {
		kind := z.readBits(24)<<24 | z.readBits(24)
		sum := uint32(z.readBits(32))
		switch {
		case z.torn():
			return nil, errBzip2Torn
		case kind == bzip2End && sum == all:
			return out, nil
		case kind == bzip2End:
			return nil, errBzip2CRC
		case kind != bzip2Block:
			return nil, errBzip2Corrupt
		}
		n, origin, err := z.block(size)
		if err != nil {
			return nil, err
		}
		z.unsort(n, origin)
		from := len(out)
		if out, err = expand(out, z.column[:n]); err != nil {
			return nil, err
		}
		if bzip2CRC(out[from:]) != sum {
			return nil, errBzip2CRC
		}
		all = bits.RotateLeft32(all, 1) ^ sum
	}
}

// block reads a block of at most size bytes up to its last column. It returns the
// length of that and the row of the text.
func (z *bzip2Reader) block(size int) (n int, origin uint32, err error) {
	if z.readBits(1) != 0 {
		return 0, 0, fmt.Errorf("%w: a randomised block, which no bzip2 since 1998 writes", errBzip2Corrupt)
	}
	origin = uint32(z.readBits(24))
	z.readAlphabet()
	codes := int(z.readBits(3))
	if z.used == 0 || codes < 2 || codes > bzip2MaxCodes {
		return 0, 0, errBzip2Corrupt
	}
	if err := z.readSelectors(codes); err != nil {
		return 0, 0, err
	}
	for i := range codes {
		if err := z.readCode(&z.codes[i], z.used+2); err != nil {
			return 0, 0, err
		}
	}
	if n, err = z.symbols(size); err != nil {
		return 0, 0, err
	}
	if int(origin) >= n {
		return 0, 0, errBzip2Corrupt
	}
	return n, origin, nil
}

// readAlphabet reads which bytes are in the block.
func (z *bzip2Reader) readAlphabet() {
	z.used = 0
	for ranges, i := z.readBits(16), 0; i < 16; i++ {
		if ranges>>(15-i)&1 == 0 {
			continue
		}
		for set, j := z.readBits(16), 0; j < 16; j++ {
			if set>>(15-j)&1 != 0 {
				z.alphabet[z.used] = byte(16*i + j)
				z.used++
			}
		}
	}
}

// readSelectors reads which code each group has: as places among those used last.
func (z *bzip2Reader) readSelectors(codes int) error {
	n := int(z.readBits(15))
	z.selectors = z.selectors[:0]
	last := [bzip2MaxCodes]uint8{0, 1, 2, 3, 4, 5}
	for range n {
		place := 0
		for z.readBits(1) != 0 {
			if place++; place >= codes {
				return errBzip2Corrupt
			}
		}
		v := last[place]
		copy(last[1:place+1], last[:place])
		last[0] = v
		z.selectors = append(z.selectors, v)
	}
	if z.torn() {
		return errBzip2Torn
	}
	return nil
}

// bzip2Code is a canonical Huffman code.
type bzip2Code struct {
	fast    [1 << bzip2FastBits]uint16 // by the next bits: symbol<<5 and length, 0 for longer codes
	first   [bzip2MaxLength + 1]uint32 // code of each length
	count   [bzip2MaxLength + 1]uint32
	offset  [bzip2MaxLength + 1]uint32 // of the first in symbols
	symbols [bzip2MaxSymbols]uint16    // in the order of their codes
}

// readCode reads a code for n symbols.
func (z *bzip2Reader) readCode(c *bzip2Code, n int) error {
	var lengths [bzip2MaxSymbols]uint8
	length := int(z.readBits(5))
	for i := range n {
		for {
			if length < 1 || length > bzip2MaxLength {
				return errBzip2Corrupt
			}
			if z.readBits(1) == 0 {
				break
			}
			length += 1 - 2*int(z.readBits(1))
		}
		lengths[i] = uint8(length)
	}
	if z.torn() {
		return errBzip2Torn
	}
	c.build(lengths[:n])
	return nil
}

// build makes the tables for symbols with these lengths. As with bzip2, there may be
// codes without a symbol, and symbols without a code: damage that may be in a code
// that no group has.
func (c *bzip2Code) build(lengths []uint8) {
	clear(c.count[:])
	for _, l := range lengths {
		c.count[l]++
	}
	var code, offset uint32
	for l := 1; l <= bzip2MaxLength; l++ {
		c.first[l], c.offset[l] = code, offset
		code, offset = (code+c.count[l])<<1, offset+c.count[l]
	}
	clear(c.fast[:])
	next := c.offset
	for s, l := range lengths {
		at := next[l]
		next[l]++
		c.symbols[at] = uint16(s)
		code := c.first[l] + at - c.offset[l]
		if l > bzip2FastBits || code >= 1<<l {
			continue
		}
		from := code << (bzip2FastBits - l)
		for i := range uint32(1) << (bzip2FastBits - l) {
			c.fast[from+i] = uint16(s)<<5 | uint16(l)
		}
	}
}

// long finds the symbol of a code that is longer than bzip2FastBits: those bits are
// the next of acc. The length is 0 when there is none.
func (c *bzip2Code) long(acc uint64) (symbol, length int) {
	for l := bzip2FastBits + 1; l <= bzip2MaxLength; l++ {
		if i := uint32(acc>>(64-l)) - c.first[l]; i < c.count[l] {
			return int(c.symbols[c.offset[l]+i]), l
		}
	}
	return 0, 0
}

// symbols reads the symbols of a block into z.column and returns how many bytes they
// are, at most size, counted in z.counts.
func (z *bzip2Reader) symbols(size int) (n int, err error) {
	clear(z.counts[:])
	column := z.column[:min(len(z.column), size)]
	last, end := z.alphabet, z.used+1
	b := z.bitReader
	run, power := 0, 1
	for _, s := range z.selectors {
		code := &z.codes[s]
		for range bzip2Group {
			if b.n < bzip2MaxLength {
				b.fill()
			}
			e := code.fast[b.acc>>(64-bzip2FastBits)]
			symbol, length := int(e>>5), int(e&31)
			if e == 0 {
				if symbol, length = code.long(b.acc); length == 0 {
					return 0, errBzip2Corrupt
				}
			}
			b.acc <<= length & 31
			b.n -= length
			if symbol <= 1 { // digits 1 and 2 of a number with base 2
				if run += power << symbol; run > size-n {
					return 0, errBzip2Corrupt
				}
				power <<= 1
				continue
			}
			if n+run >= len(column) && len(column) < size {
				column = z.grow(n, run+1, size)
			}
			if run > 0 {
				z.counts[last[0]] += uint32(run)
				fillBytes(column[n:n+run], last[0])
				n += run
				run, power = 0, 1
			}
			if symbol == end {
				z.bitReader = b
				return n, nil
			}
			if n == len(column) {
				return 0, errBzip2Corrupt
			}
			v := toFront(&last, uint8(symbol-1))
			column[n] = v
			z.counts[v]++
			n++
		}
		if b.torn() {
			return 0, errBzip2Torn
		}
	}
	return 0, fmt.Errorf("%w: a block without an end", errBzip2Corrupt)
}

// grow makes room for more bytes in the column, of which n are in use, but not for
// more than size.
func (z *bzip2Reader) grow(n, more, size int) []byte {
	column := make([]byte, min(size, max(n+more, 2*n, 64<<10)))
	copy(column, z.column[:n])
	z.column = column
	return column
}

// toFront moves the byte at place i to the front, and returns it.
func toFront(last *[256]byte, i uint8) byte {
	v := last[i]
	if i < 16 {
		for ; i > 0; i-- {
			last[i] = last[i-1]
		}
	} else {
		copy(last[1:int(i)+1], last[:i])
	}
	last[0] = v
	return v
}

// fillBytes sets all of b to v.
func fillBytes(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// unsort makes the text of the last column of its n sorted rotations. The text is
// row number origin: read on from there it is found from its first byte, read back
// from its last. Of damaged data that is not one text, which the checksum tells.
func (z *bzip2Reader) unsort(n int, origin uint32) {
	var sum uint32
	for i, c := range &z.counts {
		z.counts[i] = sum
		sum += c
	}
	if len(z.next) < n {
		z.next, z.prev = make([]uint32, n), make([]uint32, n)
	}
	column, next, prev := z.column[:n], z.next[:n], z.prev[:n]
	for i, c := range column {
		j := z.counts[c]
		z.counts[c]++
		next[j] = uint32(i)<<8 | uint32(c)
		prev[i] = j<<8 | uint32(c)
	}
	on, back := origin, origin
	for i, j := 0, n-1; i < j; i, j = i+1, j-1 {
		v, w := next[on], prev[back]
		column[i], column[j] = byte(v), byte(w)
		on, back = v>>8, w>>8
	}
	if n&1 == 1 {
		column[n/2] = byte(next[on])
	}
}

// expand appends text to out, where the byte behind 4 equal ones says how many more
// of them there are.
func expand(out, text []byte) ([]byte, error) {
	for len(text) > 0 {
		// Without a run, and for the run's 4 bytes, the text is as it is.
		n, run := plainBytes(text), 0
		if n < len(text) {
			run = int(text[n])
		}
		if len(out)+n+run > MaxBlock {
			return nil, errTooLarge
		}
		out = append(out, text[:n]...)
		if n == len(text) {
			break
		}
		for v := text[n-1]; run > 0; run-- {
			out = append(out, v)
		}
		text = text[n+1:]
	}
	return out, nil
}

// plainBytes returns how many bytes there are up to the end of the first 4 that are
// equal, or of the text.
func plainBytes(text []byte) int {
	same := 0
	for i := 1; i < len(text); i++ {
		if text[i] != text[i-1] {
			same = 0
		} else if same++; same == 3 {
			return i + 1
		}
	}
	return len(text)
}

// bzip2Tables are the tables of the checksum, for 8 bytes at once.
var bzip2Tables = sync.OnceValue(func() *[8][256]uint32 {
	var t [8][256]uint32
	for i := range t[0] {
		c := uint32(i) << 24
		for range 8 {
			c = c<<1 ^ 0x04c11db7&-(c>>31)
		}
		t[0][i] = c
	}
	for k := 1; k < len(t); k++ {
		for i, c := range t[k-1] {
			t[k][i] = c<<8 ^ t[0][c>>24]
		}
	}
	return &t
})

// bzip2CRC is the checksum of a block: CRC-32 with the highest bit first.
func bzip2CRC(b []byte) uint32 {
	t := bzip2Tables()
	c := ^uint32(0)
	for ; len(b) >= 8; b = b[8:] {
		c ^= be.Uint32(b)
		c = t[7][c>>24] ^ t[6][c>>16&255] ^ t[5][c>>8&255] ^ t[4][c&255] ^ t[3][b[4]] ^
			t[2][b[5]] ^ t[1][b[6]] ^ t[0][b[7]]
	}
	for _, v := range b {
		c = c<<8 ^ t[0][byte(c>>24)^v]
	}
	return ^c
}

// bitReader reads bits, the highest first. Behind the end there are zeros; torn
// tells.
type bitReader struct {
	src []byte
	pos int
	acc uint64 // the next n bits, at the top
	n   int
}

// fill reads bytes: at least 32 bits are there then.
func (b *bitReader) fill() {
	if b.n < 32 && b.pos+4 <= len(b.src) {
		b.acc |= uint64(be.Uint32(b.src[b.pos:])) << (32 - b.n)
		b.pos += 4
		b.n += 32
		return
	}
	for ; b.n <= 56; b.n += 8 {
		if b.pos < len(b.src) {
			b.acc |= uint64(b.src[b.pos]) << (56 - b.n)
		}
		b.pos++
	}
}

// readBits returns the next n bits, at most 32.
func (b *bitReader) readBits(n int) uint64 {
	if b.n < n {
		b.fill()
	}
	v := b.acc >> (64 - n)
	b.acc <<= n
	b.n -= n
	return v
}

// align steps to the next whole byte.
func (b *bitReader) align() { b.readBits(b.n & 7) }

// used8 returns how many bytes have been begun.
func (b *bitReader) used8() int { return b.pos - b.n/8 }

// torn says whether more was read than there is.
func (b *bitReader) torn() bool { return b.used8() > len(b.src) }
