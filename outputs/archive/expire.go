package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/outputs/index"
)

// Limits say what is kept of archives. Zero values set no limit.
type Limits struct {
	Age       time.Duration // of a file: since its slot began
	Size      int64         // bytes on the disk of all files together
	Free      int64         // bytes that the file system keeps free
	Watermark int           // percent of Size that is left when it was exceeded; 0 is 95
}

// Check says what is wrong with the limits, nil when nothing is.
func (l Limits) Check() error {
	if l.Age < 0 || l.Size < 0 || l.Free < 0 {
		return errors.New("a limit of what is kept is negative")
	}
	if l.Watermark < 0 || l.Watermark > 100 {
		return fmt.Errorf("watermark %d: expected percent, 1 to 100", l.Watermark)
	}
	return nil
}

// watermark is the share of the size that is left, in percent.
func (l Limits) watermark() int64 {
	if l.Watermark == 0 {
		return 95
	}
	return int64(l.Watermark)
}

// Expired is what Expire has removed.
type Expired struct {
	Files int
	Bytes int64 // on the disk
}

// stored is a complete file of an archive.
type stored struct {
	path string
	slot time.Time
	size int64
}

// Expire removes the oldest complete files of archives, of all together, until the
// limits hold, and directories by date that are empty then. It touches nothing but
// files with names of nfcapd (12 or 14 digits) or of Pcap, with the index of each, and
// never the newest one, and follows no link out of an archive.
// Names are in the time of loc.
//
// Where a limit of size or free space was exceeded, it goes on to the watermark, so
// that not every file has to make room for the next. What cannot be removed is in
// the error; the others are removed nevertheless.
func Expire(dirs []string, l Limits, loc *time.Location, now time.Time) (Expired, error) {
	var done Expired
	if l == (Limits{}) || len(dirs) == 0 {
		return done, nil
	}
	var files []stored
	var errs []error
	for _, dir := range dirs {
		found, err := storedIn(dir, loc)
		files = append(files, found...)
		errs = append(errs, err)
	}
	slices.SortFunc(files, func(a, b stored) int { return a.slot.Compare(b.slot) })
	var total int64
	for _, f := range files {
		total += f.size
	}
	least, err := missing(dirs[0], l)
	errs = append(errs, err)
	most := int64(-1)
	if l.Size > 0 && total > l.Size {
		most = l.Size/100*l.watermark() + l.Size%100*l.watermark()/100
	}
	for _, f := range files[:max(len(files)-1, 0)] {
		old := l.Age > 0 && now.Sub(f.slot) > l.Age
		large := most >= 0 && total > most
		if !old && !large && done.Bytes >= least {
			break
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		if err := os.Remove(index.Path(f.path)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		total -= f.size
		done.Files++
		done.Bytes += f.size
		removeEmpty(filepath.Dir(f.path), dirs)
	}
	return done, errors.Join(errs...)
}

// missing returns how many bytes must be removed for the free space, 0 when there
// is enough.
func missing(dir string, l Limits) (int64, error) {
	if l.Free <= 0 {
		return 0, nil
	}
	free, err := freeSpace(dir)
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	if free >= l.Free {
		return 0, nil
	}
	return l.Free + l.Free/100*(100-l.watermark()) - free, nil
}

// storedIn lists the complete files of a tree, without those outside of it that links
// lead to.
func storedIn(dir string, loc *time.Location) ([]stored, error) {
	var files []stored
	err := eachFile(dir, func(e Entry) error {
		slot, ok := SlotTime(e.Name(), loc)
		if !ok || e.Outside {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			size := diskSize(info)
			if beside, err := os.Lstat(index.Path(e.Path)); err == nil {
				size += diskSize(beside)
			}
			files = append(files, stored{e.Path, slot, size})
		}
		return err
	})
	return files, err
}

// SlotTime reads the begin of the slot, in the time zone of the archive, in the name of a
// complete file, false when it is none.
func SlotTime(name string, loc *time.Location) (time.Time, bool) {
	digits, ok := strings.CutPrefix(name, "nfcapd.")
	if rest, pcap := strings.CutPrefix(name, "pcap."); pcap {
		rest, ok = strings.CutSuffix(strings.TrimSuffix(rest, ".zst"), ".pcap")
		digits, _, _ = strings.Cut(rest, "-") // the second file of a slot has a number
	}
	layout := "200601021504"
	if len(digits) == 14 {
		layout = "20060102150405"
	}
	if !ok || len(digits) != len(layout) {
		return time.Time{}, false
	}
	t, err := time.ParseInLocation(layout, digits, loc)
	return t, err == nil
}

// removeEmpty removes a directory and those above it, as far as they are empty and
// below one of roots.
func removeEmpty(dir string, roots []string) {
	for !slices.Contains(roots, dir) && os.Remove(dir) == nil {
		dir = filepath.Dir(dir)
	}
}
