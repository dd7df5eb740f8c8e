//go:build unix && !solaris && !illumos && !aix

package queue

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockSpool takes the lock of a spool; the kernel drops it when the process ends.
func lockSpool(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("spool lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("spool lock %s is held: %w", path, ErrLocked)
		}
		return nil, fmt.Errorf("spool lock %s: %w", path, err)
	}
	return f, nil
}
