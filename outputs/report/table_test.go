package report

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
)

// TestTableFitsTheTerminal: no line of a table is wider than the terminal, as long as
// there is room for numbers, and what is left out of times comes before addresses are cut.
func TestTableFitsTheTerminal(t *testing.T) {
	file := ourFile(t, nffile.None)
	for _, width := range []int{200, 150, 120, 100} {
		opt := Options{Location: time.UTC, Terminal: Terminal{Width: width}}
		opt.Quiet = true
		lines := strings.Split(strings.TrimSuffix(printed(t, file, "table", opt), "\n"), "\n")
		if len(lines) != 3000 {
			t.Fatalf("%d lines of 3000 flows", len(lines))
		}
		cut := false
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > width {
				t.Fatalf("%d columns on a terminal of %d: %q", n, width, line)
			}
			cut = cut || strings.Contains(line, "…")
		}
		if cut != (width < 120) || strings.Contains(lines[0], "2026-11-22 10") != (width > 130) {
			t.Errorf("width %d: cut is %v: %q", width, cut, lines[0])
		}
		for line := range strings.Lines(statistics(t, file, 5, "table", opt, "srcip/bytes")) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > max(width, 120) {
				t.Errorf("%d columns on a terminal of %d: %q", n, width, line)
			}
		}
	}
}

// TestTableColours: colours are printed to terminals only that have them, and end with
// the line.
func TestTableColours(t *testing.T) {
	file := ourFile(t, nffile.None)
	plain := printed(t, file, "table", Options{Location: time.UTC})
	coloured := printed(t, file, "table", Options{Location: time.UTC, Terminal: Terminal{Colours: true}})
	if strings.Contains(plain, "\x1b") || !strings.Contains(coloured, "\x1b[32m") {
		t.Error("colours", strings.Contains(plain, "\x1b"), strings.Contains(coloured, "\x1b[32m"))
	}
	for line := range strings.Lines(coloured) {
		if strings.Count(line, "\x1b[") != 2*strings.Count(line, normal) {
			t.Fatalf("colours that do not end: %q", line)
		}
	}
	if got := escape.Replace(coloured); got != plain {
		t.Error("colours change the text")
	}
}

// escape takes the colours out.
var escape = strings.NewReplacer(bold, "", normal, "", "\x1b[32m", "", "\x1b[36m", "", "\x1b[33m", "")

// TestTableOfTags: columns are chosen as in fmt:, and hostile texts stay in theirs.
func TestTableOfTags(t *testing.T) {
	var out bytes.Buffer
	p, err := Open(&out, "table:%sa %uname", Options{Quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	p.Begin()
	p.Flow(hostile())
	p.End(&query.Totals{Records: 1}, Usage{})
	if got := out.String(); strings.Count(got, "\n") != 1 || strings.Contains(got, "\x1b") ||
		!strings.HasPrefix(got, `2001:db8::1  a"b\c`) {
		t.Errorf("%q", got)
	}
}
