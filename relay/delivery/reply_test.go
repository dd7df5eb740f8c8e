package delivery

import (
	"bufio"
	"errors"
	"io"
	"net/textproto"
	"strings"
	"testing"
)

// replyOf reads an answer from a text.
func replyOf(text string) (*reply, *bufio.Reader, error) {
	r := bufio.NewReader(strings.NewReader(text))
	got, err := (&client{r: r}).reply()
	return got, r, err
}

// Answers as RFC 5321, section 4.2.1, and RFC 2034 have them: the code, the status of the
// last line that has one, the words without them, and nothing of the next answer.
func TestReplies(t *testing.T) {
	for _, c := range []struct {
		text, status, words string
		code                int
	}{
		{"250 OK\r\n", "", "OK", 250},
		{"250\r\n", "", "", 250},
		{"250 \r\n", "", "", 250},
		{"220 mx.example.com ESMTP\n", "", "mx.example.com ESMTP", 220}, // a server without CR
		{"250-mx.example.com\r\n250-SIZE 1000\r\n250 HELP\r\n", "", "mx.example.com / SIZE 1000 / HELP", 250},
		{"550-5.1.1 no such user\r\n550 5.1.1 go away\r\n", "5.1.1", "no such user / go away", 550},
		{"550-first\r\n550 5.7.1 second\r\n", "5.7.1", "first / second", 550},
		{"451 4.3.0 later\r\n", "4.3.0", "later", 451},
		{"250 2.0.0\r\n", "2.0.0", "", 250},
		{"550 3.1.1 no class\r\n", "", "3.1.1 no class", 550},
		{"550 5.1 two numbers\r\n", "", "5.1 two numbers", 550},
		{"550 5.1.x letters\r\n", "", "5.1.x letters", 550},
		{"550 5..1 empty\r\n", "", "5..1 empty", 550},
		{"550 5.123.4567 long\r\n", "", "5.123.4567 long", 550},
		{"550 5.7.123 three digits\r\n", "5.7.123", "three digits", 550},
		{"550 \x1b[2Jcursor\x7f\xff\r\n", "", "?[2Jcursor??", 550},
	} {
		got, rest, err := replyOf(c.text + "221 next\r\n")
		if err != nil || got.code != c.code || got.status != c.status || got.text() != c.words {
			t.Errorf("%q: %+v, %v, want %d %s %q", c.text, got, err, c.code, c.status, c.words)
		}
		if next, _ := rest.ReadString('\n'); next != "221 next\r\n" {
			t.Errorf("%q: behind it is %q", c.text, next)
		}
		// The standard library's reader of answers is of the same opinion of the code.
		if !strings.HasSuffix(c.text, "\r\n") || c.text == "250\r\n" {
			continue
		}
		code, _, err := textproto.NewReader(bufio.NewReader(strings.NewReader(c.text))).ReadResponse(c.code)
		if err != nil || code != c.code {
			t.Errorf("%q: net/textproto reads %d, %v", c.text, code, err)
		}
	}
}

// What is no answer is an error with the server's words made harmless, and so is an end in
// the midst: the mail waits, and is not taken for delivered.
func TestRepliesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"": "EOF", "250": "EOF", "250-more\r\n": "EOF", "25\r\n": "expected a reply code",
		"\r\n": "expected a reply code", "hello\r\n": "expected a reply code", "250OK\r\n": "expected a reply code",
		"2x0 OK\r\n": "one reply code of 200 to 599", "199 OK\r\n": "one reply code of 200 to 599",
		"600 OK\r\n": "one reply code of 200 to 599", "-25 OK\r\n": "one reply code of 200 to 599",
		"250-a\r\n550 b\r\n": "one reply code of 200 to 599", "HTTP/1.1 400\r\n": "expected a reply code",
		"\x1b[2\r\n": `"?[2"`,
	} {
		got, _, err := replyOf(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\x1b\r\n") {
			t.Errorf("%q: %+v, %v, want %q", text, got, err, want)
		}
		if want == "EOF" && !errors.Is(err, io.EOF) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// An answer of any length is read to its end; of long lines and of many the first are
// kept, and beyond 256 KiB the server is at fault.
func TestLongReplies(t *testing.T) {
	long := "550 " + strings.Repeat("x", 100_000) + "\r\n"
	got, rest, err := replyOf(long + "221 next\r\n")
	if err != nil || got.code != 550 || len(got.text()) != maxReplyText || len(got.verbatim()) > maxReplySaid {
		t.Errorf("a long line: %v, %d octets of text", err, len(got.text()))
	}
	if next, _ := rest.ReadString('\n'); next != "221 next\r\n" {
		t.Errorf("behind a long line is %.20q", next)
	}
	many := strings.Repeat("550-5.1.1 no\r\n", 1000) + "550 5.7.1 end\r\n"
	got, rest, err = replyOf(many + "221 next\r\n")
	if err != nil || len(got.lines) != maxReplyLines || len(got.verbatim()) > maxReplySaid || got.status != "5.1.1" {
		t.Errorf("many lines: %v, %d lines, %d octets, status %s", err, len(got.lines), len(got.verbatim()), got.status)
	}
	if next, _ := rest.ReadString('\n'); next != "221 next\r\n" {
		t.Errorf("behind many lines is %.20q", next)
	}
	for n, ok := range map[int]bool{maxReply: true, maxReply + 1: false} {
		_, _, err := replyOf("550 " + strings.Repeat("x", n-len("550 \n")) + "\n")
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "answer over 262144 octets") {
			t.Errorf("%d octets: %v", n, err)
		}
	}
	endless := strings.Repeat("250-more\r\n", maxReply/10+10)
	if _, _, err := replyOf(endless); err == nil || !strings.Contains(err.Error(), "answer over") {
		t.Errorf("an endless answer: %v", err)
	}
}

// What a step expects is a class of codes; what comes otherwise says which step it was and
// what the server answered.
func TestStepsSayWhatWasAnswered(t *testing.T) {
	ok, no := &reply{code: 250}, &reply{code: 550, lines: []string{"no", "never"}}
	if err := expect("RCPT", ok, nil, 2); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{expect("RCPT", no, nil, 2), `RCPT: answered 550 "no / never"`},
		{expect("DATA", ok, nil, 3), `DATA: answered 250 ""`},
		{expect("EHLO", nil, io.ErrUnexpectedEOF, 2), "EHLO: unexpected EOF"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%v, want %s", c.err, c.want)
		}
	}
	if !errors.Is(expect("EHLO", nil, io.ErrUnexpectedEOF, 2), io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	r := &reply{said: []string{"550-5.1.1 a", "550 5.1.1 b", ""}}
	if got := r.verbatim(); got != "550-5.1.1 a\n550 5.1.1 b" {
		t.Errorf("as it was said: %q", got)
	}
}
