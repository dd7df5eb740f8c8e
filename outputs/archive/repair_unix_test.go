//go:build unix

package archive

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A FIFO is neither opened nor taken for a link.
func TestRepairFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221200")
	must(t, syscall.Mkfifo(path, 0o600))
	var r Repairer
	defer r.Close()
	if _, err := r.Repair(path, nil); err == nil || !strings.Contains(err.Error(), "expected a regular file") {
		t.Errorf("a FIFO: %v", err)
	}
}
