package tests

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/gomail.v2"
)

// alertPace is the time between two alerts: go test ./tests -run Kapacitor -alert-pace
// 200ms -v tells how many were sent, answered and stored.
var alertPace = flag.Duration("alert-pace", 2*time.Millisecond, "the time between two alerts of Kapacitor's")

// kapacitorConfig is a relay whose mails can be counted.
const kapacitorConfig = `
[agent]
  flush_interval = "200ms"
[[outputs.smtp_relay]]
  listen = ["{{ .Relay }}"]
  hostname = "relay.example.com"
  relay_nets = ["127.0.0.1"]
  relay_domains = ["example.com"]
  spool = "{{ .Dir }}/spool"
  smarthosts = ["file://{{ .Dir }}/mails"]
{{ .Option }}
`

// kapacitor sends mails as one of Kapacitor's two mailers does: on one connection, that
// it keeps whatever error there was, and no mail twice. Up to 1.6.2 it does not dial again
// as long as alerts come; from 1.6.3 on when MAIL meets the end of the connection.
func kapacitor(t *testing.T, addr, version string) func(subject string) error {
	t.Helper()
	host, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(text)
	if version == "from 1.6.3" {
		sender, err := gomail.NewDialer(host, port, "", "").Dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sender.Close() })
		return func(subject string) error {
			m := gomail.NewMessage()
			m.SetHeaders(map[string][]string{
				"From": {"kapacitor@example.com"}, "To": {"ops@example.com"}, "Subject": {subject},
			})
			m.SetBody("text/html", "<b>CRITICAL</b>")
			return gomail.Send(sender, m)
		}
	}
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return func(subject string) error {
		if err := c.Mail("kapacitor@example.com"); err != nil {
			return err
		}
		if err := c.Rcpt("ops@example.com"); err != nil {
			return err
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "Subject: %s\r\n\r\n<b>CRITICAL</b>\r\n", subject)
		return w.Close()
	}
}

// restart ends an agent with a signal and starts it again, as an init script does.
func (a *agent) restart(t *testing.T, signal syscall.Signal) {
	t.Helper()
	a.cmd.Process.Signal(signal)
	<-a.done
	a.process = start(t, flowgraf, "agent", "--config", filepath.Join(a.dir, "telegraf.conf"))
}

// Neither of Kapacitor's mailers notices a restart, a reload, many of them, or a limit:
// each of 100 alerts is answered, and arrives. After a kill what was answered does.
func TestKapacitorNoticesNothing(t *testing.T) {
	reload := func(t *testing.T, a *agent) { a.cmd.Process.Signal(syscall.SIGHUP) }
	for _, event := range []struct {
		name   string
		option string
		happen func(t *testing.T, a *agent)
		lossy  bool
	}{
		{name: "restart", happen: func(t *testing.T, a *agent) { a.restart(t, syscall.SIGTERM) }},
		{name: "two restarts", happen: func(t *testing.T, a *agent) {
			a.restart(t, syscall.SIGTERM)
			a.waitReady(t, false, true)
			a.restart(t, syscall.SIGTERM)
		}},
		{name: "reload", happen: reload},
		{name: "restart behind a reload", happen: func(t *testing.T, a *agent) {
			reload(t, a)
			waitFor(t, 30*time.Second, "the reload", func() bool {
				return strings.Count(a.out.String(), "Starting flowgraf") == 2
			})
			a.restart(t, syscall.SIGTERM)
		}},
		{name: "reloads", happen: func(t *testing.T, a *agent) {
			for i := range 6 {
				a.configure(t, kapacitorConfig, map[string]string{"Option": fmt.Sprint("  max_connections = ", 50+i)})
				reload(t, a)
				time.Sleep(50 * time.Millisecond)
			}
		}},
		{name: "limits", option: "  session_timeout = \"200ms\"\n  command_timeout = \"100ms\"",
			happen: func(*testing.T, *agent) { time.Sleep(500 * time.Millisecond) }},
		{name: "kill", happen: func(t *testing.T, a *agent) { a.restart(t, syscall.SIGKILL) }, lossy: true},
	} {
		for _, version := range []string{"until 1.6.2", "from 1.6.3"} {
			t.Run(event.name+"/"+version, func(t *testing.T) {
				t.Parallel()
				a := startAgent(t, t.TempDir(), kapacitorConfig, map[string]string{"Option": event.option})
				a.waitReady(t, false, true)
				alert := kapacitor(t, a.relay, version)
				const alerts = 100
				answered := map[string]bool{}
				happened := make(chan struct{})
				for i := range alerts {
					if i == alerts/4 {
						go func() {
							defer close(happened)
							event.happen(t, a)
						}()
					}
					if i == alerts/2 && event.option != "" {
						<-happened // a silence
					}
					subject := fmt.Sprint("alert ", i)
					if err := alert(subject); err == nil {
						answered[subject] = true
					} else if !event.lossy {
						t.Errorf("alert %d: %v", i, err)
					}
					time.Sleep(*alertPace)
				}
				<-happened
				a.waitReady(t, false, true)
				if !event.lossy && len(answered) < alerts {
					t.Errorf("%d of %d alerts are answered", len(answered), alerts)
				}
				waitFor(t, 20*time.Second, "the alerts",
					func() bool { return stored(t, a.dir, answered) == len(answered) })
				t.Logf("sent %d, answered %d, arrived %d", alerts, len(answered), stored(t, a.dir, answered))
			})
		}
	}
}

// stored counts the answered mails that have arrived.
func stored(t *testing.T, dir string, answered map[string]bool) int {
	t.Helper()
	data, _ := os.ReadFile(filepath.Join(dir, "mails"))
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		var mail struct{ Message string }
		if json.Unmarshal([]byte(line), &mail) != nil {
			continue // it is being written
		}
		_, subject, _ := strings.Cut(mail.Message, "Subject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		seen[subject] = answered[subject]
	}
	n := 0
	for _, arrived := range seen {
		if arrived {
			n++
		}
	}
	return n
}
