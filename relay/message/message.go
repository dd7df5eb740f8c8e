// Package message walks and changes the text of a mail as it goes over the wire: header
// fields, their folding, dates (RFC 5322) and lines. Lines end with CRLF. It knows the
// form of a mail, not what its fields mean, and never fails: what has not the form of a
// header field is the body.
package message

import (
	"bytes"
	"iter"
	"time"
)

// MaxLine is the longest line in octets, without CRLF, that every server takes (RFC 5322
// section 2.1.1, RFC 5321 section 4.5.3.1.6).
const MaxLine = 998

// DateFormat is RFC 5322 section 3.3.
const DateFormat = "Mon, 02 Jan 2006 15:04:05 -0700"

// Date writes a time as RFC 5322 section 3.3 wants it.
func Date(t time.Time) string { return t.Format(DateFormat) }

var crlf = []byte("\r\n")

// Split parts a message into its header fields and the rest, which begins with the empty
// line. A message whose first lines are not header fields gets that line where the fields
// end.
func Split(m []byte) (head, rest []byte) {
	n := 0
	for n < len(m) {
		if bytes.HasPrefix(m[n:], crlf) {
			return m[:n], m[n:]
		}
		field := next(m[n:])
		if len(Name(field)) == 0 {
			break
		}
		n += len(field)
	}
	return m[:n], append([]byte("\r\n"), m[n:]...)
}

// Fields gives the fields of a header, each with its folded lines and its CRLF. It ends
// at an empty line.
func Fields(head []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(head) > 0 && !bytes.HasPrefix(head, crlf) {
			field := next(head)
			if !yield(field) {
				return
			}
			head = head[len(field):]
		}
	}
}

// next gives the field at the start of head.
func next(head []byte) []byte {
	n := 0
	for {
		i := bytes.Index(head[n:], crlf)
		if i < 0 {
			return head
		}
		n += i + 2
		if n >= len(head) || (head[n] != ' ' && head[n] != '\t') {
			return head[:n]
		}
	}
}

// Name gives a field's name as it is written, nil when it has none (RFC 5322 section
// 3.6.8; spaces before the colon are the obsolete form of section 4.5).
func Name(field []byte) []byte {
	name, _, found := bytes.Cut(field, []byte(":"))
	if !found {
		return nil
	}
	name = bytes.TrimRight(name, " \t")
	for _, b := range name {
		if b <= ' ' || b >= 0x7f {
			return nil
		}
	}
	return name
}

// Is tells whether a field has one of these names, in whatever case.
func Is(field []byte, names ...string) bool {
	own := Name(field)
	for _, name := range names {
		if len(own) == len(name) && bytes.EqualFold(own, []byte(name)) {
			return true
		}
	}
	return false
}

// Value gives what stands behind a field's colon, without the spaces around it.
func Value(field []byte) []byte {
	_, value, _ := bytes.Cut(field, []byte(":"))
	return bytes.TrimSpace(value)
}

// ID returns a mail's Message-ID, as it stands in the header, "" without one.
func ID(m []byte) string {
	for field := range Fields(m) {
		if Is(field, "message-id") {
			return string(Value(field))
		}
	}
	return ""
}

// HasLongLine tells whether a line is longer than MaxLine.
func HasLongLine(b []byte) bool {
	for len(b) > MaxLine {
		end := bytes.LastIndexByte(b[:min(len(b), MaxLine+2)], '\n')
		if end < 0 {
			return true
		}
		b = b[end+1:]
	}
	return false
}

// HasBare tells whether a CR stands without LF or a LF without CR.
func HasBare(b []byte) bool {
	pairs := bytes.Count(b, crlf)
	return bytes.Count(b, []byte{'\r'}) != pairs || bytes.Count(b, []byte{'\n'}) != pairs
}

// Fold appends a field to out with its lines over MaxLine folded: a CRLF is put before
// white space between other text (RFC 5322 section 2.2.3), so unfolding gives the field
// as it was. A line without such white space stays long.
func Fold(out, field []byte) []byte {
	for len(field) > 0 {
		end := bytes.Index(field, crlf) + len(crlf)
		if end < len(crlf) {
			end = len(field)
		}
		line := field[:end]
		field = field[end:]
		for len(line) > MaxLine+len(crlf) {
			at := foldAt(line)
			if at < 0 {
				break
			}
			out = append(append(out, line[:at]...), crlf...)
			line = line[at:]
		}
		out = append(out, line...)
	}
	return out
}

// foldAt gives the last place in the first MaxLine octets of a line where white space
// follows text and text follows the white space, -1 when there is none; the first word of
// a field, its name, is not text.
func foldAt(line []byte) int {
	begin := 0
	if colon := bytes.IndexByte(line, ':'); !isSpace(line[0]) && colon >= 0 {
		begin = colon + 1
	}
	for at := min(MaxLine, len(line)-1); at > begin; at-- {
		if isSpace(line[at]) && !isSpace(line[at-1]) && len(bytes.TrimSpace(line[at:])) > 0 &&
			len(bytes.TrimSpace(line[begin:at])) > 0 {
			return at
		}
	}
	return -1
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// TrimFromLine gives a message without the line "From sender date" that mailbox files
// have in front of each mail (RFC 4155) and that some programs pipe along.
func TrimFromLine(m []byte) []byte {
	if !bytes.HasPrefix(m, []byte("From ")) {
		return m
	}
	if i := bytes.Index(m, crlf); i >= 0 {
		return m[i+len(crlf):]
	}
	return m
}
