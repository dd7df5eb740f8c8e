package smtp_relay

import (
	"bytes"
	"errors"
	"fmt"
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
func newExim(t *testing.T, settings string) exim4 {
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
	for name, text := range map[string]string{
		"update":                 strings.ReplaceAll(string(script), "/etc/mailname", path("mailname")),
		"mailname":               "host.example\n",
		"aliases":                "known: root@localhost\n",
		"exim4.conf.template":    strings.ReplaceAll(string(template), "/etc/aliases", path("aliases")),
		"update-exim4.conf.conf": settings,
		"exim4.conf.localmacros": "",
	} {
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
	t.Helper()
	routed, err := exec.Command(e.program, "-C", e.config, "-bt", recipient).CombinedOutput()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 2) {
		t.Fatalf("exim4 -bt: %v\n%s", err, routed)
	} else if err != nil && exit.ExitCode() == 2 && !bytes.Contains(routed, []byte("R: dnslookup")) {
		return false
	}
	session := exec.Command(e.program, "-C", e.config, "-bh", client)
	session.Stdin = strings.NewReader("EHLO client.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<" + recipient +
		">\r\nQUIT\r\n")
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
	for _, line := range []string{"EHLO client.example", "MAIL FROM:<a@sender.example>",
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
			peer := newExim(t, settings)
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
