package queue

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/relay/storage"
)

// CheckWritable finds what Open would end at, and changes nothing.
func TestCheckWritable(t *testing.T) {
	file := func(t *testing.T, path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    []string // of the error; none: no error
	}{
		"not there": {func(*testing.T, string) {}, nil},
		"there":     {func(t *testing.T, dir string) { file(t, filepath.Join(dir, "lock")) }, nil},
		"a file":    {func(t *testing.T, dir string) { file(t, dir) }, []string{"is not a directory"}},
		"below a file": {func(t *testing.T, dir string) {
			file(t, filepath.Dir(dir)+"/x")
			if err := os.Symlink(filepath.Dir(dir)+"/x", dir); err != nil {
				t.Fatal(err)
			}
		}, []string{"is not a directory"}},
		"two of its directories are files": {func(t *testing.T, dir string) {
			file(t, filepath.Join(dir, journalDir))
			file(t, filepath.Join(dir, queueDir))
		}, []string{"journal is not a directory", "queue is not a directory"}},
		"another process has it": {func(t *testing.T, dir string) {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			lock, err := storage.Lock(filepath.Join(dir, "lock"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { lock.Close() })
		}, []string{"another process uses this spool"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "spool")
			tt.prepare(t, dir)
			before, _ := filepath.Glob(dir + "/*")
			err := CheckWritable(dir)
			if (err != nil) != (tt.want != nil) {
				t.Fatalf("error %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v lacks %q", err, want)
				}
			}
			if name == "another process has it" && !errors.Is(err, ErrLocked) {
				t.Errorf("%v is no ErrLocked", err)
			}
			if after, _ := filepath.Glob(dir + "/*"); strings.Join(after, " ") != strings.Join(before, " ") {
				t.Errorf("left %q, was %q", after, before)
			}
		})
	}
	if err := CheckWritable("/proc/nosuch"); err == nil || !strings.Contains(err.Error(), "not writable") {
		t.Errorf("a place where nothing can be written: %v", err)
	}
	if q, _, err := Open(filepath.Join(t.TempDir(), "spool"), nil); err != nil {
		t.Fatal(err)
	} else {
		defer q.Close()
		if err := CheckWritable(q.dir); !errors.Is(err, ErrLocked) {
			t.Errorf("a spool that is open: %v", err)
		}
	}
}
