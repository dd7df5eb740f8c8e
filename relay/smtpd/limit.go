package smtpd

import (
	"net/netip"
	"sync"
	"time"
)

// Limits bound what one client may do. Zero is no limit. A client is an IPv4
// address or an IPv6 network of 64 bits.
type Limits struct {
	// Connections is the number of connections at a time.
	Connections int
	// Messages is the number of mails a minute, in bursts of as many.
	Messages int
	// Recipients is the number of recipients a minute, in bursts of as many.
	Recipients int
}

const (
	maxClients         = 10_000 // remembered; beyond it the forgetting is early
	failuresPerMinute  = 10     // of AUTH
	refusalsPerMinute  = 120    // that are logged; two a second
	forgetClientsAfter = time.Minute
)

// limiter counts what clients do.
type limiter struct {
	limits Limits

	mu      sync.Mutex
	clients map[netip.Prefix]*clientUse
}

// clientUse is what one client has used of its limits.
type clientUse struct {
	conns                          int
	messages, recipients, failures bucket
	refusals                       bucket
	untold                         int // refusals that were not logged
	last                           time.Time
}

// bucket is a token bucket that holds a minute's worth.
type bucket struct {
	used float64
	at   time.Time
}

func (b *bucket) drain(limit int, now time.Time) {
	if now.After(b.at) {
		b.used = max(0, b.used-now.Sub(b.at).Minutes()*float64(limit))
	}
	b.at = now
}

func (b *bucket) takeToken(limit int, now time.Time) bool {
	if limit <= 0 {
		return true
	}
	b.drain(limit, now)
	if b.used+1 > float64(limit) {
		return false
	}
	b.used++
	return true
}

func newLimiter(limits Limits) *limiter {
	return &limiter{limits: limits, clients: map[netip.Prefix]*clientUse{}}
}

func clientKey(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// use gives a client's record. The caller holds mu.
func (l *limiter) use(addr netip.Addr) *clientUse {
	key := clientKey(addr)
	u := l.clients[key]
	if u == nil {
		if len(l.clients) >= maxClients {
			l.forget(time.Now().Add(-forgetClientsAfter))
		}
		if len(l.clients) >= maxClients {
			l.forget(time.Now())
		}
		u = &clientUse{}
		l.clients[key] = u
	}
	u.last = time.Now()
	return u
}

// forget drops clients without connections that were not seen since then: their
// buckets are empty after a minute.
func (l *limiter) forget(before time.Time) {
	for key, u := range l.clients {
		if u.conns == 0 && !u.last.After(before) {
			delete(l.clients, key)
		}
	}
}

// setLimits puts other limits in force; what is used stays counted.
func (l *limiter) setLimits(limits Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limits = limits
}

// mayConnect tells whether a client may have one connection more.
func (l *limiter) mayConnect(addr netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limits.Connections <= 0 || l.use(addr).conns < l.limits.Connections
}

// connect counts a connection.
func (l *limiter) connect(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.use(addr).conns++
}

func (l *limiter) disconnect(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u := l.clients[clientKey(addr)]; u != nil && u.conns > 0 {
		u.conns--
	}
}

func (l *limiter) message(addr netip.Addr) bool {
	return l.takeToken(addr, func(u *clientUse) (*bucket, int) { return &u.messages, l.limits.Messages })
}

func (l *limiter) recipient(addr netip.Addr) bool {
	return l.takeToken(addr, func(u *clientUse) (*bucket, int) { return &u.recipients, l.limits.Recipients })
}

// failure counts a failed login; false when the client had too many.
func (l *limiter) failure(addr netip.Addr) bool {
	return l.takeToken(addr, func(u *clientUse) (*bucket, int) { return &u.failures, failuresPerMinute })
}

// mayTell tells whether a refusal of a client is logged, and how many before it were not.
func (l *limiter) mayTell(addr netip.Addr) (ok bool, untold int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.use(addr)
	if !u.refusals.takeToken(refusalsPerMinute, time.Now()) {
		u.untold++
		return false, 0
	}
	untold, u.untold = u.untold, 0
	return true, untold
}

func (l *limiter) takeToken(addr netip.Addr, which func(*clientUse) (*bucket, int)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, limit := which(l.use(addr))
	return b.takeToken(limit, time.Now())
}

// mayLogin tells whether a client has failures left.
func (l *limiter) mayLogin(addr netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.use(addr)
	u.failures.drain(failuresPerMinute, time.Now())
	return u.failures.used+1 <= failuresPerMinute
}
