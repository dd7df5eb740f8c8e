package smtpd

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"slices"
)

// Session is a client's connection that outlives its server: Park gives it, Adopt takes
// it on. Its client notices nothing; what it sends meanwhile waits in the socket.
type Session struct {
	Socket *os.File `json:"-"`
	// Listen is the address, as configured, of the listener that it came through.
	Listen string
	// Helo is the name that the client gave, empty when it has not yet.
	Helo string
	// Mailed tells that it has come to a MAIL.
	Mailed bool
	// Idle and Errors are counted towards the session's limits.
	Idle, Errors int
	// Read is what the client has sent behind the last answer.
	Read []byte
}

// Park is Stop, except that sessions in plain text do not end but are given, as soon as
// they are between two mails. The state of TLS cannot outlive the process.
func (s *Server) Park() []*Session {
	s.mu.Lock()
	s.parking = true
	s.mu.Unlock()
	s.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	parked := s.parked
	s.parked = nil
	return parked
}

// Sockets gives copies of the listening sockets, by their addresses as configured.
func (s *Server) Sockets() map[string]*os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	sockets := map[string]*os.File{}
	for _, g := range s.gates {
		if l, ok := g.Listener.(*net.TCPListener); ok {
			if f, err := l.File(); err == nil {
				sockets[g.addr] = f
			}
		}
	}
	return sockets
}

// park keeps a session that is to end between two mails for another server, and tells
// whether it could. The session's goroutine calls it.
func (c *conn) park() bool {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok || c.encrypted || c.mode.encrypted() || c.late.Load() || c.flush() != nil {
		return false
	}
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	if !c.srv.parking {
		return false
	}
	f, err := tcp.File()
	if err != nil {
		return false
	}
	buffered, _ := c.r.Peek(c.r.Buffered())
	session := &Session{
		Socket: f, Listen: c.gate.addr, Mailed: c.mailed, Idle: c.idle, Errors: c.errors,
		Read: slices.Concat(c.rest, buffered),
	}
	if c.greeted {
		session.Helo = c.helo
	}
	c.srv.parked = append(c.srv.parked, session)
	c.parked = true
	return true
}

// Adopt takes on sessions that another server has parked, and gives those that it does
// not: of addresses that are not listened on in plain text any more, of clients that may
// not send, and of clients that are gone. It is called behind Start.
func (s *Server) Adopt(sessions []*Session) (refused []*Session) {
	opts := s.options()
	var conns adoption
	for _, parked := range sessions {
		g := s.gateFor(parked.Listen)
		nc, err := net.FileConn(parked.Socket)
		if err != nil {
			parked.Socket.Close()
			continue
		}
		remote := remoteAddr(nc)
		if g == nil || opts.RequireAuth || !remote.IsValid() || !opts.allows(remote) {
			nc.Close()
			refused = append(refused, parked)
			continue
		}
		parked.Socket.Close()
		c := newConn(nc, remote, g)
		c.restore(parked)
		s.mu.Lock()
		s.limiter.connect(remote)
		s.conns[c] = struct{}{}
		s.open.Add(1)
		s.mu.Unlock()
		conns = append(conns, c)
	}
	if len(conns) > 0 {
		s.smtp.Serve(&conns)
	}
	return refused
}

// gateFor gives the gate that takes mail in plain text on an address, nil without one.
func (s *Server) gateFor(addr string) *gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.gates, func(g *gate) bool { return g.addr == addr && !g.mode.encrypted() }); i >= 0 {
		return s.gates[i]
	}
	return nil
}

// restore makes c what it was. The library is new: its greeting is not sent, and it is
// given the client's EHLO again, whose answer the client has had.
func (c *conn) restore(parked *Session) {
	c.welcome, c.resumed = true, true
	c.r = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(parked.Read), c.Conn), readBuffer)
	c.mailed, c.idle, c.errors = parked.Mailed, parked.Idle, parked.Errors
	if parked.Helo != "" {
		c.greeted, c.helo = true, parked.Helo
		c.pending = []byte("EHLO " + parked.Helo + "\r\n")
	}
}

// adoption is a listener that gives connections that are there already.
type adoption []*conn

// Accept implements net.Listener.
func (a *adoption) Accept() (net.Conn, error) {
	if len(*a) == 0 {
		return nil, net.ErrClosed
	}
	c := (*a)[0]
	*a = (*a)[1:]
	return c, nil
}

// Close implements net.Listener.
func (a *adoption) Close() error { return nil }

// Addr implements net.Listener.
func (a *adoption) Addr() net.Addr { return &net.TCPAddr{} }
