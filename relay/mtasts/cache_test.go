package mtasts

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// What a web server answers is a policy only as section 3.3 of RFC 8461 has it.
func TestAnswersOfTheServer(t *testing.T) {
	tail := strings.Repeat("x", maxPolicySize-len(enforce))
	for name, tt := range map[string]struct {
		change func(s *site)
		want   bool
	}{
		"text/plain":              {func(*site) {}, true},
		"capitals, parameters":    {func(s *site) { s.kind = `Text/Plain; charset="us-ascii"` }, true},
		"the largest":             {func(s *site) { s.text = enforce + tail }, true},
		"one octet more":          {func(s *site) { s.text = enforce + tail + "x" }, false},
		"no type":                 {func(s *site) { s.kind = "" }, false},
		"a type that is no type":  {func(s *site) { s.kind = "text/" }, false},
		"octets":                  {func(s *site) { s.kind = "application/octet-stream" }, false},
		"created":                 {func(s *site) { s.status = http.StatusCreated }, false},
		"no content":              {func(s *site) { s.status, s.text = http.StatusNoContent, "" }, false},
		"not found":               {func(s *site) { s.status = http.StatusNotFound }, false},
		"found elsewhere":         {func(s *site) { s.status = http.StatusFound }, false},
		"an error of the server":  {func(s *site) { s.status = http.StatusInternalServerError }, false},
		"a policy that says none": {func(s *site) { s.text = "version: STSv1\nmode: none\nmax_age: 60\n" }, false},
	} {
		s := newSite()
		tt.change(s)
		if p := newCache(t, s, t.TempDir()).Policy(t.Context(), "example.com"); (p != nil) != tt.want {
			t.Errorf("%s: %+v", name, p)
		}
		if s.fetches != 1 {
			t.Errorf("%s: %d fetches", name, s.fetches)
		}
	}
}

// A policy ends with its max_age, to the second, and half of a short one goes by before it
// is fetched anew; one from the future, as a clock that was wrong leaves it, is none.
func TestAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newSite(), t.TempDir()
		s.text = "version: STSv1\nmode: testing\nmx: mx.example.com\nmax_age: 3600\n"
		c := newCache(t, s, dir)
		for _, step := range []struct {
			after   time.Duration
			down    bool
			want    bool
			fetches int
		}{
			{0, false, true, 1},
			{30 * time.Minute, false, true, 1},
			{time.Second, false, true, 2},
			{time.Hour, true, true, 3},    // exactly as old as it may be; the fetch fails
			{time.Second, true, false, 3}, // it is over, and the fetch is not repeated yet
			{5*time.Minute - 2*time.Second, true, false, 3},
			{time.Second, true, false, 4},
			{5 * time.Minute, false, true, 5},
		} {
			time.Sleep(step.after)
			s.down = step.down
			if p := c.Policy(t.Context(), "example.com"); (p != nil) != step.want || s.fetches != step.fetches {
				t.Errorf("after %s: %v, %d fetches, want %v, %d", step.after, p, s.fetches, step.want, step.fetches)
			}
		}
		s.dnsDown = true
		for ahead, want := range map[time.Duration]bool{time.Hour: true, time.Hour + time.Second: false} {
			text := fmt.Sprintf(`{"domain":"example.com","fetched":%q,"policy":{"mode":"testing","mx":["x.example"],`+
				`"max_age":3600000000000}}`, time.Now().Add(ahead).Format(time.RFC3339Nano))
			if err := os.WriteFile(filepath.Join(dir, "example.com.json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if p := c.Policy(t.Context(), "example.com"); (p != nil) != want {
				t.Errorf("%s ahead: %v", ahead, p)
			}
		}
	})
}

// keptFile writes a policy's file.
func keptFile(t *testing.T, dir, domain string, fetched time.Time) {
	t.Helper()
	text := fmt.Sprintf(`{"domain":%q,"id":"1","fetched":%q,"policy":{"mode":"enforce","mx":["x.example"],`+
		`"max_age":3600000000000}}`, domain, fetched.Format(time.RFC3339))
	if err := os.WriteFile(filepath.Join(dir, domain+suffix), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// When the directory is full, policies that are over and files that are none make room;
// those in force stay, and so does what is not ours. Without room nothing is kept.
func TestMakeRoom(t *testing.T) {
	dir := t.TempDir()
	c := newCache(t, newSite(), dir)
	for i := range maxPolicies - 4 {
		name := filepath.Join(dir, fmt.Sprintf("f%05d.other", i))
		if err := os.Link(filepath.Join(dir, "f00000.other"), name); i > 0 && err != nil {
			t.Fatal(err)
		} else if i == 0 && os.WriteFile(name, nil, 0o600) != nil {
			t.Fatal("no file")
		}
	}
	keptFile(t, dir, "over.example", time.Now().Add(-2*time.Hour))
	keptFile(t, dir, "inforce.example", time.Now())
	if err := os.WriteFile(filepath.Join(dir, "damaged.example.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	if err := c.makeRoom(); err != nil || !there("over.example.json") {
		t.Fatalf("not full yet: %v", err)
	}
	keptFile(t, dir, "inforce2.example", time.Now())
	if err := c.makeRoom(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"over.example.json": false, "damaged.example.json": false,
		"inforce.example.json": true, "inforce2.example.json": true, "f00000.other": true} {
		if there(name) != want {
			t.Errorf("%s is there: %v", name, !want)
		}
	}
	keptFile(t, dir, "inforce3.example", time.Now())
	keptFile(t, dir, "inforce4.example", time.Now())
	if p := c.Policy(t.Context(), "example.com"); p == nil || there("example.com.json") {
		t.Errorf("a full directory: policy %v, kept %v", p, there("example.com.json"))
	}
}

// What cannot be kept, or has a name that could lead out of the directory, is used all the
// same and told, once.
func TestNotKept(t *testing.T) {
	var log warnings
	s := newSite()
	c := New(Options{Dir: t.TempDir(), LookupTXT: s.lookup, Client: &http.Client{Transport: s},
		Monitor: monitor.New(&log, nil), Write: func(string, []byte) error { return errors.New("disk full") }})
	for range 2 {
		if p := c.Policy(t.Context(), "example.com"); p == nil || p.Mode != Enforce {
			t.Fatalf("%v", p)
		}
	}
	if len(log) != 1 || !strings.Contains(log[0], "example.com is not kept: disk full") {
		t.Errorf("%q", log)
	}
	if err := c.save(&kept{Domain: "../example.com"}); err == nil {
		t.Error("a name that leads out of the directory is kept")
	}
}

// warnings keeps what is logged.
type warnings []string

func (w *warnings) Infof(format string, args ...any)  { *w = append(*w, fmt.Sprintf(format, args...)) }
func (w *warnings) Warnf(format string, args ...any)  { *w = append(*w, fmt.Sprintf(format, args...)) }
func (w *warnings) Errorf(format string, args ...any) { *w = append(*w, fmt.Sprintf(format, args...)) }
func (w *warnings) Debugf(string, ...any)             {}

// The number of domains whose fetch failed is bounded.
func TestFailuresAreBounded(t *testing.T) {
	c := newCache(t, newSite(), t.TempDir())
	now := time.Now()
	for i := range maxFailures {
		c.fetchFailed(fmt.Sprint("d", i), now)
	}
	if len(c.failed) != maxFailures || c.mayFetch("d0", now.Add(retryAfter-1)) ||
		!c.mayFetch("d0", now.Add(retryAfter)) {
		t.Errorf("%d are known", len(c.failed))
	}
	if c.fetchFailed("another", now); len(c.failed) != 1 || !c.mayFetch("d0", now) || c.mayFetch("another", now) {
		t.Errorf("%d are known", len(c.failed))
	}
}

// What is quoted of a peer is printable and short.
func TestClip(t *testing.T) {
	for in, want := range map[string]string{"a b~": "a b~", "\x1b[0m\x7f\n": "?[0m??",
		strings.Repeat("x", 80): strings.Repeat("x", 80), strings.Repeat("x", 81): strings.Repeat("x", 80),
		"é": "?"} {
		if got := clip(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
