package smtpd

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/policy"
)

// adopt has a server take on sessions that another one has parked.
func adopt(t *testing.T, s *Server, sessions []*Session) {
	t.Helper()
	for _, session := range sessions {
		session.Listen = s.gates[0].addr
	}
	if left := s.Adopt(sessions); len(left) != 0 {
		t.Fatalf("%d sessions are not taken on", len(left))
	}
}

// Sessions are parked between two mails, whatever they have begun to say, and go on at
// another server, which has other options.
func TestParkedSessionsGoOn(t *testing.T) {
	s, before := serve(t, nil)
	fresh, idle, half, open, refused := dial(t, s), dial(t, s), dial(t, s), dial(t, s), dial(t, s)
	fresh.expect("220")
	for _, p := range []*peer{idle, half, open, refused} {
		p.begin()
	}
	idle.data()
	idle.send("Subject: 1\r\n\r\n.\r\n")
	idle.expect("250")
	half.send("MAIL FROM:<a@exam")
	open.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n")
	open.expect("250")
	open.expect("250")
	refused.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n")
	refused.expect("250")
	refused.expect("550")

	parked := make(chan []*Session)
	go func() { parked <- s.Park() }()
	for leaving := false; !leaving; time.Sleep(time.Millisecond) { // else it would begin another mail
		s.each(func(c *conn) { leaving = c.leaving.Load() })
		s.mu.Lock()
		leaving = leaving && len(s.parked) == 4
		s.mu.Unlock()
	}
	open.send("DATA\r\n")
	open.expect("354")
	open.send("Subject: 2\r\n\r\n.\r\nMAIL FROM:<a@example.com>\r\n") // the answer, and no end
	open.expect("250")
	sessions := <-parked
	if len(sessions) != 5 || len(before.got()) != 2 {
		t.Fatalf("%d sessions are parked, %d mails taken", len(sessions), len(before.got()))
	}

	next, after := serve(t, func(o *Options) { o.Hostname = "other.example.com" })
	adopt(t, next, sessions)
	half.send("ple.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
	open.send("RCPT TO:<b@example.com>\r\nDATA\r\n")
	for _, p := range []*peer{half, open} {
		p.expect("250")
		p.expect("250")
		p.expect("354")
		p.send("Subject: 3\r\n\r\n.\r\n")
		p.expect("250")
	}
	for _, p := range []*peer{idle, refused} {
		p.data()
		p.send("Subject: 4\r\n\r\n.\r\n")
		p.expect("250")
	}
	fresh.send("MAIL FROM:<a@example.com>\r\n")
	fresh.expect("503 5.5.1")
	fresh.send("EHLO c\r\n")
	fresh.expect("250 ")
	fresh.data()
	fresh.Close()
	if n := len(after.got()); n != 4 {
		t.Errorf("%d mails taken behind the change", n)
	}
	if got := next.options().Monitor.Get(monitor.Refused, "sequence"); got != 1 {
		t.Errorf("%d commands refused", got)
	}
}

// A session is not taken on when its client may not send any more, or when nobody listens
// where it came in; a session of TLS ends.
func TestParkedSessionsThatMayNotGoOn(t *testing.T) {
	s, _ := serve(t, nil)
	p := dial(t, s)
	p.begin()
	sessions := s.Park()
	other, _ := serve(t, func(o *Options) {
		o.Policy, _ = policy.New([]string{"192.0.2.1"}, []string{"example.com"})
	})
	left := other.Adopt(sessions)
	if len(left) != 1 {
		t.Fatalf("%d of %d sessions are refused", len(left), len(sessions))
	}
	elsewhere, _ := serve(t, nil)
	left[0].Listen = "127.0.0.1:1"
	if left = elsewhere.Adopt(left); len(left) != 1 {
		t.Errorf("taken on by a server that does not listen there")
	}
	left[0].Socket.Close()
	p.closed()
	if len(s.Park()) != 0 {
		t.Error("given twice")
	}
}

// The limits of an adopted session count on: who has made too many errors before is not
// free to make as many again, and its place is one of max_connections.
func TestAdoptedSessionHasItsLimits(t *testing.T) {
	s, _ := serve(t, nil)
	p := dial(t, s)
	p.begin()
	for range maxErrors {
		p.send("FOO\r\n")
		p.expect("500")
	}
	sessions := s.Park()
	next, _ := serve(t, func(o *Options) { o.MaxConnections, o.CommandTimeout = 1, time.Hour })
	adopt(t, next, sessions)
	dial(t, next).expect("421 4.3.2")
	p.send("FOO\r\nNOOP\r\n")
	p.expect("500")
	p.expect("421 4.7.0")
	p.closed()
}

// A client that resets its connection while that is parked, as what only looks whether the port
// is open does, is not taken on, and costs nobody else anything.
func TestParkedClientIsGone(t *testing.T) {
	s, _ := serve(t, nil)
	gone, stays := dial(t, s), dial(t, s)
	gone.begin()
	stays.begin()
	sessions := s.Park()
	if len(sessions) != 2 {
		t.Fatalf("%d sessions are parked", len(sessions))
	}
	gone.Conn.(*net.TCPConn).SetLinger(0) // the end is a reset
	gone.Close()
	all, err := policy.New([]string{policy.Any}, []string{"example.com"})
	if err != nil {
		t.Fatal(err)
	}
	next, mails := serve(t, func(o *Options) { o.Policy = all })
	for _, session := range sessions {
		session.Listen = next.gates[0].addr
	}
	if left := next.Adopt(sessions); len(left) != 1 {
		t.Errorf("%d sessions are not taken on", len(left))
	}
	stays.data()
	stays.send("Subject: 1\r\n\r\n.\r\n")
	stays.expect("250")
	if n := len(mails.got()); n != 1 {
		t.Errorf("%d mails taken", n)
	}
}

// What a client has sent behind the last answer is carried whole, however it was cut.
func TestParkedLines(t *testing.T) {
	for _, cut := range []int{0, 1, 5, 26} {
		s, _ := serve(t, nil)
		p := dial(t, s)
		p.begin()
		text := "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n" + strings.Repeat("NOOP\r\n", 5)
		p.send(text[:cut])
		sessions := s.Park()
		next, _ := serve(t, nil)
		if len(sessions) != 1 {
			t.Fatalf("cut at %d: %d sessions", cut, len(sessions))
		}
		adopt(t, next, sessions)
		p.send(text[cut:])
		for range 7 {
			p.expect("250")
		}
		p.Close()
	}
}

// lateListener gives its one client only when it is closed, as when both happen at once.
type lateListener struct {
	net.Listener
	closing chan struct{}
	once    sync.Once
	gave    bool
}

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.closing
	if l.gave {
		return nil, net.ErrClosed
	}
	l.gave = true
	defer l.Listener.Close()
	return l.Listener.Accept()
}

func (l *lateListener) Close() error {
	l.once.Do(func() { close(l.closing) })
	return nil
}

// A client that is accepted while the server stops is no worse off than one that was there
// before: it is parked, or told that it has to come again.
func TestClientOfTheLastMoment(t *testing.T) {
	for name, end := range map[string]func(*Server) []*Session{
		"park": (*Server).Park,
		"stop": func(s *Server) []*Session { s.Stop(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := serve(t, func(o *Options) {
				o.Open = func(addr string) (net.Listener, error) {
					l, err := net.Listen("tcp", addr)
					return &lateListener{Listener: l, closing: make(chan struct{})}, err
				}
			})
			p := dial(t, s)
			ended := make(chan []*Session, 1)
			go func() { ended <- end(s) }()
			p.expect("220")
			if name == "stop" {
				p.expect("421 4.3.2")
				p.closed()
				<-ended
				return
			}
			sessions := <-ended
			if len(sessions) != 1 {
				t.Fatalf("%d sessions are parked", len(sessions))
			}
			next, mails := serve(t, nil)
			adopt(t, next, sessions)
			p.send("EHLO c\r\n")
			p.expect("250 ")
			p.data()
			p.send("Subject: 1\r\n\r\n.\r\n")
			p.expect("250")
			if n := len(mails.got()); n != 1 {
				t.Errorf("%d mails taken", n)
			}
		})
	}
}
