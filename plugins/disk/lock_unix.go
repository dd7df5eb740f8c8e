//go:build unix

package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Flags of os.OpenFile.
const (
	nonBlocking = unix.O_NONBLOCK
	noFollow    = unix.O_NOFOLLOW
)

// Lock takes a directory for this process. The lock is on the directory itself:
// nfdump 1.7.1 stops at a file that is not its own, also when its name begins with a
// dot. It ends when the file is closed, or with the process, however that ends.
func Lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		f.Close()
		return nil, errHeld(dir)
	case errors.Is(err, unix.EBADF), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOLCK),
		errors.Is(err, unix.ENOTSUP):
		return f, nil // a file system that cannot lock directories, as NFS
	}
	f.Close()
	return nil, fmt.Errorf("locking directory %s: %w", dir, err)
}

// SyncDir waits until the names in a directory are on the disk.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
