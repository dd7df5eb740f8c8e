package relay

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/maillog"
	"github.com/flowgraf/flowgraf/relay/message"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
	"github.com/flowgraf/flowgraf/relay/sendmail"
)

// handedOver are command lines and messages as programs hand them to sendmail. Debian's exim
// and ours make the same of them, in a domain example.com.
var handedOver = []struct {
	name  string
	args  []string
	input string
}{
	{"cron", []string{"-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"},
		"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> true\nMIME-Version: 1.0\n" +
			"Content-Type: text/plain; charset=UTF-8\nX-Cron-Env: <SHELL=/bin/sh>\n\nh\xc3\xa9llo\n.\nafter the dot\n"},
	{"mail", []string{"-i", "ops@example.com"}, "Subject: test\nTo: ops@example.com\n\nbody\n"},
	{"header", []string{"-t", "-oi"},
		"To: Ops <ops@example.com>, \"Last, First\" <b@example.com>\nCc: group: c@example.com, root;\n" +
			"Bcc: hidden@example.com\nSubject: x\n\nbody\n"},
	{"excluded", []string{"-t", "b@example.com"}, "To: a@example.com, b@example.com\nSubject: x\n\nbody\n"},
	{"sender", []string{"-f", "alerts@example.com", "-F", "The Alerts", "a@example.com", "b@example.com"},
		"no header\n"},
	{"null sender", []string{"-f", "<>", "a@example.com"}, "From: mailer@example.com\nSubject: bounce\n\nbody\n"},
	{"dot", []string{"a@example.com"}, "Subject: x\n\nbefore\n.\nafter\n"},
	{"dots", []string{"-oi", "a@example.com"}, "Subject: x\n\n..two\n.\n.one\n"},
	{"commas", []string{"a@example.com,b@example.com, c@example.com"}, "Subject: x\n\nbody\n"},
	{"twice", []string{"a@example.com", "a@example.com"}, "Subject: x\n\nbody\n"},
	{"crlf", []string{"-i", "a@example.com"}, "Subject: x\r\n\r\none\r\ntwo\r\n"},
	{"no end", []string{"-i", "a@example.com"}, "Subject: x\n\none\ntwo"},
	{"from line", []string{"-i", "a@example.com"},
		"From root@example.com Mon May  4 03:02:01 2026\nFrom: root@example.com\nSubject: x\n\nbody\n"},
	{"resent", []string{"-t"}, "Resent-To: a@example.com\nResent-From: b@example.com\nTo: z@example.com\n" +
		"From: z@example.com\nDate: Mon, 04 May 2026 03:02:01 +0000\nMessage-ID: <z@example.com>\n" +
		"Subject: x\n\nbody\n"},
	{"dated", []string{"-ti"}, "From: me@example.com\nTo: a@example.com\nDate: Mon, 04 May 2026 03:02:01 +0000\n" +
		"Message-ID: <1@example.com>\n\nbody\n"},
	{"folded", []string{"-t"}, "To: a@example.com,\n b@example.com (comment, with comma),\n\tc@example.com\n" +
		"Subject: x\n\nbody\n"},
	{"empty", []string{"a@example.com"}, ""},
}

const eximSubmit = `
exim_user = {{ .User }}
exim_group = {{ .User }}
spool_directory = {{ .Dir }}/spool
log_file_path = {{ .Dir }}/log/%slog
primary_hostname = host.example.com
qualify_domain = example.com
exim_path = {{ .Root }}/usr/sbin/exim4
untrusted_set_sender = *
local_from_check = false
never_users =
keep_environment =
begin routers
all:
  driver = manualroute
  route_data = 127.0.0.1
  self = send
  transport = sink
begin transports
sink:
  driver = smtp
  port = {{ .Relay }}
  allow_localhost
`

// What exim's sendmail and ours make of the same command line and message arrives alike:
// sender, recipients, fields and body; only the traces differ.
func TestSendmailBesideExim(t *testing.T) {
	theirs := newServer(t, newAuthority(t), "exim", "usr/sbin/exim4")
	theirs.own(t, "log", "spool")
	theirs.write(t, "exim.conf", eximSubmit)
	opts := testOptions(t, newSink(t, "127.0.0.1:0").addr)
	eximSink := newSink(t, "127.0.0.1:"+theirs.Relay)
	ourSink := newSink(t, "127.0.0.1:0")
	opts.Smarthosts = []string{"smtp://" + ourSink.addr}
	log := &keptLog{}
	opts.Monitor = monitor.New(log, nil)
	r := start(t, opts)
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range handedOver {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(filepath.Join(theirs.Root, "usr/sbin/exim4"), append([]string{"-C",
				filepath.Join(theirs.Dir, "exim.conf"), "-odi"}, tt.args...)...)
			cmd.Stdin = strings.NewReader(tt.input)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("exim: %v\n%s", err, out)
			}
			o, err := sendmail.Parse(tt.args)
			if err != nil {
				t.Fatal(err)
			}
			m, err := o.Read(strings.NewReader(tt.input), &sendmail.Origin{Login: who.Username, FullName: who.Name,
				Hostname: "host.example.com", Domain: "example.com", Now: time.Now(), ID: "1"})
			if err != nil {
				t.Fatal(err)
			}
			to := sendmail.Relay{Addr: r.Addrs()[0].String(), Hostname: "host.example.com"}
			if answer, err := to.Submit(t.Context(), o, m); err != nil || !strings.Contains(answer, "OK id=") {
				t.Fatalf("%q, %v", answer, err)
			}
			want, got := eximSink.await(t, i+1)[i], ourSink.await(t, i+1)[i]
			compareArrived(t, &got, &want)
		})
	}
	compareLogs(t, theirs, log)
}

// keptLog keeps the lines of the default level.
type keptLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (*keptLog) Errorf(string, ...any) {}
func (*keptLog) Warnf(string, ...any)  {}
func (*keptLog) Debugf(string, ...any) {}
func (l *keptLog) Infof(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.text, "2026-05-04T03:02:01Z I! [outputs.smtp_relay] "+format+"\n", args...)
}

func (l *keptLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// compareLogs compares what eximstats and exigrep find in exim's log of the same mails with
// what ours gives of our own.
func compareLogs(t *testing.T, theirs *server, log *keptLog) {
	t.Helper()
	file := filepath.Join(theirs.Dir, "log/mainlog")
	tool := func(name string, args ...string) string {
		args = append([]string{filepath.Join(theirs.Root, "usr/sbin", name)}, args...)
		out, err := exec.Command("perl", args...).Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return string(out)
	}
	for range 2000 { // the last line is of the last mail's end
		if strings.Count(log.String(), " completed ") == len(handedOver) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	var sum maillog.Summary
	if err := sum.Read(strings.NewReader(log.String())); err != nil {
		t.Fatal(err)
	}
	s := sum.Statistics()
	report := tool("eximstats", "-nr", "-nt", "-h0", file)
	received := regexp.MustCompile(`(?m)^\s*Received\s+\S+\s+(\d+)`).FindStringSubmatch(report)
	sent := regexp.MustCompile(`(?m)^\s*Delivered\s+\S+\s+\d+\s+(\d+)`).FindStringSubmatch(report)
	if received == nil || sent == nil || received[1] != fmt.Sprint(s.Arrived.Mails) ||
		s.Arrived.Mails != len(handedOver) || sent[1] != fmt.Sprint(s.Delivered.Mails) ||
		s.Completed != len(handedOver) {
		t.Errorf("%+v, eximstats:\n%s", s, report)
	}
	for _, pattern := range []string{"b@example.com", "alerts@example.com", "nobody"} {
		groups := strings.Count(tool("exigrep", "-l", pattern, file), " <= ")
		ours := 0
		search := maillog.Search{Match: func(line string) bool { return strings.Contains(line, pattern) },
			Out: func([]string) error { ours++; return nil }}
		err := errors.Join(search.Read(strings.NewReader(log.String())), search.Close())
		if err != nil || ours != groups {
			t.Errorf("%s: %d mails, exigrep: %d (%v)", pattern, ours, groups, err)
		}
	}
}

// compareArrived compares two mails without what is of one server's own.
func compareArrived(t *testing.T, got, want *sunk) {
	t.Helper()
	slices.Sort(got.to)
	slices.Sort(want.to)
	if got.from != want.from || !slices.Equal(got.to, want.to) {
		t.Errorf("from %q for %q, exim: %q for %q", got.from, got.to, want.from, want.to)
	}
	gotFields, gotBody := taken(got.body)
	wantFields, wantBody := taken(want.body)
	if !slices.Equal(gotFields, wantFields) {
		t.Errorf("fields\n%q, exim:\n%q", gotFields, wantFields)
	}
	if gotBody != wantBody {
		t.Errorf("body %q, exim: %q", gotBody, wantBody)
	}
}

// taken gives a mail's fields without traces, with their values where those are not a clock's
// and not a server's, and its body.
func taken(mail string) (fields []string, body string) {
	head, rest := message.Split([]byte(mail))
	for field := range message.Fields(head) {
		name := strings.ToLower(string(message.Name(field)))
		value := strings.NewReplacer("\r\n", "", "\t", " ", `"`, "").Replace(string(message.Value(field)))
		switch {
		case name == "received":
			continue
		case name == "date" && !strings.Contains(value, "04 May 2026"), strings.HasSuffix(name, "message-id") &&
			!strings.HasSuffix(value, "<1@example.com>"), name == "resent-date":
			value = ""
		case name == "from" && !strings.Contains(value, "@"), name == "from" && !strings.Contains(value, "<"):
			value, _, _ = strings.Cut(value, " (")
		}
		fields = append(fields, name+": "+value)
	}
	slices.Sort(fields)
	return fields, string(bytes.TrimPrefix(rest, []byte("\r\n")))
}

// A mail that was put into the spool while no relay ran is delivered by the next one, by its
// rules; a spool that a relay has is refused.
func TestDeposit(t *testing.T) {
	k := newSink(t, "127.0.0.1:0")
	opts := testOptions(t, k.addr)
	opts.Aliases = map[string][]string{"root": {"ops@example.com"}}
	opts.VisibleDomain = "example.com"
	opts.LocalDomains = []string{"host.internal"}
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	from, to := "cron@host.internal", []string{"root@host.internal", "x@example.net"}
	id, refused, err := r.Deposit(from, to, []byte("Subject: kept\r\nFrom: cron@host.internal\r\n\r\nbody\r\n"))
	if err != nil || id == "" || len(refused) != 1 || !errors.Is(refused[0], ErrRefused) ||
		!strings.Contains(refused[0].Error(), "<x@example.net>") {
		t.Fatalf("id %q, refused %v, %v", id, refused, err)
	}
	if id, refused, err := r.Deposit(from, to[1:], []byte("\r\n")); id != "" || len(refused) != 1 || err != nil {
		t.Errorf("nobody is allowed: id %q, refused %v, %v", id, refused, err)
	}
	for list, edit := range map[string]func(*Options){
		"denied_nets":    func(o *Options) { o.DeniedNets = []string{"127.0.0.0/8"} },
		"denied_senders": func(o *Options) { o.DeniedSenders = []string{"host.internal"} },
	} {
		denying := opts
		edit(&denying)
		denied, err := New(denying)
		if err != nil {
			t.Fatal(err)
		}
		if id, _, err := denied.Deposit(from, to[:1], []byte("\r\n")); id != "" || !errors.Is(err, ErrRefused) ||
			!strings.Contains(err.Error(), list) {
			t.Errorf("%s: id %q, %v", list, id, err)
		}
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	mail := k.await(t, 1)[0]
	if mail.from != "cron@example.com" || !slices.Equal(mail.to, []string{"ops@example.com"}) ||
		!strings.Contains(mail.body, "From: cron@example.com\r\n") {
		t.Errorf("arrived: %+v", mail)
	}
	if _, _, err := r.Deposit(from, to[:1], []byte("\r\n")); !errors.Is(err, queue.ErrLocked) {
		t.Errorf("a relay has the spool: %v", err)
	}
}

// The exit code says whether to try again, and why the relay has refused.
func TestSendmailExitCodes(t *testing.T) {
	opts := testOptions(t, newSink(t, "127.0.0.1:0").addr)
	opts.LocalRecipients, opts.RelayDomains = RecipientsAliases, append(opts.RelayDomains, "relay.example.com")
	opts.SMTPD.MaxMessageSize = 10_000
	r := start(t, opts)
	addr := r.Addrs()[0].String()
	for _, tt := range []struct {
		name string
		addr string
		to   []string
		text string
		code sendmail.Code
	}{
		{"taken", addr, []string{"a@example.com"}, "Subject: x\n\n", sendmail.OK},
		{"no such user", addr, []string{"nobody@relay.example.com"}, "", sendmail.NoUser},
		{"not allowed", addr, []string{"a@example.net"}, "", sendmail.NoPerm},
		{"some", addr, []string{"a@example.com", "b@example.net"}, "", sendmail.NoPerm},
		{"large", addr, []string{"a@example.com"}, strings.Repeat("0123456789\n", 1000), sendmail.DataErr},
		{"long line", addr, []string{"a@example.com"}, strings.Repeat("x", 2000), sendmail.DataErr},
		{"two From", addr, []string{"a@example.com"}, "From: a@example.com\nFrom: b@example.com\n\n", sendmail.DataErr},
		{"down", "127.0.0.1:1", []string{"a@example.com"}, "", sendmail.TempFail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := sendmail.Parse(tt.to)
			if err != nil {
				t.Fatal(err)
			}
			m, err := o.Read(strings.NewReader(tt.text), &sendmail.Origin{Login: "cron", Hostname: "host.example.com",
				Domain: "example.com", Now: time.Now(), ID: "1"})
			if err != nil {
				t.Fatal(err)
			}
			to := sendmail.Relay{Addr: tt.addr, Hostname: "host.example.com"}
			_, err = to.Submit(t.Context(), o, m)
			var coded *sendmail.Error
			errors.As(err, &coded)
			if coded == nil && tt.code != sendmail.OK || coded != nil && coded.Code != tt.code {
				t.Errorf("%v: expected %s", err, tt.code)
			}
			if errors.Is(err, sendmail.ErrUnreachable) != (tt.name == "down") {
				t.Errorf("%v", err)
			}
		})
	}
}
