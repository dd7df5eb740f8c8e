package smtpd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/maillog"
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
	TLS *tls.Config `json:"-"`
	// Users may log in, over TLS only, by name.
	Users map[string]Verifier `json:"-"`
	// RequireAuth refuses mail from who has not logged in.
	RequireAuth bool
	// Helo says which names clients may give; default HeloAny.
	Helo HeloRule
	// Senders are the domains that mail may come from; nil allows all.
	Senders *policy.Domains `json:"-"`
	// DeniedNets and DeniedSenders take nothing from whom the other lists let in; nil
	// denies nobody.
	DeniedNets    *policy.Networks `json:"-"`
	DeniedSenders *policy.Senders  `json:"-"`
	// Limits are those of each client.
	Limits Limits
	// Hostname is our name in the greeting and in Received fields.
	Hostname string
	// Policy decides about clients and recipients.
	Policy *policy.Policy `json:"-"`
	// Known are recipients taken besides those of Policy, from clients that Policy
	// allows; nil takes none.
	Known func(recipient address.Address) bool `json:"-"`
	// Unknown are recipients refused although Policy allows them, because there is
	// no such user; nil refuses none.
	Unknown func(recipient address.Address) bool `json:"-"`
	// MaxMessageSize is the largest message in octets; default 10 MiB.
	MaxMessageSize int64
	// MaxHeaderSize is the largest header in octets; default 1 MiB. A larger one is
	// refused with 552 5.3.4.
	MaxHeaderSize int64
	// LongLines takes messages with lines over 998 octets, which some servers refuse;
	// those of the header are folded where there is white space. Else they are refused
	// with 554 5.6.0.
	LongLines bool
	// MaxConnections is the number of connections at a time; default 100. Another
	// client gets 421.
	MaxConnections int
	// MaxRecipients is the number of recipients a mail; default 1000.
	MaxRecipients int
	// CommandTimeout is the longest wait for a whole command line; default 5 min. A
	// session that has come to a MAIL is not ended by it between two mails, but may be
	// then when another client needs its place.
	CommandTimeout time.Duration
	// DataTimeout is the longest time for a message body; default 10 min.
	DataTimeout time.Duration
	// SessionTimeout is the age at which a session is ended that has not come to a
	// MAIL, and with DataTimeout that of one transaction; default 1 h.
	SessionTimeout time.Duration
	// Instance is the start of the ids that NewID gives: a Received field with
	// such an id means a loop.
	Instance string
	// NewID gives a mail's id.
	NewID func() string `json:"-"`
	// Submit takes a mail over. When it returns nil the mail is safe.
	Submit func(env *queue.Envelope, body []byte) error `json:"-"`
	// Monitor counts and logs; may be nil.
	Monitor *monitor.Monitor `json:"-"`

	// Open opens a listening socket; default net.Listen for TCP.
	Open func(addr string) (net.Listener, error) `json:"-"`

	failureDelay, stopGrace, lingering, largeWait time.Duration // shorter in tests
}

// Check names what is wrong among the rules, limits and times.
func (o *Options) Check() error {
	var errs []error
	switch o.Helo {
	case "", HeloAny, HeloName, HeloFQDN:
	default:
		errs = append(errs, fmt.Errorf(`helo is %q: expected "any", "name" or "fqdn"`, o.Helo))
	}
	if min(o.MaxMessageSize, o.MaxHeaderSize) < 0 || min(o.MaxConnections, o.MaxRecipients) < 0 ||
		min(o.CommandTimeout, o.DataTimeout, o.SessionTimeout) < 0 ||
		min(o.Limits.Connections, o.Limits.Messages, o.Limits.Recipients) < 0 {
		errs = append(errs, errors.New("limits and times of taking mail must not be negative: "+
			"expected 0 for the default, or a positive value"))
	}
	return errors.Join(errs...)
}

// allows tells whether a client may send.
func (o *Options) allows(client netip.Addr) bool {
	return o.Policy.AllowClient(client) && !o.DeniedNets.Contains(client)
}

// setDefaults gives what is zero its default.
func (o *Options) setDefaults() {
	o.MaxMessageSize = orDefault(o.MaxMessageSize, defaultMaxMessageSize)
	o.MaxHeaderSize = orDefault(o.MaxHeaderSize, defaultMaxHeaderSize)
	o.MaxConnections = orDefault(o.MaxConnections, defaultMaxConnections)
	o.MaxRecipients = orDefault(o.MaxRecipients, defaultMaxRecipients)
	o.CommandTimeout = orDefault(o.CommandTimeout, defaultCommandTimeout)
	o.DataTimeout = orDefault(o.DataTimeout, defaultDataTimeout)
	o.SessionTimeout = orDefault(o.SessionTimeout, defaultSessionTimeout)
	o.failureDelay = orDefault(o.failureDelay, failureDelay)
	o.stopGrace = orDefault(o.stopGrace, stopGrace)
	o.lingering = orDefault(o.lingering, lingering)
	o.largeWait = orDefault(o.largeWait, largeWait)
	if o.Open == nil {
		o.Open = func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	}
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
	defaultMaxHeaderSize  = 1 << 20
	defaultMaxConnections = 100
	defaultMaxRecipients  = 1000
	defaultCommandTimeout = 5 * time.Minute
	defaultDataTimeout    = 10 * time.Minute
	defaultSessionTimeout = time.Hour

	// handshakeTimeout is the longest time for a TLS handshake.
	handshakeTimeout = 30 * time.Second

	// stopGrace is how long Stop waits for transactions under way.
	stopGrace = 10 * time.Second

	// lingering is how long a session that is ended here is read on, at most
	// lingeringOctets, so that the client gets our last answer and an end of the
	// connection, and not a reset (RFC 9293 section 3.6.1).
	lingering       = time.Second
	lingeringOctets = 1 << 20
)

// Server is an SMTP listener. It is inert until Start.
type Server struct {
	opts    atomic.Pointer[Options] // replaced by Reconfigure
	smtp    *smtp.Server
	limiter *limiter
	auths   chan struct{} // one place for each hash being computed
	large   chan struct{} // one place for each large message in memory

	// handing is held for reading while a mail is handed over, and for writing from
	// Suspend to Reconfigure.
	handing sync.RWMutex

	mu        sync.Mutex
	suspended bool
	gates     []*gate // in the order of Options.Listen
	conns     map[*conn]struct{}
	lingerers int  // sessions that are read on after their end
	parking   bool // sessions are parked instead of ended
	parked    []*Session
	serving   sync.WaitGroup // accept loops
	open      sync.WaitGroup // connections
	inFlight  sync.WaitGroup // mails being handed over
}

// New makes a Server from its options.
func New(opts Options) *Server {
	opts.setDefaults()
	s := &Server{
		conns:   map[*conn]struct{}{},
		limiter: newLimiter(opts.Limits), auths: make(chan struct{}, parallelAuths),
		large: make(chan struct{}, largeMessages),
	}
	s.opts.Store(&opts)
	s.smtp = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.smtp.Domain = opts.Hostname
	s.smtp.MaxRecipients = opts.MaxRecipients
	s.smtp.EnableDSN = true  // said in the answer to EHLO; the parameters are read by the guard
	s.smtp.MaxLineLength = 0 // the guard limits command lines; bodies have no limit of their own
	s.smtp.ErrorLog = errorLog{s}
	return s
}

func orDefault[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}

// options gives the options in force. They are not changed but replaced.
func (s *Server) options() *Options { return s.opts.Load() }

// Start opens all listeners and serves them. After an error none is open.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	gates, opened, err := s.arrange(s.options())
	if err != nil {
		return err
	}
	s.gates = gates
	s.serve(opened)
	return nil
}

// arrange gives the gates for opts: those that are open already for the same address,
// and new ones, which are also given as opened. After an error none is new. The caller
// holds mu.
func (s *Server) arrange(opts *Options) (gates, opened []*gate, err error) {
	left := slices.Clone(s.gates)
	for _, listen := range opts.Listen {
		if listen.Encrypted() && opts.TLS == nil {
			err = fmt.Errorf("listening on %q for mail: no certificate is given", listen.Addr)
			break
		}
		if i := slices.IndexFunc(left, func(g *gate) bool { return g.addr == listen.Addr }); i >= 0 {
			gates, left = append(gates, left[i]), slices.Delete(left, i, i+1)
			continue
		}
		l, openErr := opts.Open(listen.Addr)
		if openErr != nil {
			err = fmt.Errorf("listening on %q for mail: %w", listen.Addr, openErr)
			break
		}
		g := &gate{Listener: l, srv: s, addr: listen.Addr, mode: listen.Mode}
		gates, opened = append(gates, g), append(opened, g)
	}
	if err != nil {
		for _, g := range opened {
			g.Close()
		}
		return nil, nil, err
	}
	return gates, opened, nil
}

// serve accepts connections at gates.
func (s *Server) serve(gates []*gate) {
	for _, g := range gates {
		s.serving.Go(func() {
			err := s.smtp.Serve(g)
			if err != nil && !errors.Is(err, net.ErrClosed) {
				s.options().Monitor.Errorf("mail listener %s ended: %v", g.Addr(), err)
			}
		})
	}
}

// Addrs gives the addresses that are listened on, in the order of Options.Listen.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]net.Addr, len(s.gates))
	for i, g := range s.gates {
		addrs[i] = g.Addr()
	}
	return addrs
}

// Suspend waits for mails that are being handed over, and lets further ones wait until
// Reconfigure or Stop is called. Sessions go on meanwhile.
func (s *Server) Suspend() {
	s.handing.Lock()
	s.mu.Lock()
	s.suspended = true
	s.mu.Unlock()
}

// resume ends what Suspend began. The caller holds mu.
func (s *Server) resume() {
	if s.suspended {
		s.suspended = false
		s.handing.Unlock()
	}
}

// Reconfigure puts other options in force. Listening sockets of addresses that stay are
// kept, with all connections that are under way on them; the next command of a session
// meets the new options. Sessions of listeners that are no more, or of another mode, and
// of clients that may not send any more end behind their transaction. After an error all
// is as it was before.
func (s *Server) Reconfigure(opts Options) error {
	opts.setDefaults()
	s.mu.Lock()
	defer s.mu.Unlock()
	gates, opened, err := s.arrange(&opts)
	if err != nil {
		return err
	}
	s.limiter.setLimits(opts.Limits)
	s.opts.Store(&opts)
	modes := map[*gate]Mode{}
	for i, g := range gates {
		modes[g], g.mode = opts.Listen[i].Mode, opts.Listen[i].Mode
	}
	for _, g := range s.gates {
		if _, kept := modes[g]; !kept {
			g.Close()
		}
	}
	s.gates = gates
	s.serve(opened)
	for c := range s.conns {
		if mode, kept := modes[c.gate]; !kept || mode != c.mode || !opts.allows(c.remote) {
			c.dismiss()
		}
	}
	s.resume()
	return nil
}

// Stop closes the listeners, ends sessions that are between two mails, lets
// transactions under way end for 10 s, and closes what is left. After it nothing is
// submitted. It may be called twice, or without Start.
func (s *Server) Stop() {
	s.mu.Lock()
	for _, g := range s.gates {
		g.Close()
	}
	s.resume()
	s.mu.Unlock()
	s.serving.Wait()
	closed := make(chan struct{})
	go func() {
		s.open.Wait()
		close(closed)
	}()
	opts := s.options()
	s.each((*conn).dismiss)
	if !within(closed, opts.stopGrace) {
		s.each((*conn).interrupt)
		if !within(closed, opts.stopGrace/4+opts.lingering) {
			s.each(func(c *conn) { c.Conn.Close() })
			<-closed
		}
	}
	s.inFlight.Wait()
}

// each calls do for every session that has its place.
func (s *Server) each(do func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		do(c)
	}
}

// within tells whether done is closed before d is over.
func within(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// gate is a listener as go-smtp sees it: clients that may not send and clients over the
// cap never reach it.
type gate struct {
	net.Listener
	srv  *Server
	addr string // as configured
	mode Mode   // srv.mu guards it
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	for {
		nc, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := g.srv.admit(nc, g); c != nil {
			return c, nil
		}
	}
}

// admit checks a new client and makes its guard, or sends it away and gives nil. One that
// comes while the server stops is no exception: Stop waits for the gates before it goes
// through the sessions, and a connection that ended without a word would cost a client that
// does not dial again all its mail.
func (s *Server) admit(nc net.Conn, g *gate) *conn {
	remote, opts := remoteAddr(nc), s.options()
	if opts.DeniedNets.Contains(remote) {
		s.turnAway(nc, remote, "network", fmt.Sprintf("554 5.7.1 %s takes no mail from %s: in its denied_nets",
			opts.Hostname, remote))
		return nil
	}
	if !opts.Policy.AllowClient(remote) {
		s.turnAway(nc, remote, "network", fmt.Sprintf("554 5.7.1 %s takes no mail from %s: not in its relay_nets",
			opts.Hostname, remote))
		return nil
	}
	s.mu.Lock()
	var victim *conn
	problem := ""
	switch {
	case !s.limiter.mayConnect(remote):
		if victim = s.longestIdle(remote, opts.CommandTimeout); victim == nil {
			problem = "client connections"
		}
	case len(s.conns) >= opts.MaxConnections:
		if victim = s.placeFor(remote, opts.CommandTimeout); victim == nil {
			problem = "connections"
		}
	}
	var c *conn
	if problem == "" {
		if victim != nil {
			s.release(victim)
			victim.interrupt()
			opts.Monitor.Count(monitor.Displaced, "")
		}
		s.limiter.connect(remote)
		c = newConn(nc, remote, g)
		s.conns[c] = struct{}{}
		s.open.Add(1)
	}
	s.mu.Unlock()
	switch problem {
	case "":
		opts.Monitor.Count(monitor.Connections, "")
	case "client connections":
		s.turnAway(nc, remote, problem, fmt.Sprintf("421 4.7.0 %s has too many connections from %s, the most that "+
			"max_client_connections allows is %d, try again later",
			opts.Hostname, remote, opts.Limits.Connections))
	default:
		s.turnAway(nc, remote, problem, fmt.Sprintf("421 4.3.2 %s has too many connections, the most that "+
			"max_connections allows is %d, try again later",
			opts.Hostname, opts.MaxConnections))
	}
	return c
}

// release frees a session's place; it may be called twice. The caller holds mu.
func (s *Server) release(c *conn) {
	if _, placed := s.conns[c]; placed {
		delete(s.conns, c)
		s.limiter.disconnect(c.remote)
	}
}

// turnAway counts and tells a refused connection, and sends one line; the socket's
// buffer is empty, so it does not block.
func (s *Server) turnAway(nc net.Conn, remote netip.Addr, reason, answer string) {
	mon := s.options().Monitor
	mon.Count(monitor.Refused, reason)
	if reason != "network" {
		mon.LimitedWarnf(reason, "mail clients are put off: %s", answer)
	}
	s.logRefusal(remote, &maillog.Refusal{Step: "connection", Client: maillog.Peer{Addr: remote.String()},
		Answer: answer})
	nc.SetWriteDeadline(time.Now().Add(time.Second))
	nc.Write([]byte(answer + "\r\n"))
	nc.Close()
}

// logRefusal tells a refusal, as long as a client has not too many of them.
func (s *Server) logRefusal(remote netip.Addr, r *maillog.Refusal) {
	var tell bool
	if tell, r.Untold = s.limiter.mayTell(remote); tell {
		maillog.Refused(s.options().Monitor, r)
	}
}

// remoteAddr gives the client's address, the zero Addr where there is no client: a parked
// connection that was reset meanwhile has no RemoteAddr.
func remoteAddr(nc net.Conn) netip.Addr {
	addr := nc.RemoteAddr()
	if addr == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// errorLog takes what go-smtp logs: panics, failed accepts, and what ended a connection. A
// client that goes away, as what only looks whether the port is open does, is no fault.
type errorLog struct{ srv *Server }

func (l errorLog) Printf(format string, v ...any) {
	if slices.ContainsFunc(v, goneAway) {
		l.srv.options().Monitor.Debugf("mail listener: %q", fmt.Sprintf(format, v...))
		return
	}
	l.srv.options().Monitor.LimitedWarnf("smtp", "mail listener: %q", fmt.Sprintf(format, v...))
}

// goneAway says whether a value is the error of a connection that its client has ended.
func goneAway(v any) bool {
	err, ok := v.(error)
	return ok && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed))
}

func (l errorLog) Println(v ...any) {
	l.srv.options().Monitor.LimitedWarnf("smtp", "mail listener: %q", strings.TrimSpace(fmt.Sprintln(v...)))
}
