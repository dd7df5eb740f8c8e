package report

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// bufferSize is how much is written at once.
const bufferSize = 1 << 16

// Text prints a flow on one line, by a format of tags; of a tunnel a line before it, as
// nfdump does. It does not allocate per flow.
type Text struct {
	opt    Options
	newer  bool // as nfdump 1.7.8
	width  int  // of an address
	pieces []piece
	names  names
	clock  *clock
	utc    *clock
	w      *bufio.Writer
	buf    []byte
	tunnel query.Flow
}

// piece is a part of a format: a tag, or a text.
type piece struct {
	tag  *tag
	text string
}

// NewText returns a Text that writes to w, by a format as behind nfdump's -o fmt:.
func NewText(w io.Writer, format string, opt Options) (*Text, error) {
	pieces, err := parseFormat(format)
	if err != nil {
		return nil, err
	}
	t := newText(w, opt)
	t.pieces, t.newer = pieces, opt.Compat.or(Nfdump171) == Nfdump178
	return t, nil
}

// newText returns a Text without a format.
func newText(w io.Writer, opt Options) *Text {
	return &Text{opt: opt, width: opt.addrWidth(), clock: newClock(&opt),
		utc: newClock(&Options{Location: utc}), w: bufio.NewWriterSize(w, bufferSize)}
}

// parseFormat reads a format. A tag ends where no letter follows; of those that fit the
// longest is meant.
func parseFormat(format string) ([]piece, error) {
	if format == "" {
		return nil, errors.New("a format without tags: expected tags behind it, as in 'fmt:%ts %sa -> %da'")
	}
	var pieces []piece
	for at := 0; at < len(format); {
		rest := format[at:]
		if rest[0] != '%' {
			end := strings.IndexByte(rest, '%')
			if end < 0 {
				end = len(rest)
			}
			pieces = append(pieces, piece{text: rest[:end]})
			at += end
			continue
		}
		if predefined, n := predefinedTag(rest); n > 0 {
			inner, err := parseFormat(predefined)
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, inner...)
			at += n
			continue
		}
		tag, n := findTag(rest)
		if tag == nil {
			return nil, formatError(format, at)
		}
		pieces = append(pieces, piece{tag: tag})
		at += n
	}
	return pieces, nil
}

// word returns how many letters and digits, and how many letters, stand behind the
// percent sign of s.
func word(s string) (alphanumeric, letters int) {
	for letters = 1; letters < len(s) && isLetter(s[letters]); letters++ {
	}
	for alphanumeric = letters; alphanumeric < len(s) &&
		(isLetter(s[alphanumeric]) || s[alphanumeric] >= '0' && s[alphanumeric] <= '9'); alphanumeric++ {
	}
	return alphanumeric, letters
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// findTag finds the tag at the beginning of s, and how long it is.
func findTag(s string) (*tag, int) {
	alphanumeric, letters := word(s)
	for n := alphanumeric; n >= letters; n-- { // nfdump 1.7.1 takes digits behind a tag for text
		if n > 1 {
			for i := range tags {
				if tags[i].name == s[1:n] {
					return &tags[i], n
				}
			}
		}
	}
	return nil, 0
}

// predefinedTag finds the name of a predefined format at the beginning of s, as in
// %line, its tags, and how long the name is.
func predefinedTag(s string) (format string, n int) {
	n, _ = word(s)
	for _, p := range predefined {
		if p.name == s[1:n] {
			return p.tags, n
		}
	}
	return "", 0
}

// formatError says which tag of a format is unknown.
func formatError(format string, at int) error {
	n, _ := word(format[at:])
	name := format[at : at+n]
	text := fmt.Sprintf("unknown tag %q at character %d of the format", name, at+1)
	if name == "%" {
		text = fmt.Sprintf("a %% without a tag at character %d of the format", at+1)
	}
	all := make([]string, len(tags))
	for i := range tags {
		all[i] = tags[i].name
	}
	if near := nffilter.Similar(name[1:], all); near != "" && len(name) > 1 {
		text += fmt.Sprintf(", did you mean %%%s?", near)
	}
	return fmt.Errorf("%s; '-o help' lists the tags\n  %s\n  %s^", text, format, strings.Repeat(" ", at))
}

// Begin prints the names of the columns.
func (t *Text) Begin() error {
	if t.opt.Quiet {
		return nil
	}
	_, err := t.w.Write(t.header(nil))
	return err
}

// header appends the names of the columns.
func (t *Text) header(b []byte) []byte {
	for _, p := range t.pieces {
		if p.tag == nil {
			b = appendSpaces(b, len(p.text))
			continue
		}
		if t.opt.LongIPv6 && p.tag.addr {
			b = appendSpaces(b, 23)
		}
		if t.newer && p.tag.newer != "" {
			b = append(b, p.tag.newer...)
		} else {
			b = append(b, p.tag.header...)
		}
	}
	return append(b, '\n')
}

// Flow prints a flow.
func (t *Text) Flow(q *query.Flow) error {
	b, f := t.buf[:0], row{q}
	if f.tunnelled() {
		b = t.line(b, t.outer(f))
	}
	b = t.line(b, f)
	t.buf = b
	_, err := t.w.Write(b)
	return err
}

// line appends the line of a flow.
func (t *Text) line(b []byte, f row) []byte {
	for i := range t.pieces {
		if p := &t.pieces[i]; p.tag != nil {
			b = p.tag.append(t, b, f)
		} else {
			b = append(b, p.text...)
		}
	}
	return append(b, '\n')
}

// End prints the summary.
func (t *Text) End(totals *query.Totals, u Usage) error {
	if t.opt.partial {
		return t.w.Flush()
	}
	if totals.Records == 0 {
		t.w.WriteString(noMatch)
	}
	if !t.opt.Quiet {
		if err := Summary(t.w, totals, u, t.opt); err != nil {
			return err
		}
	}
	return t.w.Flush()
}
