package sendmail

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/relay/address"
)

// relayed is a relay whose answers a test gives by the beginning of the line that they
// answer; what it has no answer for is taken. It returns its address, and what it has heard
// once the client is gone.
func relayed(t *testing.T, answers map[string]string) (addr string, heard <-chan []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	done := make(chan []string, 1)
	answer := func(line, otherwise string) string {
		for begin, text := range answers {
			if strings.HasPrefix(line, begin) {
				return text
			}
		}
		return otherwise
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		var lines []string
		defer func() { done <- lines }()
		io.WriteString(c, answer("connect", "220 relay.example.com ESMTP")+"\r\n")
		data := false
		for r := bufio.NewReader(c); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimRight(line, "\r\n")
			lines = append(lines, line)
			said := "250 2.0.0 OK"
			switch {
			case data && line != ".":
				continue
			case data:
				data, said = false, answer("end", "250 2.0.0 OK id=1")
			case line == "DATA":
				said = answer(line, "354 go on")
				data = said[0] == '3'
			default:
				said = answer(line, said)
			}
			if said == "" {
				return
			}
			io.WriteString(c, said+"\r\n")
		}
	}()
	return l.Addr().String(), done
}

// mailOf is a mail to some recipients.
func mailOf(t *testing.T, to ...string) *Mail {
	t.Helper()
	m := &Mail{Message: []byte("Subject: x\r\n\r\n.dot\r\n")}
	var err error
	if m.From, err = address.Parse("cron@example.com"); err != nil {
		t.Fatal(err)
	}
	for _, s := range to {
		a, err := address.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		m.To = append(m.To, a)
	}
	return m
}

// What the relay answers is what the caller learns: sysexits' codes tell cron and mail(1)
// whether the mail is lost, or to be tried again.
func TestSubmitTellsTheAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		answers map[string]string
		code    Code
		say     string
	}{
		"taken":               {nil, OK, ""},
		"no such user":        {map[string]string{"RCPT": "550 5.1.1 nobody"}, NoUser, "<a@example.com>: ref"},
		"bad mailbox syntax":  {map[string]string{"RCPT": "501 5.1.3 what is that"}, DataErr, "501 what is that"},
		"not allowed":         {map[string]string{"RCPT": "550 5.7.1 no relaying"}, NoPerm, "550 no relaying"},
		"refused for good":    {map[string]string{"RCPT": "550 5.2.1 closed"}, Unavailable, "550 closed"},
		"later":               {map[string]string{"RCPT": "451 4.7.1 later"}, TempFail, "451 later"},
		"sender refused":      {map[string]string{"MAIL": "550 5.7.1 not you"}, NoPerm, "sender <cron@example.com>"},
		"too large":           {map[string]string{"DATA": "552 5.3.4 too large"}, DataErr, "message: refused"},
		"content":             {map[string]string{"end": "554 5.6.0 not such a message"}, DataErr, "554 not such"},
		"lines of an answer":  {map[string]string{"end": "451-4.3.0 one\r\n451 4.3.0 two"}, TempFail, "one two"},
		"broken at the end":   {map[string]string{"MAIL": ""}, TempFail, "the connection to the relay broke"},
		"greeted with refuse": {map[string]string{"connect": "554 5.7.1 go away"}, NoPerm, "connection: refused"},
		"greeted with later":  {map[string]string{"connect": "421 4.3.2 busy"}, TempFail, "does not answer"},
	} {
		addr, _ := relayed(t, tt.answers)
		r := &Relay{Addr: addr, Hostname: "host.example.com"}
		answer, err := r.Submit(t.Context(), &Options{}, mailOf(t, "a@example.com"))
		code, coded := OK, new(Error)
		if errors.As(err, &coded) {
			code = coded.Code
		}
		if code != tt.code || (err != nil) != (tt.code != OK) ||
			err != nil && !strings.Contains(err.Error(), tt.say) {
			t.Errorf("%s: %v (%v), want %v and %q", name, err, code, tt.code, tt.say)
		}
		if tt.code == OK && answer != "2.0.0 OK id=1" && answer != "OK id=1" {
			t.Errorf("%s: the answer is %q", name, answer)
		}
		if unreachable := errors.Is(err, ErrUnreachable); unreachable != (name == "greeted with later") {
			t.Errorf("%s: unreachable %v", name, unreachable)
		}
	}
}

// A refused recipient is told, and the others get the mail.
func TestSubmitToSomeOfThem(t *testing.T) {
	addr, heard := relayed(t, map[string]string{"RCPT TO:<b@": "550 5.1.1 no such user"})
	r := &Relay{Addr: addr, Hostname: "host.example.com"}
	_, err := r.Submit(t.Context(), &Options{}, mailOf(t, "a@example.com", "b@example.com", "c@example.com"))
	if coded := new(Error); !errors.As(err, &coded) || coded.Code != NoUser ||
		!strings.Contains(err.Error(), "<b@example.com>") {
		t.Errorf("%v", err)
	}
	lines := <-heard
	for _, want := range []string{"EHLO host.example.com", "RCPT TO:<a@example.com>", "RCPT TO:<c@example.com>",
		"..dot", "."} {
		if !slices.Contains(lines, want) {
			t.Errorf("the relay has not heard %q: %q", want, lines)
		}
	}
}

// Wishes for notifications reach a relay that knows them, and one that does not is not
// asked for what it would refuse (RFC 3461, section 4).
func TestSubmitAsksForNotifications(t *testing.T) {
	o := &Options{Notify: []string{"FAILURE", "DELAY"}, Return: "HDRS", EnvelopeID: "x1"}
	for ehlo, want := range map[string]bool{"250-relay\r\n250 DSN": true, "250 relay": false} {
		addr, heard := relayed(t, map[string]string{"EHLO": ehlo})
		r := &Relay{Addr: addr, Hostname: "host.example.com"}
		if _, err := r.Submit(t.Context(), o, mailOf(t, "a@example.com")); err != nil {
			t.Fatal(err)
		}
		said := strings.Join(<-heard, "\n")
		for _, word := range []string{"RET=HDRS", "ENVID=x1", "NOTIFY=FAILURE,DELAY"} {
			if strings.Contains(said, word) != want {
				t.Errorf("EHLO %q: %s is told: %v\n%s", ehlo, word, !want, said)
			}
		}
	}
}

// Without a relay the caller learns that nobody has the mail; a caller that gives up is
// not kept for as long as patience lasts.
func TestSubmitWithoutARelay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := &Relay{Addr: l.Addr().String(), Hostname: "host.example.com", Patience: 1}
	_, err = r.Submit(t.Context(), &Options{}, mailOf(t, "a@example.com"))
	if coded := new(Error); !errors.As(err, &coded) || coded.Code != TempFail || !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r.Patience = 1 << 62
	if _, err = r.Submit(gone, &Options{}, mailOf(t, "a@example.com")); !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v", err)
	}
}

func TestCodesHaveTheirNames(t *testing.T) {
	for code, want := range map[Code]string{TempFail: "EX_TEMPFAIL", NoUser: "EX_NOUSER", OK: "0", 71: "71"} {
		if got := code.String(); got != want {
			t.Errorf("%d is %q, want %q", int(code), got, want)
		}
	}
}

// Names become words of a trace field: nothing of them can begin another field.
func TestWord(t *testing.T) {
	for name, want := range map[string]string{"db-1.example_com": "db-1.example_com", "a b\r\nX: y": "a-b--X--y",
		"": "unknown"} {
		if got := word(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	for r, want := range map[rune]rune{'a': 'a', '\n': -1, 0x7f: -1, 'é': 'é'} {
		if got := printable(r); got != want {
			t.Errorf("%q is %q, want %q", r, got, want)
		}
	}
}
