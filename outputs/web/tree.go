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
	if at := dateDirs.FindStringIndex(dir); at != nil {
		dir = dir[:at[0]]
	}
	if dir == "" {
		return "."
	}
	return dir
}

// slotName is the name of a complete file: its slot in minutes or seconds, with or without
// the zone's distance from UTC.
var slotName = regexp.MustCompile(`^nfcapd\.(\d{12}(?:\d{2})?)([+-]\d{4})?$`)

// slotStart returns the start of a complete file's slot by its name, false when the name is
// of another kind.
func slotStart(name string, zone *time.Location) (int64, bool) {
	m := slotName.FindStringSubmatch(name)
	if m == nil {
		return 0, false
	}
	layout := "20060102150405"[:len(m[1])]
	if m[2] != "" {
		t, err := time.Parse(layout+"-0700", m[1]+m[2])
		return t.Unix(), err == nil
	}
	t, err := time.ParseInLocation(layout, m[1], zone)
	return t.Unix(), err == nil
}

// openName is the name of a file that is being written: behind it is the start of its slot,
// or the number of nfcapd's process.
const openName = "nfcapd.current"

// leastSlot is the least number behind openName that is a time.
const leastSlot = 100_000_000

// fileOf says what a file of the tree is, false when it is none with flows.
func fileOf(root string, e archive.Entry, info fs.FileInfo, zone *time.Location) (foundFile, bool) {
	dir, err := filepath.Rel(root, filepath.Dir(e.Path))
	if err != nil {
		return foundFile{}, false
	}
	if dir == "." {
		dir = ""
	}
	f := foundFile{path: e.Path, source: sourceOf(dir), size: info.Size(), mod: info.ModTime().UnixNano()}
	rest, open := strings.CutPrefix(e.Name(), openName)
	if !open {
		start, ok := slotStart(e.Name(), zone)
		f.start = start
		return f, ok
	}
	f.open = true
	if n, err := strconv.ParseInt(strings.TrimPrefix(rest, "."), 10, 64); err == nil && n >= leastSlot {
		f.start = n
	}
	_, err = strconv.Atoi(strings.TrimPrefix(rest, "."))
	return f, rest == "" || err == nil
}

// walkTree calls fn for every file with flows below root. What cannot be read is returned,
// but not what vanishes meanwhile.
func walkTree(root string, zone *time.Location, fn func(foundFile)) error {
	var problems []error
	err := archive.Walk(root, func(e archive.Entry) error {
		if !e.Type.IsRegular() {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			if f, ok := fileOf(root, e, info, zone); ok {
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
