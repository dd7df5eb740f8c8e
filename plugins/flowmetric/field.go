package flowmetric

import (
	"encoding/binary"
	"net/netip"
)

// field is a field of the metric at hand.
type field struct {
	name string
	value
}

// value is the value of a field that is not in an interface yet: putting it there costs
// an allocation, which a line does not need.
type value struct {
	form       form
	bits, high uint64 // what they are says form
	boxed      any    // of formBoxed: a string, a bool or a number
}

// form is how a value holds what it is.
type form uint8

const (
	formNone  form = iota // no value: the field is left out
	formBoxed             // boxed
	formUint              // bits
	formInt               // bits
	formFloat             // bits, as IEEE 754 has them
	formAddr4             // an address of IPv4 in bits
	formAddr6             // an address of IPv6 in high and bits
	formText              // of cache.scratch high bytes, from bits on
)

// boxed returns a value that is in an interface already; nil is none.
func boxed(v any) value {
	if v == nil {
		return value{}
	}
	return value{form: formBoxed, boxed: v}
}

// number returns a number as a value.
func number(v uint64) value { return value{form: formUint, bits: v} }

// address returns an address as a value. An IPv4-mapped one is one of IPv4.
func address(a netip.Addr) value {
	if !a.IsValid() {
		return boxed(a.String())
	}
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return value{form: formAddr4, bits: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return value{form: formAddr6, high: binary.BigEndian.Uint64(b[:]), bits: binary.BigEndian.Uint64(b[8:])}
}

// addr returns the address of formAddr4 and formAddr6.
func (v *value) addr() netip.Addr {
	if v.form == formAddr4 {
		return netip.AddrFrom4([4]byte{byte(v.bits >> 24), byte(v.bits >> 16), byte(v.bits >> 8), byte(v.bits)})
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], v.high)
	binary.BigEndian.PutUint64(b[8:], v.bits)
	return netip.AddrFrom16(b)
}

// since returns what was appended to scratch as a value.
func (c *cache) since(from int) value {
	return value{form: formText, bits: uint64(from), high: uint64(len(c.scratch) - from)}
}

// string returns a text as a value.
func (c *cache) string(s string) value {
	from := len(c.scratch)
	c.scratch = append(c.scratch, s...)
	return c.since(from)
}

// bytes returns the text of formText. It is valid as long as the metric is at hand.
func (c *cache) bytes(v *value) []byte { return c.scratch[v.bits : v.bits+v.high] }

// begin forgets the metric at hand.
func (b *Builder) begin() {
	b.fields, b.cache.scratch = b.fields[:0], b.cache.scratch[:0]
	b.lines.open = false // as it is unless a panic has ended the last one
}

// next appends a field and returns its value, which is still to be set: what form does not
// use may be of another field that was there.
func (b *Builder) next(name string) *value {
	n := len(b.fields)
	if n < cap(b.fields) {
		b.fields = b.fields[:n+1]
	} else {
		b.fields = append(b.fields, field{})
	}
	f := &b.fields[n]
	f.name = name
	return &f.value
}

// addValue appends a field to the metric at hand.
func (b *Builder) addValue(name string, v value) {
	switch {
	case v.form == formNone:
	case b.lines.open:
		b.writeField(name, &v)
	default:
		*b.next(name) = v
	}
}

// setValue is addValue for a name that may be there already.
func (b *Builder) setValue(name string, v value) {
	if v.form == formNone {
		return
	}
	if i := b.find(name); i >= 0 {
		b.replace(i, v)
		return
	}
	b.addValue(name, v)
}

// find returns the place of a field of the metric or the line at hand, -1 when it is not
// there.
func (b *Builder) find(name string) int {
	if b.lines.open {
		return b.lines.find(name)
	}
	for i := range b.fields {
		if b.fields[i].name == name {
			return i
		}
	}
	return -1
}

// replace gives the field at a place another value.
func (b *Builder) replace(i int, v value) {
	if b.lines.open {
		b.rewriteField(i, &v)
		return
	}
	b.fields[i].value = v
}

// says tells whether the field at a place has a value already.
func (b *Builder) says(i int, v value) bool {
	if b.lines.open {
		return b.writtenAs(i, &v)
	}
	return b.cache.same(&b.fields[i].value, &v)
}

// saysNothing tells whether the field at a place is 0, an address of zeros or no text.
func (b *Builder) saysNothing(i int) bool {
	if b.lines.open {
		return b.writtenAsNothing(i)
	}
	return isZero(b.cache.box(&b.fields[i].value))
}

// same says whether two values are of one type and the same.
func (c *cache) same(v, w *value) bool {
	if v.form == formFloat && w.form == formFloat {
		return v.bits == w.bits
	}
	return c.box(v) == c.box(w)
}

// addField appends a field. nil is no value.
func (b *Builder) addField(name string, boxed any) {
	switch {
	case boxed == nil:
	case b.lines.open:
		b.writeField(name, &value{form: formBoxed, boxed: boxed})
	default:
		v := b.next(name)
		v.form, v.boxed = formBoxed, boxed
	}
}

// set is add for a name that may be there already.
func (b *Builder) set(name string, v any) { b.setValue(name, boxed(v)) }

// uint appends a number.
func (b *Builder) uint(name string, n uint64) {
	if b.lines.open {
		b.writeUint(name, n)
		return
	}
	v := b.next(name)
	v.form, v.bits = formUint, n
}
