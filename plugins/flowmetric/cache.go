package flowmetric

import (
	"encoding/binary"
	"net/netip"
)

// cache keeps values that have been put into an interface before: the same
// addresses, interfaces and counts come again and again, and a hit saves the
// formatting and the allocations. It is direct-mapped and of fixed size: a value
// that meets another in its place replaces it. The zero value is ready.
type cache struct {
	uints [4096]struct {
		key   uint64
		value any
	}
	addrs [4096]struct {
		key   netip.Addr
		value any
	}
	texts [1024]struct {
		value any
	}
	hexes [256]any
	flags [256]any

	scratch []byte // texts of the metric at hand
}

// mix spreads the bits of v (the finalizer of MurmurHash3).
func mix(v uint64) uint64 {
	v ^= v >> 33
	v *= 0xff51afd7ed558ccd
	return v ^ v>>33
}

// uint returns v in an interface.
func (c *cache) uint(v uint64) any {
	e := &c.uints[mix(v)%uint64(len(c.uints))]
	if e.key != v || e.value == nil {
		e.key, e.value = v, v
	}
	return e.value
}

// addr returns the text of a in an interface. An IPv4-mapped address
// is written as IPv4.
func (c *cache) addr(a netip.Addr) any {
	b := a.As16()
	h := binary.BigEndian.Uint64(b[8:])
	if !a.Is4() {
		h ^= mix(binary.BigEndian.Uint64(b[:]))
	}
	e := &c.addrs[mix(h)%uint64(len(c.addrs))]
	if e.key != a || e.value == nil {
		e.key, e.value = a, a.Unmap().String()
	}
	return e.value
}

// text returns b in an interface.
func (c *cache) text(b []byte) any {
	if len(b) == 0 {
		return ""
	}
	h := uint64(len(b))
	for _, part := range b {
		h = h*1099511628211 ^ uint64(part)
	}
	e := &c.texts[mix(h)%uint64(len(c.texts))]
	if s, ok := e.value.(string); ok && s == string(b) {
		return e.value
	}
	e.value = string(b)
	return e.value
}

// hex1 returns a byte in hex.
func (c *cache) hex1(v uint8) any {
	if c.hexes[v] == nil {
		c.hexes[v] = string(appendHex(nil, []byte{v}))
	}
	return c.hexes[v]
}

// tcp1 returns TCP's flags of one byte.
func (c *cache) tcp1(v uint8) any {
	if c.flags[v] == nil {
		c.flags[v] = string(appendFlags(nil, v, tcpLetters))
	}
	return c.flags[v]
}
