package nffilter

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
)

// addressSet is a set of addresses and networks, searched by halves. IPv4 and IPv6 are
// kept apart: ::/0 has no IPv4 address.
type addressSet struct {
	v4 []span4
	v6 []span6
}

// span4 and span6 are the addresses from first to last.
type span4 struct{ first, last uint32 }

type span6 struct{ first, last word128 }

// word128 is an IPv6 address as a number.
type word128 struct{ high, low uint64 }

func (a word128) compare(b word128) int {
	return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low))
}

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func number6(a netip.Addr) word128 {
	b := a.As16()
	return word128{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
}

// addPrefix adds a network, whose address has no bits behind its length.
func (s *addressSet) addPrefix(p netip.Prefix) {
	if p.Addr().Is4() {
		first := number4(p.Addr())
		s.v4 = append(s.v4, span4{first, first | uint32(1<<(32-p.Bits())-1)})
		return
	}
	first := number6(p.Addr())
	last, n := first, 128-p.Bits() // bits behind the length
	last.low |= 1<<min(n, 64) - 1
	last.high |= 1<<max(n-64, 0) - 1
	s.v6 = append(s.v6, span6{first, last})
}

// prepare sorts the set and joins what overlaps, so that it can be searched.
func (s *addressSet) prepare() {
	slices.SortFunc(s.v4, func(a, b span4) int { return cmp.Compare(a.first, b.first) })
	n := 0
	for _, next := range s.v4 {
		if n > 0 && next.first <= s.v4[n-1].last {
			s.v4[n-1].last = max(s.v4[n-1].last, next.last)
			continue
		}
		s.v4[n] = next
		n++
	}
	s.v4 = s.v4[:n]
	slices.SortFunc(s.v6, func(a, b span6) int { return a.first.compare(b.first) })
	n = 0
	for _, next := range s.v6 {
		if n > 0 && next.first.compare(s.v6[n-1].last) <= 0 {
			if next.last.compare(s.v6[n-1].last) > 0 {
				s.v6[n-1].last = next.last
			}
			continue
		}
		s.v6[n] = next
		n++
	}
	s.v6 = s.v6[:n]
}

// has says whether an address is in the set. The zero Addr is in none.
func (s *addressSet) has(a netip.Addr) bool {
	if a.Is4() {
		n := number4(a)
		low, high := 0, len(s.v4)
		for low < high {
			if mid := int(uint(low+high) >> 1); s.v4[mid].last < n {
				low = mid + 1
			} else {
				high = mid
			}
		}
		return low < len(s.v4) && s.v4[low].first <= n
	}
	if !a.IsValid() {
		return false
	}
	n := number6(a)
	low, high := 0, len(s.v6)
	for low < high {
		if mid := int(uint(low+high) >> 1); s.v6[mid].last.compare(n) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low < len(s.v6) && s.v6[low].first.compare(n) <= 0
}
