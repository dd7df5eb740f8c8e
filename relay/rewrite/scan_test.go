package rewrite

import (
	"fmt"
	"strings"
	"testing"
)

// Where a field holds a domain, or lacks one (RFC 5322 section 3.4): what stands in quotes,
// comments and names of groups is none, whatever it looks like.
func TestQualifyFields(t *testing.T) {
	for in, want := range map[string]string{
		"To: root":                            "To: root@example.com",
		"Cc: a,b;c":                           "Cc: a@example.com,b@example.com;c@example.com",
		"Resent-From: root":                   "Resent-From: root@example.com",
		"Resent-Sender: root":                 "Resent-Sender: root@example.com",
		"Resent-To: root":                     "Resent-To: root@example.com",
		"Resent-Cc: root":                     "Resent-Cc: root@example.com",
		"Sender: root":                        "Sender: root@example.com",
		"Reply-To: root":                      "Reply-To: root@example.com",
		"Subject: root":                       "Subject: root",
		"Bcc: root":                           "Bcc: root",
		"Toward: root":                        "Toward: root",
		"To: a.b.c":                           "To: a.b.c@example.com",
		"To: a!#$%&'*+-/=?^_`{|}~z":           "To: a!#$%&'*+-/=?^_`{|}~z@example.com",
		"To: A-Z09":                           "To: A-Z09@example.com",
		"To: two words":                       "To: two words",
		"To: \"q\" word":                      "To: \"q\" word",
		"To: word \"q\"":                      "To: word \"q\"",
		"To: \"a, b@c\" <root>":               "To: \"a, b@c\" <root@example.com>",
		"To: \"a\\\", b\" <root>":             "To: \"a\\\", b\" <root@example.com>",
		"To: \"open, root":                    "To: \"open, root",
		"To: (a, (b), c) root":                "To: (a, (b), c) root@example.com",
		"To: (a \\) b, c) root":               "To: (a \\) b, c) root@example.com",
		"To: root (open, b":                   "To: root@example.com (open, b",
		"To: (open, root":                     "To: (open, root",
		"To: () root":                         "To: () root@example.com",
		"To: <root> trailing":                 "To: <root@example.com> trailing",
		"To: Name <root>, other":              "To: Name <root@example.com>, other@example.com",
		"To: <@relay:root@x>":                 "To: <@relay:root@x>",
		"To: group: a, b; c":                  "To: group: a@example.com, b@example.com; c@example.com",
		"To: two words: a;":                   "To: two words: a@example.com;",
		"To: group:;":                         "To: group:;",
		"To: root@":                           "To: root@",
		"To: @":                               "To: @",
		"To: a@b c":                           "To: a@b c",
		"To: a@b, c":                          "To: a@b, c@example.com",
		"To: a@[192.0.2.1], c":                "To: a@[192.0.2.1], c@example.com",
		"To: \"q\"@b, c":                      "To: \"q\"@b, c@example.com",
		"To: <>, a":                           "To: <>, a@example.com",
		"To: ,,a,,":                           "To: ,,a@example.com,,",
		"To: a,\r\n\tb":                       "To: a@example.com,\r\n\tb@example.com",
		"To: =?utf-8?q?a?=":                   "To: =?utf-8?q?a?=@example.com",
		"To: =?utf-8?q?a?= <root>":            "To: =?utf-8?q?a?= <root@example.com>",
		"to:root":                             "to:root@example.com",
		"To: é":                               "To: é",
		"To: a@é.example, b":                  "To: a@é.example, b@example.com",
		"X: 1\r\nTo: a\r\nX: 2\r\nCc: b, c@d": "X: 1\r\nTo: a@example.com\r\nX: 2\r\nCc: b@example.com, c@d",
	} {
		const body = "\r\n\r\nTo: root\r\n"
		if got := string(Qualify([]byte(in+body), "example.com")); got != want+body {
			t.Errorf("%q\n got %q\nwant %q", in, got, want+body)
		}
	}
}

// Domains are replaced as a whole: not within a longer one, and not those of others.
func TestOwnDomainsAlone(t *testing.T) {
	r, err := New(Options{LocalDomains: []string{"db1.internal"}, VisibleDomain: "example.com",
		Senders: map[string]string{"tim": "tim@example.net"}})
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"a@db1.internal":                     "a@example.com",
		"a@x.db1.internal":                   "a@x.db1.internal",
		"a@db1.internal.example.org":         "a@db1.internal.example.org",
		"a@db1.internal-x":                   "a@db1.internal-x",
		"a@db1.internal(x)":                  "a@example.com(x)",
		"<a@db1.internal>":                   "<a@example.com>",
		"a@DB1.Internal, b@db1.internal":     "a@example.com, b@example.com",
		"tim@db1.internal":                   "tim@example.net",
		"Tim <TIM@db1.internal>":             "Tim <tim@example.net>",
		"tim":                                "tim@example.net",
		"tim@example.org":                    "tim@example.org",
		"xtim@db1.internal":                  "xtim@example.com",
		"tim.x@db1.internal":                 "tim.x@example.com",
		"(tim) a@db1.internal":               "(tim) a@example.com",
		"tim a@db1.internal":                 "tim a@example.com",
		"\"tim\"@db1.internal":               "\"tim\"@example.com",
		"tim @db1.internal":                  "tim @example.com",
		"<@db1.internal:tim@db1.internal>":   "<@example.com:tim@example.net>",
		"tim@db1.internal, tim, tim@db1.int": "tim@example.net, tim@example.net, tim@db1.int",
	} {
		for _, name := range []string{"From", "Sender", "Reply-To"} {
			got := string(r.Message([]byte(name + ": " + in + "\r\n\r\n")))
			if got != name+": "+want+"\r\n\r\n" {
				t.Errorf("%s: %q became %q, want %q", name, in, got, want)
			}
		}
		for _, name := range []string{"To", "Cc", "X-From", "From-X"} {
			if got := string(r.Message([]byte(name + ": " + in + "\r\n\r\n"))); got != name+": "+in+"\r\n\r\n" {
				t.Errorf("%s: %q became %q", name, in, got)
			}
		}
	}
	for in, want := range map[string]string{"tim@db1.internal": "tim@example.net",
		"TIM@DB1.INTERNAL": "tim@example.net",
		"a@db1.internal":   "a@example.com", "a@example.com": "a@example.com", "tim@example.com": "tim@example.com",
		"tim": "tim", "<tim@db1.internal>": "<tim@db1.internal>"} {
		if got := r.Sender(in); got != want {
			t.Errorf("sender %q became %q, want %q", in, got, want)
		}
	}
}

// An alias leads where aliases(5) says, each address once; a circle and a flood are refused.
func TestAliasesOfAliases(t *testing.T) {
	many := func(n int) map[string][]string {
		targets := make([]string, n)
		for i := range targets {
			targets[i] = fmt.Sprintf("r%d@example.com", i)
		}
		return map[string][]string{"all": targets}
	}
	diamond := map[string][]string{"a": {"b", "C"}, "b": {"d"}, "c": {"D", "x@example.com"}, "d": {"y@example.com"}}
	for name, tt := range map[string]struct {
		aliases map[string][]string
		of      string
		want    int    // addresses
		wrong   string // of the error
	}{
		"two ways to one":   {diamond, "a", 2, ""},
		"a name in between": {diamond, "b", 1, ""},
		"the most":          {many(1000), "all", 1000, ""},
		"one more":          {many(1001), "", 0, `"all": leads to over 1000 addresses`},
		"itself":            {map[string][]string{"A": {"a"}}, "", 0, `"a": leads to itself by way of "a"`},
		"a circle of three": {map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"a"}}, "", 0,
			`"a": leads to itself by way of "a, b, c"`},
		"an end that is empty": {map[string][]string{"a": {"b"}, "b": {}}, "", 0, "leads nowhere"},
		"no address":           {map[string][]string{"a": {"a b@c"}}, "", 0, `target "a b@c": expected an address`},
	} {
		r, err := New(Options{LocalDomains: []string{"localhost"}, Aliases: tt.aliases})
		if tt.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v, want %q", name, err, tt.wrong)
			}
			continue
		}
		if err != nil || len(r.Targets()) != len(tt.aliases) {
			t.Fatalf("%s: %v", name, err)
		}
		if got := r.Expand([]string{tt.of + "@localhost", "z@example.com"}); len(got) != tt.want+1 ||
			got[tt.want] != "z@example.com" {
			t.Errorf("%s: %d recipients", name, len(got))
		}
	}
}

// Files of aliases and senders as people write them.
func TestFilesAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]string{
		"a: b":                      "map[a:[b]]",
		"a : b , c,":                "map[a:[b c]]",
		"A: B":                      "map[a:[B]]",
		"a:b\n\tc\n d, e":           "map[a:[b c d e]]",
		"a:\n  b":                   "map[a:[b]]",
		"# x\n\n  # y\na: b # c, d": "map[a:[b]]",
		"a: b\n\n c":                "map[a:[b c]]",
		"a:":                        "map[a:[]]",
		"":                          "map[]",
	} {
		if got, err := ReadAliases(strings.NewReader(text)); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"# x\na: b\nc":             "line 3: expected",
		"a: b\n\nA: c":             `line 3: "a" is there twice`,
		"\n  x":                    "line 2: continues no line",
		"a: b, |/bin/x":            `line 1: "|/bin/x": expected addresses`,
		"a: b\n /x":                `line 2: "/x"`,
		"a: \\b":                   `line 1: "\\b"`,
		"a\tb: c":                  "line 1: expected",
		"a,b: c":                   "line 1: expected",
		"\"a\": c":                 "line 1: expected",
		strings.Repeat("x", 1<<17): "too long",
	} {
		if got, err := ReadAliases(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"a: b@c":              "map[a:b@c]",
		" A :  b@c ":          "map[a:b@c]",
		"a: b@c\na: d@e":      "map[a:b@c]",
		"a: b:c":              "map[a:b:c]",
		"#a: b@c\n\n\td: e@f": "map[d:e@f]",
	} {
		if got, err := ReadSenders(strings.NewReader(text)); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{"a: b@c\n\na b: c": "line 3", "a: \"b\"@c": "line 1",
		"a,d: b@c": "line 1",
		"a: b\tc":  "line 1", strings.Repeat("x", 1<<17): "too long"} {
		if got, err := ReadSenders(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v, want %q", text, got, err, want)
		}
	}
}

// Rules without anything to do give what they got, not a copy.
func TestNothingToDo(t *testing.T) {
	empty, err := New(Options{LocalDomains: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	m := []byte("From: a@localhost\r\n\r\n")
	for _, r := range []*Rules{nil, empty} {
		if got := r.Message(m); &got[0] != &m[0] || r.Sender("a@localhost") != "a@localhost" {
			t.Errorf("%+v: %q", r, got)
		}
		if r.Local("localhost") != (r != nil) || r.Local("example.com") {
			t.Errorf("%+v: local domains", r)
		}
	}
	if got := Qualify(m, "example.com"); &got[0] != &m[0] {
		t.Error("a message with nothing to qualify is copied")
	}
}
