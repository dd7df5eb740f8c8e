package queue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/flowgraf/flowgraf/relay/storage"
)

// CheckWritable tells whether a spool could be opened in dir: whether this user can
// write in it and in its directories, and whether no other process has it. It leaves
// everything as it was: when dir is not there yet, the nearest directory above it is
// tried. The error wraps ErrLocked when another process has the spool.
func CheckWritable(dir string) error {
	place, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("spool %s: %w", dir, err)
	}
	for {
		info, err := os.Stat(place)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(place) != place {
			place = filepath.Dir(place)
			continue
		}
		if err != nil {
			return fmt.Errorf("spool %s: %w", dir, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("spool %s: %s is not a directory", dir, place)
		}
		break
	}
	if err := tryWriting(place); err != nil {
		return err // and so in all that is below it
	}
	var errs []error
	for _, sub := range []string{queueDir, failedDir, corruptDir, journalDir, heldDir} {
		path := filepath.Join(dir, sub)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			errs = append(errs, tryWriting(path), tryReading(path))
		} else if err == nil {
			errs = append(errs, fmt.Errorf("spool %s: %s is not a directory", dir, path))
		}
	}
	return errors.Join(append(errs, tryReading(dir), tryLock(dir))...)
}

// triedFiles bounds how many files of one directory are opened.
const triedFiles = 1000

// tryReading says which file of a directory cannot be opened: another user's, as an agent
// leaves that once ran as root.
func tryReading(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Open makes it
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer d.Close()
	entries, err := d.ReadDir(triedFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("spool: %w", err)
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() || entry.Name() == "lock" {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, entry.Name()), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		f.Close()
	}
	return nil
}

// tryWriting says why nothing can be written in a directory. It tries: what the
// permissions say is not all there is.
func tryWriting(dir string) error {
	f, err := os.CreateTemp(dir, "check-*"+tmpSuffix)
	if err == nil {
		_, err = f.WriteString("check\n")
		err = errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("spool %s is not writable: %w", dir, err)
	}
	return nil
}

// tryLock takes the lock of a spool that is there for a moment.
func tryLock(dir string) error {
	path := filepath.Join(dir, "lock")
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := storage.Lock(path)
	if errors.Is(err, storage.ErrLocked) {
		return fmt.Errorf("spool %s: %w", dir, ErrLocked)
	}
	if err != nil {
		return fmt.Errorf("spool %s: %w", dir, err)
	}
	return lock.Close()
}
