//go:build unix

package storage

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// others are what may stand in the place of a file, by name. The device is the test's own where
// it may make one, else the machine's.
func others(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(fifo, link); err != nil {
		t.Fatal(err)
	}
	device := filepath.Join(dir, "device")
	const zero = 1<<8 | 5
	if err := syscall.Mknod(device, syscall.S_IFCHR|0o600, zero); err != nil {
		device = "/dev/zero"
	}
	return map[string]string{"FIFO": fifo, "directory": dir, "device": device, "link": link}
}

// Nothing blocks on a FIFO or reads a device to its end, whatever is asked.
func TestNotRegular(t *testing.T) {
	for kind, name := range others(t) {
		_, openErr := Open(name)
		_, readErr := ReadFile(name, 100)
		errs := []error{openErr, readErr}
		if name != "/dev/zero" { // which a fault would replace
			_, lockErr := Lock(name)
			errs = append(errs, WriteFile(name, []byte("x")), lockErr)
		}
		for _, err := range errs {
			if !errors.Is(err, ErrNotRegular) || (kind != "link" && !strings.Contains(err.Error(), kind)) {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}

func TestWriteFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state")
	for _, content := range []string{"one", "two", ""} {
		if err := WriteFile(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if b, err := ReadFile(name, 3); err != nil || string(b) != content {
			t.Errorf("%q, %v, want %q", b, err, content)
		}
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	entries, _ := os.ReadDir(filepath.Dir(name))
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if err := WriteFile(filepath.Join(filepath.Dir(name), "missing", "x"), nil); err == nil {
		t.Error("a directory that is not there is no error")
	}
}

func TestReadFileLimit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(name, []byte("1234"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := ReadFile(name, 4); err != nil || string(b) != "1234" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := ReadFile(name, 3); err == nil {
		t.Error("more than the limit is no error")
	}
}

func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	first, err := Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(name); !errors.Is(err, ErrLocked) {
		t.Errorf("%v, want %v", err, ErrLocked)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

// What opens is what os.OpenFile would open, where a regular file is or none yet.
func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	name, link, nowhere := filepath.Join(dir, "x"), filepath.Join(dir, "link"), filepath.Join(dir, "nowhere")
	if err := errors.Join(os.Symlink(name, link), os.Symlink(filepath.Join(dir, "none"), nowhere)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{name, link, nowhere, filepath.Join(name, "below")} {
		if f, err := Open(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s, which is not there: %v, %v", path, f, err)
		}
	}
	f, err := OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("text")
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{name, link} { // links to files are files
		if b, err := ReadFile(path, 4); err != nil || string(b) != "text" {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	if _, err := ReadFile(filepath.Join(name, "below"), 4); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// The error says what stands there, and its name.
func TestKinds(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for name, want := range map[string]string{dir: "is a directory", filepath.Join(dir, "s"): "is a socket",
		"/dev/null": "is a device"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckRegular(name, info); !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(),
			name+" "+want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if err := SyncDir(dir); err != nil {
		t.Error(err)
	}
	if err := SyncDir(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
