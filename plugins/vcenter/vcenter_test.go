package vcenter

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/vcenter/vcentertest"
)

// newClient returns a Client of a site, and what it logs.
func newClient(t *testing.T, s *vcentertest.Site, o Options) (*Client, *log) {
	t.Helper()
	l := &log{}
	o.URL, o.Log = s.URL, l.addLine
	if o.Login == nil {
		o.Login = func() (string, string, error) { return vcentertest.Name, vcentertest.Password, nil }
	}
	if o.TLS == nil {
		o.TLS = &tls.Config{InsecureSkipVerify: true}
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, l
}

// log keeps lines.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) addLine(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 s: ", what)
		}
	}
}

func TestPorts(t *testing.T) {
	s := vcentertest.New(t)
	c, l := newClient(t, s, Options{})
	exporter := netip.MustParseAddr(vcentertest.SwitchIP)
	if c.Port(exporter, 7, vcentertest.FirstPort) != nil || c.Rate(exporter, 7) != 0 {
		t.Error("a name before the first answer")
	}
	c.Start()
	defer c.Stop()
	await(t, "an answer", func() bool { return c.Stats().Refreshes+c.Stats().Errors > 0 })
	if got := c.Stats(); got.Refreshes != 1 || got.Ports != 3 || got.Switches != 1 || got.Refreshed.IsZero() ||
		l.String() != "" {
		t.Fatalf("got %+v, %s", got, l)
	}
	for _, a := range []string{vcentertest.SwitchIP, vcentertest.HostIP, vcentertest.HostIPv6} {
		exporter := netip.MustParseAddr(a)
		for i, port := range []uint32{vcentertest.FirstPort, vcentertest.FirstPort + 1} {
			want := Port{VM: s.VMs[i], Portgroup: vcentertest.Portgroup, Host: s.Host}
			if got := c.Port(exporter, 7, port); got == nil || *got != want {
				t.Errorf("port %d by %s: got %+v, want %+v", port, a, got, want)
			}
		}
		if got := c.Port(exporter, 7, vcentertest.ManagementPort); got == nil || got.VM != "" || got.Host != s.Host {
			t.Errorf("management: got %+v", got)
		}
		if got := c.Rate(exporter, 99); got != 4096 {
			t.Errorf("rate by %s: got %d", a, got)
		}
	}
	other := netip.MustParseAddr("192.0.2.99")
	if c.Port(exporter, 7, 99) != nil || c.Port(other, 7, vcentertest.FirstPort) != nil || c.Rate(other, 7) != 0 {
		t.Error("got what is not there")
	}
	if n := testing.AllocsPerRun(100,
		func() { c.Port(exporter, 7, vcentertest.FirstPort); c.Rate(exporter, 7) }); n != 0 {
		t.Errorf("%v allocations in a look-up", n)
	}
}

// TestAway begins before the vCenter, with a wrong password, and goes on after its
// end: errors are counted, logged once, and names stay.
func TestAway(t *testing.T) {
	s := vcentertest.New(t)
	var mu sync.Mutex
	password := "wrong"
	c, l := newClient(t, s, Options{Interval: 20 * time.Millisecond, Login: func() (string, string, error) {
		mu.Lock()
		defer mu.Unlock()
		if password == "" {
			return "", "", errors.New("no password here")
		}
		return vcentertest.Name, password, nil
	}})
	set := func(p string) {
		mu.Lock()
		defer mu.Unlock()
		password = p
	}
	c.Start()
	await(t, "three errors", func() bool { return c.Stats().Errors >= 3 })
	if text := l.String(); strings.Count(text, "\n") != 0 || !strings.Contains(text, "login") ||
		strings.Contains(text, "wrong") {
		t.Errorf("expected one line without the password, got %s", text)
	}
	set(vcentertest.Password)
	await(t, "an answer", func() bool { return c.Stats().Refreshes > 0 })
	set("")
	before := c.Stats().Errors
	await(t, "another error", func() bool { return c.Stats().Errors > before })
	c.Stop()
	if text := l.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "answers again") {
		t.Errorf("expected three lines, got %s", text)
	}
	if c.Port(netip.MustParseAddr(vcentertest.SwitchIP), 0, vcentertest.FirstPort) == nil {
		t.Error("a name is gone")
	}
	after := c.Stats()
	time.Sleep(50 * time.Millisecond)
	if c.Stats() != after {
		t.Error("asked after Stop")
	}
}

// TestCertificates refuses a vCenter whose certificate is not trusted.
func TestCertificates(t *testing.T) {
	s := vcentertest.New(t)
	c, l := newClient(t, s, Options{TLS: &tls.Config{}})
	c.Start()
	defer c.Stop()
	await(t, "an error", func() bool { return c.Stats().Errors > 0 })
	if !strings.Contains(l.String(), "certificate") {
		t.Errorf("got %s", l)
	}
}

// TestSwitchesOfOneHost chooses among the switches of one host.
func TestSwitchesOfOneHost(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	port := func(name string) *Port { return &Port{VM: name} }
	one := &dvs{domain: 1, sampling: 10, ports: map[uint32]*Port{5: port("one"), 6: port("both")}}
	two := &dvs{domain: 2, sampling: 20, ports: map[uint32]*Port{6: port("other"), 7: port("two")}}
	v := &inventory{switches: []*dvs{one, two}, byAddr: map[netip.Addr][]*dvs{a: {one, two}}}
	for _, c := range []struct {
		domain, port uint32
		want         string
		rate         uint32
	}{{1, 5, "one", 10}, {1, 7, "", 10}, {2, 6, "other", 20}, {0, 5, "one", 0}, {0, 7, "two", 0}, {0, 6, "", 0}} {
		got := ""
		if p := v.port(a, c.domain, c.port); p != nil {
			got = p.VM
		}
		if rate := v.rate(a, c.domain); got != c.want || rate != c.rate {
			t.Errorf("domain %d, port %d: got %q and %d, want %q and %d", c.domain, c.port, got, rate, c.want, c.rate)
		}
	}
}

func TestURL(t *testing.T) {
	for _, bad := range []string{"", "vcenter.example.com", "ftp://vcenter.example.com", "https://",
		"https://me:secret@vcenter.example.com", ":"} {
		if _, err := New(Options{URL: bad}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	c, err := New(Options{URL: "https://vcenter.example.com"})
	if err != nil || c.url.Path != "/sdk" {
		t.Errorf("got %v, %v", c.url, err)
	}
	c.Stop()
}
