// Package line writes the pieces of a line of line protocol
// (https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/), each behind
// what a buffer has already. It does not allocate. Unsigned integers are written as such.
// A newline or a tab in a name is a backslash and a letter, as Telegraf writes it, and
// stays that for who reads it.
package line

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendValue appends a field's value, nothing when it has no form: a float that is no
// number, a type that metrics do not have.
func AppendValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case uint64:
		return append(AppendUint(b, v), 'u')
	case int64:
		return append(AppendInt(b, v), 'i')
	case string:
		return AppendString(b, v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return b
		}
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	case bool:
		return strconv.AppendBool(b, v)
	}
	return b
}

// What a byte needs in a measurement, a tag or a field's key, and in a string.
const (
	inName byte = 1 << iota
	inKey
	inString
)

var special = [256]byte{
	'\t': inName | inKey, '\n': inName | inKey, '\f': inName | inKey, '\r': inName | inKey,
	' ': inName | inKey, ',': inName | inKey, '=': inKey, '"': inString, '\\': inString,
}

// AppendName appends a measurement.
func AppendName[T ~string | ~[]byte](b []byte, s T) []byte { return escape(b, s, inName) }

// AppendKey appends the key of a tag or field, or the value of a tag.
func AppendKey[T ~string | ~[]byte](b []byte, s T) []byte { return escape(b, s, inKey) }

// Plain says whether AppendKey appends a text as it is, and whether all of it is read
// back: a backslash at the end of a key or a tag is not.
func Plain(s string) bool {
	for i := range len(s) {
		if special[s[i]]&inKey != 0 {
			return false
		}
	}
	return s != "" && s[len(s)-1] != '\\'
}

// Tag returns a text as whoever reads lines takes it for the value of a tag. Telegraf's
// parser refuses a line with a control character in a tag: each is a space. Bytes that are
// no UTF-8 are U+FFFD, and no backslash ends the text.
func Tag(s string) string {
	plain := !strings.HasSuffix(s, `\`) && utf8.ValidString(s)
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] != 0x7f
	}
	if plain {
		return s
	}
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.TrimRight(s, ` \`)
}

// escape appends s with backslashes in front of what the mask names.
func escape[T ~string | ~[]byte](b []byte, s T, mask byte) []byte {
	from := 0
	for i := 0; i < len(s); i++ {
		if special[s[i]]&mask == 0 {
			continue
		}
		b = append(b, s[from:i]...)
		b = append(b, '\\')
		from = i
		switch s[i] {
		case '\t':
			b, from = append(b, 't'), i+1
		case '\n':
			b, from = append(b, 'n'), i+1
		case '\f':
			b, from = append(b, 'f'), i+1
		case '\r':
			b, from = append(b, 'r'), i+1
		}
	}
	return append(b, s[from:]...)
}

// AppendString appends a string in quotes. A newline in it stays one.
func AppendString[T ~string | ~[]byte](b []byte, s T) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		if special[s[i]]&inString != 0 {
			b = append(b, s[from:i]...)
			b = append(b, '\\')
			from = i
		}
	}
	return append(append(b, s[from:]...), '"')
}
