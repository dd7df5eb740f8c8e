package relay

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/monitor"
)

// Every mail goes to the archive too, which need not be in relay_domains; that it does not
// arrive there is no matter of the sender's.
func TestArchiveCopy(t *testing.T) {
	k := newSink(t, "")
	opts := testOptions(t, k.addr)
	opts.ArchiveCopy = "archive@keep.example.net"
	r := start(t, opts)
	c := dial(t, r)
	c.mail("a@example.com", "b@example.com", "Subject: x\r\n\r\n")
	if got := k.await(t, 1)[0].to; !slices.Equal(got, []string{"b@example.com", "archive@keep.example.net"}) {
		t.Errorf("it has gone to %q", got)
	}
	c.say(250, "MAIL FROM:<a@example.com>")
	c.say(550, "RCPT TO:<archive@keep.example.net>")
	c.say(250, "RSET")
	k.mu.Lock()
	k.refuse["archive@keep.example.net"] = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1},
		Message: "full"}
	k.mu.Unlock()
	c.mail("a@example.com", "b@example.com", "Subject: y\r\n\r\n")
	k.await(t, 2)
	for opts.Monitor.Total(monitor.Failed) == 0 || r.Waiting() > 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if n := opts.Monitor.Total(monitor.Bounced); n != 0 {
		t.Errorf("%d notifications were sent", n)
	}
}

// A sender hears of what it asked for, and of nothing else; of an alias he hears by the
// address that he wrote to.
func TestNotificationsAreAsAsked(t *testing.T) {
	k := newSink(t, "")
	k.refuse["bad@example.com"] = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1},
		Message: "no such user"}
	opts := testOptions(t, k.addr)
	opts.Aliases = map[string][]string{"team@example.com": {"bad@example.com", "good@example.com"}}
	r := start(t, opts)
	c := dial(t, r)
	send := func(recipients ...string) {
		c.say(250, "MAIL FROM:<a@example.com> RET=FULL ENVID=Q1")
		for _, to := range recipients {
			c.say(250, "RCPT TO:%s", to)
		}
		c.say(354, "DATA")
		w := c.DotWriter()
		w.Write([]byte("Subject: original\r\n\r\nthe text\r\n"))
		w.Close()
		c.expect(250)
	}
	send("<bad@example.com> NOTIFY=NEVER")
	send("<bad@example.com> NOTIFY=SUCCESS")
	for opts.Monitor.Total(monitor.Failed) < 2 || r.Waiting() > 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if n := len(k.got()); n != 0 {
		t.Fatalf("%d notifications were sent to who did not want them", n)
	}
	send("<team@example.com> NOTIFY=FAILURE,SUCCESS")
	var reports []string
	for _, m := range k.await(t, 3) {
		if m.from == "" {
			reports = append(reports, m.body)
		}
	}
	all := strings.Join(reports, "\n")
	for _, want := range []string{"Action: failed", "Action: relayed", "Final-Recipient: rfc822; bad@example.com",
		"Final-Recipient: rfc822; good@example.com", "Original-Recipient: rfc822; team@example.com",
		"Original-Envelope-Id: Q1", "the text"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in the reports:\n%s", want, all)
		}
	}
	if len(reports) != 2 {
		t.Errorf("%d reports, want 2", len(reports))
	}
}

// Mail from programs and lists gets no warning, unless it asked for one.
func TestAutomaticMail(t *testing.T) {
	for header, want := range map[string]bool{
		"Subject: x": false, "Auto-Submitted: no": false, "Auto-Submitted: auto-generated": true,
		"List-Id: <a.b>":   true,
		"Precedence: bulk": true, "Precedence: first-class": false,
	} {
		if got := isAutomatic([]byte(header + "\r\n\r\nList-Id: body\r\n")); got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
}

// eximWithDSN sends notifications itself, and takes mail from clients with a certificate of
// the authority only.
var eximWithDSN = strings.NewReplacer(
	"acl_smtp_rcpt = rcpt",
	"exim_path = {{ .Root }}/usr/sbin/exim4\nacl_smtp_rcpt = rcpt\ndsn_advertise_hosts = *\ntls_try_verify_hosts = *\n"+
		"tls_verify_certificates = {{ .CA }}",
	"authenticated = *", "verify = certificate").Replace(eximConfig)

// exim gets mail for its domain by a route, over TLS with a certificate of ours, takes over
// what the sender wants to hear, and its notification comes back through this relay.
func TestEximTakesOverNotifications(t *testing.T) {
	a := newAuthority(t)
	s := startEximWith(t, a, eximWithDSN)
	k := newSink(t, "127.0.0.1:0")
	opts := testOptions(t, k.addr)
	opts.Listen = []string{"127.0.0.1:0", "starttls://127.0.0.1:" + s.Relay}
	dir := t.TempDir()
	opts.TLSCert, opts.TLSKey = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	writePair(t, a.issue(t, "localhost", time.Now().Add(time.Hour)), opts.TLSCert, opts.TLSKey)
	opts.Users, opts.Auth = []User{{Name: "tim", Password: password("secret")}}, AuthOptional
	opts.RelayDomains = append(opts.RelayDomains, "sink.example")
	opts.TLSCA = s.CA
	opts.Routes = []Route{{Domains: []string{"sink.example"}, Smarthosts: []string{"smtp://localhost:" + s.TLS},
		TLS: delivery.TLSRequired}}

	r := start(t, opts) // without a certificate it is refused
	c := dial(t, r)
	c.say(250, "MAIL FROM:<a@example.com>")
	c.say(250, "RCPT TO:<x@sink.example> NOTIFY=NEVER")
	c.say(354, "DATA")
	c.say(250, ".")
	for opts.Monitor.Total(monitor.PutOff)+opts.Monitor.Total(monitor.Failed) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	r.Stop()

	opts.Spool, opts.SmarthostCert, opts.SmarthostKey = t.TempDir(), filepath.Join(dir, "own"), filepath.Join(dir,
		"ownkey")
	if _, err := New(opts); err == nil || !strings.Contains(err.Error(), "smarthost_tls_cert") {
		t.Errorf("a certificate that is not there: %v", err)
	}
	writePair(t, a.issue(t, "relay.example.com", time.Now().Add(time.Hour)), opts.SmarthostCert, opts.SmarthostKey)
	r = start(t, opts)
	c = dial(t, r)
	c.say(250, "MAIL FROM:<a@example.com> ENVID=QQ+2B314159")
	c.say(250, "RCPT TO:<x@sink.example> NOTIFY=SUCCESS ORCPT=rfc822;first@example.com")
	c.say(354, "DATA")
	w := c.DotWriter()
	w.Write([]byte(awkward))
	w.Close()
	c.expect(250)
	if text := s.inbox(t, 1)[0]; !arrived(text) {
		t.Errorf("exim has %q", text)
	}
	m := k.await(t, 1)[0]
	for _, want := range []string{"Action: delivered", "Original-Envelope-ID: QQ+2B314159",
		"Reporting-MTA: dns; exim.example.com",
		"Original-Recipient: rfc822;first@example.com"} {
		if !strings.Contains(strings.ToLower(m.body), strings.ToLower(want)) {
			t.Errorf("%q is not in exim's notification:\n%s", want, m.body)
		}
	}
	if m.from != "" || len(k.got()) != 1 || opts.Monitor.Total(monitor.Bounced) != 0 {
		t.Errorf("a notification from %q, %d mails, %d of ours", m.from, len(k.got()),
			opts.Monitor.Total(monitor.Bounced))
	}
}

// A sender of many mails is warned of some delays an hour, and others are not affected.
func TestWarningsAreFew(t *testing.T) {
	var w warnings
	begin := time.Now()
	count := func(sender string, at time.Time) (sent int) {
		for range 100 {
			if w.mayWarn(sender, at) {
				sent++
			}
		}
		return sent
	}
	for _, tt := range []struct {
		sender string
		after  time.Duration
		want   int
	}{
		{"a@example.com", 0, maxWarnings}, {"a@example.com", 59 * time.Minute, 0}, {"b@example.com", 59 * time.Minute,
			maxWarnings},
		{"a@example.com", time.Hour, maxWarnings}, {"b@example.com", time.Hour, maxWarnings},
	} {
		if got := count(tt.sender, begin.Add(tt.after)); got != tt.want {
			t.Errorf("%s after %s: %d warnings, want %d", tt.sender, tt.after, got, tt.want)
		}
	}
	for i := range 2 * maxWarnedKnown {
		w.mayWarn(fmt.Sprint(i, "@example.com"), begin)
	}
	if len(w.sent) > maxWarnedKnown {
		t.Errorf("%d senders are known", len(w.sent))
	}
}

// The sender of a mail that waits hears of it, with the last answer; that of a program's
// mail does not.
func TestDelayWarning(t *testing.T) {
	k := newSink(t, "")
	k.refuse["later@example.com"] = &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 0},
		Message: "greylisted"}
	opts := testOptions(t, k.addr)
	opts.Delivery.DelayAfter = 3 * time.Second // the first attempt is long over then
	r := start(t, opts)
	c := dial(t, r)
	c.mail("program@example.com", "later@example.com", "Auto-Submitted: auto-generated\r\nSubject: x\r\n\r\n")
	c.mail("a@example.com", "later@example.com", "Subject: original\r\n\r\n")
	m := k.await(t, 1)[0]
	for _, want := range []string{"Subject: Delayed mail", "Action: delayed", "Status: 4.2.0", "Will-Retry-Until: ",
		"Diagnostic-Code: smtp; 450 4.2.0 greylisted", "Subject: original"} {
		if !strings.Contains(m.body, want) {
			t.Errorf("%q is not in the warning:\n%s", want, m.body)
		}
	}
	if m.from != "" || !slices.Equal(m.to, []string{"a@example.com"}) || r.Waiting() < 2 {
		t.Errorf("the warning has gone from %q to %q, %d wait", m.from, m.to, r.Waiting())
	}
}
