package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stockTelegraf builds Telegraf's own binary once and returns its path.
func stockTelegraf(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs("../build/telegraf")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("bash", "stocktelegraf.sh", file).CombinedOutput(); err != nil {
		t.Fatalf("building a stock Telegraf: %v\n%s", err, tail(string(out), 4000))
	}
	return file
}

// stock is a stock Telegraf with flowgraf's plugins behind its execd plugins.
type stock struct {
	*process
	dir, flows, relay string
}

const stockConfig = `
[agent]
  interval = "1s"
  flush_interval = "200ms"
  metric_batch_size = 1000
  metric_buffer_limit = 1000000
  skip_processors_after_aggregators = true
[[inputs.execd]]
  command = ["FLOWGRAF", "plugin", "--config", "DIR/input.conf"]
  signal = "STDIN"
  restart_delay = "100ms"
  data_format = "influx"
[[processors.execd]]
  command = ["FLOWGRAF", "plugin", "--config", "DIR/processor.conf"]
  namepass = ["netflow"]
  data_format = "influx"
  influx_uint_support = true
  restart_delay = "100ms"
[[outputs.file]]
  files = ["DIR/metrics"]
  data_format = "influx"
  influx_uint_support = true
  namedrop = ["netflow_datagram"]
[[outputs.execd]]
  command = ["FLOWGRAF", "plugin", "--config", "DIR/archive.conf"]
  namepass = ["netflow_datagram"]
  data_format = "influx"
  influx_uint_support = true
  use_batch_format = true
  restart_delay = "100ms"
[[outputs.execd]]
  command = ["FLOWGRAF", "plugin", "--config", "DIR/relay.conf"]
  namepass = ["netflow"]
  data_format = "influx"
  influx_uint_support = true
  use_batch_format = true
  restart_delay = "100ms"
`

// stockFiles are the configurations of the plugins, each in a file of its own.
var stockFiles = map[string]string{
	"input.conf": `
[[inputs.netflow]]
  service_address = "udp://FLOWS"
  metrics = ["flows", "options", "exporters", "datagrams"]
  state_file = "DIR/state"
`,
	"processor.conf": `
[[processors.override]]
  [processors.override.tags]
    site = "north"
`,
	"archive.conf": `
[[outputs.nfdump]]
  directory = "DIR/archive"
  rotation_interval = "1s"
`,
	"relay.conf": `
[[outputs.smtp_relay]]
  listen = ["RELAY"]
  relay_nets = ["127.0.0.0/8"]
  relay_domains = ["example.com"]
  hostname = "flowgraf.example.com"
  spool = "DIR/spool"
  smarthosts = ["smtp://127.0.0.1:1"]
  [[outputs.smtp_relay.alert]]
    name = "site"
    id = "site {{ .Tags.site }}"
    message = "{{ .ID }} is {{ .Level }}"
    crit = "fields.in_bytes > 0u"
    from = "flowgraf@example.com"
    to = ["noc@example.com"]
`,
}

// startStock starts a stock Telegraf with the configuration in a directory of its own.
func startStock(t *testing.T, config string) *stock {
	t.Helper()
	telegraf := stockTelegraf(t)
	s := &stock{dir: t.TempDir(), flows: freePort(t, "udp"), relay: freePort(t, "tcp")}
	fill := strings.NewReplacer("FLOWGRAF", flowgraf, "DIR", s.dir, "FLOWS", s.flows, "RELAY", s.relay)
	files := map[string]string{"telegraf.conf": config}
	for name, text := range stockFiles {
		files[name] = text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(fill.Replace(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.process = start(t, telegraf, "--config", filepath.Join(s.dir, "telegraf.conf"), "--strict-env-handling")
	s.listens(t)
	return s
}

func (s *stock) listens(t *testing.T) {
	t.Helper()
	waitFor(t, 30*time.Second, "the input behind execd", func() bool { return taken(s.flows) })
}

// child returns the process that runs the plugins of a file, waiting for it.
func (s *stock) child(t *testing.T, file string) int {
	t.Helper()
	pid := 0
	waitFor(t, 30*time.Second, "the plugins of "+file, func() bool {
		out, _ := exec.Command("ps", "--ppid", strconv.Itoa(s.cmd.Process.Pid), "-o", "pid=,args=").Output()
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) > 1 && strings.Contains(line, filepath.Join(s.dir, file)) {
				pid, _ = strconv.Atoi(f[0])
			}
		}
		return pid > 0
	})
	return pid
}

// send sends flows and returns how many.
func (s *stock) send(t *testing.T, count int) int {
	t.Helper()
	return int(generate(t, "--to", s.flows, "--protocol", "v9", "--count", fmt.Sprint(count), "--rate", "5000").flows)
}

// metrics counts the flows in Telegraf's own output.
func (s *stock) metrics(t *testing.T) (n int) {
	t.Helper()
	text, _ := os.ReadFile(filepath.Join(s.dir, "metrics"))
	return strings.Count("\n"+string(text), "\nnetflow,")
}

// archived counts the flows in the complete files of the archive.
func (s *stock) archived(t *testing.T) int {
	t.Helper()
	info, err := exec.Command(flowgraf, "dump", "-R", filepath.Join(s.dir, "archive"), "-I").Output()
	if err != nil {
		return 0 // there is none yet
	}
	return int(keyValues(t, string(info))["flows"])
}

// In a stock Telegraf the input, a processor and both outputs run behind execd, through
// kills of each of them and a reload of Telegraf, and every flow that was sent while all
// ran is counted, in Telegraf's own output and in the archive.
func TestInStockTelegraf(t *testing.T) {
	s := startStock(t, stockConfig)
	sent := s.send(t, 5000)
	counted := func() {
		t.Helper()
		waitFor(t, 30*time.Second, "all flows in Telegraf's output", func() bool { return s.metrics(t) >= sent })
		waitFor(t, 30*time.Second, "all flows in the archive", func() bool { return s.archived(t) >= sent })
	}
	counted()

	for _, file := range []string{"input.conf", "processor.conf", "archive.conf"} {
		pid := s.child(t, file)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		waitFor(t, 30*time.Second, "the end of "+file, func() bool { return syscall.Kill(pid, 0) != nil })
		s.child(t, file)
		s.listens(t)
		sent += s.send(t, 2000)
		counted()
	}

	before := s.child(t, "input.conf")
	s.cmd.Process.Signal(syscall.SIGHUP)
	waitFor(t, 30*time.Second, "the reload", func() bool { return syscall.Kill(before, 0) != nil })
	s.child(t, "input.conf")
	s.child(t, "archive.conf")
	s.listens(t)
	sent += s.send(t, 2000)
	counted()

	_, first, _ := strings.Cut("\n"+string(readFile(t, filepath.Join(s.dir, "metrics"))), "\nnetflow,")
	first, _, _ = strings.Cut(first, "\n")
	for _, part := range []string{"site=north", "source=127.0.0.1", "version=NetFlowV9", "u,", "host="} {
		if !strings.Contains(first, part) {
			t.Errorf("the first flow has no %s: %s", part, first)
		}
	}
	list := outputOf(t, flowgraf, "queue", "list", "--spool", filepath.Join(s.dir, "spool"))
	if !strings.Contains(list, "noc@example.com") {
		t.Errorf("no alert is queued:\n%s", list)
	}
	s.stop(t)
	if n := s.metrics(t); n != sent {
		t.Errorf("Telegraf wrote %d flows, want %d", n, sent)
	}
	if n := s.archived(t); n != sent {
		t.Errorf("the archive has %d flows, want %d", n, sent)
	}
}

func readFile(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// When Telegraf is killed, what it has started ends, and leaves its ports to the next.
func TestKilledStockTelegrafLeavesNothing(t *testing.T) {
	s := startStock(t, stockConfig)
	children := []int{s.child(t, "input.conf"), s.child(t, "processor.conf"), s.child(t, "archive.conf"),
		s.child(t, "relay.conf")}
	sent := s.send(t, 2000)
	waitFor(t, 30*time.Second, "all flows in the archive", func() bool { return s.archived(t) >= sent })
	s.kill()
	for _, pid := range children {
		waitFor(t, 30*time.Second, "the end of a plugin", func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(stat), ") Z ")
		})
	}
	if n := s.archived(t); n != sent {
		t.Errorf("the archive has %d flows, want %d", n, sent)
	}
}

// An output that stands still holds Telegraf back: what it has waits there, and is
// written when the output goes on. When Telegraf itself stands still, the input waits.
func TestSlowOutputHoldsStockTelegrafBack(t *testing.T) {
	s := startStock(t, stockConfig)
	pid := s.child(t, "archive.conf")
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // it does not read at all
		t.Fatal(err)
	}
	sent := s.send(t, 20000)
	waitFor(t, 30*time.Second, "all flows in Telegraf's output", func() bool { return s.metrics(t) >= sent })
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 30*time.Second, "all flows in the archive", func() bool { return s.archived(t) >= sent })

	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	sent += s.send(t, 10000) // some megabytes of lines: more than a pipe holds
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 30*time.Second, "all flows in Telegraf's output", func() bool { return s.metrics(t) >= sent })
	waitFor(t, 30*time.Second, "all flows in the archive", func() bool { return s.archived(t) >= sent })
	s.stop(t)
	if n := s.metrics(t); n != sent {
		t.Errorf("Telegraf wrote %d flows, want %d", n, sent)
	}
	if n := s.archived(t); n != sent {
		t.Errorf("the archive has %d flows, want %d", n, sent)
	}
}

// secretConfig takes the token of its output from a secret store, and its address and
// organisation from the environment.
const secretConfig = `
[[secretstores.docker]]
  id = "kept"
  path = "${SECRETS}"
[[outputs.influxdb_v2]]
  urls = ["${SERVER}"]
  organization = "${ORGANISATION:-example}"
  bucket = "flows"
  token = "@{kept:token}"
`

// Behind execd plugins have secrets and variables of the environment as in Telegraf.
func TestSecretsBehindExecd(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"token": "from the store", "plugin.conf": secretConfig} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	requests := make(chan *http.Request, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	cmd := exec.Command(flowgraf, "plugin", "--config", filepath.Join(dir, "plugin.conf"))
	cmd.Env = append(os.Environ(), "SECRETS="+dir, "SERVER="+server.URL)
	cmd.Stdin = strings.NewReader("netflow,source=192.0.2.1 in_bytes=10u 1700000000000000000\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	select {
	case r := <-requests:
		if got, want := r.Header.Get("Authorization"), "Token from the store"; got != want {
			t.Errorf("authorized by %q, want %q", got, want)
		}
		if got := r.URL.Query().Get("org"); got != "example" {
			t.Errorf("organisation %q, want example", got)
		}
	default:
		t.Error("nothing was written")
	}
}

// losslessConfig sends over HTTP what has to arrive: Telegraf keeps it until it is
// acknowledged.
const losslessConfig = `
[agent]
  interval = "1s"
  flush_interval = "200ms"
  metric_batch_size = 500
  metric_buffer_limit = 1000000
  skip_processors_after_aggregators = true
  omit_hostname = true
[[inputs.execd]]
  command = ["FLOWGRAF", "plugin", "--config", "DIR/input.conf"]
  signal = "STDIN"
  data_format = "influx"
[[outputs.http]]
  url = "http://RELAY/api/v2/write"
  data_format = "influx"
  influx_uint_support = true
  namepass = ["netflow_datagram"]
`

// The way without loss: Telegraf's outputs.http into an agent of flowgraf. The agent is
// away at first, and stopped while flows come, and nothing is missing.
func TestLosslessWayFromStockTelegraf(t *testing.T) {
	for _, listener := range []string{
		"[[inputs.influxdb_v2_listener]]\n  service_address = \"RELAY\"\n  max_undelivered_metrics = 1000\n",
		"[[inputs.http_listener_v2]]\n  service_address = \"tcp://RELAY\"\n  paths = [\"/api/v2/write\"]\n" +
			"  methods = [\"POST\"]\n  data_format = \"influx\"\n",
	} {
		name, _, _ := strings.Cut(strings.TrimPrefix(listener, "[[inputs."), "]]")
		t.Run(name, func(t *testing.T) {
			s := startStock(t, losslessConfig)
			conf := filepath.Join(s.dir, "agent.conf")
			text := "[agent]\n  flush_interval = \"100ms\"\n  omit_hostname = true\n" +
				strings.ReplaceAll(listener, "RELAY", s.relay) +
				"[[outputs.nfdump]]\n  directory = \"" + filepath.Join(s.dir, "archive") + "\"\n" +
				"  rotation_interval = \"1s\"\n"
			if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			sent := s.send(t, 5000) // nobody listens yet
			agent := start(t, flowgraf, "agent", "--config", conf)
			waitFor(t, time.Minute, "what had waited", func() bool { return s.archived(t) >= sent })
			agent.stop(t)
			sent += s.send(t, 5000)
			agent = start(t, flowgraf, "agent", "--config", conf)
			waitFor(t, time.Minute, "the rest", func() bool { return s.archived(t) >= sent })
			s.stop(t)
			agent.stop(t)
			if n := s.archived(t); n != sent {
				t.Errorf("the archive has %d flows, want %d", n, sent)
			}
		})
	}
}
