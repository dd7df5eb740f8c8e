package tests

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNfcapdLine: through a link named nfcapd, the line that administrators have copied
// for years collects in the background, with its process id in a file, and the real
// nfdump reads what it has written. The links of nfdump's tools are their commands.
func TestNfcapdLine(t *testing.T) {
	nfdump := peer(t, "nfdump")
	dir := t.TempDir()
	for _, name := range []string{"nfcapd", "nfdump"} {
		if err := os.Symlink(flowgraf, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	files := filepath.Join(dir, "dvswitch")
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	addr := freePort(t, "udp")
	_, port, _ := net.SplitHostPort(addr)
	pidfile := filepath.Join(dir, "pid")
	line := []string{"-w", "-D", "-l", files, "-p", port, "-P", pidfile, "-I", "dvswitch"}
	began := time.Now()
	outputOf(t, filepath.Join(dir, "nfcapd"), line...)
	text := strings.TrimSpace(string(readFile(t, pidfile)))
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("the process id is %q", text)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	waitFor(t, 30*time.Second, "the collector in the background", func() bool { return taken(addr) })
	if _, err := exec.Command(filepath.Join(dir, "nfcapd"), line...).CombinedOutput(); err == nil {
		t.Error("a second collector starts on the same port")
	}

	sent := generate(t, "--to", addr, "--protocol", "v9", "--count", "5000", "--rate", "5000")
	time.Sleep(time.Second) // the last datagrams are in the socket
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatalf("%v after %s", err, time.Since(began))
	}
	waitFor(t, 30*time.Second, "its end", func() bool {
		stat, err := os.ReadFile("/proc/" + text + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	info := outputOf(t, nfdump, "-R", files, "-I")
	if got := keyValues(t, info)["flows"]; got != sent.flows || !strings.Contains(info, "Ident: dvswitch") {
		t.Errorf("nfdump counts %d flows, want %d:\n%s", got, sent.flows, info)
	}
	if ours := outputOf(t, filepath.Join(dir, "nfdump"), "-R", files, "-I"); keyValues(t, ours)["flows"] != sent.flows {
		t.Errorf("the link nfdump gives\n%s", ours)
	}
	printed := outputOf(t, flowgraf, "nfcapd", "-w", files, "-p", port, "--print-config")
	conf := filepath.Join(dir, "telegraf.conf")
	if err := os.WriteFile(conf, []byte(printed), 0o644); err != nil {
		t.Fatal(err)
	}
	outputOf(t, flowgraf, "check", "--config", conf)
}

// TestNfcapdBecomesAnotherUser: with -u the collector has no rights of root's, and the
// files are that user's.
func TestNfcapdBecomesAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may become another user")
	}
	dir, err := os.MkdirTemp("", "flowgraf-nfcapd-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	files := filepath.Join(dir, "flows")
	if err := os.Mkdir(files, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(files, 0o777); err != nil {
		t.Fatal(err)
	}
	addr := freePort(t, "udp")
	_, port, _ := net.SplitHostPort(addr)
	p := start(t, flowgraf, "nfcapd", "-w", files, "-p", port, "-u", "nobody", "-P", filepath.Join(dir, "pid"))
	waitFor(t, 30*time.Second, "the collector", func() bool { return taken(addr) })
	info, err := os.Stat("/proc/" + strconv.Itoa(p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner == 0 {
		t.Error("it runs as root")
	}
	sent := generate(t, "--to", addr, "--protocol", "v5", "--count", "300", "--rate", "1000")
	time.Sleep(time.Second)
	p.stop(t)
	if got := keyValues(t, outputOf(t, flowgraf, "dump", "-R", files, "-I"))["flows"]; got != sent.flows {
		t.Errorf("%d flows are written, want %d", got, sent.flows)
	}
}
