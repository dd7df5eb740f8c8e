//go:build unix

package nffile

import (
	"path/filepath"
	"syscall"
	"testing"
)

// specialFiles makes a pipe.
func specialFiles(t *testing.T, dir string) []string {
	path := filepath.Join(dir, "pipe")
	must(t, syscall.Mkfifo(path, 0o600))
	return []string{path}
}
