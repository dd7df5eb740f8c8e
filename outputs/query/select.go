package query

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// Selection says which files a query reads, as nfdump's options do.
type Selection struct {
	File    string // -r: a file, or a directory: all files of its tree
	Range   string // -R: see Files
	Sources string // -M: "base/a:b:c"; File or Range is then below each of base/a, base/b, base/c
}

// Files returns the files of the selection, in order.
//
// A Range is a directory (all files of its tree), a file (it and those behind it in
// its directory), or "first:last", where last is a name beside first: the files from
// the one to the other. With sub-directories both names have them, as in
// "dir/2026/11/21/nfcapd.202611212300:2026/11/22/nfcapd.202611220100"; where they are
// left out, they are guessed from the times in the names.
func (s Selection) Files() ([]string, error) {
	if (s.File == "") == (s.Range == "") {
		return nil, fmt.Errorf("expected either a file or a range of files")
	}
	dirs := []string{""}
	if s.Sources != "" {
		if strings.HasPrefix(s.File+s.Range, "/") {
			return nil, fmt.Errorf("%s%s: a file must not begin with / when sources are given: it is looked for below each of them", s.File, s.Range)
		}
		var err error
		if dirs, err = sourceDirs(s.Sources); err != nil {
			return nil, err
		}
	}
	var files []string
	for _, dir := range dirs {
		var more []string
		var err error
		if s.File != "" {
			more, err = Files(filepath.Join(dir, s.File))
		} else {
			more, err = filesOfRange(dir, s.Range)
		}
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	return files, nil
}

// sourceDirs takes "base/a:b:c" apart.
func sourceDirs(text string) ([]string, error) {
	names := strings.Split(text, ":")
	base := filepath.Dir(names[0])
	dirs := []string{names[0]}
	for _, name := range names[1:] {
		if name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("sources %q: %q should be the name of a directory in %s", text, name, base)
		}
		dirs = append(dirs, filepath.Join(base, name))
	}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil {
			return nil, err
		} else if !info.IsDir() {
			return nil, fmt.Errorf("sources %q: %s is no directory", text, dir)
		}
	}
	return dirs, nil
}

// filesOfRange returns the files of a range below dir.
func filesOfRange(dir, text string) ([]string, error) {
	first, last, two := strings.Cut(text, ":")
	path := filepath.Join(dir, first)
	if !two {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			return Files(path)
		}
		return between(filepath.Dir(path), filepath.Base(path), "")
	}
	if last == "" || strings.HasPrefix(last, "/") || strings.HasSuffix(first, "/") {
		return nil, fmt.Errorf("range %q: expected FIRST:LAST, where LAST is a name beside FIRST", text)
	}
	base := path
	for range strings.Count(last, "/") + 1 {
		base = filepath.Dir(base)
	}
	from, err := filepath.Rel(base, path)
	if err != nil || strings.Count(from, "/") != strings.Count(last, "/") {
		return nil, fmt.Errorf("range %q: expected as many sub-directories in the last name as in the first", text)
	}
	if !exists(path) && !strings.Contains(last, "/") {
		from, last = guess(base, from), guess(base, last)
		if strings.Count(from, "/") != strings.Count(last, "/") {
			return nil, fmt.Errorf("range %q: the two files are not at one level of directories below %s", text, base)
		}
	}
	for _, name := range []string{from, last} {
		if _, err := os.Stat(filepath.Join(base, name)); err != nil {
			return nil, fmt.Errorf("range %q: %w", text, err)
		}
	}
	return between(base, from, filepath.Clean(last))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// between returns the files below base from one name to another, both with the same
// number of sub-directories; an empty last is the last there is.
func between(base, first, last string) ([]string, error) {
	all, err := Files(base)
	if err != nil {
		return nil, err
	}
	from, to := strings.Split(first, "/"), strings.Split(last, "/")
	var files []string
	for _, path := range all {
		name, err := filepath.Rel(base, path)
		if err != nil {
			return nil, err
		}
		parts := strings.Split(name, "/")
		if len(parts) == len(from) && slices.Compare(parts, from) >= 0 && (last == "" || slices.Compare(parts, to) <= 0) {
			files = append(files, path)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no file from %s to %s", base, first, last)
	}
	return files, nil
}

// slotOfName finds the time in a file's name.
var slotOfName = regexp.MustCompile(`\d{12}`)

// subDirectories are the layouts of directories that nfcapd's -S knows.
var subDirectories = []func(time.Time) string{
	func(t time.Time) string { return t.Format("2006/01/02") },
	func(t time.Time) string { return t.Format("2006/01/02/15") },
	func(t time.Time) string { return t.Format("2006") + week(t) },
	func(t time.Time) string { return t.Format("2006") + week(t) + t.Format("/15") },
	func(t time.Time) string { return t.Format("2006/002") },
	func(t time.Time) string { return t.Format("2006/002/15") },
	func(t time.Time) string { return t.Format("2006-01-02") },
	func(t time.Time) string { return t.Format("2006-01-02/15") },
}

// week returns strftime's "/%W/%u": the week of the year, from Monday, and the day
// of the week, 1 to 7.
func week(t time.Time) string {
	day := (int(t.Weekday()) + 6) % 7
	return fmt.Sprintf("/%02d/%d", (t.YearDay()+6-day)/7, day+1)
}

// guess returns a name with the sub-directories in which the file is found, the name
// itself when it is in none.
func guess(base, name string) string {
	t, err := time.Parse("200601021504", slotOfName.FindString(name))
	if err != nil {
		return name
	}
	for _, sub := range subDirectories {
		if path := filepath.Join(sub(t), name); exists(filepath.Join(base, path)) {
			return path
		}
	}
	return name
}

// Window is a span of time that flows have to lie in, from their first packet to
// their last: milliseconds since 1970, both included, 0 is open.
type Window struct{ From, To uint64 }

// isZero says whether everything passes.
func (w Window) isZero() bool { return w == Window{} }

// has says whether a flow from first to last lies in the window.
func (w Window) has(first, last uint64) bool {
	return first >= w.From && (w.To == 0 || last <= w.To)
}

// overlaps says whether a file may hold flows in the window. A file without
// statistics may.
func (w Window) overlaps(f *nffile.File) bool {
	if !f.HasStat() {
		return true
	}
	s := f.Stat()
	return s.Last >= w.From && (w.To == 0 || s.First <= w.To)
}

// windowForms are nfdump's forms of a time, which may be shortened from the right.
var windowForms = []string{"2006/01/02.15:04:05", "2006/01/02.15:04", "2006/01/02.15", "2006/01/02", "2006/01", "2006"}

// ParseWindow reads a window as nfdump's -t has it: START or START-END, each as
// 2026/11/22.13:30:00 and shortened from the right as wanted, in a location; or +N and
// -N, the first and last N seconds of the files.
func ParseWindow(text string, files []string, loc *time.Location) (Window, error) {
	if strings.HasPrefix(text, "+") || strings.HasPrefix(text, "-") {
		return relativeWindow(text, files)
	}
	from, to, two := strings.Cut(text, "-")
	var w Window
	var err error
	if w.From, err = parseTime(from, loc); err == nil && two {
		w.To, err = parseTime(to, loc)
	}
	if err != nil {
		return Window{}, fmt.Errorf("time window %q: %w", text, err)
	}
	if two && w.To < w.From {
		return Window{}, fmt.Errorf("time window %q: it ends before it begins", text)
	}
	return w, nil
}

func parseTime(text string, loc *time.Location) (uint64, error) {
	for _, form := range windowForms {
		if t, err := time.ParseInLocation(form, text, loc); err == nil && t.Unix() >= 0 {
			return uint64(t.UnixMilli()), nil
		}
	}
	return 0, fmt.Errorf("%q is no time, expected YYYY/MM/DD.hh:mm:ss or the beginning of it", text)
}

// relativeWindow is the window of so many seconds at the begin or end of the files,
// which their statistics tell.
func relativeWindow(text string, files []string) (Window, error) {
	n, err := strconv.ParseUint(text[1:], 10, 32)
	if err != nil {
		return Window{}, fmt.Errorf("time window %q: expected a number of seconds behind the sign", text)
	}
	var t Totals
	for _, path := range files {
		if f, err := nffile.OpenFile(path); err == nil { // the query names those that cannot be opened
			t.window(f)
			f.Close()
		}
	}
	if !t.HasWindow {
		return Window{}, fmt.Errorf("time window %q: the files do not tell their time", text)
	}
	if text[0] == '+' {
		return Window{From: t.WindowFirst, To: t.WindowFirst + n*1000}, nil
	}
	return Window{From: t.WindowLast - min(t.WindowLast, n*1000), To: t.WindowLast}, nil
}
