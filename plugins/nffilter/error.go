package nffilter

import (
	"fmt"
	"strings"
)

// Error is what is wrong with a filter, and where.
type Error struct {
	Message    string
	Suggestion string // what to write instead, "" when there is no good guess

	Line, Column int    // from 1, in characters; 0 when the error is of no place
	Text         string // the line that it is in
	Width        int    // characters of Text that are wrong
}

// Error returns the message, the line with a caret below what is wrong, and the
// suggestion.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("filter: ")
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d, column %d: ", e.Line, e.Column)
	}
	b.WriteString(e.Message)
	if e.Line > 0 {
		fmt.Fprintf(&b, "\n  %s\n  %s%s", e.Text, strings.Repeat(" ", e.Column-1), strings.Repeat("^", max(1, e.Width)))
	}
	if e.Suggestion != "" {
		fmt.Fprintf(&b, "\n%s", e.Suggestion)
	}
	return b.String()
}

// at returns an error for the bytes from off to end of a filter. Control characters,
// tabs too, are shown as blanks.
func at(text string, off, end int, format string, args ...any) *Error {
	begin := strings.LastIndexByte(text[:off], '\n') + 1
	e := &Error{
		Message: fmt.Sprintf(format, args...),
		Line:    1 + strings.Count(text[:begin], "\n"),
		Column:  1 + len([]rune(text[begin:off])),
	}
	line := text[begin:]
	if n := strings.IndexByte(line, '\n'); n >= 0 {
		line = line[:n]
		end = min(end, begin+n)
	}
	e.Width = len([]rune(text[off:max(off, end)]))
	e.Text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
	return e
}

// Suggestion returns what to append to an error about a word, "" without a good guess.
func Suggestion(word string, candidates []string) string {
	if s := Similar(word, candidates); s != "" {
		return fmt.Sprintf("; did you mean %q?", s)
	}
	return ""
}

// Similar returns the candidate that a word was probably meant to be, "" when none is
// near enough. One that begins with the word is nearest.
func Similar(word string, candidates []string) string {
	word = strings.ToLower(word)
	best, found := (1+len(word))/3, "" // of three letters one may be wrong, of five two
	for _, c := range candidates {
		if len(word) > 2 && strings.HasPrefix(c, word) {
			return c
		}
		if d := distance(word, c); d < best || d == best && found == "" {
			best, found = d, c
		}
	}
	return found
}

// distance counts the letters to add, remove or change that make a into b, a swap of
// two neighbours as one.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
