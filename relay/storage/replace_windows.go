package storage

import (
	"errors"
	"os"
	"path/filepath"
)

// replace writes a file under another name and renames it. renameio leaves Windows out, as a
// rename is not atomic there in all cases: after a loss of power the old file, the new one or
// none may be there.
func replace(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".tmp*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// SyncDir does nothing: Windows has no fsync of directories.
func SyncDir(string) error { return nil }
