//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"
)

// downAttempts is how often each output is asked to write, and downBudget for how long,
// with those that take seconds for each attempt.
const (
	downAttempts = 60
	downBudget   = 3 * time.Second
)

// closedPort returns an address of TCP on which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	addr, err := freePort("tcp")
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// tcpServer accepts connections, which serve gets. It returns its address.
func tcpServer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
		}
	}()
	return l.Addr().String()
}

// garbage answers anything with what is of no protocol, and closes.
func garbage(conn net.Conn) {
	_, _ = io.WriteString(conn, "?\r\n?\r\n")
	_ = conn.Close()
}

// silent returns a server that never answers. Its connections end with the test.
func silent(t *testing.T) string {
	return tcpServer(t, func(conn net.Conn) { t.Cleanup(func() { conn.Close() }) })
}

// TestOutputsThatAreDownCostNothing: while one of the outputs of the documentation
// refuses, fails or hangs, neither goroutines nor memory grow with the attempts to write.
// (Of the gzip writers of Telegraf v1.37 each left some of both.) prometheus_client only
// listens: all that can fail is that its port is taken.
func TestOutputsThatAreDownCostNothing(t *testing.T) {
	refused, silence := closedPort(t), silent(t)
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusInternalServerError)
	}))
	defer failing.Close()
	failed, nonsense := strings.TrimPrefix(failing.URL, "http://"), tcpServer(t, garbage)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0) // reads nothing
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	const (
		influxdb    = "[[outputs.influxdb]]\n  urls = [\"http://%s\"]\n  timeout = \"20ms\"\n"
		influxdbV2  = "[[outputs.influxdb_v2]]\n  urls = [\"http://%s\"]\n  timeout = \"20ms\"\n  bucket = \"b\"\n"
		httpGzip    = "[[outputs.http]]\n  url = \"http://%s\"\n  timeout = \"20ms\"\n  content_encoding = \"gzip\"\n"
		kafka       = "[[outputs.kafka]]\n  brokers = [\"%s\"]\n  topic = \"t\"\n"
		nats        = "[[outputs.nats]]\n  servers = [\"nats://%s\"]\n  subject = \"s\"\n"
		file        = "[[outputs.file]]\n  files = [\"%s\"]\n"
		prometheus  = "[[outputs.prometheus_client]]\n  listen = \"%s\"\n"
		startRetry  = "  startup_error_behavior = \"retry\"\n"
		nothingIn   = "/nonexistent/metrics"
		alwaysFull  = "/dev/full"
		byAddresses = "refused failed hanging"
	)
	for name, config := range map[string][3]string{ // for byAddresses, in this order
		"influxdb": {fmt.Sprintf(influxdb, refused), fmt.Sprintf(influxdb, failed),
			fmt.Sprintf(influxdb, silence)},
		"influxdb_v2": {fmt.Sprintf(influxdbV2, refused), fmt.Sprintf(influxdbV2, failed),
			fmt.Sprintf(influxdbV2, silence)},
		"http": {fmt.Sprintf(httpGzip, refused), fmt.Sprintf(httpGzip, failed),
			fmt.Sprintf(httpGzip, silence)},
		"kafka":             {fmt.Sprintf(kafka, refused), fmt.Sprintf(kafka, nonsense), fmt.Sprintf(kafka, silence)},
		"nats":              {fmt.Sprintf(nats, refused), fmt.Sprintf(nats, nonsense), fmt.Sprintf(nats, silence)},
		"file":              {fmt.Sprintf(file, nothingIn), fmt.Sprintf(file, alwaysFull), fmt.Sprintf(file, fifo)},
		"prometheus_client": {fmt.Sprintf(prometheus, silence), "", ""},
	} {
		for i, way := range strings.Fields(byAddresses) {
			if config[i] != "" {
				t.Run(name+"/"+way, func(t *testing.T) {
					if raceDetector && strings.HasPrefix(name, "influxdb") {
						t.Skip("Telegraf's gzip writer of one attempt races with the next attempt's: make test runs " +
							"this without the detector")
					}
					writeToWhatIsDown(t, config[i]+startRetry)
				})
			}
		}
	}
}

// writeToWhatIsDown writes again and again to the output of a configuration.
func writeToWhatIsDown(t *testing.T, text string) {
	path := filepath.Join(t.TempDir(), "telegraf.conf")
	if err := os.WriteFile(path, []byte("[agent]\n  metric_buffer_limit = 200\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := loadConfig([]string{path}, true)
	if err != nil {
		t.Fatal(err)
	}
	out := conf.Outputs[0]
	if err := out.Init(); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(downBudget)
	attempts, hangs := 0, false
	attempt := func() {
		addFlows(out)
		done := make(chan error, 1)
		go func() { done <- out.Write() }() // opens it first
		select {
		case err := <-done:
			if err == nil && !strings.Contains(text, "fifo") {
				t.Fatal("the output is not down")
			}
			attempts++
		case <-time.After(time.Until(end)):
			hangs = true // the agent waits for it, so there is only one
		}
	}
	attempt()
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	for attempts < downAttempts && !hangs && time.Now().Before(end) {
		attempt()
	}
	for range downAttempts {
		addFlows(out) // also while it hangs
	}
	more := 0
	for settled := time.Now().Add(5 * time.Second); time.Now().Before(settled); time.Sleep(10 * time.Millisecond) {
		if more = runtime.NumGoroutine() - goroutines; more <= 4 {
			break
		}
	}
	grown := int64(heapInUse()) - int64(heap)
	if more > 4 || grown > 4<<20 {
		t.Errorf("after %d attempts there are %d goroutines and %d kB more than after the first", attempts, more,
			grown>>10)
	}
	if out.BufferLength() > 200 {
		t.Errorf("the buffer has %d metrics, of 200 at most", out.BufferLength())
	}
	t.Logf("%d attempts, hangs: %v; %+d goroutines, %+d kB", attempts, hangs, more, grown>>10)
}

// addFlows gives an output as much as its buffer holds.
func addFlows(out *models.RunningOutput) {
	for i := range 200 {
		out.AddMetric(metric.New("netflow", map[string]string{"source": "192.0.2.1"},
			map[string]any{"src": "192.0.2.7", "dst": "198.51.100.9", "in_bytes": uint64(1000 + i)},
			time.Unix(1, int64(i))))
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
