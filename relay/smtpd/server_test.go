package smtpd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/message"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/policy"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// store is where a test server's mails go.
type store struct {
	mu    sync.Mutex
	mails []stored
	err   error
}

type stored struct {
	env  queue.Envelope
	body string
}

func (s *store) submit(env *queue.Envelope, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.mails = append(s.mails, stored{*env, string(body)})
	return nil
}

func (s *store) got() []stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// serve starts a server on a free port; edit may change its options.
func serve(t testing.TB, edit func(*Options)) (*Server, *store) {
	t.Helper()
	p, err := policy.New([]string{"127.0.0.1"}, []string{"example.com", ".example.com"})
	if err != nil {
		t.Fatal(err)
	}
	s := &store{}
	var serial atomic.Int64
	opts := Options{
		Listen: []Listener{{Addr: "127.0.0.1:0"}}, Hostname: "relay.example.com", Policy: p, MaxMessageSize: 1000,
		Instance: "0a0b0c0d", NewID: func() string { return fmt.Sprintf("0a0b0c0d-%x", serial.Add(1)) },
		Submit: s.submit, Monitor: monitor.New(nil, nil),
	}
	if edit != nil {
		edit(&opts)
	}
	server := New(opts)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server, s
}

// peer is a client that says exactly what it is told.
type peer struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, s *Server) *peer {
	t.Helper()
	c, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{t, c, bufio.NewReader(c)}
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatalf("sending %q: %v", s, err)
	}
}

// reply reads a whole reply.
func (p *peer) reply() string {
	p.t.Helper()
	var all strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatalf("reply %q, then %v", all.String(), err)
		}
		all.WriteString(line)
		if len(line) > 3 && line[3] == ' ' {
			return all.String()
		}
	}
}

func (p *peer) expect(want string) {
	p.t.Helper()
	got := p.reply()
	code, rest, _ := strings.Cut(want, " ")
	if !strings.HasPrefix(got, code) || !strings.Contains(got, rest) {
		p.t.Fatalf("reply %q, want %q", got, want)
	}
}

func (p *peer) closed() {
	p.t.Helper()
	if b, err := io.ReadAll(p.r); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("got %q, %v, want the connection closed", b, err)
	}
}

func (p *peer) begin() {
	p.t.Helper()
	p.expect("220")
	p.send("EHLO c\r\n")
	p.expect("250")
}

func (p *peer) data() {
	p.t.Helper()
	p.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
	p.expect("250")
	p.expect("250")
	p.expect("354")
}

// TestDialogues runs testdata/dialogues/*.txt. A line begins with
//
//	#   what the dialogue guards
//	C:  the client sends this line
//	R:  the client sends these octets, a Go string
//	H:  the client closes its direction
//	S:  the server answers with this code and, somewhere, this text
//	X   the server closes
//	M:  so many mails are taken; sender and recipients of the last one
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/dialogues/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(text, []byte("# ")) {
				t.Fatal("the dialogue does not say what it guards")
			}
			s, mails := serve(t, nil)
			p := dial(t, s)
			n := 0
			for line := range strings.Lines(string(text)) {
				n++
				runLine(t, fmt.Sprintf("%s:%d", file, n), strings.TrimRight(line, "\n"), p, mails)
			}
		})
	}
}

func runLine(t *testing.T, where, line string, p *peer, mails *store) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Log(where, line)
		}
	}()
	kind, rest, _ := strings.Cut(line, ":")
	rest = strings.TrimPrefix(rest, " ")
	switch kind {
	case "C":
		p.send(rest + "\r\n")
	case "R":
		raw, err := strconv.Unquote(rest)
		if err != nil {
			t.Fatal(err)
		}
		p.send(raw)
	case "H":
		if err := p.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	case "S":
		p.expect(rest)
	case "X":
		p.closed()
	case "M":
		fields := strings.Fields(rest)
		got := mails.got()
		if strconv.Itoa(len(got)) != fields[0] {
			t.Fatalf("%d mails taken, want %s", len(got), fields[0])
		}
		if len(fields) > 1 {
			last := got[len(got)-1].env
			if last.From != fields[1] || !slices.Equal(last.To, fields[2:]) {
				t.Fatalf("last mail from %q to %q, want %q", last.From, last.To, fields[1:])
			}
		}
	default:
		if !strings.HasPrefix(line, "#") {
			t.Fatalf("unknown line %q", line)
		}
	}
}

func TestSizeLimitIsExact(t *testing.T) {
	for _, extra := range []int{-1, 0, 1} {
		for _, way := range []string{"DATA", "BDAT"} {
			t.Run(fmt.Sprintf("%s%+d", way, extra), func(t *testing.T) {
				s, mails := serve(t, nil)
				p := dial(t, s)
				p.begin()
				message := "Subject: x\r\n\r\n"
				message += strings.Repeat("y", 1000+extra-len(message)-2) + "\r\n"
				p.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n")
				p.expect("250")
				p.expect("250")
				if way == "DATA" {
					p.send("DATA\r\n")
					p.expect("354")
					p.send(message + ".\r\n")
				} else {
					p.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(message), message))
				}
				want := 1
				if extra > 0 {
					p.expect("552 5.3.4")
					want = 0
				} else {
					p.expect("250")
				}
				p.send("NOOP\r\n")
				p.expect("250")
				if n := len(mails.got()); n != want {
					t.Errorf("%d mails taken, want %d", n, want)
				}
			})
		}
	}
}

func TestNetworkRefused(t *testing.T) {
	s, _ := serve(t, func(o *Options) {
		o.Policy, _ = policy.New([]string{"192.0.2.0/24"}, []string{"example.com"})
	})
	p := dial(t, s)
	p.expect("554 5.7.1")
	p.closed()
	if s.options().Monitor.Get(monitor.Refused, "network") != 1 {
		t.Error("not counted")
	}
}

func TestConnectionCap(t *testing.T) {
	s, _ := serve(t, func(o *Options) { o.MaxConnections = 2 })
	first, second := dial(t, s), dial(t, s)
	first.expect("220")
	second.expect("220")
	third := dial(t, s)
	third.expect("421")
	third.closed()
	first.send("QUIT\r\n")
	first.expect("221")
	first.closed()
	for range 100 { // the place is free a moment later
		fourth := dial(t, s)
		if strings.HasPrefix(fourth.reply(), "220") {
			return
		}
	}
	t.Error("a place that was given up is not given again")
}

func TestDeadlines(t *testing.T) {
	t.Run("command", func(t *testing.T) {
		s, _ := serve(t, func(o *Options) { o.CommandTimeout = 50 * time.Millisecond })
		p := dial(t, s)
		p.expect("220")
		p.send("EHL")
		p.expect("421")
		p.closed()
	})
	t.Run("dripping", func(t *testing.T) {
		s, _ := serve(t, func(o *Options) { o.CommandTimeout = 100 * time.Millisecond })
		p := dial(t, s)
		p.expect("220")
		for range 10_000 { // each octet is in time, the line is not
			if _, err := p.Write([]byte("x")); err != nil {
				break
			}
			time.Sleep(time.Millisecond)
			p.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := p.r.Peek(1); err == nil {
				p.SetDeadline(time.Now().Add(10 * time.Second))
				p.expect("421")
				return
			}
		}
		t.Error("the session went on")
	})
	t.Run("data", func(t *testing.T) {
		s, mails := serve(t, func(o *Options) { o.DataTimeout = 50 * time.Millisecond })
		p := dial(t, s)
		p.begin()
		p.data()
		p.send("Subject: x\r\n\r\nhello\r\n")
		p.expect("451")
		p.expect("421")
		p.closed()
		if len(mails.got()) != 0 {
			t.Error("a body that timed out was taken")
		}
	})
	t.Run("session", func(t *testing.T) {
		s, _ := serve(t, func(o *Options) { o.SessionTimeout = 50 * time.Millisecond })
		p := dial(t, s)
		p.expect("220")
		p.expect("421")
		p.closed()
	})
}

func TestCommandCaps(t *testing.T) {
	s, _ := serve(t, nil)
	p := dial(t, s)
	p.expect("220")
	for range maxIdle {
		p.send("NOOP\r\n")
		p.expect("250")
	}
	p.send("NOOP\r\n")
	p.expect("421")
	p.closed()

	p = dial(t, s)
	p.begin()
	p.send("MAIL FROM:<a@example.com>\r\n")
	p.expect("250")
	for range 2*maxErrors + 1 {
		p.send("RCPT <a@example.com>\r\n")
		p.expect("501")
	}
	p.send("RCPT TO:<a@example.com>\r\n")
	p.expect("421")
	p.closed()

	p = dial(t, s)
	p.begin()
	p.send(strings.Repeat("x", maxCommandLine) + "\r\n")
	p.expect("500")
	p.closed()
}

// A thousand mails on one connection must pass; only commands without mails are
// capped.
func TestManyMails(t *testing.T) {
	s, mails := serve(t, nil)
	p := dial(t, s)
	p.begin()
	for range 1000 {
		p.data()
		p.send("Subject: x\r\n\r\n.\r\n")
		p.expect("250")
	}
	if n := len(mails.got()); n != 1000 {
		t.Errorf("%d mails taken", n)
	}
}

func TestRecipientLimit(t *testing.T) {
	s, mails := serve(t, func(o *Options) { o.MaxRecipients = 3 })
	p := dial(t, s)
	p.begin()
	p.send("MAIL FROM:<a@example.com>\r\n")
	p.expect("250")
	for i := range 3 {
		p.send(fmt.Sprintf("RCPT TO:<r%d@example.com>\r\n", i))
		p.expect("250")
	}
	p.send("RCPT TO:<r3@example.com>\r\n")
	p.expect("452")
	p.send("DATA\r\n")
	p.expect("354")
	p.send(".\r\n")
	p.expect("250")
	if got := mails.got(); len(got) != 1 || len(got[0].env.To) != 3 {
		t.Errorf("taken %+v", got)
	}
}

func TestSpoolErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("write: %w", syscall.ENOSPC), "452 4.3.1"},
		{fmt.Errorf("write: %w", syscall.EIO), "451 4.3.0"},
	} {
		s, mails := serve(t, nil)
		mails.err = tt.err
		p := dial(t, s)
		p.begin()
		p.data()
		p.send("Subject: x\r\n\r\n.\r\n")
		p.expect(tt.want)
		mails.mu.Lock()
		mails.err = nil
		mails.mu.Unlock()
		p.data()
		p.send("Subject: x\r\n\r\n.\r\n")
		p.expect("250")
	}
}

// Stop must not cut a mail that is being handed over, and must end idle sessions.
func TestStop(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, _ := serve(t, func(o *Options) {
		o.Submit = func(*queue.Envelope, []byte) error {
			close(entered)
			<-release
			return nil
		}
	})
	idle, busy := dial(t, s), dial(t, s)
	idle.begin()
	busy.begin()
	busy.data()
	busy.send("Subject: x\r\n\r\n.\r\n")
	<-entered
	stopped := make(chan struct{})
	go func() {
		s.Stop()
		close(stopped)
	}()
	idle.closed() // without a line: it would be taken for the answer to the next MAIL
	close(release)
	busy.expect("250")
	<-stopped
	s.Stop()
	if _, err := net.Dial("tcp", s.Addrs()[0].String()); err == nil {
		t.Error("the port is still open")
	}
}

func TestStartFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := New(Options{Listen: []Listener{{Addr: "127.0.0.1:0"}, {Addr: l.Addr().String()}}, Hostname: "h"})
	if err := s.Start(); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("error %v, want the address in use", err)
	}
	s.Stop()
}

// FuzzDialogue sends arbitrary octets after a greeting. Whatever happens, a mail
// that is taken has strict addresses, an allowed recipient, and CRLF lines only.
func FuzzDialogue(f *testing.F) {
	files, _ := filepath.Glob("testdata/dialogues/*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var octets []byte
		for line := range strings.Lines(string(text)) {
			line = strings.TrimRight(line, "\n")
			if rest, ok := strings.CutPrefix(line, "C: "); ok {
				octets = append(octets, rest+"\r\n"...)
			} else if rest, ok := strings.CutPrefix(line, "R: "); ok {
				raw, _ := strconv.Unquote(rest)
				octets = append(octets, raw...)
			}
		}
		f.Add(octets)
	}
	s, mails := serve(f, nil)
	f.Fuzz(func(t *testing.T, octets []byte) {
		p := dial(t, s)
		go func() {
			p.Write(octets)
			p.Conn.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(io.Discard, p.r)
		mails.mu.Lock()
		defer mails.mu.Unlock()
		for _, m := range mails.mails {
			if message.HasBare([]byte(m.body)) || strings.Contains(m.body, "\x00") {
				t.Fatalf("taken %q", m.body)
			}
			for _, to := range m.env.To {
				if !strings.HasSuffix(to, "example.com") || strings.Count(to, "@") != 1 {
					t.Fatalf("recipient %q", to)
				}
			}
		}
		mails.mails = nil
	})
}
