package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// agentOfTheDemo runs the agent that the demo tells the user to try: the mail that it takes
// has a mailbox, although the demo's own has ended.
func agentOfTheDemo(t *testing.T, dir string) {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(dir, "telegraf.conf"))
	listen := regexp.MustCompile(`listen = \["(.*)"\]`).FindSubmatch(config)
	if err != nil || listen == nil {
		t.Fatalf("%v\n%s", err, config)
	}
	a := start(t, flowgraf, "agent", "--config", filepath.Join(dir, "telegraf.conf"))
	waitFor(t, 20*time.Second, "the demo's agent", func() bool { return answers(string(listen[1])) })
	program := sendmailLink(t, dir, `server = "`+string(listen[1])+`"`)
	if code, out := exitCode(t, program, "Subject: behind the demo\n\n", "operator@example.com"); code != 0 {
		t.Errorf("a mail to the demo's agent: %d\n%s", code, out)
	}
	waitFor(t, 20*time.Second, "the mail", func() bool { return len(delivered(t, filepath.Join(dir, "mail"))) > 0 })
	a.stop(t)
}

// The first thing that a newcomer runs: flows in four protocols, metrics, an
// archive, an alert and its recovery, without anything installed.
func TestDemoShowsEverything(t *testing.T) {
	t.Parallel() // it waits for most of its time
	dir := filepath.Join(t.TempDir(), "demo")
	out := outputOf(t, flowgraf, "demo", "--duration", "32s", "--directory", dir, "--rate", "2000")
	sums := regexp.MustCompile(`(\d+) flows of [\d.]+ [kMGT]B were sent; (\d+) became metrics, ` +
		`in (\d+) series; loss (\d+)`).FindStringSubmatch(out)
	if sums == nil {
		t.Fatalf("no sums:\n%s", out)
	}
	if sums[1] != sums[2] || sums[4] != "0" {
		t.Errorf("sent %s, metrics %s, loss %s:\n%s", sums[1], sums[2], sums[4], out)
	}
	versions := map[string]int{}
	for _, p := range points(t, filepath.Join(dir, "metrics.influx"), "netflow") {
		versions[p.tags["version"]]++
	}
	for _, v := range []string{"NetFlowV5", "NetFlowV9", "IPFIX"} {
		if versions[v] == 0 {
			t.Errorf("no flows of %s: %v", v, versions)
		}
	}
	if files := archiveFiles(t, filepath.Join(dir, "archive")); len(files) < 3 {
		t.Errorf("the archive has only %v", files)
	}
	mails, err := filepath.Glob(filepath.Join(dir, "mail", "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, name := range mails {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(data)
	}
	for _, want := range []string{"is CRITICAL", "is OK"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no mail says %q, %d mails came:\n%s", want, len(mails), out)
		}
	}
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 80 && !strings.Contains(line, " | ") &&
			!strings.Contains(line, dir) && !strings.Contains(line, flowgraf) {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if log, err := os.ReadFile(filepath.Join(dir, "agent.log")); err != nil || bytes.Contains(log, []byte(" W! ")) ||
		bytes.Contains(log, []byte(" E! ")) {
		t.Errorf("the demo's own log has complaints: %v\n%s", err, log)
	}
	agentOfTheDemo(t, dir)
	// What it tells the user to try works.
	if top := outputOf(t, flowgraf, "dump", "-R", filepath.Join(dir, "archive"), "-s", "srcip", "-n",
		"5"); !strings.Contains(top, "Top 5 Src IP Addr ordered by flows") {
		t.Errorf("flowgraf dump on the archive:\n%s", top)
	}
}

// demoFlows returns where the agent of a demo takes flows, once it does.
func demoFlows(t *testing.T, dir string) string {
	t.Helper()
	started := regexp.MustCompile(`Listening on .*?127\.0\.0\.1:(\d+)`)
	var flows string
	waitFor(t, 60*time.Second, "the demo's agent", func() bool {
		log, _ := os.ReadFile(filepath.Join(dir, "agent.log"))
		if m := started.FindSubmatch(log); m != nil {
			flows = "127.0.0.1:" + string(m[1])
		}
		return flows != ""
	})
	return flows
}

// Closing the demo's terminal ends the demo, and with it its agent.
func TestDemoEndsWithItsTerminal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	hangup := make(chan os.Signal, 1)     // a signal that is caught is not ignored in what is started,
	signal.Notify(hangup, syscall.SIGHUP) // as it is where the tests themselves run below nohup
	demo := start(t, flowgraf, "demo", "--directory", dir, "--rate", "10")
	signal.Stop(hangup)
	flows := demoFlows(t, dir)
	waitFor(t, 60*time.Second, "what it shows", func() bool {
		return strings.Contains(demo.out.String(), "watch them at")
	})
	demo.cmd.Process.Signal(syscall.SIGHUP)
	waitFor(t, 60*time.Second, "the end of the demo", func() bool { return !demo.running() })
	if demo.err != nil {
		t.Errorf("the demo ended with %v", demo.err)
	}
	if taken(flows) {
		t.Error("its agent still runs")
	}
}

// The demo's page shows its traffic as it comes. A browser that gives up connections does not end
// the demo, nor does the end of its terminal below nohup; the end of what reads its output does.
func TestDemoEndsWithItsReader(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("nohup", flowgraf, "demo", "--directory", dir, "--rate", "10")
	cmd.Stdout, cmd.SysProcAttr = in, &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	lines := bufio.NewScanner(out)
	next := func(prefix string) string {
		t.Helper()
		for lines.Scan() {
			if line := strings.TrimSpace(lines.Text()); strings.HasPrefix(line, prefix) {
				return line
			}
		}
		t.Fatalf("the demo's output ends before %q: %v", prefix, cmd.Wait())
		return ""
	}
	page := strings.TrimPrefix(next("watch them at"), "watch them at ")
	flows := demoFlows(t, dir)
	waitFor(t, 60*time.Second, "flows on the demo's page", func() bool { return flowsOfPage(page+"api/v1/") > 0 })
	for range 50 { // most of the answer finds nobody
		conn, err := net.Dial("tcp", strings.Trim(page, "htp:/"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /assets/echarts.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatalf("the page's answer: %v", err)
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	cmd.Process.Signal(syscall.SIGHUP)
	next("running")
	next("running")
	if flowsOfPage(page+"api/v1/") == 0 {
		t.Error("the page is gone")
	}
	out.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	if taken(flows) {
		t.Error("its agent still runs")
	}
}

// flowsOfPage returns how many flows a page's table has, 0 when it does not answer.
func flowsOfPage(api string) uint64 {
	res, err := http.Get(api + "statistics")
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	var table struct {
		Total struct{ Counters []struct{ Flows uint64 } }
	}
	if json.NewDecoder(res.Body).Decode(&table) != nil || len(table.Total.Counters) == 0 {
		return 0
	}
	return table.Total.Counters[0].Flows
}
