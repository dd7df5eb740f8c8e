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
	maxIdle        = 200  // commands since the last accepted mail, RCPT not counted
	readBuffer     = 8 << 10
	maxErrors      = 100 // refusals since the last accepted mail, twice as many inside a transaction
)

// conn is the guard between a socket and go-smtp. Its Read gives the library at
// most one checked command line at a time, and the octets of a BDAT chunk; its
// Write keeps the state of the transaction from the library's replies. Read and
// Write are called by the one goroutine of the session.
type conn struct {
	net.Conn           // the socket: deadlines, and Close of other goroutines
	stream    net.Conn // the socket, or TLS on it: what is read and written
	srv       *Server
	remote    netip.Addr
	mode      Mode
	encrypted bool
	r         *bufio.Reader
	out       bytes.Buffer // replies not sent yet; sent before the next wait
	began     time.Time

	user   string // logged in as
	logins int    // that have failed

	pending []byte // what the next Read gives
	held    []byte // a command line to look at again, behind an injected RSET
	err     error  // the error that ended the session; final
	partial bool   // a command line has begun and not ended
	swallow bool   // the next reply answers an injected command

	verb    string // of the command that the library works on
	greeted bool   // EHLO or HELO accepted
	trans   transaction
	idle    int
	errors  int

	chunk     int64 // octets of a BDAT chunk still to come
	chunkLast bool
	bodyEnd   bool // the body was read here; the library gets its end only
	cut       atomic.Bool

	busy      atomic.Bool // a mail is under way: Stop waits for it
	closeOnce sync.Once
}

// transaction is the guard's view of a mail transaction.
type transaction struct {
	open     bool // MAIL accepted
	accepted int  // recipients
	failed   bool // a recipient was refused, or MAIL was nested
	poisoned bool // no further RCPT or DATA
	chunking bool // a BDAT was accepted
}

func newConn(nc net.Conn, remote netip.Addr, srv *Server, mode Mode) *conn {
	return &conn{
		Conn: nc, stream: nc, srv: srv, remote: remote, mode: mode, began: time.Now(),
		r: bufio.NewReaderSize(nc, readBuffer),
	}
}

// handshake starts TLS. What was known of the client is forgotten (RFC 3207 section
// 4.2). An error ends the session.
func (c *conn) handshake() error {
	secure := tls.Server(c.Conn, c.srv.opts.TLS)
	c.Conn.SetDeadline(time.Now().Add(handshakeTimeout))
	if c.srv.stopping.Load() {
		return io.EOF
	}
	if err := secure.Handshake(); err != nil {
		c.out.Reset() // nothing is said in plain text any more
		c.count("tls")
		c.srv.opts.Monitor.LimitedWarnf("tls "+c.remote.String(), "mail client %s: TLS handshake: %v", c.remote, err)
		return err
	}
	c.Conn.SetDeadline(time.Time{})
	c.stream, c.encrypted = secure, true
	c.r.Reset(secure)
	c.greeted, c.trans, c.user = false, transaction{}, ""
	return nil
}

// Close sends what is left and closes the socket.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closeOnce.Do(func() {
		c.flush()
		if c.encrypted {
			c.Conn.SetWriteDeadline(time.Now().Add(time.Second)) // for close_notify
		}
		err = c.stream.Close()
		c.srv.forget(c)
	})
	return err
}

// The guard sets the deadlines; those of the library are not wanted.

// SetDeadline does nothing.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// nudge wakes a session that waits for a command, when the server stops.
func (c *conn) nudge() {
	if !c.busy.Load() {
		c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
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
	deadline := time.Now().Add(c.srv.opts.CommandTimeout)
	sessionEnd := c.began.Add(c.srv.opts.SessionTimeout)
	if c.trans.open {
		sessionEnd = sessionEnd.Add(c.srv.opts.DataTimeout)
	}
	if deadline.After(sessionEnd) {
		deadline = sessionEnd
	}
	c.Conn.SetReadDeadline(deadline)
	if c.srv.stopping.Load() {
		return nil, c.leave("421 4.3.2 shutting down")
	}
	c.partial = false
	if c.r.Buffered() == 0 {
		if err := c.flush(); err != nil {
			return nil, err
		}
	}
	line, err := c.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return nil, c.refuseEnd("500 5.5.2 line too long", "syntax")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.partial = len(line) > 0
		if c.srv.stopping.Load() {
			return nil, c.leave("421 4.3.2 shutting down")
		}
		c.count("timeout")
		return nil, c.leave("421 4.4.2 waited too long for a command")
	}
	if err != nil {
		return nil, err // also a line without an end: it is no command
	}
	return line, nil
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
	n, err := c.r.Read(p[:min(int64(len(p)), c.chunk)])
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
	if c.swallow {
		c.swallow = !last
		return len(p), nil
	}
	sizeLine := c.verb == "EHLO" && len(p) > 8 && string(p[4:8]) == "SIZE"
	if code, err := strconv.Atoi(string(p[:min(3, len(p))])); err == nil && last {
		c.replied(code)
	}
	if sizeLine { // the library knows neither the limit nor what the guard offers
		if c.mode == StartTLS && !c.encrypted {
			c.out.WriteString("250-STARTTLS\r\n")
		}
		if c.mayAuth() {
			c.out.WriteString("250-AUTH PLAIN LOGIN\r\n")
		}
		fmt.Fprintf(&c.out, "%sSIZE %d\r\n", p[:4], c.srv.opts.MaxMessageSize)
		return len(p), nil
	}
	return c.out.Write(p)
}

// flush sends the replies that are due.
func (c *conn) flush() error {
	if c.out.Len() == 0 {
		return nil
	}
	c.Conn.SetWriteDeadline(time.Now().Add(c.srv.opts.CommandTimeout))
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
	if c.greeted && (!c.trans.open || c.trans.failed) && !c.partial {
		c.flush()
		return io.EOF
	}
	return c.end(reply)
}

// discard skips n octets of a chunk that nobody wants.
func (c *conn) discard(n int64) error {
	c.Conn.SetReadDeadline(time.Now().Add(c.srv.opts.DataTimeout))
	_, err := io.CopyN(io.Discard, c.r, n)
	return err
}

// body is a message as it was read, dots removed.
type body struct {
	octets  []byte
	tooLong bool // over the limit; octets are incomplete
	bare    bool // has a CR without LF or a LF without CR
}

// readBody reads a message after DATA up to CRLF.CRLF. An error means that it was
// cut, and ends the session.
func (c *conn) readBody() (*body, error) {
	c.Conn.SetReadDeadline(time.Now().Add(c.srv.opts.DataTimeout))
	if err := c.flush(); err != nil {
		c.err = err
		return nil, err
	}
	b := &body{octets: make([]byte, 0, 4<<10)}
	lineStart, afterCR := true, false
	for {
		piece, err := c.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			c.err = err
			return nil, fmt.Errorf("message cut short: %w", err)
		}
		if lineStart && string(piece) == ".\r\n" {
			c.bodyEnd = true
			return b, nil
		}
		if lineStart && piece[0] == '.' {
			piece = piece[1:]
		}
		lineStart = b.add(piece, &afterCR, c.srv.opts.MaxMessageSize)
	}
}

// add takes a piece that has no LF but maybe a last one, and tells whether a line
// ended with CRLF. afterCR carries over that the piece before ended with CR.
func (b *body) add(piece []byte, afterCR *bool, limit int64) (lineEnd bool) {
	if len(piece) == 0 {
		return false
	}
	text := piece
	if piece[len(piece)-1] == '\n' {
		text = piece[:len(piece)-1]
		if len(text) > 0 && text[len(text)-1] == '\r' {
			text = text[:len(text)-1]
			lineEnd = true
			b.bare = b.bare || *afterCR
		} else {
			lineEnd = len(text) == 0 && *afterCR
			b.bare = b.bare || !lineEnd
		}
		*afterCR = false
	} else {
		b.bare = b.bare || *afterCR
		*afterCR = text[len(text)-1] == '\r'
		if *afterCR {
			text = text[:len(text)-1]
		}
	}
	b.bare = b.bare || bytes.IndexByte(text, '\r') >= 0
	if int64(len(b.octets)+len(piece)) > limit {
		b.tooLong = true
		return lineEnd
	}
	b.octets = append(b.octets, piece...)
	return lineEnd
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
