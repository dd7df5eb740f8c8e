package execd

import (
	"strings"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/line"
)

// AppendMetric appends a metric in line protocol, with times in nanoseconds and unsigned
// integers as such (https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/).
// It does not allocate. What the protocol has no form for is left out: tags without
// value, floats that are no number, a backslash at the end of a tag; a newline or a tab in
// a name is a backslash and a letter, as Telegraf writes it, and stays that for who reads
// it. A metric of which no field is left appends nothing.
func AppendMetric(b []byte, m telegraf.Metric) []byte {
	begin := len(b)
	b = line.AppendName(b, m.Name())
	if len(b) == begin {
		return b
	}
	for _, tag := range m.TagList() {
		key, value := strings.TrimRight(tag.Key, `\`), strings.TrimRight(tag.Value, `\`)
		if key == "" || value == "" {
			continue
		}
		b = append(b, ',')
		b = line.AppendKey(b, key)
		b = append(b, '=')
		b = line.AppendKey(b, value)
	}
	separator, any := byte(' '), false
	for _, f := range m.FieldList() {
		before := len(b)
		b = append(b, separator)
		b = line.AppendKey(b, strings.TrimRight(f.Key, `\`))
		if len(b) == before+1 {
			b = b[:before]
			continue
		}
		b = append(b, '=')
		with := line.AppendValue(b, f.Value)
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
	b = line.AppendInt(b, m.Time().UnixNano())
	return append(b, '\n')
}
