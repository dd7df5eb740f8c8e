//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/control"
)

// output runs a command line and returns what it has printed.
func output(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// spooled is the spool of a relay that answers List and Show with these mails, and does
// all other commands but for the mail "none".
func spooled(t *testing.T, mails ...control.Mail) (spool string) {
	t.Helper()
	spool = t.TempDir()
	s, err := control.Serve(spool, func(r control.Request) control.Response {
		switch r.Command {
		case control.List, control.Show:
			return control.Response{Mails: mails}
		}
		if slices.Contains(r.IDs, "none") {
			return control.Response{Errors: []string{"none: no such mail"}}
		}
		return control.Response{Done: r.IDs}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return spool
}

func TestQueueListTellsWhyAMailWaits(t *testing.T) {
	now := time.Now()
	to := []control.Recipient{
		{Address: "done@example.com", State: "delivered", Time: now, Answer: "250 OK"},
		{Address: "a@example.com", State: "waiting", Time: now.Add(-time.Minute), Answer: "450 older"},
		{Address: "b@example.com", State: "waiting", Time: now, Answer: "451 4.7.1 later\x1b[2J\nsecond " +
			strings.Repeat("ä", 80)},
		{Address: "c@example.com", State: "failed", Time: now, Answer: "550 5.1.1 nobody"},
	}
	mail := func(change func(m *control.Mail)) control.Mail {
		m := control.Mail{ID: "1-2", Received: now.Add(-time.Hour), State: "waiting", Size: 420, From: "s@example.com",
			To: to, Attempts: 3}
		change(&m)
		return m
	}
	for name, tt := range map[string]struct {
		mail   control.Mail
		failed bool
		want   []string
	}{
		"its last answer": {mail(func(*control.Mail) {}), false, []string{" waiting ", " 3 ", " - ",
			"a@example.com and 1 more", "451 4.7.1 later?[2J second ä"}},
		"critical and due": {mail(func(m *control.Mail) { m.Critical, m.Due = true, now.Add(-time.Second) }), false,
			[]string{"waiting, critical", " now "}},
		"later": {mail(func(m *control.Mail) { m.Due = now.Add(90 * time.Minute) }), false, []string{" 1h"}},
		"a server that is asked": {mail(func(m *control.Mail) { m.Asking, m.Since = "mx.example.com", now }), false,
			[]string{"asking mx.example.com for 0s"}},
		"a server that cannot be": {mail(func(m *control.Mail) {
			m.Waits = []control.Wait{{Host: "mx", Why: "refused\r\nus", Since: now, Until: now.Add(time.Hour)},
				{Host: "two"}}
		}), false, []string{"mx: refused us; paused until ", ", since "}},
		"held": {mail(func(m *control.Mail) { m.State, m.Due = "held", now.Add(time.Hour) }), false,
			[]string{" held ", " - "}},
		"failed": {mail(func(m *control.Mail) { m.State = "failed" }), true,
			[]string{"c@example.com", "550 5.1.1 nobody"}},
	} {
		args := []string{"queue", "list", "--spool", spooled(t, tt.mail)}
		if tt.failed {
			args = append(args, "--failed")
		}
		out, err := output(t, "", args...)
		if err != nil || strings.ContainsAny(out, "\x1b\r") || strings.Count(out, "\n") != 2 {
			t.Errorf("%s: %v\n%q", name, err, out)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing in\n%s", name, want, out)
			}
		}
	}
	if out, err := output(t, "", "queue", "list", "--spool", spooled(t)); err != nil || out != "The queue is empty.\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestQueueCommands(t *testing.T) {
	spool := spooled(t, control.Mail{ID: "1-2", State: "waiting", Due: time.Now(), Client: "db1 [192.0.2.1]",
		Message: "Subject: \x1b]0;x\x07\r\n", To: []control.Recipient{{Address: "a@b.c", State: "waiting",
			Answer: "451 \x9b31m"}}})
	if out, err := output(t, "", "queue", "retry", "--spool", spool, "1-2", "1-3"); err != nil ||
		out != "retry 1-2\nretry 1-3\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := output(t, "", "queue", "remove", "--spool", spool, "none"); err == nil ||
		!strings.Contains(err.Error(), "none: no such mail") {
		t.Errorf("%v", err)
	}
	out, err := output(t, "", "queue", "show", "--spool", spool, "1-2")
	if err != nil || strings.ContainsAny(out, "\x1b\x07\r\u009b") || !strings.Contains(out, "from db1 [192.0.2.1]") ||
		!strings.Contains(out, "Subject: ?]0;x?") {
		t.Errorf("%v\n%q", err, out)
	}
}

// relayLog is the log of a mail that was put off once, and of a refusal.
const relayLog = logHead + `<= a@example.com H=db1 [192.0.2.1] P=ESMTP S=286 M=<1@db1> for b@example.org ` +
	`C="250 2.0.0 OK" T=0.003s
` + logHead + `== b@example.org F=<a@example.com> H=mx.example.com [192.0.2.25]:25 C="451 4.7.1 later" QT=1s DT=0.1s
` + logHead + `=> b@example.org F=<a@example.com> H=mx.example.com [192.0.2.25]:25 S=420 C="250 queued" QT=62s DT=0.2s
` + logHead + `completed QT=62s
2026-11-29T01:39:00Z I! [agent] something else
`

// logHead begins a line about the mail.
const logHead = "2026-11-29T01:37:23Z I! [outputs.smtp_relay] 0000000a-000000000000000b "

func TestQueueLogFindsAMailsLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte(relayLog), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"B@example.org"}, {"1@db1"}, {"--regexp", `C="4[0-9]+`}, {"mx.example.com"},
		{"--case-sensitive", "0000000a-000000000000000b"}} {
		for name, stdin := range map[string]string{file: "", "-": relayLog} {
			out, err := output(t, stdin, slices.Concat([]string{"queue", "log"}, args, []string{name})...)
			if err != nil || strings.Count(out, "\n") != 4 || strings.Contains(out, "something else") {
				t.Errorf("%q of %s: %v\n%s", args, name, err, out)
			}
		}
	}
	for _, tt := range [][2]string{{"B@example.org", "no line of the log has"}, {"", "PATTERN is empty"}} {
		_, err := output(t, "", "queue", "log", "--case-sensitive", tt[0], file)
		if err == nil || !strings.Contains(err.Error(), tt[1]) {
			t.Errorf("%q: %v", tt[0], err)
		}
	}
	for want, args := range map[string][]string{"--regexp": {"--regexp", "(", file},
		"no such file": {"x", file + ".9"}} {
		_, err := output(t, "", append([]string{"queue", "log"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestQueueStatsSumsUp(t *testing.T) {
	out, err := output(t, relayLog, "queue", "stats", "-")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{"From 2026-11-29 01:37:23 to 2026-11-29 01:37:23", "mails taken 1 286 B",
		"delivered, recipients 1 420 B", "put off, attempts 1", "complete, mails 1", "db1 [192.0.2.1] 1 286 B"} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if out, err := output(t, relayLog, "queue", "stats", "--json", "-"); err != nil || !strings.HasPrefix(out, "{") {
		t.Errorf("%v\n%s", err, out)
	}
	for want, args := range map[string][]string{"outputs.smtp_relay": {"-"}, "--top is -1": {"--top", "-1", "-"}} {
		_, err := output(t, "nothing\n", append([]string{"queue", "stats"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// Long options of Telegraf's with one dash are taken as with two; those of commands, and
// what stands behind --, are left alone.
func TestTelegrafArguments(t *testing.T) {
	for line, want := range map[string]string{
		"-config a -config-directory=b -test -quiet": "--config a --config-directory=b --test --quiet",
		"-version": "--version", "--once": "--once", "-help": "--help", "-h": "-h",
		"agent -config a": "agent --config a", "dump -config a": "dump -config a",
		"-unknown": "-unknown", "-test -- -config": "--test -- -config",
	} {
		if got := strings.Join(telegrafArguments(strings.Fields(line)), " "); got != want {
			t.Errorf("%q is %q, want %q", line, got, want)
		}
	}
	if got := telegrafArguments(nil); len(got) != 0 {
		t.Errorf("nothing is %q", got)
	}
}
