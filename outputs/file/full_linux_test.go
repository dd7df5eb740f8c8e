package file

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/influxdata/telegraf/logger"
	"github.com/influxdata/telegraf/plugins/outputs/file"
	"golang.org/x/sys/unix"
)

// A disk that is full loses nothing: the batch is an error, and once there is room it is in the
// file, on lines of its own.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("mounting a tmpfs needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	name, filler := filepath.Join(dir, "out"), filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 112<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &File{File: file.File{CompressionLevel: -1, Log: logger.New("outputs", "file", ""), Files: []string{name}}}
	open(t, f, "influx")
	batch := batches()[3]
	if err := f.Write(batch); err == nil {
		t.Fatal("a full disk is no error")
	}
	torn, err := os.ReadFile(name)
	if err != nil || len(torn) == 0 || torn[len(torn)-1] == '\n' {
		t.Fatalf("%d bytes (%v), expected part of a line at the end", len(torn), err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time nothing has failed before
		if err := f.Write(batch); err != nil {
			t.Fatal(err)
		}
	}
	want, err := serializer(t, "influx").SerializeBatch(batch)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != string(torn)+"\n"+string(want)+string(want) {
		t.Errorf("%d bytes (%v), expected %d, a newline, and twice %d", len(got), err, len(torn), len(want))
	}
}
