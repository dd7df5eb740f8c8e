package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writePlain writes a file under a temporary name in the same directory and
// renames it, without waiting for the disk. On an error nothing is left behind.
func writePlain(dir, name string, b []byte) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+tmpSuffix, b, 0o600); err != nil {
		os.Remove(path + tmpSuffix)
		return fmt.Errorf("writing spool file: %w", err)
	}
	if err := os.Rename(path+tmpSuffix, path); err != nil {
		os.Remove(path + tmpSuffix)
		return fmt.Errorf("renaming spool file: %w", err)
	}
	return nil
}

// WriteFile replaces a file atomically and durably: temporary name in the same
// directory, sync, rename, sync of the directory. After an error the old content
// is still there, or the new one.
func WriteFile(path string, b []byte) error {
	f, err := os.OpenFile(path+tmpSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(path+tmpSuffix, path)
	}
	if err != nil {
		os.Remove(path + tmpSuffix)
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
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

// syncEach syncs files one by one, and their directory. Files that are gone by now
// need nothing.
func syncEach(dir string, names []string) error {
	for _, name := range names {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return fmt.Errorf("fsync %s: %w", f.Name(), err)
		}
	}
	return syncDir(dir)
}
