// Package disk is what several plugins need of a file system: a file that takes
// another's place for good, a directory that is on the disk, a directory that only
// one process writes.
//
// It stands where renameio and flock do not fit: both are for the name of a file,
// renameio is not built on Windows and does not wait for the directory, and a lock of
// a directory has to be told from that of another one made in its place.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Full says whether an error is that of a disk without room.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// NewFile is a file that is to take another's place. It has a name of its own beside
// it until then.
type NewFile struct {
	*os.File
	path string
}

// Create begins a file that is to take the place of path. Only its owner may read it
// until Chmod says otherwise. The name beside path is one that nobody has: a link
// that waits there is not followed.
func Create(path string) (*NewFile, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return nil, err
	}
	return &NewFile{f, path}, nil
}

// Replace waits until the file is on the disk and gives it the name: a crash leaves
// the old one or the new one. The file stays open. When it fails, nothing has
// changed.
func (n *NewFile) Replace() error {
	if err := n.Sync(); err != nil {
		return err
	}
	if err := os.Rename(n.Name(), n.path); err != nil {
		return err
	}
	_ = SyncDir(filepath.Dir(n.path)) // not every file system can
	return nil
}

// Abandon closes and removes a file that did not take the place.
func (n *NewFile) Abandon() error { return errors.Join(n.Close(), os.Remove(n.Name())) }

// Replace writes a file in the place of path, durably: write is given where to.
func Replace(path string, write func(io.Writer) error) error {
	n, err := Create(path)
	if err != nil {
		return err
	}
	if err = write(n); err == nil {
		err = n.Replace()
	}
	if err != nil {
		return errors.Join(err, n.Abandon())
	}
	return n.Close()
}

// ErrHeld is that somebody else has a directory.
var ErrHeld = errors.New("is being written by another process or output: give each a directory of its own")

// errHeld says that somebody else has a directory.
func errHeld(dir string) error { return fmt.Errorf("directory %s %w", dir, ErrHeld) }

// LockAgain takes a directory that has been made in the place of the one that is held
// by Lock, if it was, and returns what is held then.
func LockAgain(dir string, held *os.File) (*os.File, error) {
	if held == nil {
		return nil, nil
	}
	same, err := Same(dir, held)
	if same || err != nil {
		return held, err
	}
	lock, err := Lock(dir)
	if err != nil {
		return held, err
	}
	return lock, held.Close()
}

// Same says whether the directory that is held by Lock is still the one of that name.
// Where nothing can be locked, it is.
func Same(dir string, held *os.File) (bool, error) {
	if held == nil {
		return true, nil
	}
	now, err := os.Stat(dir)
	if err != nil {
		return false, err
	}
	before, err := held.Stat()
	return err == nil && os.SameFile(before, now), nil
}

// ErrNotRegular says that something else than a file is where one should be: a
// directory, a device, a pipe.
var ErrNotRegular = errors.New("not a regular file")

// OpenRegular opens a file for reading, and refuses at once what is none: a pipe
// would have to wait for who writes to it. Links are followed.
func OpenRegular(path string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() { // put there meanwhile
		err = &os.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// OpenOwn opens a file of this process for reading and writing, or with flags of
// os.OpenFile as those say. A link in its place is not followed, and anything else
// than a file is refused: it has been put there.
func OpenOwn(path string, flags int, perm os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|nonBlocking|noFollow|flags, perm)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Unchanged says whether a file is as it was before: the same one, as large, and last written
// at the same time. nil before is none.
func Unchanged(before, now fs.FileInfo) bool {
	return os.SameFile(before, now) && now.Size() == before.Size() && now.ModTime().Equal(before.ModTime())
}
