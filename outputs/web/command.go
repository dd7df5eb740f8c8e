package web

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// command returns the flowgraf dump that reads the same files; tail are its options and the
// filter. It is text to be copied: nothing runs it.
func (a *Archive) command(sources []*Source, files []slotFile, tail []string) string {
	words := append([]string{"flowgraf", "dump"}, a.selection(sources, files)...)
	words = append(words, tail...)
	for i := range words {
		words[i] = quote(words[i])
	}
	return strings.Join(words, " ")
}

// selection returns the options that choose files.
func (a *Archive) selection(sources []*Source, files []slotFile) []string {
	if len(files) == 0 {
		return []string{"-R", a.root}
	}
	var names []string
	base := ""
	for _, s := range sources {
		dir, name := filepath.Split(filepath.Join(a.root, filepath.FromSlash(s.Name)))
		if base != "" && dir != base || strings.Contains(name, ":") {
			return a.byTime(files)
		}
		base = dir
		names = append(names, name)
	}
	first, last, open := files[0], files[len(files)-1], false
	for i := range files {
		if open = open || files[i].open; !files[i].open {
			last = files[i]
		}
	}
	if first.open || len(filepath.Base(first.path)) != len(filepath.Base(last.path)) {
		return append(a.byTime(files), "--current")
	}
	span := filepath.Base(first.path) + ":" + filepath.Base(last.path)
	if open {
		span = filepath.Base(first.path)
	}
	if len(names) == 1 {
		dir := base + names[0]
		if open && filepath.Dir(first.path) != dir {
			return append(a.byTime(files), "--current")
		}
		words := []string{"-R", filepath.Join(dir, span)}
		if open {
			words = append(words, "--current")
		}
		return words
	}
	if open {
		return append(a.byTime(files), "--current")
	}
	return []string{"-M", base + strings.Join(names, ":"), "-R", span}
}

// byTime chooses flows by their time, where files cannot be named in one range.
func (a *Archive) byTime(files []slotFile) []string {
	const form = "2006/01/02.15:04:05"
	from := time.Unix(files[0].start, 0).In(a.zone)
	to := time.Unix(files[len(files)-1].start, 0).In(a.zone)
	return []string{"-R", a.root, "-t", from.Format(form) + "-" + to.Add(defaultInterval*time.Second).Format(form)}
}

// tail returns the options of a question: what dump prints of it is the ranking, or the
// sums of the graph's lines.
func (q *Question) tail() []string {
	var words []string
	for _, s := range q.Stats {
		words = append(words, "-s", s)
	}
	switch {
	case len(q.Stats) > 0:
		words = append(words, "-n", fmt.Sprint(q.Top))
	case q.By != "":
		words = append(words, "-A", q.By, "-O", q.Unit, "-n", fmt.Sprint(q.Lines))
	default:
		words = append(words, "-o", "null")
	}
	if strings.TrimSpace(q.Filter) != "" {
		words = append(words, q.Filter)
	}
	return words
}

// quote returns a word as a POSIX shell takes it.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_./:,=+@%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
