package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/monitor"
)

// nameServer is a DNS server on loopback, UDP and TCP, for the zone that it holds.
type nameServer struct {
	addr string

	mu      sync.Mutex
	records map[string][]dns.RR // by name and type
	names   map[string]bool
	refuse  map[string]int // rcode by name
	asked   map[string]int
}

func newNameServer(t testing.TB, zone ...string) *nameServer {
	t.Helper()
	s := &nameServer{refuse: map[string]int{}, asked: map[string]int{}}
	s.set(t, zone...)
	packets, stream := listenOnBoth(t)
	s.addr = stream.Addr().String()
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: s}, {Listener: stream, Handler: s}} {
		go server.ActivateAndServe()
		t.Cleanup(func() { server.Shutdown() })
	}
	return s
}

// listenOnBoth listens on a port that is free for UDP as for TCP, and none of those that the
// system gives to clients.
func listenOnBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 50 {
		stream, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", directPort(t)))
		if err != nil {
			continue // somebody else was faster
		}
		packets, err := net.ListenPacket("udp", stream.Addr().String())
		if err == nil {
			return packets, stream
		}
		stream.Close()
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

// set replaces the zone.
func (s *nameServer) set(t testing.TB, zone ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records, s.names = map[string][]dns.RR{}, map[string]bool{}
	for _, line := range zone {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.ToLower(rr.Header().Name)
		key := name + dns.TypeToString[rr.Header().Rrtype]
		s.records[key] = append(s.records[key], rr)
		s.names[name] = true
	}
}

// ServeDNS implements dns.Handler.
func (s *nameServer) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	question := r.Question[0]
	name := strings.ToLower(question.Name)
	s.asked[dns.TypeToString[question.Qtype]+" "+name]++
	answer := new(dns.Msg).SetReply(r)
	answer.Authoritative = true
	answer.Answer = s.records[name+dns.TypeToString[question.Qtype]]
	switch {
	case s.refuse[name] != 0:
		answer.Rcode, answer.Answer = s.refuse[name], nil
	case !s.names[name]:
		answer.Rcode = dns.RcodeNameError
	}
	w.WriteMsg(answer)
}

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	last atomic.Int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	a.last.Store(1)
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// issue gives a certificate for a name, or an address, that is good until then.
func (a *authority) issue(t testing.TB, name string, until time.Time) tls.Certificate {
	t.Helper()
	leaf := &x509.Certificate{SerialNumber: big.NewInt(a.last.Add(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-47 * time.Hour), NotAfter: until}
	if ip := net.ParseIP(name); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{name}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// policySite serves a domain's MTA-STS policy over HTTPS on loopback.
func policySite(t testing.TB, a *authority, domain, text string) *http.Transport {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/mta-sts.txt" || r.Host != "mta-sts."+domain {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, text)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{a.issue(t, "mta-sts."+domain, time.Now().Add(time.Hour))}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: a.pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}
}

// directPort gives a port that is free on 127.0.0.1 to 127.0.0.4, because the servers
// of all domains have one port. It is none that the system gives to clients, which would
// take it from other tests before it is used.
func directPort(t testing.TB) string {
	t.Helper()
	for range 50 {
		port := strconv.Itoa(20_000 + mathrand.IntN(12_000))
		free := true
		for _, ip := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"} {
			l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return port
		}
	}
	t.Fatal("no port is free on four loopback addresses")
	return ""
}

// directOptions are those of a relay that sends to the servers that dns names.
func directOptions(t testing.TB, s *nameServer, port string) Options {
	opts := testOptions(t, "unused:25")
	opts.RelayDomains = []string{"any"}
	opts.Smarthosts, opts.DNSServers = []string{"mx://:" + port}, []string{s.addr}
	return opts
}

// settle waits until so many mails wait, all others being done, and something was
// learnt about them.
func settle(t testing.TB, r *Relay, mon *monitor.Monitor, waiting int) {
	t.Helper()
	for range 1500 {
		tried := waiting == 0 || mon.Total(monitor.HostErrors)+mon.Total(monitor.PutOff) > 0
		if r.Waiting() == waiting && tried {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d mails wait, want %d; %d errors of servers", r.Waiting(), waiting, mon.Total(monitor.HostErrors))
}

// Servers are found and tried as RFC 5321 section 5.1 and RFC 7505 say.
func TestDirect(t *testing.T) {
	for _, tt := range []struct {
		name    string
		zone    []string
		up      []string // addresses with a server
		edit    func(s *nameServer, opts *Options)
		sunk    string // address of the server that has the mail
		status  string // of a failure for good
		waiting bool
	}{
		{"lowest preference first", []string{"example.net. MX 20 b.example.net.", "example.net. MX 10 a.example.net.",
			"a.example.net. A 127.0.0.2", "b.example.net. A 127.0.0.3"},
			[]string{"127.0.0.2", "127.0.0.3"}, nil, "127.0.0.2", "", false},
		{"next when down", []string{"example.net. MX 10 a.example.net.", "example.net. MX 20 b.example.net.",
			"a.example.net. A 127.0.0.2", "b.example.net. A 127.0.0.3"},
			[]string{"127.0.0.3"}, nil, "127.0.0.3", "", false},
		{"next address when down", []string{"example.net. MX 10 a.example.net.", "a.example.net. A 127.0.0.2",
			"a.example.net. AAAA ::1", "a.example.net. A 127.0.0.3"},
			[]string{"127.0.0.3"}, nil, "127.0.0.3", "", false},
		{"an MX that does not exist is passed over",
			[]string{"example.net. MX 10 gone.example.net.", "example.net. MX 20 b.example.net.",
				"b.example.net. A 127.0.0.3"},
			[]string{"127.0.0.3"}, nil, "127.0.0.3", "", false},
		{"no MX: the domain's address", []string{"example.net. A 127.0.0.2"}, []string{"127.0.0.2"}, nil, "127.0.0.2",
			"", false},
		{"MX only, no fall-back to the address",
			[]string{"example.net. A 127.0.0.2", "example.net. MX 10 gone.example.net."}, []string{"127.0.0.2"}, nil,
			"", "", true},
		{"null MX", []string{"example.net. MX 0 .", "example.net. A 127.0.0.2"}, []string{"127.0.0.2"}, nil, "",
			"5.1.10", false},
		{"no such domain", nil, nil, nil, "", "5.1.2", false},
		{"neither MX nor address", []string{"example.net. TXT x"}, nil, nil, "", "5.1.2", false},
		{"SERVFAIL", []string{"example.net. A 127.0.0.2"}, []string{"127.0.0.2"},
			func(s *nameServer, _ *Options) { s.refuse["example.net."] = dns.RcodeServerFailure }, "", "", true},
		{"SERVFAIL of the address", []string{"example.net. MX 10 a.example.net.", "a.example.net. A 127.0.0.2"},
			[]string{"127.0.0.2"}, func(s *nameServer,
				_ *Options) {
				s.refuse["a.example.net."] = dns.RcodeServerFailure
			}, "", "", true},
		{"no DNS server", []string{"example.net. A 127.0.0.2"}, []string{"127.0.0.2"},
			func(_ *nameServer, o *Options) { o.DNSServers = []string{"127.0.0.1:1"} }, "", "", true},
		{"all down", []string{"example.net. MX 10 a.example.net.", "a.example.net. A 127.0.0.2"}, nil, nil, "", "",
			true},
		{"we are the best MX", []string{"example.net. MX 10 relay.example.com.", "relay.example.com. A 127.0.0.2",
			"example.net. MX 20 b.example.net.", "b.example.net. A 127.0.0.3"},
			[]string{"127.0.0.2", "127.0.0.3"}, nil, "", "5.4.6", false},
		{"we are the second MX", []string{"example.net. MX 10 a.example.net.", "example.net. MX 20 relay.example.com.",
			"a.example.net. A 127.0.0.2", "relay.example.com. A 127.0.0.3"},
			[]string{"127.0.0.3"}, nil, "", "", true},
		{"the MX has our address", []string{"example.net. MX 10 a.example.net.", "a.example.net. A 127.0.0.1"}, nil,
			func(_ *nameServer, o *Options) {
				o.Listen = []string{"127.0.0.1:" + strings.TrimPrefix(o.Smarthosts[0], "mx://:")}
			}, "", "5.4.6", false},
		{"DNS away, a smarthost behind", []string{}, []string{"127.0.0.4"}, func(s *nameServer, o *Options) {
			s.refuse["example.net."] = dns.RcodeServerFailure
			o.Smarthosts = append(o.Smarthosts, "smtp://127.0.0.4:"+strings.TrimPrefix(o.Smarthosts[0], "mx://:"))
		}, "127.0.0.4", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newNameServer(t, tt.zone...)
			port := directPort(t)
			sinks := map[string]*sink{}
			for _, ip := range tt.up {
				sinks[ip] = newSink(t, net.JoinHostPort(ip, port))
			}
			opts := directOptions(t, s, port)
			if tt.edit != nil {
				s.mu.Lock()
				tt.edit(s, &opts)
				s.mu.Unlock()
			}
			r := start(t, opts)
			dial(t, r).mail("a@example.com", "ops@example.net", "Subject: direct\r\n\r\n")
			waiting := 0
			if tt.waiting {
				waiting = 1
			}
			if tt.status != "" {
				var ids []string
				var err error
				for n := 0; n < 2000 && err == nil && len(ids) == 0; n++ {
					time.Sleep(5 * time.Millisecond)
					ids, err = r.queue.FailedIDs()
				}
				if err != nil || len(ids) == 0 {
					t.Fatalf("failed are %v, %v", ids, err)
				}
				m, err := r.queue.LoadFailed(ids[0])
				if err != nil || m.Results[0].Status != tt.status {
					t.Errorf("results %+v, %v, want status %s", m.Results, err, tt.status)
				}
			} else {
				settle(t, r, opts.Monitor, waiting)
			}
			for ip, k := range sinks {
				if got, want := len(k.got()), ip == tt.sunk; (got > 0) != want {
					t.Errorf("the server at %s has %d mails", ip, got)
				}
			}
		})
	}
}

const enforcing = "version: STSv1\nmode: enforce\nmx: a.example.net\nmax_age: 86400\n"

// A policy in force lets mail go to its servers over verified TLS only; one in testing
// mode lets it go and tells.
func TestMTASTS(t *testing.T) {
	a := newAuthority(t)
	stranger := newAuthority(t)
	hour := time.Now().Add(time.Hour)
	zone := []string{
		"_mta-sts.example.net. TXT \"v=STSv1; id=1;\"",
		"example.net. MX 10 a.example.net.", "example.net. MX 20 b.example.net.",
		"a.example.net. A 127.0.0.2", "b.example.net. A 127.0.0.3",
	}
	right := a.issue(t, "a.example.net", hour)
	wrongName := a.issue(t, "c.example.net", hour)
	expired := a.issue(t, "a.example.net", time.Now().Add(-time.Hour))
	selfSigned := stranger.issue(t, "a.example.net", hour)
	for _, tt := range []struct {
		name    string
		policy  string
		cert    *tls.Certificate // of a; nil: no TLS there
		tls     string           // mx_tls
		arrives bool
		told    bool // of a policy in testing mode
	}{
		{"enforce, right", enforcing, &right, "", true, false},
		{"enforce, another name", enforcing, &wrongName, "", false, false},
		{"enforce, expired", enforcing, &expired, "", false, false},
		{"enforce, stranger", enforcing, &selfSigned, "", false, false},
		{"enforce, no STARTTLS", enforcing, nil, "", false, false},
		{"enforce, names others", strings.Replace(enforcing, "a.example", "z.example", 1), &right, "", false, false},
		{"testing, right", strings.Replace(enforcing, "enforce", "testing", 1), &right, "", true, false},
		{"testing, expired", strings.Replace(enforcing, "enforce", "testing", 1), &expired, "", true, true},
		{"testing, no STARTTLS", strings.Replace(enforcing, "enforce", "testing", 1), nil, "", true, true},
		{"none", "version: STSv1\nmode: none\nmax_age: 86400\n", &selfSigned, "", true, false},
		{"no policy file", "404", &selfSigned, "", true, false},
		{"no policy file, verified by choice", "404", &selfSigned, "required", false, false},
		{"no policy file, verified by choice, right", "404", &right, "required", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newNameServer(t, zone...)
			port := directPort(t)
			var config *tls.Config
			if tt.cert != nil {
				config = &tls.Config{Certificates: []tls.Certificate{*tt.cert}}
			}
			k := newSinkWith(t, "127.0.0.2:"+port, config)
			if tt.arrives && !tt.told && tt.cert == nil {
				t.Fatal("a case that shows nothing")
			}
			opts := directOptions(t, s, port)
			opts.Delivery.MXTLS, opts.Delivery.TLSConfig = delivery.TLSMode(tt.tls),
				&tls.Config{RootCAs: a.pool, MinVersion: tls.VersionTLS12}
			opts.policyTransport = policySite(t, a, "example.net", tt.policy)
			r := start(t, opts)
			dial(t, r).mail("a@example.com", "ops@example.net", "Subject: direct\r\n\r\n")
			if tt.arrives {
				k.await(t, 1)
				settle(t, r, opts.Monitor, 0)
			} else {
				settle(t, r, opts.Monitor, 1)
				if n := len(k.got()); n != 0 {
					t.Errorf("%d mails have arrived", n)
				}
			}
			if told := opts.Monitor.Get(monitor.HostErrors, "mta-sts testing") > 0; told != tt.told {
				t.Errorf("told of a policy that is not met: %v", told)
			}
		})
	}
}

// A policy is kept over a restart: who takes DNS and HTTPS away does not get the mail
// in plain text.
func TestMTASTSIsKept(t *testing.T) {
	a := newAuthority(t)
	hosts := []string{"example.net. MX 10 a.example.net.", "a.example.net. A 127.0.0.2"}
	s := newNameServer(t, append([]string{"_mta-sts.example.net. TXT \"v=STSv1; id=1;\""}, hosts...)...)
	port := directPort(t)
	cert := a.issue(t, "a.example.net", time.Now().Add(time.Hour))
	k := newSinkWith(t, "127.0.0.2:"+port, &tls.Config{Certificates: []tls.Certificate{cert}})
	opts := directOptions(t, s, port)
	opts.Delivery.TLSConfig = &tls.Config{RootCAs: a.pool, MinVersion: tls.VersionTLS12}
	opts.policyTransport = policySite(t, a, "example.net", enforcing)
	r := start(t, opts)
	dial(t, r).mail("a@example.com", "ops@example.net", "Subject: one\r\n\r\n")
	k.await(t, 1)
	r.Stop()
	k.server.Close()

	stripped := newSink(t, "127.0.0.2:"+port) // offers no STARTTLS
	s.set(t, hosts...)
	opts.policyTransport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, fmt.Errorf("refused")
	}}
	opts.Monitor = monitor.New(testLog{t}, nil)
	r = start(t, opts)
	dial(t, r).mail("a@example.com", "ops@example.net", "Subject: two\r\n\r\n")
	settle(t, r, opts.Monitor, 1)
	if n := len(stripped.got()); n != 0 {
		t.Errorf("%d mails went in plain text", n)
	}
}

// A mail to three domains, of which one is down and one takes no mail, reaches the
// third; a domain that is down does not stop the others; when it is back, its mails
// leave, and nothing was sent twice.
func TestDirectDomainsAreIndependent(t *testing.T) {
	s := newNameServer(t, "example.net. MX 10 a.example.net.", "a.example.net. A 127.0.0.2",
		"example.org. MX 10 b.example.org.", "b.example.org. A 127.0.0.3", "null.example. MX 0 .")
	port := directPort(t)
	up := newSink(t, "127.0.0.2:"+port)
	opts := directOptions(t, s, port)
	r := start(t, opts)
	c := dial(t, r)
	c.say(250, "MAIL FROM:<>")
	for _, to := range []string{"x@example.org", "x@null.example", "x@example.net", "y@example.net"} {
		c.say(250, "RCPT TO:<%s>", to)
	}
	c.say(354, "DATA")
	c.say(250, "Subject: several\r\n\r\n.")
	for n := range 50 {
		c.mail("a@example.com", "x@example.org", fmt.Sprintf("Subject: down %d\r\n\r\n", n))
		c.mail("a@example.com", "x@example.net", fmt.Sprintf("Subject: up %d\r\n\r\n", n))
	}
	up.await(t, 51)
	settle(t, r, opts.Monitor, 51)
	s.mu.Lock()
	if n := s.asked["MX example.net."]; n > 3 {
		t.Errorf("the DNS was asked %d times for one domain", n)
	}
	s.mu.Unlock()
	down := newSink(t, "127.0.0.3:"+port)
	ids := r.sender.List()
	if err := r.sender.Retry(ids[0].ID); err != nil {
		t.Fatal(err)
	}
	for _, m := range down.await(t, 51) {
		if len(m.to) != 1 || m.to[0] != "x@example.org" {
			t.Errorf("to %q", m.to)
		}
	}
	settle(t, r, opts.Monitor, 0)
	if n := len(up.got()); n != 51 {
		t.Errorf("the server that was up has %d mails, want 51", n)
	}
}
