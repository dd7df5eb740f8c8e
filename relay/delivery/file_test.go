//go:build unix

package delivery

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// A FIFO, a directory or a device in the place of a token or a mailbox is an error at
// once.
func TestNotAFile(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fifo, t.TempDir(), "/dev/zero"} {
		if _, err := (&Credentials{TokenFile: name}).secret("XOAUTH2"); !errors.Is(err, storage.ErrNotRegular) {
			t.Errorf("token %s: %v", name, err)
		}
		for _, kind := range []string{KindMbox, KindFile} {
			out := placed(t, kind, name).store(testMail("0-1", "x\r\n"), []address.Address{ops})
			if out.fault != faultHost || !errors.Is(out.err, storage.ErrNotRegular) {
				t.Errorf("%s %s: %v", kind, name, out.err)
			}
		}
	}
}
