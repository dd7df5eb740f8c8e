package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestForeignDirectories: directories of others in the tree, as lost+found of a file
// system made for the archive and the snapshots of a file server, hinder neither the
// start nor the expiry, and nothing is removed from them.
func TestForeignDirectories(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("to make a directory that cannot be read needs root")
	}
	// The rights of another user for this thread only.
	const nobody = 65534
	dir := t.TempDir()
	lost, snapshot := filepath.Join(dir, "lost+found"), filepath.Join(dir, ".snapshot")
	must(t, os.Mkdir(lost, 0o700))
	must(t, os.Mkdir(snapshot, 0o755))
	for _, path := range []string{snapshot, dir} {
		for _, name := range []string{"nfcapd.200001010000", "nfcapd.200001010005"} {
			must(t, os.WriteFile(filepath.Join(path, name), nil, 0o644))
		}
	}
	for path := dir; len(path) > len(os.TempDir()); path = filepath.Dir(path) {
		must(t, os.Chmod(path, 0o777))
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	must(t, unix.Setfsuid(nobody))
	defer unix.Setfsuid(0)
	if _, err := os.ReadDir(lost); !os.IsPermission(err) {
		t.Fatalf("reading %s: %v, expected that it cannot be read", lost, err)
	}

	for _, split := range []bool{false, true} {
		g, err := NewGroup(GroupOptions{Options: Options{Dir: dir}, PerAddress: split})
		must(t, err)
		must(t, g.Open())
		must(t, g.Close())
	}
	done, err := Expire([]string{dir}, Limits{Age: time.Hour}, time.UTC, time.Now())
	if err != nil || done.Files != 2 {
		t.Errorf("%d files have expired: %v", done.Files, err)
	}
	if left, err := os.ReadDir(snapshot); len(left) != 2 {
		t.Errorf("%d files are left of the snapshot, expected 2: %v", len(left), err)
	}
}

// TestNoDescriptorAtTheEnd: a file gets its name, and is reported, also when its
// directory cannot be opened at that moment.
func TestNoDescriptorAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	var log []string
	opt := GroupOptions{Options: Options{Dir: dir, Location: time.UTC}}
	opt.Errorf = func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	var reported []string
	opt.Completed = func(c Complete) { reported = append(reported, c.File) }
	g, err := NewGroup(opt)
	must(t, err)
	must(t, g.Open())
	must(t, g.Write(func(b GroupBatch) error { return from(b, "192.0.2.1", 1) }))
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}))
	err = g.Close()
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	must(t, err)
	if len(reported) != 1 || len(tree(t, dir)) != 1 || len(tree(t, dir)[reported[0]]) != 1 {
		t.Errorf("reported of %v, the directory has %v", reported, tree(t, dir))
	}
	if all := strings.Join(log, "\n"); strings.Contains(all, "has been removed") ||
		!strings.Contains(all, "too many open files") {
		t.Errorf("log %q", all)
	}
}
