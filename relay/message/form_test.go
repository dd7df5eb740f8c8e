package message

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/mail"
	"strings"
	"testing"
	"time"
)

// Header fields are those that net/mail reads: names, folded values and where the body
// begins.
func TestFieldsAreThoseOfNetMail(t *testing.T) {
	for _, m := range []string{
		"From: a@example.com\r\nSubject: one\r\n\r\nbody\r\n",
		"Subject: one\r\n two\r\n\tthree\r\nTo: b@example.com\r\n\r\nTo: not@example.com\r\n",
		"A: 1\r\n\r\n\r\nbody after an empty line",
		"A: 1\r\nB:\r\nC:   spaces   \r\n\r\n",
		"X: a: b: c\r\n\r\nx",
	} {
		want, err := mail.ReadMessage(strings.NewReader(m))
		if err != nil {
			t.Fatalf("%q: %v", m, err)
		}
		head, rest := Split([]byte(m))
		n := 0
		for field := range Fields(head) {
			n++
			value := strings.NewReplacer("\r\n ", " ", "\r\n\t", " ").Replace(string(Value(field)))
			if got := want.Header.Get(string(Name(field))); got != value {
				t.Errorf("%q: %s is %q, net/mail reads %q", m, Name(field), value, got)
			}
		}
		if n != len(want.Header) {
			t.Errorf("%q: %d fields, net/mail reads %d", m, n, len(want.Header))
		}
		body, _ := io.ReadAll(want.Body)
		if got, ok := bytes.CutPrefix(rest, []byte("\r\n")); !ok || string(got) != string(body) {
			t.Errorf("%q: the rest is %q, net/mail's body %q", m, rest, body)
		}
		if string(head)+string(rest) != m {
			t.Errorf("%q is taken apart as %q and %q", m, head, rest)
		}
	}
}

// What has not the form of a field is body, and nothing of it is lost: programs that
// pipe text without a header send it too.
func TestWhereTheHeaderEnds(t *testing.T) {
	for m, want := range map[string][2]string{
		"":                          {"", "\r\n"},
		"\r\nbody":                  {"", "\r\nbody"},
		"just text":                 {"", "\r\njust text"},
		"A: 1":                      {"A: 1", "\r\n"},
		"A: 1\r\n":                  {"A: 1\r\n", "\r\n"},
		"A: 1\r\nno field\r\nB: 2":  {"A: 1\r\n", "\r\nno field\r\nB: 2"},
		"A: 1\r\nb c: 2\r\n":        {"A: 1\r\n", "\r\nb c: 2\r\n"}, // a space in the name
		"A: 1\r\n: 2\r\n":           {"A: 1\r\n", "\r\n: 2\r\n"},
		"A: 1\r\nb\x7f: 2\r\n":      {"A: 1\r\n", "\r\nb\x7f: 2\r\n"},
		"A: 1\r\nb\xc3\xa9: 2\r\n":  {"A: 1\r\n", "\r\nb\xc3\xa9: 2\r\n"},
		"A \t: 1\r\n\r\nx":          {"A \t: 1\r\n", "\r\nx"}, // the obsolete form
		"A: 1\n\nbare":              {"A: 1\n\nbare", "\r\n"}, // a LF alone ends no line
		"A: 1\r\n \r\n\r\nbehind a": {"A: 1\r\n \r\n", "\r\nbehind a"},
	} {
		if head, rest := Split([]byte(m)); string(head) != want[0] || string(rest) != want[1] {
			t.Errorf("%q is taken apart as %q and %q, want %q", m, head, rest, want)
		}
	}
}

// A field is known by its name in whatever case, and by its whole name.
func TestNamesOfFields(t *testing.T) {
	for field, want := range map[string]string{"Message-ID: <a@b>\r\n": "Message-ID", "MESSAGE-id : x": "MESSAGE-id",
		"no colon": "", ":": "", "a b: c": "", "~: x": "~", "!: x": "!", "\x1f: x": "", "x\x7f: y": ""} {
		if got := string(Name([]byte(field))); got != want {
			t.Errorf("the name of %q is %q, want %q", field, got, want)
		}
	}
	for _, c := range []struct {
		field string
		want  bool
	}{{"Message-ID: 1", true}, {"message-id: 1", true}, {"Message-I: 1", false}, {"Message-IDs: 1", false},
		{"Resent-Message-ID: 1", false}, {"message-id", false}} {
		if Is([]byte(c.field), "x", "message-id") != c.want {
			t.Errorf("%q is taken for a message-id: %v", c.field, !c.want)
		}
	}
	for m, want := range map[string]string{
		"Subject: x\r\nMessage-Id:  <1@example.com> \r\n\r\n": "<1@example.com>",
		"Subject: x\r\n\r\nMessage-Id: <1@example.com>\r\n":   "", // in the body
		"": "",
	} {
		if got := ID([]byte(m)); got != want {
			t.Errorf("the id of %q is %q, want %q", m, got, want)
		}
	}
}

// Lines of 998 octets are taken by every server, those of 999 by some (RFC 5322, section
// 2.1.1), wherever in the mail they stand.
func TestLongLinesToTheOctet(t *testing.T) {
	line := func(n int) string { return strings.Repeat("x", n) + "\r\n" }
	for what, c := range map[string]struct {
		text string
		long bool
	}{
		"nothing": {"", false}, "998": {line(998), false}, "999": {line(999), true},
		"998 without an end": {strings.Repeat("x", 998), false}, "999 without an end": {strings.Repeat("x", 999), true},
		"many of 998":         {strings.Repeat(line(998), 5), false},
		"999 behind others":   {line(998) + line(10) + line(999), true},
		"999 before others":   {line(999) + line(10), true},
		"the last without":    {line(998) + strings.Repeat("x", 999), true},
		"many short":          {strings.Repeat(line(3), 1000), false},
		"an empty line first": {"\r\n" + line(998), false},
	} {
		if got := HasLongLine([]byte(c.text)); got != c.long {
			t.Errorf("%s: long is %v", what, got)
		}
	}
}

// A CR or LF alone is what one server reads as a line's end and another does not: with it
// a second mail is smuggled in.
func TestBareCRAndLF(t *testing.T) {
	for text, want := range map[string]bool{"": false, "a\r\nb\r\n": false, "\r\n": false, "a\nb": true, "a\rb": true,
		"\n\r": true, "a\r\n\n": true, "a\r\r\n": true, "a\r\n.\nb\r\n": true, "\r": true, "\n": true,
		"a\r\n\rb\nc": true} {
		if got := HasBare([]byte(text)); got != want {
			t.Errorf("%q: bare is %v", text, got)
		}
	}
}

// Folding changes nothing but white space: what is unfolded (RFC 5322, section 2.2.3) is
// the field as it was, no line is longer than it need be, and none is white space alone,
// which would end the header for some servers.
func TestFoldingIsUndone(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	unfold := strings.NewReplacer("\r\n ", " ", "\r\n\t", "\t")
	for range 300 {
		field := []byte("References:")
		for len(field) < 500+rng.IntN(6000) {
			field = append(field, " \t"[rng.IntN(2)])
			if rng.IntN(20) == 0 {
				field = append(field, strings.Repeat(" ", rng.IntN(1200))...)
			}
			field = append(field, strings.Repeat("w", 1+rng.IntN(120))...)
		}
		field = append(field, "\r\n"...)
		folded := Fold([]byte("Before: 1\r\n"), field)
		got, ok := bytes.CutPrefix(folded, []byte("Before: 1\r\n"))
		if !ok || unfold.Replace(string(got)) != string(field) {
			t.Fatalf("%q\nis folded as\n%q", field, got)
		}
		for i, line := range bytes.SplitAfter(got[:len(got)-2], crlf) {
			line = bytes.TrimSuffix(line, crlf)
			if i > 0 && (line[0] != ' ' && line[0] != '\t' || len(bytes.TrimSpace(line)) == 0) {
				t.Fatalf("line %d is %q", i, line)
			}
			if len(line) > MaxLine && len(bytes.Fields(line[:MaxLine])) > 2 {
				t.Fatalf("line %d of %d octets could have been folded: %q", i, len(line), line)
			}
		}
	}
	word := strings.Repeat("w", 1500)
	for field, want := range map[string]string{
		"X: short\r\n":                 "X: short\r\n",
		"X: " + word + "\r\n":          "X: " + word + "\r\n", // nowhere to fold
		"X: a " + word + "\r\n":        "X: a\r\n " + word + "\r\n",
		"X: a " + word:                 "X: a\r\n " + word,
		"X: a\r\n b " + word + "\r\n":  "X: a\r\n b\r\n " + word + "\r\n",
		"X: " + word[:995] + "\r\n":    "X: " + word[:995] + "\r\n", // 998 octets
		"X: " + word[:994] + " b\r\n":  "X: " + word[:994] + "\r\n b\r\n",
		"X: a " + word[:993] + " \r\n": "X: a\r\n " + word[:993] + " \r\n", // no line of a space
	} {
		if got := string(Fold(nil, []byte(field))); got != want {
			t.Errorf("%.20q… of %d octets is folded as %.40q… of %d", field, len(field), got, len(got))
		}
	}
}

// A date is one that net/mail reads as the same second, in every zone.
func TestDatesAreRead(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, zone := range []int{0, 3600, -3600 * 8, 5*3600 + 1800, -(3*3600 + 1800), 14 * 3600} {
		text := Date(at.In(time.FixedZone("", zone)))
		got, err := mail.ParseDate(text)
		if err != nil || !got.Equal(at) {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
}
