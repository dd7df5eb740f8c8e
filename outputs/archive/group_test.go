package archive

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// openGroup opens a group in UTC and closes it when the test ends.
func openGroup(t *testing.T, opt GroupOptions) *Group {
	t.Helper()
	opt.Location = time.UTC
	opt.Errorf = func(format string, args ...any) { t.Logf("E "+format, args...) }
	g, err := NewGroup(opt)
	must(t, err)
	must(t, g.Check())
	must(t, g.Open())
	t.Cleanup(func() { g.Close() })
	return g
}

// from writes a flow of an exporter.
func from(b GroupBatch, exporter string, i int) error {
	r := record(i, time.Now())
	r.Exporter = netip.Addr{}
	if exporter != "" {
		r.Exporter = netip.MustParseAddr(exporter)
	}
	return b.Append(r)
}

// TestGroupPerAddress: a directory for each address; a batch that fails is in none.
func TestGroupPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := openGroup(t, GroupOptions{Options: Options{Dir: dir, Interval: time.Minute}, PerAddress: true})
		must(t, g.Write(func(b GroupBatch) error {
			return errors.Join(from(b, "192.0.2.1", 1), from(b, "2001:db8::1", 2), from(b, "192.0.2.1", 3),
				from(b, "", 4))
		}))
		if err := g.Write(func(b GroupBatch) error {
			return errors.Join(from(b, "192.0.2.1", 5), from(b, "192.0.2.2", 6), errors.New("no"))
		}); err == nil {
			t.Error("a failed batch succeeds")
		}
		must(t, g.Close())
		expect(t, dir, map[string][]int{
			"192-0-2-1/nfcapd.200001010000": {1, 3}, "192-0-2-2/nfcapd.200001010000": {},
			"2001-db8--1/nfcapd.200001010000": {2}, "other/nfcapd.200001010000": {4},
		})
		if err := g.Write(func(GroupBatch) error { return nil }); !errors.Is(err, ErrClosed) {
			t.Errorf("writing to a closed group: %v", err)
		}
	})
}

// TestGroupLock: no second group takes a directory that has those of addresses, also
// when it has none yet, or the directory has been made anew.
func TestGroupLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	opt := GroupOptions{Options: Options{Dir: dir, Interval: time.Minute}, PerAddress: true}
	g := openGroup(t, opt)
	refused := func() {
		t.Helper()
		for _, split := range []bool{true, false} {
			opt.PerAddress = split
			second, err := NewGroup(opt)
			must(t, err)
			for _, err := range []error{second.Check(), second.Open()} {
				if err == nil || !strings.Contains(err.Error(), "another process or output") {
					t.Errorf("a second writer: %v", err)
				}
			}
		}
	}
	refused()
	must(t, os.RemoveAll(dir))
	must(t, g.Write(func(b GroupBatch) error { return from(b, "192.0.2.1", 1) }))
	refused()
	must(t, g.Close())
	opt.PerAddress = true
	openGroup(t, opt)
}

// TestGroupSources: exporters by name, the others in the group's own directory.
func TestGroupSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := t.TempDir()
		g := openGroup(t, GroupOptions{
			Options: Options{Dir: filepath.Join(top, "all"), Interval: time.Minute},
			Sources: []Source{{Ident: "core", Dir: filepath.Join(top, "core"),
				Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}}},
		})
		must(t, g.Write(func(b GroupBatch) error {
			return errors.Join(from(b, "192.0.2.1", 1), from(b, "192.0.2.200", 2), from(b, "192.0.2.2", 3))
		}))
		must(t, g.Close())
		expect(t, top, map[string][]int{"core/nfcapd.200001010000": {1, 3}, "all/nfcapd.200001010000": {2}})
	})
}

// TestGroupRefuses: directories within each other, limits and sources without sense.
func TestGroupRefuses(t *testing.T) {
	all := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	for name, opt := range map[string]GroupOptions{
		"within":       {Sources: []Source{{Dir: "d/core", Prefixes: all}}},
		"the same":     {Sources: []Source{{Dir: "d", Prefixes: all}}},
		"around":       {Sources: []Source{{Dir: ".", Prefixes: all}}, Options: Options{Dir: "./d"}},
		"no addresses": {Sources: []Source{{Dir: "e"}}},
		"watermark":    {Limits: Limits{Watermark: 101}},
		"age":          {Limits: Limits{Age: -1}},
	} {
		if opt.Dir == "" {
			opt.Dir = "d"
		}
		if _, err := NewGroup(opt); err == nil && name != "around" {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestExpire removes by age and size, oldest first, with the directories that are
// empty, and nothing that is not a complete file.
func TestExpire(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	files := func() (names []string) {
		must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && path != dir {
				name, _ := filepath.Rel(dir, path)
				names = append(names, name)
			}
			return err
		}))
		return names
	}
	fill := func() {
		for day := range 10 {
			slot := now.AddDate(0, 0, -day)
			sub := filepath.Join(dir, slot.Format("2006-01-02"))
			must(t, os.MkdirAll(sub, 0o755))
			must(t, os.WriteFile(filepath.Join(sub, slot.Format("nfcapd.200601021504")), make([]byte, 8192), 0o644))
		}
		for _, name := range []string{"nfcapd.current.1", "notes.txt", "nfcapd.20"} {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644))
		}
	}
	for _, c := range []struct {
		limits Limits
		gone   int
	}{
		{Limits{}, 0}, {Limits{Age: 7 * 24 * time.Hour}, 2}, {Limits{Size: 8192 * 10}, 0}, {Limits{Size: 8192 * 8}, 3},
		{Limits{Size: 8192 * 8, Watermark: 100}, 2}, {Limits{Size: 8192 * 8, Watermark: 50}, 6}, {Limits{Size: 1}, 9},
		{Limits{Free: 1}, 0},
		{Limits{Free: 1 << 62}, 9},
	} {
		if runtime.GOOS == "windows" && c.limits.Free > 0 {
			continue
		}
		fill()
		done, err := Expire([]string{dir}, c.limits, time.UTC, now)
		must(t, err)
		left := files()
		if done.Files != c.gone || done.Bytes < int64(c.gone)*8192 || len(left) != 2*(10-c.gone)+3 {
			t.Errorf("%+v: %+v, left %v", c.limits, done, left)
		}
	}
	if done, err := Expire([]string{filepath.Join(dir, "nosuch")}, Limits{Age: 1}, time.UTC, now); err != nil ||
		done.Files != 0 {
		t.Errorf("a directory that is not there: %+v %v", done, err)
	}
}

// TestGroupExpires: a group keeps to its limits while it writes.
func TestGroupExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := openGroup(t, GroupOptions{Options: Options{Dir: dir, Interval: time.Minute},
			Limits: Limits{Age: 150 * time.Second}})
		time.Sleep(10*time.Minute + 5*time.Second)
		synctest.Wait()
		must(t, g.Close())
		if n := len(tree(t, dir)); n < 2 || n > 4 {
			t.Errorf("%d files are left: %v", n, tree(t, dir))
		}
	})
}

// TestCommand: the placeholders, a program that fails, one that takes too long.
func TestCommand(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("there is no /bin/sh")
	}
	dir := t.TempDir()
	file := Complete{Dir: dir, File: "sub/nfcapd.202611221200", Slot: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
		Ident: "edge1"}
	var mu sync.Mutex
	var log strings.Builder
	errorf := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&log, format+"\n", args...)
	}
	run := func(limit time.Duration, args ...string) *Command {
		c, err := NewCommand(args, limit, errorf)
		must(t, err)
		c.Start()
		c.Add(file)
		c.Stop()
		c.Stop()
		return c
	}
	out := filepath.Join(dir, "out")
	c := run(time.Minute, "/bin/sh", "-c", `echo "$@" >out`, "sh", "%d/%f", "%t", "%u", "%i", "100%%", "$HOME;x")
	got, err := os.ReadFile(out)
	if want := dir + "/sub/nfcapd.202611221200 202611221200 1795348800 edge1 100% $HOME;x\n"; err != nil ||
		string(got) != want {
		t.Errorf("got %q, expected %q: %v", got, want, err)
	}
	if c.Runs.Load() != 1 || c.Failures.Load() != 0 {
		t.Errorf("%d runs, %d failures", c.Runs.Load(), c.Failures.Load())
	}
	if c := run(time.Minute, "/bin/sh", "-c", "echo no such host >&2; exit 3"); c.Failures.Load() != 1 ||
		!strings.Contains(log.String(), `exit status 3; it said "no such host\n"`) {
		t.Errorf("log %q", log.String())
	}
	script := "(sleep 2; echo >late) & sleep 60; :" // a shell waits for its programs
	if c := run(50*time.Millisecond, "/bin/sh", "-c", script); c.Failures.Load() != 1 ||
		!strings.Contains(log.String(), "killed after 50ms") {
		t.Errorf("log %q", log.String())
	}
	time.Sleep(2500 * time.Millisecond)
	if _, err := os.Stat(filepath.Join(dir, "late")); err == nil {
		t.Error("what the command has started is not killed with it")
	}
	c, err = NewCommand([]string{"/bin/sh", "-c", "exec sleep 0.2"}, 300*time.Millisecond, errorf)
	must(t, err)
	c.Start()
	for range 10 {
		c.Add(file)
	}
	begun := time.Now()
	c.Stop()
	if took := time.Since(begun); took > 1500*time.Millisecond || c.Skipped.Load() < 5 ||
		c.Runs.Load()+c.Skipped.Load() != 10 {
		t.Errorf("Stop took %s with a limit of 300 ms, %d runs, %d skipped", took, c.Runs.Load(), c.Skipped.Load())
	}
	for _, args := range [][]string{nil, {""}, {"x", "%q"}, {"x", "100%"}} {
		if _, err := NewCommand(args, time.Second, errorf); err == nil {
			t.Errorf("command %q is accepted", args)
		}
	}
}

// TestDirectoryRemoved: when the directory of an open archive is removed, the next
// batch goes into a new one, without a restart.
func TestDirectoryRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "flows")
		a := open(t, Options{Dir: dir, Interval: time.Minute, Layout: 1})
		write(t, a, time.Now(), 1)
		must(t, os.RemoveAll(dir))
		write(t, a, time.Now(), 2)
		must(t, os.RemoveAll(filepath.Join(dir, "2000")))
		write(t, a, time.Now(), 3)
		must(t, os.RemoveAll(dir))
		must(t, os.WriteFile(dir, nil, 0o644)) // a file is in the way
		if err := a.Write(func(Batch) error { return nil }); err == nil {
			t.Error("writing where a file is in the way succeeds")
		}
		must(t, os.Remove(dir))
		write(t, a, time.Now(), 4)
		must(t, a.Close())
		expect(t, dir, map[string][]int{"2000/01/01/nfcapd.200001010000": {4}})
	})
}

// TestSync: the options that write to the disk, also in directories that are named
// from the current one.
func TestSync(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, opt := range []Options{
		{SyncBatch: true}, {SyncEvery: time.Millisecond}, {SyncBatch: true, Dir: "./relative/"},
		{SyncBatch: true, Dir: ".", Layout: 2},
	} {
		if opt.Dir == "" {
			opt.Dir = t.TempDir()
		}
		a := open(t, opt)
		write(t, a, time.Now(), 1)
		time.Sleep(5 * time.Millisecond)
		write(t, a, time.Now(), 2)
		must(t, a.Close())
	}
}
