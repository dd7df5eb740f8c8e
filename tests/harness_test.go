package tests

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/flowgraf/flowgraf/tests/peers"
)

// flowgraf is flowgraf, built once for all tests.
var flowgraf string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "flowgraf-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	flowgraf = filepath.Join(dir, "flowgraf")
	build := exec.Command("go", "build", "-o", flowgraf, "../cmd/flowgraf")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building flowgraf: %v\n%s", err, out)
		os.RemoveAll(dir)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// peer returns the path of a program of another project, or skips the test.
func peer(t testing.TB, name string) string {
	t.Helper()
	if path := filepath.Join(postfix(), "usr/sbin", name); executable(path) {
		return path
	}
	return peers.Path(t, name)
}

// postfix returns where tests/packages.sh has unpacked the postfix package.
func postfix() string {
	if dir := os.Getenv("FLOWGRAF_POSTFIX"); dir != "" {
		return dir
	}
	dir, err := filepath.Abs("../build/postfix")
	if err != nil {
		return ""
	}
	return dir
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// freePort returns "127.0.0.1:port" on which nothing listens now.
func freePort(t testing.TB, network string) string {
	t.Helper()
	var err error
	for range 100 {
		// Below the range from which the system gives ports to whoever asks for any.
		addr := "127.0.0.1:" + strconv.Itoa(10000+rand.IntN(20000))
		var c io.Closer
		if network == "udp" {
			c, err = net.ListenPacket("udp4", addr)
		} else {
			c, err = net.Listen("tcp4", addr)
		}
		if err == nil {
			c.Close()
			return addr
		}
	}
	t.Fatalf("no free port: %v", err)
	return ""
}

// waitFor polls until done returns true, and fails the test after limit.
func waitFor(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	const patience = 3 // limits are for a machine with nothing else to do
	for deadline := time.Now().Add(patience * limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("after %s still waiting for %s", limit, what)
}

// process is a running program whose output is kept.
type process struct {
	cmd  *exec.Cmd
	out  *logBuffer
	done chan struct{}
	err  error
}

// logBuffer keeps output; it is written and read at the same time.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start starts a program; it is killed at the end of the test at the latest.
func start(t testing.TB, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), out: &logBuffer{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.Env = append(os.Environ(), "TZ=UTC")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(name), tail(p.out.String(), 8000))
		}
	})
	return p
}

// kill ends the process and what it has started at once, as kill -9 does.
func (p *process) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// stop ends the process with SIGTERM, and fails the test when it does not end
// with 0.
func (p *process) stop(t testing.TB) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.kill()
		t.Fatalf("%s did not end within 30 s of SIGTERM:\n%s", p.cmd.Path, tail(p.out.String(), 4000))
	}
	if p.err != nil {
		t.Fatalf("%s ended with %v:\n%s", p.cmd.Path, p.err, tail(p.out.String(), 4000))
	}
}

// running says whether the process has not ended.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// outputOf runs a program to its end and returns its standard output.
func outputOf(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, tail(string(out), 4000),
			tail(stderr.String(), 4000))
	}
	return string(out)
}

// agent is a running flowgraf agent with its files.
type agent struct {
	*process
	dir   string
	flows string // address on which it takes flows
	relay string // address on which it takes mail
}

// agentConfig is the configuration of most tests: flows in, metrics into a
// file, raw records into an archive.
const agentConfig = `
[agent]
  interval = "1s"
  flush_interval = "200ms"
  metric_batch_size = 1000
  metric_buffer_limit = 1000000
  omit_hostname = true
  debug = true
[[inputs.netflow]]
  service_address = "udp://{{ .Flows }}"
  metrics = ["flows", "options", "exporters", "datagrams"]
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  data_format = "influx"
  influx_uint_support = true
  namedrop = ["netflow_datagram"]
[[outputs.nfdump]]
  directory = "{{ .Dir }}/archive"
  ident = "tests"
  namepass = ["netflow_datagram"]
`

// startAgent starts an agent in dir with a configuration template and waits
// until it takes flows. In the template, Dir is dir, and Flows and Relay are free
// addresses; data adds to these or replaces them.
func startAgent(t testing.TB, dir, config string, data map[string]string) *agent {
	t.Helper()
	a := &agent{dir: dir, flows: freePort(t, "udp"), relay: freePort(t, "tcp")}
	if flows := data["Flows"]; flows != "" {
		a.flows = flows
	}
	file := a.configure(t, config, data)
	a.process = start(t, flowgraf, "agent", "--config", file)
	_, given := data["Flows"]
	a.waitReady(t, given || strings.Contains(config, "{{ .Flows }}"), strings.Contains(config, "{{ .Relay }}"))
	return a
}

// configure writes the agent's configuration and returns its path. Later values replace
// former ones.
func (a *agent) configure(t testing.TB, config string, data ...map[string]string) string {
	t.Helper()
	values := map[string]string{"Dir": a.dir, "Flows": a.flows, "Relay": a.relay}
	for _, more := range data {
		maps.Copy(values, more)
	}
	var text strings.Builder
	if err := template.Must(template.New("conf").Parse(config)).Execute(&text, values); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(a.dir, "telegraf.conf")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func (a *agent) waitReady(t testing.TB, flows, relay bool) {
	t.Helper()
	waitFor(t, 30*time.Second, "the agent", func() bool {
		if !a.running() {
			t.Fatalf("the agent ended: %v\n%s", a.err, tail(a.out.String(), 4000))
		}
		return (!flows || taken(a.flows)) && (!relay || answers(a.relay))
	})
}

// taken says whether some process holds the UDP port of an address. It looks into
// the kernel's tables: to try to bind the port could take it from who is about to.
func taken(addr string) bool {
	_, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(text)
	for _, table := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		b, _ := os.ReadFile(table)
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				return true
			}
		}
	}
	return false
}

func answers(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// point is one metric that the agent has written.
type point struct {
	name   string
	tags   map[string]string
	fields map[string]any
	time   time.Time
}

func (p point) uint(name string) uint64 {
	v, _ := p.fields[name].(uint64)
	return v
}

func (p point) str(name string) string {
	v, _ := p.fields[name].(string)
	return v
}

// series is measurement and tags in one string.
func (p point) series() string { return fmt.Sprint(p.name, p.tags) }

// points returns the metrics in a file of line protocol. An unfinished last
// line is left out.
func points(t testing.TB, file string, measurement string) []point {
	t.Helper()
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	var all []point
	dec := lineprotocol.NewDecoderWithBytes(data)
	for dec.Next() {
		p, err := decodePoint(dec)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if p.name == measurement {
			all = append(all, p)
		}
	}
	return all
}

func decodePoint(dec *lineprotocol.Decoder) (point, error) {
	p := point{tags: map[string]string{}, fields: map[string]any{}}
	name, err := dec.Measurement()
	if err != nil {
		return p, err
	}
	p.name = string(name)
	for {
		key, value, err := dec.NextTag()
		if err != nil {
			return p, err
		}
		if key == nil {
			break
		}
		p.tags[string(key)] = string(value)
	}
	for {
		key, value, err := dec.NextField()
		if err != nil {
			return p, err
		}
		if key == nil {
			break
		}
		p.fields[string(key)] = value.Interface()
	}
	p.time, err = dec.Time(lineprotocol.Nanosecond, time.Time{})
	return p, err
}

// generated are the totals that flowgraf generate printed.
type generated struct{ datagrams, flows, packets, bytes, tcp, udp, icmp, v6 uint64 }

// generate runs flowgraf generate and returns its totals.
func generate(t testing.TB, args ...string) generated {
	t.Helper()
	var g generated
	targets := map[string]*uint64{
		"datagrams": &g.datagrams, "flows": &g.flows, "packets": &g.packets, "bytes": &g.bytes,
		"flows_tcp": &g.tcp, "flows_udp": &g.udp, "flows_icmp": &g.icmp, "flows_ipv6": &g.v6,
	}
	found := keyValues(t, outputOf(t, flowgraf, append([]string{"generate"}, args...)...))
	for name, target := range targets {
		value, ok := found[name]
		if !ok {
			t.Fatalf("flowgraf generate printed no %s", name)
		}
		*target = value
	}
	return g
}

// keyValues reads lines "key: number".
func keyValues(t testing.TB, text string) map[string]uint64 {
	t.Helper()
	values := map[string]uint64{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64); ok && err == nil {
			values[strings.ToLower(strings.TrimSpace(key))] = n
		}
	}
	return values
}

// archiveFiles returns the finished files of an archive in the order of their
// names.
func archiveFiles(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		name := filepath.Base(path)
		if err == nil && !e.IsDir() && strings.HasPrefix(name, "nfcapd.") &&
			!strings.HasPrefix(name, "nfcapd.current") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
