package queue

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDir gives a directory on a file system of 3 MB that the test may fill: the one
// that FLOWGRAF_SMALL_DIR names, or a tmpfs that root mounts.
func smallDir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("FLOWGRAF_SMALL_DIR"); dir != "" {
		return dir
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("FLOWGRAF_SMALL_DIR is not set, and mounting a tmpfs needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
