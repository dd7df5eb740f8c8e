package smtp_relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"
	"github.com/influxdata/telegraf/selfstat"

	"github.com/flowgraf/flowgraf/plugins/outcome"
)

// inbox is a smarthost that keeps what it gets.
type inbox struct {
	addr string

	mu    sync.Mutex
	mails []string
}

type inboxSession struct{ *inbox }

func newInbox(t testing.TB, addr string) *inbox {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	in := &inbox{addr: l.Addr().String()}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return inboxSession{in}, nil }))
	server.Domain = "inbox.example.com"
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return in
}

func (inboxSession) Reset()                               {}
func (inboxSession) Logout() error                        { return nil }
func (inboxSession) Mail(string, *smtp.MailOptions) error { return nil }
func (inboxSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s inboxSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, string(b))
	return nil
}

func (in *inbox) await(t testing.TB, n int) []*mail.Message {
	t.Helper()
	var mails []*mail.Message
	for range 1000 {
		if mails = in.all(t); len(mails) >= n {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(mails) != n {
		t.Fatalf("%d mails have arrived, want %d", len(mails), n)
	}
	return mails
}

// all returns the mails that have arrived until now.
func (in *inbox) all(t testing.TB) []*mail.Message {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	out := make([]*mail.Message, len(in.mails))
	for i, text := range in.mails {
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		out[i] = m
	}
	return out
}

func subject(t testing.TB, m *mail.Message) string {
	t.Helper()
	s, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type nothing struct{ telegraf.Logger }

func (nothing) Errorf(string, ...any) {}
func (nothing) Warnf(string, ...any)  {}
func (nothing) Infof(string, ...any)  {}
func (nothing) Debugf(string, ...any) {}

// load makes the plugin from TOML by Telegraf's own loader and initializes it.
func load(t testing.TB, text string) (*SMTPRelay, error) {
	t.Helper()
	c := config.NewConfig()
	if err := c.LoadConfigData([]byte(text), config.EmptySourcePath); err != nil {
		t.Fatal(err)
	}
	p := c.Outputs[0].Output.(*SMTPRelay)
	p.Log = nothing{}
	return p, p.Init()
}

const alertConfig = `
[[outputs.smtp_relay]]
  hostname = "monitor.example.com"
  spool = "SPOOL"
  smarthosts = ["smtp://SMARTHOST"]
  smarthost_tls = "none"
  [[outputs.smtp_relay.alert]]
    name = "traffic"
    where = 'name == "netflow" && "in_bytes" in fields'
    id = "traffic of {{ .Tags.source }}"
    message = """{{ .ID }} is {{ .Level }}
{{ .Value }} bytes, before {{ .Previous }}, peak {{ .Peak }}, for {{ .Duration }}"""
    crit = "fields.in_bytes > 1000"
    warn = "fields.in_bytes > 100"
    from = "flowgraf@example.com"
    to = ["noc@example.net", "ops@example.org"]
`

func alertPlugin(t testing.TB, spool, smarthost string) *SMTPRelay {
	t.Helper()
	p, err := load(t, strings.NewReplacer("SPOOL", spool, "SMARTHOST", smarthost).Replace(alertConfig))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func connect(t testing.TB, p *SMTPRelay) {
	t.Helper()
	if err := p.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
}

func flow(second int64, bytes uint64) telegraf.Metric {
	return metric.New("netflow", map[string]string{"source": "192.0.2.1"}, map[string]any{"in_bytes": bytes},
		time.Unix(1_700_000_000+second, 0))
}

func TestRuleFiresAndRecovers(t *testing.T) {
	in := newInbox(t, "127.0.0.1:0")
	p := alertPlugin(t, t.TempDir(), in.addr)
	connect(t, p)
	for second, bytes := range []uint64{10, 20, 500, 600, 5000, 200, 30, 40} {
		if err := p.Write([]telegraf.Metric{flow(int64(second), bytes)}); err != nil {
			t.Fatal(err)
		}
		in.await(t, []int{0, 0, 1, 1, 2, 3, 4, 4}[second])
	}
	mails := in.await(t, 4)
	ids := map[string]bool{}
	for i, want := range []string{"WARNING", "CRITICAL", "WARNING", "OK"} {
		m := mails[i]
		if got := subject(t, m); got != "traffic of 192.0.2.1 is "+want {
			t.Errorf("subject %d is %q", i, got)
		}
		body, _ := io.ReadAll(m.Body)
		for _, part := range []string{"text/plain", "text/html", "192.0.2.1", "in_bytes"} {
			if !bytes.Contains(body, []byte(part)) {
				t.Errorf("mail %d lacks %q:\n%s", i, part, body)
			}
		}
		if want == "OK" && !bytes.Contains(body, []byte("peak CRITICAL, for 4s")) {
			t.Errorf("recovery without peak and duration:\n%s", body)
		}
		h := m.Header
		if h.Get("Auto-Submitted") != "auto-generated" || h.Get("X-Auto-Response-Suppress") != "All" ||
			h.Get("References") != mails[0].Header.Get("References") || h.Get("Date") == "" ||
			(h.Get("X-Priority") != "") != (want == "CRITICAL") {
			t.Errorf("header of mail %d: %v", i, h)
		}
		ids[h.Get("Message-Id")] = true
	}
	if len(ids) != 4 {
		t.Errorf("Message-IDs %v, want 4", ids)
	}
}

// A mail's change must neither be lost nor told again when the process ends
// between the steps of Apply.
func TestStateSurvives(t *testing.T) {
	for _, tt := range []struct {
		name string
		harm func(t *testing.T, spool string, before []byte)
	}{
		{"after everything", func(*testing.T, string, []byte) {}},
		{"before the state was written", func(t *testing.T, spool string, before []byte) {
			path := filepath.Join(spool, "alert.state")
			if before == nil {
				os.Remove(path)
			} else if err := os.WriteFile(path, before, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dead, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addr := dead.Addr().String()
			dead.Close()
			spool := t.TempDir()
			for second, bytes := range []uint64{5000, 5001, 20, 21, 5002} {
				p := alertPlugin(t, spool, addr)
				connect(t, p)
				before, err := os.ReadFile(filepath.Join(spool, "alert.state"))
				if errors.Is(err, os.ErrNotExist) {
					before = nil
				}
				if err := p.Write([]telegraf.Metric{flow(int64(second), bytes)}); err != nil {
					t.Fatal(err)
				}
				p.Close()
				tt.harm(t, spool, before)
			}
			in := newInbox(t, addr)
			connect(t, alertPlugin(t, spool, addr))
			counts := map[string]int{}
			for _, m := range in.await(t, 3) {
				counts[subject(t, m)]++
			}
			want := map[string]int{"traffic of 192.0.2.1 is CRITICAL": 2, "traffic of 192.0.2.1 is OK": 1}
			if !reflect.DeepEqual(counts, want) {
				t.Errorf("mails %v, want %v", counts, want)
			}
		})
	}
}

// A metric without the field, or with another type, must not make errors for ever.
func TestNoValue(t *testing.T) {
	p, err := load(t, strings.NewReplacer("SPOOL", t.TempDir(), "SMARTHOST", "127.0.0.1:1",
		`where = 'name == "netflow" && "in_bytes" in fields'`, "").Replace(alertConfig))
	if err != nil {
		t.Fatal(err)
	}
	p.Statistics = selfstat.NewCollector(map[string]string{"output": "smtp_relay", "alias": t.Name()})
	if err := p.Init(); err != nil {
		t.Fatal(err)
	}
	connect(t, p)
	batch := []telegraf.Metric{
		metric.New("cpu", map[string]string{}, map[string]any{"idle": 1.0}, time.Now()),
		metric.New("netflow", map[string]string{}, map[string]any{"in_bytes": "many"}, time.Now()),
	}
	if err := p.Write(batch); err != nil {
		t.Fatal(err)
	}
	rule := p.Alerts[0].Name
	if p.statistics.get("alert_no_value", rule).Get() != 1 || p.statistics.get("alert_errors", rule).Get() != 1 ||
		p.statistics.get("alert_mails", "CRITICAL").Get() != 0 {
		t.Error("expected one metric without a value, one error and no mail")
	}
}

// When the spool takes no mail, the batch comes again from the metric on that had
// no effect.
func TestWriteFails(t *testing.T) {
	in := newInbox(t, "127.0.0.1:0")
	p := alertPlugin(t, t.TempDir(), in.addr)
	connect(t, p)
	p.relay.Stop() // the spool takes nothing from here on
	batch := []telegraf.Metric{flow(0, 1), flow(1, 5000), flow(2, 6000)}
	err := p.Write(batch)
	if err == nil {
		t.Fatal("Write gave no error although the spool takes no mail")
	}
	var partial *outcome.Partial
	if !errors.As(err, &partial) || partial.Accepted != 1 {
		t.Fatalf("error %#v, want 1 metric accepted", err)
	}
	if err := p.relay.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Write(batch[partial.Accepted:]); err != nil {
		t.Fatal(err)
	}
	in.await(t, 1)
}

func TestInitRefuses(t *testing.T) {
	tests := []struct{ name, from, to, want string }{
		{"nothing to do", `listen = ["127.0.0.1:0"]`, "", "nothing to do"},
		{"no smarthosts", `smarthosts = ["smtp://127.0.0.1:1"]`, "", "smarthosts is empty"},
		{"other scheme", `smtp://127`, "http://127", "smtp://host:port"},
		{"user in smarthost", `smtp://127`, "smtp://a:b@127", "smtp://host:port"},
		{"TLS mode", `"none"`, `"maybe"`, "smarthost_tls"},
		{"no nets", `relay_nets = ["127.0.0.1"]`, "", "relay_nets is empty"},
		{"no domains", `relay_domains = ["example.com"]`, "", "relay_domains is empty"},
		{"no port", `127.0.0.1:0`, "127.0.0.1", "listen"},
		{"spool", `spool = "SPOOL"`, `spool = ""`, "spool is empty"},
		{"hostname", `hostname = "m.example.com"`, `hostname = "a b"`, "hostname"},
		{"CA file", `hostname = "m.example.com"`, `tls_ca = "/does/not/exist"`, "tls_ca"},
	}
	const good = `
[[outputs.smtp_relay]]
  listen = ["127.0.0.1:0"]
  hostname = "m.example.com"
  relay_nets = ["127.0.0.1"]
  relay_domains = ["example.com"]
  spool = "SPOOL"
  smarthosts = ["smtp://127.0.0.1:1"]
  smarthost_tls = "none"
`
	if _, err := load(t, good); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(good, tt.from) {
				t.Fatalf("the configuration has no %q", tt.from)
			}
			_, err := load(t, strings.Replace(good, tt.from, tt.to, 1))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := &SMTPRelay{
		Listen: []string{l.Addr().String()}, Hostname: "m.example.com", RelayNets: []string{"any"},
		RelayDomains: []string{"any"},
		Spool:        t.TempDir(), Smarthosts: []string{"smtp://127.0.0.1:1"}, Log: nothing{},
	}
	if err := p.Init(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Check": p.Check(), "Connect": p.Connect()} {
		if err == nil || !strings.Contains(err.Error(), l.Addr().String()) ||
			!strings.Contains(err.Error(), `change "listen"`) {
			t.Errorf("%s gives %v, want what, where and what to do", what, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close after a failed start: %v", err)
	}
	ro, err := models.NewRunningOutput(p, &models.OutputConfig{Name: "smtp_relay", StartupErrorBehavior: "retry"}, 10,
		10)
	if err != nil {
		t.Fatal(err)
	}
	if err := ro.Connect(); err != nil {
		t.Errorf(`startup_error_behavior = "retry" does not reach Telegraf: %v`, err)
	}
	l.Close()
	if err := p.Connect(); err != nil {
		t.Errorf("second start: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// Check must leave nothing behind.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	p := alertPlugin(t, filepath.Join(dir, "not", "there"), "127.0.0.1:1")
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("Check left %v", entries)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := alertPlugin(t, file, "127.0.0.1:1").Check(); err == nil {
		t.Error("Check took a file for a spool")
	}
}

func TestStatistics(t *testing.T) {
	in := newInbox(t, "127.0.0.1:0")
	p := alertPlugin(t, t.TempDir(), in.addr)
	p.Statistics = selfstat.NewCollector(map[string]string{"output": "smtp_relay", "alias": t.Name()})
	if err := p.Init(); err != nil {
		t.Fatal(err)
	}
	connect(t, p)
	if err := p.Write([]telegraf.Metric{flow(0, 5000)}); err != nil {
		t.Fatal(err)
	}
	in.await(t, 1)
	if p.statistics.get("alert_mails", "CRITICAL").Get() != 1 {
		t.Error("smtp_relay,reason=CRITICAL alert_mails is not 1")
	}
}

func TestSampleConfig(t *testing.T) {
	if _, err := load(t, sampleConfig); err != nil {
		t.Fatalf("sample.conf: %v", err)
	}
	var all strings.Builder
	for line := range strings.Lines(sampleConfig) { // with every option written
		if rest, ok := strings.CutPrefix(line, "  # "); ok {
			line = "  " + rest
		}
		all.WriteString(line)
	}
	// users cannot log in on the plain listener of the sample
	text := strings.NewReplacer(`tls_ca = ""`, "", `aliases_file = ""`, "", `auth = "required"`,
		`auth = "optional"`).Replace(all.String())
	p, err := load(t, text)
	if err != nil {
		t.Fatalf("sample.conf with all options: %v", err)
	}
	fresh := &SMTPRelay{Spool: "/var/spool/flowgraf", SmarthostTLS: "required"}
	if p.Spool != fresh.Spool || p.SmarthostTLS != fresh.SmarthostTLS || p.MaxMessageSize != 10<<20 ||
		p.MaxConnections != 100 || time.Duration(p.ExpireAfter) != 24*time.Hour || len(p.Alerts) != 1 {
		t.Errorf("sample.conf shows other defaults: %+v", p)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```toml @sample.conf\n"+sampleConfig+"```\n") {
		t.Error("the README's configuration is not sample.conf")
	}
}

// The mail's note must be what Recover reads.
func TestChangeForm(t *testing.T) {
	p := alertPlugin(t, t.TempDir(), "127.0.0.1:1")
	connect(t, p)
	if err := p.Write([]telegraf.Metric{flow(0, 5000)}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(p.Spool, "alert.state"))
	if err != nil || !json.Valid(b) {
		t.Fatalf("alert.state: %v %q", err, b)
	}
}

func TestUsers(t *testing.T) {
	base := `
[[outputs.smtp_relay]]
  listen = ["127.0.0.1:0"]
  auth = "optional"
  relay_nets = ["any"]
  relay_domains = ["any"]
  spool = "x"
  smarthosts = ["smtp://127.0.0.1:25"]
`
	for _, tt := range []struct{ name, user, want string }{
		{"none", "", ""},
		{"secret", `password = "s"`, ""},
		{"neither", ``, "either"},
		{"both", "password = \"s\"\n password_hash = \"x\"", "either"},
		{"no hash", `password_hash = "secret"`, "bcrypt"},
	} {
		text := base
		if tt.name != "none" {
			text += "[[outputs.smtp_relay.user]]\nname = \"a\"\n" + tt.user + "\n"
		}
		_, err := load(t, text)
		if (tt.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := load(t, strings.Replace(base, `auth = "optional"`, "", 1)+"[[outputs.smtp_relay.user]]\nname = "+
		"\"a\"\npassword = \"b\"\n"); err == nil || !strings.Contains(err.Error(), "plain text") {
		t.Errorf("users on a plain listener: %v", err)
	}
}

func TestSmarthostLogin(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "passwd.client")
	if err := os.WriteFile(file, []byte("mail.example.com:tim:secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := alertConfig[:strings.Index(alertConfig, "  [[outputs.smtp_relay.alert]]")]
	rest := alertConfig[len(base):]
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"smarthost_username = \"a\"\nsmarthost_password = \"b\"", ""},
		{"smarthost_password_file = \"" + file + "\"", ""},
		{"smarthost_username = \"a\"\nsmarthost_token_file = \"t\"\nsmarthost_auth = \"xoauth2\"", ""},
		{"smarthost_username = \"a\"", "either"},
		{"smarthost_password = \"a\"", "need smarthost_username"},
		{"smarthost_password_file = \"" + dir + "/none\"", "smarthost_password_file"},
		{"smarthost_password_file = \"" + file + "\"\nsmarthost_username = \"a\"", "one of them"},
		{"smarthost_username = \"a\"\nsmarthost_password = \"b\"\nsmarthost_auth = \"xoauth2\"", "xoauth2"},
		{"smarthost_auth = \"ntlm\"", "smarthost_auth"},
		{"smarthost_auth_over = \"x\"", "smarthost_auth_over"},
		{"aliases_file = \"" + file + "\"", "aliases"},
		{"visible_domain = \"a b\"", "visible_domain"},
	} {
		_, err := load(t, strings.NewReplacer("SPOOL", dir, "SMARTHOST", "127.0.0.1:1").Replace(base+tt.text+"\n"+rest))
		if (tt.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want %q", tt.text, err, tt.want)
		}
	}
}
