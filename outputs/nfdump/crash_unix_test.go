//go:build unix

package nfdump

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf/config"
	"golang.org/x/sys/unix"

	"github.com/flowgraf/flowgraf/outputs/query"
)

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
	kills := 25
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	acknowledged := make([]int, kills)
	for run := range kills {
		cmd := child("load", dir, run)
		out, err := cmd.StdoutPipe()
		must(t, err)
		cmd.Stderr = os.Stderr
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		deadline := time.Duration(rand.IntN(150)) * time.Millisecond
		var timer *time.Timer
		for lines.Scan() {
			acknowledged[run], err = strconv.Atoi(lines.Text())
			must(t, err)
			if timer == nil {
				timer = time.AfterFunc(deadline, func() { cmd.Process.Kill() })
			}
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() > 0 {
			t.Fatalf("run %d ended by itself: %v", run, err)
		}
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
	files, err := query.Files(dir)
	must(t, err)
	t.Logf("%d kills, %d flows acknowledged, %d in %d files", kills, total, len(got), len(files))
	if n := figure(t, nfdump(t, "-I", "-R", dir), "Flows"); n != len(got) {
		t.Errorf("nfdump -I counts %d flows, expected %d", n, len(got))
	}
	if out := nfdump(t, "-R", dir, "-o", "null"); !strings.Contains(out, fmt.Sprintf("Total flows processed: %d,", len(got))) {
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
