//go:build unix

package index

import (
	"io/fs"
	"os"
	"syscall"
)

// giveGroup gives a file the group that another one has.
func giveGroup(f *os.File, like fs.FileInfo) error {
	own, err := f.Stat()
	if err != nil {
		return err
	}
	mine, ok := own.Sys().(*syscall.Stat_t)
	theirs, ok2 := like.Sys().(*syscall.Stat_t)
	if !ok || !ok2 || mine.Gid == theirs.Gid {
		return nil
	}
	return f.Chown(-1, int(theirs.Gid))
}
