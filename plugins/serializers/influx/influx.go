// Package influx is the Telegraf serializer influx, data_format = "influx" of outputs: it
// stands in the place of Telegraf's own and writes the same bytes for half of the CPU time,
// which for a metric per flow is the largest part of what Telegraf does.
//
// What it does not write itself it leaves to Telegraf's, which it embeds: lines of a
// bounded length, sorted fields, and metrics that have something that line protocol has no
// form for, so that what is told of these is the same, too.
package influx

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/serializers"
	"github.com/influxdata/telegraf/plugins/serializers/influx"

	"github.com/flowgraf/flowgraf/plugins/line"
)

// Serializer is the serializer. Its options are those of Telegraf's. It is not safe for
// concurrent use.
type Serializer struct {
	influx.Serializer
	text []byte
}

// Serialize returns the line of a metric. An error says why it has none.
func (s *Serializer) Serialize(m telegraf.Metric) ([]byte, error) {
	text, ok := s.appendLine(s.text[:0], m)
	if s.text = text; !ok {
		return s.Serializer.Serialize(m)
	}
	return slices.Clone(text), nil
}

// SerializeBatch returns the lines of metrics, without those that have none.
func (s *Serializer) SerializeBatch(metrics []telegraf.Metric) ([]byte, error) {
	if s.special() {
		return s.Serializer.SerializeBatch(metrics)
	}
	text := s.text[:0]
	for _, m := range metrics {
		var ok bool
		if text, ok = s.appendLine(text, m); ok {
			continue
		}
		if some, err := s.Serializer.Serialize(m); err == nil {
			text = append(text, some...)
		}
	}
	s.text = text
	return slices.Clone(text), nil
}

// special says whether there are options that are for Telegraf's serializer.
func (s *Serializer) special() bool { return s.MaxLineBytes > 0 || s.SortFields }

// appendLine appends the line of a metric. It appends nothing and is false where that is
// for Telegraf's serializer to do.
func (s *Serializer) appendLine(b []byte, m telegraf.Metric) (text []byte, ok bool) {
	fields := m.FieldList()
	if s.special() || m.Name() == "" || len(fields) == 0 {
		return b, false
	}
	begin := len(b)
	b = line.AppendName(b, m.Name())
	for _, tag := range m.TagList() {
		key, value := strings.TrimRight(tag.Key, `\`), strings.TrimRight(tag.Value, `\`)
		if key == "" || value == "" {
			continue
		}
		b = line.AppendKey(append(b, ','), key)
		b = line.AppendKey(append(b, '='), value)
	}
	separator := byte(' ')
	for _, f := range fields {
		if f.Key == "" {
			return b[:begin], false
		}
		b = line.AppendKey(append(b, separator), f.Key)
		if b, ok = s.appendValue(append(b, '='), f.Value); !ok {
			return b[:begin], false
		}
		separator = ','
	}
	if !s.OmitTimestamp {
		b = line.AppendInt(append(b, ' '), m.Time().UnixNano())
	}
	return append(b, '\n'), true
}

// appendValue appends the value of a field, false where it has no form.
func (s *Serializer) appendValue(b []byte, value any) (text []byte, ok bool) {
	switch v := value.(type) {
	case uint64:
		if s.UintSupport {
			return append(line.AppendUint(b, v), 'u'), true
		}
		return append(line.AppendUint(b, min(v, math.MaxInt64)), 'i'), true
	case int64:
		return append(line.AppendInt(b, v), 'i'), true
	case string:
		return line.AppendString(b, v), true
	case float64:
		return strconv.AppendFloat(b, v, 'f', -1, 64), !math.IsNaN(v) && !math.IsInf(v, 0)
	case bool:
		return strconv.AppendBool(b, v), true
	}
	return b, false
}

func init() {
	serializers.Add("influx", func() telegraf.Serializer { return &Serializer{} })
}
