//go:build unix && !solaris && !illumos && !aix

package delivery

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// lockWait is how long a mail program may hold a mailbox.
const lockWait = 10 * time.Second

// lockFile takes the lock that mail programs take (fcntl), until f is closed.
func lockFile(f *os.File) error {
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	for end := time.Now().Add(lockWait); ; time.Sleep(50 * time.Millisecond) {
		err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock)
		if err == nil || time.Now().After(end) || (!errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EACCES)) {
			return err
		}
	}
}
