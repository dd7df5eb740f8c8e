//go:build unix

package archive

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// diskSize returns the bytes that a file takes on the disk, as nfexpire counts.
func diskSize(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(s.Blocks) * 512
	}
	return info.Size()
}

// freeSpace returns the bytes that are free for this user.
func freeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
