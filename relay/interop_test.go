package relay

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/smtpd"
)

// server is a mail server of another project: it takes mail for sink.example into a
// maildir, over TLS and after a login, and sends all other mail to our relay.
type server struct {
	Root  string // where it is unpacked
	Dir   string // its directory, which its user can read
	User  string // whom it runs as
	UID   string
	Plain string // port without TLS, for mail from the test
	TLS   string // port with STARTTLS
	TLSOn string // port with TLS from the start
	Relay string // port of our relay
	Cert  string
	Key   string
	CA    string
}

const eximConfig = `
exim_user = {{ .User }}
exim_group = {{ .User }}
spool_directory = {{ .Dir }}/spool
log_file_path = {{ .Dir }}/log/%slog
pid_file_path = {{ .Dir }}/pid
primary_hostname = exim.example.com
never_users =
keep_environment =
deliver_drop_privilege = true
tls_advertise_hosts = *
tls_certificate = {{ .Cert }}
tls_privatekey = {{ .Key }}
tls_on_connect_ports = {{ .TLSOn }}
acl_smtp_rcpt = rcpt
auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}
begin acl
rcpt:
  accept domains = sink.example
         authenticated = *
  deny domains = sink.example
  accept
begin routers
sink:
  driver = accept
  domains = sink.example
  transport = inbox
relay:
  driver = manualroute
  route_list = * localhost::{{ .Relay }} byname
  self = send
  transport = tls
begin transports
inbox:
  driver = appendfile
  directory = {{ .Dir }}/inbox
  maildir_format
  user = {{ .User }}
tls:
  driver = smtp
  hosts_require_tls = *
  hosts_require_auth = *
  tls_verify_certificates = {{ .CA }}
  tls_verify_hosts = *
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{"{{"}}eq{$auth2}{tim}}{eq{$auth3}{secret}}{{"}}"}}
  client_send = ^tim^secret
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{"{{"}}eq{$auth1}{tim}}{eq{$auth2}{secret}}{{"}}"}}
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = secret
`

const postfixMain = `
compatibility_level = 3.6
config_directory = {{ .Dir }}/etc
queue_directory = {{ .Dir }}/queue
data_directory = {{ .Dir }}/data
command_directory = {{ .Root }}/usr/sbin
daemon_directory = {{ .Root }}/usr/lib/postfix/sbin
shlib_directory = {{ .Root }}/usr/lib/postfix
mail_owner = {{ .User }}
setgid_group = games
import_environment = LD_LIBRARY_PATH MAIL_CONFIG TZ
myhostname = postfix.example.com
mydestination =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = {{ .Dir }}/log/postfix
maillog_file_prefixes = {{ .Dir }}
virtual_mailbox_domains = sink.example
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = {{ .Dir }}
virtual_uid_maps = static:{{ .UID }}
virtual_gid_maps = static:{{ .UID }}
smtpd_tls_cert_file = {{ .Cert }}
smtpd_tls_key_file = {{ .Key }}
smtp_dns_support_level = disabled
relayhost = [localhost]:{{ .Relay }}
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = nexthop
smtp_tls_CAfile = {{ .CA }}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = inline:{ { [localhost]:{{ .Relay }} = tim:secret } }
smtp_sasl_security_options = noanonymous
`

const postfixMaster = `
127.0.0.1:{{ .Plain }} inet n - n - - smtpd
127.0.0.1:{{ .TLS }} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
127.0.0.1:{{ .TLSOn }} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
virtual unix - n n - - virtual
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// newServer makes the directory of one, with certificates for localhost.
func newServer(t testing.TB, a *authority, name, program string) *server {
	t.Helper()
	s := &server{Root: unpacked(t, name), User: "Debian-exim"}
	if _, err := os.Stat(filepath.Join(s.Root, program)); err != nil {
		missing(t, "%s is not unpacked below %s: run tests/packages.sh as root", name, s.Root)
	}
	var err error
	if s.Dir, err = os.MkdirTemp("", name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.Dir) })
	who, err := user.Lookup(s.User)
	if os.Geteuid() != 0 || err != nil {
		if who, err = user.Current(); err != nil {
			t.Fatal(err)
		}
	}
	s.User, s.UID = who.Username, who.Uid
	for _, port := range []*string{&s.Plain, &s.TLS, &s.TLSOn, &s.Relay} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, *port, _ = net.SplitHostPort(l.Addr().String())
		defer l.Close()
	}
	s.Cert, s.Key, s.CA = filepath.Join(s.Dir, "cert.pem"), filepath.Join(s.Dir, "key.pem"),
		filepath.Join(s.Dir, "ca.pem")
	writePair(t, a.issue(t, "localhost", time.Now().Add(time.Hour)), s.Cert, s.Key)
	if err := os.WriteFile(s.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}),
		0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

func writePair(t testing.TB, pair tls.Certificate, cert, key string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// write fills a template into a file of the server's directory.
func (s *server) write(t testing.TB, name, text string) {
	t.Helper()
	var b bytes.Buffer
	if err := template.Must(template.New(name).Parse(text)).Execute(&b, s); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// own makes directories that belong to the server's user.
func (s *server) own(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(s.Dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if out, err := exec.Command("chown", s.User, path).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// run starts the server and waits for its ports.
func (s *server) runProgram(t testing.TB, env []string, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.Root, program), args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		ended := time.AfterFunc(2*time.Second, func() { cmd.Process.Kill() })
		defer ended.Stop()
		cmd.Wait()
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(s.Dir, "log/*"))
			for _, file := range logs {
				b, _ := os.ReadFile(file)
				t.Logf("%s:\n%s", file, b)
			}
			t.Logf("%s says: %s", program, out.String())
		}
	})
	for range 1000 {
		c, err := net.Dial("tcp", "127.0.0.1:"+s.TLSOn)
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not listen: %s", program, out.String())
}

// inbox waits for n mails of the server's maildir.
func (s *server) inbox(t testing.TB, n int) []string {
	t.Helper()
	var texts []string
	for range 2000 {
		files, _ := filepath.Glob(filepath.Join(s.Dir, "inbox/new/*"))
		if len(files) >= n {
			for _, file := range files {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				texts = append(texts, string(b))
			}
			return texts
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("fewer than %d mails are in the server's maildir", n)
	return nil
}

func startExim(t testing.TB, a *authority) *server { return startEximWith(t, a, eximConfig) }

func startEximWith(t testing.TB, a *authority, config string) *server {
	t.Helper()
	s := newServer(t, a, "exim", "usr/sbin/exim4")
	s.own(t, "log", "spool", "inbox")
	s.write(t, "exim.conf", config)
	s.runProgram(t, nil, "usr/sbin/exim4", "-C", filepath.Join(s.Dir, "exim.conf"), "-bdf", "-q1m",
		"-oX", fmt.Sprintf("<; [127.0.0.1]:%s ; [127.0.0.1]:%s ; [127.0.0.1]:%s", s.Plain, s.TLS, s.TLSOn))
	return s
}

func startPostfix(t testing.TB, a *authority) *server {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "Postfix's master must be started by root")
	}
	s := newServer(t, a, "postfix", "usr/lib/postfix/sbin/master")
	if s.UID == "0" {
		missing(t, "Postfix needs a user of its own: tests/packages.sh makes Debian-exim, which does")
	}
	s.own(t, "log", "data", "inbox", "queue/active", "queue/bounce", "queue/corrupt", "queue/defer", "queue/deferred",
		"queue/flush",
		"queue/hold", "queue/incoming", "queue/maildrop", "queue/private", "queue/public", "queue/saved", "queue/trace")
	if err := os.Mkdir(filepath.Join(s.Dir, "queue/pid"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write(t, "etc/main.cf", postfixMain)
	s.write(t, "etc/master.cf", postfixMaster)
	s.runProgram(t, []string{"LD_LIBRARY_PATH=" + filepath.Join(s.Root, "usr/lib/postfix")},
		"usr/lib/postfix/sbin/master", "-c", filepath.Join(s.Dir, "etc"), "-d")
	return s
}

// awkward is a message that a careless relay would change.
const awkward = "Subject: caf=?utf-8?q?=C3=A9?=\r\nTo: x@sink.example\r\n\r\n.\r\n..dots\r\n caf\xc3\xa9 \t \r\nFrom " +
	"here\r\n"

// arrived tells whether a mail in a maildir is that one.
func arrived(text string) bool {
	return strings.Contains(text, "Subject: caf=?utf-8?q?=C3=A9?=") &&
		strings.HasSuffix(text, "\n\n.\n..dots\n caf\xc3\xa9 \t \nFrom here\n")
}

// theirSmarthost sends through another server, over verified TLS of both kinds and with
// each login it offers.
func theirSmarthost(t *testing.T, a *authority, s *server, mechanisms ...string) {
	t.Helper()
	mails := 0
	for _, smarthost := range []string{"smtp://localhost:" + s.TLS, "smtps://localhost:" + s.TLSOn} {
		for _, mechanism := range mechanisms {
			opts := testOptions(t, "unused:25")
			opts.RelayDomains, opts.Smarthosts, opts.Delivery.TLS = []string{"sink.example"}, []string{smarthost}, ""
			opts.Delivery.TLSConfig = &tls.Config{RootCAs: a.pool, MinVersion: tls.VersionTLS12}
			cred := &delivery.Credentials{Username: "tim", Password: func() (string, error) { return "secret", nil },
				Mechanism: mechanism}
			if mechanism != "" {
				opts.Delivery.Credentials = func(delivery.Smarthost) (*delivery.Credentials, error) { return cred, nil }
			}
			r := start(t, opts)
			c := dial(t, r)
			for range 3 {
				c.mail("a@example.com", "x@sink.example", awkward)
				mails++
			}
			for n, text := range s.inbox(t, mails) {
				if !arrived(text) {
					t.Fatalf("%s %s: mail %d is %q", smarthost, mechanism, n, text)
				}
			}
			r.Stop()
			if mechanism == "" {
				continue
			}
			cred.Password = func() (string, error) { return "wrong", nil }
			opts.Spool, opts.Monitor = t.TempDir(), monitor.New(testLog{t}, nil)
			r = start(t, opts)
			dial(t, r).mail("a@example.com", "x@sink.example", awkward)
			settle(t, r, opts.Monitor, 1)
			r.Stop()
		}
	}
	opts := testOptions(t, "unused:25")
	opts.RelayDomains, opts.Smarthosts, opts.Delivery.TLS = []string{"sink.example"},
		[]string{"smtp://localhost:" + s.TLS}, ""
	r := start(t, opts)
	dial(t, r).mail("a@example.com", "x@sink.example", awkward)
	settle(t, r, opts.Monitor, 1) // its authority is not known here
	if n := len(s.inbox(t, mails)); n != mails {
		t.Errorf("the server has %d mails, want %d", n, mails)
	}
}

// ourSmarthost has another server send through our relay over verified TLS, with a
// login.
func ourSmarthost(t *testing.T, a *authority, s *server) {
	t.Helper()
	k := newSink(t, "127.0.0.1:0")
	opts := testOptions(t, k.addr)
	opts.Listen = []string{"starttls://127.0.0.1:" + s.Relay}
	opts.TLSCert, opts.TLSKey = filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	writePair(t, a.issue(t, "localhost", time.Now().Add(time.Hour)), opts.TLSCert, opts.TLSKey)
	opts.SMTPD.Users = map[string]smtpd.Verifier{"tim": func(password []byte) bool {
		return string(password) == "secret"
	}}
	start(t, opts)
	address := "127.0.0.1:" + s.Plain
	for range 5 {
		if out, err := swaksAt(t, address, "--from", "a@example.com", "--to", "ops@example.com", "--data",
			strings.ReplaceAll(awkward, "\r\n", "\n")+".\n"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, m := range k.await(t, 5) {
		if !strings.Contains(m.body, "Received: from "+filepath.Base(s.Root)+".example.com ") ||
			!strings.Contains(m.body, "with ESMTPSA id") {
			t.Errorf("the mail came another way:\n%s", m.body)
		}
		if !strings.HasSuffix(m.body, "\r\n\r\n.\r\n..dots\r\n caf\xc3\xa9 \t \r\nFrom here\r\n") {
			t.Errorf("the body is %q", m.body)
		}
	}
}

func TestInteropExim(t *testing.T) {
	a := newAuthority(t)
	s := startExim(t, a)
	theirSmarthost(t, a, s, "PLAIN", "LOGIN", "CRAM-MD5")
	ourSmarthost(t, a, s)
}

func TestInteropPostfix(t *testing.T) {
	a := newAuthority(t)
	s := startPostfix(t, a)
	theirSmarthost(t, a, s, "")
	ourSmarthost(t, a, s)
}
