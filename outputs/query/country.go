package query

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// maxCountries bounds the addresses whose countries one goroutine remembers.
const maxCountries = 1 << 16

// countries tells the countries of addresses, and remembers them: flows have few different
// addresses. It is of one goroutine.
type countries struct {
	of    func(netip.Addr) string
	known map[netip.Addr]string
}

// newCountries returns what asks of for the country of an address; nil knows none.
func newCountries(of func(netip.Addr) string) *countries {
	return &countries{of: of, known: map[netip.Addr]string{}}
}

// name returns the country of an address in two letters, "" where it is not known.
func (c *countries) name(a netip.Addr) string {
	if c.of == nil || !a.IsValid() {
		return ""
	}
	name, ok := c.known[a]
	if ok {
		return name
	}
	if name = c.of(a); len(name) != 2 {
		name = ""
	}
	if len(c.known) == maxCountries {
		clear(c.known)
	}
	c.known[a] = name
	return name
}

// countryBits are those of the number of a country: its two letters.
const countryBits = 16

// number returns the country of an address as a number, 0 where it is not known.
func (c *countries) number(v flow.Value) uint64 {
	name := c.name(v.Addr())
	if name == "" {
		return 0
	}
	return uint64(name[0])<<8 | uint64(name[1])
}

// countryOf returns the two letters of a number, "" of 0.
func countryOf(number uint64) string {
	if number == 0 {
		return ""
	}
	return string([]byte{byte(number >> 8), byte(number)})
}
