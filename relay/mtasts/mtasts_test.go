package mtasts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string // mode, patterns and age; "" for an error
	}{
		{"RFC 8461 section 3.2", "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: " +
			"backupmx.example.com\nmax_age: 604800\n",
			"enforce [mail.example.com *.example.net backupmx.example.com] 168h0m0s"},
		{"CRLF, no spaces, capitals", "version:STSv1\r\nmode:testing\r\nmx:Mail.Example.COM\r\nmax_age:60",
			"testing [mail.example.com] 1m0s"},
		{"none needs no mx", "version: STSv1\nmode: none\nmax_age: 0\n", "none [] 0s"},
		{"the first of two counts",
			"version: STSv1\nmode: enforce\nmode: none\nmx: a.example\nmax_age: 1\nmax_age: 2\n",
			"enforce [a.example] 1s"},
		{"unknown keys", "version: STSv1\nfuture: x\nmode: enforce\nmx: a.example\nmax_age: 1\n\nno colon\n",
			"enforce [a.example] 1s"},
		{"at most a year", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 4000000000\n",
			"enforce [a.example] 8766h0m0s"},
		{"ten digits of age", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 9999999999\n",
			"enforce [a.example] 8766h0m0s"},
		{"as long as it may be", "version: STSv1\nmode: none\nmax_age: 1\n" + strings.Repeat("x", maxPolicySize-37),
			"none [] 1s"},
		{"as many as may be", "version: STSv1\nmode: enforce\nmax_age: 1\n" +
			strings.Repeat("mx: a.example\n", maxPatterns),
			"enforce [" + strings.TrimSpace(strings.Repeat("a.example ", maxPatterns)) + "] 1s"},
		{"a dot behind the name", "version: STSv1\nmode: enforce\nmx: *.a.example.\nmax_age: 1\n",
			"enforce [*.a.example] 1s"},
		{"a space before the colon", "version: STSv1\nmode : enforce\nmx: a.example\nmax_age: 1\n", ""},
		{"age is no number", "version: STSv1\nmode: none\nmax_age: 1d\n", ""},
		{"age is nothing", "version: STSv1\nmode: none\nmax_age:\n", ""},
		{"a star alone", "version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n", ""},
		{"two stars", "version: STSv1\nmode: enforce\nmx: *.*.example\nmax_age: 1\n", ""},
		{"capital mode", "version: STSv1\nmode: Enforce\nmx: a.example\nmax_age: 1\n", ""},
		{"no version", "mode: enforce\nmx: a.example\nmax_age: 1\n", ""},
		{"other version", "version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 1\n", ""},
		{"no mx", "version: STSv1\nmode: enforce\nmax_age: 1\n", ""},
		{"mx is no name", "version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1\n", ""},
		{"star inside", "version: STSv1\nmode: enforce\nmx: a.*.example\nmax_age: 1\n", ""},
		{"no mode", "version: STSv1\nmx: a.example\nmax_age: 1\n", ""},
		{"no age", "version: STSv1\nmode: enforce\nmx: a.example\n", ""},
		{"negative age", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: -1\n", ""},
		{"too long", "version: STSv1\nmode: none\nmax_age: 1\n" + strings.Repeat("x", maxPolicySize), ""},
		{"too many", "version: STSv1\nmode: enforce\nmax_age: 1\n" + strings.Repeat("mx: a.example\n", maxPatterns+1),
			""},
		{"a web page", "<html><body>404</body></html>", ""},
	} {
		p, err := Parse(tt.text)
		got := ""
		if err == nil {
			got = fmt.Sprint(p.Mode, " ", p.MX, " ", p.MaxAge)
		}
		if got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestMatches(t *testing.T) {
	p := &Policy{MX: []string{"mail.example.com", "*.example.net"}}
	for name, want := range map[string]bool{
		"mail.example.com": true, "Mail.Example.com.": true, "x.mail.example.com": false, "example.com": false,
		"a.example.net": true, "a.b.example.net": false, "example.net": false, "": false,
	} {
		if p.Matches(name) != want {
			t.Errorf("%q matches: %v", name, !want)
		}
	}
}

func TestParseRecord(t *testing.T) {
	for _, tt := range []struct {
		records []string
		want    string
	}{
		{[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"},
		{[]string{"v=spf1 -all", "v=STSv1;id=a1; future=x"}, "a1"},
		{[]string{"v=STSv1; id=a", "v=STSv1; id=b"}, ""},
		{[]string{"v=STSv1;"}, ""},
		{[]string{"v=STSv1; id=a-b"}, ""},
		{[]string{"v=STSv10; id=a"}, ""},
		{[]string{"id=a; v=STSv1"}, ""},
		{[]string{"v=STSv1; id=" + strings.Repeat("a", 33)}, ""},
		{[]string{"v=STSv1; id=" + strings.Repeat("a", 32)}, strings.Repeat("a", 32)},
		{[]string{"v=STSv1; id=azAZ09"}, "azAZ09"},
		{[]string{"v=STSv1 \t; id=a"}, "a"},
		{[]string{"v=STSv1; id=a; id=b"}, "a"},
		{[]string{"v=STSv1; id=\x10\x19"}, ""}, // which differ from digits by one bit
		{[]string{"v=STSv1; id=@"}, ""},
		{[]string{"v=STSv1; id=["}, ""},
		{[]string{"v=STSv1; id=`"}, ""},
		{[]string{"v=STSv1; id={"}, ""},
		{[]string{"v=STSv1; id=/"}, ""},
		{[]string{"v=STSv1; id=:"}, ""},
		{nil, ""},
	} {
		id, ok := ParseRecord(tt.records)
		if id != tt.want || ok != (tt.want != "") {
			t.Errorf("%q: %q, %v", tt.records, id, ok)
		}
	}
}

// site is a domain's DNS record and web server, without a network.
type site struct {
	id, text, kind string
	status         int
	down, dnsDown  bool
	fetches        int
}

func (s *site) lookup(context.Context, string) ([]string, error) {
	if s.dnsDown {
		return nil, errors.New("server misbehaving")
	}
	return []string{"v=STSv1; id=" + s.id}, nil
}

// RoundTrip implements http.RoundTripper.
func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	s.fetches++
	if r.URL.String() != "https://mta-sts.example.com/.well-known/mta-sts.txt" || s.down {
		return nil, fmt.Errorf("no answer from %s", r.URL)
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", s.kind)
	w.Header().Set("Location", "https://mta-sts.example.com/.well-known/mta-sts.txt")
	w.WriteHeader(s.status)
	w.WriteString(s.text)
	return w.Result(), nil
}

const enforce = "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 864000\n"

func newSite() *site {
	return &site{id: "1", text: enforce, kind: "text/plain; charset=utf-8", status: 200}
}

func newCache(t testing.TB, s *site, dir string) *Cache {
	t.Helper()
	return New(Options{
		Dir: dir, LookupTXT: s.lookup, Client: &http.Client{Transport: s}, Monitor: monitor.New(nil, nil),
		Write: func(path string, b []byte) error { return os.WriteFile(path, b, 0o600) },
	})
}

// A policy is fetched once for an id, survives what fails later and a restart, is
// looked at once a day, and ends when its time is over.
func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newSite(), filepath.Join(t.TempDir(), "mta-sts")
		c := newCache(t, s, dir)
		policy := func() string {
			p := c.Policy(t.Context(), "example.com")
			if p == nil {
				return ""
			}
			return string(p.Mode) + " " + strings.Join(p.MX, " ")
		}
		steps := []struct {
			name    string
			do      func()
			want    string
			fetches int
		}{
			{"first", func() {}, "enforce mx.example.com", 1},
			{"again", func() {}, "enforce mx.example.com", 1},
			{"another id", func() { s.id, s.text = "2", strings.Replace(enforce, "mx.", "mx2.", 1) },
				"enforce mx2.example.com", 2},
			{"a bad one", func() { s.id, s.text = "3", "nothing" }, "enforce mx2.example.com", 3},
			{"failures are not repeated at once", func() {}, "enforce mx2.example.com", 3},
			{"after five minutes", func() { time.Sleep(5 * time.Minute) }, "enforce mx2.example.com", 4},
			{"all is away", func() { s.down, s.dnsDown = true, true }, "enforce mx2.example.com", 4},
			{"a restart", func() { c = newCache(t, s, dir) }, "enforce mx2.example.com", 4},
			{"a day later", func() { s.dnsDown = false; time.Sleep(25 * time.Hour) }, "enforce mx2.example.com", 5},
			{"its time is over", func() { s.dnsDown = true; time.Sleep(10 * 24 * time.Hour) }, "", 5},
			{"back", func() { s.down, s.dnsDown, s.text = false, false, enforce }, "enforce mx.example.com", 6},
			{"none", func() { s.id, s.text = "4", "version: STSv1\nmode: none\nmax_age: 86400\n" }, "", 7},
			{"a redirect is no policy", func() { s.id, s.text, s.status = "5", enforce, 301 }, "", 8},
			{"nor is a web page", func() { time.Sleep(time.Hour); s.kind, s.status = "text/html", 200 }, "", 9},
		}
		for _, step := range steps {
			step.do()
			if got := policy(); got != step.want || s.fetches != step.fetches {
				t.Errorf("%s: %q after %d fetches, want %q after %d", step.name, got, s.fetches, step.want,
					step.fetches)
			}
		}
	})
}

// A kept file that is damaged, or another domain's, is not believed.
func TestDamagedFile(t *testing.T) {
	s, dir := newSite(), t.TempDir()
	s.down = true
	for _, text := range []string{"", "{",
		`{"domain":"example.net","id":"1","fetched":"2099-01-01T00:00:00Z","policy":{"mode":"enforce",` +
			`"mx":["x.example"],"max_age":1}}`,
		`{"domain":"example.com","id":"1","policy":{"mode":"enforce"}}`,
		`{"domain":"example.com","id":"1","policy":{"mode":"x","mx":["a"]}}`} {
		if err := os.WriteFile(filepath.Join(dir, "example.com.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if p := newCache(t, s, dir).Policy(t.Context(), "example.com"); p != nil {
			t.Errorf("%q gives %v", text, p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(enforce)
	f.Add("version: STSv1\r\nmode: none\r\nmax_age: 1\r\n")
	f.Add("version:STSv1\nmode:testing\nmx:*.a\nmx:b.\nmax_age:1")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		if p.MaxAge < 0 || p.MaxAge > maxMaxAge || (p.Mode != None && len(p.MX) == 0) {
			t.Fatalf("%q gives %v", text, p)
		}
		for _, pattern := range p.MX {
			if !p.Matches(strings.Replace(pattern, "*", "x", 1)) {
				t.Fatalf("%q does not match its own pattern %q", text, pattern)
			}
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;", "v=spf1 -all")
	f.Add("v=STSv1;id=a;id=b", "v=STSv1 ;")
	f.Fuzz(func(t *testing.T, a, b string) {
		id, ok := ParseRecord([]string{a, b})
		swapped, same := ParseRecord([]string{b, a})
		if id != swapped || ok != same || (ok &&
			!slices.ContainsFunc([]string{a, b}, func(s string) bool { return strings.Contains(s, "id="+id) })) {
			t.Fatalf("%q, %q: %q %v, swapped %q %v", a, b, id, ok, swapped, same)
		}
	})
}
