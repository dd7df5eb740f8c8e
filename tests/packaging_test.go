package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/tests/peers"
)

const packaging = "../cmd/flowgraf/packaging"

// The units are right by systemd's own judgement, and as closed as it asks for: an exposure of
// 2.0 at most, where 10 is a service without any sandboxing.
func TestUnits(t *testing.T) {
	analyze := peers.Path(t, "systemd-analyze")
	dir := t.TempDir()
	for _, name := range []string{"flowgraf.service", "flowgraf.socket", "flowgraf-web.service"} {
		text, err := os.ReadFile(filepath.Join(packaging, name))
		if err != nil {
			t.Fatal(err)
		}
		unit := strings.ReplaceAll(string(text), "/usr/bin/flowgraf", flowgraf)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || len(out) > 0 &&
			args[0] == "verify" {
			t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	service, web := filepath.Join(dir, "flowgraf.service"), filepath.Join(dir, "flowgraf-web.service")
	run("verify", "--man=no", service, web, filepath.Join(dir, "flowgraf.socket"))
	for _, unit := range []string{service, web} {
		run("security", "--offline=true", "--no-pager", "--threshold=20", unit)
	}
}

// What the packages and the image configure is valid, with its comments taken away too.
func TestPackagedConfiguration(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(packaging, "flowgraf.conf"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	aliases := filepath.Join(dir, "aliases")
	if err := os.WriteFile(aliases, []byte("root: ops@example.com\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	own := strings.NewReplacer("/etc/aliases", aliases, "/var/lib/flowgraf", dir, "/var/spool/flowgraf",
		filepath.Join(dir, "spool"), ":2055", freePort(t, "udp"), "127.0.0.1:25\"", freePort(t, "tcp")+"\"")
	plain := own.Replace(string(text))
	var whole []string
	for line := range strings.Lines(plain) {
		if strings.HasPrefix(line, "# [") || strings.HasPrefix(line, "#   ") {
			line = line[2:]
		}
		whole = append(whole, line)
	}
	for i, conf := range []string{plain, strings.Join(whole, "")} {
		file := filepath.Join(dir, "flowgraf.conf")
		if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(flowgraf, "check", "--offline", "--config", file).CombinedOutput()
		if err != nil || i == 1 && !strings.Contains(string(out), "outputs.smtp_relay") {
			t.Errorf("%v\n%s\n%s", err, out, conf)
		}
	}
}
