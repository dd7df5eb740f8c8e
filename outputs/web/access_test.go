package web

import (
	"bytes"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// secret is the password of the users of tests.
const secret = "correct horse"

// quickHash is a hash of it that is quickly made and compared.
var quickHash = sync.OnceValues(func() ([]byte, error) {
	return bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
})

// users returns a user of tests.
func users(t testing.TB, name string) map[string][]byte {
	hash, err := quickHash()
	must(t, err)
	return map[string][]byte{name: hash}
}

// logIn tries to log in, and returns the status.
func logIn(t *testing.T, c *http.Client, h *httptest.Server, name, password string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequest("POST", h.URL+"/api/v1/login",
		strings.NewReader(`{"name":"`+name+`","password":"`+password+`"}`))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	must(t, err)
	res.Body.Close()
	return res
}

// With users nothing is told to strangers; a session is a cookie that scripts and other
// sites do not have; logging out ends it.
func TestUsersLogIn(t *testing.T) {
	tr := makeTree(t, 2, 5)
	_, h := serve(t, tr.dir, Options{Access: Access{Users: users(t, "alice")}})
	jar, err := cookiejar.New(nil)
	must(t, err)
	c := &http.Client{Jar: jar}
	status := func(path string) int {
		res, err := c.Get(h.URL + path)
		must(t, err)
		res.Body.Close()
		return res.StatusCode
	}
	for _, r := range routes {
		if method, path, _ := strings.Cut(r.pattern, " "); method == "GET" && !r.public &&
			status(path) != http.StatusUnauthorized {
			t.Errorf("%s answers strangers with %d", path, status(path))
		}
	}
	if st := ask[Status](t, h, "status"); !st.Login || st.Known || st.Archive != "" {
		t.Errorf("strangers are told %+v", st)
	}
	if res := logIn(t, c, h, "alice", "wrong horse"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong password: %d", res.StatusCode)
	}
	if res := logIn(t, c, h, "bob", secret); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("nobody: %d", res.StatusCode)
	}
	if res := logIn(t, c, h, "alice", secret, "Sec-Fetch-Site", "cross-site"); res.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: %d", res.StatusCode)
	}
	res := logIn(t, c, h, "alice", secret)
	if cookie := res.Header.Get("Set-Cookie"); res.StatusCode != http.StatusOK ||
		!strings.Contains(cookie, "HttpOnly") ||
		!strings.Contains(cookie, "SameSite=Strict") {
		t.Errorf("logged in with %d, cookie %q", res.StatusCode, cookie)
	}
	if n := status("/api/v1/sources"); n != http.StatusOK {
		t.Errorf("with a session: %d", n)
	}
	out, err := c.Post(h.URL+"/api/v1/logout", "application/json", nil)
	must(t, err)
	out.Body.Close()
	if n := status("/api/v1/sources"); n != http.StatusUnauthorized {
		t.Errorf("logged out: %d", n)
	}
}

// Who tries too often has to wait, also with the right password then; others need not.
func TestTriesAreLimited(t *testing.T) {
	g := newGuard(Access{Users: users(t, "alice")}, t.Logf)
	for range freeTries {
		if wait := g.try("192.0.2.1"); wait > 0 {
			t.Fatalf("has to wait %s before", wait)
		}
		g.wrong("192.0.2.1")
	}
	first := g.try("192.0.2.1")
	g.wrong("192.0.2.1")
	if again := g.try("192.0.2.1"); first <= 0 || again <= first || g.try("192.0.2.2") > 0 {
		t.Errorf("waits %s, then %s", first, again)
	}
	for i := range maxTried + 10 {
		g.wrong(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String())
	}
	if len(g.tried) > maxTried {
		t.Errorf("%d addresses are remembered", len(g.tried))
	}
	tr := makeTree(t, 1, 5)
	_, h := serve(t, tr.dir, Options{Access: Access{Users: users(t, "alice")}})
	for range freeTries {
		logIn(t, http.DefaultClient, h, "alice", "wrong horse")
	}
	if res := logIn(t, http.DefaultClient, h, "alice", secret); res.StatusCode != http.StatusTooManyRequests ||
		res.Header.Get("Retry-After") == "" {
		t.Errorf("the sixth: %d", res.StatusCode)
	}
}

// A proxy's header counts from its address only.
func TestProxyHeader(t *testing.T) {
	tr := makeTree(t, 1, 5)
	for from, want := range map[string]int{"127.0.0.1/32": http.StatusOK, "192.0.2.0/24": http.StatusUnauthorized} {
		_, h := serve(t, tr.dir, Options{Access: Access{ProxyHeader: "X-User",
			ProxyFrom: []netip.Prefix{netip.MustParsePrefix(from)}}})
		for _, name := range []string{"alice", ""} {
			req, err := http.NewRequest("GET", h.URL+"/api/v1/sources", nil)
			must(t, err)
			req.Header.Set("X-User", name)
			res, err := http.DefaultClient.Do(req)
			must(t, err)
			res.Body.Close()
			if name == "" {
				want = http.StatusUnauthorized
			}
			if res.StatusCode != want {
				t.Errorf("%q from %s: %d, want %d", name, from, res.StatusCode, want)
			}
		}
	}
}

// Without users only addresses that nobody else reaches may be listened on, and a name that
// has been pointed here is refused.
func TestWithoutUsers(t *testing.T) {
	for listen, want := range map[string]bool{"127.0.0.1:0": true, "[::1]:80": true, "localhost:80": true, ":80": false,
		"0.0.0.0:80": false, "192.0.2.1:80": false, "example.com:80": false, "8080": false} {
		if err := (Access{}).Addr(listen); (err == nil) != want {
			t.Errorf("%s: %v", listen, err)
		}
	}
	if err := (Access{Users: users(t, "a")}).Addr("0.0.0.0:80"); err != nil {
		t.Error(err)
	}
	tr := makeTree(t, 1, 5)
	_, h := serve(t, tr.dir, Options{})
	for host, want := range map[string]int{"127.0.0.1:8080": 200, "localhost": 200, "[::1]:1": 200,
		"evil.example.com": 403} {
		req, err := http.NewRequest("GET", h.URL+"/api/v1/status", nil)
		must(t, err)
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("host %s: %d", host, res.StatusCode)
		}
	}
}

// The file of users says which of its lines is wrong.
func TestReadUsers(t *testing.T) {
	line, err := HashPassword("alice", secret) // once: that takes long, on purpose
	must(t, err)
	path := filepath.Join(t.TempDir(), "users")
	must(t, os.WriteFile(path, []byte("# who may look\n\n"+line+"\n"), 0o600))
	all, err := ReadUsers(path)
	must(t, err)
	if cost, err := bcrypt.Cost(all["alice"]); err != nil || cost != bcryptCost {
		t.Errorf("a hash of cost %d: %v", cost, err)
	}
	if cost, err := bcrypt.Cost(newGuard(Access{Users: all}, t.Logf).nobody); err != nil || cost != bcryptCost {
		t.Errorf("who is nobody is told after another time, of cost %d: %v", cost, err)
	}
	must(t, os.WriteFile(path, []byte("alice:"+string(users(t, "alice")["alice"])+"\n"), 0o600))
	all, err = ReadUsers(path)
	must(t, err)
	g := newGuard(Access{Users: all}, t.Logf)
	if !g.check(login{"alice", secret}) || g.check(login{"alice", "wrong horse"}) || g.check(login{"bob", secret}) {
		t.Error("the password is not the one that was given")
	}
	for text, want := range map[string]string{"alice:secret\n": "line 1", line + "\n" + line: "second", "": "no users",
		"\nalice\n": "line 2"} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := ReadUsers(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, password := range []string{"short", strings.Repeat("x", 73)} {
		if _, err := HashPassword("alice", password); err == nil {
			t.Errorf("%q is taken", password)
		}
	}
}

// Below a path all is there, and outside of it nothing; the page names no other site.
func TestBasePathAndPolicy(t *testing.T) {
	tr := makeTree(t, 1, 5)
	_, h := serve(t, tr.dir, Options{Base: "/flows/"})
	for path, want := range map[string]int{"/flows/": 200, "/flows": 200, "/flows/assets/app.js": 200,
		"/flows/api/v1/status": 200,
		"/":                    404, "/api/v1/status": 404, "/flows/assets/index.html": 404,
		"/flows/assets/..%2fopenapi.json": 404,
		"/flows/api/v1/nothing":           404} {
		res, err := http.Get(h.URL + path)
		must(t, err)
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
		if policy := res.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") ||
			strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
}

// The page weighs at most 500 kB on its way, and fetches nothing from elsewhere.
func TestPageWeight(t *testing.T) {
	tr := makeTree(t, 1, 5)
	_, h := serve(t, tr.dir, Options{})
	entries, err := embedded.ReadDir("assets")
	must(t, err)
	sum := 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".html") || strings.HasSuffix(e.Name(), ".md") {
			continue
		}
		req, err := http.NewRequest("GET", h.URL+"/assets/"+e.Name(), nil)
		must(t, err)
		req.Header.Set("Accept-Encoding", "gzip")
		res, err := http.DefaultTransport.RoundTrip(req)
		must(t, err)
		var b bytes.Buffer
		_, err = b.ReadFrom(res.Body)
		res.Body.Close()
		must(t, err)
		if res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %v", e.Name(), res.Header)
		}
		sum += b.Len()
		plain, err := embedded.ReadFile("assets/" + e.Name())
		must(t, err)
		others := slices.Contains([]string{"vendor.js", "echarts.js", "codemirror.js", "icon.svg"}, e.Name())
		if !others && bytes.Contains(plain, []byte("://")) {
			t.Errorf("%s names an address", e.Name())
		}
		if !others && len(plain) > 100_000 { // repeated text weighs little when it is compressed
			t.Errorf("%s has %d bytes", e.Name(), len(plain))
		}
	}
	if sum > 500_000 {
		t.Errorf("the page weighs %d bytes", sum)
	}
	t.Logf("%d bytes", sum)
}

// A body or a header that is too large is refused.
func TestLimitsOfRequests(t *testing.T) {
	tr := makeTree(t, 1, 5)
	_, h := serve(t, tr.dir, Options{Access: Access{Users: users(t, "alice")}})
	res := logIn(t, http.DefaultClient, h, "alice", strings.Repeat("x", maxBody))
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("a large body: %d", res.StatusCode)
	}
	res, err := http.Post(h.URL+"/api/v1/login", "text/plain", strings.NewReader("{}"))
	must(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a form: %d", res.StatusCode)
	}
	if time.Duration(headerTimeout) > time.Minute {
		t.Error("slow clients hold connections for long")
	}
}
