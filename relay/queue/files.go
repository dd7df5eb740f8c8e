package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/flowgraf/flowgraf/relay/storage"
)

// writePlain writes a file under a temporary name in the same directory and
// renames it, without waiting for the disk. On an error nothing is left behind.
func writePlain(d disk, dir, name string, b []byte) error {
	return replace(d, filepath.Join(dir, name), b, false)
}

// writeDurably is storage.WriteFile on a disk of which tests can make any call fail.
func writeDurably(d disk, path string, b []byte) error {
	if err := replace(d, path, b, true); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

func replace(d disk, path string, b []byte, sync bool) error {
	f, err := d.OpenFile(path+tmpSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("writing spool file: %w", err)
	}
	_, err = f.WriteAt(b, 0)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.Rename(path+tmpSuffix, path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, ignoreMissing(d.Remove(path+tmpSuffix))))
	}
	return nil
}

// readFile reads a whole file.
func readFile(d disk, path string) ([]byte, error) {
	f, err := d.OpenFile(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f)
}

func readAll(f diskFile) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size())
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	return b, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
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
	return storage.SyncDir(dir)
}
