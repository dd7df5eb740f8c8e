package smtpd

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Mode says how a listener's connections are encrypted.
type Mode string

// The modes. With StartTLS a client must encrypt before it may send mail.
const (
	Plain       Mode = "smtp"
	StartTLS    Mode = "starttls"
	ImplicitTLS Mode = "smtps"
)

// Listener is an address to take mail on.
type Listener struct {
	// Addr is "host:port"; an empty host means all addresses.
	Addr string
	// Mode is Plain when empty.
	Mode Mode
}

// Encrypted tells whether mail comes over TLS only.
func (l Listener) Encrypted() bool { return l.Mode.encrypted() }

func (m Mode) encrypted() bool { return m == StartTLS || m == ImplicitTLS }

// ParseListener reads "host:port" and "smtp://host:port", both plain text,
// "starttls://host:port" and "smtps://host:port".
func ParseListener(s string) (Listener, error) {
	var l Listener
	full := s
	if !strings.Contains(s, "://") {
		full = string(Plain) + "://" + s
	}
	u, err := url.Parse(full)
	if err != nil || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return l, badListener(s)
	}
	l.Addr, l.Mode = u.Host, Mode(u.Scheme)
	if _, port, err := net.SplitHostPort(l.Addr); err != nil || port == "" {
		return l, badListener(s)
	}
	switch l.Mode {
	case Plain, StartTLS, ImplicitTLS:
		return l, nil
	}
	return l, badListener(s)
}

func badListener(s string) error {
	return fmt.Errorf(`listen: %q: expected "host:port", "starttls://host:port" or "smtps://host:port"`, s)
}
