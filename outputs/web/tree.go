package web

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/outputs/archive"
)

// foundFile is a file with flows in the tree of an archive.
type foundFile struct {
	path   string
	source string // the directories that are not of a date, "." for none
	start  int64  // of its slot, in seconds since 1970
	open   bool   // it is being written
	size   int64
	mod    int64 // when it was changed, nanoseconds since 1970
}

// dateDirs are the sub-directories that nfcapd's -S makes, in any of its layouts: year,
// month, day and hour; year, week and day of it; year and day of it; date and hour.
var dateDirs = regexp.MustCompile(
	`(?:^|/)(?:\d{4}/\d{2}/\d{2}|\d{4}/\d{2}/\d|\d{4}/\d{3}|\d{4}-\d{2}-\d{2})(?:/\d{2})?$`)

// sourceOf returns the source of a file by its directory below the archive.
func sourceOf(dir string) string {
	dir = filepath.ToSlash(dir)
	if dir == "." {
		return dir
	}
	if at := dateDirs.FindStringIndex(dir); at != nil {
		dir = dir[:at[0]]
	}
	if dir == "" {
		return "."
	}
	return dir
}

// completeName begins the name of a complete file. Behind it is its slot in minutes or
// seconds, with or without the zone's distance from UTC.
const completeName = "nfcapd."

// slotStart returns the start of a complete file's slot by its name, false when the name is
// of another kind.
func slotStart(name string, zone *time.Location) (int64, bool) {
	text, ok := strings.CutPrefix(name, completeName)
	if !ok {
		return 0, false
	}
	if at := strings.IndexAny(text, "+-"); at >= 0 {
		east, ok := offset(text[at:])
		if !ok {
			return 0, false
		}
		zone, text = time.UTC, text[:at]
		start, ok := digits(text, zone)
		return start - east, ok
	}
	return digits(text, zone)
}

// digits returns the time of YYYYMMDDhhmm or YYYYMMDDhhmmss.
func digits(text string, zone *time.Location) (int64, bool) {
	if len(text) != 12 && len(text) != 14 {
		return 0, false
	}
	var two [7]int
	for i := range len(text) {
		c := text[i] - '0'
		if c > 9 {
			return 0, false
		}
		two[i/2] = 10*two[i/2] + int(c)
	}
	year, month, day := 100*two[0]+two[1], time.Month(two[2]), two[3]
	hour, minute, second := two[4], two[5], two[6]
	t := time.Date(year, month, day, hour, minute, second, 0, zone)
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	return t.Unix(), true
}

// daysIn returns how many days a month has.
func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// offset returns the seconds of a distance from UTC, as +0530.
func offset(text string) (int64, bool) {
	t, err := time.Parse("-0700", text)
	if err != nil || len(text) != 5 {
		return 0, false
	}
	_, east := t.Zone()
	return int64(east), true
}

// openName is the name of a file that is being written: behind it is the start of its slot,
// or the number of nfcapd's process.
const openName = "nfcapd.current"

// leastSlot is the least number behind openName that is a time.
const leastSlot = 100_000_000

// finder tells what files of a tree are. Those of one directory come one after the other.
type finder struct {
	root   string
	zone   *time.Location
	dir    string
	source string // of dir
}

// fileOf says what a file of the tree is, false when it is none with flows.
func (d *finder) fileOf(e archive.Entry, info fs.FileInfo) (foundFile, bool) {
	if dir := filepath.Dir(e.Path); dir != d.dir || d.source == "" {
		below, err := filepath.Rel(d.root, dir)
		if err != nil {
			return foundFile{}, false
		}
		d.dir, d.source = dir, sourceOf(below)
	}
	f := foundFile{path: e.Path, source: d.source, size: info.Size(), mod: info.ModTime().UnixNano()}
	rest, open := strings.CutPrefix(e.Name(), openName)
	if !open {
		start, ok := slotStart(e.Name(), d.zone)
		f.start = start
		return f, ok
	}
	f.open = true
	if n, err := strconv.ParseInt(strings.TrimPrefix(rest, "."), 10, 64); err == nil && n >= leastSlot {
		f.start = n
	}
	_, err := strconv.Atoi(strings.TrimPrefix(rest, "."))
	return f, rest == "" || err == nil
}

// walkTree calls fn for every file with flows below root. What cannot be read is returned,
// but not what vanishes meanwhile.
func walkTree(root string, zone *time.Location, fn func(foundFile)) error {
	var problems []error
	d := finder{root: root, zone: zone}
	err := archive.Walk(root, func(e archive.Entry) error {
		if !e.Type.IsRegular() {
			return nil
		}
		if !strings.HasPrefix(e.Name(), completeName) {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			if f, ok := d.fileOf(e, info); ok {
				fn(f)
			}
		}
		return err
	}, func(path string, err error) error {
		if path == root {
			return err
		}
		if len(problems) < maxProblems {
			problems = append(problems, err)
		}
		return nil
	})
	return errors.Join(append(problems, err)...)
}

// maxProblems is how many problems with files are kept.
const maxProblems = 10
