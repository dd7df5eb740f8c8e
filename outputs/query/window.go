package query

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// Window is a span of time: milliseconds since 1970, both included, 0 is open. A flow is
// in it that has at least a moment in common with it; with Within, as nfdump means it, one
// that begins and ends in it.
type Window struct {
	From, To uint64
	Within   bool
}

// isZero says whether everything passes.
func (w Window) isZero() bool { return w.From == 0 && w.To == 0 }

// has says whether a flow from first to last is in the window.
func (w Window) has(first, last uint64) bool {
	if w.Within {
		first, last = last, first
	}
	return last >= w.From && (w.To == 0 || first <= w.To)
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

// Files returns those of the files that may hold flows in the window, by what they keep of
// themselves, and those that cannot be opened.
func (w Window) Files(files []string) []string {
	if w.isZero() {
		return files
	}
	var list []string
	for _, path := range files {
		f, err := nffile.OpenFile(path)
		if err != nil || w.overlaps(f) {
			list = append(list, path)
		}
		if err == nil {
			f.Close()
		}
	}
	return list
}

// windowForms are nfdump's forms of a time, which may be shortened from the right.
var windowForms = []string{"2006/01/02.15:04:05", "2006/01/02.15:04", "2006/01/02.15", "2006/01/02", "2006/01", "2006"}

// isoDay is a day of ISO 8601, and what stands between it and an hour.
var isoDay = regexp.MustCompile(`(\d{4})-(\d\d)-(\d\d)(?:[T ](\d))?`)

// nfdumpTimes writes the times of ISO 8601 in a window as nfdump's.
func nfdumpTimes(text string) string {
	return isoDay.ReplaceAllStringFunc(text, func(day string) string {
		part := isoDay.FindStringSubmatch(day)
		if part[4] != "" {
			part[4] = "." + part[4]
		}
		return part[1] + "/" + part[2] + "/" + part[3] + part[4]
	})
}

// ParseWindow reads a window as nfdump's -t has it: START or START-END, each as
// 2026/11/22.13:30:00 or 2026-11-22T13:30:00 and shortened from the right as wanted, in a
// location; or +N and -N, the first and last N seconds of the files.
func ParseWindow(text string, files []string, loc *time.Location) (Window, error) {
	if strings.HasPrefix(text, "+") || strings.HasPrefix(text, "-") {
		return relativeWindow(text, files)
	}
	from, to, two := strings.Cut(nfdumpTimes(text), "-")
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
