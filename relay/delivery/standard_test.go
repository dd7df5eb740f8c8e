package delivery

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/smtp"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listen is the server's side of a login: it says what is in answers, each to one line, and
// returns the lines.
func listen(conn net.Conn, answers ...string) <-chan []string {
	said := make(chan []string, 1)
	go func() {
		var lines []string
		r := bufio.NewReader(conn)
		for _, answer := range answers {
			if answer, greeting := strings.CutPrefix(answer, "!"); greeting {
				fmt.Fprint(conn, answer+"\r\n")
				continue
			}
			line, err := r.ReadString('\n')
			if err != nil {
				break
			}
			lines = append(lines, line)
			fmt.Fprint(conn, answer+"\r\n")
		}
		said <- lines
	}()
	return said
}

// ours logs in by this package and returns what the server has seen.
func ours(t *testing.T, mechanism, user, secret string, answers ...string) []string {
	t.Helper()
	mine, theirs := net.Pipe()
	defer mine.Close()
	defer theirs.Close()
	said := listen(theirs, answers...)
	d := dialer{authInClear: true, credentials: func(Smarthost) (*Credentials, error) {
		return &Credentials{Username: user, Mechanism: mechanism,
			Password: func() (string, error) { return secret, nil }}, nil
	}}
	c := &client{conn: mine, r: bufio.NewReader(mine), w: bufio.NewWriter(mine), patience: time.Minute,
		secrets: &secrets{}, ext: map[string]string{"AUTH": mechanism}}
	if err := d.authenticate(c, Smarthost{}); err != nil {
		t.Errorf("%s of %q, %q: %v", mechanism, user, secret, err)
	}
	return <-said
}

// theirs logs in by net/smtp, without what it says before.
func theirs(t *testing.T, auth smtp.Auth, answers ...string) []string {
	t.Helper()
	mine, server := net.Pipe()
	defer mine.Close()
	defer server.Close()
	said := listen(server, append([]string{"!220 mx ESMTP", "250-mx\r\n250 AUTH PLAIN CRAM-MD5"}, answers...)...)
	c, err := smtp.NewClient(mine, "localhost")
	if err == nil {
		err = c.Auth(auth)
	}
	if err != nil {
		t.Fatal(err)
	}
	return (<-said)[1:]
}

// A login is, to the octet, that of the standard library, whatever name and password are.
func TestLoginsAreTheStandardLibrarys(t *testing.T) {
	rng := rand.New(rand.NewPCG(71, 72))
	words := []string{"tim", "tim@example.com", "a b", "c:d", "\"", "é", "日本", "\x7f", "\x01", "%00", "=", "+",
		"\\", "'"}
	random := func() string {
		text := ""
		for range 1 + rng.IntN(12) {
			text += words[rng.IntN(len(words))]
		}
		return text
	}
	for range 30 {
		user, secret := random(), random()
		got := ours(t, "PLAIN", user, secret, "235 2.7.0 ok")
		want := theirs(t, smtp.PlainAuth("", user, secret, "localhost"), "235 2.7.0 ok")
		if strings.Join(got, "") != strings.Join(want, "") {
			t.Fatalf("PLAIN of %q, %q:\n%q\n%q", user, secret, got, want)
		}
		challenge := "334 " + base64.StdEncoding.EncodeToString([]byte("<"+random()+"@mx>"))
		got = ours(t, "CRAM-MD5", user, secret, challenge, "235 2.7.0 ok")
		want = theirs(t, smtp.CRAMMD5Auth(user, secret), challenge, "235 2.7.0 ok")
		if strings.Join(got, "") != strings.Join(want, "") {
			t.Fatalf("CRAM-MD5 of %q, %q:\n%q\n%q", user, secret, got, want)
		}
		// LOGIN, which has no specification, is name and password, each in base64.
		got = ours(t, "LOGIN", user, secret, "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok")
		for i, want := range []string{"AUTH LOGIN", base64.StdEncoding.EncodeToString([]byte(user)),
			base64.StdEncoding.EncodeToString([]byte(secret))} {
			if got[i] != want+"\r\n" {
				t.Fatalf("LOGIN of %q, %q: %q", user, secret, got)
			}
		}
	}
}

// An answer has the code and the lines that net/textproto reads of it.
func TestAnswersAreTextprotos(t *testing.T) {
	rng := rand.New(rand.NewPCG(73, 74))
	words := []string{"ok", "5.7.1", "mx.example.com", "-", " ", "250", "<a@b>", "queued as 1", "4.x", ".", "\t", ";"}
	for range 400 {
		code := 200 + rng.IntN(400)
		var lines []string
		for range 1 + rng.IntN(6) {
			text := ""
			for range rng.IntN(5) {
				text += words[rng.IntN(len(words))]
			}
			lines = append(lines, text)
		}
		var wire strings.Builder
		for i, text := range lines {
			separator := "-"
			if i == len(lines)-1 {
				separator = " "
			}
			fmt.Fprintf(&wire, "%d%s%s\r\n", code, separator, text)
		}
		got, _, err := replyOf(wire.String())
		wantCode, want, wantErr := textproto.NewReader(bufio.NewReader(strings.NewReader(wire.String()))).ReadResponse(0)
		if (err == nil) != (wantErr == nil) || err != nil {
			t.Fatalf("%q: %v, net/textproto: %v", wire.String(), err, wantErr)
		}
		var said []string
		for _, line := range got.said {
			said = append(said, strings.TrimRight(line[4:], " ?")) // a tab is not printable
		}
		for i, line := range strings.Split(want, "\n") {
			if i >= len(said) ||
				strings.ReplaceAll(strings.TrimRight(line, " \t"), "\t", "?") != strings.TrimRight(said[i], " ?") &&
					strings.TrimRight(strings.ReplaceAll(line, "\t", "?"), " ?") != said[i] {
				t.Fatalf("%q: line %d is %q, net/textproto reads %q", wire.String(), i, said, want)
			}
		}
		if got.code != wantCode || len(said) != len(lines) || got.first != lines[0] {
			t.Fatalf("%q: code %d of %d lines, net/textproto: %d", wire.String(), got.code, len(said), wantCode)
		}
	}
}

// Whatever a server makes of a secret, and puts around it, four octets in a row of it cannot
// be got back from what is logged.
func TestSecretsCannotBeReadBack(t *testing.T) {
	const letters = "XYZQJKVW0189!~"
	rng := rand.New(rand.NewPCG(75, 76))
	random := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[rng.IntN(len(letters))]
		}
		return string(b)
	}
	for round := range 120 {
		secret := random(8 + rng.IntN(40))
		var s secrets
		s.addSecrets(secret)
		before, behind := strings.Repeat("-", rng.IntN(4)), strings.Repeat(".", rng.IntN(4))
		part := secret[rng.IntN(3) : len(secret)-rng.IntN(3)]
		for name, echoed := range map[string]string{
			"as it is":      before + part + behind,
			"in lower case": strings.ToLower(part),
			"in base64":     base64.StdEncoding.EncodeToString([]byte(before + secret + behind)),
			"without pad":   base64.RawURLEncoding.EncodeToString([]byte(before + secret + behind)),
			"in hex":        hex.EncodeToString([]byte(before + part)),
			"in upper hex":  strings.ToUpper(hex.EncodeToString([]byte(part + behind))),
			"in a URL":      url.QueryEscape(part),
			"twice":         part + " " + part,
		} {
			got := s.hide("535 5.7.8 <" + echoed + "> is wrong")
			if !strings.HasPrefix(got, "535 5.7.8 <") || !strings.HasSuffix(got, "> is wrong") {
				t.Fatalf("round %d, %s: too much is hidden: %q", round, name, got)
			}
			for _, text := range readings(got) {
				for i := range len(secret) - 4 {
					if strings.Contains(strings.ToUpper(text), strings.ToUpper(secret[i:i+5])) {
						t.Fatalf("round %d, %s: %q of %q is in %q", round, name, secret[i:i+5], secret, got)
					}
				}
			}
		}
	}
}

// readings are what somebody may read out of a text: itself, and what its runs of letters
// and digits are in base64 and in hex, from any place on.
func readings(text string) []string {
	all := []string{text}
	if plain, err := url.QueryUnescape(text); err == nil {
		all = append(all, plain)
	}
	for _, run := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" <>[]%.", r) }) {
		for from := range min(4, len(run)) {
			rest := run[from:]
			if b, err := base64.RawStdEncoding.DecodeString(rest[:len(rest)/4*4]); err == nil {
				all = append(all, string(b))
			}
			if b, err := hex.DecodeString(rest[:len(rest)/2*2]); err == nil {
				all = append(all, string(b))
			}
		}
	}
	return all
}

// What a smarthost offers and what is configured decide the mechanism; in clear one that
// hides the password comes first.
func TestChoiceOfMechanism(t *testing.T) {
	token := Credentials{TokenFile: "x"}
	for _, c := range []struct {
		cred      Credentials
		offered   string
		encrypted bool
		want      string // "" is an error
	}{
		{Credentials{}, "PLAIN LOGIN CRAM-MD5", true, "PLAIN"},
		{Credentials{}, "plain login", true, "PLAIN"},
		{Credentials{}, "LOGIN CRAM-MD5", true, "LOGIN"},
		{Credentials{}, "CRAM-MD5", true, "CRAM-MD5"},
		{Credentials{}, "PLAIN LOGIN CRAM-MD5", false, "CRAM-MD5"},
		{Credentials{}, "LOGIN PLAIN", false, "PLAIN"},
		{Credentials{}, "LOGIN", false, "LOGIN"},
		{Credentials{}, "XOAUTH2 NTLM PLAINX", true, ""},
		{Credentials{}, "", true, ""},
		{token, "PLAIN XOAUTH2", true, "XOAUTH2"},
		{token, "PLAIN LOGIN", true, ""},
		{Credentials{Mechanism: "LOGIN"}, "PLAIN LOGIN", true, "LOGIN"},
		{Credentials{Mechanism: "LOGIN"}, "PLAIN CRAM-MD5", false, ""},
		{Credentials{Mechanism: "PLAIN", TokenFile: "x"}, "PLAIN XOAUTH2", true, "PLAIN"},
	} {
		got, err := c.cred.choose(c.offered, c.encrypted)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%+v, %q offered, encrypted %v: %q, %v, want %q", c.cred, c.offered, c.encrypted, got, err, c.want)
		}
		if err != nil && (!strings.Contains(err.Error(), "the smarthost offers") ||
			!strings.Contains(err.Error(), "expected one of")) {
			t.Errorf("%v", err)
		}
	}
}

// A token file has one token, of at most 8 KiB, and perhaps a line end.
func TestTokenFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	for content, want := range map[string]string{
		"ya29.x": "ya29.x", "ya29.x\n": "ya29.x", "  ya29.x\r\n\n": "ya29.x", "": "", "\n": "", "a b": "", "a\nb": "",
		"a\x01b": "", "a\x00": "", strings.Repeat("x", maxToken): strings.Repeat("x", maxToken),
		strings.Repeat("x", maxToken+1): "", strings.Repeat("x", 3*maxToken): "",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		cred := Credentials{TokenFile: name}
		got, err := cred.secret("XOAUTH2")
		if got != want || (err == nil) != (want != "") || err != nil &&
			!strings.Contains(err.Error(), "smarthost_token_file") {
			t.Errorf("%.20q: %.20q, %v", content, got, err)
		}
		if err != nil && len(content) > 3 && strings.Contains(err.Error(), content) {
			t.Errorf("the token is in the message: %v", err)
		}
	}
	missing := Credentials{TokenFile: name + "x"}
	if _, err := missing.secret("XOAUTH2"); !os.IsNotExist(unwrapped(err)) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := (&Credentials{}).secret("PLAIN"); err == nil || err.Error() != "no password is given" {
		t.Errorf("no password: %v", err)
	}
}

// unwrapped gives the innermost error.
func unwrapped(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil {
			return err
		}
		err = inner.Unwrap()
	}
}

// A file of passwords is asked from its first line on, hosts without regard to case; a star
// stands for the front of a name alone.
func TestLinesOfPasswords(t *testing.T) {
	const text = "# first\nMail.Example.com:one:p1\n*.example.com:two:p2\nmail.example.com:three:p3\n" +
		"*.example.net:four:p:4:#\nhost*:five:p5\n  spaced.example : six : p6\n*:last:\n"
	f, err := ReadPasswords(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"mail.example.com": "one p1", "MAIL.EXAMPLE.COM": "one p1",
		"a.mail.example.com": "two p2", ".example.com": "two p2", "example.com": "last ", "x.example.net": "four p:4:#",
		"host*": "five p5", "hostess": "last ", "spaced.example": "last ", "": "last "} {
		cred := f.Find(host)
		if cred == nil {
			t.Errorf("%q has none", host)
			continue
		}
		if p, err := cred.Password(); err != nil || cred.Username+" "+p != want {
			t.Errorf("%q: %q %q, %v, want %q", host, cred.Username, p, err, want)
		}
	}
	if cred := f[:6].Find("elsewhere"); cred != nil {
		t.Errorf("a host that no line has: %+v", cred)
	}
}

// The DNS is asked again later and later; asking sooner, as Retry does, makes no wait longer.
func TestWaitsForTheDNS(t *testing.T) {
	var l lookupState
	at := time.Unix(1_700_000_000, 0)
	for n, d := range schedule {
		l.fail(net.UnknownNetworkError("x"), at)
		wait := l.until.Sub(at)
		if l.failures != n+1 || wait < d*8/10 || wait > d*12/10 || !l.since.Equal(time.Unix(1_700_000_000, 0)) ||
			l.err == nil {
			t.Fatalf("failure %d: %+v, %s, want about %s", n+1, l, wait, d)
		}
		until := l.until
		l.until = at // Retry
		l.fail(net.UnknownNetworkError("x"), at.Add(wait/2))
		if l.failures != n+1 || !l.until.Equal(until) {
			t.Fatalf("failure %d, asked again too soon: %d failures, until %s, want %s", n+1, l.failures, l.until, until)
		}
		at = until
	}
	l.fail(net.UnknownNetworkError("x"), at)
	last := schedule[len(schedule)-1]
	if wait := l.until.Sub(at); wait < last*8/10 || wait > last*12/10 {
		t.Errorf("behind the last step: %s", wait)
	}
}

// Smarthosts as people write them, and the name that logs and lists have for each.
func TestNamesOfSmarthosts(t *testing.T) {
	for text, want := range map[string]string{
		"smtp://mail.example.com":             "mail.example.com:25",
		"smtp://mail.example.com:587/":        "mail.example.com:587",
		"smtps://mail.example.com":            "mail.example.com:465",
		"smtp://[2001:db8::1]":                "[2001:db8::1]:25",
		"smtp://192.0.2.1:26":                 "192.0.2.1:26",
		"mx://":                               ":25",
		"mx:///":                              ":25",
		"mx://:2525":                          ":2525",
		"maildir:///home/{user}/Maildir":      "maildir:///home/{user}/Maildir",
		"mbox:///var/mail/{user}":             "mbox:///var/mail/{user}",
		"file:///var/log/mail.jsonl":          "file:///var/log/mail.jsonl",
		"smtp://":                             "",
		"smtp://user@mail.example.com":        "",
		"smtp://mail.example.com/path":        "",
		"smtp://mail.example.com?tls=none":    "",
		"smtp://mail.example.com#x":           "",
		"SMTP:mail.example.com":               "",
		"http://mail.example.com":             "",
		"mail.example.com:25":                 "",
		"mx://example.com":                    "",
		"mx://:0":                             "",
		"mx://:65536":                         "",
		"mx://:x":                             "",
		"maildir://relative/path":             "",
		"maildir:///":                         "",
		"maildir:///a/..":                     "",
		"mbox:///a\nb":                        "",
		"":                                    "",
		"smtp://mail.example.com:587:25":      "",
		"smtp://mail.example.com:99999999999": "",
		"smtp://mail.example.com:65536":       "",
		"smtps://mail.example.com:0":          "",
		"smtp://mail.example.com:65535":       "mail.example.com:65535",
		"smtp://mail_relay:1":                 "mail_relay:1",
		"smtp://[fe80::1%25eth0]:25":          "[fe80::1%eth0]:25",
	} {
		h, err := ParseSmarthost(text)
		if err == nil && want == "" || err != nil && want != "" || err == nil && h.name() != want {
			t.Errorf("%q: %+v, %v, want %q", text, h, err, want)
		}
		if err != nil && (!strings.Contains(err.Error(), fmt.Sprintf("smarthost %q: expected", text))) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for want, h := range map[string]Smarthost{"mx.example.com[192.0.2.1]:25": {Host: "mx.example.com",
		Addr: "192.0.2.1:25"}, "mx.example.com[2001:db8::1]:25": {Host: "mx.example.com", Addr: "[2001:db8::1]:25"},
		"192.0.2.1:25": {Host: "192.0.2.1", Addr: "192.0.2.1:25"}, "none": {Host: "x", Addr: "none"}} {
		if h.name() != want {
			t.Errorf("%q, want %q", h.name(), want)
		}
	}
}
