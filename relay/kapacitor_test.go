package relay

import (
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gopkg.in/gomail.v2"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// mailer sends alerts as Kapacitor's smtp service does: on a connection that it keeps
// until it was silent for a time, never trying a mail again, and keeping the connection
// whatever error there was.
type mailer interface {
	alert(to, subject string) error
	io.Closer
}

// oldMailer is that of Kapacitor up to 1.6.2: its library does not dial again.
type oldMailer struct {
	addr   string
	client *smtp.Client
}

func (m *oldMailer) alert(to, subject string) error {
	if m.client == nil {
		conn, err := net.Dial("tcp", m.addr)
		if err != nil {
			return err
		}
		if m.client, err = smtp.NewClient(conn, "127.0.0.1"); err != nil {
			m.client = nil
			return err
		}
	}
	if err := m.client.Mail("kapacitor@example.com"); err != nil {
		return err
	}
	if err := m.client.Rcpt(to); err != nil {
		return err
	}
	w, err := m.client.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Subject: %s\r\n\r\n<b>CRITICAL</b>\r\n", subject)
	return w.Close()
}

// Close implements io.Closer.
func (m *oldMailer) Close() error { return m.client.Close() }

// newMailer is that of Kapacitor from 1.6.3 on: its library dials again when MAIL meets
// the end of the connection, and then only.
type newMailer struct {
	dialer *gomail.Dialer
	conn   gomail.SendCloser
}

func (m *newMailer) alert(to, subject string) error {
	if m.conn == nil {
		var err error
		if m.conn, err = m.dialer.Dial(); err != nil {
			return err
		}
	}
	msg := gomail.NewMessage()
	msg.SetHeader("From", "kapacitor@example.com")
	msg.SetHeader("To", to)
	msg.SetHeader("Subject", subject)
	msg.SetBody("text/html", "<b>CRITICAL</b>")
	return gomail.Send(m.conn, msg)
}

// Close implements io.Closer.
func (m *newMailer) Close() error { return m.conn.Close() }

func mailers(addr string) map[string]func() mailer {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	return map[string]func() mailer{
		"until 1.6.2": func() mailer { return &oldMailer{addr: addr} },
		"from 1.6.3":  func() mailer { return &newMailer{dialer: gomail.NewDialer(host, n, "", "")} },
	}
}

// activate makes a listening socket that survives relays, as a service manager does.
func activate(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	before := activated
	activated = func() []*os.File { return []*os.File{f} }
	t.Cleanup(func() {
		activated = before
		f.Close()
	})
	return l.Addr().String()
}

// event is what a relay goes through while alerts come.
type event struct {
	name    string
	edit    func(*Options)
	silence time.Duration // before every tenth alert
	refused int           // recipients, in the middle
	// happen is called again and again meanwhile; it gives the relay that is then.
	happen func(t *testing.T, r *Relay, opts *Options) *Relay
	times  int
	old    bool // Kapacitor's old mailer survives it too
}

var events = []event{
	{name: "session_timeout", edit: func(o *Options) { o.SMTPD.SessionTimeout = 200 * time.Millisecond },
		silence: 100 * time.Millisecond, old: true},
	{name: "command_timeout", edit: func(o *Options) { o.SMTPD.CommandTimeout = 200 * time.Millisecond },
		silence: 300 * time.Millisecond, old: true},
	{name: "refused recipients", refused: 250, old: true},
	{name: "reload", happen: reload, times: 10, old: true},
	{name: "reload with other options", old: true, times: 10,
		happen: func(t *testing.T, r *Relay, opts *Options) *Relay {
			opts.SMTPD.MaxMessageSize = 20<<20 + opts.SMTPD.MaxMessageSize%2 + 1
			return reload(t, r, opts)
		}},
	{name: "stop and start on the service manager's socket", times: 2, happen: restart},
	{name: "stop and start", times: 5, old: true, happen: restart,
		edit: func(o *Options) { o.KeepConnections = 5 * time.Minute }},
}

// restart does what an init script does, but within one process: a helper process has the
// connections of clients meanwhile, when the options say so.
func restart(t *testing.T, r *Relay, opts *Options) *Relay {
	r.Stop()
	return start(t, *opts)
}

// reload does what the agent does on SIGHUP.
func reload(t *testing.T, r *Relay, opts *Options) *Relay {
	BeginReload()
	defer EndReload()
	r.Leave()
	return start(t, *opts)
}

// Kapacitor loses no alert to the state of its connection: with a relay that ends
// sessions for their age, for silence, for errors, or with a stop or a reload, either
// mailer loses all that follow, as neither dials again while alerts keep coming.
func TestKapacitorNeverFallsSilent(t *testing.T) {
	KeepConnections(os.Args[0], "keep-connections")
	defer KeepConnections()
	for _, e := range events {
		for _, pace := range []time.Duration{0, 20 * time.Millisecond} {
			for name := range mailers("127.0.0.1:1") {
				if name != "from 1.6.3" && !e.old {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", e.name, pace, name),
					func(t *testing.T) { runKapacitor(t, &e, pace, name) })
			}
		}
	}
}

func runKapacitor(t *testing.T, e *event, pace time.Duration, name string) {
	const alerts = 30
	k := newSink(t, "127.0.0.1:0")
	opts := testOptions(t, k.addr)
	opts.Listen, opts.Monitor = []string{activate(t)}, monitor.New(nil, nil)
	if e.edit != nil {
		e.edit(&opts)
	}
	r := start(t, opts)
	var happening sync.WaitGroup
	done := make(chan struct{})
	happening.Go(func() {
		for range e.times {
			select {
			case <-done:
				return
			case <-time.After(7 * time.Millisecond):
				r = e.happen(t, r, &opts)
			}
		}
	})
	m := mailers(opts.Listen[0])[name]()
	for i := range alerts {
		if i == alerts/2 {
			for range e.refused {
				if err := m.alert("ops@example.net", "refused"); err == nil || !strings.Contains(err.Error(), "550") {
					t.Fatalf("a recipient elsewhere: %v", err)
				}
			}
		}
		if i%15 == 9 {
			time.Sleep(e.silence)
		}
		if err := m.alert("ops@example.com", fmt.Sprint("alert ", i)); err != nil {
			t.Errorf("alert %d: %v", i, err)
		}
		time.Sleep(pace)
	}
	m.Close()
	close(done)
	happening.Wait()
	if t.Failed() {
		return
	}
	seen := map[string]bool{}
	for len(seen) < alerts {
		before := len(seen)
		for _, m := range k.await(t, alerts) {
			_, subject, _ := strings.Cut(m.body, "Subject: ")
			subject, _, _ = strings.Cut(subject, "\r\n")
			seen[subject] = true
		}
		if len(seen) == before && len(k.got()) > alerts {
			break
		}
	}
	if len(seen) != alerts {
		t.Errorf("%d of %d alerts have arrived", len(seen), alerts)
	}
}
