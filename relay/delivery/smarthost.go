package delivery

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// The kinds of a Smarthost.
const (
	KindSMTP    = "smtp"    // STARTTLS by TLSMode
	KindSMTPS   = "smtps"   // TLS from the start
	KindMX      = "mx"      // the servers that the recipient's domain names in the DNS
	KindMaildir = "maildir" // a directory with tmp, new and cur
	KindMbox    = "mbox"    // one file, mboxrd
	KindFile    = "file"    // one file, a JSON object a line
)

// Smarthost is a next mail server, or a place on this machine.
type Smarthost struct {
	// Kind is one of the kinds, KindSMTP when empty.
	Kind string
	// Host is a server's name, which its certificate must have.
	Host string
	// Addr is "host:port", ":port" of KindMX; for a place, its URL.
	Addr string
	// Path is a place's file or directory; {user} and {domain} stand for parts of
	// the recipient's address.
	Path string
	// TLS is for this server alone; Options.TLS when empty.
	TLS TLSMode
	// Routed is one of a Route's.
	Routed bool
}

func (h *Smarthost) local() bool { return h.Path != "" }

// name tells a server from others, without spaces: "host:port", or
// "host[address]:port" when the address is not the host's name.
func (h *Smarthost) name() string {
	host, port, err := net.SplitHostPort(h.Addr)
	if err != nil || h.Host == "" || host == h.Host {
		return h.Addr
	}
	return h.Host + "[" + host + "]:" + port
}

const wanted = `"smtp://host:port", "smtps://host:port", "mx://", "maildir:///path", "mbox:///path" or "file:///path"`

// ParseSmarthost reads "smtp://host:port" (25 when left out), "smtps://host:port"
// (465), "mx://", "mx://:port", and "maildir:///path", "mbox:///path",
// "file:///path".
func ParseSmarthost(s string) (Smarthost, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return Smarthost{}, fmt.Errorf("smarthost %q: expected %s", s, wanted)
	}
	switch scheme {
	case KindMX:
		port := "25"
		if own, ok := strings.CutPrefix(strings.TrimSuffix(rest, "/"), ":"); ok {
			port = own
		} else if own != "" {
			return Smarthost{}, fmt.Errorf(`smarthost %q: expected "mx://" without a host: the DNS names it`, s)
		}
		if !isPort(port) {
			return Smarthost{}, fmt.Errorf("smarthost %q: expected a port of 1 to 65535", s)
		}
		return Smarthost{Kind: KindMX, Addr: ":" + port}, nil
	case KindMaildir, KindMbox, KindFile:
		if !filepath.IsAbs(rest) || strings.ContainsAny(rest, "\x00\r\n") ||
			filepath.Clean(rest) == string(filepath.Separator) {
			return Smarthost{}, fmt.Errorf(`smarthost %q: expected "%s:///absolute/path"`, s, scheme)
		}
		return Smarthost{Kind: scheme, Addr: s, Path: filepath.Clean(rest)}, nil
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != KindSMTP && u.Scheme != KindSMTPS) || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return Smarthost{}, fmt.Errorf("smarthost %q: expected %s", s, wanted)
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil && strings.Contains(u.Hostname(), ":") {
		return Smarthost{}, fmt.Errorf("smarthost %q: expected a name or an address, and one port behind it", s)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{KindSMTP: "25", KindSMTPS: "465"}[u.Scheme]
	}
	if !isPort(port) {
		return Smarthost{}, fmt.Errorf("smarthost %q: expected a port of 1 to 65535", s)
	}
	return Smarthost{Kind: u.Scheme, Host: u.Hostname(), Addr: net.JoinHostPort(u.Hostname(), port)}, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
