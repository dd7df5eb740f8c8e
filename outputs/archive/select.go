package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Selection says which files are to be read, as nfdump's options do.
type Selection struct {
	File    string // -r: a file, or a directory: all files of its tree
	Range   string // -R: see Files
	Sources string // -M: "base/a:b:c"; File or Range is then below each of base/a, base/b, base/c
	Current bool   // files that are being written too
}

// Selected is what a Selection has found.
type Selected struct {
	Files []string // in order

	Missing    []error // what the selection names and is not there
	Unreadable []error // directories that cannot be read, links that lead nowhere
	Current    int     // files that are being written and were left out
}

// addFile adds a file, or the files of a tree, by name within each directory, without those that
// begin with a dot and, unless Current says so, those that are being written. A file
// named itself is taken as it is. Links are followed: see Walk.
func (f *Selected) addFile(path string, current bool) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		f.Files = append(f.Files, path)
		return nil
	}
	return Walk(path, func(e Entry) error {
		switch {
		case !e.Type.IsRegular():
		case !current && strings.HasPrefix(e.Name(), currentStem):
			f.Current++
		default:
			f.Files = append(f.Files, e.Path)
		}
		return nil
	}, func(path string, err error) error {
		f.Unreadable = append(f.Unreadable, err)
		return nil
	})
}

// Files returns the files that paths name, in their order: files themselves, of
// directories all complete files in their trees. What cannot be read of them is an
// error.
func Files(paths ...string) ([]string, error) {
	var f Selected
	for _, path := range paths {
		if err := f.addFile(path, false); err != nil {
			return nil, err
		}
	}
	return f.Files, errors.Join(f.Unreadable...)
}

// Files returns the files of the selection.
//
// A Range is a directory (all files of its tree), a file (it and those behind it in
// its directory), or "first:last", where last is a name beside first: the files from
// the one to the other. With sub-directories both names have them, as in
// "dir/2026/11/21/nfcapd.202611212300:2026/11/22/nfcapd.202611220100"; where they are
// left out, they are guessed from the times in the names.
//
// As with nfdump, what a source lacks, and a last file that does not exist, do not
// keep the others from being read: they are in Missing. The error says that the
// selection makes no sense, or that the first of what it names is nowhere.
func (s Selection) Files() (Selected, error) {
	var found Selected
	if (s.File == "") == (s.Range == "") {
		return found, errors.New("expected either a file or a range of files")
	}
	dirs := []string{""}
	if s.Sources != "" {
		if strings.HasPrefix(s.File+s.Range, "/") {
			return found, fmt.Errorf("%s%s: a file must not begin with / when sources are given: it is looked for "+
				"below each of them", s.File, s.Range)
		}
		var err error
		if dirs, err = found.sources(s.Sources); err != nil {
			return found, err
		}
	}
	if first, last, two := strings.Cut(s.Range, ":"); two {
		return found, found.between(dirs, first, last, s.Current)
	}
	return found, found.each(dirs, s)
}

// sources takes "base/a:b:c" apart.
func (f *Selected) sources(text string) ([]string, error) {
	names := strings.Split(text, ":")
	base := filepath.Dir(names[0])
	all := []string{names[0]}
	for _, name := range names[1:] {
		if name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("sources %q: %q should be the name of a directory in %s", text, name, base)
		}
		all = append(all, filepath.Join(base, name))
	}
	var dirs []string
	for _, dir := range all {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", dir)
		}
		if err != nil {
			f.Missing = append(f.Missing, fmt.Errorf("source %s: %w", filepath.Base(dir), err))
			continue
		}
		dirs = append(dirs, dir)
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("sources %q: %w", text, errors.Join(f.Missing...))
	}
	return dirs, nil
}

// each adds what a selection names in each of several directories.
func (f *Selected) each(dirs []string, s Selection) error {
	var missing []error
	for _, dir := range dirs {
		path := find(filepath.Join(dir, s.File+s.Range))
		info, err := os.Stat(path)
		if err != nil {
			missing = append(missing, err)
		}
		switch {
		case err == nil && (s.File != "" || info.IsDir()):
			err = f.addFile(path, s.Current)
		case err == nil || s.Range != "" && errors.Is(err, fs.ErrNotExist):
			err = f.part(filepath.Dir(path), filepath.Base(path), "", s.Current)
		default:
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if len(missing) == len(dirs) {
		return errors.Join(missing...)
	}
	f.Missing = append(f.Missing, missing...)
	return nil
}

// find returns a path, or when there is nothing, the one in the sub-directories that
// the time in its name gives, where there is something.
func find(path string) string {
	base, name := filepath.Split(path)
	if layout := guess(base, name); layout > 0 {
		return filepath.Join(base, inLayout(layout, name))
	}
	return path
}

// between adds the files from first to last in each of several directories.
func (f *Selected) between(dirs []string, first, last string, current bool) error {
	text := first + ":" + last
	if last == "" || strings.HasPrefix(last, "/") || strings.HasSuffix(first, "/") {
		return fmt.Errorf("range %q: expected FIRST:LAST, where LAST is a name beside FIRST", text)
	}
	up := strings.Count(last, "/") + 1
	from := filepath.Clean(first)
	if strings.Count(from, "/")+1 < up {
		return fmt.Errorf("range %q: expected as many sub-directories in the last name as in the first", text)
	}
	parts := strings.Split(from, "/")
	above, from := filepath.Join(parts[:len(parts)-up]...), filepath.Join(parts[len(parts)-up:]...)
	if strings.HasPrefix(first, "/") {
		above = "/" + above
	}
	last = filepath.Clean(last)
	if slices.Compare(strings.Split(last, "/"), strings.Split(from, "/")) < 0 {
		return fmt.Errorf("range %q: the last file comes before the first", text)
	}
	spans := make([]span, len(dirs))
	for i, dir := range dirs {
		spans[i] = span{base: filepath.Join(dir, above), first: from, last: last}
	}
	if up == 1 {
		guessAll(spans)
	}
	return f.spans(spans, text, current)
}

// span is a range of files in one directory.
type span struct {
	base        string
	first, last string   // below base
	names       []string // that are there
}

// spans adds ranges, and notes what one of them lacks that another has.
func (f *Selected) spans(spans []span, text string, current bool) error {
	haveFirst, haveLast := false, false
	all := map[string]bool{}
	for i := range spans {
		s := &spans[i]
		before := len(f.Files)
		if err := f.part(s.base, s.first, s.last, current); err != nil {
			return err
		}
		for _, path := range f.Files[before:] {
			s.names = append(s.names, filepath.Base(path))
			all[filepath.Base(path)] = true
		}
		haveFirst = haveFirst || exists(filepath.Join(s.base, s.first))
		haveLast = haveLast || exists(filepath.Join(s.base, s.last))
	}
	if !haveFirst {
		_, err := os.Stat(filepath.Join(spans[0].base, spans[0].first))
		return fmt.Errorf("range %q: %w", text, err)
	}
	if !haveLast {
		f.Missing = append(f.Missing, fmt.Errorf("range %q: there is no %s, it ends with the last file before", text,
			filepath.Base(spans[0].last)))
	}
	for _, s := range spans {
		lacks := 0
		for name := range all {
			if !slices.Contains(s.names, name) {
				lacks++
			}
		}
		if lacks > 0 {
			f.Missing = append(f.Missing, s.lacking(all, lacks))
		}
	}
	return nil
}

// maxLacking is how many missing files of one source are named.
const maxLacking = 5

// lacking names the files that other sources have.
func (s *span) lacking(all map[string]bool, n int) error {
	var names []string
	for name := range all {
		if !slices.Contains(s.names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	more := ""
	if n > maxLacking {
		names, more = names[:maxLacking], fmt.Sprintf(" and %d more", n-maxLacking)
	}
	return fmt.Errorf("%s has no %s%s, which another source has", s.base, strings.Join(names, ", "), more)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// part adds the files below base from one name to another, both with the same number
// of sub-directories; an empty last is the last there is.
func (f *Selected) part(base, first, last string, current bool) error {
	all := Selected{Current: f.Current, Unreadable: f.Unreadable}
	if err := all.addFile(base, current); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	f.Current, f.Unreadable = all.Current, all.Unreadable
	from, to := strings.Split(first, "/"), strings.Split(last, "/")
	for _, path := range all.Files {
		name, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		parts := strings.Split(filepath.ToSlash(name), "/")
		if len(parts) == len(from) && slices.Compare(parts, from) >= 0 &&
			(last == "" || slices.Compare(parts, to) <= 0) {
			f.Files = append(f.Files, path)
		}
	}
	return nil
}

// slotOfName finds the time in a file's name.
var slotOfName = regexp.MustCompile(`\d{12}`)

// guessAll puts the sub-directories before the names of ranges that are found in none:
// those of the layout in which one of the two is there, or that of another source.
func guessAll(spans []span) {
	common := -1
	layouts := make([]int, len(spans))
	for i, s := range spans {
		layouts[i] = guess(s.base, s.first)
		if layouts[i] < 0 {
			layouts[i] = guess(s.base, s.last)
		}
		if common < 0 {
			common = layouts[i]
		}
	}
	for i := range spans {
		s := &spans[i]
		if layouts[i] < 0 {
			layouts[i] = common
		}
		if layouts[i] > 0 {
			s.first, s.last = inLayout(layouts[i], s.first), inLayout(layouts[i], s.last)
		}
	}
}

// guess returns the layout of sub-directories in which a file is found by the time in
// its name, -1 when it is in none.
func guess(base, name string) int {
	for layout := range MaxLayout + 1 {
		if exists(filepath.Join(base, inLayout(layout, name))) {
			return layout
		}
	}
	return -1
}

// inLayout returns a file's name with the sub-directories of a layout, the name alone
// when there is no time in it.
func inLayout(layout int, name string) string {
	t, err := time.Parse("200601021504", slotOfName.FindString(name))
	if err != nil {
		return name
	}
	return filepath.ToSlash(filepath.Join(subdir(layout, t), name))
}
