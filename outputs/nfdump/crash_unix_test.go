//go:build unix

package nfdump

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf/config"
	"golang.org/x/sys/unix"

	"github.com/flowgraf/flowgraf/outputs/archive"
)

// killsFlag is how often the tests with kills kill.
var killsFlag = flag.Int("kills", 25, "how often to kill the output in each test that does")

// childVar makes a run of the test binary a child: its value is the role, the
// directory, and a number.
const childVar = "FLOWGRAF_NFDUMP_CHILD"

func TestMain(m *testing.M) {
	role, rest, _ := strings.Cut(os.Getenv(childVar), "|")
	dir, number, _ := strings.Cut(rest, "|")
	n, _ := strconv.Atoi(number)
	var err error
	switch role {
	case "":
		os.Exit(m.Run())
	case "load":
		err = load(dir, n)
	case "full":
		err = full(dir)
	case "wait":
		err = wait(dir, n)
	case "resume":
		err = resumeHalf(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// childOutput returns the plugin, connected.
func childOutput(dir string) (*Nfdump, error) {
	p := &Nfdump{Directory: dir, RotationInterval: config.Duration(time.Second), Compression: "lz4", SubdirLayout: 1}
	if err := p.Init(); err != nil {
		return nil, err
	}
	return p, p.Connect()
}

// load writes batches until it is killed, and prints after each how many flows
// have been acknowledged.
func load(dir string, run int) error {
	p, err := childOutput(dir)
	if err != nil {
		return err
	}
	for done := 0; ; {
		datagrams := 1 + rand.IntN(300)
		if err := p.Write(batch(run, done, datagrams, 0)); err != nil {
			return err
		}
		done += datagrams * 30
		if _, err := fmt.Println(done); err != nil {
			return err
		}
	}
}

// wait writes flows before their templates, each pair of a source id of its own, until
// it is killed, and prints how many flows have been acknowledged.
func wait(dir string, run int) error {
	p, err := childOutput(dir)
	if err != nil {
		return err
	}
	p.TemplateWait = config.Duration(time.Hour)
	for n := 0; ; n++ {
		payloads := [][]byte{of(sourceOf(run, n), numbered(v9(false, true, 1), sourceOf(run, n)))}
		for back := range 4 { // those of four before, one in two
			if old := n - 1 - back; old >= 0 && rand.IntN(4) == 0 {
				payloads = append(payloads, of(sourceOf(run, old), v9(true, false, 2)))
			}
		}
		if err := p.Write(metricsOf(payloads...)); err != nil {
			return err
		}
		if _, err := fmt.Println(n + 1); err != nil {
			return err
		}
	}
}

// resumeHalf lets a flow wait, and ends when it has been decoded into the archive, but
// the log does not know yet.
func resumeHalf(dir string) error {
	p, err := childOutput(dir)
	if err != nil {
		return err
	}
	p.TemplateWait = config.Duration(time.Hour)
	if err := p.Write(metricsOf(v9(false, true, 1))); err != nil {
		return err
	}
	b := p.newWriting()
	if err := p.archive.Write(func(out archive.GroupBatch) error {
		b.out = out
		return b.write(metricsOf(v9(true, true, 2)))
	}); err != nil {
		return err
	}
	fmt.Println(b.resumed)
	os.Exit(0)
	return nil
}

// TestKillBetweenFileAndLog: a set that was decoded into the archive in a Write that
// was not acknowledged waits on after a kill, and is there once in the end.
func TestKillBetweenFileAndLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	out, err := child("resume", dir, 0).Output()
	if err != nil || string(out) != "1\n" {
		t.Fatalf("the child resumed %q sets, %v", out, err)
	}
	p, err := childOutput(dir)
	must(t, err)
	p.TemplateWait = config.Duration(time.Hour)
	if p.waiting.Len() != 1 {
		t.Errorf("%d sets wait after the kill, expected 1", p.waiting.Len())
	}
	must(t, p.Write(metricsOf(v9(true, true, 2))))
	must(t, p.Close())
	got := flowsOf(t, dir)
	for n := uint32(1); n <= 2; n++ {
		if c := got[[2]uint32{0, n}]; c != 1 {
			t.Errorf("flow %d is there %d times, expected once", n, c)
		}
	}
}

// sourceOf returns the source id of a flow.
func sourceOf(run, n int) uint32 { return uint32(run<<20 | n) }

// numbered puts a number into the source address of v9's flow.
func numbered(datagram []byte, n uint32) []byte {
	binary.BigEndian.PutUint32(datagram[24:], n)
	return datagram
}

// TestKillWhileSetsWait kills the output while flows wait for their templates and
// while they are decoded. When all templates have come, every acknowledged flow is in
// the files, once.
func TestKillWhileSetsWait(t *testing.T) {
	kills := *killsFlag
	if testing.Short() {
		kills = 5
	}
	dir := filepath.Join(t.TempDir(), "flows")
	acknowledged := make([]int, kills)
	for run := range kills {
		acknowledged[run] = killAfter(t, child("wait", dir, run), time.Duration(rand.IntN(100))*time.Millisecond)
	}
	p, err := childOutput(dir)
	must(t, err)
	p.TemplateWait = config.Duration(time.Hour)
	waiting := p.waiting.Len()
	for run, n := range acknowledged {
		for k := range n + 1 {
			must(t, p.Write(metricsOf(of(sourceOf(run, k), v9(true, false, 3)))))
		}
	}
	must(t, p.Close())
	got, total := flowsOf(t, dir), 0
	for run, n := range acknowledged {
		total += n
		for k := range n {
			if c := got[[2]uint32{0, sourceOf(run, k)}]; c != 1 {
				t.Errorf("flow %d of run %d is there %d times, expected once", k, run, c)
			}
		}
	}
	for id, c := range got {
		if c != 1 {
			t.Errorf("flow %d is there %d times", id[1], c)
		}
	}
	t.Logf("%d kills, %d flows acknowledged, %d waited in the end", kills, total, waiting)
}

// killAfter starts a child and kills it some time after its first line. It returns
// the number in the last line.
func killAfter(t *testing.T, cmd *exec.Cmd, after time.Duration) (last int) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	var timer *time.Timer
	for lines.Scan() {
		last, err = strconv.Atoi(lines.Text())
		must(t, err)
		if timer == nil {
			timer = time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() > 0 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return last
}

// child returns this test's binary in a role.
func child(role, dir string, n int) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%d", childVar, role, dir, n))
	return cmd
}

// TestKill kills the output under load, many times on one directory, at any
// moment, rotations included. After a restart every acknowledged flow is in the
// files, once, and nfdump reads them all.
func TestKill(t *testing.T) {
	kills := *killsFlag
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	acknowledged := make([]int, kills)
	for run := range kills {
		acknowledged[run] = killAfter(t, child("load", dir, run), time.Duration(rand.IntN(150))*time.Millisecond)
	}
	p, err := childOutput(dir)
	must(t, err)
	must(t, p.Close())

	got := flowsOf(t, dir)
	total := 0
	for run, n := range acknowledged {
		expectRun(t, got, run, n)
		total += n
	}
	for id, c := range got {
		if c != 1 {
			t.Errorf("flow %d of run %d is there %d times", id[1], id[0], c)
		}
	}
	files, err := archive.Files(dir)
	must(t, err)
	t.Logf("%d kills, %d flows acknowledged, %d in %d files", kills, total, len(got), len(files))
	if n := figure(t, nfdump(t, "-I", "-R", dir), "Flows"); n != len(got) {
		t.Errorf("nfdump -I counts %d flows, expected %d", n, len(got))
	}
	if out := nfdump(t, "-R", dir, "-o", "null"); !strings.Contains(out,
		fmt.Sprintf("Total flows processed: %d,", len(got))) {
		t.Errorf("nfdump reads something else than %d flows:\n%s", len(got), out)
	}
	for _, f := range files {
		if out := nfdump(t, "-v", f); strings.Contains(out, "rror") {
			t.Errorf("nfdump -v %s:\n%s", f, out)
		}
	}
}

// full runs out of space, as far as a limit on the size of files can imitate it:
// batches fail, and when there is space again the same batch goes in once.
func full(dir string) error {
	signal.Ignore(unix.SIGXFSZ)
	p, err := childOutput(dir)
	if err != nil {
		return err
	}
	p.Close()
	p.RotationInterval = config.Duration(time.Hour)
	if err := p.Init(); err != nil {
		return err
	}
	if err := p.Connect(); err != nil {
		return err
	}
	first := batch(1, 0, 100, 0)
	if err := p.Write(first); err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	small := unix.Rlimit{Cur: 300 << 10, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		return err
	}
	more := batch(1, 3000, 2000, 0)
	for range 3 {
		if err := p.Write(more); err == nil {
			return fmt.Errorf("a batch larger than the limit was written")
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := p.Write(more); err != nil {
		return err
	}
	return p.Close()
}

// TestDiskFull: Write returns an error, nothing of the batch stays, and without a
// restart the batch goes in when there is space.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	out, err := child("full", dir, 0).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := flowsOf(t, dir)
	expectRun(t, got, 1, 63000)
	if len(got) != 63000 {
		t.Errorf("%d flows, expected 63000", len(got))
	}
	if n := figure(t, nfdump(t, "-I", "-R", dir), "Flows"); n != 63000 {
		t.Errorf("nfdump -I counts %d flows, expected 63000", n)
	}
}
