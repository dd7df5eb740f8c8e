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

// Users of this host send with addresses that they have elsewhere, all others with the
// visible domain or, without one, as they are.
func TestSenders(t *testing.T) {
	for visible, want := range map[string]string{
		"": "From: Tim <tim@provider.example>, x@localhost\r\nSender: tim@provider.example (Cron Daemon)\r\n" +
			"Reply-To: \"tim\"@localhost, tim@other.example, tim@provider.example\r\nTo: tim@localhost\r\n\r\n" +
			"From: tim@localhost\r\n",
		"example.com": "From: Tim <tim@provider.example>, x@example.com\r\n" +
			"Sender: tim@provider.example (Cron Daemon)\r\n" +
			"Reply-To: \"tim\"@example.com, tim@other.example, tim@provider.example\r\nTo: tim@localhost\r\n\r\n" +
			"From: tim@localhost\r\n",
	} {
		r, err := New(Options{LocalDomains: []string{"localhost", "db1.internal"}, VisibleDomain: visible,
			Senders: map[string]string{"Tim": "tim@provider.example"}})
		if err != nil {
			t.Fatal(err)
		}
		in := "From: Tim <TIM@db1.internal>, x@localhost\r\nSender: tim (Cron Daemon)\r\n" +
			"Reply-To: \"tim\"@localhost, tim@other.example, tim@localhost\r\nTo: tim@localhost\r\n\r\n" +
			"From: tim@localhost\r\n"
		got := r.Message([]byte(in))
		if string(got) != want {
			t.Errorf("visible %q: got\n%s\nwant\n%s", visible, got, want)
		}
		if again := r.Message(got); !bytes.Equal(again, got) {
			t.Errorf("visible %q: rewritten twice it is\n%s", visible, again)
		}
		if s := r.Sender("tim@db1.internal"); s != "tim@provider.example" {
			t.Errorf("the envelope's sender is %q", s)
		}
		if s := r.Sender("tim@other.example"); s != "tim@other.example" {
			t.Errorf("a foreign sender becomes %q", s)
		}
	}
	_, err := New(Options{LocalDomains: []string{"localhost"}, Senders: map[string]string{"a": "x",
		"b": "b@localhost"}})
	if err == nil || strings.Count(err.Error(), "sender_addresses: ") != 2 {
		t.Errorf("error %v", err)
	}
}

// The file is exim's /etc/email-addresses.
func TestReadSenders(t *testing.T) {
	got, err := ReadSenders(strings.NewReader("# comment\n\nTim: tim@provider.example\nroot:ops@example.com\n" +
		"root: second@example.com\n"))
	if err != nil || len(got) != 2 || got["tim"] != "tim@provider.example" || got["root"] != "ops@example.com" {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"tim\n", "tim:\n", ": a@b\n", "tim: a@b, c@d\n", "a b: c@d\n"} {
		if _, err := ReadSenders(strings.NewReader("x: x@y\n" + text)); err == nil || !strings.Contains(err.Error(),
			"line 2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
