package delivery

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
)

// Deadlines of the steps, each for a whole step however slowly octets drip; RFC
// 5321 section 4.5.3.2 has longer ones for hosts across the Internet of 1989.
const (
	dialTimeout    = 30 * time.Second
	commandTimeout = 2 * time.Minute
	bodyTimeout    = 10 * time.Minute
	finalTimeout   = 5 * time.Minute
	quitTimeout    = 2 * time.Second
)

// Caps on an answer.
const (
	maxReplyLine  = 2048
	maxReplyLines = 128
	maxReplyText  = 512 // octets kept for logs and results
)

// TLSMode says when a smarthost's connection must be encrypted.
type TLSMode string

// The modes. TLSRequired verifies the certificate; TLSOpportunistic encrypts when
// the server offers it, without verifying; TLSNone never does.
const (
	TLSRequired      TLSMode = "required"
	TLSOpportunistic TLSMode = "opportunistic"
	TLSNone          TLSMode = "none"
)

// reply is a server's answer.
type reply struct {
	code   int
	status string // RFC 3463, "" when the server gave none
	lines  []string
}

func (r *reply) text() string { return printable(strings.Join(r.lines, " / ")) }

// stepError says at which step a smarthost refused or was lost.
type stepError struct {
	step  string
	reply *reply // nil when there was none
	err   error  // nil when there was a reply
}

func (e *stepError) Error() string {
	if e.reply != nil {
		return fmt.Sprintf("%s: answered %d %q", e.step, e.reply.code, e.reply.text())
	}
	return fmt.Sprintf("%s: %v", e.step, e.err)
}

func (e *stepError) Unwrap() error { return e.err }

// client is a connection to a smarthost after EHLO.
type client struct {
	conn     net.Conn
	r        *bufio.Reader
	w        *bufio.Writer
	ext      map[string]string
	verified bool  // encrypted, and the certificate is right
	doubt    error // why it is not verified; nil when it is
	mails    int   // sent on it
	dirty    bool
}

// dialer makes clients.
type dialer struct {
	hostname    string
	tls         *tls.Config
	dial        func(ctx context.Context, network, addr string) (net.Conn, error)
	credentials func(Smarthost) (*Credentials, error)
	authInClear bool
}

// connect opens a connection up to the EHLO that counts, and logs in.
func (d *dialer) connect(ctx context.Context, h *host) (*client, error) {
	c, err := d.encrypted(ctx, h)
	if err != nil || h.direct { // nobody logs in at a domain's own server
		return c, err
	}
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	if err := d.authenticate(c, h.Smarthost); err != nil {
		c.quit()
		return nil, err
	}
	return c, nil
}

// encrypted opens a connection with as much TLS as the host's mode asks for.
func (d *dialer) encrypted(ctx context.Context, h *host) (*client, error) {
	c, err := d.open(ctx, h)
	if err != nil || h.tls == TLSNone || h.Kind == KindSMTPS {
		return c, err
	}
	if _, offered := c.ext["STARTTLS"]; !offered {
		c.doubt = errors.New("it does not offer STARTTLS")
		if h.tls == TLSOpportunistic {
			return c, nil
		}
		c.quit()
		return nil, &stepError{step: "STARTTLS", err: fmt.Errorf("%w, and %s", c.doubt, h.whyTLS())}
	}
	err = d.startTLS(ctx, c, h)
	if err == nil {
		return c, nil
	}
	c.conn.Close()
	if h.tls == TLSOpportunistic {
		if c, plainErr := d.open(ctx, h); plainErr == nil {
			c.doubt = err
			return c, nil
		}
	}
	return nil, err
}

// whyTLS says what asks for verified TLS.
func (h *host) whyTLS() string {
	if h.direct {
		return `an MTA-STS policy, or mx_tls, requires it`
	}
	return `smarthost_tls is "required"`
}

// open connects, up to the first EHLO.
func (d *dialer) open(ctx context.Context, h *host) (*client, error) {
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := d.dial(dialCtx, "tcp", h.Addr)
	if err != nil {
		return nil, &stepError{step: "connect", err: err}
	}
	c := &client{conn: conn}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if h.Kind == KindSMTPS {
		if err := d.handshake(ctx, c, h); err != nil {
			conn.Close()
			return nil, err
		}
	}
	c.reset()
	c.deadline(commandTimeout)
	banner, err := c.reply()
	if err = expect("banner", banner, err, 2); err == nil {
		err = c.hello(d.hostname)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (d *dialer) startTLS(ctx context.Context, c *client, h *host) error {
	if _, err := c.command("STARTTLS", "STARTTLS", 2); err != nil {
		return err
	}
	if c.r.Buffered() > 0 {
		return &stepError{step: "STARTTLS", err: errors.New("the smarthost sent octets before the handshake")}
	}
	if err := d.handshake(ctx, c, h); err != nil {
		return err
	}
	c.reset()
	return c.hello(d.hostname)
}

// handshake starts TLS on the connection. In opportunistic mode a wrong certificate is
// noted only: plain text would be taken too.
func (d *dialer) handshake(ctx context.Context, c *client, h *host) error {
	config := d.tls.Clone()
	config.ServerName = h.Host
	if h.tls == TLSOpportunistic {
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error {
			c.doubt = verify(state, h.Host, config.RootCAs)
			return nil
		}
	}
	secure := tls.Client(c.conn, config)
	c.deadline(commandTimeout)
	if err := secure.HandshakeContext(ctx); err != nil {
		return &stepError{step: "TLS handshake", err: err}
	}
	c.conn, c.verified = secure, !config.InsecureSkipVerify
	return nil
}

// verify checks a certificate as package tls does.
func verify(state tls.ConnectionState, name string, roots *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("it has no certificate")
	}
	opts := x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: x509.NewCertPool()}
	for _, cert := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(opts)
	return err
}

func (c *client) reset() {
	c.r = bufio.NewReaderSize(c.conn, maxReplyLine)
	c.w = bufio.NewWriterSize(c.conn, 32<<10)
}

func (c *client) deadline(d time.Duration) { c.conn.SetDeadline(time.Now().Add(d)) }

// hello says EHLO, and HELO to a server that does not know it.
func (c *client) hello(name string) error {
	c.ext = map[string]string{}
	r, err := c.command("EHLO", "EHLO "+name, 2)
	var refused *stepError
	if errors.As(err, &refused) && refused.reply != nil && (refused.reply.code == 500 || refused.reply.code == 502) {
		_, err = c.command("HELO", "HELO "+name, 2)
		return err
	}
	if err != nil {
		return err
	}
	for _, line := range r.lines[1:] {
		key, value, _ := strings.Cut(line, " ")
		c.ext[strings.ToUpper(key)] = value
	}
	return nil
}

// command sends a line and wants an answer of the given class.
func (c *client) command(step, line string, class int) (*reply, error) {
	c.deadline(commandTimeout)
	c.w.WriteString(line + "\r\n")
	if err := c.w.Flush(); err != nil {
		return nil, &stepError{step: step, err: err}
	}
	r, err := c.reply()
	return r, expect(step, r, err, class)
}

func expect(step string, r *reply, err error, class int) error {
	switch {
	case err != nil:
		return &stepError{step: step, err: err}
	case r.code/100 != class:
		return &stepError{step: step, reply: r}
	}
	return nil
}

// reply reads an answer (RFC 5321 section 4.2.1).
func (c *client) reply() (*reply, error) {
	r := &reply{}
	for {
		raw, err := c.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("answer line over %d octets", maxReplyLine)
		}
		if err != nil {
			return nil, err
		}
		line := string(bytes.TrimRight(raw, "\r\n"))
		if len(line) < 3 || (len(line) > 3 && line[3] != ' ' && line[3] != '-') {
			return nil, fmt.Errorf("answer %q, expected a reply code", printable(line))
		}
		code, err := strconv.Atoi(line[:3])
		if err != nil || code < 200 || code > 599 || (r.code != 0 && r.code != code) {
			return nil, fmt.Errorf("answer %q, expected one reply code of 200 to 599", printable(line))
		}
		r.code = code
		text := line[min(4, len(line)):]
		if status, rest, ok := cutStatus(text); ok {
			r.status, text = status, rest
		}
		if r.lines = append(r.lines, text); len(r.lines) > maxReplyLines {
			return nil, fmt.Errorf("answer of over %d lines", maxReplyLines)
		}
		if len(line) == 3 || line[3] == ' ' {
			return r, nil
		}
	}
}

// cutStatus takes an enhanced status code (RFC 2034) from the front of a text.
func cutStatus(text string) (status, rest string, ok bool) {
	status, rest, _ = strings.Cut(text, " ")
	parts := strings.Split(status, ".")
	if len(parts) != 3 || len(status) > 9 {
		return "", text, false
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return "", text, false
		}
	}
	if parts[0] != "2" && parts[0] != "4" && parts[0] != "5" {
		return "", text, false
	}
	return status, rest, true
}

// printable makes a server's words fit for logs and headers.
func printable(s string) string {
	s = s[:min(len(s), maxReplyText)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s)
}

// outcome is what one attempt gave. For each recipient either a reply or, for all
// that have none, err.
type outcome struct {
	replies  []*reply // by recipient; nil: no answer for it
	err      error    // connection-level or MAIL-level; nil when replies are complete
	mail     *reply   // a refusal of MAIL
	lost     bool     // the connection broke
	afterDot bool     // it broke when the mail may have been taken
	early    bool     // it broke before the answer to MAIL
}

// send gives a mail to the server. Recipients and sender must have passed package
// address right before.
func (c *client) send(from address.Address, to []address.Address, body []byte) outcome {
	out := outcome{replies: make([]*reply, len(to))}
	if c.dirty {
		if _, err := c.command("RSET", "RSET", 2); err != nil {
			return out.broken(err, true)
		}
	}
	c.dirty = true
	c.mails++
	accepted, stop := c.envelope(&out, from, to, body)
	if stop {
		return out
	}
	if accepted == 0 {
		return out
	}
	r, err := c.command("DATA", "DATA", 3)
	if err != nil {
		if r == nil || r.code/100 == 2 { // 2xx would count as delivered
			return out.broken(err, false)
		}
		return out.all(r)
	}
	if err := c.writeBody(body); err != nil {
		c.conn.Close() // a QUIT or RSET would complete half a mail
		return out.broken(&stepError{step: "message", err: err}, false)
	}
	c.deadline(finalTimeout)
	r, err = c.reply()
	if err != nil {
		out.afterDot = true
		return out.broken(&stepError{step: "final dot", err: err}, false)
	}
	c.dirty = false
	return out.all(r)
}

// envelope sends MAIL and the RCPTs, in one go when the server can (RFC 2920).
func (c *client) envelope(out *outcome, from address.Address, to []address.Address, body []byte) (accepted int, stop bool) {
	_, pipelining := c.ext["PIPELINING"]
	c.deadline(commandTimeout)
	c.w.WriteString(c.mailCommand(from, body))
	flush := func() {
		if !pipelining {
			c.w.Flush() // a failure shows when the answer is read
		}
	}
	flush()
	var mail *reply
	var err error
	if !pipelining {
		if mail, err = c.reply(); err != nil {
			*out = out.broken(&stepError{step: "MAIL", err: err}, true)
			return 0, true
		}
		if mail.code/100 != 2 {
			out.mail, out.err = mail, &stepError{step: "MAIL", reply: mail}
			return 0, true
		}
	}
	if pipelining {
		for _, a := range to {
			fmt.Fprintf(c.w, "RCPT TO:<%s>\r\n", a)
		}
		c.w.Flush()
		if mail, err = c.reply(); err != nil {
			*out = out.broken(&stepError{step: "MAIL", err: err}, true)
			return 0, true
		}
	}
	for i, a := range to {
		if !pipelining {
			c.deadline(commandTimeout)
			fmt.Fprintf(c.w, "RCPT TO:<%s>\r\n", a)
			flush()
		}
		r, err := c.reply()
		if err != nil {
			if mail.code/100 == 2 {
				*out = out.broken(&stepError{step: "RCPT", err: err}, false)
				return 0, true
			}
			break
		}
		out.replies[i] = r
		if r.code/100 == 2 {
			accepted++
		}
	}
	if mail.code/100 != 2 {
		clear(out.replies)
		out.mail, out.err = mail, &stepError{step: "MAIL", reply: mail}
		return 0, true
	}
	return accepted, false
}

func (c *client) mailCommand(from address.Address, body []byte) string {
	line := "MAIL FROM:<" + from.String() + ">"
	if _, ok := c.ext["SIZE"]; ok {
		line += " SIZE=" + strconv.Itoa(len(body))
	}
	if _, ok := c.ext["8BITMIME"]; ok && !isASCII(body) {
		line += " BODY=8BITMIME"
	}
	return line + "\r\n"
}

// writeBody sends a message whose lines end with CRLF, dots stuffed (RFC 5321
// section 4.5.2), and the final dot.
func (c *client) writeBody(body []byte) error {
	c.deadline(bodyTimeout)
	for len(body) > 0 {
		end := bytes.IndexByte(body, '\n') + 1
		if end == 0 {
			end = len(body)
		}
		if body[0] == '.' {
			c.w.WriteByte('.')
		}
		c.w.Write(body[:end])
		if body[end-1] != '\n' {
			c.w.WriteString("\r\n")
		}
		body = body[end:]
	}
	c.w.WriteString(".\r\n")
	return c.w.Flush()
}

// quit ends the connection politely, but not at any price.
func (c *client) quit() {
	c.deadline(quitTimeout)
	c.w.WriteString("QUIT\r\n")
	if c.w.Flush() == nil {
		c.reply()
	}
	c.conn.Close()
}

func (o outcome) broken(err error, early bool) outcome {
	clear(o.replies)
	o.err, o.lost, o.early = err, true, early
	return o
}

// all gives one reply to every recipient that RCPT had accepted.
func (o outcome) all(r *reply) outcome {
	for i, had := range o.replies {
		if had != nil && had.code/100 == 2 {
			o.replies[i] = r
		}
	}
	return o
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
