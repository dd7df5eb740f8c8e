//go:build unix

package tests

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// checkConfig wants a port, a spool and an archive.
const checkConfig = `
[[inputs.netflow]]
  service_address = "udp4://127.0.0.1:0"
  metrics = ["datagrams"]
[[outputs.nfdump]]
  directory = "ARCHIVE"
  namepass = ["netflow_datagram"]
[[outputs.smtp_relay]]
  listen = ["LISTEN"]
  hostname = "relay.example.com"
  relay_nets = ["127.0.0.1"]
  relay_domains = ["example.com"]
  spool = "SPOOL"
  smarthosts = ["smtp://127.0.0.1:1"]
`

// check, as the user that the agent runs as, finds what this user may not do, and what
// another user has left behind; it says what to do and changes nothing.
func TestCheckAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir, err := os.MkdirTemp("", "flowgraf-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const nobody = 65534
	binary := filepath.Join(dir, "flowgraf")
	steps := []error{os.Chmod(dir, 0o755), exec.Command("cp", flowgraf, binary).Run()}
	for _, name := range []string{"own", "spool", "archive", "spool/journal"} {
		steps = append(steps, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	for _, name := range []string{"own", "spool", "archive", "spool/journal"} {
		steps = append(steps, os.Chown(filepath.Join(dir, name), nobody, nobody))
	}
	for _, name := range []string{"spool/journal/1", "archive/nfcapd.current.1700000000"} { // root's
		steps = append(steps, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	taken := hangingServer(t)
	for _, c := range []struct {
		name, listen, spool, archive string
		want                         []string // none: all is well
	}{
		{"nothing is there yet", "127.0.0.1:0", "own/spool", "own/archive", nil},
		{"directories of root", "127.0.0.1:0", "x/spool", "x/archive", []string{
			"outputs.nfdump: directory", "let the user that runs this write",
			"outputs.smtp_relay: spool " + dir + " is not writable", "must belong to the agent's user"}},
		{"files of root", "127.0.0.1:0", "spool", "archive", []string{
			"cannot continue a file: open", "nfcapd.current.1700000000", "spool/journal/1: permission denied",
			"must belong to the agent's user"}},
		{"a port below 1024", "127.0.0.1:25", "own/spool", "own/archive", []string{"CAP_NET_BIND_SERVICE"}},
		{"a port that is taken", taken, "own/spool", "own/archive", []string{"another program, perhaps exim"}},
		{"an address of another machine", "192.0.2.1:2525", "own/spool", "own/archive",
			[]string{"this machine does not have this address"}},
	} {
		config := strings.NewReplacer("LISTEN", c.listen, "SPOOL", filepath.Join(dir, c.spool), "ARCHIVE",
			filepath.Join(dir, c.archive)).Replace(checkConfig)
		file := filepath.Join(dir, "telegraf.conf")
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		before, _ := filepath.Glob(dir + "/*/*")
		cmd := exec.Command(binary, "check", "--config", file)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		if exit, failed := errors.AsType[*exec.ExitError](err); c.want == nil && err != nil ||
			c.want != nil && (!failed || exit.ExitCode() != 1) {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
		for _, want := range c.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: it does not say %q:\n%s", c.name, want, out)
			}
		}
		if after, _ := filepath.Glob(dir + "/*/*"); len(after) != len(before) {
			t.Errorf("%s: it left %v, there was %v", c.name, after, before)
		}
	}
}
