package relay

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/keeper"
	"github.com/flowgraf/flowgraf/relay/monitor"
)

// sink is a next server that keeps what it gets.
type sink struct {
	addr   string
	server *smtp.Server

	mu     sync.Mutex
	mails  []sunk
	refuse map[string]*smtp.SMTPError // by recipient
	hold   chan struct{}              // until it is closed, the end of a mail is not answered
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

func newSink(t testing.TB, addr string) *sink { return newSinkWith(t, addr, nil) }

func newSinkWith(t testing.TB, addr string, config *tls.Config) *sink {
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
	k.server.TLSConfig = config
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
	s.mails = append(s.mails, sunk{s.from, s.to, string(b)})
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
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
		Spool: t.TempDir(), Smarthosts: []string{"smtp://" + smarthost},
		Delivery: delivery.Options{TLS: delivery.TLSNone},
		Monitor:  monitor.New(testLog{t}, nil),
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
		c.mail("a@client.example.com", "ops@example.com",
			fmt.Sprintf("Subject: %d\r\nBcc: x@y\r\n\r\nline\r\n.dot\r\n", i))
	}
	got := k.await(t, 30)
	for _, m := range got {
		if m.from != "a@client.example.com" || len(m.to) != 1 || m.to[0] != "ops@example.com" {
			t.Errorf("envelope %q %q", m.from, m.to)
		}
		if !strings.HasPrefix(m.body,
			"Received: from client.example.com ([127.0.0.1])\r\n\tby relay.example.com (flowgraf)") ||
			!strings.HasSuffix(m.body, "\r\n\r\nline\r\n.dot\r\n") || strings.Contains(m.body, "Bcc") ||
			!strings.Contains(m.body, "\r\nDate: ") || !strings.Contains(m.body, "\r\nMessage-ID: <") {
			t.Errorf("message %q", m.body)
		}
	}
}

// Mail waits while the smarthost is down, survives a restart, and leaves when it is
// back.
func TestSmarthostDown(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := dead.Addr().String()
	dead.Close()
	opts := testOptions(t, addr)
	r := start(t, opts)
	dial(t, r).mail("a@example.com", "ops@example.com", "Subject: x\r\n\r\nhello\r\n")
	r.Stop()
	r.Stop()
	k := newSink(t, addr)
	start(t, opts)
	if got := k.await(t, 1); !strings.HasSuffix(got[0].body, "\r\n\r\nhello\r\n") {
		t.Errorf("message %q", got[0].body)
	}
}

func TestBounce(t *testing.T) {
	for _, tt := range []struct {
		name, from string
		bounces    int64
	}{
		{"sender in relay_domains", "cron@host.example.com", 1},
		{"sender elsewhere", "cron@example.net", 0},
		{"null sender", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newSink(t, "127.0.0.1:0")
			k.refuse["bad@example.com"] = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1},
				Message: "no such user"}
			opts := testOptions(t, k.addr)
			r := start(t, opts)
			dial(t, r).mail(tt.from, "bad@example.com", "Subject: lost\r\n\r\nsecret\r\n")
			failed := func() []os.DirEntry {
				entries, err := os.ReadDir(filepath.Join(opts.Spool, "failed"))
				if err != nil {
					t.Fatal(err)
				}
				return entries
			}
			for range 1000 {
				if len(failed()) == 1 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if len(failed()) != 1 {
				t.Fatal("the failed mail is not kept")
			}
			mon := opts.Monitor
			if mon.Total(monitor.Bounced) != tt.bounces || mon.Total(monitor.BouncesWithheld) != 1-tt.bounces {
				t.Errorf("%d bounces, %d withheld", mon.Total(monitor.Bounced), mon.Total(monitor.BouncesWithheld))
			}
			if tt.bounces == 0 {
				return
			}
			m := k.await(t, 1)[0]
			if m.from != "" || m.to[0] != tt.from {
				t.Errorf("bounce from %q to %q", m.from, m.to)
			}
			for _, want := range []string{"multipart/report; report-type=delivery-status", "Action: failed",
				"Status: 5.1.1", "Final-Recipient: rfc822; bad@example.com",
				"Diagnostic-Code: smtp; 550 5.1.1 no such user", "Subject: lost"} {
				if !strings.Contains(m.body, want) {
					t.Errorf("the bounce lacks %q:\n%s", want, m.body)
				}
			}
			if strings.Contains(m.body, "secret") {
				t.Error("the bounce returns the body")
			}
		})
	}
}

// A smarthost's certificate must be verified, and TLS must not be talked away.
func TestTLS(t *testing.T) {
	cert, roots := certificate(t, "127.0.0.1")
	wrongCert, wrongRoots := certificate(t, "192.0.2.1")
	authority := newAuthority(t)
	expired := authority.issue(t, "127.0.0.1", time.Now().Add(-time.Hour))
	tests := []struct {
		name   string
		mode   string
		server *tls.Certificate
		roots  *x509.CertPool
		want   bool
	}{
		{"required, verified", "required", &cert, roots, true},
		{"required by default", "", &cert, roots, true},
		{"required, unknown authority", "required", &cert, x509.NewCertPool(), false},
		{"required, other name", "required", &wrongCert, wrongRoots, false},
		{"required, expired", "required", &expired, authority.pool, false},
		{"opportunistic, expired", "opportunistic", &expired, authority.pool, true},
		{"required, not offered", "required", nil, roots, false},
		{"opportunistic, not verified", "opportunistic", &wrongCert, roots, true},
		{"opportunistic, not offered", "opportunistic", nil, roots, true},
		{"none", "none", &cert, roots, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newSinkTLS(t, tt.server)
			opts := testOptions(t, k.addr)
			opts.Delivery.TLS = delivery.TLSMode(tt.mode)
			opts.Delivery.TLSConfig = &tls.Config{RootCAs: tt.roots}
			r := start(t, opts)
			dial(t, r).mail("a@example.com", "ops@example.com", "Subject: x\r\n\r\n")
			if tt.want {
				k.await(t, 1)
				return
			}
			for opts.Monitor.Total(monitor.HostErrors) == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			if len(k.got()) != 0 || r.Waiting() != 1 {
				t.Error("the mail left over an unverified connection")
			}
		})
	}
}

func newSinkTLS(t testing.TB, cert *tls.Certificate) *sink {
	t.Helper()
	if cert == nil {
		return newSink(t, "127.0.0.1:0")
	}
	return newSinkWith(t, "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}})
}

func certificate(t testing.TB, ip string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(ip)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// A relay that is its own smarthost must not send a mail round for ever.
func TestLoop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	opts := testOptions(t, addr)
	opts.Listen = []string{addr}
	r := start(t, opts)
	dial(t, r).mail("", "ops@example.com", "Subject: x\r\n\r\n")
	for r.Waiting() > 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if n := opts.Monitor.Total(monitor.Failed); n != 1 {
		t.Errorf("%d recipients failed, want 1", n)
	}
}

// kills is for the long run of TestKill: go test ./relay -run Kill -kills 300.
var kills = flag.Int("kills", 0, "kill the relay so many times, under 50 clients")

// killedRelay tells the child of TestKill its spool and its smarthost.
const killedRelay = "FLOWGRAF_TEST_KILLED_RELAY"

func TestMain(m *testing.M) {
	if args := os.Getenv(killedRelay); args != "" {
		relayUntilKilled(args)
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "keep-connections" {
		if err := keeper.Run(os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

func relayUntilKilled(args string) {
	spool, smarthost, _ := strings.Cut(args, "|")
	r, err := New(Options{
		Listen: []string{"127.0.0.1:0"}, Hostname: "relay.example.com", RelayNets: []string{"any"},
		RelayDomains: []string{"any"},
		Spool:        spool, Smarthosts: []string{"smtp://" + smarthost},
		Delivery: delivery.Options{TLS: delivery.TLSNone}, Monitor: monitor.New(nil, nil),
	})
	if err == nil {
		err = r.Start(context.Background())
	}
	if err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println(r.Addrs()[0])
	select {}
}

// Every mail answered 250 arrives at least once, octet for octet, over many kills
// of the relay under load, the smarthost being away half of the time.
func TestKill(t *testing.T) {
	runs, clients := 6, 8
	switch {
	case *kills > 0:
		runs, clients = *kills, 50
	case testing.Short():
		runs = 2
	}
	spool := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	arrived := map[string]int{}
	var k *sink
	collect := func() {
		for _, m := range k.got() {
			subject, body, _ := strings.Cut(m.body, "\r\n\r\n")
			_, subject, _ = strings.Cut(subject, "Subject: ")
			if body != messageOf(subject) {
				t.Errorf("mail %q has other octets", subject)
			}
			arrived[subject]++
		}
	}
	for run := range runs {
		if run%2 == 0 {
			k = newSink(t, addr)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killedRelay+"="+spool+"|"+addr)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		listen, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil || strings.HasPrefix(listen, "error") {
			t.Fatalf("the child says %q, %v", listen, err)
		}
		timer := time.AfterFunc(time.Duration(100+mathrand.IntN(300))*time.Millisecond, func() { cmd.Process.Kill() })
		var wg sync.WaitGroup
		for worker := range clients {
			wg.Go(func() {
				for i := 0; ; i++ {
					subject := fmt.Sprintf("%d-%d-%d", run, worker, i)
					if !sendOne(strings.TrimSpace(listen), subject) {
						return
					}
					mu.Lock()
					acknowledged[subject] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		timer.Stop()
		cmd.Wait()
		if run%2 == 0 {
			collect()
			k.server.Close()
		}
	}
	k = newSink(t, addr)
	r := start(t, Options{
		Hostname: "relay.example.com", RelayNets: []string{"any"}, RelayDomains: []string{"any"}, Spool: spool,
		Smarthosts: []string{"smtp://" + addr}, Delivery: delivery.Options{TLS: delivery.TLSNone},
		Monitor: monitor.New(testLog{t}, nil),
	})
	for range 3000 {
		if r.Waiting() == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	collect()
	lost, twice := 0, 0
	for subject := range acknowledged {
		if arrived[subject] == 0 {
			lost++
		}
		if arrived[subject] > 1 {
			twice++
		}
	}
	t.Logf("%d mails acknowledged, %d arrived twice", len(acknowledged), twice)
	if lost > 0 || len(acknowledged) == 0 {
		t.Errorf("%d of %d acknowledged mails are lost", lost, len(acknowledged))
	}
}

func messageOf(subject string) string {
	return strings.Repeat("line of "+subject+"\r\n", len(subject)*7)
}

// sendOne sends a mail on a connection of its own; true when it was answered 250.
func sendOne(addr, subject string) bool {
	c, err := textproto.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer c.Close()
	if _, _, err := c.ReadResponse(220); err != nil {
		return false
	}
	for _, step := range []struct {
		code int
		line string
	}{
		{250, "EHLO c"}, {250, "MAIL FROM:<>"}, {250, "RCPT TO:<x@example.com>"}, {354, "DATA"},
		{250, "Subject: " + subject + "\r\n\r\n" + messageOf(subject) + "."},
	} {
		if err := c.PrintfLine("%s", step.line); err != nil {
			return false
		}
		if _, _, err := c.ReadResponse(step.code); err != nil {
			return false
		}
	}
	return true
}

func TestNewRefuses(t *testing.T) {
	good := testOptions(t, "127.0.0.1:25")
	for name, edit := range map[string]func(*Options){
		"hostname":       func(o *Options) { o.Hostname = "a b" },
		"spool":          func(o *Options) { o.Spool = "" },
		"relay_nets":     func(o *Options) { o.RelayNets = nil },
		"relay_domains":  func(o *Options) { o.RelayDomains = nil },
		"listen":         func(o *Options) { o.Listen = []string{"127.0.0.1"} },
		"smarthosts":     func(o *Options) { o.Smarthosts = nil },
		"smarthost_tls":  func(o *Options) { o.Delivery.TLS = "yes" },
		"dkim_key":       func(o *Options) { o.DKIMDomain, o.DKIMSelector = "example.com", "mail" },
		"aliases":        func(o *Options) { o.Aliases = map[string][]string{"root": {"a@example.net"}} },
		"auth":           func(o *Options) { o.Auth = "yes" },
		"helo":           func(o *Options) { o.SMTPD.Helo = "yes" },
		"tls_cert":       func(o *Options) { o.Listen = []string{"smtps://127.0.0.1:0"} },
		"sender_domains": func(o *Options) { o.SenderDomains = []string{"*"} },
		"negative":       func(o *Options) { o.Delivery.ExpireAfter = -1 },
	} {
		opts := good
		edit(&opts)
		if _, err := New(opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A mail to root is taken for its alias, with the visible domain as its sender, and
// goes into a mailbox: no mail server is needed.
func TestAliasToMailbox(t *testing.T) {
	dir := t.TempDir()
	opts := testOptions(t, "127.0.0.1:25")
	opts.Smarthosts = []string{"maildir://" + dir + "/{user}"}
	opts.LocalDomains, opts.VisibleDomain = []string{"db1.internal"}, "example.com"
	opts.Aliases = map[string][]string{"root": {"ops@example.com"}}
	r := start(t, opts)
	c := dial(t, r)
	c.mail("root@db1.internal", "root@localhost", "From: root@db1.internal\r\nSubject: cron\r\n\r\nhello\r\n")
	c.say(250, "MAIL FROM:<root@db1.internal>")
	c.say(550, "RCPT TO:<nobody@localhost>")
	for r.Waiting() > 0 {
		time.Sleep(time.Millisecond)
	}
	files, _ := filepath.Glob(dir + "/ops/new/*")
	if len(files) != 1 {
		t.Fatalf("in the maildir: %v", files)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Return-Path: <root@example.com>\n", "Delivered-To: ops@example.com\n",
		"\nFrom: root@example.com\n", "\n\nhello\n"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("lacks %q:\n%s", want, b)
		}
	}
}
