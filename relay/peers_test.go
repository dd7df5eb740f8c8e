package relay

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// missing skips a test for want of a program, or fails it where all must be there.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("FLOWGRAF_PEERS") == "required" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// unpacked gives where tests/packages.sh has unpacked a package, or what the
// environment says.
func unpacked(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("FLOWGRAF_" + strings.ToUpper(name))
	if root == "" {
		var err error
		if root, err = filepath.Abs(filepath.Join("../build", name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// postfixTool finds a program of Postfix: where its package is unpacked, or in PATH.
func postfixTool(t testing.TB, name string) (path string, env []string) {
	t.Helper()
	root := unpacked(t, "postfix")
	path = filepath.Join(root, "usr/sbin", name)
	if _, err := os.Stat(path); err == nil {
		return path, append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(root, "usr/lib/postfix"))
	}
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "%s is neither below %s nor in PATH: run tests/packages.sh as root, or install postfix", name, root)
	}
	return path, os.Environ()
}

// smtpSink starts Postfix's sink with these options and gives its address and the
// directory of its mails; with discard it keeps none.
func smtpSink(t testing.TB, discard bool, options ...string) (addr, dir string) {
	t.Helper()
	tool, env := postfixTool(t, "smtp-sink")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	if dir, err = os.MkdirTemp("", "smtp-sink"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		options = append(options, "-u", "nobody")
	}
	if !discard {
		options = append(options, "-d", filepath.Join(dir, "mail."))
	}
	cmd := exec.Command(tool, append(options, addr, "100")...)
	cmd.Env = env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for range 500 {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return addr, dir
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("smtp-sink does not listen: %s", out.String())
	return "", ""
}

func swaks(t testing.TB, r *Relay, args ...string) (string, error) {
	t.Helper()
	return swaksAt(t, r.Addrs()[0].String(), args...)
}

func swaksAt(t testing.TB, addr string, args ...string) (string, error) {
	t.Helper()
	tool, err := exec.LookPath("swaks")
	if err != nil {
		missing(t, "swaks is not in PATH: install it")
	}
	args = append([]string{"--server", addr, "--timeout", "10s"}, args...)
	out, err := exec.Command(tool, args...).CombinedOutput()
	if bytes.Contains(out, []byte("requires Net::SSLeay")) {
		missing(t, "swaks has no TLS: install libnet-ssleay-perl")
	}
	return string(out), err
}

// swaks to the relay to smtp-sink: an allowed mail arrives, others are refused.
func TestSwaksToSink(t *testing.T) {
	addr, dir := smtpSink(t, false)
	opts := testOptions(t, addr)
	r := start(t, opts)
	if out, err := swaks(t, r, "--from", "a@example.net", "--to", "ops@example.com,b@x.example.com", "--header",
		"Subject: from swaks", "--body", "hello\n.\n.."); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for opts.Monitor.Total(monitor.Delivered) < 2 {
		time.Sleep(5 * time.Millisecond)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "mail.*"))
	if len(files) != 1 {
		t.Fatalf("the sink has %v", files)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{"X-Mail-Args: <a@example.net>", "X-Rcpt-Args: <ops@example.com>",
		"X-Rcpt-Args: <b@x.example.com>", "Subject: from swaks", "by relay.example.com (flowgraf)",
		"\nhello\n.\n..\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the sink's mail lacks %q:\n%s", want, text)
		}
	}
	for _, tt := range []struct{ from, to, want string }{
		{"a@example.net", "ops@example.net", "550 5.7.1"},
		{"a@example.net", "ops%example.net@example.com", "553 5.1.3"},
		{"a@example.net", `"a b"@example.com`, "553 5.1.3"},
		{"a@b@example.net", "ops@example.com", "553 5.1.3"},
	} {
		if out, err := swaks(t, r, "--from", tt.from, "--to", tt.to); err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("from %s to %s: %v, want %s\n%s", tt.from, tt.to, err, tt.want, out)
		}
	}
	opts.RelayNets, opts.Spool = []string{"192.0.2.0/24"}, t.TempDir()
	if out, err := swaks(t, start(t, opts), "--from", "a@example.com", "--to", "ops@example.com"); err == nil ||
		!strings.Contains(out, "554 5.7.1") {
		t.Errorf("from another network: %v\n%s", err, out)
	}
}

// A sink that drops and refuses at random: everything arrives in the end, or is
// kept as failed; nothing is lost.
func TestSinkRefusesForAWhile(t *testing.T) {
	addr, dir := smtpSink(t, false, "-r", "DATA", "-m", "2")
	opts := testOptions(t, addr)
	r := start(t, opts)
	dial(t, r).mail("a@example.com", "ops@example.com", "Subject: x\r\n\r\n")
	for opts.Monitor.Total(monitor.PutOff)+opts.Monitor.Total(monitor.Failed) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "mail.*")); len(files) != 0 &&
		opts.Monitor.Total(monitor.Delivered) != 0 {
		t.Errorf("a refused mail counts as delivered: %v", files)
	}
}

// BenchmarkSmtpSource measures with programs that are not ours: Postfix's
// smtp-source with 8 sessions and mails of 3 kB, its smtp-sink as the smarthost.
func BenchmarkSmtpSource(b *testing.B) {
	source, env := postfixTool(b, "smtp-source")
	addr, _ := smtpSink(b, true)
	opts := testOptions(b, addr)
	opts.Monitor = monitor.New(nil, nil)
	r := start(b, opts)
	const mails = 10_000
	for b.Loop() {
		before := opts.Monitor.Total(monitor.Delivered)
		cmd := exec.Command(source, "-d", "-s", "8", "-l", "3000", "-m", "10000",
			"-f", "a@example.com", "-t", "b@example.com", r.Addrs()[0].String())
		cmd.Env = env
		begin := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		accepted := time.Since(begin)
		for opts.Monitor.Total(monitor.Delivered) < before+mails {
			time.Sleep(time.Millisecond)
		}
		b.ReportMetric(mails/accepted.Seconds(), "accepted/s")
		b.ReportMetric(mails/time.Since(begin).Seconds(), "delivered/s")
		b.ReportMetric(0, "ns/op")
	}
}
