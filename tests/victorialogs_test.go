package tests

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// logsNode is a process of VictoriaLogs.
type logsNode struct {
	*process
	addr, dir string
}

// startLogsNode starts one that keeps what it gets, at an address.
func startLogsNode(t *testing.T, program, addr, dir string, options ...string) *logsNode {
	t.Helper()
	args := append([]string{"-httpListenAddr=" + addr, "-storageDataPath=" + dir, "-retentionPeriod=100y",
		"-inmemoryDataFlushInterval=1s"}, options...)
	n := &logsNode{start(t, program, args...), addr, dir}
	waitFor(t, 20*time.Second, "VictoriaLogs", func() bool { return answers(addr) })
	return n
}

// insert gives it flows, as flowgraf dump -o ndjson writes them.
func (n *logsNode) insert(t *testing.T, flows string) {
	t.Helper()
	resp, err := http.Post("http://"+n.addr+"/insert/jsonline?_time_field=received&_msg_field=proto&_stream_fields="+
		"ip4_router", "application/stream+json", strings.NewReader(flows))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("insert: %s: %s", resp.Status, answer)
	}
}

// count returns how many flows there are, and their bytes; ok is false where the answer is
// refused as it would not be complete.
func (n *logsNode) count(t *testing.T, partial bool) (flows, bytes uint64, ok bool) {
	t.Helper()
	query := url.Values{"query": {"* | stats count() flows, sum(in_bytes) bytes"}}
	if partial {
		query.Set("allow_partial_response", "1")
	}
	resp, err := http.PostForm("http://"+n.addr+"/select/logsql/query", query)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return 0, 0, false
	}
	var answer struct{ Flows, Bytes string }
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	flows, _ = strconv.ParseUint(answer.Flows, 10, 64)
	bytes, _ = strconv.ParseUint(answer.Bytes, 10, 64)
	return flows, bytes, true
}

// onDisk says whether all that a node has got would survive its kill.
func (n *logsNode) onDisk(t *testing.T) bool {
	t.Helper()
	resp, err := http.Get("http://" + n.addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	found := false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), `vl_storage_rows{type="storage/inmemory"} `); ok {
			found = rest == "0"
		}
	}
	return found
}

// TestVictoriaLogsCluster: flows of an archive in VictoriaLogs, two storage nodes behind a
// front. One is killed: questions are refused, or answered of the other one when asked so,
// and what comes goes to the other. With the killed one back all flows are there, once.
func TestVictoriaLogsCluster(t *testing.T) {
	program := filepath.Join(os.Getenv("FLOWGRAF_ENGINES"), "victoria-logs")
	if !executable(program) {
		t.Skip("VictoriaLogs is not there: make engines builds it and runs this test")
	}
	a := startAgent(t, t.TempDir(), edgeConfig, nil)
	sent := generate(t, "--to", a.flows, "--protocol", "v9", "--mix", "realistic", "--count", "20000", "--rate",
		"10000")
	a.stop(t)
	list := strings.SplitAfter(outputOf(t, flowgraf, "dump", "-q", "-R", filepath.Join(a.dir, "archive"),
		"-o", "ndjson"),
		"\n")
	half := len(list) / 2

	one := startLogsNode(t, program, freePort(t, "tcp"), t.TempDir())
	two := startLogsNode(t, program, freePort(t, "tcp"), t.TempDir())
	front := startLogsNode(t, program, freePort(t, "tcp"), t.TempDir(), "-storageNode="+one.addr+","+two.addr)
	front.insert(t, strings.Join(list[:half], ""))
	waitFor(t, 20*time.Second, "the first half", func() bool {
		n, _, _ := front.count(t, false)
		return n == uint64(half) && one.onDisk(t) && two.onDisk(t)
	})
	ofOne, _, _ := one.count(t, false)
	ofTwo, _, _ := two.count(t, false)
	if ofOne == 0 || ofTwo == 0 || ofOne+ofTwo != uint64(half) {
		t.Errorf("the nodes have %d and %d of %d flows", ofOne, ofTwo, half)
	}
	two.kill()
	if n, _, ok := front.count(t, false); ok {
		t.Errorf("with a node killed the front counts %d flows and does not say that some are missing", n)
	}
	if n, _, ok := front.count(t, true); !ok || n != ofOne {
		t.Errorf("of what is left the front counts %d flows, the node has %d", n, ofOne)
	}
	front.insert(t, strings.Join(list[half:], ""))
	waitFor(t, 20*time.Second, "the second half on the node that is left", func() bool {
		n, _, _ := one.count(t, false)
		return n == sent.flows-ofTwo
	})
	startLogsNode(t, program, two.addr, two.dir)
	waitFor(t, 20*time.Second, "the node that was killed", func() bool {
		_, _, ok := front.count(t, false)
		return ok
	})
	if n, bytes, _ := front.count(t, false); n != sent.flows || bytes != sent.bytes {
		t.Errorf("%d flows with %d bytes, sent were %d with %d", n, bytes, sent.flows, sent.bytes)
	}
	t.Logf("%d flows, on the nodes %d and %d before the kill", sent.flows, ofOne, ofTwo)
}
