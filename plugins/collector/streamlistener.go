package collector

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// The defaults of StreamOptions, and the bounds of a connection.
const (
	DefaultMaxConnections = 512
	DefaultIdleTimeout    = 30 * time.Minute

	firstTimeout = 30 * time.Second // until a TLS handshake and the first message are over
	firstBuffer  = 4 << 10          // bytes; it grows with what comes
	streamBuffer = 128 << 10        // bytes; a message has less than 64 KiB
	silentAfter  = 5 * time.Second  // without a message, from where a connection may have to make room
	drainPause   = 20 * time.Millisecond
)

// StreamOptions configures a StreamListener.
type StreamOptions struct {
	// Address is where to listen: "tcp://:4739" is IPv4 and IPv6, tcp4:// and
	// tcp6:// are one of them.
	Address string

	// TLS is the configuration of a server; nil is plain TCP. RFC 7011, section
	// 11.1, wants both sides to have certificates.
	TLS *tls.Config

	// MaxConnections bounds the connections that are open at once; 0 is
	// DefaultMaxConnections. For one more, the connection that was silent longest of
	// the address with most of them is closed; where none of those is silent, the
	// newcomer is.
	MaxConnections int

	// MaxPerAddress bounds those of one address; 0 is a quarter of MaxConnections, at
	// least 16.
	MaxPerAddress int

	// IdleTimeout closes a connection from which no whole message has come for so
	// long; 0 is DefaultIdleTimeout.
	IdleTimeout time.Duration

	// Allow says whether connections from an address are taken; nil is all.
	Allow func(netip.Addr) bool

	// Warn gets a line for the first failure of each kind. nil is silence.
	Warn func(format string, args ...any)
}

// StreamStats are the counters of a StreamListener.
type StreamStats struct {
	Open     uint64 // connections, now
	Accepted uint64 // connections
	Refused  uint64 // connections closed at once: too many, or not allowed
	Replaced uint64 // connections closed for a newer one, as they were silent and their address had most
	Failed   uint64 // connections closed as the handshake failed or what came was no IPFIX
	Idle     uint64 // connections closed as they were silent for too long
	Broken   uint64 // connections that ended within a message
}

// StreamListener receives IPFIX messages over TCP or TLS (RFC 7011, section 10.4).
// NewStreamListener opens nothing; Start does, and Stop ends it.
type StreamListener struct {
	opt      atomic.Pointer[StreamOptions]
	listener net.Listener
	handle   func([]Datagram)
	stop     atomic.Int64 // when Stop was called, in nanoseconds since 1970; 0 before
	wg       sync.WaitGroup

	gate   sync.RWMutex // held while handle runs, and written from Park to Adopt
	parked bool

	accepted, refused, replaced, failed, idle, broken atomic.Uint64

	mu     sync.Mutex
	places places
}

// NewStreamListener returns a listener that is not yet open.
func NewStreamListener(o StreamOptions) *StreamListener {
	o.setDefaults()
	l := &StreamListener{places: newPlaces(silentAfter)}
	l.opt.Store(&o)
	return l
}

func (o *StreamOptions) setDefaults() {
	if o.MaxConnections <= 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	if o.MaxPerAddress <= 0 {
		o.MaxPerAddress = min(o.MaxConnections, max(16, o.MaxConnections/4))
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = DefaultIdleTimeout
	}
	if o.Warn == nil {
		o.Warn = func(string, ...any) {}
	}
}

// Start opens the port and calls handle for the messages that come in, from a
// goroutine for each connection, until Stop. The messages of a connection come in
// their order, and behind the last one comes one without payload. The slice and the
// payloads are valid until handle returns.
func (l *StreamListener) Start(handle func([]Datagram)) error {
	network, host, err := ParseAddress(l.opt.Load().Address)
	if err != nil {
		return err
	}
	if l.listener, err = net.Listen(network, host); err != nil {
		return fmt.Errorf("listen on %s: %w", l.opt.Load().Address, err)
	}
	l.handle = handle
	l.wg.Go(l.accept)
	return nil
}

// accept takes connections until the port is closed.
func (l *StreamListener) accept() {
	pause := time.Duration(0)
	for {
		conn, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, say
			if l.failed.Add(1) == 1 {
				l.opt.Load().Warn("accepting on %s: %v (further failures are only counted)", l.opt.Load().Address, err)
			}
			pause = min(max(2*pause, time.Millisecond), time.Second)
			time.Sleep(pause)
			continue
		}
		pause = 0
		p, why := l.takePlace(conn)
		if why != "" {
			if l.refused.Add(1) == 1 {
				l.opt.Load().Warn("%s: the connection of %s is refused: %s (further ones are only counted)",
					l.opt.Load().Address, conn.RemoteAddr(), why)
			}
			_ = conn.Close() // once it is counted: the peer sees it at once
			continue
		}
		l.accepted.Add(1)
		l.wg.Go(func() {
			l.serve(p)
			l.mu.Lock()
			l.places.leave(p)
			l.mu.Unlock()
			_ = conn.Close()
		})
	}
}

// takePlace gives a connection its place, or says why not.
func (l *StreamListener) takePlace(conn net.Conn) (p *place, refused string) {
	from := remote(conn)
	if l.opt.Load().Allow != nil && !l.opt.Load().Allow(from.Addr()) {
		return nil, "the configuration does not allow this exporter"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	o := l.opt.Load()
	victim, refused := l.places.makeRoom(from.Addr(), now, o.MaxConnections, o.MaxPerAddress)
	if refused != "" {
		return nil, refused
	}
	if victim != nil {
		l.places.leave(victim)
		if l.replaced.Add(1) == 1 {
			l.opt.Load().Warn("%s: the connection of %s, silent for %v, makes room for that of %s (further ones are "+
				"only counted)",
				l.opt.Load().Address, victim.from, now.Sub(victim.last()).Round(time.Second), from)
		}
		_ = victim.conn.Close()
	}
	return l.places.addConn(conn, from, now), ""
}

// remote returns the exporter's address and port.
func remote(conn net.Conn) netip.AddrPort {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// serve receives from one connection until it ends.
func (l *StreamListener) serve(p *place) {
	conn, from := p.conn, p.from
	s := &session{conn: conn, place: p, from: from, buf: make([]byte, firstBuffer)}
	s.extend(l, firstTimeout)
	_ = conn.SetWriteDeadline(time.Now().Add(firstTimeout)) // of the handshake: nothing else is sent
	if l.opt.Load().TLS != nil {
		t := tls.Server(conn, l.opt.Load().TLS)
		s.conn = t
		if err := t.Handshake(); err != nil {
			if l.stop.Load() == 0 && l.failed.Add(1) == 1 {
				l.opt.Load().Warn("%s: the TLS handshake with %s failed: %v (further failures are only counted)",
					l.opt.Load().Address, from, err)
			}
			return
		}
	}
	err := l.receive(s)
	if s.messages {
		l.give([]Datagram{{Exporter: from, Received: time.Now(), Stream: true}})
	}
	switch {
	case errors.Is(err, errNoIPFIX):
		if l.failed.Add(1) == 1 {
			l.opt.Load().Warn("%s: the connection of %s is closed: %v (further failures are only counted)",
				l.opt.Load().Address, from, err)
		}
	case l.stop.Load() != 0 || p.replaced.Load():
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.idle.Add(1)
	case s.have > 0:
		l.broken.Add(1)
	}
}

// session is one connection.
type session struct {
	conn     net.Conn
	place    *place
	from     netip.AddrPort
	buf      []byte
	have     int  // bytes in buf
	messages bool // some have come
	draining bool // after Stop
	list     []Datagram
}

// extend lets the connection live for some time, which is short after Stop.
func (s *session) extend(l *StreamListener, timeout time.Duration) {
	_ = s.conn.SetReadDeadline(time.Now().Add(timeout))
	if l.stop.Load() != 0 {
		_ = s.conn.SetReadDeadline(time.Now().Add(drainPause))
	}
}

// receive hands over messages until the connection ends, with the error that ended
// it.
func (l *StreamListener) receive(s *session) error {
	for {
		n, err := s.conn.Read(s.buf[s.have:])
		s.have += n
		now := time.Now()
		used, bad := s.cut(now)
		whole := len(s.list) > 0
		if whole {
			s.messages = true
			s.place.heard(now)
			l.give(s.list)
		}
		s.have = copy(s.buf, s.buf[used:s.have])
		stop := l.stop.Load()
		switch {
		case bad != nil:
			return bad
		case stop != 0 && !s.draining && errors.Is(err, os.ErrDeadlineExceeded):
			s.draining = true // Stop interrupted the read: what the kernel holds comes next
		case err != nil:
			return err
		case stop != 0 && time.Now().After(time.Unix(0, stop).Add(drainLimit)):
			return net.ErrClosed
		}
		if whole { // a part of a message gives no time
			s.extend(l, l.opt.Load().IdleTimeout)
		} else if stop != 0 {
			s.extend(l, drainPause)
		}
		s.widen()
	}
}

// widen makes the buffer larger once it is mostly full.
func (s *session) widen() {
	if len(s.buf) < streamBuffer && s.have > len(s.buf)/2 {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
}

// errNoIPFIX is why a connection is closed whose messages cannot be told apart.
var errNoIPFIX = errors.New("expected an IPFIX message (version 10, a length of 16 or more)")

// cut lists the whole messages in the buffer and returns how many bytes they have.
func (s *session) cut(now time.Time) (used int, err error) {
	s.list = s.list[:0]
	for s.have-used >= 4 {
		b := s.buf[used:s.have]
		version, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if version != ipfix.Version || n < ipfix.HeaderLen {
			return used, fmt.Errorf("%w, got version %d and length %d", errNoIPFIX, version, n)
		}
		if n > len(b) {
			break
		}
		s.list = append(s.list, Datagram{Exporter: s.from, Received: now, Payload: b[:n:n], Stream: true})
		used += n
	}
	return used, nil
}

// Stop closes the port, hands over what the connections hold so far, for at most
// two seconds, closes them, and waits until handle has returned for the last time.
// It may be called more than once, and without Start.
func (l *StreamListener) Stop() {
	if l.listener == nil {
		return
	}
	if l.stop.CompareAndSwap(0, time.Now().UnixNano()) {
		l.unpark(discard)
		_ = l.listener.Close()
		l.mu.Lock()
		l.places.each(func(p *place) { _ = p.conn.SetReadDeadline(time.Now()) })
		l.mu.Unlock()
	}
	l.wg.Wait()
}

// Addr returns the address of the port, the zero value before Start.
func (l *StreamListener) Addr() netip.AddrPort {
	if l.listener == nil {
		return netip.AddrPort{}
	}
	if a, ok := l.listener.Addr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// Stats returns the counters, since Start.
func (l *StreamListener) Stats() StreamStats {
	l.mu.Lock()
	open := l.places.open
	l.mu.Unlock()
	return StreamStats{
		Open: uint64(open), Accepted: l.accepted.Load(), Refused: l.refused.Load(), Replaced: l.replaced.Load(),
		Failed: l.failed.Load(), Idle: l.idle.Load(), Broken: l.broken.Load(),
	}
}
