//go:build unix

package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// content returns what a file has, "" when it cannot be read.
func content(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

// names returns what is in a directory.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReplace: the new text or the old one, and nothing besides.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, s)
			return err
		}
	}
	for _, s := range []string{"first", "second, longer", "3"} {
		if err := Replace(path, text(s)); err != nil || content(path) != s {
			t.Fatalf("%q: %v, the file has %q", s, err, content(path))
		}
	}
	broken := errors.New("broken")
	err := Replace(path, func(w io.Writer) error { return errors.Join(text("half of")(w), broken) })
	if !errors.Is(err, broken) || content(path) != "3" {
		t.Errorf("a write that fails: %v, the file has %q", err, content(path))
	}
	if err := Replace(filepath.Join(dir, "no", "state"), text("x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(filepath.Join(dir, "taken"), text("x")); err == nil {
		t.Error("a file took the place of a directory")
	}
	if got := names(t, dir); !slices.Equal(got, []string{"state", "taken"}) {
		t.Errorf("there are %v", got)
	}
}

// TestReplaceKeepsALinksTarget: the link is replaced, what it named is not written.
func TestReplaceKeepsALinksTarget(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	write(t, target, "theirs")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	err := Replace(link, func(w io.Writer) error { _, err := io.WriteString(w, "ours"); return err })
	if err != nil || content(target) != "theirs" || content(link) != "ours" {
		t.Errorf("%v: target %q, link %q", err, content(target), content(link))
	}
}

// TestLock: a directory has one holder; one that is made anew is another directory.
func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	held, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); err == nil || !strings.Contains(err.Error(), dir+" is being written by another process") {
		t.Errorf("a second lock: %v", err)
	}
	if same, err := Same(dir, held); !same || err != nil {
		t.Errorf("the same directory: %t, %v", same, err)
	}
	if again, err := LockAgain(dir, held); again != held || err != nil {
		t.Errorf("locked again: %v, %v", again, err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if same, err := Same(dir, held); same || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that went away: %t, %v", same, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if same, err := Same(dir, held); same || err != nil {
		t.Errorf("a directory made in its place: %t, %v", same, err)
	}
	renewed, err := LockAgain(dir, held)
	if err != nil || renewed == held {
		t.Fatalf("the new directory: %v", err)
	}
	defer renewed.Close()
	if _, err := Lock(dir); err == nil {
		t.Error("the new directory is not held")
	}
	old, err := Lock(dir + ".old")
	if err != nil {
		t.Fatalf("the old directory is still held: %v", err)
	}
	old.Close()
}

// TestWhatIsNoFile: a directory, a pipe and what is not there are told at once.
func TestWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "file")
	link, gone := filepath.Join(dir, "link"), filepath.Join(dir, "gone")
	write(t, file, "text")
	if err := errors.Join(unix.Mkfifo(fifo, 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{dir: ErrNotRegular, fifo: ErrNotRegular, "/dev/null": ErrNotRegular,
		gone: os.ErrNotExist, file: nil, link: nil} {
		f, info, err := OpenRegular(path)
		if !errors.Is(err, want) {
			t.Errorf("OpenRegular(%s): %v, want %v", path, err, want)
		}
		if err != nil {
			continue
		}
		if info.Size() != 4 {
			t.Errorf("%s has %d bytes", path, info.Size())
		}
		f.Close()
	}
	for path, want := range map[string]error{fifo: ErrNotRegular, gone: os.ErrNotExist, file: nil, link: unix.ELOOP} {
		f, err := OpenOwn(path, 0, 0)
		if !errors.Is(err, want) {
			t.Errorf("OpenOwn(%s): %v, want %v", path, err, want)
		}
		if err == nil {
			f.Close()
		}
	}
}

// TestAccess: a new file has the mode that is asked for, whatever the umask is, and
// nothing that is there is written.
func TestAccess(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := t.TempDir()
	group := os.Getgid()
	for name, c := range map[string]struct {
		access Access
		mode   os.FileMode
	}{
		"umask": {Access{}, 0o600},
		"mode":  {Access{Mode: 0o664}, 0o664},
		"group": {Access{Mode: 0o640, Group: &group}, 0o640},
	} {
		path := filepath.Join(dir, name)
		f, err := c.access.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil || info.Mode().Perm() != c.mode {
			t.Errorf("%s: mode %v, want %v (%v)", name, info.Mode(), c.mode, err)
		}
		if named := Names(path, info); !named {
			t.Errorf("%s is not the name of what was made", path)
		}
		f.Close()
		if _, err := c.access.Create(path); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s: made twice: %v", name, err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "planted"), link); err != nil {
		t.Fatal(err)
	}
	if _, err := (Access{}).Create(link); !errors.Is(err, os.ErrExist) {
		t.Errorf("a link that names nothing: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "umask"))
	if err != nil || Names(link, info) || Names(filepath.Join(dir, "mode"), info) {
		t.Errorf("another file has the name (%v)", err)
	}
}
