// Package wire reads and writes the big-endian fields of flow protocols.
//
// A Reader walks over one datagram. It never reads past its end and it never
// panics: the first read that does not fit sets an error that stays, and every
// read after it returns zero. A decoder can so be written as a flat list of
// reads with one check at the end. All lengths are compared as unsigned sizes.
//
// A Writer is the other direction: it appends to a byte slice, for encoders,
// fixtures, the traffic generator and replay.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrShort says that a read wanted more bytes than were left.
var ErrShort = errors.New("data ends early")

// Reader reads big-endian fields from a byte slice it does not own. The zero
// value is an empty reader.
type Reader struct {
	buf []byte
	off int
	err error
}

// NewReader returns a Reader over b. It keeps b and never writes to it.
func NewReader(b []byte) Reader { return Reader{buf: b} }

// Err returns the first error, or nil. It wraps ErrShort and names the offset.
func (r *Reader) Err() error { return r.err }

// Len returns the number of bytes left, 0 after an error.
func (r *Reader) Len() int {
	if r.err != nil {
		return 0
	}
	return len(r.buf) - r.off
}

// Offset returns how many bytes have been read.
func (r *Reader) Offset() int { return r.off }

// Bytes returns the next n bytes without copying, or nil when fewer are left
// or n is negative. The slice is valid as long as the reader's buffer is.
func (r *Reader) Bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.buf)-r.off {
		return r.short(n)
	}
	b := r.buf[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

// short sets the error of a read of n bytes that does not fit.
func (r *Reader) short(n int) []byte {
	r.err = fmt.Errorf("%w: %d bytes wanted at offset %d of %d", ErrShort, n, r.off, len(r.buf))
	return nil
}

// Skip passes over n bytes.
func (r *Reader) Skip(n int) { r.Bytes(n) }

// Rest returns all bytes that are left.
func (r *Reader) Rest() []byte { return r.Bytes(r.Len()) }

// Sub returns a Reader over the next n bytes and passes over them. When fewer
// are left, both readers are in error.
func (r *Reader) Sub(n int) Reader {
	b := r.Bytes(n)
	return Reader{buf: b, err: r.err}
}

// Uint8 reads one byte.
func (r *Reader) Uint8() uint8 {
	if b := r.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 reads two bytes.
func (r *Reader) Uint16() uint16 {
	if b := r.Bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// Uint32 reads four bytes.
func (r *Reader) Uint32() uint32 {
	if b := r.Bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Uint64 reads eight bytes.
func (r *Reader) Uint64() uint64 {
	if b := r.Bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Uint decodes a big-endian unsigned integer of any length (RFC 7011, section
// 6.2, reduced-size encoding). Of more than eight bytes the last eight count;
// no bytes are 0.
func Uint(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// Int decodes a big-endian two's complement integer of 0 to 8 bytes.
func Int(b []byte) int64 {
	n := len(b)
	if n == 0 || n >= 8 {
		return int64(Uint(b))
	}
	shift := uint(64 - 8*n)
	return int64(Uint(b)<<shift) >> shift
}

// Writer appends big-endian fields to a byte slice. The zero value is ready;
// give it a slice with capacity to write without allocation.
type Writer struct {
	buf []byte
}

// NewWriter returns a Writer that appends to b.
func NewWriter(b []byte) Writer { return Writer{buf: b} }

// Buf returns what has been written, including what NewWriter was given.
func (w *Writer) Buf() []byte { return w.buf }

// Len returns the length of Buf.
func (w *Writer) Len() int { return len(w.buf) }

// Uint8 appends one byte.
func (w *Writer) Uint8(v uint8) { w.buf = append(w.buf, v) }

// Uint16 appends two bytes.
func (w *Writer) Uint16(v uint16) { w.buf = binary.BigEndian.AppendUint16(w.buf, v) }

// Uint32 appends four bytes.
func (w *Writer) Uint32(v uint32) { w.buf = binary.BigEndian.AppendUint32(w.buf, v) }

// Uint64 appends eight bytes.
func (w *Writer) Uint64(v uint64) { w.buf = binary.BigEndian.AppendUint64(w.buf, v) }

// Uint appends the low n bytes of v, n from 0 to 8; more are filled with zero.
func (w *Writer) Uint(v uint64, n int) {
	for ; n > 8; n-- {
		w.buf = append(w.buf, 0)
	}
	for i := n - 1; i >= 0; i-- {
		w.buf = append(w.buf, byte(v>>(8*uint(i))))
	}
}

// Bytes appends b.
func (w *Writer) Bytes(b []byte) { w.buf = append(w.buf, b...) }

// Zero appends n zero bytes.
func (w *Writer) Zero(n int) {
	for ; n > 0; n-- {
		w.buf = append(w.buf, 0)
	}
}

// PutUint16 overwrites the two bytes at off, which must have been written. It
// is for lengths and counts that are known only at the end.
func (w *Writer) PutUint16(off int, v uint16) { binary.BigEndian.PutUint16(w.buf[off:], v) }
