package queue

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// syncData brings a file's content to the disk, with what is needed to read it.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
		}
		return nil
	}
}

// syncMany brings the named files of a directory and their entries to the disk.
// Many files are cheaper by one sync of the file system.
func syncMany(dir string, names []string) error {
	const few = 16
	if len(names) <= few {
		return syncEach(dir, names)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("syncfs of %s: %w", dir, err)
	}
	return nil
}
