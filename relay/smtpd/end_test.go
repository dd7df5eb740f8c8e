package smtpd

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/policy"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// A stop lets an open transaction end, and ends a session between two mails without a
// word and without a reset: what a client sends meets the end of the connection.
func TestStopActsBetweenMails(t *testing.T) {
	s, mails := serve(t, nil)
	open, rest := dial(t, s), dial(t, s)
	rest.begin()
	rest.data()
	rest.send(".\r\n")
	rest.expect("250")
	open.begin()
	open.send("MAIL FROM:<a@example.com>\r\n")
	open.expect("250")
	stopped := make(chan struct{})
	go func() {
		s.Stop()
		close(stopped)
	}()
	rest.closed() // our half; the other one is still open
	rest.send("MAIL FROM:<a@example.com>\r\n")
	rest.closed()
	open.send("RCPT TO:<b@example.com>\r\nDATA\r\n")
	open.expect("250")
	open.expect("354")
	open.send("Subject: x\r\n\r\n.\r\n")
	open.expect("250")
	open.send("MAIL FROM:<a@example.com>\r\n")
	open.closed()
	<-stopped
	if n := len(mails.got()); n != 2 {
		t.Errorf("%d mails taken", n)
	}
}

// The last answer reaches a client that is still sending: closing a socket with unread
// octets would be a reset, which takes the answer away.
func TestLastAnswerIsNotLost(t *testing.T) {
	s, _ := serve(t, nil)
	for range 20 {
		p := dial(t, s)
		p.expect("220")
		p.send("GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 2000))
		p.expect("554 5.5.1")
		if b, err := io.ReadAll(p.r); len(b) > 0 || err != nil {
			t.Fatalf("behind the last answer: %q, %v", b, err)
		}
	}
}

// A session that has come to a MAIL is ended between two mails neither by its age nor by
// silence.
func TestMailingSessionStays(t *testing.T) {
	s, mails := serve(t, func(o *Options) {
		o.CommandTimeout, o.SessionTimeout = 100*time.Millisecond, 100*time.Millisecond
	})
	p := dial(t, s)
	p.begin()
	for range 3 {
		p.data()
		p.send("Subject: x\r\n\r\n.\r\n")
		p.expect("250")
		p.SetReadDeadline(time.Now().Add(250 * time.Millisecond))
		if _, err := p.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a silent session: %v", err)
		}
		p.SetReadDeadline(time.Now().Add(20 * time.Second))
	}
	p.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@exa") // an open transaction is not kept
	p.expect("250")
	p.expect("421 4.4.2")
	p.closed()
	if n := len(mails.got()); n != 3 {
		t.Errorf("%d mails taken", n)
	}
}

// dialFrom connects from an address of the loopback network.
func dialFrom(t *testing.T, s *Server, from string) *peer {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{t, c, bufio.NewReader(c)}
}

// When all places are taken, a client with few gets one of a client with many: that which
// was silent longest. Between equals there is nothing to take.
func TestPlacesAreShared(t *testing.T) {
	s, _ := serve(t, func(o *Options) {
		o.MaxConnections = 4
		o.Policy, _ = policy.New([]string{"127.0.0.0/8"}, []string{"example.com"})
	})
	var greedy []*peer
	for range 4 {
		p := dialFrom(t, s, "127.0.0.1")
		p.begin()
		greedy = append(greedy, p)
		waitSilent(t, s, len(greedy))
	}
	greedy[0].send("MAIL FROM:<a@example.com>\r\n") // inside a transaction: not that one
	greedy[0].expect("250")
	waitSilent(t, s, 4)
	for i := range 2 {
		p := dialFrom(t, s, "127.0.0.2")
		p.begin()
		greedy[i+1].closed()
		waitSilent(t, s, 4)
	}
	third := dialFrom(t, s, "127.0.0.2")
	third.expect("421 4.3.2")
	fifth := dialFrom(t, s, "127.0.0.1")
	fifth.expect("421 4.3.2")
	greedy[0].send("RCPT TO:<b@example.com>\r\n")
	greedy[0].expect("250")
	if n := s.options().Monitor.Get(monitor.Displaced, ""); n != 2 {
		t.Errorf("%d sessions displaced, want 2", n)
	}
}

// waitSilent waits until n clients are waited for.
func waitSilent(t *testing.T, s *Server, n int) {
	t.Helper()
	for range 1000 {
		silent := 0
		s.each(func(c *conn) {
			if c.silentSince.Load() != 0 {
				silent++
			}
		})
		if silent == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("%d clients are not waited for", n)
}

// Reconfigure keeps sockets and sessions, lets mails wait while the spool is exchanged,
// and ends sessions that are not allowed any more.
func TestReconfigure(t *testing.T) {
	s, before := serve(t, func(o *Options) {
		o.Policy, _ = policy.New([]string{"127.0.0.0/8"}, []string{"example.com"})
	})
	stays, goes := dial(t, s), dialFrom(t, s, "127.0.0.2")
	stays.begin()
	goes.begin()
	addr := s.Addrs()[0].String()
	s.Suspend()
	stays.data()
	stays.send("Subject: x\r\n\r\n.\r\n")
	stays.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if b, err := stays.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("answered %q, %v while there is no spool", b, err)
	}
	stays.SetReadDeadline(time.Now().Add(20 * time.Second))

	wrong := *s.options()
	wrong.Listen = append(wrong.Listen, Listener{Addr: addr + "0"})
	if err := s.Reconfigure(wrong); err == nil {
		t.Fatal("a port that does not exist is listened on")
	}
	after := &store{}
	next := *s.options()
	next.Hostname, next.Submit = "other.example.com", after.submit
	next.Policy, _ = policy.New([]string{"127.0.0.1"}, []string{"example.com"})
	if err := s.Reconfigure(next); err != nil {
		t.Fatal(err)
	}
	stays.expect("250")
	goes.closed()
	if len(before.got()) != 0 || len(after.got()) != 1 {
		t.Errorf("%d mails went to the old spool, %d to the new one", len(before.got()), len(after.got()))
	}
	if got := s.Addrs()[0].String(); got != addr {
		t.Errorf("listens on %s, want %s", got, addr)
	}
	dial(t, s).expect("220 other.example.com")

	next.Listen = []Listener{{Addr: "127.0.0.1:0"}, {Addr: "127.0.0.1:0"}}
	next.Listen[0].Mode, next.TLS = StartTLS, &tls.Config{}
	if err := s.Reconfigure(next); err != nil {
		t.Fatal(err)
	}
	stays.closed() // its listener has another mode now
	if len(s.Addrs()) != 2 {
		t.Errorf("listens on %v", s.Addrs())
	}
}

// Refused recipients, however many, and whatever else is refused about a mail end no
// session.
func TestRefusedMailsEndNoSession(t *testing.T) {
	s, mails := serve(t, func(o *Options) {
		o.Senders,
			_ = policy.NewDomains("sender_domains", []string{"example.com"})
	})
	p := dial(t, s)
	p.begin()
	for range 2*maxErrors + maxIdle + 1 {
		p.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nRCPT " +
			"TO:<b%c@example.com>\r\nDATA\r\nRSET\r\nMAIL FROM:<a@example.net>\r\n")
		for _, want := range []string{"250", "550", "553", "554", "250", "550"} {
			p.expect(want)
		}
	}
	for range 2*maxErrors + 1 {
		p.data()
		p.send(fmt.Sprintf("Subject: x\r\n\r\n%s\r\n.\r\n", strings.Repeat("y", 999)))
		p.expect("55")
	}
	p.data()
	p.send("Subject: x\r\n\r\n.\r\n")
	p.expect("250")
	if n := len(mails.got()); n != 1 {
		t.Errorf("%d mails taken", n)
	}
}

// What is handed over while a stopped server waits is refused for now, not lost.
func TestStopWhileSuspended(t *testing.T) {
	s, mails := serve(t, nil)
	mails.err = queue.ErrLocked
	p := dial(t, s)
	p.begin()
	s.Suspend()
	p.data()
	p.send("Subject: x\r\n\r\n.\r\n")
	s.Stop()
	p.expect("451 4.3.0")
	p.closed()
}
