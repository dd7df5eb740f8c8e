package disk

import (
	"errors"
	"os"
)

// Access says who may read a file that is made. The zero value is 0640 without what
// the umask takes away, and the group of the process.
type Access struct {
	Mode  os.FileMode // when not 0, exactly this, whatever the umask is
	Group *int        // nil is that of the process, or of the directory
}

// defaultMode lets the group read: who looks at flows need not be root.
const defaultMode = 0o640

// Create makes a file, for reading and writing, where there must be nothing, not even
// a link.
func (a Access) Create(path string) (*os.File, error) {
	mode := a.Mode
	if mode == 0 {
		mode = defaultMode
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	if a.Group != nil {
		err = f.Chown(-1, *a.Group)
	}
	if err == nil && a.Mode != 0 {
		err = f.Chmod(a.Mode)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
}

// Names says whether a path is still the name of a file that has been opened. A link
// is another file.
func Names(path string, file os.FileInfo) bool {
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(file, now)
}
