package tests

import (
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// relayConfig is a relay alone, as an administrator sets it up for Kapacitor,
// Grafana and cron.
const relayConfig = `
[agent]
  flush_interval = "200ms"
  debug = true
[[outputs.smtp_relay]]
  listen = ["{{ .Relay }}"]
  hostname = "relay.example.com"
  relay_nets = ["{{ .Nets }}"]
  relay_domains = ["example.com", ".example.com"]
  spool = "{{ .Dir }}/spool"
  smarthosts = ["smtp://{{ .Smarthost }}"]
  smarthost_tls = "none"
`

// startSink starts postfix's smtp-sink, which keeps each mail in a file.
func startSink(t *testing.T, addr, dir string) *process {
	t.Helper()
	sink := peer(t, "smtp-sink")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o777)
	args := []string{"-d", filepath.Join(dir, "mail."), "-c", addr, "100"}
	if os.Geteuid() == 0 {
		for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
			os.Chmod(d, 0o777)
		}
		args = append([]string{"-u", "nobody"}, args...)
	}
	t.Setenv("LD_LIBRARY_PATH", filepath.Join(postfix(), "usr/lib/postfix"))
	p := start(t, sink, args...)
	waitFor(t, 10*time.Second, "smtp-sink", func() bool {
		if !p.running() {
			t.Fatalf("smtp-sink ended: %v\n%s", p.err, p.out)
		}
		return answers(addr)
	})
	return p
}

// sunk returns the mails that smtp-sink has kept.
func sunk(t *testing.T, dir string) []*mail.Message {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "mail.*"))
	if err != nil {
		t.Fatal(err)
	}
	var mails []*mail.Message
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// smtp-sink writes X-Client-Addr and the like in front of the mail.
		m, err := mail.ReadMessage(strings.NewReader(string(data)))
		if err != nil {
			continue // it is being written
		}
		mails = append(mails, m)
	}
	return mails
}

// swaks sends one mail and returns swaks's exit code and transcript.
func swaks(t *testing.T, server string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(peer(t, "swaks"),
		append([]string{"--server", server, "--helo", "client.example.com", "--timeout", "10"}, args...)...)
	out, err := cmd.CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

func TestRelayFromAllowedNetToAllowedDomainOnly(t *testing.T) {
	peer(t, "swaks")
	sinkAddr, inbox := freePort(t, "tcp"), filepath.Join(t.TempDir(), "inbox")
	startSink(t, sinkAddr, inbox)
	a := startAgent(t, t.TempDir(), relayConfig, map[string]string{"Smarthost": sinkAddr, "Nets": "127.0.0.2/32"})

	allowed := []string{"--local-interface", "127.0.0.2", "--from", "kapacitor@example.com"}
	code, out := swaks(t, a.relay, append(allowed, "--to", "admin@example.com", "--header",
		"Subject: disk full on db1")...)
	if code != 0 {
		t.Fatalf("an allowed mail was refused:\n%s", out)
	}
	waitFor(t, 10*time.Second, "the mail", func() bool { return len(sunk(t, inbox)) == 1 })
	if got := sunk(t, inbox)[0].Header.Get("Subject"); got != "disk full on db1" {
		t.Errorf("the subject is %q", got)
	}

	for _, c := range []struct {
		name string
		args []string
		code string // in the transcript
	}{
		{"wrong network", []string{"--local-interface", "127.0.0.3", "--from", "a@example.com", "--to",
			"admin@example.com"}, "<** 5"},
		{"loopback is no exception", []string{"--local-interface", "127.0.0.1", "--from", "a@example.com", "--to",
			"admin@example.com"}, "<** 5"},
		{"wrong domain", append(allowed, "--to", "admin@example.org"), "<** 5"},
		{"domain that only ends alike", append(allowed, "--to", "admin@notexample.com"), "<** 5"},
		{"percent hack", append(allowed, "--to", "admin%example.org@example.com"), "<** 553"},
		{"two at signs", append(allowed, "--to", "admin@example.org@example.com"), "<** 5"},
		{"bang path", append(allowed, "--to", "example.org!admin@example.com"), "<** 553"},
		{"source route", append(allowed, "--to", "@example.org:admin@example.com"), "<** 5"},
		{"address literal", append(allowed, "--to", "admin@[127.0.0.1]"), "<** 5"},
		{"quoted local part", append(allowed, "--to", `"admin>x"@example.com`), "<** 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out := swaks(t, a.relay, c.args...)
			if code == 0 || !strings.Contains(out, c.code) {
				t.Errorf("expected a refusal with %q, swaks ended with %d:\n%s", c.code, code, out)
			}
		})
	}
	if code, out := swaks(t, a.relay, append(allowed, "--to", "admin@lists.example.com")...); code != 0 {
		t.Errorf("a mail to a sub-domain was refused:\n%s", out)
	}
	waitFor(t, 10*time.Second, "the second mail", func() bool { return len(sunk(t, inbox)) == 2 })
	a.stop(t)
	if n := len(sunk(t, inbox)); n != 2 {
		t.Errorf("%d mails were delivered, want the 2 allowed ones", n)
	}
}

// The smarthost is down when the mails come, the relay is killed while they
// wait, and everything that was answered with 250 arrives.
func TestMailWaitsForTheSmarthostThroughAKill(t *testing.T) {
	peer(t, "swaks")
	sinkAddr, inbox := freePort(t, "tcp"), filepath.Join(t.TempDir(), "inbox")
	peer(t, "smtp-sink")
	dir := t.TempDir()
	data := map[string]string{"Smarthost": sinkAddr, "Nets": "127.0.0.0/8"}
	a := startAgent(t, dir, relayConfig, data)
	for _, subject := range []string{"one", "two"} {
		if code, out := swaks(t, a.relay, "--from", "cron@example.com", "--to", "root@example.com", "--header",
			"Subject: "+subject); code != 0 {
			t.Fatalf("refused while the smarthost is down:\n%s", out)
		}
	}
	a.kill()
	b := startAgent(t, dir, relayConfig, data)
	if code, out := swaks(t, b.relay, "--from", "cron@example.com", "--to", "root@example.com", "--header",
		"Subject: three"); code != 0 {
		t.Fatalf("refused after the restart:\n%s", out)
	}
	startSink(t, sinkAddr, inbox)
	waitFor(t, 60*time.Second, "three mails", func() bool { return len(sunk(t, inbox)) >= 3 })
	subjects := map[string]int{}
	for _, m := range sunk(t, inbox) {
		subjects[m.Header.Get("Subject")]++
	}
	for _, subject := range []string{"one", "two", "three"} {
		if subjects[subject] != 1 {
			t.Errorf("mail %q arrived %d times, want once", subject, subjects[subject])
		}
	}
	b.stop(t)
}
