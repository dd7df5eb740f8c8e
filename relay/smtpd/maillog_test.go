package smtpd

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/message"
	"github.com/flowgraf/flowgraf/relay/monitor"
)

// journal is a log that keeps what is told at the default level.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Errorf(format string, args ...any) { j.Infof(format, args...) }
func (j *journal) Warnf(format string, args ...any)  { j.Infof(format, args...) }
func (j *journal) Debugf(string, ...any)             {}
func (j *journal) Infof(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}

// Each arrival and each refusal is one line.
func TestArrivalsAndRefusalsAreLogged(t *testing.T) {
	log := &journal{}
	s, _ := serve(t, func(o *Options) { o.Monitor, o.MaxMessageSize = monitor.New(log, nil), 10_000 })
	p := dial(t, s)
	p.expect("220")
	p.send("EHLO db1\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<a%b@example.com>\r\nRCPT " +
		"TO:<c@example.com>\r\nDATA\r\n")
	for _, want := range []string{"250", "250", "550", "553", "250", "354"} {
		p.expect(want)
	}
	p.send("Subject: x\r\n\r\n.\r\n")
	p.expect("250 2.0.0 OK id=0a0b0c0d-1")
	p.data()
	p.send(strings.Repeat("y", 999) + "\r\n.\r\n")
	p.expect("554 5.6.0")
	want := []string{
		`refused RCPT H=db1 [127.0.0.1] F=<a@example.com> T=<b@example.net> ` +
			`C="550 5.7.1 relay.example.com takes no mail for example.net: not in its relay_domains"`,
		`refused RCPT H=db1 [127.0.0.1] F=<a@example.com> T=<a%b@example.com> C="553 5.1.3 .*"`,
		`0a0b0c0d-1 <= a@example.com H=db1 [127.0.0.1] P=ESMTP S=14 for c@example.com ` +
			`C="250 2.0.0 OK id=0a0b0c0d-1" T=0.\d\d\ds`,
		`refused DATA H=db1 [127.0.0.1] F=<a@example.com> C="554 5.6.0 message has a line over 998 octets"`,
	}
	for i, line := range strings.Split(log.text(), "\n") {
		if i >= len(want) || !regexp.MustCompile("^"+strings.NewReplacer("[", `\[`, "]", `\]`).Replace(want[i])+
			"$").MatchString(line) {
			t.Errorf("line %d: %s", i, line)
		}
	}
}

// A client that is refused without end does not fill the log.
func TestRefusalsInTheLogAreBounded(t *testing.T) {
	log := &journal{}
	s, _ := serve(t, func(o *Options) { o.Monitor = monitor.New(log, nil) })
	p := dial(t, s)
	p.begin()
	p.send("MAIL FROM:<a@example.com>\r\n")
	p.expect("250")
	for range 3 * refusalsPerMinute {
		p.send("RCPT TO:<b@example.net>\r\n")
		p.expect("550")
	}
	if n := strings.Count(log.text(), "refused RCPT"); n < refusalsPerMinute || n > 2*refusalsPerMinute {
		t.Errorf("%d lines for %d refusals", n, 3*refusalsPerMinute)
	}
}

// Whatever a client says in the wrong place, a password among it, no log has it.
func TestSecretsStayOutOfTheLog(t *testing.T) {
	const secret = "hunter2hunter2" // also as it goes over the wire
	const coded = "aHVudGVyMmh1bnRlcjI="
	log := &journal{}
	s, _, tlsConfig := serveTLS(t, StartTLS, func(o *Options) {
		o.Monitor = monitor.New(log, nil)
		o.Users = map[string]Verifier{"known": func([]byte) bool { return false }}
		o.failureDelay = 1
	})
	p := dial(t, s)
	p.begin()
	p.send("AUTH PLAIN " + coded + "\r\n")
	p.expect("538")
	p.send("STARTTLS\r\n")
	p.expect("220")
	p.encrypt(tlsConfig)
	p.send("EHLO c\r\n")
	p.expect("250")
	for _, line := range []string{
		secret, coded, "PASS " + secret, "AUTH " + coded, "AUTH X " + coded, "AUTH PLAIN " + coded,
		"AUTH PLAIN AGtub3duAGh1bnRlcjJodW50ZXIy", // the known user's
		"AUTH PLAIN AGh1bnRlcjJodW50ZXIyAHg=",     // the password as the name
	} {
		p.send(line + "\r\n")
		if got := p.reply(); got[0] != '5' {
			t.Errorf("%q: %q", line, got)
		}
	}
	if text := log.text(); strings.Contains(text, secret) || strings.Contains(text, coded) ||
		!strings.Contains(text, `login as "known" failed`) {
		t.Errorf("the log:\n%s", text)
	}
}

// MAIL's parameter AUTH is taken wherever AUTH is offered (RFC 4954 section 5).
func TestMailAuthParameter(t *testing.T) {
	s, mails, tlsConfig := serveTLS(t, StartTLS, func(o *Options) {
		o.Users = map[string]Verifier{"known": func([]byte) bool { return true }}
	})
	p := dial(t, s)
	p.begin()
	p.send("STARTTLS\r\n")
	p.expect("220")
	p.encrypt(tlsConfig)
	p.send("EHLO c\r\n")
	p.expect("250 AUTH PLAIN")
	for _, wrong := range []string{"AUTH", "AUTH=", "AUTH=a+4", "AUTH=a+zz@b", "AUTH=a=b", "AUTH=<> AUTH=<>"} {
		p.send("MAIL FROM:<a@example.com> " + wrong + "\r\n")
		p.expect("501")
	}
	for _, right := range []string{"AUTH=<>", "auth=<> BODY=8BITMIME", "AUTH=a+2Bb@example.com SIZE=10"} {
		p.send("MAIL FROM:<a@example.com> " + right + "\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
		p.expect("250")
		p.expect("250")
		p.expect("354")
		p.send("Subject: x\r\n\r\n.\r\n")
		p.expect("250")
	}
	if n := len(mails.got()); n != 3 {
		t.Errorf("%d mails taken", n)
	}
	plain, _ := serve(t, nil)
	q := dial(t, plain)
	q.begin()
	q.send("MAIL FROM:<a@example.com> AUTH=<>\r\n")
	q.expect("555")
}

// Long header lines follow the option for long lines; where they are taken they leave
// folded, so that the next server takes them too.
func TestLongHeaderLines(t *testing.T) {
	long := "To: " + strings.Repeat("somebody@example.com, ", 100) + "b@example.com\r\n"
	for _, relay := range []bool{false, true} {
		s, mails := serve(t, func(o *Options) { o.LongLines, o.MaxMessageSize = relay, 100_000 })
		p := dial(t, s)
		p.begin()
		p.data()
		p.send(long + "\r\nbody\r\n.\r\n")
		if !relay {
			p.expect("554 5.6.0")
			continue
		}
		p.expect("250")
		got := mails.got()[0].body
		if message.HasLongLine([]byte(got)) || !strings.Contains(strings.ReplaceAll(got, "\r\n ", " "), long) {
			t.Errorf("got %q", got)
		}
	}
}

// The line that mailbox files begin with is no header field, and not the body either.
func TestFromLineIsDropped(t *testing.T) {
	s, mails := serve(t, nil)
	p := dial(t, s)
	p.begin()
	p.data()
	p.send("From root@db1 Mon Nov 28 14:00:00 2026\r\nSubject: x\r\nDate: y\r\nMessage-ID: z\r\n\r\nbody\r\n.\r\n")
	p.expect("250")
	_, got, _ := strings.Cut(mails.got()[0].body, ";\r\n\t")
	_, got, _ = strings.Cut(got, "\r\n")
	if got != "Subject: x\r\nDate: y\r\nMessage-ID: z\r\n\r\nbody\r\n" {
		t.Errorf("got %q", got)
	}
}

// The header has a bound of its own, on both ways.
func TestHeaderSize(t *testing.T) {
	for _, extra := range []int{0, 1} {
		for _, way := range []string{"DATA", "BDAT"} {
			s, mails := serve(t, func(o *Options) { o.MaxMessageSize, o.MaxHeaderSize = 100_000, 5000 })
			p := dial(t, s)
			p.begin()
			m := strings.Repeat("A: b\r\n", 5000/6-1)
			m += "B: " + strings.Repeat("c", 5000+extra-len(m)-5) + "\r\n\r\n" + strings.Repeat("body\r\n", 5000)
			p.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n")
			p.expect("250")
			p.expect("250")
			if way == "DATA" {
				p.send("DATA\r\n")
				p.expect("354")
				p.send(m + ".\r\n")
			} else {
				p.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(m), m))
			}
			if extra == 0 {
				p.expect("250")
			} else {
				p.expect("552 5.3.4")
			}
			if n := len(mails.got()); n != 1-extra {
				t.Errorf("%s%+d: %d mails taken", way, extra, n)
			}
		}
	}
}

// A client that only looks whether the port is open, and resets the connection, is no line.
func TestResetsAreNotLogged(t *testing.T) {
	log := &journal{}
	s, _ := serve(t, func(o *Options) { o.Monitor = monitor.New(log, nil) })
	for range 20 {
		p := dial(t, s)
		if _, err := p.r.Peek(1); err != nil { // its session has begun
			t.Fatal(err)
		}
		if err := p.Conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		p.Close()
	}
	open := func() (n int) { s.each(func(*conn) { n++ }); return n }
	for deadline := time.Now().Add(20 * time.Second); open() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("connections that are reset stay")
		}
	}
	s.Stop()
	if text := log.text(); text != "" {
		t.Errorf("logged:\n%s", text)
	}
}
