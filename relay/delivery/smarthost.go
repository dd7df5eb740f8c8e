package delivery

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
)

// The kinds of a Smarthost.
const (
	KindSMTP    = "smtp"    // STARTTLS by TLSMode
	KindSMTPS   = "smtps"   // TLS from the start
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
	// Addr is "host:port"; for a place, its URL.
	Addr string
	// Path is a place's file or directory; {user} and {domain} stand for parts of
	// the recipient's address.
	Path string
}

func (h *Smarthost) local() bool { return h.Path != "" }

// ParseSmarthost reads "smtp://host:port" (25 when left out), "smtps://host:port"
// (465), and "maildir:///path", "mbox:///path", "file:///path".
func ParseSmarthost(s string) (Smarthost, error) {
	scheme, rest, _ := strings.Cut(s, "://")
	switch scheme {
	case KindMaildir, KindMbox, KindFile:
		if !filepath.IsAbs(rest) || strings.ContainsAny(rest, "\x00\r\n") || filepath.Clean(rest) == string(filepath.Separator) {
			return Smarthost{}, fmt.Errorf(`smarthost %q: expected "%s:///absolute/path"`, s, scheme)
		}
		return Smarthost{Kind: scheme, Addr: s, Path: filepath.Clean(rest)}, nil
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != KindSMTP && u.Scheme != KindSMTPS) || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return Smarthost{}, fmt.Errorf(`smarthost %q: expected "smtp://host:port", "smtps://host:port", "maildir:///path", "mbox:///path" or "file:///path"`, s)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{KindSMTP: "25", KindSMTPS: "465"}[u.Scheme]
	}
	return Smarthost{Kind: u.Scheme, Host: u.Hostname(), Addr: net.JoinHostPort(u.Hostname(), port)}, nil
}
