package query

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// maxRemembered bounds the addresses of which one goroutine remembers something.
const maxRemembered = 1 << 16

// remembered asks about addresses, and remembers the answers: flows have few different
// addresses. It is of one goroutine.
type remembered[T any] struct {
	of    func(netip.Addr) T
	known map[netip.Addr]T
}

// ask returns the answer for an address.
func (m *remembered[T]) ask(a netip.Addr) T {
	answer, ok := m.known[a]
	if ok {
		return answer
	}
	answer = m.of(a)
	if len(m.known) == maxRemembered {
		clear(m.known)
	}
	m.known[a] = answer
	return answer
}

// countries tells the countries of addresses.
type countries struct{ remembered[string] }

// newCountries returns what asks of for the country of an address; nil knows none.
func newCountries(of func(netip.Addr) string) *countries {
	return &countries{remembered[string]{of, map[netip.Addr]string{}}}
}

// name returns the country of an address in two letters, "" where it is not known.
func (c *countries) name(a netip.Addr) string {
	if c.of == nil || !a.IsValid() {
		return ""
	}
	if name := c.ask(a); len(name) == 2 {
		return name
	}
	return ""
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
