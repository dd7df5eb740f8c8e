package smtpd

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of one session.
const (
	maxCommandLine = 2000 // octets with CRLF; RFC 5321 section 4.5.3.1.4 asks for 512 and extensions
	maxIdle        = 200  // commands outside of transactions since the last accepted mail
	readBuffer     = 8 << 10
	maxErrors      = 100 // of syntax, order and login since the last accepted mail, twice as many inside a transaction
)

// conn is the guard between a socket and go-smtp. Its Read gives the library at
// most one checked command line at a time, and the octets of a BDAT chunk; its
// Write keeps the state of the transaction from the library's replies. Read and
// Write are called by the one goroutine of the session.
type conn struct {
	net.Conn           // the socket: deadlines, and Close of other goroutines
	stream    net.Conn // the socket, or TLS on it: what is read and written
	srv       *Server
	gate      *gate
	remote    netip.Addr
	mode      Mode
	encrypted bool
	r         *bufio.Reader
	out       bytes.Buffer // replies not sent yet; sent before the next wait
	began     time.Time

	step   string // the command that is worked on, for the log
	path   string // the recipient that it names
	from   string // the transaction's sender
	helo   string
	user   string // logged in as
	logins int    // that have failed

	pending []byte // what the next Read gives
	held    []byte // a command line to look at again, behind an injected RSET
	rest    []byte // the beginning of a command line, when waiting for it was interrupted
	err     error  // the error that ended the session; final
	swallow bool   // the next reply answers an injected command
	welcome bool   // the greeting was written
	resumed bool   // it is another server's: the library's greeting is not sent
	parked  bool   // for another server

	verb    string // of the command that the library works on
	greeted bool   // EHLO or HELO accepted
	mailed  bool   // it has come to a MAIL
	trans   transaction
	asked   asked // of the mail at hand
	idle    int
	errors  int

	chunk     int64 // octets of a BDAT chunk still to come
	chunkLast bool
	bodyEnd   bool // the body was read here; the library gets its end only
	cut       atomic.Bool

	// What other goroutines ask for and look at.
	leaving     atomic.Bool  // end between two mails
	late        atomic.Bool  // end now
	between     atomic.Bool  // no transaction is open, as far as the client counts on it
	silentSince atomic.Int64 // since when the client is waited for, in Unix nanoseconds; 0: it is not

	waiting  sync.Mutex // guards reading and the read deadline
	reading  bool       // more than a command: dismiss does not interrupt it
	closeOne sync.Once
}

// transaction is the guard's view of a mail transaction.
type transaction struct {
	open     bool // MAIL accepted
	began    time.Time
	offered  bool // a recipient was named
	accepted int  // recipients
	failed   bool // a recipient was refused, or MAIL was nested
	poisoned bool // no further RCPT or DATA
	chunking bool // a BDAT was accepted
}

func newConn(nc net.Conn, remote netip.Addr, g *gate) *conn {
	c := &conn{
		Conn: nc, stream: nc, srv: g.srv, gate: g, remote: remote, mode: g.mode, began: time.Now(),
		r: bufio.NewReaderSize(nc, readBuffer),
	}
	c.between.Store(true)
	return c
}

// handshake starts TLS. What was known of the client is forgotten (RFC 3207 section
// 4.2). An error ends the session.
func (c *conn) handshake() error {
	secure := tls.Server(c.Conn, c.srv.options().TLS)
	c.wait(time.Now().Add(handshakeTimeout), true)
	c.Conn.SetWriteDeadline(time.Now().Add(handshakeTimeout))
	if c.leaving.Load() {
		c.out.Reset()
		return io.EOF
	}
	c.silentSince.Store(time.Now().UnixNano())
	defer c.silentSince.Store(0)
	if err := secure.Handshake(); err != nil {
		c.out.Reset() // nothing is said in plain text any more
		c.count("tls")
		c.srv.options().Monitor.LimitedWarnf("tls "+c.remote.String(), "mail client %s: TLS handshake: %v", c.remote,
			err)
		return err
	}
	c.stream, c.encrypted = secure, true
	c.r.Reset(secure)
	c.greeted, c.trans, c.user = false, transaction{}, ""
	return nil
}

// Close sends what is left and ends the connection: our half first, so that the client
// reads all that we have said, then, a moment later, the other one. The session's place
// is free from the first on.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closeOne.Do(func() {
		c.flush()
		if c.err == nil {
			c.err = net.ErrClosed
		}
		c.srv.mu.Lock()
		c.srv.release(c)
		c.srv.mu.Unlock()
		if !c.parked { // else another descriptor has the connection
			c.linger()
		}
		err = c.Conn.Close()
		c.srv.open.Done()
	})
	return err
}

// linger ends our half of the connection and reads on: closing a socket with octets that
// nobody has read would be a reset, which takes our last answer away from the client.
func (c *conn) linger() {
	if c.encrypted {
		c.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		c.stream.(*tls.Conn).CloseWrite() // sends close_notify
	}
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || !c.srv.mayLinger(1) {
		return
	}
	defer c.srv.mayLinger(-1)
	c.r, c.rest = nil, nil
	c.wait(time.Now().Add(c.srv.options().lingering), true)
	io.CopyN(io.Discard, c.Conn, lingeringOctets)
}

// mayLinger counts sessions that linger, as many as have places at most.
func (s *Server) mayLinger(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > 0 && s.lingerers >= s.options().MaxConnections {
		return false
	}
	s.lingerers += n
	return true
}

// The guard sets the deadlines; those of the library are not wanted.

// SetDeadline does nothing.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// wait sets the read deadline, zero for none. What is read is a command, or more.
func (c *conn) wait(until time.Time, more bool) {
	c.waiting.Lock()
	defer c.waiting.Unlock()
	c.reading = more
	if c.late.Load() {
		until = past
	}
	c.Conn.SetReadDeadline(until)
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// dismiss asks a session to end as soon as it is between two mails.
func (c *conn) dismiss() {
	c.leaving.Store(true)
	c.waiting.Lock()
	defer c.waiting.Unlock()
	if !c.reading {
		c.Conn.SetReadDeadline(past)
	}
}

// interrupt makes a session end now.
func (c *conn) interrupt() {
	c.leaving.Store(true)
	c.waiting.Lock()
	defer c.waiting.Unlock()
	c.late.Store(true)
	c.Conn.SetReadDeadline(past)
}

// Read implements net.Conn for go-smtp.
func (c *conn) Read(p []byte) (int, error) {
	if c.mode == ImplicitTLS && !c.encrypted && c.err == nil {
		c.err = c.handshake()
	}
	for len(c.pending) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		switch {
		case c.chunk > 0:
			return c.readChunk(p)
		case c.bodyEnd:
			c.bodyEnd = false
			c.pending = []byte(".\r\n")
		default:
			c.nextCommand()
		}
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// nextCommand fills pending with a command for the library, or sets err, or
// answers by itself and does neither.
func (c *conn) nextCommand() {
	line := c.held
	c.held = nil
	if line == nil {
		var err error
		if line, err = c.readCommand(); err != nil {
			c.err = err
			return
		}
	}
	c.command(line)
}

// readCommand waits for a whole line, CRLF included. The line is valid until the
// next read.
func (c *conn) readCommand() ([]byte, error) {
	until := c.commandDeadline()
	defer c.silentSince.Store(0)
	for {
		c.wait(until, false)
		if c.late.Load() || c.leaving.Load() && c.atRest() {
			if c.park() {
				return nil, io.EOF
			}
			return nil, c.leave("421 4.3.2 this connection ends, try again on another")
		}
		if c.r.Buffered() == 0 {
			if err := c.flush(); err != nil {
				return nil, err
			}
		}
		c.between.Store(c.atRest())
		c.silentSince.Store(time.Now().UnixNano())
		line, err := c.r.ReadSlice('\n')
		if err == bufio.ErrBufferFull || len(c.rest)+len(line) > readBuffer {
			return nil, c.refuseEnd("500 5.5.2 line too long", "syntax")
		}
		if err == nil && c.rest == nil {
			return line, nil
		}
		c.rest = append(c.rest, line...)
		switch {
		case err == nil:
			line, c.rest = c.rest, nil
			return line, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return nil, err // also a line without an end: it is no command
		case !until.IsZero() && !time.Now().Before(until):
			c.count("timeout")
			if len(c.rest) > 0 {
				return nil, c.end("421 4.4.2 waited too long for a command")
			}
			return nil, c.leave("421 4.4.2 waited too long for a command")
		}
	}
}

// atRest tells whether the session is between two mails. A transaction with a refused
// recipient is ended by the next MAIL; many clients give it up without RSET.
func (c *conn) atRest() bool { return !c.trans.open || c.trans.failed }

// commandDeadline is the longest wait for the next command. A session that has come to a
// MAIL waits without an end between two mails: mailers such as Kapacitor's take the end
// of a connection for the failure of the mail that they send next, and some do not dial
// again before they were silent for half a minute. Its place can be taken by another
// client, see placeFor, and a peer that is no more is found by TCP's keep-alive.
func (c *conn) commandDeadline() time.Time {
	opts := c.srv.options()
	until := time.Now().Add(opts.CommandTimeout)
	var end time.Time
	switch {
	case c.mailed && c.atRest():
		return time.Time{}
	case c.trans.open:
		end = c.trans.began.Add(opts.SessionTimeout + opts.DataTimeout)
	default:
		end = c.began.Add(opts.SessionTimeout)
	}
	if end.Before(until) {
		return end
	}
	return until
}

// readChunk gives octets of a BDAT chunk.
func (c *conn) readChunk(p []byte) (int, error) {
	if c.r.Buffered() == 0 {
		if err := c.flush(); err != nil {
			c.cut.Store(true)
			c.err = err
			return 0, err
		}
	}
	c.silentSince.Store(time.Now().UnixNano())
	n, err := c.r.Read(p[:min(int64(len(p)), c.chunk)])
	c.silentSince.Store(0)
	c.chunk -= int64(n)
	if err != nil {
		c.cut.Store(true)
		c.err = err
	}
	return n, err
}

// Write implements net.Conn for go-smtp, which writes each line of a reply with
// one call.
func (c *conn) Write(p []byte) (int, error) {
	last := len(p) > 3 && p[3] == ' '
	if !c.welcome { // the library's has the name that was in force when the server was made
		c.welcome = true
		fmt.Fprintf(&c.out, "220 %s ESMTP Service Ready\r\n", c.srv.options().Hostname)
		return len(p), nil
	}
	if c.resumed { // its greeting, and with it begins the answer to the EHLO given again
		c.resumed, c.swallow = false, c.greeted
		return len(p), nil
	}
	if c.swallow {
		c.swallow = !last
		return len(p), nil
	}
	sizeLine := c.verb == "EHLO" && len(p) > 8 && string(p[4:8]) == "SIZE"
	if code, err := strconv.Atoi(string(p[:min(3, len(p))])); err == nil && last {
		c.replied(code, string(bytes.TrimSpace(p)))
	}
	if sizeLine { // the library knows neither the limit nor what the guard offers
		if c.mode == StartTLS && !c.encrypted {
			c.out.WriteString("250-STARTTLS\r\n")
		}
		if c.mayAuth() {
			c.out.WriteString("250-AUTH PLAIN LOGIN\r\n")
		}
		fmt.Fprintf(&c.out, "%sSIZE %d\r\n", p[:4], c.srv.options().MaxMessageSize)
		return len(p), nil
	}
	return c.out.Write(p)
}

// flush sends the replies that are due.
func (c *conn) flush() error {
	if c.out.Len() == 0 {
		return nil
	}
	c.Conn.SetWriteDeadline(time.Now().Add(c.srv.options().CommandTimeout))
	_, err := c.stream.Write(c.out.Bytes())
	c.out.Reset()
	return err
}

// end answers with a last line and gives the error that ends the session.
func (c *conn) end(reply string) error {
	c.out.WriteString(reply + "\r\n")
	c.flush()
	return io.EOF
}

// leave is end, except between two mails: then nothing is said. Clients such as
// Kapacitor take a line for the answer to their next MAIL and lose that mail, but
// send it again on a new connection when they find the old one closed.
func (c *conn) leave(reply string) error {
	if c.greeted && c.atRest() {
		c.flush()
		return io.EOF
	}
	return c.end(reply)
}

// discard skips n octets of a chunk that nobody wants.
func (c *conn) discard(n int64) error {
	c.wait(time.Now().Add(c.srv.options().DataTimeout), true)
	_, err := io.CopyN(io.Discard, c.r, n)
	return err
}

// protocol is the word for the Received field (RFC 3848).
func (c *conn) protocol() string {
	name := "ESMTP"
	if c.encrypted {
		name += "S"
	}
	if c.user != "" {
		name += "A"
	}
	return name
}
