package smtp_relay

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay"
)

// exim4 is Debian's exim with the configuration that update-exim4.conf has made of
// settings.
type exim4 struct{ program, config string }

// newExim finds what tests/packages.sh has unpacked; the test is skipped without.
func newExim(t *testing.T, settings string, beside map[string]string) exim4 {
	t.Helper()
	root := os.Getenv("FLOWGRAF_EXIM")
	if root == "" {
		root, _ = filepath.Abs("../../build/exim")
	}
	update := filepath.Join(root, "usr/sbin/update-exim4.conf")
	script, err := os.ReadFile(update)
	if err != nil || os.Geteuid() != 0 {
		message := fmt.Sprintf("exim4-config is not unpacked below %s, or this is not root: run tests/packages.sh as "+
			"root", root)
		if os.Getenv("FLOWGRAF_PEERS") == "required" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	dir, err := os.MkdirTemp("", "exim-import")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := func(name string) string { return filepath.Join(dir, name) }
	template, err := os.ReadFile(filepath.Join(root, "etc/exim4/exim4.conf.template"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"update":   strings.ReplaceAll(string(script), "/etc/mailname", path("mailname")),
		"mailname": "host.example\n",
		"aliases":  "known: root@localhost\n",
		"exim4.conf.template": strings.NewReplacer("/etc/aliases", path("aliases"), "/etc/email-addresses",
			path("email-addresses"), "CONFDIR = /etc/exim4", "CONFDIR = "+dir).Replace(string(template)),
		"update-exim4.conf.conf": settings,
		"exim4.conf.localmacros": "",
	}
	maps.Copy(files, beside)
	for name, text := range files {
		if err := os.WriteFile(path(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sh", path("update"), "-d", dir, "-o", path("exim.conf")).CombinedOutput(); err != nil {
		t.Fatalf("update-exim4.conf: %v\n%s", err, out)
	}
	return exim4{filepath.Join(root, "usr/sbin/exim4"), path("exim.conf")}
}

// takes tells whether exim takes a mail from a client (-bh) and has a way for it
// (-bt). There is no DNS here: a recipient that it would ask the DNS for has one.
func (e exim4) takes(t *testing.T, client, recipient string) bool {
	return e.takesFrom(t, client, "a@sender.example", recipient)
}

func (e exim4) takesFrom(t *testing.T, client, sender, recipient string) bool {
	t.Helper()
	routed, err := exec.Command(e.program, "-C", e.config, "-bt", recipient).CombinedOutput()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 2) {
		t.Fatalf("exim4 -bt: %v\n%s", err, routed)
	} else if err != nil && exit.ExitCode() == 2 && !bytes.Contains(routed, []byte("R: dnslookup")) {
		return false
	}
	session := exec.Command(e.program, "-C", e.config, "-bh", client)
	session.Stdin = strings.NewReader("EHLO client.example\r\nMAIL FROM:<" + sender + ">\r\nRCPT TO:<" +
		recipient + ">\r\nQUIT\r\n")
	out, err := session.Output()
	if err != nil {
		t.Fatalf("exim4 -bh: %v\n%s", err, out)
	}
	last := ""
	for line := range strings.Lines(string(out)) {
		if len(line) > 3 && line[3] == ' ' && !strings.HasPrefix(line, "221") {
			last = strings.TrimSpace(line)
		}
	}
	// what an outsider may send needs the DNS as well
	return strings.HasPrefix(last, "250 ") || strings.HasPrefix(last, "4") || strings.Contains(last, "Unrouteable") &&
		bytes.Contains(routed, []byte("R: dnslookup"))
}

// ours takes a recipient from a client of the relay at addr; clients are addresses
// of the loopback network.
func ours(t *testing.T, addr, client, recipient string) bool {
	return oursFrom(t, addr, client, "a@sender.example", recipient)
}

func oursFrom(t *testing.T, addr, client, sender, recipient string) bool {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}, Timeout: 10 * time.Second}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := textproto.NewConn(conn)
	if _, _, err := c.ReadResponse(220); err != nil {
		return false
	}
	code := 0
	for _, line := range []string{"EHLO client.example", "MAIL FROM:<" + sender + ">",
		"RCPT TO:<" + recipient + ">"} {
		if err := c.PrintfLine("%s", line); err != nil {
			t.Fatal(err)
		}
		if code, _, err = c.ReadResponse(0); code == 0 {
			t.Fatal(err)
		}
	}
	return code == 250
}

// A configuration that import-exim has made takes nothing that exim with the same
// settings does not: each configtype, from this host, from relay_nets, from elsewhere.
func TestImportOpensNothing(t *testing.T) {
	const this, inside, outside = "127.0.0.1", "127.0.0.2", "127.0.0.9"
	recipients := []string{
		"root@localhost", "root@local.example", "nobodyhere@local.example", "known@local.example", "a@relay.example",
		"a@below.relay.example", "b@remote.example", "a%remote.example@local.example", "|x@local.example",
		"../../etc/x@local.example",
	}
	for kind, want := range map[string]string{ // what is taken from inside
		"local":     "root@localhost root@local.example known@local.example",
		"internet":  "known@local.example a@relay.example",
		"smarthost": "known@local.example a@relay.example",
		"satellite": "known@local.example a@relay.example",
		"none":      "",
	} {
		t.Run(kind, func(t *testing.T) {
			settings := "dc_eximconfig_configtype='" + kind +
				"'\ndc_other_hostnames='local.example'\ndc_local_interfaces='127.0.0.1'\n" +
				"dc_relay_nets='127.0.0.2/32'\ndc_relay_domains='relay.example'\ndc_smarthost='192.0.2.25::25'\n" +
				"dc_readhost='relay.example'\ndc_hide_mailname='true'\ndc_use_split_config='false'\ndc_localdelivery='mail_spool'\n"
			peer := newExim(t, settings, nil)
			file := filepath.Join(t.TempDir(), "update-exim4.conf.conf")
			if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
				t.Fatal(err)
			}
			text, err := relay.ImportExim(file)
			if (err != nil) != (kind == "none") {
				t.Fatalf("import: %v", err)
			}
			addr := ""
			if err == nil {
				addr = startImported(t, text)
			}
			var taken []string
			for _, client := range []string{this, inside, outside} {
				for _, recipient := range recipients {
					we := addr != "" && ours(t, addr, client, recipient)
					if we && !peer.takes(t, client, recipient) {
						t.Errorf("%s to %s is taken, which exim does not take", client, recipient)
					}
					if we && client == inside {
						taken = append(taken, recipient)
					}
				}
			}
			if got := strings.Join(taken, " "); got != want {
				t.Errorf("from relay_nets %q is taken, want %q", got, want)
			}
		})
	}
}

// What lies beside exim's settings means the same here: who is denied, which server a
// domain's mail goes to, and with which address a local user sends.
func TestImportOfFiles(t *testing.T) {
	const settings = "dc_eximconfig_configtype='smarthost'\ndc_other_hostnames='local.example'\n" +
		"dc_local_interfaces='127.0.0.1'\ndc_relay_nets='127.0.0.0/28'\ndc_smarthost='192.0.2.25::25'\n" +
		"dc_use_split_config='false'\ndc_localdelivery='mail_spool'\n"
	beside := map[string]string{
		"local_sender_blacklist": "spam@bad.example\n*@worse.example\n*.sub.example\n",
		"local_host_blacklist":   "127.0.0.3\n127.0.0.8/29\n",
		"hubbed_hosts": "# other next hops\n*.hub.example: 192.0.2.1\nhub.example: 192.0.2.2\n" +
			"*.deep.hub.example: 192.0.2.3::2525:192.0.2.4\n*.example.net 192.0.2.5\n",
		"email-addresses": "tim: tim@provider.example\n",
	}
	peer := newExim(t, settings, beside)
	dir := filepath.Join(t.TempDir(), "exim4")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range beside {
		place := filepath.Join(dir, name)
		if name == "email-addresses" {
			place = filepath.Join(filepath.Dir(dir), name)
		}
		if err := os.WriteFile(place, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "update-exim4.conf.conf")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := relay.ImportExim(file)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.NewReplacer(`["127.0.0.1:25"]`, `["127.0.0.1:0"]`, "/etc/email-addresses",
		filepath.Join(filepath.Dir(dir), "email-addresses"), "  local_recipients",
		"  hostname = \"host.example\"\n  spool = \""+t.TempDir()+"\"\n  local_recipients").Replace(text)
	p, err := load(t, text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	connect(t, p)
	addr := p.relay.Addrs()[0].String()
	const to = "x@hub.example"
	for _, sender := range []string{"a@good.example", "SPAM@bad.example", "b@bad.example", "x@worse.example",
		"x@a.sub.example", "x@sub.example"} {
		we := oursFrom(t, addr, "127.0.0.2", sender, to)
		// exim denies clients outside of dc_relay_nets, whom we take nothing from anyway
		if exim := peer.takesFrom(t, "192.0.2.9", sender, "root@localhost"); exim != we {
			t.Errorf("from %s: taken here: %v, by exim from an outsider: %v", sender, we, exim)
		}
	}
	for _, client := range []string{"127.0.0.3", "127.0.0.9"} {
		if oursFrom(t, addr, client, "a@good.example", to) {
			t.Errorf("from %s, which local_host_blacklist has, is taken", client)
		}
	}
	for _, domain := range []string{"hub.example", "a.hub.example", "deep.hub.example", "x.deep.hub.example",
		"example.net",
		"a.b.example.net", "other.example"} {
		if got, want := nextHop(p, domain), peer.nextHop(t, domain); got != want {
			t.Errorf("mail for %s goes to %q, exim's to %q", domain, got, want)
		}
	}
	out, err := exec.Command(peer.program, "-C", peer.config, "-brw", "tim@local.example").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("env-from: tim@provider.example")) {
		t.Errorf("exim's own rewriting: %v\n%s", err, out)
	}
}

// nextHop is the first server of the first route that has a domain.
func nextHop(p *SMTPRelay, domain string) string {
	for _, r := range p.Routes {
		for _, d := range r.Domains {
			if d == domain || d[0] == '.' && strings.HasSuffix(domain, d) {
				return strings.TrimPrefix(r.Smarthosts[0], "smtp://")
			}
		}
	}
	return strings.TrimPrefix(p.Smarthosts[0], "smtp://")
}

// nextHop is the first server that exim would ask for a domain.
func (e exim4) nextHop(t *testing.T, domain string) string {
	t.Helper()
	out, err := exec.Command(e.program, "-C", e.config, "-bt", "x@"+domain).CombinedOutput()
	if err != nil {
		t.Fatalf("exim4 -bt: %v\n%s", err, out)
	}
	_, host, _ := strings.Cut(string(out), "\n  host ")
	line, _, _ := strings.Cut(host, "\n")
	words := strings.Fields(line)
	port := "25"
	for _, word := range words {
		if p, found := strings.CutPrefix(word, "port="); found {
			port = p
		}
	}
	return net.JoinHostPort(words[0], port)
}

// startImported runs a relay with what import-exim has printed, its listener, spool
// and aliases apart.
func startImported(t *testing.T, text string) string {
	t.Helper()
	text = strings.Replace(text, `["127.0.0.1:25"]`, `["127.0.0.1:0"]`, 1) +
		"  spool = \"" + t.TempDir() +
		"\"\n  hostname = \"host.example\"\n  [outputs.smtp_relay.aliases]\n  known = [\"a@relay.example\"]\n"
	if strings.Contains(text, "[\"localhost\", ") { // where an alias leads to a name of this host
		text = strings.Replace(text, "a@relay.example", "root@localhost", 1)
	}
	p, err := load(t, text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	connect(t, p)
	return p.relay.Addrs()[0].String()
}
