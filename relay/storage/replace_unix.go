//go:build !windows

package storage

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// replace writes a file under another name and renames it.
func replace(name string, b []byte) error {
	return renameio.WriteFile(name, b, 0o600, renameio.WithTempDir(filepath.Dir(name)),
		renameio.WithStaticPermissions(0o600))
}

// SyncDir brings a directory's entries to the disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("fsync of directory %s: %w", dir, err)
	}
	return nil
}
