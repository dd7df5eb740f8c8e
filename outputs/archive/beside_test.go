package archive

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/index"
)

// What is kept beside flow files is no flow file, counts for the size of the one that it
// is of, and goes with it, directories included.
func TestFilesBesideFlowFiles(t *testing.T) {
	root := t.TempDir()
	day := filepath.Join(root, "2026", "11", "22")
	if err := os.MkdirAll(day, 0o700); err != nil {
		t.Fatal(err)
	}
	file := func(path string, size int) {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old, newest := filepath.Join(day, "nfcapd.202611221200"), filepath.Join(root, "nfcapd.202611221205")
	for _, path := range []string{old, newest} {
		file(path, 100_000)
		file(index.Path(path), 50_000)
	}
	file(filepath.Join(root, AsidePrefix+"nfcapd.202611221205"), 10)
	for _, current := range []bool{false, true} {
		found, err := Selection{Range: root, Current: current}.Files()
		if err != nil || len(found.Files) != 2 || found.Current != 0 {
			t.Errorf("current %v: %+v, %v", current, found, err)
		}
	}
	done, err := Expire([]string{root}, Limits{Size: 250_000}, time.UTC, time.Now())
	if err != nil || done.Files != 1 || done.Bytes < 150_000 {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := os.Stat(filepath.Join(root, "2026")); !os.IsNotExist(err) {
		t.Errorf("the directories of what has expired are still there: %v", err)
	}
	if _, err := os.Stat(index.Path(newest)); err != nil {
		t.Error(err)
	}
}
