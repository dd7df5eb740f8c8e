//go:build unix

package tests

import (
	"errors"
	"fmt"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/tests/peers"
)

const sendmailRelay = `
[agent]
  omit_hostname = true
[[outputs.smtp_relay]]
  listen = ["{{ .Relay }}"]
  hostname = "relay.example.com"
  relay_nets = ["127.0.0.0/8"]
  relay_domains = ["example.com"]
  local_domains = ["host.internal"]
  visible_domain = "example.com"
  spool = "{{ .Dir }}/spool"
  smarthosts = ["maildir://{{ .Dir }}/inbox/{user}"]
  [outputs.smtp_relay.aliases]
    root = ["ops@example.com"]
`

// delivered gives the mails in a maildir.
func delivered(t *testing.T, dir string) (mails []*mail.Message) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "new/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(strings.NewReader(string(text)))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		mails = append(mails, m)
	}
	return mails
}

// sendmailLink makes a link sendmail to flowgraf, and beside it a program that calls it with
// a file of options, as /usr/sbin/sendmail has its own.
func sendmailLink(t *testing.T, dir, options string) (program string) {
	t.Helper()
	if err := os.Symlink(flowgraf, filepath.Join(dir, "sendmail")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sendmail.conf")
	program = filepath.Join(dir, "sendmail-here")
	script := fmt.Sprintf("#!/bin/sh\nexec %s/sendmail -C %s \"$@\"\n", dir, file)
	for _, err := range []error{
		os.WriteFile(file, []byte(options), 0o644), os.WriteFile(program, []byte(script), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return program
}

// exitCode hands a message over and gives the exit code and what was printed.
func exitCode(t *testing.T, program, message string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(message)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", program, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// What cron and mail(1) hand to a link named sendmail arrives, by way of the relay.
func TestSendmailLink(t *testing.T) {
	mailx := filepath.Join(filepath.Dir(postfix()), "mailx")
	if !executable(filepath.Join(mailx, "usr/bin/bsd-mailx")) {
		peers.Missing(t, "bsd-mailx")
	}
	dir := t.TempDir()
	a := startAgent(t, dir, sendmailRelay, nil)
	program := sendmailLink(t, dir, `server = "`+a.relay+`"`+"\ndomain = \"host.internal\"\n")
	// cron's own command line and header
	code, out := exitCode(t, program, "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> false\n\n.\n"+
		"failed\n", "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root")
	if code != 0 || out != "" {
		t.Fatalf("cron: %d\n%s", code, out)
	}
	inbox := filepath.Join(dir, "inbox/ops")
	waitFor(t, 20*time.Second, "cron's mail", func() bool { return len(delivered(t, inbox)) == 1 })
	m := delivered(t, inbox)[0]
	if from, to := m.Header.Get("From"), m.Header.Get("To"); from != "root@example.com (Cron Daemon)" ||
		to != "root@host.internal" || m.Header.Get("Date") == "" || m.Header.Get("Message-Id") == "" {
		t.Errorf("cron's mail has %v", m.Header)
	}
	// mail(1)
	cmd := exec.Command(filepath.Join(mailx, "usr/bin/bsd-mailx"), "-s", "from mail", "ops@example.com")
	cmd.Env = append(os.Environ(), "HOME="+dir, "MAILRC="+filepath.Join(dir, "mailrc"), "LD_LIBRARY_PATH="+
		filepath.Join(mailx, "usr/lib/x86_64-linux-gnu")+":"+filepath.Join(mailx, "usr/lib"))
	if err := os.WriteFile(filepath.Join(dir, "mailrc"), []byte("set sendmail="+program+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = strings.NewReader("hello\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mail: %v\n%s", err, out)
	}
	waitFor(t, 20*time.Second, "mail's mail", func() bool { return len(delivered(t, inbox)) == 2 })
	if code, out := exitCode(t, program, "x", "nobody@example.net"); code != 77 ||
		!strings.Contains(out, "relay_domains") {
		t.Errorf("a domain that is not allowed: %d\n%s", code, out)
	}
	if code, out := exitCode(t, program, "x", "-t"); code != 64 {
		t.Errorf("no recipients: %d\n%s", code, out)
	}
	a.stop(t)
}

// While no agent runs, its spool takes the mail, which belongs to the spool's owner then; while
// one runs and does not answer, nobody takes it, and the exit code says to try again.
func TestSendmailWithoutAnAgent(t *testing.T) {
	dir := t.TempDir()
	a := startAgent(t, dir, sendmailRelay, nil)
	options := "domain = \"host.internal\"\npatience = \"0s\"\nrelay_config = [\"" +
		filepath.Join(dir, "telegraf.conf") + "\"]\nserver = "
	program := sendmailLink(t, dir, options+`"127.0.0.1:1"`)
	if code, out := exitCode(t, program, "x", "root"); code != 75 || !strings.Contains(out, "does not answer") {
		t.Errorf("an agent that does not answer: %d\n%s", code, out)
	}
	a.stop(t)
	spool, owner := filepath.Join(dir, "spool"), os.Getuid()
	if owner == 0 {
		owner = 65534
		for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
			os.Chmod(d, 0o755)
		}
		if out, err := exec.Command("chown", "-R", fmt.Sprint(owner), spool).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if code, out := exitCode(t, program, "Subject: kept\n\nx\n", "-v", "root"); code != 0 ||
		!strings.Contains(out, "in the spool as ") {
		t.Fatalf("no agent: %d\n%s", code, out)
	}
	if code, out := exitCode(t, program, "x", "a@example.net"); code != 77 {
		t.Errorf("a domain that is not allowed: %d\n%s", code, out)
	}
	filepath.Walk(spool, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			t.Error(err)
		} else if uid := info.Sys().(*syscall.Stat_t).Uid; int(uid) != owner {
			t.Errorf("%s belongs to user %d, want %d", path, uid, owner)
		}
		return nil
	})
	b := startAgent(t, dir, sendmailRelay, nil)
	inbox := filepath.Join(dir, "inbox/ops")
	waitFor(t, 20*time.Second, "the mail", func() bool { return len(delivered(t, inbox)) == 1 })
	b.stop(t)
}
