package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The first thing that a newcomer runs: flows in four protocols, metrics, an
// archive, an alert and its recovery, without anything installed.
func TestDemoShowsEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	out := run(t, flowgraf, "demo", "--duration", "32s", "--directory", dir, "--rate", "2000")
	sums := regexp.MustCompile(`(\d+) flows of \d+ bytes were sent; (\d+) became metrics, in (\d+) series; loss (\d+)`).FindStringSubmatch(out)
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
	// What it tells the user to try works.
	if top := run(t, flowgraf, "dump", "-R", filepath.Join(dir, "archive"), "-s", "srcip", "-n",
		"5"); !strings.Contains(top, "Top 5 Src IP Addr ordered by flows") {
		t.Errorf("flowgraf dump on the archive:\n%s", top)
	}
}

// Closing the demo's terminal ends the demo, and with it its agent.
func TestDemoEndsWithItsTerminal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	demo := start(t, flowgraf, "demo", "--directory", dir, "--rate", "10")
	started := regexp.MustCompile(`Listening on .*?127\.0\.0\.1:(\d+)`)
	var flows string
	waitFor(t, 30*time.Second, "the demo's agent", func() bool {
		log, _ := os.ReadFile(filepath.Join(dir, "agent.log"))
		if m := started.FindSubmatch(log); m != nil {
			flows = "127.0.0.1:" + string(m[1])
		}
		return flows != "" && strings.Contains(demo.out.String(), "127.0.0.1")
	})
	demo.cmd.Process.Signal(syscall.SIGHUP)
	<-demo.done
	if demo.err != nil {
		t.Errorf("the demo ended with %v", demo.err)
	}
	if taken(flows) {
		t.Error("its agent still runs")
	}
}
