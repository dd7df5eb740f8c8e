package web

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Access says who may read. Without users and a proxy everybody may who reaches the server,
// which then is for this machine alone.
type Access struct {
	Users       map[string][]byte // hashes of bcrypt by name
	ProxyHeader string            // has the user's name, from a proxy that has logged him in
	ProxyFrom   []netip.Prefix    // whose header counts
	Secure      bool              // cookies only over TLS
}

// required says whether a user is asked for.
func (a Access) required() bool { return len(a.Users) > 0 || a.ProxyHeader != "" }

// maxUsers bounds a file of users.
const maxUsers = 10_000

// ReadUsers reads a file of users: NAME:HASH on each line, where the hash is of bcrypt, as
// htpasswd -B writes it. Lines that are empty or begin with # do not count.
func ReadUsers(path string) (map[string][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	users := map[string][]byte{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); !ok || name == "" || err != nil {
			return nil, fmt.Errorf("%s: line %d: expected NAME:HASH with a hash of bcrypt, as flowgraf web "+
				"user NAME, or htpasswd -nB NAME, writes it", path, n)
		}
		if users[name] != nil {
			return nil, fmt.Errorf("%s: line %d: there is a second %s", path, n, name)
		}
		if users[name] = []byte(hash); len(users) > maxUsers {
			return nil, fmt.Errorf("%s: more than %d users", path, maxUsers)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("%s: no users in it: flowgraf web user NAME makes a line", path)
	}
	return users, nil
}

// HashPassword returns a line of the file of users.
func HashPassword(name, password string) (string, error) {
	if name == "" || strings.ContainsAny(name, ":\r\n#") {
		return "", fmt.Errorf("%q: expected a name without ':' and '#'", name)
	}
	if len(password) < minPassword || len(password) > maxPassword {
		return "", fmt.Errorf("a password of %d bytes: expected %d to %d", len(password), minPassword, maxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcryptCost)
	return name + ":" + string(hash), err
}

// The bounds of passwords; bcrypt takes no more.
const (
	minPassword = 8
	maxPassword = 72
	bcryptCost  = 12
)

// session is a user who has logged in.
type session struct {
	user string
	ends time.Time
}

// tries are what an address has tried in vain.
type tries struct {
	n     int
	until time.Time // nothing is tried before
}

// The bounds of sessions and of tries.
const (
	sessionTime  = 12 * time.Hour
	maxSessions  = 10_000
	freeTries    = 5
	tryPause     = 30 * time.Second // doubled with each further try
	mostTryPause = time.Hour
	maxTried     = 10_000
	cookieName   = "flowgraf"
)

// guard knows who has logged in.
type guard struct {
	access Access
	nobody []byte // a hash of no password
	logf   func(string, ...any)

	mu       sync.Mutex
	sessions map[string]session
	tried    map[string]tries

	hashing sync.Mutex // one at a time: a hash costs a quarter of a second
}

func newGuard(a Access, logf func(string, ...any)) *guard {
	return &guard{access: a, nobody: noHash(a.Users), logf: logf, sessions: map[string]session{},
		tried: map[string]tries{}}
}

// peer returns the address of the other side.
func peer(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// fromProxy says whether a request comes from a proxy that is trusted.
func (g *guard) fromProxy(r *http.Request) bool {
	addr := peer(r)
	return g.access.ProxyHeader != "" && slices.ContainsFunc(g.access.ProxyFrom, func(p netip.Prefix) bool {
		return p.Contains(addr)
	})
}

// hostAllowed says whether the name in the address may be used. Where nobody has to log in
// it is an address or localhost: a name could be that of a stranger's page which has been
// pointed at this machine.
func (g *guard) hostAllowed(r *http.Request) bool {
	if g.access.required() {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || strings.EqualFold(host, "localhost")
}

// user returns who asks, false for nobody.
func (g *guard) user(r *http.Request) (string, bool) {
	if !g.access.required() {
		return "", true
	}
	if g.fromProxy(r) {
		if name := r.Header.Get(g.access.ProxyHeader); name != "" {
			return name, true
		}
	}
	c, err := r.Cookie(cookieName)
	if err != nil {
		return "", false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.sessions[c.Value]
	if !ok || time.Now().After(s.ends) {
		delete(g.sessions, c.Value)
		return "", false
	}
	return s.user, true
}

// login is what a user sends.
type login struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// postLogin begins a session.
func (s *Server) postLogin(w http.ResponseWriter, r *http.Request) error {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return &statusError{http.StatusUnsupportedMediaType, errors.New("expected application/json")}
	}
	var l login
	if err := json.NewDecoder(r.Body).Decode(&l); err != nil {
		return &Mistake{Err: fmt.Errorf("expected a name and a password in JSON: %w", err)}
	}
	g := s.guard
	if wait := g.try(peer(r).String()); wait > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())+1))
		return &statusError{http.StatusTooManyRequests, fmt.Errorf("too many wrong passwords: try again in %s",
			wait.Round(time.Second))}
	}
	if !g.check(l) {
		g.wrong(peer(r).String())
		s.opt.Logf("login of %q from %s: wrong name or password", l.Name, peer(r))
		return &statusError{http.StatusUnauthorized, errors.New("wrong name or password")}
	}
	http.SetCookie(w, s.cookie(g.begin(l.Name, peer(r).String()), int(sessionTime.Seconds())))
	return give(w, map[string]string{"user": l.Name})
}

// cookie returns the cookie of a session.
func (s *Server) cookie(value string, age int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: s.opt.Base, MaxAge: age, HttpOnly: true,
		Secure: s.opt.Access.Secure, SameSite: http.SameSiteStrictMode}
}

// postLogout ends a session.
func (s *Server) postLogout(w http.ResponseWriter, r *http.Request) error {
	if c, err := r.Cookie(cookieName); err == nil {
		s.guard.mu.Lock()
		delete(s.guard.sessions, c.Value)
		s.guard.mu.Unlock()
	}
	http.SetCookie(w, s.cookie("", -1))
	return give(w, struct{}{})
}

// noHash is compared with where there is no such user, which takes as long as the slowest of users.
func noHash(users map[string][]byte) []byte {
	slowest := bcrypt.MinCost
	for _, hash := range users {
		if cost, err := bcrypt.Cost(hash); err == nil {
			slowest = max(slowest, cost)
		}
	}
	return fmt.Appendf(nil, "$2a$%02d$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", slowest)
}

// check says whether name and password are right.
func (g *guard) check(l login) bool {
	g.hashing.Lock()
	defer g.hashing.Unlock()
	hash, ok := g.access.Users[l.Name]
	if !ok {
		hash = g.nobody
	}
	return bcrypt.CompareHashAndPassword(hash, []byte(l.Password)) == nil && ok
}

// try returns how long an address has to wait before it may try again.
func (g *guard) try(from string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Until(g.tried[from].until)
}

// wrong notes that an address has tried in vain.
func (g *guard) wrong(from string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.tried) >= maxTried {
		clear(g.tried)
	}
	t := g.tried[from]
	if t.n++; t.n >= freeTries {
		t.until = time.Now().Add(min(tryPause<<min(t.n-freeTries, 10), mostTryPause))
	}
	g.tried[from] = t
}

// begin begins a session and returns its secret.
func (g *guard) begin(user, from string) string {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	key := hex.EncodeToString(secret)
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.tried, from)
	now := time.Now()
	for k, s := range g.sessions {
		if now.After(s.ends) || len(g.sessions) >= maxSessions {
			delete(g.sessions, k)
		}
	}
	g.sessions[key] = session{user, now.Add(sessionTime)}
	return key
}

// TLS returns a listener that speaks TLS, with a certificate and a key of PEM files.
func TLS(l net.Listener, cert, key string) (net.Listener, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}), nil
}
