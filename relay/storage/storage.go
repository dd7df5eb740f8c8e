// Package storage is how the parts of the relay treat files that matter: replaced as
// a whole and durably, locked by one process, and read only where a regular file is.
//
// A FIFO, a device or a directory in the place of a file is an error at once: a FIFO
// would block whoever opens it, a device would never end.
package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// ErrLocked is wrapped when another process has a lock.
var ErrLocked = errors.New("another process has it")

// ErrNotRegular is wrapped when something else stands in the place of a file.
var ErrNotRegular = errors.New("expected a regular file")

// kinds are the names of what is not a regular file.
var kinds = []struct {
	bits fs.FileMode
	name string
}{
	{fs.ModeDir, "directory"},
	{fs.ModeNamedPipe, "FIFO"},
	{fs.ModeSocket, "socket"},
	{fs.ModeDevice, "device"},
}

// CheckRegular tells whether a file, or what a symbolic link leads to, is a regular
// one; the error wraps ErrNotRegular and names what is there.
func CheckRegular(name string, info fs.FileInfo) error {
	mode := info.Mode()
	if mode.IsRegular() {
		return nil
	}
	for _, kind := range kinds {
		if mode&kind.bits != 0 {
			return fmt.Errorf("%s is a %s: %w", name, kind.name, ErrNotRegular)
		}
	}
	return fmt.Errorf("%s has mode %s: %w", name, mode, ErrNotRegular)
}

// Open opens a regular file for reading. It never waits for the other end of a FIFO.
func Open(name string) (*os.File, error) { return OpenFile(name, os.O_RDONLY, 0) }

// OpenFile is os.OpenFile for regular files, and those that are not there yet.
func OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil:
		if err := CheckRegular(name, info); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist) || flag&os.O_CREATE == 0:
		return nil, err
	}
	return os.OpenFile(name, flag, mode)
}

// ReadFile reads a whole regular file of at most limit octets.
func ReadFile(name string, limit int64) ([]byte, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d octets, the most expected", name, limit)
	}
	return b, err
}

// WriteFile replaces a file as a whole and durably: temporary name in the same
// directory, sync, rename, sync of the directory. After an error the old content is
// still there, or the new one. The file is readable by its owner only.
func WriteFile(name string, b []byte) error {
	if info, err := os.Stat(name); err == nil {
		if err := CheckRegular(name, info); err != nil {
			return err
		}
	}
	if err := replace(name, b); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return SyncDir(filepath.Dir(name))
}

// Lock takes a lock on a file, which is made when it is not there, until its Close or
// the end of the process. It does not wait: the error wraps ErrLocked when another
// process has the lock.
func Lock(name string) (io.Closer, error) {
	if info, err := os.Stat(name); err == nil {
		if err := CheckRegular(name, info); err != nil {
			return nil, err
		}
	}
	lock := flock.New(name, flock.SetFlag(os.O_RDWR|os.O_CREATE), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if !locked {
		return nil, fmt.Errorf("lock %s: %w", name, ErrLocked)
	}
	return lock, nil
}
