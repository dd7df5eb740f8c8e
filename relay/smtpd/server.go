package smtpd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/policy"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// Options configure a Server. Listen, Hostname, Policy, NewID and Submit are
// needed; the rest has useful defaults when zero.
type Options struct {
	// Listen are the addresses to take mail on.
	Listen []Listener
	// TLS is needed by listeners with encryption, see TLSConfig.
	TLS *tls.Config
	// Users may log in, over TLS only, by name.
	Users map[string]Verifier
	// RequireAuth refuses mail from who has not logged in.
	RequireAuth bool
	// Helo says which names clients may give; default HeloAny.
	Helo HeloRule
	// Senders are the domains that mail may come from; nil allows all.
	Senders *policy.Domains
	// Limits are those of each client.
	Limits Limits
	// Hostname is our name in the greeting and in Received fields.
	Hostname string
	// Policy decides about clients and recipients.
	Policy *policy.Policy
	// Known are recipients taken besides those of Policy, from clients that Policy
	// allows; nil takes none.
	Known func(recipient address.Address) bool
	// Unknown are recipients refused although Policy allows them, because there is
	// no such user; nil refuses none.
	Unknown func(recipient address.Address) bool
	// MaxMessageSize is the largest message in octets; default 10 MiB.
	MaxMessageSize int64
	// LongLines takes messages with lines over 998 octets in their body, which some
	// servers refuse; else they are refused with 554 5.6.0.
	LongLines bool
	// MaxConnections is the number of connections at a time; default 100. Another
	// client gets 421.
	MaxConnections int
	// MaxRecipients is the number of recipients a mail; default 1000.
	MaxRecipients int
	// CommandTimeout is the longest wait for a whole command line; default 5 min.
	CommandTimeout time.Duration
	// DataTimeout is the longest time for a message body; default 10 min.
	DataTimeout time.Duration
	// SessionTimeout is the age at which a session is ended between two mails;
	// default 1 h.
	SessionTimeout time.Duration
	// Instance is the start of the ids that NewID gives: a Received field with
	// such an id means a loop.
	Instance string
	// NewID gives a mail's id.
	NewID func() string
	// Submit takes a mail over. When it returns nil the mail is safe.
	Submit func(env *queue.Envelope, body []byte) error
	// Monitor counts and logs; may be nil.
	Monitor *monitor.Monitor

	failureDelay time.Duration // shorter in tests
}

// HeloRule says which names are accepted in EHLO and HELO.
type HeloRule string

// The rules. HeloAny takes any one word; HeloName a domain or an address literal;
// HeloFQDN a domain with a dot or an address literal.
const (
	HeloAny  HeloRule = "any"
	HeloName HeloRule = "name"
	HeloFQDN HeloRule = "fqdn"
)

const (
	defaultMaxMessageSize = 10 << 20
	defaultMaxConnections = 100
	defaultMaxRecipients  = 1000
	defaultCommandTimeout = 5 * time.Minute
	defaultDataTimeout    = 10 * time.Minute
	defaultSessionTimeout = time.Hour

	// handshakeTimeout is the longest time for a TLS handshake.
	handshakeTimeout = 30 * time.Second

	// stopGrace is how long Stop waits for mails under way.
	stopGrace = 5 * time.Second
)

// Server is an SMTP listener. It is inert until Start.
type Server struct {
	opts     Options
	smtp     *smtp.Server
	limiter  *limiter
	auths    chan struct{} // one place for each hash being computed
	stopping atomic.Bool

	mu        sync.Mutex
	listeners []net.Listener
	conns     map[*conn]struct{}
	serving   sync.WaitGroup // accept loops
	open      sync.WaitGroup // connections
	inFlight  sync.WaitGroup // mails being handed over
}

// New makes a Server from its options.
func New(opts Options) *Server {
	opts.MaxMessageSize = orDefault(opts.MaxMessageSize, defaultMaxMessageSize)
	opts.MaxConnections = orDefault(opts.MaxConnections, defaultMaxConnections)
	opts.MaxRecipients = orDefault(opts.MaxRecipients, defaultMaxRecipients)
	opts.CommandTimeout = orDefault(opts.CommandTimeout, defaultCommandTimeout)
	opts.DataTimeout = orDefault(opts.DataTimeout, defaultDataTimeout)
	opts.SessionTimeout = orDefault(opts.SessionTimeout, defaultSessionTimeout)
	opts.failureDelay = orDefault(opts.failureDelay, failureDelay)
	s := &Server{
		opts: opts, conns: map[*conn]struct{}{},
		limiter: newLimiter(opts.Limits), auths: make(chan struct{}, parallelAuths),
	}
	s.smtp = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.smtp.Domain = opts.Hostname
	s.smtp.MaxRecipients = opts.MaxRecipients
	s.smtp.MaxLineLength = 0 // the guard limits command lines; bodies have no limit of their own
	s.smtp.ErrorLog = errorLog{opts.Monitor}
	return s
}

func orDefault[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}

// Start opens all listeners and serves them. After an error none is open.
func (s *Server) Start() error {
	for _, listen := range s.opts.Listen {
		if listen.Encrypted() && s.opts.TLS == nil {
			s.closeListeners()
			return fmt.Errorf("listening on %q for mail: no certificate is given", listen.Addr)
		}
		l, err := net.Listen("tcp", listen.Addr)
		if err != nil {
			s.closeListeners()
			return fmt.Errorf("listening on %q for mail: %w", listen.Addr, err)
		}
		s.mu.Lock()
		s.listeners = append(s.listeners, l)
		s.mu.Unlock()
	}
	for i, l := range s.listeners {
		mode := s.opts.Listen[i].Mode
		s.serving.Go(func() {
			err := s.smtp.Serve(&gate{l, s, mode})
			if err != nil && !errors.Is(err, net.ErrClosed) {
				s.opts.Monitor.Errorf("mail listener %s ended: %v", l.Addr(), err)
			}
		})
	}
	return nil
}

// Addrs gives the addresses that are listened on, in the order of Options.Listen.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

func (s *Server) closeListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		l.Close()
	}
}

// Stop closes the listeners, lets mails under way end for 5 s, and closes what is
// left. After it nothing is submitted. It may be called twice, or without Start.
func (s *Server) Stop() {
	s.stopping.Store(true)
	s.closeListeners()
	s.serving.Wait()
	s.mu.Lock()
	for c := range s.conns {
		c.nudge()
	}
	s.mu.Unlock()
	closed := make(chan struct{})
	go func() {
		s.open.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(stopGrace):
		s.mu.Lock()
		for c := range s.conns {
			c.Conn.Close()
		}
		s.mu.Unlock()
		<-closed
	}
	s.inFlight.Wait()
}

// gate is the listener that go-smtp sees: clients that may not send and clients
// over the cap never reach it.
type gate struct {
	net.Listener
	srv  *Server
	mode Mode
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		nc, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := g.srv.admit(nc, g.mode); c != nil {
			return c, nil
		}
	}
}

// admit checks a new client and makes its guard, or sends it away and gives nil.
func (s *Server) admit(nc net.Conn, mode Mode) *conn {
	remote := remoteAddr(nc)
	if !s.opts.Policy.AllowClient(remote) {
		s.opts.Monitor.Count(monitor.Refused, "network")
		s.opts.Monitor.LimitedWarnf("network "+remote.String(), "mail client %s refused: not in relay_nets", remote)
		turnAway(nc, fmt.Sprintf("554 5.7.1 %s takes no mail from %s: not in its relay_nets\r\n", s.opts.Hostname, remote))
		return nil
	}
	if !s.limiter.connect(remote) {
		s.opts.Monitor.Count(monitor.Refused, "client connections")
		s.opts.Monitor.LimitedWarnf("client "+remote.String(), "mail client %s put off: it has %d connections open, the most that max_client_connections allows", remote, s.opts.Limits.Connections)
		turnAway(nc, fmt.Sprintf("421 4.7.0 %s has too many connections from %s, try again later\r\n", s.opts.Hostname, remote))
		return nil
	}
	s.mu.Lock()
	full := len(s.conns) >= s.opts.MaxConnections
	var c *conn
	if !full && !s.stopping.Load() {
		c = newConn(nc, remote, s, mode)
		s.conns[c] = struct{}{}
		s.open.Add(1)
	}
	s.mu.Unlock()
	if c == nil {
		s.limiter.disconnect(remote)
		s.opts.Monitor.Count(monitor.Refused, "connections")
		s.opts.Monitor.LimitedWarnf("connections", "mail client %s put off: %d connections are open, the most that max_connections allows", remote, s.opts.MaxConnections)
		turnAway(nc, fmt.Sprintf("421 4.3.2 %s has too many connections, try again later\r\n", s.opts.Hostname))
		return nil
	}
	s.opts.Monitor.Count(monitor.Connections, "")
	return c
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.limiter.disconnect(c.remote)
	s.open.Done()
}

// turnAway sends one line; the socket's buffer is empty, so it does not block.
func turnAway(nc net.Conn, line string) {
	nc.SetWriteDeadline(time.Now().Add(time.Second))
	nc.Write([]byte(line))
	nc.Close()
}

func remoteAddr(nc net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// errorLog takes what go-smtp logs: panics and failed accepts.
type errorLog struct{ mon *monitor.Monitor }

func (l errorLog) Printf(format string, v ...any) {
	l.mon.LimitedWarnf("smtp", "mail listener: %q", fmt.Sprintf(format, v...))
}

func (l errorLog) Println(v ...any) {
	l.mon.LimitedWarnf("smtp", "mail listener: %q", strings.TrimSpace(fmt.Sprintln(v...)))
}
