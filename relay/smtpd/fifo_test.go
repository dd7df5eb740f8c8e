//go:build unix

package smtpd

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/flowgraf/flowgraf/relay/storage"
)

// A FIFO, a directory or a device in the place of a certificate is an error at once.
func TestCertificateIsAFile(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fifo, t.TempDir(), "/dev/zero"} {
		if _, err := TLSConfig(name, name, nil); !errors.Is(err, storage.ErrNotRegular) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
