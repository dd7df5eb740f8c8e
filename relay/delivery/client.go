package delivery

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// Deadlines of a connection's steps (RFC 5321 section 4.5.3.2). A server is waited for as
// long as that only when there is none else to ask.
const (
	dialTimeout     = 30 * time.Second
	greetingTimeout = 5 * time.Minute  // for each step up to the login
	otherTimeout    = 30 * time.Second // the same when another server can be asked
	quitTimeout     = 2 * time.Second
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

// client is a connection to a smarthost after EHLO.
type client struct {
	conn     net.Conn
	r        *bufio.Reader
	w        *bufio.Writer
	ext      map[string]string
	verified bool          // encrypted, and the certificate is right
	doubt    error         // why it is not verified; nil when it is
	patience time.Duration // for each answer until it is logged in; then commandTimeout
	secrets  *secrets      // that the server was told
	mails    int           // begun on it
	dirty    bool          // a transaction may be open
	broken   bool          // it cannot be used any more
	end      time.Time     // of the message under way
	pastDot  atomic.Bool   // the final dot is out and not answered
	late     func()        // called when the answer to it is late; may be nil
}

// dialer makes clients.
type dialer struct {
	hostname    string
	tls         *tls.Config
	dial        func(ctx context.Context, network, addr string) (net.Conn, error)
	credentials func(Smarthost) (*Credentials, error)
	authInClear bool
}

// connect opens a connection up to the EHLO that counts, and logs in. Each step may take
// as long as patience.
func (d *dialer) connect(ctx context.Context, h *host, patience time.Duration) (*client, error) {
	c, err := d.encrypted(ctx, h, patience)
	if err != nil {
		return nil, err
	}
	if h.direct { // nobody logs in at a domain's own server
		c.patience = commandTimeout
		return c, nil
	}
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	if err := d.authenticate(c, h.Smarthost); err != nil {
		c.quit()
		return nil, err
	}
	c.patience = commandTimeout
	return c, nil
}

// encrypted opens a connection with as much TLS as the host's mode asks for.
func (d *dialer) encrypted(ctx context.Context, h *host, patience time.Duration) (*client, error) {
	c, err := d.open(ctx, h, patience)
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
		if c, plainErr := d.open(ctx, h, patience); plainErr == nil {
			c.doubt = err
			return c, nil
		}
	}
	return nil, err
}

// open connects, up to the first EHLO.
func (d *dialer) open(ctx context.Context, h *host, patience time.Duration) (*client, error) {
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := d.dial(dialCtx, "tcp", h.Addr)
	if err != nil {
		return nil, &stepError{step: "connect", err: err}
	}
	c := &client{conn: conn, patience: patience, secrets: &h.secrets}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if h.Kind == KindSMTPS {
		if err := d.handshake(ctx, c, h); err != nil {
			conn.Close()
			return nil, err
		}
	}
	c.reset()
	c.deadline(patience)
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
	if h.direct {
		config.GetClientCertificate = nil // as logins, it is for smarthosts
	}
	if h.tls == TLSOpportunistic {
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error {
			c.doubt = verify(state, h.Host, config.RootCAs)
			return nil
		}
	}
	secure := tls.Client(c.conn, config)
	c.deadline(c.patience)
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
	c.w = bufio.NewWriterSize(blocks{c}, 32<<10)
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
	c.deadline(c.patience)
	r, err := c.exchange(line)
	return r, expect(step, r, err, class)
}

// exchange sends a line and reads the answer.
func (c *client) exchange(line string) (*reply, error) {
	c.w.WriteString(line + "\r\n")
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	return c.reply()
}

// tlsVersion names the version of an encrypted connection, "" for one in clear.
func (c *client) tlsVersion() string {
	secure, ok := c.conn.(*tls.Conn)
	if !ok {
		return ""
	}
	return strings.ReplaceAll(tls.VersionName(secure.ConnectionState().Version), " ", "")
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
