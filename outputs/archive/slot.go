package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/disk"
)

// options returns what the file of a slot is written with.
func (a *Archive) options(slot int64) nffile.Options {
	start := time.Unix(slot, 0)
	return nffile.Options{
		Compression: a.opt.Compression,
		Level:       a.opt.Level,
		Extended:    a.opt.Extended,
		Ident:       a.opt.Ident,
		Access:      a.opt.Access,
		SlotStart:   start,
		SlotEnd:     start.Add(a.opt.Interval),
	}
}

// currentPath returns where the file of a slot is while it is open.
func (a *Archive) currentPath(slot int64) string {
	return filepath.Join(a.opt.Dir, subdir(a.opt.Layout, time.Unix(slot, 0).In(a.opt.Location)), currentName(slot))
}

// openSlot opens the file of a slot: the one that an earlier run left open, the
// complete one of that name, or a new one.
func (a *Archive) openSlot(slot int64) (*file, error) {
	start := time.Unix(slot, 0).In(a.opt.Location)
	current := a.currentPath(slot)
	dir := filepath.Dir(current)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f := &file{slot: slot, final: filepath.Join(dir, finalName(start, a.opt.Interval))}
	reopened, err := a.reopen(f.final, current)
	if err != nil {
		return nil, err
	}
	opt := a.options(slot)
	opt.MakeRoom = func() bool { return a.makeRoomFor(f) }
	w, found, err := nffile.Resume(current, opt)
	var damage *nffile.FormatError
	switch {
	case err == nil:
		f.Writer = w
		a.opt.Infof("appending to %s: flows %d, %d bytes cut off", f.final, found.Flows, found.Truncated)
		f.id, err = os.Lstat(current)
		return f, err
	case errors.As(err, &damage):
		// Not to be appended to: it stays what it is, and the slot gets another file.
		if err := a.setAside(current, f.final, reopened, damage); err != nil {
			return nil, err
		}
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	if f.Writer, err = nffile.Create(current, opt); err != nil {
		return nil, err
	}
	f.id, err = os.Lstat(current)
	return f, err
}

// reopen gives a complete file the name that it has while it is written, where nothing
// has that name yet. A link is no file of this archive: one that has the name is put
// out of the way, and one that has the name of the complete file stays what it is.
func (a *Archive) reopen(final, current string) (bool, error) {
	info, err := os.Lstat(current)
	if err == nil {
		if info.Mode()&os.ModeSymlink == 0 {
			return false, nil
		}
		a.opt.Errorf("%s is a symbolic link, which is not written through: it is kept as %s.link", current, current)
		if err := os.Rename(current, current+".link"); err != nil {
			return false, err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	if info, err := os.Lstat(final); err != nil || !info.Mode().IsRegular() {
		return false, nil
	}
	err = os.Rename(final, current)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// setAside puts a file that cannot be appended to out of the way: back to its
// final name if it had that, else to one that nothing writes to.
func (a *Archive) setAside(current, final string, reopened bool, why error) error {
	if reopened {
		a.opt.Errorf("cannot append to %s, beginning another file: %v", final, why)
		return os.Rename(current, final)
	}
	aside := current + ".damaged"
	a.opt.Errorf("kept as %s, flowgraf salvage gets its whole blocks out: %v", aside, why)
	return os.Rename(current, aside)
}

// rename gives a complete file its name, or when that is taken the first free one
// of those that name its seconds. It returns the name.
func (a *Archive) rename(current, final string) (string, error) {
	name, err := freeName(final)
	if err != nil {
		return "", err
	}
	if err := os.Rename(current, name); err != nil {
		return "", err
	}
	if err := disk.SyncDir(filepath.Dir(name)); err != nil {
		a.opt.Errorf("%s is complete, but after a power cut it may be %s again, until the next start: %v", name,
			filepath.Base(current), err)
	}
	return name, nil
}

// freeName returns final, or when a file has that name, the first free one of
// nfcapd.YYYYmmddHHMMSS with rising seconds.
func freeName(final string) (string, error) {
	dir, base := filepath.Split(final)
	digits := strings.TrimPrefix(base, "nfcapd.")
	name := final
	for second := 1; second < 1000; second++ {
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
		minute, seconds := digits[:12], second
		if len(digits) == 14 {
			seconds = int(digits[12]-'0')*10 + int(digits[13]-'0') + second
		}
		if seconds > 59 {
			break
		}
		name = filepath.Join(dir, fmt.Sprintf("nfcapd.%s%02d", minute, seconds))
	}
	return "", fmt.Errorf("no free name for %s: move the files of that minute away", final)
}

// eachFile calls fn for the regular files of a tree, and gives up at what cannot be
// read unless that is a link that leads nowhere, or not this user's.
func eachFile(root string, fn func(Entry) error) error {
	return Walk(root, func(e Entry) error {
		if !e.Type.IsRegular() {
			return nil
		}
		return fn(e)
	}, func(path string, err error) error {
		if errors.Is(err, fs.ErrNotExist) || path != root && errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return err
	})
}

// recover makes complete what a kill left open in the whole tree, except the file
// of the slot that is now, which is opened again. Outside of the tree, where a link
// leads to, that is only what this archive would have written there itself.
func (a *Archive) recover(now int64) error {
	return eachFile(a.opt.Dir, func(e Entry) error {
		if !strings.HasPrefix(e.Name(), currentPrefix) {
			return nil
		}
		slot, ours := currentSlot(e.Name())
		switch {
		case !ours || e.Linked || e.Outside && e.Path != a.currentPath(slot):
			a.opt.Infof("%s is not of this program and is left alone", e.Path)
		case e.Path != a.currentPath(now):
			return a.recoverFile(e.Path, slot)
		}
		return nil
	})
}

// recoverFile makes one file complete and gives it its name.
func (a *Archive) recoverFile(path string, slot int64) error {
	final := filepath.Join(filepath.Dir(path), finalName(time.Unix(slot, 0).In(a.opt.Location), a.opt.Interval))
	found, err := nffile.Recover(path, a.options(slot))
	var damage *nffile.FormatError
	if errors.As(err, &damage) {
		return a.setAside(path, final, false, damage)
	}
	if err != nil {
		return fmt.Errorf("recovering %s: %w", path, err)
	}
	name, err := a.rename(path, final)
	if err != nil {
		return err
	}
	a.complete(name, slot)
	a.opt.Infof("recovered %s: flows %d, %d bytes of a torn block cut off", name, found.Flows, found.Truncated)
	return nil
}
