package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/flowgraf/flowgraf/outputs/index"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/disk"
)

// Repaired is what Repair has done with a file.
type Repaired struct {
	nffile.Salvaged
	Sound   bool // there was nothing to be mended
	Damaged bool // something was wrong with it: not only that it was left behind while written
}

// Repairer mends flow files in their directories. It holds the lock of each directory that
// it has mended a file in until Close, so that no archive is opened there meanwhile.
type Repairer struct {
	DryRun bool // only see what would be done

	locks map[string]*os.File
}

// Close gives the directories free.
func (r *Repairer) Close() error {
	var errs []error
	for dir, lock := range r.locks {
		errs = append(errs, lock.Close())
		delete(r.locks, dir)
	}
	return errors.Join(errs...)
}

// Repair mends a file that is damaged: what Salvage gets out of it takes its place, with
// its permissions, and it is kept as Aside says. Nothing is done where an archive is open
// in the directory or in one above it, nor where a file that is kept is there already.
// When an error is returned the file is what it was.
func (r *Repairer) Repair(path string, progress nffile.Progress) (done Repaired, err error) {
	report, err := nffile.Verify(path, progress)
	if err != nil {
		return done, err
	}
	if done.Damaged = !report.Sound(); !done.Damaged && !report.Open {
		done.Sound = true
		return done, nil
	}
	info, err := r.takeFile(path)
	if err != nil {
		return done, err
	}
	aside, mended := Aside(path), mendedName(path)
	if _, err := os.Lstat(aside); err == nil {
		return done, fmt.Errorf("%s is there, the file before an earlier repair: move it away first", aside)
	}
	if done.Salvaged, err = nffile.Salvage(path, mended, progress); err != nil {
		return done, err
	}
	if r.DryRun {
		return done, os.Remove(mended)
	}
	return done, takePlace(mended, path, aside, info)
}

// Replace puts what write makes of a file into its place, with its permissions and its
// time, at once: a crash leaves the old or the new one. The old one must be whole, and is
// not kept. It is done where Repair would mend a file. When an error is returned the file
// is what it was, unless that says otherwise.
func (r *Repairer) Replace(path string, write func(into string) error) error {
	report, err := nffile.Verify(path, nil)
	if err != nil {
		return err
	}
	if !report.Sound() || report.Open {
		return fmt.Errorf("%s is damaged or being written: flowgraf verify says how", path)
	}
	info, err := r.takeFile(path)
	if err != nil {
		return err
	}
	mended := mendedName(path)
	if err := write(mended); err != nil {
		return err
	}
	return takePlace(mended, path, "", info)
}

// takeFile makes sure that a file may be replaced, and that no program does it besides.
func (r *Repairer) takeFile(path string) (os.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case info.Mode()&os.ModeSymlink != 0:
		return nil, fmt.Errorf("%s is a link, which is not replaced: name the file itself", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: expected a regular file", path)
	}
	if err := r.lock(path); err != nil {
		return nil, err
	}
	if err := os.Remove(mendedName(path)); err != nil && !errors.Is(err, os.ErrNotExist) { // of a run that was killed
		return nil, err
	}
	return info, nil
}

// mendedName is the name of a new file until it takes its place.
func mendedName(path string) string {
	return filepath.Join(filepath.Dir(path), mendedPrefix+filepath.Base(path))
}

// Aside returns the name that a file has once another one has taken its place.
func Aside(path string) string {
	return filepath.Join(filepath.Dir(path), AsidePrefix+filepath.Base(path))
}

// mendedPrefix begins the name of a new file until it takes its place.
const mendedPrefix = "nfcapd.current.mended-"

// takePlace puts a file in the place of another at once, with its permissions. That is
// kept as aside, unless this is empty: then the new one has its time, too. When an error
// says that nothing was replaced the new file is gone.
func takePlace(mended, path, aside string, like os.FileInfo) error {
	if err := place(mended, path, aside, like); err != nil {
		return errors.Join(err, os.Remove(mended))
	}
	err := os.Remove(index.Path(path))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, disk.SyncDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("%s has been replaced, but: %w", path, err)
	}
	return nil
}

// place is takePlace up to the new name.
func place(mended, path, aside string, like os.FileInfo) error {
	f, err := os.OpenFile(mended, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(like.Mode().Perm()), f.Sync(), f.Close()); err != nil {
		return err
	}
	if aside == "" {
		if err := os.Chtimes(mended, time.Time{}, like.ModTime()); err != nil {
			return err
		}
		return os.Rename(mended, path)
	}
	if err := os.Link(path, aside); err != nil {
		return fmt.Errorf("keeping the damaged file: %w", err)
	}
	if err := os.Rename(mended, path); err != nil {
		return errors.Join(err, os.Remove(aside))
	}
	return nil
}

// maxAbove is how many directories above a file can be that of its archive: layouts have
// up to four below it, and a directory of exporters may stand between.
const maxAbove = 6

// lock makes sure that no archive is open whose file this may be: the lock of the
// directory is taken, and those above it can be.
func (r *Repairer) lock(path string) error {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	for range maxAbove {
		if r.locks[dir] != nil {
			return nil
		}
		f, err := disk.Lock(dir)
		if errors.Is(err, os.ErrPermission) {
			break // who cannot look into it has no archive in it
		}
		if err != nil {
			return fmt.Errorf("an archive is open here, whose program mends its files when it starts: %w", err)
		}
		if r.locks == nil {
			r.locks = map[string]*os.File{}
		}
		r.locks[dir] = f
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	return nil
}
