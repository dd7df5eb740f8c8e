package smtpd

import (
	"net/netip"
	"time"
)

// stalled is how long the client of an open transaction has to be silent before another
// client may get its place.
const stalled = 10 * time.Second

// placeFor gives the session that makes room for a new client when all places are taken,
// nil when there is none. Places are shared fairly among clients: one that has fewer
// than the greediest gets a place of that one, the one that was silent longest,
// preferably between two mails. Else a session goes that was idle for over idle. The
// caller holds mu.
func (s *Server) placeFor(remote netip.Addr, idle time.Duration) *conn {
	taken := map[netip.Prefix]int{}
	var greediest netip.Prefix
	for c := range s.conns {
		key := clientKey(c.remote)
		taken[key]++
		if taken[key] > taken[greediest] {
			greediest = key
		}
	}
	if taken[clientKey(remote)]+1 >= taken[greediest] {
		return s.longestIdle(netip.Addr{}, idle)
	}
	if c := s.silent(func(c *conn) bool { return clientKey(c.remote) == greediest && c.between.Load() }, 0); c != nil {
		return c
	}
	return s.silent(func(c *conn) bool { return clientKey(c.remote) == greediest }, stalled)
}

// longestIdle gives the session that was idle longest between two mails, for over idle;
// with a client one of this client. The caller holds mu.
func (s *Server) longestIdle(client netip.Addr, idle time.Duration) *conn {
	return s.silent(func(c *conn) bool {
		return c.between.Load() && (!client.IsValid() || clientKey(c.remote) == clientKey(client))
	}, idle)
}

// silent gives the session, of those that are wanted, whose client was silent longest,
// for at least so long.
func (s *Server) silent(wanted func(*conn) bool, least time.Duration) (longest *conn) {
	until := time.Now().Add(-least).UnixNano()
	for c := range s.conns {
		if since := c.silentSince.Load(); since != 0 && since <= until && wanted(c) {
			longest, until = c, since
		}
	}
	return longest
}
