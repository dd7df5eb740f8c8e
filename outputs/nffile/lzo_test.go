package nffile

import (
	"bytes"
	"math/rand/v2"
	"os"
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
		var u unpacker
		u.unpackLZO(data)
		lzoRound(t, data)
	})
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
