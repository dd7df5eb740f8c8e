package queue

import (
	"os"

	"github.com/flowgraf/flowgraf/relay/storage"
)

// disk is the part of a file system that the spool needs, so that tests can make any
// call fail, or forget what was not synced.
type disk interface {
	OpenFile(name string, flag int) (diskFile, error)
	Rename(from, to string) error
	Remove(name string) error
	ReadDir(name string) ([]os.DirEntry, error)
	// SyncDir brings a directory's entries to the disk.
	SyncDir(name string) error
	// SyncFiles brings these files of a directory, and its entries, to the disk.
	// Files that are gone need nothing.
	SyncFiles(dir string, names []string) error
}

// diskFile is an open file.
type diskFile interface {
	ReadAt(b []byte, offset int64) (int, error)
	WriteAt(b []byte, offset int64) (int, error)
	Truncate(size int64) error
	Stat() (os.FileInfo, error)
	// Sync brings the content to the disk, with what is needed to read it.
	Sync() error
	Close() error
	Name() string
}

// realDisk is the operating system's.
type realDisk struct{}

type realFile struct{ *os.File }

// Sync implements diskFile.
func (f realFile) Sync() error { return syncData(f.File) }

// OpenFile implements disk.
func (realDisk) OpenFile(name string, flag int) (diskFile, error) {
	f, err := storage.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return realFile{f}, nil
}

// Rename implements disk.
func (realDisk) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements disk.
func (realDisk) Remove(name string) error { return os.Remove(name) }

// ReadDir implements disk.
func (realDisk) ReadDir(name string) ([]os.DirEntry, error) { return os.ReadDir(name) }

// SyncDir implements disk.
func (realDisk) SyncDir(name string) error { return storage.SyncDir(name) }

// SyncFiles implements disk.
func (realDisk) SyncFiles(dir string, names []string) error { return syncMany(dir, names) }
