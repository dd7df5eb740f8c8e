package execd

import (
	"math"
	"strconv"
	"strings"

	"github.com/influxdata/telegraf"
)

// AppendMetric appends a metric in line protocol, with times in nanoseconds and unsigned
// integers as such (https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/).
// It does not allocate. What the protocol has no form for is left out: tags without
// value, floats that are no number, a backslash at the end of a tag; a newline or a tab in
// a name is a backslash and a letter, as Telegraf writes it, and stays that for who reads
// it. A metric of which no field is left appends nothing.
func AppendMetric(b []byte, m telegraf.Metric) []byte {
	begin := len(b)
	b = appendName(b, m.Name(), false)
	if len(b) == begin {
		return b
	}
	for _, tag := range m.TagList() {
		key, value := strings.TrimRight(tag.Key, `\`), strings.TrimRight(tag.Value, `\`)
		if key == "" || value == "" {
			continue
		}
		b = append(b, ',')
		b = appendName(b, key, true)
		b = append(b, '=')
		b = appendName(b, value, true)
	}
	separator, any := byte(' '), false
	for _, f := range m.FieldList() {
		before := len(b)
		b = append(b, separator)
		b = appendName(b, strings.TrimRight(f.Key, `\`), true)
		if len(b) == before+1 {
			b = b[:before]
			continue
		}
		b = append(b, '=')
		with := appendValue(b, f.Value)
		if len(with) == len(b) {
			b = b[:before]
			continue
		}
		b, separator, any = with, ',', true
	}
	if !any {
		return b[:begin]
	}
	b = append(b, ' ')
	b = strconv.AppendInt(b, m.Time().UnixNano(), 10)
	return append(b, '\n')
}

// appendValue appends a field's value, nothing when it has no form.
func appendValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case uint64:
		return append(strconv.AppendUint(b, v, 10), 'u')
	case int64:
		return append(strconv.AppendInt(b, v, 10), 'i')
	case string:
		return appendString(b, v)
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

// appendName appends a measurement, or a key or a tag's value.
func appendName(b []byte, s string, key bool) []byte {
	mask := inName
	if key {
		mask = inKey
	}
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

// appendString appends a string in quotes. A newline in it stays one.
func appendString(b []byte, s string) []byte {
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
