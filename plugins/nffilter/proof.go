package nffilter

import (
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// KeyKind is what kind of value a Key is.
type KeyKind uint8

// The kinds. Each is of source and destination alike.
const (
	KeyAddress KeyKind = iota
	KeyXlate           // an address behind an address translator
	KeyTunnel          // an address of a tunnel
	KeyPort
	KeyAS
	NumKeyKinds = iota
)

// Key is a value that a flow may have.
type Key struct {
	Kind  KeyKind
	Value flow.Value
}

// keyFields are the fields of each kind.
var keyFields = [NumKeyKinds][2]flow.Field{
	KeyAddress: {flow.Src, flow.Dst}, KeyXlate: {flow.XlateSrc, flow.XlateDst}, KeyTunnel: {flow.TunSrc, flow.TunDst},
	KeyPort: {flow.SrcPort, flow.DstPort}, KeyAS: {flow.SrcAS, flow.DstAS},
}

// KeyFields returns the fields whose values are keys.
func KeyFields() (s flow.Set) {
	for _, pair := range keyFields {
		s.Add(pair[0])
		s.Add(pair[1])
	}
	return s
}

// EachKey calls fn for the keys of a flow. Addresses that it lacks are none.
func EachKey(r *flow.Record, fn func(Key)) {
	address := func(kind KeyKind, a netip.Addr) {
		if a.IsValid() {
			fn(Key{kind, flow.ValueOf(a)})
		}
	}
	number := func(kind KeyKind, v uint64) { fn(Key{kind, flow.Value{Lo: v}}) }
	address(KeyAddress, r.Src)
	address(KeyAddress, r.Dst)
	address(KeyXlate, r.XlateSrc)
	address(KeyXlate, r.XlateDst)
	address(KeyTunnel, r.TunSrc)
	address(KeyTunnel, r.TunDst)
	number(KeyPort, uint64(r.SrcPort))
	number(KeyPort, uint64(r.DstPort))
	number(KeyAS, uint64(r.SrcAS))
	number(KeyAS, uint64(r.DstAS))
}

// mostKeys bounds the values of one test that are looked up: of more it is taken that
// one is there.
const mostKeys = 4096

// CanMatch says whether any flow of some can match, of which no more is known than which
// keys they have: has says whether one of them may have a key. When it says no none
// matches.
//
// It follows all ways through the tests of the filter: a test is passed only if one of
// its values is there, and not passed in any case.
func (f *Filter) CanMatch(has func(Key) bool) bool {
	reached := make([]bool, len(f.tests))
	reached[0] = true
	for i := range f.tests { // each goes on with one behind it
		if !reached[i] {
			continue
		}
		t := &f.tests[i]
		ways := [...]int32{t.no, t.yes}
		n := 1
		if t.canPass(has) {
			n = 2
		}
		if t.op == opTrue {
			ways[0] = t.yes
		}
		for _, to := range ways[:n] {
			if to == matched {
				return true
			}
			if to >= 0 {
				reached[to] = true
			}
		}
	}
	return false
}

// Selective says whether what keys flows have can tell that none matches.
func (f *Filter) Selective() bool { return !f.CanMatch(func(Key) bool { return false }) }

// mostNeedles bounds the addresses that Needles returns: each is compared with those of
// every flow.
const mostNeedles = 4

// Needles returns addresses of which each flow that matches has one, as its source or its
// destination, in a field that the filter reads. nil is no such addresses, or too many.
func (f *Filter) Needles() []flow.Value {
	var needles []flow.Value
	canDoWithout := f.CanMatch(func(k Key) bool {
		if k.Kind == KeyAddress && !slices.Contains(needles, k.Value) {
			needles = append(needles, k.Value)
		}
		return k.Kind != KeyAddress || len(needles) > mostNeedles
	})
	if canDoWithout {
		return nil
	}
	return needles
}

// canPass says whether a flow can pass a test.
func (t *test) canPass(has func(Key) bool) bool {
	kind, ok := keyKindOf(t.operand)
	if !ok {
		return true
	}
	number := func(v uint64) bool { return has(Key{kind, flow.Value{Lo: v}}) }
	switch {
	case t.op == opNumber && t.compare == equal:
		return number(t.value)
	case t.op == opNumberIn && len(t.list) <= mostKeys:
		return slices.ContainsFunc(t.list, number)
	case t.op == opAddressIn:
		return t.addresses.anyOf(func(v flow.Value) bool { return has(Key{kind, v}) })
	}
	return true
}

// keyKindOf returns the kind of an operand's values, false when they are no keys.
func keyKindOf(o operand) (KeyKind, bool) {
	for kind, pair := range keyFields {
		if o == operand(pair[0]) || o == operand(pair[1]) {
			return KeyKind(kind), true
		}
	}
	return 0, false
}

// anyOf says whether has says so of any address in the set, or there is a network, or
// too many addresses, of which it is taken.
func (s *addressSet) anyOf(has func(flow.Value) bool) bool {
	if len(s.v4)+len(s.v6) > mostKeys {
		return true
	}
	left := uint64(mostKeys)
	for _, span := range s.v4 {
		n := uint64(span.last-span.first) + 1
		if n > left {
			return true
		}
		left -= n
		for a := uint64(span.first); a <= uint64(span.last); a++ {
			if has(flow.Value{Lo: flow.Mapped4 | a}) {
				return true
			}
		}
	}
	for _, span := range s.v6 {
		if span.last.low-span.first.low >= left { // of a network shorter than /64 that is all of low
			return true
		}
		left -= span.last.low - span.first.low + 1
		for low := span.first.low; ; low++ {
			if has(flow.Value{Hi: span.first.high, Lo: low}) {
				return true
			}
			if low == span.last.low {
				break
			}
		}
	}
	return false
}
