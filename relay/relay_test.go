package relay

import (
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// sink is a next server that keeps what it gets.
type sink struct {
	addr   string
	server *smtp.Server

	mu     sync.Mutex
	mails  []sunk
	refuse map[string]*smtp.SMTPError // by recipient
}

type sunk struct {
	from string
	to   []string
	body string
}

type sinkSession struct {
	*sink
	from string
	to   []string
}

func newSink(t testing.TB, addr string) *sink {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	k := &sink{addr: l.Addr().String(), refuse: map[string]*smtp.SMTPError{}}
	k.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &sinkSession{sink: k}, nil
	}))
	k.server.Domain = "sink.example.com"
	k.server.MaxLineLength = 0
	go k.server.Serve(l)
	t.Cleanup(func() { k.server.Close() })
	return k
}

func (s *sinkSession) Reset()        { s.from, s.to = "", nil }
func (s *sinkSession) Logout() error { return nil }
func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse[to]; err != nil {
		return err
	}
	s.to = append(s.to, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, sunk{s.from, s.to, string(b)})
	return nil
}

func (k *sink) got() []sunk {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]sunk(nil), k.mails...)
}

// await waits for n mails.
func (k *sink) await(t testing.TB, n int) []sunk {
	t.Helper()
	for range 2000 {
		if got := k.got(); len(got) >= n {
			return got
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d mails have arrived, want %d", len(k.got()), n)
	return nil
}

type testLog struct{ t testing.TB }

func (l testLog) Errorf(format string, args ...any) { l.t.Logf("E! "+format, args...) }
func (l testLog) Warnf(format string, args ...any)  { l.t.Logf("W! "+format, args...) }
func (l testLog) Infof(format string, args ...any)  { l.t.Logf("I! "+format, args...) }
func (l testLog) Debugf(string, ...any)             {}

func testOptions(t testing.TB, smarthost string) Options {
	return Options{
		Listen: []string{"127.0.0.1:0"}, Hostname: "relay.example.com",
		RelayNets: []string{"127.0.0.0/8"}, RelayDomains: []string{"example.com", ".example.com"},
		Spool: t.TempDir(), Smarthosts: []string{"smtp://" + smarthost}, SmarthostTLS: "none",
		Monitor: monitor.New(testLog{t}, nil),
	}
}

func start(t testing.TB, opts Options) *Relay {
	t.Helper()
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}

// client is an SMTP client for tests that says what it is told.
type client struct {
	t testing.TB
	*textproto.Conn
}

func dial(t testing.TB, r *Relay) *client {
	t.Helper()
	conn, err := textproto.Dial("tcp", r.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &client{t, conn}
	c.expect(220)
	c.say(250, "EHLO client.example.com")
	return c
}

func (c *client) say(code int, format string, args ...any) string {
	c.t.Helper()
	if err := c.PrintfLine(format, args...); err != nil {
		c.t.Fatal(err)
	}
	return c.expect(code)
}

func (c *client) expect(code int) string {
	c.t.Helper()
	_, text, err := c.ReadResponse(code)
	if err != nil {
		c.t.Fatalf("want %d: %v", code, err)
	}
	return text
}

// mail sends a whole mail and fails the test when it is not accepted.
func (c *client) mail(from, to, message string) {
	c.t.Helper()
	c.say(250, "MAIL FROM:<%s>", from)
	c.say(250, "RCPT TO:<%s>", to)
	c.say(354, "DATA")
	w := c.DotWriter()
	io.WriteString(w, message)
	w.Close()
	c.expect(250)
}

func TestThrough(t *testing.T) {
	k := newSink(t, "127.0.0.1:0")
	r := start(t, testOptions(t, k.addr))
	c := dial(t, r)
	for i := range 30 {
		c.mail("a@client.example.com", "ops@example.com", fmt.Sprintf("Subject: %d\r\nBcc: x@y\r\n\r\nline\r\n.dot\r\n", i))
	}
	got := k.await(t, 30)
	for _, m := range got {
		if m.from != "a@client.example.com" || len(m.to) != 1 || m.to[0] != "ops@example.com" {
			t.Errorf("envelope %q %q", m.from, m.to)
		}
		if !strings.HasPrefix(m.body, "Received: from client.example.com ([127.0.0.1])\r\n\tby relay.example.com (flowgraf)") ||
			!strings.HasSuffix(m.body, "\r\n\r\nline\r\n.dot\r\n") || strings.Contains(m.body, "Bcc") ||
			!strings.Contains(m.body, "\r\nDate: ") || !strings.Contains(m.body, "\r\nMessage-ID: <") {
			t.Errorf("message %q", m.body)
		}
	}
}
