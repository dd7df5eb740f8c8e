package nffile

import (
	"bytes"
	stdbzip2 "compress/bzip2"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/dsnet/compress/bzip2"
)

// bzip2Stream packs data with blocks of level times 100 kB.
func bzip2Stream(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := bzip2.NewWriter(&b, &bzip2.WriterConfig{Level: level})
	must(t, err)
	_, err = w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// bzip2Compare unpacks a stream with unpackBZ2 and with Go's package, and returns what
// comes out, nil with an error. What both unpack is the same. One may unpack damage
// that the other does not: Go's package has other codes when there are fewer than there
// can be.
func bzip2Compare(t testing.TB, u *unpacker, stream []byte) []byte {
	t.Helper()
	got, err := u.unpackBZ2(stream)
	want, wantErr := io.ReadAll(io.LimitReader(stdbzip2.NewReader(bytes.NewReader(stream)), MaxBlock+1))
	if err == nil && wantErr == nil && !bytes.Equal(got, want) {
		t.Fatalf("%x: unpacked to %d bytes, others than Go's package", stream, len(got))
	}
	return got
}

// bzip2Data are texts of all kinds: of one byte and of none, with runs of every
// length, periodic ones of which the rotations are equal, of chance, and flows.
func bzip2Data(t testing.TB) [][]byte {
	rng := rand.New(rand.NewPCG(1, 1))
	random := make([]byte, 250000)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	var runs []byte
	for n := range 600 {
		runs = append(runs, bytes.Repeat([]byte{byte(n & 1)}, n)...)
	}
	flows, err := os.ReadFile(writePlain(t, 5000, Options{}))
	must(t, err)
	return [][]byte{nil, {7}, {7, 7}, []byte("abc"), runs, bytes.Repeat([]byte("ab"), 1000),
		bytes.Repeat([]byte("abc"), 77777),
		make([]byte, 1<<20), random, random[:9999], flows, slices.Concat(flows, random, runs)}
}

func TestBZ2(t *testing.T) {
	var u unpacker
	for i, data := range bzip2Data(t) {
		for _, level := range []int{1, 9} {
			if got := bzip2Compare(t, &u, bzip2Stream(t, data, level)); !bytes.Equal(got, data) {
				t.Errorf("text %d with level %d is not itself again", i, level)
			}
		}
	}
	one, two := bzip2Stream(t, []byte("one"), 1), bzip2Stream(t, []byte("two"), 9)
	if got := bzip2Compare(t, &u, slices.Concat(one, two)); string(got) != "onetwo" {
		t.Errorf("two streams are %q", got)
	}
	if _, err := u.unpackBZ2(append(one, 'x')); err == nil {
		t.Error("a byte behind the end passes")
	}
	if _, err := u.unpackBZ2(bzip2Stream(t, make([]byte, MaxBlock+1), 9)); err != errTooLarge {
		t.Errorf("more than a block: %v", err)
	}
}

// TestBZ2Damage cuts streams and changes their bits: a checksum tells.
func TestBZ2Damage(t *testing.T) {
	var u unpacker
	rng := rand.New(rand.NewPCG(1, 1))
	texts := bzip2Data(t)
	for _, data := range [][]byte{texts[1], texts[3], texts[5], texts[9], texts[10][:20000]} {
		stream := bzip2Stream(t, data, 1)
		for range 100 {
			if n := rng.IntN(len(stream)); bzip2Compare(t, &u, stream[:n]) != nil {
				t.Errorf("%d of %d bytes are enough", n, len(stream))
			}
			bad := slices.Clone(stream)
			bad[rng.IntN(min(len(bad), 4+rng.IntN(400)))] ^= 1 << rng.IntN(8)
			if got := bzip2Compare(t, &u, bad); got != nil && !bytes.Equal(got, data) {
				t.Errorf("%d bytes are unpacked otherwise after damage", len(data))
			}
		}
	}
}

// FuzzBZ2: no stream makes the reader panic, and it reads what Go's package reads.
func FuzzBZ2(f *testing.F) {
	for _, data := range [][]byte{nil, []byte("abc"), bytes.Repeat([]byte("flow"), 100)} {
		f.Add(bzip2Stream(f, data, 1))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var u unpacker
		bzip2Compare(t, &u, data)
	})
}
