package wire

import (
	"bytes"
	"errors"
	"testing"
)

func TestReaderReadsWhatTheWriterWrote(t *testing.T) {
	var w Writer
	w.Uint8(1)
	w.Uint16(0x0203)
	w.Uint32(0x04050607)
	w.Uint64(0x08090a0b0c0d0e0f)
	w.Uint(0x112233, 3)
	w.Uint(0x44, 10)
	w.Bytes([]byte("ab"))
	w.Zero(2)
	w.PutUint16(1, 0xfffe)
	r := NewReader(w.Buf())
	if r.Uint8() != 1 || r.Uint16() != 0xfffe || r.Uint32() != 0x04050607 || r.Uint64() != 0x08090a0b0c0d0e0f {
		t.Fatal("fixed-size fields differ")
	}
	if v := Uint(r.Bytes(3)); v != 0x112233 {
		t.Fatalf("three-byte integer: %#x", v)
	}
	if v := Uint(r.Bytes(10)); v != 0x44 {
		t.Fatalf("ten-byte integer: %#x", v)
	}
	if s := r.Sub(2); string(s.Rest()) != "ab" || s.Len() != 0 {
		t.Fatal("sub-reader differs")
	}
	if !bytes.Equal(r.Rest(), []byte{0, 0}) || r.Err() != nil || r.Offset() != w.Len() {
		t.Fatal("rest differs")
	}
}

func TestReaderErrorStays(t *testing.T) {
	r := NewReader([]byte{1, 2, 3})
	if r.Uint32() != 0 || !errors.Is(r.Err(), ErrShort) {
		t.Fatalf("want ErrShort, got %v", r.Err())
	}
	if r.Uint8() != 0 || r.Len() != 0 || r.Rest() != nil {
		t.Fatal("a read after an error gave data")
	}
	if s := r.Sub(0); s.Err() == nil {
		t.Fatal("a sub-reader lost the error")
	}
	n := NewReader([]byte{1})
	if n.Bytes(-1) != nil || n.Err() == nil {
		t.Fatal("a negative length was read")
	}
}

func TestInt(t *testing.T) {
	for _, c := range []struct {
		in   []byte
		want int64
	}{
		{nil, 0}, {[]byte{0xff}, -1}, {[]byte{0x7f}, 127}, {[]byte{0xff, 0xfe}, -2},
		{[]byte{0x80, 0, 0}, -1 << 23}, {[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd}, -3},
	} {
		if got := Int(c.in); got != c.want {
			t.Errorf("Int(%x) = %d, want %d", c.in, got, c.want)
		}
	}
}
