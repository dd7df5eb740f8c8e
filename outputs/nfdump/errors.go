package nfdump

import (
	"errors"
	"os"
	"syscall"

	"github.com/flowgraf/flowgraf/plugins/disk"
)

// advice says what to do about an error of writing, "" when there is nothing to say.
func advice(err error) string {
	switch {
	case disk.Full(err):
		return " (make room, or let max_size or min_free do so)"
	case errors.Is(err, syscall.EROFS):
		return " (mount the file system writable)"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return " (allow more open files: LimitNOFILE of the service, ulimit -n)"
	case errors.Is(err, os.ErrPermission):
		return " (let the user that runs this write in the directory)"
	}
	return ""
}
