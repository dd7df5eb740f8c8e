package nffile

import (
	"bytes"
	"encoding/binary"

	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// lzoRound packs and unpacks data.
func lzoRound(t *testing.T, data []byte) {
	t.Helper()
	var w lzoWriter
	dst := make([]byte, lzoBound(len(data)))
	n := w.pack(dst, data)
	var u unpacker
	got, err := u.unpackLZO(dst[:n])
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes packed to %d, unpacked to %d: %v", len(data), n, len(got), err)
	}
}

// TestLZORoundTrip packs data with matches at all distances and of all lengths.
func TestLZORoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 2, 3, 4, 5, 17, 18, 19, 238, 239, 240, 254, 255, 256, 1000, 5000} {
		data := make([]byte, size)
		lzoRound(t, data) // one long match
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		lzoRound(t, data) // nothing but literals
	}
	for range 300 {
		var data []byte
		for len(data) < 70000 {
			if len(data) > 8 && rnd.IntN(3) > 0 {
				distance := 1 + rnd.IntN(min(len(data), 1<<(1+rnd.IntN(16))))
				for range 1 + rnd.IntN(1<<(1+rnd.IntN(10))) {
					data = append(data, data[len(data)-distance])
				}
			}
			for range rnd.IntN(1 << rnd.IntN(9)) {
				data = append(data, byte(rnd.Uint32()))
			}
		}
		lzoRound(t, data)
	}
}

// TestLZORefuses: streams that are torn or reach before their start.
func TestLZORefuses(t *testing.T) {
	var u unpacker
	for name, stream := range map[string]string{
		"nothing":           "",
		"torn literals":     "\x16abc",
		"no end":            "\x12a",
		"match before all":  "\x12a\x40\xff\x11\x00\x00",
		"bytes behind":      "\x11\x00\x00x",
		"endless length":    "\x00\x00\x00\x00",
		"torn operand":      "\x12a\x20",
		"literals past end": "\x00\xffabc",
	} {
		if b, err := u.unpackLZO([]byte(stream)); err == nil {
			t.Errorf("%s: unpacked to %q", name, b)
		}
	}
	if b, err := u.unpackLZO([]byte("\x11\x00\x00")); err != nil || len(b) != 0 {
		t.Errorf("an empty stream: %q, %v", b, err)
	}
}

// FuzzLZO: no stream makes the reader panic, and what the writer makes is read
// back.
func FuzzLZO(f *testing.F) {
	f.Add([]byte("\x16abcde\x40\x00\x11\x00\x00"))
	f.Add(bytes.Repeat([]byte("flow"), 100))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		lzoCompare(t, data)
		lzoRound(t, data)
	})
}

// lzoCompare unpacks a stream with decodeLZO and with plainLZO, into buffers of
// several sizes.
func lzoCompare(t *testing.T, stream []byte) {
	t.Helper()
	for _, size := range []int{0, 10, len(stream), 5*len(stream) + 100, 4000} {
		dst, plain := make([]byte, size), make([]byte, size)
		n, err := decodeLZO(dst, stream)
		m, plainErr := plainLZO(plain, stream)
		if n != m || fmt.Sprint(err) != fmt.Sprint(plainErr) || !bytes.Equal(dst[:n], plain[:m]) {
			t.Fatalf("%x into %d bytes: %d bytes, %v; expected %d, %v", stream, size, n, err, m, plainErr)
		}
	}
}

// TestLZOPlain compares with plainLZO: streams of chance, and those of the writer
// with a byte changed or the end cut off.
func TestLZOPlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32() >> (rng.Uint32() % 32))
		}
		return b
	}
	var w lzoWriter
	dst := make([]byte, lzoBound(2000))
	for range 5000 {
		lzoCompare(t, append([]byte("\x40abcdefghijklmnopqrstuvwxyz0123456789abcdefghijk")[:18+rng.IntN(30)],
			random(40)...))
		data := random(rng.IntN(300))
		data = append(data, data[len(data)/2:]...)
		stream := slices.Clone(dst[:w.pack(dst, append(data, data...))])
		lzoCompare(t, stream)
		stream[rng.IntN(len(stream))] ^= byte(rng.Uint32())
		lzoCompare(t, stream)
		lzoCompare(t, stream[:rng.IntN(len(stream))])
	}
}

// lzoReader is a place in a stream and in what comes out of it.
type lzoReader struct {
	src, dst []byte
	i, o     int
}

// plainLZO is decodeLZO byte by byte, an instruction after the other.
func plainLZO(dst, src []byte) (int, error) {
	r := lzoReader{src: src, dst: dst}
	state := 0 // literals of the instruction before; 4 stands for more than 3
	if len(src) > 0 && src[0] > 17 {
		n := int(src[0]) - 17
		r.i = 1
		if err := r.literals(n); err != nil {
			return 0, err
		}
		state = min(n, 4)
	}
	for {
		if r.i+2 > len(src) {
			return 0, errLZOTorn
		}
		op := int(src[r.i])
		r.i++
		if op < 16 && state == 0 {
			n, err := r.length(op, 15)
			if err == nil {
				err = r.literals(n + 3)
			}
			if err != nil {
				return 0, err
			}
			state = 4
			continue
		}
		length, distance, next, err := r.match(op, state)
		if err != nil {
			return 0, err
		}
		if distance == 0 {
			if r.i != len(src) {
				return 0, fmt.Errorf("LZO: %d bytes behind the end of the stream", len(src)-r.i)
			}
			return r.o, nil
		}
		if err := r.copyMatch(length, distance); err != nil {
			return 0, err
		}
		if err := r.literals(next); err != nil {
			return 0, err
		}
		state = next
	}
}

// match reads the operands of the instruction op: the length of the match, its
// distance, 0 at the end of the stream, and the literals behind it.
func (r *lzoReader) match(op, state int) (length, distance, next int, err error) {
	switch {
	case op >= 64:
		length = op>>5 + 1
		distance = int(r.src[r.i])<<3 + op>>2&7 + 1
		r.i++
		return length, distance, op & 3, nil
	case op >= 16:
		bits := 31
		if op < 32 {
			bits = 7
		}
		if length, err = r.length(op&bits, bits); err != nil {
			return 0, 0, 0, err
		}
		if r.i+2 > len(r.src) {
			return 0, 0, 0, errLZOTorn
		}
		v := int(binary.LittleEndian.Uint16(r.src[r.i:]))
		r.i += 2
		distance = v>>2 + 1
		if op < 32 {
			distance = op&8<<11 + v>>2
			if distance != 0 {
				distance += 16384
			}
		}
		return length + 2, distance, v & 3, nil
	}
	distance = int(r.src[r.i])<<2 + op>>2 + 1
	r.i++
	if state == 4 {
		return 3, distance + 2048, op & 3, nil
	}
	return 2, distance, op & 3, nil
}

// length completes a length of which the instruction has the low bits.
func (r *lzoReader) length(low, most int) (int, error) {
	if low != 0 {
		return low, nil
	}
	n := most
	for r.i < len(r.src) {
		b := r.src[r.i]
		r.i++
		if b != 0 {
			return n + int(b), nil
		}
		if n += 255; n > MaxBlock {
			return 0, errTooLarge
		}
	}
	return 0, errLZOTorn
}

// literals copies n bytes from the stream.
func (r *lzoReader) literals(n int) error {
	if n > len(r.src)-r.i {
		return errLZOTorn
	}
	if n > len(r.dst)-r.o {
		return errLZOShort
	}
	copy(r.dst[r.o:], r.src[r.i:r.i+n])
	r.i += n
	r.o += n
	return nil
}

// copyMatch copies n bytes from distance bytes back; they may overlap.
func (r *lzoReader) copyMatch(n, distance int) error {
	if distance > r.o {
		return errLZOCorrupt
	}
	if n > len(r.dst)-r.o {
		return errLZOShort
	}
	from := r.o - distance
	if distance >= n {
		copy(r.dst[r.o:r.o+n], r.dst[from:from+n])
	} else {
		for i := range n {
			r.dst[r.o+i] = r.dst[from+i]
		}
	}
	r.o += n
	return nil
}

// TestLZOSmaller: a block of flows shrinks.
func TestLZOSmaller(t *testing.T) {
	path := writePlain(t, 5000, Options{})
	data, err := os.ReadFile(path)
	must(t, err)
	var w lzoWriter
	dst := make([]byte, lzoBound(len(data)))
	if n := w.pack(dst, data); n > len(data)/2 {
		t.Errorf("%d bytes packed to %d", len(data), n)
	}
}
