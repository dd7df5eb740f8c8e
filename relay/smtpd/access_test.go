package smtpd

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/policy"
)

// writeCertificate makes a certificate for 127.0.0.1 with this serial number, and
// gives the pool that trusts it.
func writeCertificate(t testing.TB, certFile, keyFile string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file, kind string, b []byte) {
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(certFile, "CERTIFICATE", der)
	write(keyFile, "PRIVATE KEY", private)
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	return pool
}

// serveTLS starts a server with a listener of this mode.
func serveTLS(t testing.TB, mode Mode, edit func(*Options)) (*Server, *store, *tls.Config) {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := writeCertificate(t, cert, key, 1)
	config, err := TLSConfig(cert, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, mails := serve(t, func(o *Options) {
		o.Listen = []Listener{{Addr: "127.0.0.1:0", Mode: mode}}
		o.TLS, o.failureDelay = config, time.Millisecond
		if edit != nil {
			edit(o)
		}
	})
	return s, mails, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
}

// encrypt makes the client's handshake.
func (p *peer) encrypt(config *tls.Config) {
	p.t.Helper()
	secure := tls.Client(p.Conn, config)
	if err := secure.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	p.Conn, p.r = secure, bufio.NewReader(secure)
}

func TestStartTLS(t *testing.T) {
	s, mails, config := serveTLS(t, StartTLS, nil)
	p := dial(t, s)
	p.expect("220")
	p.send("EHLO c\r\n")
	if r := p.reply(); !strings.Contains(r, "250-STARTTLS\r\n") {
		t.Fatalf("EHLO gives %q", r)
	}
	p.send("MAIL FROM:<a@example.com>\r\n")
	p.expect("530 5.7.0")
	p.send("STARTTLS now\r\n")
	p.expect("501")
	p.send("STARTTLS\r\n")
	p.expect("220")
	p.encrypt(config)
	p.send("MAIL FROM:<a@example.com>\r\n")
	p.expect("503 5.5.1 EHLO first") // nothing from before the handshake counts
	p.send("EHLO c\r\n")
	if r := p.reply(); strings.Contains(r, "STARTTLS") {
		t.Fatalf("EHLO gives %q", r)
	}
	p.send("STARTTLS\r\n")
	p.expect("502")
	p.data()
	p.send("Subject: x\r\n\r\n.\r\n")
	p.expect("250")
	if got := mails.got(); len(got) != 1 || !strings.Contains(got[0].body, "with ESMTPS id") {
		t.Errorf("taken %v", got)
	}
}

func TestImplicitTLS(t *testing.T) {
	s, mails, config := serveTLS(t, ImplicitTLS, nil)
	p := dial(t, s)
	p.encrypt(config)
	p.begin()
	p.data()
	p.send("Subject: x\r\n\r\n.\r\n")
	p.expect("250")
	p.send("QUIT\r\n")
	p.expect("221")
	p.closed()
	if len(mails.got()) != 1 {
		t.Error("not taken")
	}
	p = dial(t, s) // a client that speaks plain text
	p.send("EHLO c\r\n")
	if b, err := p.r.Peek(1); err == nil && b[0] == '2' {
		t.Error("answered in plain text")
	}
}

// Commands sent behind STARTTLS in plain text must never be obeyed after the
// handshake (CVE-2011-0411 in other servers).
func TestStartTLSInjection(t *testing.T) {
	s, _, _ := serveTLS(t, StartTLS, nil)
	p := dial(t, s)
	p.begin()
	p.send("STARTTLS\r\nRSET\r\n")
	p.expect("554 5.5.1")
	p.closed()
}

// A body that ends with close_notify instead of a dot is cut short.
func TestTLSCut(t *testing.T) {
	for _, data := range []string{"DATA\r\n", "BDAT 100 LAST\r\n"} {
		s, mails, config := serveTLS(t, ImplicitTLS, nil)
		p := dial(t, s)
		p.encrypt(config)
		p.begin()
		p.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n" + data + "Subject: x\r\n\r\nhalf\r\n")
		p.Conn.(*tls.Conn).CloseWrite()
		for {
			if _, err := p.r.ReadString('\n'); err != nil {
				break
			}
		}
		s.Stop()
		if n := len(mails.got()); n != 0 {
			t.Errorf("%q: %d mails taken", data, n)
		}
	}
}

func TestFailedHandshakeEndsTheConnection(t *testing.T) {
	s, _, _ := serveTLS(t, StartTLS, nil)
	p := dial(t, s)
	p.begin()
	p.send("STARTTLS\r\n")
	p.expect("220")
	p.send("NOOP\r\nNOOP\r\n")
	for {
		line, err := p.r.ReadString('\n')
		if strings.HasPrefix(line, "250") {
			t.Fatal("commands are taken after a failed handshake")
		}
		if err != nil {
			return
		}
	}
}

func TestCertificateIsRenewed(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key, 1)
	c := &certificate{certFile: cert, keyFile: key}
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		leaf, err := x509.ParseCertificate(c.get().Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	writeCertificate(t, cert, key, 2)
	later := time.Now().Add(time.Hour)
	os.Chtimes(cert, later, later)
	if serial() != 1 {
		t.Error("looked at too soon")
	}
	c.looked = time.Time{}
	if serial() != 2 {
		t.Error("a renewed certificate is not taken")
	}
	os.WriteFile(key, []byte("no key"), 0o600)
	os.Chtimes(key, later.Add(time.Hour), later.Add(time.Hour))
	c.looked = time.Time{}
	if serial() != 2 {
		t.Error("a broken one is taken")
	}
	if _, err := TLSConfig(cert, key, nil); err == nil || !strings.Contains(err.Error(), "tls_key") {
		t.Errorf("error %v", err)
	}
}

func withUser(t testing.TB) func(*Options) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := Hash(string(hash))
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) { o.Users, o.RequireAuth = map[string]Verifier{"kapacitor": verifier}, true }
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestAuth(t *testing.T) {
	good := encoded("\x00kapacitor\x00secret")
	for _, tt := range []struct {
		name     string
		dialogue []string // client, server, client, …
		mail     string
	}{
		{"PLAIN at once", []string{"AUTH PLAIN " + good, "235"}, "250"},
		{"PLAIN asked for", []string{"auth plain", "334", good, "235"}, "250"},
		{"PLAIN for himself", []string{"AUTH PLAIN " + encoded("kapacitor\x00kapacitor\x00secret"), "235"}, "250"},
		{"LOGIN", []string{"AUTH LOGIN", "334 VXNlcm5hbWU6", encoded("kapacitor"), "334 UGFzc3dvcmQ6",
			encoded("secret"), "235"}, "250"},
		{"LOGIN with the name", []string{"AUTH LOGIN " + encoded("kapacitor"), "334", encoded("secret"), "235"}, "250"},
		{"twice", []string{"AUTH PLAIN " + good, "235", "AUTH PLAIN " + good, "503"}, "250"},
		{"none", nil, "530 5.7.0"},
		{"wrong password", []string{"AUTH PLAIN " + encoded("\x00kapacitor\x00Secret"), "535 5.7.8"}, "530"},
		{"no such user", []string{"AUTH PLAIN " + encoded("\x00root\x00secret"), "535 5.7.8"}, "530"},
		{"for another", []string{"AUTH PLAIN " + encoded("root\x00kapacitor\x00secret"), "501"}, "530"},
		{"empty password", []string{"AUTH PLAIN " + encoded("\x00kapacitor\x00"), "501"}, "530"},
		{"empty", []string{"AUTH PLAIN =", "501"}, "530"},
		{"canceled", []string{"AUTH LOGIN", "334", "*", "501"}, "530"},
		{"no base64", []string{"AUTH PLAIN !", "501"}, "530"},
		{"no mechanism", []string{"AUTH", "504"}, "530"},
		{"CRAM-MD5 needs plain passwords", []string{"AUTH CRAM-MD5", "504"}, "530"},
		{"second try", []string{"AUTH PLAIN " + encoded("\x00kapacitor\x00x"), "535", "AUTH PLAIN " + good, "235"},
			"250"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, config := serveTLS(t, StartTLS, withUser(t))
			p := dial(t, s)
			p.expect("220")
			p.send("EHLO c\r\n")
			if r := p.reply(); strings.Contains(r, "AUTH") {
				t.Fatalf("offered without TLS: %q", r)
			}
			p.send("AUTH PLAIN " + good + "\r\n")
			p.expect("538")
			p.send("STARTTLS\r\n")
			p.expect("220")
			p.encrypt(config)
			p.send("EHLO c\r\n")
			if r := p.reply(); !strings.Contains(r, "250-AUTH PLAIN LOGIN\r\n") {
				t.Fatalf("EHLO gives %q", r)
			}
			for i := 0; i < len(tt.dialogue); i += 2 {
				p.send(tt.dialogue[i] + "\r\n")
				p.expect(tt.dialogue[i+1])
			}
			p.send("MAIL FROM:<a@example.com>\r\n")
			p.expect(tt.mail)
		})
	}
}

func TestGuessingIsEnded(t *testing.T) {
	s, _, config := serveTLS(t, ImplicitTLS, withUser(t))
	tries := 0
	for range 5 {
		p := dial(t, s)
		p.encrypt(config)
		p.begin()
		for {
			p.send("AUTH PLAIN " + encoded("\x00kapacitor\x00guess") + "\r\n")
			if strings.HasPrefix(p.reply(), "421") {
				p.closed()
				break
			}
			tries++
		}
	}
	if tries >= failuresPerMinute {
		t.Errorf("%d tries a minute", tries)
	}
	p := dial(t, s)
	p.encrypt(config)
	p.begin()
	p.send("AUTH PLAIN " + encoded("\x00kapacitor\x00secret") + "\r\n")
	p.expect("421 4.7.0")
}

func TestHashRefuses(t *testing.T) {
	for _, hash := range []string{"", "secret", "$6$salt$hash", "$2y$99$x"} {
		if _, err := Hash(hash); err == nil {
			t.Errorf("%q is taken", hash)
		}
	}
}

func TestSenderRule(t *testing.T) {
	s, _ := serve(t, func(o *Options) {
		o.Senders, _ = policy.NewDomains("sender_domains", []string{"example.com", ".example.net"})
	})
	p := dial(t, s)
	p.begin()
	for from, want := range map[string]string{
		"a@example.com": "250", "a@db1.example.net": "250", "a@example.net": "550 5.7.1", "": "550 5.7.1",
		"a@db1.example.com": "550",
	} {
		p.send("MAIL FROM:<" + from + ">\r\n")
		p.expect(want)
		p.send("RSET\r\n")
		p.expect("250")
	}
}

func TestHeloRules(t *testing.T) {
	for _, tt := range []struct {
		rule HeloRule
		name string
		want bool
	}{
		{HeloAny, "my_host", true}, {"", "my_host", true}, {HeloName, "my_host", false}, {HeloName, "localhost", true},
		{HeloName, "[192.0.2.1]", true}, {HeloName, "[IPv6:2001:db8::1]", true}, {HeloName, "[192.0.2.1", false},
		{HeloName, "[x]", false}, {HeloFQDN, "localhost", false}, {HeloFQDN, "db1.example.com", true},
		{HeloFQDN, "192.0.2.1", false},
	} {
		if got := tt.rule.allows(tt.name); got != tt.want {
			t.Errorf("rule %q, name %q: %v", tt.rule, tt.name, got)
		}
	}
	s, _ := serve(t, func(o *Options) { o.Helo = HeloFQDN })
	p := dial(t, s)
	p.expect("220")
	p.send("EHLO localhost\r\n")
	p.expect("550 5.7.1")
	p.send("MAIL FROM:<a@example.com>\r\n")
	p.expect("503")
	p.send("EHLO db1.example.com\r\n")
	p.expect("250")
}

func TestClientLimits(t *testing.T) {
	s, mails := serve(t, func(o *Options) { o.Limits = Limits{Connections: 2, Messages: 3, Recipients: 5} })
	first, second := dial(t, s), dial(t, s)
	first.begin()
	second.expect("220")
	third := dial(t, s)
	third.expect("421 4.7.0")
	third.closed()
	for range 3 {
		first.data()
		first.send("Subject: x\r\n\r\n.\r\n")
		first.expect("250")
	}
	first.send("MAIL FROM:<a@example.com>\r\n")
	first.expect("450 4.7.1")
	if n := len(mails.got()); n != 3 {
		t.Errorf("%d mails taken", n)
	}
	if s.options().Monitor.Get(monitor.Refused, "message rate") != 1 ||
		s.options().Monitor.Get(monitor.Refused, "client connections") != 1 {
		t.Error("not counted")
	}

	s, _ = serve(t, func(o *Options) { o.Limits = Limits{Recipients: 2} })
	p := dial(t, s)
	p.begin()
	p.send("MAIL FROM:<a@example.com>\r\n")
	p.expect("250")
	for i, want := range []string{"250", "250", "450 4.7.1"} {
		p.send(fmt.Sprintf("RCPT TO:<u%d@example.com>\r\n", i))
		p.expect(want)
	}
}

func TestLimiterRefillsAndForgets(t *testing.T) {
	var b bucket
	now := time.Now()
	for range 60 {
		if !b.takeToken(60, now) {
			t.Fatal("a minute's worth is not given at once")
		}
	}
	if b.takeToken(60, now) || b.takeToken(60, now.Add(-time.Hour)) || !b.takeToken(60, now.Add(2*time.Second)) {
		t.Error("does not refill one a second, or runs backwards with the clock")
	}
	l := newLimiter(Limits{Connections: 1, Messages: 1})
	held := netip.MustParseAddr("192.0.2.1")
	l.connect(held)
	for i := range 3 * maxClients {
		l.message(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if len(l.clients) > maxClients {
		t.Errorf("%d clients are remembered", len(l.clients))
	}
	if l.mayConnect(held) {
		t.Error("a client with a connection was forgotten")
	}
	a, b6 := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff")
	if !l.message(a) || l.message(b6) {
		t.Error("addresses of one IPv6 network count apart")
	}
}

func TestParseListener(t *testing.T) {
	for in, want := range map[string]Listener{
		"127.0.0.1:25": {"127.0.0.1:25", Plain}, ":25": {":25", Plain}, "smtp://[::1]:25": {"[::1]:25", Plain},
		"starttls://0.0.0.0:587": {"0.0.0.0:587", StartTLS}, "smtps://:465/": {":465", ImplicitTLS},
	} {
		if got, err := ParseListener(in); err != nil || got != want {
			t.Errorf("%q gives %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "127.0.0.1", "tls://:465", "smtp://", "smtp://a@b:25", "smtps://:465/x",
		"smtp://host:"} {
		if l, err := ParseListener(in); err == nil {
			t.Errorf("%q gives %+v", in, l)
		}
	}
}

func FuzzParseListener(f *testing.F) {
	for _, seed := range []string{"127.0.0.1:25", "starttls://[::1]:587", "smtps://:465", "smtp://a:b@c:1", "://"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseListener(s)
		if err != nil {
			return
		}
		if again, err := ParseListener(string(l.Mode) + "://" + l.Addr); err != nil || again != l {
			t.Fatalf("%q gives %+v, which gives %+v, %v", s, l, again, err)
		}
	})
}

// FuzzAuth sends arbitrary lines in the course of a login; nobody gets in without
// the password.
func FuzzAuth(f *testing.F) {
	for _, seed := range []string{"AUTH PLAIN\r\n=\r\n", "AUTH LOGIN\r\n*\r\n", "AUTH PLAIN AGEAYg==\r\n",
		"AUTH LOGIN YQ==\r\nYg==\r\n"} {
		f.Add([]byte(seed))
	}
	s, mails, config := serveTLS(f, ImplicitTLS, func(o *Options) {
		o.Users, o.RequireAuth = map[string]Verifier{"a": func([]byte) bool { return false }}, true
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		s.limiter.mu.Lock()
		clear(s.limiter.clients)
		s.limiter.mu.Unlock()
		p := dial(t, s)
		defer p.Close()
		p.encrypt(config)
		p.begin()
		p.send(string(b) + "\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
		for {
			if _, err := p.r.ReadString('\n'); err != nil {
				break
			}
		}
		if len(mails.got()) != 0 {
			t.Fatal("taken without a login")
		}
	})
}
