package tests

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ended sends SIGTERM and returns the exit code.
func (p *process) ended(t *testing.T) int {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Minute):
		t.Fatalf("the agent does not end:\n%s", tail(p.out.String(), 4000))
	}
	return p.cmd.ProcessState.ExitCode()
}

// An agent is stopped while one output hangs: the archive and the file have everything,
// what the other one has not written is told, and the exit code says so.
func TestStopTellsWhatAnOutputHasNotWritten(t *testing.T) {
	nfdump := peer(t, "nfdump")
	a := startAgent(t, t.TempDir(), agentConfig+`[[outputs.http]]
  url = "http://`+hangingServer(t)+`"
  timeout = "1h"
  namepass = ["netflow"]
`, nil)
	generate(t, "--to", a.flows, "--protocol", "v9", "--count", "700", "--rate", "0")
	metrics := filepath.Join(a.dir, "metrics")
	waitFor(t, 20*time.Second, "the flows", func() bool { return len(points(t, metrics, "netflow")) == 700 })
	if code := a.ended(t); code != 1 {
		t.Errorf("the exit code is %d, want 1", code)
	}
	if out := a.out.String(); !strings.Contains(out,
		"outputs.http: 700 metrics were not written and are lost: the output does not answer") {
		t.Errorf("the log does not tell what was not written:\n%s", tail(out, 2000))
	}
	if flows, _, _ := nfdumpSums(t, nfdump, filepath.Join(a.dir, "archive")); flows != 700 {
		t.Errorf("%d flows are in the archive, want 700", flows)
	}
	if left, _ := filepath.Glob(filepath.Join(a.dir, "archive", "nfcapd.current*")); len(left) > 0 {
		t.Errorf("the archive is not closed: %v", left)
	}
}

// linesServer counts lines of metrics by their text.
type linesServer struct {
	mu    sync.Mutex
	lines map[string]int
}

func (s *linesServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lines := bufio.NewScanner(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	for lines.Scan() {
		s.lines[lines.Text()]++
	}
	io.WriteString(w, "")
}

func (s *linesServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// diskConfig keeps in a directory what outputs have not written.
const diskConfig = `
[agent]
  interval = "10s"
  flush_interval = "200ms"
  omit_hostname = true
  buffer_strategy = "disk"
  buffer_directory = "{{ .Dir }}/buffer"
  buffer_disk_sync = false
[[inputs.netflow]]
  service_address = "udp4://{{ .Flows }}"
  metrics = ["flows", "datagrams"]
[[outputs.http]]
  url = "http://{{ .Server }}"
  data_format = "influx"
  namepass = ["netflow"]
[[outputs.nfdump]]
  directory = "{{ .Dir }}/archive"
  namepass = ["netflow_datagram"]
`

// With buffer_strategy = "disk", what an output has not written survives a reload, a
// stop, which says so and ends with 0, and a kill; and is written when its server is
// back. The archive takes its datagrams through such a buffer, too.
func TestBufferOnDisk(t *testing.T) {
	nfdump := peer(t, "nfdump")
	values := map[string]string{"Server": freePort(t, "tcp"), "Flows": freePort(t, "udp")}
	dir := t.TempDir()
	a := startAgent(t, dir, diskConfig, values)
	send := func(seed string) {
		t.Helper()
		generate(t, "--to", a.flows, "--protocol", "v5", "--count", "300", "--rate", "0", "--seed", seed)
	}
	archived := func(want uint64) {
		t.Helper()
		waitFor(t, 20*time.Second, "the archive", func() bool {
			flows, _, _ := nfdumpSums(t, nfdump, filepath.Join(dir, "archive"))
			return flows == want
		})
	}
	send("1")
	time.Sleep(time.Second)
	a.cmd.Process.Signal(syscall.SIGHUP)
	waitFor(t, 20*time.Second, "the reload", func() bool { return strings.Count(a.out.String(), "Listening on") == 2 })
	send("2")
	waitFor(t, 20*time.Second, "an attempt",
		func() bool { return strings.Contains(a.out.String(), "Error writing to outputs.http") })
	time.Sleep(time.Second)
	if code := a.ended(t); code != 0 {
		t.Errorf("the exit code is %d, want 0: nothing is lost", code)
	}
	kept := regexp.MustCompile(`\[outputs\.http\] 600 metrics are not written yet .* kept in buffer_directory`)
	if !kept.MatchString(a.out.String()) {
		t.Error("the log does not tell how much is kept")
	}
	archived(600)
	a = startAgent(t, dir, diskConfig, values)
	send("3")
	time.Sleep(2 * time.Second)
	a.kill()

	l, err := net.Listen("tcp", values["Server"])
	if err != nil {
		t.Fatal(err)
	}
	got := &linesServer{lines: map[string]int{}}
	server := &http.Server{Handler: got}
	go server.Serve(l)
	defer server.Close()
	a = startAgent(t, dir, diskConfig, values)
	defer func() { t.Logf("%d flows are at the server", got.count()) }()
	waitFor(t, 30*time.Second, "900 flows at the server", func() bool { return got.count() == 900 })
	if code := a.ended(t); code != 0 {
		t.Errorf("the exit code is %d, want 0", code)
	}
	archived(900)
}
