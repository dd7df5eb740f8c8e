package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/big"
	"math/rand/v2"
	"testing"
)

// A field that starts inside the datagram and ends outside must not be read: what lies
// behind a datagram in the receive buffer is another exporter's.
func TestReadEndsWithTheData(t *testing.T) {
	whole := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
	sizes := map[string]struct {
		n    int
		read func(*Reader) uint64
	}{
		"8 bits":  {1, func(r *Reader) uint64 { return uint64(r.Uint8()) }},
		"16 bits": {2, func(r *Reader) uint64 { return uint64(r.Uint16()) }},
		"32 bits": {4, func(r *Reader) uint64 { return uint64(r.Uint32()) }},
		"64 bits": {8, func(r *Reader) uint64 { return r.Uint64() }},
	}
	for name, c := range sizes {
		for length := range 10 {
			for offset := range length + 1 {
				r := NewReader(whole[:length]) // with capacity behind it
				r.Skip(offset)
				got := c.read(&r)
				if fits := offset+c.n <= length; fits != (r.Err() == nil) || !fits && got != 0 {
					t.Errorf("%s at %d of %d bytes: %d, %v", name, offset, length, got, r.Err())
				} else if fits && r.Len() != length-offset-c.n {
					t.Errorf("%s at %d of %d bytes: %d bytes left", name, offset, length, r.Len())
				}
			}
		}
	}
}

// An empty field at the end of a datagram is no error: templates of padding and of
// variable length have them (RFC 7011, section 7).
func TestNothingIsReadAtTheEnd(t *testing.T) {
	r := NewReader([]byte{1, 2})
	r.Skip(2)
	if b := r.Bytes(0); b == nil || len(b) != 0 || r.Err() != nil {
		t.Errorf("0 bytes at the end: %v, %v", b, r.Err())
	}
	if s := r.Sub(0); s.Len() != 0 || s.Err() != nil {
		t.Errorf("a reader over nothing: %d bytes left, %v", s.Len(), s.Err())
	}
	if b := r.Rest(); len(b) != 0 || r.Err() != nil {
		t.Errorf("the rest of nothing: %v, %v", b, r.Err())
	}
}

// What reads a set must not change the sets behind it, and an append to what was read
// must not either.
func TestWhatWasReadIsApart(t *testing.T) {
	data := []byte{1, 2, 3, 4, 5}
	r := NewReader(data)
	_ = append(r.Bytes(2), 0xff)
	s := r.Sub(2)
	_ = append(s.Rest(), 0xee)
	if !bytes.Equal(data, []byte{1, 2, 3, 4, 5}) || r.Uint8() != 5 {
		t.Errorf("the data is now %v", data)
	}
	if s.Uint8(); s.Err() == nil || r.Err() != nil {
		t.Errorf("past a sub-reader's end: %v; of the reader: %v", s.Err(), r.Err())
	}
}

// The error names what was wanted and where, so that a broken datagram is found in a
// capture; that of the first read stays.
func TestErrorSaysWhere(t *testing.T) {
	r := NewReader(make([]byte, 7))
	r.Skip(5)
	r.Uint32()
	r.Skip(100)
	const want = "data ends early: 4 bytes wanted at offset 5 of 7"
	if err := r.Err(); !errors.Is(err, ErrShort) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if r.Offset() != 5 {
		t.Errorf("offset %d after the error, want 5", r.Offset())
	}
}

// Integers of reduced size (RFC 7011, section 6.2) have the value that math/big gives
// them, signed and not.
func TestIntegersOfEverySize(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 13 {
		for range 200 {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			want := new(big.Int).SetBytes(b[max(0, n-8):]).Uint64()
			if got := Uint(b); got != want {
				t.Fatalf("Uint(%x) = %d, want %d", b, got, want)
			}
			if n > 8 {
				continue
			}
			signed := new(big.Int).SetBytes(b)
			if n > 0 && b[0]&0x80 != 0 {
				signed.Sub(signed, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
			}
			if got := Int(b); got != signed.Int64() {
				t.Fatalf("Int(%x) = %d, want %d", b, got, signed)
			}
		}
	}
}

// A number is written in as many bytes as its template says, filled with zeros on the
// left as encoding/binary and math/big write it.
func TestNumbersAreWrittenInEverySize(t *testing.T) {
	const v = 0x0102030405060708
	eight := binary.BigEndian.AppendUint64(nil, v)
	for n := range 13 {
		w := NewWriter([]byte("before"))
		w.Uint(v, n)
		want := []byte("before")
		if n > 8 {
			want = append(want, make([]byte, n-8)...)
		}
		want = append(want, eight[max(0, 8-n):]...)
		if !bytes.Equal(w.Buf(), want) || w.Len() != 6+n {
			t.Errorf("%d bytes: %x, want %x", n, w.Buf(), want)
		}
	}
}
