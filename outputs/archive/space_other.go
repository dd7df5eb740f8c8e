//go:build !unix

package archive

import (
	"errors"
	"io/fs"
)

// diskSize returns the bytes of a file.
func diskSize(info fs.FileInfo) int64 { return info.Size() }

// freeSpace is not known here.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
