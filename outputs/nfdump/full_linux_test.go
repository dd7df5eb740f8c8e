package nfdump

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf/config"
	"golang.org/x/sys/unix"
)

// mountSmall mounts a tmpfs of some bytes. The test is skipped where that is not
// allowed.
func mountSmall(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("mounting a tmpfs needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

// fill writes batches until one fails, and returns how many flows were
// acknowledged.
func fill(t *testing.T, p *Nfdump, most int) (flows int, err error) {
	t.Helper()
	for flows < most {
		if err := p.Write(batch(1, flows, 100, 0)); err != nil {
			return flows, err
		}
		flows += 3000
	}
	return flows, nil
}

// TestRealDiskFull: on a file system that is full, and on one that is read-only,
// batches fail; when there is space again they go in without a restart, nothing
// acknowledged is lost and nothing comes twice.
func TestRealDiskFull(t *testing.T) {
	mount := mountSmall(t, "size=3m")
	p := output(t, filepath.Join(mount, "flows"))
	p.RotationInterval = config.Duration(time.Second)
	must(t, p.Init())
	must(t, p.Connect())
	ballast := filepath.Join(mount, "ballast")
	must(t, os.WriteFile(ballast, make([]byte, 1<<20), 0o644))
	n, err := fill(t, p, 3_000_000)
	if err == nil {
		t.Fatal("the file system never was full")
	}
	if !strings.Contains(err.Error(), "make room") {
		t.Errorf("after %d flows: %v, expected what to do", n, err)
	}
	time.Sleep(2500 * time.Millisecond) // slots end meanwhile, and cannot begin
	if err := p.Write(batch(1, n, 100, 0)); err == nil {
		t.Error("a batch goes onto a full disk")
	}
	must(t, os.Remove(ballast))
	must(t, unix.Mount("", mount, "", unix.MS_REMOUNT, "size=32m"))
	must(t, p.Write(batch(1, n, 100, 0)))
	n += 3000

	// nothing can be created here
	must(t, unix.Mount("tmpfs", filepath.Join(mount, "flows"), "tmpfs", unix.MS_RDONLY, ""))
	if err := p.Write(batch(1, n, 100, 0)); err == nil {
		t.Error("a batch goes onto a read-only file system")
	} else if !strings.Contains(err.Error(), "mount the file system writable") {
		t.Errorf("%v, expected what to do", err)
	}
	must(t, unix.Unmount(filepath.Join(mount, "flows"), unix.MNT_DETACH))
	must(t, p.Write(batch(1, n, 100, 0)))
	n += 3000
	must(t, p.Close())
	got := flowsOf(t, filepath.Join(mount, "flows"))
	expectRun(t, got, 1, n)
	if len(got) != n {
		t.Errorf("%d flows, expected %d", len(got), n)
	}
	if i := figure(t, nfdump(t, "-I", "-R", filepath.Join(mount, "flows")), "Flows"); i != n {
		t.Errorf("nfdump -I counts %d flows, expected %d", i, n)
	}
}

// TestFullDiskMakesRoom: when others fill the disk within a slot, min_free removes
// older files, and the next attempt goes in.
func TestFullDiskMakesRoom(t *testing.T) {
	for _, format := range []string{"nfdump", "pcap"} {
		mount, state := mountSmall(t, "size=8m"), t.TempDir()
		slots := func(interval time.Duration) *Nfdump {
			p := output(t, filepath.Join(mount, "flows"))
			p.archive, p.Format, p.MinFree, p.Compression = nil, format, 1<<20, "none"
			p.StateDirectory, p.RotationInterval = state, config.Duration(interval)
			must(t, p.Init())
			must(t, p.Connect())
			return p
		}
		p := slots(time.Second)
		for i := range 3 {
			must(t, p.Write(batch(1, 3000*i, 100, 0)))
			time.Sleep(1100 * time.Millisecond)
		}
		must(t, p.Close())
		const day = 24 * time.Hour
		slot := time.Now().Truncate(day)
		p = slots(day) // no slot begins now, which would make room by itself
		must(t, p.Write(batch(1, 9000, 100, 0)))
		ballast, err := os.Create(filepath.Join(mount, "ballast"))
		must(t, err)
		for err == nil {
			_, err = ballast.Write(make([]byte, 4096))
		}
		must(t, ballast.Close())
		err = p.Write(batch(1, 12000, 100, 0))
		if midnight := !time.Now().Truncate(day).Equal(slot); err == nil && !midnight {
			t.Errorf("%s: a batch goes onto a full disk", format)
		}
		if err := p.Write(batch(1, 12000, 100, 0)); err != nil {
			t.Errorf("%s: no room was made: %v", format, err)
		}
		must(t, p.Close())
	}
}

// TestNoDescriptors: when no file can be opened, a new slot waits, and goes on
// without a restart.
func TestNoDescriptors(t *testing.T) {
	dir := t.TempDir()
	p := output(t, dir)
	p.RotationInterval = config.Duration(time.Second)
	must(t, p.Init())
	must(t, p.Connect())
	must(t, p.Write(batch(1, 0, 1, 0)))
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	none := unix.Rlimit{Cur: 3, Max: limit.Max}
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &none))
	time.Sleep(1500 * time.Millisecond)
	err := p.Write(batch(1, 30, 1, 0))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	if err == nil {
		t.Error("a new slot begins without a file descriptor")
	} else {
		if !strings.Contains(err.Error(), "allow more open files") {
			t.Errorf("%v, expected what to do", err)
		}
		must(t, p.Write(batch(1, 30, 1, 0)))
	}
	must(t, p.Close())
	expectRun(t, flowsOf(t, dir), 1, 60)
}
