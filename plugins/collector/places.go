package collector

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// place is an open connection of a StreamListener.
type place struct {
	conn     net.Conn
	from     netip.AddrPort
	lastTime atomic.Int64 // of the last whole message, or of the beginning, nanoseconds since 1970
	replaced atomic.Bool  // it was closed for a newer one
}

// heard notes that a whole message has come.
func (p *place) heard(now time.Time) { p.lastTime.Store(now.UnixNano()) }

func (p *place) last() time.Time { return time.Unix(0, p.lastTime.Load()) }

// places are the open connections by their addresses, within bounds that makeRoom is given.
type places struct {
	silentAfter time.Duration
	open        int
	byAddr      map[netip.Addr]map[*place]struct{}
}

func newPlaces(silent time.Duration) places {
	return places{silentAfter: silent, byAddr: map[netip.Addr]map[*place]struct{}{}}
}

// addConn adds a connection, for which there is room.
func (s *places) addConn(conn net.Conn, from netip.AddrPort, now time.Time) *place {
	p := &place{conn: conn, from: from}
	p.heard(now)
	addr := from.Addr()
	if s.byAddr[addr] == nil {
		s.byAddr[addr] = map[*place]struct{}{}
	}
	s.byAddr[addr][p] = struct{}{}
	s.open++
	return p
}

// leave takes a connection out. It may be out already.
func (s *places) leave(p *place) {
	addr := p.from.Addr()
	if _, in := s.byAddr[addr][p]; !in {
		return
	}
	delete(s.byAddr[addr], p)
	if len(s.byAddr[addr]) == 0 {
		delete(s.byAddr, addr)
	}
	s.open--
}

// makeRoom returns the connection that has to go for one more of an address, nil when
// none has to, or says why there is no room: most may be open, perAddress of one.
func (s *places) makeRoom(addr netip.Addr, now time.Time, most, perAddress int) (victim *place, refused string) {
	own := len(s.byAddr[addr])
	switch {
	case own >= perAddress:
		if victim = s.silent(addr, now); victim == nil {
			return nil, fmt.Sprintf("%d connections of this address are open, which is the most allowed of one", own)
		}
	case s.open >= most:
		greediest := addr
		for a, list := range s.byAddr {
			if len(list) > len(s.byAddr[greediest]) {
				greediest = a
			}
		}
		if len(s.byAddr[greediest]) > 0 {
			victim = s.silent(greediest, now)
		}
		if victim == nil {
			return nil, fmt.Sprintf("%d connections are open, which is the most allowed", s.open)
		}
	default:
		return nil, ""
	}
	victim.replaced.Store(true)
	return victim, ""
}

// silent returns the connection of an address that was silent longest, nil when all
// have been heard lately.
func (s *places) silent(addr netip.Addr, now time.Time) (longest *place) {
	for p := range s.byAddr[addr] {
		if longest == nil || p.last().Before(longest.last()) {
			longest = p
		}
	}
	if longest != nil && now.Sub(longest.last()) < s.silentAfter {
		return nil
	}
	return longest
}

// each calls fn for every connection.
func (s *places) each(fn func(*place)) {
	for _, list := range s.byAddr {
		for p := range list {
			fn(p)
		}
	}
}
