package disk

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestUnchanged: another file in the place, of the same size and time, is a change, as are
// another size, another time, and the first look.
func TestUnchanged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	at := time.Unix(1_700_000_000, 0)
	look := func(content string, at time.Time, replace bool) fs.FileInfo {
		t.Helper()
		to := name
		if replace {
			to += ".new"
		}
		if err := os.WriteFile(to, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(to, at, at); err != nil {
			t.Fatal(err)
		}
		if replace {
			if err := os.Rename(to, name); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := look("one", at, false)
	for _, c := range []struct {
		name string
		now  fs.FileInfo
		want bool
	}{
		{"same", look("one", at, false), true}, {"longer", look("three", at, false), false},
		{"later", look("one", at.Add(time.Second), false), false}, {"another", look("two", at, true), false},
	} {
		if got := Unchanged(first, c.now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if Unchanged(nil, first) {
		t.Error("the first look")
	}
}
