package archive

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"golang.org/x/sys/unix"
)

// fewDescriptors lets the process open so many files more, until the returned function
// is called.
func fewDescriptors(t *testing.T, more int) (restore func()) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	top := 0
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscan(e.Name(), &n); err == nil {
			top = max(top, n)
		}
	}
	free := top + 1 - len(entries) // numbers below top that are free, too
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(top + 1 + more - free), Max: limit.Max}))
	restore = func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) }
	t.Cleanup(restore)
	return restore
}

// spread writes a flow with that number of each of so many exporters, and then fails
// where it is to.
func spread(g *Group, exporters, number int, fails error) error {
	return g.Write(func(b GroupBatch) error {
		for i := range exporters {
			if err := from(b, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String(), number); err != nil {
				return err
			}
		}
		return fails
	})
}

// TestFewDescriptors: with fewer descriptors than exporters their archives have files
// open in turns: all flows of all slots are kept, what a failed batch has written is
// not, and somebody is told once or twice, not for each file. With an even number of
// them the last is taken by a file, with an odd one by a directory's lock, so that
// nothing can be read in the directory.
func TestFewDescriptors(t *testing.T) {
	for i := range 4 {
		syncBatch, more := i%2 == 1, 14+i/2
		synctest.Test(t, func(t *testing.T) {
			const exporters = 60
			dir := t.TempDir()
			var log []string
			opt := GroupOptions{Options: Options{Dir: dir, Interval: time.Minute, Location: time.UTC,
				SyncBatch: syncBatch}, PerAddress: true}
			opt.Errorf = func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
			g, err := NewGroup(opt)
			must(t, err)
			must(t, g.Open())
			restore := fewDescriptors(t, more)
			must(t, spread(g, exporters, 1, nil))
			if err := spread(g, exporters, 2, errors.New("no")); err == nil || nffile.NoDescriptors(err) {
				t.Errorf("a batch that is to fail: %v", err)
			}
			must(t, spread(g, exporters, 3, nil))
			time.Sleep(time.Minute + grace + 5*retryAfter)
			synctest.Wait()
			must(t, spread(g, exporters, 4, nil))
			must(t, g.Close())
			restore()
			want := map[string][]int{}
			for i := range exporters {
				want[fmt.Sprintf("192-0-2-%d/nfcapd.200001010000", i)] = []int{1, 3}
				want[fmt.Sprintf("192-0-2-%d/nfcapd.200001010001", i)] = []int{4}
			}
			expect(t, dir, want)
			all := strings.Join(log, "\n")
			if !strings.Contains(all, "LimitNOFILE") || len(log) > 5 {
				t.Errorf("%d lines of log, expected a few with what to do:\n%s", len(log), all)
			}
		})
	}
}

// TestParkedIsReplaced: what takes a file's place while it has no descriptor is not
// written to.
func TestParkedIsReplaced(t *testing.T) {
	const exporters = 30
	dir := t.TempDir()
	g := openGroup(t, GroupOptions{Options: Options{Dir: dir, Interval: time.Hour}, PerAddress: true})
	restore := fewDescriptors(t, 10)
	must(t, spread(g, exporters, 1, nil))
	restore()
	current, err := filepath.Glob(filepath.Join(dir, "192-0-2-0", currentPrefix+"*"))
	if err != nil || len(current) != 1 {
		t.Fatalf("files %v: %v", current, err)
	}
	other := []byte("somebody else's")
	must(t, os.Remove(current[0]))
	must(t, os.WriteFile(current[0], other, 0o600))
	if err := spread(g, 1, 2, nil); err != nil {
		t.Fatal(err)
	}
	must(t, g.Close())
	kept, err := filepath.Glob(filepath.Join(dir, "192-0-2-0", "*.damaged"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept aside: %v: %v", kept, err)
	}
	if got, err := os.ReadFile(kept[0]); err != nil || !slices.Equal(got, other) {
		t.Errorf("the other file has %q: %v", got, err)
	}
}

// TestFullAtTheStart: on a disk that is full of old files some of them expire, then the
// archive opens and takes flows; with directories of addresses too, also where a kill
// left a file behind that must be made whole.
func TestFullAtTheStart(t *testing.T) {
	for _, split := range []bool{false, true} {
		t.Run(fmt.Sprintf("split %v", split), func(t *testing.T) {
			mount := t.TempDir()
			if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=4m"); err != nil {
				t.Skipf("mounting a tmpfs needs root: %v", err)
			}
			t.Cleanup(func() { must(t, unix.Unmount(mount, unix.MNT_DETACH)) })
			sub := ""
			if split {
				sub = "192-0-2-1"
			}
			held := filepath.Join(mount, sub)
			left := leftBehind(t, held)
			for i := range 60 {
				name := filepath.Join(held, fmt.Sprintf("nfcapd.2000010100%02d", i))
				if err := os.WriteFile(name, make([]byte, 64<<10), 0o600); err != nil {
					break
				}
			}
			fillUp(t, filepath.Join(mount, "ballast"))
			opt := GroupOptions{Options: Options{Dir: mount, Interval: time.Minute}, PerAddress: split,
				Limits: Limits{Free: 256 << 10}}
			g := openGroup(t, opt)
			must(t, g.Write(func(b GroupBatch) error { return from(b, "192.0.2.1", 2) }))
			must(t, g.Close())
			if _, err := os.Lstat(filepath.Join(held, "nfcapd.200001010000")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the oldest file has not expired: %v", err)
			}
			if _, err := os.Lstat(left); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("what a kill left behind has not been made whole: %v", err)
			}
		})
	}
}

// leftBehind makes the file of a slot that a kill left behind in a directory.
func leftBehind(t *testing.T, dir string) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	path := filepath.Join(dir, currentName(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC).Unix()))
	w, err := nffile.Create(path, nffile.Options{})
	must(t, err)
	for i := range 56 { // to the end of a page
		must(t, w.Append(record(i, time.Now())))
	}
	must(t, w.Flush())
	must(t, w.Abandon())
	info, err := os.Stat(path)
	must(t, err)
	block := make([]byte, (4096-info.Size()%4096)%4096) // torn: its end is that of a page
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(block)
	must(t, errors.Join(err, f.Close()))
	return path
}

// fillUp writes a file until the disk is full.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	must(t, f.Close())
}
