//go:build !linux

package queue

import "os"

// syncData brings a file's content to the disk.
func syncData(f *os.File) error { return f.Sync() }

// syncMany brings the named files of a directory and their entries to the disk.
func syncMany(dir string, names []string) error { return syncEach(dir, names) }
