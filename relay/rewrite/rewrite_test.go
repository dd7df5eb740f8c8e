package rewrite

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/relay/address"
)

func rules(t testing.TB) *Rules {
	t.Helper()
	r, err := New(Options{
		LocalDomains: []string{"db1.internal", "localhost"}, VisibleDomain: "Example.com",
		Aliases: map[string][]string{
			"root": {"ops@example.com", "oncall"}, "oncall": {"a@example.com", "ops@example.com"},
			"Postmaster": {"ROOT"}, "team@example.com": {"b@example.com"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestExpand(t *testing.T) {
	r := rules(t)
	for in, want := range map[string]string{
		"root@localhost":          "ops@example.com a@example.com",
		"Postmaster@db1.internal": "ops@example.com a@example.com",
		"root@example.com":        "root@example.com",
		"team@example.com":        "b@example.com",
		"x@localhost":             "x@localhost",
		"not an address":          "not an address",
	} {
		if got := strings.Join(r.Expand([]string{in}), " "); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
	if got := r.Expand([]string{"root@localhost", "oncall@localhost"}); len(got) != 2 {
		t.Errorf("an address comes twice: %q", got)
	}
	var none *Rules
	if got := none.Expand([]string{"a@b"}); !slices.Equal(got, []string{"a@b"}) ||
		none.Lookup(address.Address{}) != nil {
		t.Error("nil rules change something")
	}
}

func TestSenderAndMessage(t *testing.T) {
	r := rules(t)
	for in, want := range map[string]string{
		"root@db1.internal": "root@example.com", "root@DB1.internal": "root@example.com", "a@other": "a@other", "": "",
	} {
		if got := r.Sender(in); got != want {
			t.Errorf("sender %q gives %q, want %q", in, got, want)
		}
	}
	const in = "To: root@localhost\r\n" +
		"FROM: \"me@localhost\" (at root@localhost) <root@db1.internal>,\r\n\tx@LOCALHOST\r\n" +
		"Sender: a@localhost.example.net, b@other\r\n" +
		"Reply-To : <c@localhost>\r\n\r\n" +
		"From: root@localhost\r\n"
	const want = "To: root@localhost\r\n" +
		"FROM: \"me@localhost\" (at root@localhost) <root@example.com>,\r\n\tx@example.com\r\n" +
		"Sender: a@localhost.example.net, b@other\r\n" +
		"Reply-To : <c@example.com>\r\n\r\n" +
		"From: root@localhost\r\n"
	if got := string(r.Message([]byte(in))); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A name without a domain, as cron writes it, gets the visible one.
func TestMessageWithoutDomain(t *testing.T) {
	r := rules(t)
	for in, want := range map[string]string{
		"From: root (Cron Daemon)":           "From: root@example.com (Cron Daemon)",
		"From: root":                         "From: root@example.com",
		"Sender:(x) a.b(y)":                  "Sender:(x) a.b@example.com(y)",
		"From: Cron Daemon <root>":           "From: Cron Daemon <root@example.com>",
		"From: \"A, B\" <root>, c@localhost": "From: \"A, B\" <root@example.com>, c@example.com",
		"Reply-To: a, <b>, c@x.org, d":       "Reply-To: a@example.com, <b@example.com>, c@x.org, d@example.com",
		"From: staff: a, b@localhost;":       "From: staff: a@example.com, b@example.com;",
		"From: Cron Daemon":                  "From: Cron Daemon",
		"From: <>":                           "From: <>",
		"From:":                              "From:",
		"From: \"root\"":                     "From: \"root\"",
		"From: a@other.org (root)":           "From: a@other.org (root)",
		"To: root":                           "To: root",
	} {
		got := string(r.Message([]byte(in + "\r\n\r\nFrom: root\r\n")))
		if got != want+"\r\n\r\nFrom: root\r\n" {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, opts := range map[string]Options{
		"local_domains":  {LocalDomains: []string{"a b"}},
		"visible_domain": {VisibleDomain: "@"},
		"itself":         {Aliases: map[string][]string{"a": {"b"}, "b": {"a"}}},
		"nowhere":        {Aliases: map[string][]string{"a": nil}},
		"target":         {Aliases: map[string][]string{"a": {"root"}}},
	} {
		if _, err := New(opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestReadAliases(t *testing.T) {
	got, err := ReadAliases(strings.NewReader("# Debian's\nmailer-daemon: postmaster\nRoot: ops@example.com, # the " +
		"people\n\ta@example.com\n\nempty:\n"))
	if err != nil || !slices.Equal(got["root"], []string{"ops@example.com", "a@example.com"}) ||
		got["mailer-daemon"][0] != "postmaster" {
		t.Errorf("%q, %v", got, err)
	}
	for _, in := range []string{"root", " x", "a: |/bin/true", "a: /dev/null", "a: :include:/x", "a: \"|x\"",
		"a: b\na: c", ": x", "a b: c"} {
		if got, err := ReadAliases(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%q gives %q, %v", in, got, err)
		}
	}
}

func FuzzReadAliases(f *testing.F) {
	for _, seed := range []string{"root: a@b\n", "a: b,c\n d\n", "#\n\n", "a: |x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		aliases, err := ReadAliases(strings.NewReader(s))
		if err == nil {
			New(Options{Aliases: aliases})
		}
	})
}

func FuzzMessage(f *testing.F) {
	for _, seed := range []string{"From: a@localhost\r\n\r\nx", "From: \"a\\\"@localhost\r\n", "Reply-To: (((\\",
		"from:@localhost@localhost\r\n \r\n", "From: a (b) <c>, d;e:f\r\n"} {
		f.Add([]byte(seed))
	}
	r := rules(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		before := bytes.Clone(message)
		once := bytes.Clone(r.Message(message))
		if !bytes.Equal(before, message) {
			t.Fatalf("%q was changed", before)
		}
		if twice := r.Message(once); !bytes.Equal(once, twice) {
			t.Fatalf("%q gives %q, then %q", message, once, twice)
		}
		if bytes.Count(once, []byte("\n")) != bytes.Count(message, []byte("\n")) {
			t.Fatalf("%q gives %q: other lines", message, once)
		}
	})
}
