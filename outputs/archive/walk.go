package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/flowgraf/flowgraf/outputs/index"
)

// Entry is a file that a walk has found.
type Entry struct {
	Path string      // as it was come upon: links are in it by their own names
	Type fs.FileMode // the kind of file, where Path is a link of what it leads to

	// Linked says that the last element of Path is a symbolic link; Outside, that a link
	// on the way from the root leads out of the root's tree. What is outside may be read
	// and is never removed.
	Linked, Outside bool
}

// Info returns size and times of the file, where Path is a link of what it leads to.
func (e Entry) Info() (fs.FileInfo, error) { return os.Stat(e.Path) }

// Name returns the last element of Path.
func (e Entry) Name() string { return filepath.Base(e.Path) }

// Walk calls fn for every file below root, by name within each directory, whatever
// its kind. The root, directories in it and files may
// be symbolic links.
//
// Each file is come upon once. A link that leads to a place within the tree is passed
// over, since the walk comes there anyway, and so is one to a place outside where it
// has been; rings of links end. Names that begin with a dot, as of snapshots, and the
// directory lost+found of a file system are no part of a tree.
//
// What cannot be read is given to wrong, with its path; what wrong returns ends the
// walk unless it is nil. A link that leads nowhere is an error of fs.ErrNotExist. What
// vanishes meanwhile is not there.
func Walk(root string, fn func(Entry) error, wrong func(path string, err error) error) error {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return wrong(root, err)
	}
	if real, err = filepath.Abs(real); err != nil {
		return wrong(root, err)
	}
	info, err := os.Stat(root)
	if err != nil {
		return wrong(root, err)
	}
	w := walk{root: real, fn: fn, wrong: wrong, been: map[string]bool{}}
	if !info.IsDir() {
		return fn(Entry{Path: root, Type: info.Mode().Type()})
	}
	return w.dir(root, real, false)
}

// walk is one Walk.
type walk struct {
	root  string // without links
	fn    func(Entry) error
	wrong func(string, error) error
	been  map[string]bool // directories and files outside, without links
}

// dir goes through a directory; real is where it lies.
func (w *walk) dir(path, real string, outside bool) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return w.wrong(path, err)
	}
	for _, d := range entries {
		if strings.HasPrefix(d.Name(), ".") || d.Name() == "lost+found" || isBeside(d.Name()) {
			continue
		}
		if err := w.entry(filepath.Join(path, d.Name()), filepath.Join(real, d.Name()), d, outside); err != nil {
			return err
		}
	}
	return nil
}

// entry goes on with what is in a directory.
func (w *walk) entry(path, real string, d fs.DirEntry, outside bool) error {
	linked := d.Type()&fs.ModeSymlink != 0
	if linked {
		var err error
		if real, err = filepath.EvalSymlinks(path); err != nil {
			if _, gone := os.Lstat(path); gone != nil {
				return nil
			}
			return w.wrong(path, err)
		}
		if real, err = filepath.Abs(real); err != nil {
			return w.wrong(path, err)
		}
		if within(real, w.root) && !w.hidden(real) || within(w.root, real) {
			return nil // the walk comes there, or is there
		}
		outside = true
	}
	if outside {
		if w.been[real] {
			return nil
		}
		w.been[real] = true
	}
	kind := d.Type()
	if linked {
		info, err := os.Stat(path)
		if err != nil {
			return w.wrong(path, err)
		}
		kind = info.Mode().Type()
	}
	if kind.IsDir() {
		return w.dir(path, real, outside)
	}
	return w.fn(Entry{Path: path, Type: kind, Linked: linked, Outside: outside})
}

// AsidePrefix begins the name of what a flow file was before it was repaired.
const AsidePrefix = "nfcapd.current.damaged-"

// isBeside says whether a name is that of a file beside a flow file.
func isBeside(name string) bool {
	return strings.HasPrefix(name, index.Prefix) || strings.HasPrefix(name, AsidePrefix)
}

// hidden says whether a place in the tree lies below a name that begins with a dot:
// walks for flows do not come there but by a link.
func (w *walk) hidden(real string) bool {
	rel, err := filepath.Rel(w.root, real)
	return err == nil && strings.Contains(string(filepath.Separator)+rel, string(filepath.Separator)+".")
}
