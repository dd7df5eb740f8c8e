package relay

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"gopkg.in/gomail.v2"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// kapacitor sends as Kapacitor's smtp service does: with its client library, on a
// connection that it keeps, never trying a mail again, and dialing anew only after
// an error.
type kapacitor struct {
	dialer *gomail.Dialer
	conn   gomail.SendCloser
	lost   int
}

func (k *kapacitor) alert(to string, n int) error {
	if k.conn == nil {
		var err error
		if k.conn, err = k.dialer.Dial(); err != nil {
			return err
		}
	}
	m := gomail.NewMessage()
	m.SetHeader("From", "kapacitor@example.com")
	m.SetHeader("To", to)
	m.SetHeader("Subject", fmt.Sprintf("alert %d", n))
	m.SetBody("text/html", "<b>CRITICAL</b>")
	return gomail.Send(k.conn, m)
}

// Kapacitor's client never loses an alert to the state of its connection (section 2
// of the facts): not after refused recipients, however many, not over restarts of the
// relay, not after idle timeouts, not at the session's end.
func TestKapacitor(t *testing.T) {
	const alerts = 1000
	k := newSink(t, "127.0.0.1:0")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	opts := testOptions(t, k.addr)
	opts.Listen, opts.Monitor = []string{addr}, monitor.New(nil, nil)
	opts.CommandTimeout, opts.SessionTimeout = 250*time.Millisecond, 900*time.Millisecond
	r := start(t, opts)
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	client := &kapacitor{dialer: gomail.NewDialer(host, n, "", "")}
	refuse := func(times int) {
		for range times {
			if err := client.alert("ops@example.net", -1); err == nil || !strings.Contains(err.Error(), "550") {
				t.Fatalf("a recipient elsewhere: %v", err)
			}
		}
	}
	for i := range alerts {
		switch {
		case i%100 == 50:
			r.Stop() // with the client's connection open
			r = start(t, opts)
		case i%50 == 20:
			time.Sleep(300 * time.Millisecond) // longer than the relay waits
		case i == 333:
			refuse(150) // more than a session may err
		case i%10 == 3:
			refuse(1)
		}
		if err := client.alert("ops@example.com", i); err != nil {
			t.Errorf("alert %d: %v", i, err)
			client.lost++
		}
	}
	seen := map[string]int{}
	for _, m := range k.await(t, alerts-client.lost) {
		_, subject, _ := strings.Cut(m.body, "Subject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		seen[subject]++
	}
	if len(seen) != alerts {
		t.Errorf("%d of %d alerts have arrived", len(seen), alerts)
	}
}
