//go:build !linux

package queue

import (
	"os"
	"testing"
)

// smallDir gives a directory on a small file system that the test may fill.
func smallDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("FLOWGRAF_SMALL_DIR")
	if dir == "" {
		t.Skip("FLOWGRAF_SMALL_DIR is not set: name a directory on a small file system")
	}
	return dir
}
