package flowmetric

import (
	"encoding/binary"
	"net/netip"
)

// cache keeps texts that have been written before: the addresses of exporters, and flags,
// come again and again. It is direct-mapped and of fixed size: an address that meets
// another in its place replaces it. The zero value is ready.
type cache struct {
	addrs [1024]struct {
		key  netip.Addr
		text string
	}
	hexes [256]any
	flags [256]any

	scratch []byte // texts of the metric at hand
	memory  memory
}

// mix spreads the bits of v (the finalizer of MurmurHash3).
func mix(v uint64) uint64 {
	v ^= v >> 33
	v *= 0xff51afd7ed558ccd
	return v ^ v>>33
}

// addr returns the text of a. An IPv4-mapped address is written as IPv4.
func (c *cache) addr(a netip.Addr) string {
	b := a.As16()
	h := binary.BigEndian.Uint64(b[8:])
	if !a.Is4() {
		h ^= mix(binary.BigEndian.Uint64(b[:]))
	}
	e := &c.addrs[mix(h)%uint64(len(c.addrs))]
	if e.key != a || e.text == "" {
		e.key, e.text = a, a.Unmap().String()
	}
	return e.text
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
