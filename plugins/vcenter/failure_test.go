package vcenter

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/vcenter/vcentertest"
)

// TestURLsThatAreNone: the message shows what was expected, and no password.
func TestURLsThatAreNone(t *testing.T) {
	for _, bad := range []string{"https://me:se%zzcret@vcenter.example.com", "https://me:se cret@vcenter.example.com",
		"https://me:secret@[::1", "https://me:secret@vcenter.example.com:port", "me:secret@vcenter.example.com",
		"https://secret:@vcenter.example.com", "ftp://me:secret@vcenter.example.com", "\x7f", "//vcenter.example.com",
		"https://me:secret/word@vcenter.example.com", "https://me:se#cret@vcenter.example.com", "https:?me:secret@vc",
		"https://me:12345/cret@vc",
		"https:vcenter.example.com", "https:///sdk"} {
		_, err := New(Options{URL: bad})
		if err == nil || !strings.HasPrefix(err.Error(), "url: expected ") {
			t.Errorf("%q: got %v", bad, err)
		} else if strings.Contains(err.Error(), "cret") {
			t.Errorf("%q: the password is in %q", bad, err)
		}
	}
	for given, want := range map[string]string{"https://a": "/sdk", "https://a/": "/sdk", "http://a:8989/sdk": "/sdk",
		"https://a/other/sdk": "/other/sdk", "https://[2001:db8::1]": "/sdk"} {
		if c, err := New(Options{URL: given}); err != nil || c.url.Path != want {
			t.Errorf("%s: %v, %v, expected the path %s", given, c, err, want)
		}
	}
}

// TestDefaults are those of the documentation, and stand in for what is below 0 as well.
func TestDefaults(t *testing.T) {
	for _, given := range []time.Duration{0, -1} {
		c, err := New(Options{URL: "https://a", Interval: given, Timeout: given})
		if err != nil || c.opt.Interval != 5*time.Minute || c.opt.Timeout != time.Minute {
			t.Errorf("%v: %+v, %v", given, c.opt, err)
		}
	}
	c, err := New(Options{URL: "https://a", Interval: time.Second, Timeout: time.Millisecond})
	if err != nil || c.opt.Interval != time.Second || c.opt.Timeout != time.Millisecond {
		t.Errorf("%+v, %v", c.opt, err)
	}
}

// TestServersThatAreNoVCenter answer what is no SOAP, half of it, or nothing at all: each is an
// error that is counted, and told once with the host.
func TestServersThatAreNoVCenter(t *testing.T) {
	const fault = `<?xml version="1.0"?><Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><Fault>` +
		`<faultcode>ServerFaultCode</faultcode><faultstring>out of order</faultstring></Fault></Body></Envelope>`
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		timeout time.Duration
		want    string
	}{
		"a page": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html><body>welcome</body></html>")
		}, 0, ""},
		"not found": {http.NotFound, 0, "404"},
		"nothing":   {func(http.ResponseWriter, *http.Request) {}, 0, "EOF"},
		"half": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, fault[:150]) }, 0,
			""},
		"a fault":       {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, fault, 500) }, 0, ""},
		"a redirection": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }, 0, "302"},
		"silence":       {func(_ http.ResponseWriter, r *http.Request) { hang(r) }, 20 * time.Millisecond, "deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			l := &log{}
			client, err := New(Options{URL: server.URL, Timeout: c.timeout, Interval: time.Millisecond, Log: l.addLine})
			if err != nil {
				t.Fatal(err)
			}
			client.Start()
			defer client.Stop()
			await(t, "two errors", func() bool { return client.Stats().Errors >= 2 })
			text := l.String()
			if strings.Count(text, "\n") != 0 || !strings.Contains(text, c.want) ||
				!strings.HasPrefix(text, "vcenter "+strings.TrimPrefix(server.URL, "http://")+": ") ||
				!strings.HasSuffix(text, "(asked again every 1ms; names stay as they are known)") {
				t.Errorf("the log has %q, expected %q", text, c.want)
			}
			if s := client.Stats(); s.Refreshes != 0 || s.Ports != 0 || s.Switches != 0 || !s.Refreshed.IsZero() {
				t.Errorf("counted %+v", s)
			}
		})
	}
}

// hang answers nothing until whoever asks has gone, which is noticed once all is read that they sent.
func hang(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// TestStopDoesNotWaitForAnAnswer ends a question to a server that never answers, and counts it not.
func TestStopDoesNotWaitForAnAnswer(t *testing.T) {
	asked := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		hang(r)
	}))
	defer server.Close()
	c, err := New(Options{URL: server.URL, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	c.Start()
	<-asked
	c.Stop()
	c.Stop() // again is nothing
	if s := c.Stats(); s != (Stats{}) {
		t.Errorf("counted %+v", s)
	}
}

// TestLoginThatFails: the reason is told, and the server is not asked.
func TestLoginThatFails(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked") }))
	defer server.Close()
	l := &log{}
	c, err := New(Options{URL: server.URL, Interval: time.Millisecond, Log: l.addLine,
		Login: func() (string, string, error) { return "", "", errors.New("the store is locked") }})
	if err != nil {
		t.Fatal(err)
	}
	c.Start()
	await(t, "two errors", func() bool { return c.Stats().Errors >= 2 })
	c.Stop()
	if !strings.Contains(l.String(), "name and password: the store is locked") {
		t.Errorf("the log has %q", l)
	}
}

// TestLookUpsWhileAsking: names are whole at any time, whoever asks for them and however often they
// are read anew.
func TestLookUpsWhileAsking(t *testing.T) {
	s := vcentertest.New(t)
	c, l := newClient(t, s, Options{Interval: time.Millisecond})
	c.Start()
	defer c.Stop()
	exporter := netip.MustParseAddr(vcentertest.HostIPv6)
	await(t, "an answer", func() bool { return c.Stats().Refreshes > 0 })
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for c.Stats().Refreshes < 4 && c.Stats().Errors == 0 {
				p := c.Port(exporter, vcentertest.Domain, vcentertest.FirstPort)
				if p == nil || p.VM != s.VMs[0] || c.Rate(exporter, vcentertest.Domain) != vcentertest.Sampling {
					t.Errorf("got %+v", p)
					return
				}
			}
		})
	}
	wg.Wait()
	if l.String() != "" || c.Stats().Ports != 3 {
		t.Errorf("the log has %q, counted %+v", l, c.Stats())
	}
}
