package flow

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sort"
)

var be = binary.BigEndian

// Field is a field of a Record: its bit in Present, and the key to what is known
// of it. The constants, and all that follows here, are made from Record's tags.
type Field uint8

// Kind is what the value of a field is.
type Kind uint8

// The kinds of fields.
const (
	KindMark      Kind = iota // no value of its own: it says something about another field
	KindNumber                // an integer of Size bytes
	KindAddress               // an IPv4 or IPv6 address
	KindMAC                   // 6 bytes
	KindText                  // bytes that are text
	KindOctets                // bytes
	KindTimestamp             // a Time
	KindFlags                 // an integer of Size bytes, whose bits have meanings
	KindLabel                 // MPLS labels of 3 bytes each
	KindList                  // integers of Size bytes each
)

// Form is how the value of an element becomes that of a field.
type Form uint8

// The forms.
const (
	FormWhole        Form = iota // as it is
	FormHigh                     // the upper byte of a number of two
	FormLow                      // the lower byte
	FormItem                     // the item at Index of a list, or of the stack of labels
	FormInner                    // as it is, where the exporter tells of a tunnel: it is of the inner flow
	FormV9                       // as it is, in NetFlow v9 only
	FormSeconds                  // since 1970
	FormMilliseconds             // since 1970
	FormNTP                      // the format of NTP: RFC 7011, sections 6.1.9 and 6.1.10
	FormBefore                   // microseconds before the export
	FormUptime                   // milliseconds since the exporter started, modulo 1<<32
)

// Description says what a field is.
type Description struct {
	Const string // the name of its constant
	Name  string // in metrics: Telegraf's stock names where it has one; "" where it has none
	Kind  Kind
	Size  uint8  // of the value in a Record, or of each of a list, in bytes; 0 where that varies
	Unit  string // of a number, "" where it has none
	Pair  Field  // the field that has the same of the other direction, else the field itself
	One   bool   // of the elements in a template, only that with the lowest Rank fills it
}

// Use says that an element fills a field.
type Use struct {
	PEN   uint32
	ID    uint16
	Field Field
	Form  Form
	Index uint8 // of a FormItem
	Rank  uint8 // among the elements of the field, the preferred first
	Keep  bool  // the field does not tell all that the element does
}

// Describe returns what the field is; nothing for what is no field.
func (f Field) Describe() Description {
	if int(f) < NumFields {
		return descriptions[f]
	}
	return Description{Pair: f}
}

// Name returns the field's name in metrics, "" for fields that have none.
func (f Field) Name() string {
	if int(f) < NumFields {
		return descriptions[f].Name
	}
	return ""
}

// String returns the name of the field's constant.
func (f Field) String() string {
	if int(f) < NumFields {
		return descriptions[f].Const
	}
	return "none"
}

// FieldByName returns the field of a metric's name.
func FieldByName(name string) (Field, bool) {
	i := slices.IndexFunc(descriptions[:], func(d Description) bool { return d.Name == name && name != "" })
	return Field(max(i, 0)), i >= 0
}

// Uses returns the fields that an element fills, in the order of the fields. The
// slice is shared: do not change it.
func Uses(pen uint32, id uint16) []Use {
	i := sort.Search(len(uses), func(i int) bool {
		u := &uses[i]
		return u.PEN > pen || u.PEN == pen && u.ID >= id
	})
	end := i
	for end < len(uses) && uses[end].PEN == pen && uses[end].ID == id {
		end++
	}
	return uses[i:end]
}

// AllUses returns all elements that fill fields, sorted by PEN and id. The slice is
// shared: do not change it.
func AllUses() []Use { return uses[:] }

// Label is a name of Names, for its name in metrics.
type Label uint8

// String returns the name in metrics.
func (l Label) String() string {
	if int(l) < NumLabels {
		return labels[l]
	}
	return ""
}

// macNumber returns a MAC as a number.
func macNumber(m *[6]byte) (v uint64) {
	for _, b := range m {
		v = v<<8 | uint64(b)
	}
	return v
}

// macOf returns the MAC of a number.
func macOf(v uint64) (m [6]byte) {
	for i := range m {
		m[i] = byte(v >> (40 - 8*i))
	}
	return m
}

// Value is the value of a field in a form that can be compared and counted: a number
// in Lo, or an address, IPv4 as its IPv4-mapped one. A field that a flow lacks is 0,
// or 0.0.0.0.
type Value struct{ Hi, Lo uint64 }

// Mapped4 is the upper part of the low word of an IPv4-mapped address.
const Mapped4 = 0xFFFF << 32

// ValueOf returns an address as a value; a missing one is 0.0.0.0.
func ValueOf(a netip.Addr) Value {
	switch {
	case a.Is4():
		b := a.As4() // is in registers, where the processor waits for an array of 16
		return Value{Lo: Mapped4 | uint64(be.Uint32(b[:]))}
	case !a.IsValid():
		return Value{Lo: Mapped4}
	}
	b := a.As16()
	return Value{be.Uint64(b[:]), be.Uint64(b[8:])}
}

// Addr returns the value as an address.
func (v Value) Addr() netip.Addr {
	var b [16]byte
	be.PutUint64(b[:], v.Hi)
	be.PutUint64(b[8:], v.Lo)
	return netip.AddrFrom16(b).Unmap()
}

// Mask4 returns the bits of the first n of an IPv4 address as a value, at most 32.
func Mask4(n int) Value {
	return Value{Lo: Mapped4 | uint64(^uint32(0)<<(32-min(max(n, 0), 32)))}
}

// Mask6 returns the bits of the first n of an IPv6 address as a value, at most 128.
func Mask6(n int) Value {
	if n <= 64 {
		return Value{Hi: ^uint64(0) << (64 - max(n, 0))}
	}
	return Value{^uint64(0), ^uint64(0) << (128 - min(n, 128))}
}

// Value returns the value of a field that is a number or an address.
func (r *Record) Value(f Field) Value {
	if int(f) < NumFields && descriptions[f].Kind == KindAddress {
		return ValueOf(r.Addr(f))
	}
	return Value{Lo: r.Number(f)}
}

// Set is a set of fields.
type Set [2]uint64

// SetOf returns the set of some fields.
func SetOf(fields ...Field) (s Set) {
	for _, f := range fields {
		s.Add(f)
	}
	return s
}

// Add puts f into the set.
func (s *Set) Add(f Field) { s[f>>6] |= 1 << (f & 63) }

// Remove takes f out of the set.
func (s *Set) Remove(f Field) { s[f>>6] &^= 1 << (f & 63) }

// Has says whether f is in the set.
func (s *Set) Has(f Field) bool { return s[f>>6]&(1<<(f&63)) != 0 }

// Union returns the fields of both sets.
func (s Set) Union(t Set) Set { return Set{s[0] | t[0], s[1] | t[1]} }

// Without returns the fields of s that are not in t.
func (s Set) Without(t Set) Set { return Set{s[0] &^ t[0], s[1] &^ t[1]} }

// Meets says whether the sets have a field in common.
func (s Set) Meets(t Set) bool { return s[0]&t[0]|s[1]&t[1] != 0 }

// turn exchanges the fields that are one value for each direction.
func (s *Set) turn() {
	for _, p := range pairs {
		a, b := s.Has(p[0]), s.Has(p[1])
		if a != b {
			s[p[0]>>6] ^= 1 << (p[0] & 63)
			s[p[1]>>6] ^= 1 << (p[1] & 63)
		}
	}
}
