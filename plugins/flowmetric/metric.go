package flowmetric

import (
	"encoding/gob"
	"fmt"
	"hash/fnv"
	"slices"
	"sync/atomic"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
)

func init() {
	// Telegraf's buffer on disk writes metrics with gob, which must know the type.
	gob.RegisterName("flowgraf.metric", &Metric{})
}

// Metric is a telegraf.Metric whose tags and fields lie in pieces of memory that it
// shares with others: Telegraf's own takes one allocation per field, and is made from
// maps. It behaves like Telegraf's in everything else. Its fields are exported for gob.
type Metric struct {
	Measurement string
	TagPtrs     []*telegraf.Tag // sorted by key
	FieldPtrs   []*telegraf.Field
	At          time.Time
	Kind        telegraf.ValueType

	own  tagBlock
	lost *atomic.Uint64 // counts this metric when it is rejected; nil counts nothing
}

var _ telegraf.Metric = (*Metric)(nil)

// tagBlock is the memory for the two tags that every flow has, and room for two
// more.
type tagBlock struct {
	tags [2]telegraf.Tag
	ptrs [4]*telegraf.Tag
}

// New returns a metric with copies of the tags, which are sorted by key, and the fields,
// whose values are of the types that metrics have.
func New(name string, tags []telegraf.Tag, fields []telegraf.Field, at time.Time) *Metric {
	m := &Metric{Measurement: name, At: at, Kind: telegraf.Untyped}
	m.setFields(fields)
	slab := slices.Clone(tags)
	m.TagPtrs = make([]*telegraf.Tag, len(slab), len(slab)+2)
	for i := range slab {
		m.TagPtrs[i] = &slab[i]
	}
	return m
}

// setTags sets the tags source and version.
func (m *Metric) setTags(source, version string) {
	b := &m.own
	b.tags[0] = telegraf.Tag{Key: "source", Value: source}
	b.tags[1] = telegraf.Tag{Key: "version", Value: version}
	b.ptrs[0], b.ptrs[1] = &b.tags[0], &b.tags[1]
	m.TagPtrs = b.ptrs[:2]
}

// setSource sets the tag source alone.
func (m *Metric) setSource(source string) {
	b := &m.own
	b.tags[0] = telegraf.Tag{Key: "source", Value: source}
	b.ptrs[0] = &b.tags[0]
	m.TagPtrs = b.ptrs[:1]
}

// setFields copies the fields.
func (m *Metric) setFields(fields []telegraf.Field) {
	slab := slices.Clone(fields)
	m.FieldPtrs = point(make([]*telegraf.Field, len(slab)), slab)
}

// point lets ptrs point to the fields.
func point(ptrs []*telegraf.Field, fields []telegraf.Field) []*telegraf.Field {
	for i := range fields {
		ptrs[i] = &fields[i]
	}
	return ptrs
}

// Name returns the measurement.
func (m *Metric) Name() string { return m.Measurement }

// Tags returns the tags as a map.
func (m *Metric) Tags() map[string]string {
	tags := make(map[string]string, len(m.TagPtrs))
	for _, t := range m.TagPtrs {
		tags[t.Key] = t.Value
	}
	return tags
}

// TagList returns the tags, sorted by key.
func (m *Metric) TagList() []*telegraf.Tag { return m.TagPtrs }

// Fields returns the fields as a map.
func (m *Metric) Fields() map[string]interface{} {
	fields := make(map[string]interface{}, len(m.FieldPtrs))
	for _, f := range m.FieldPtrs {
		fields[f.Key] = f.Value
	}
	return fields
}

// FieldList returns the fields.
func (m *Metric) FieldList() []*telegraf.Field { return m.FieldPtrs }

// Time returns the metric's time.
func (m *Metric) Time() time.Time { return m.At }

// Type returns what kind of values the metric has.
func (m *Metric) Type() telegraf.ValueType { return m.Kind }

// SetName sets the measurement.
func (m *Metric) SetName(name string) { m.Measurement = name }

// AddPrefix puts prefix before the measurement.
func (m *Metric) AddPrefix(prefix string) { m.Measurement = prefix + m.Measurement }

// AddSuffix puts suffix behind the measurement.
func (m *Metric) AddSuffix(suffix string) { m.Measurement += suffix }

// tag returns the place of a tag, and whether it is there.
func (m *Metric) tag(key string) (int, bool) {
	for i, t := range m.TagPtrs {
		if t.Key >= key {
			return i, t.Key == key
		}
	}
	return len(m.TagPtrs), false
}

// GetTag returns a tag's value and whether it is there.
func (m *Metric) GetTag(key string) (string, bool) {
	if i, ok := m.tag(key); ok {
		return m.TagPtrs[i].Value, true
	}
	return "", false
}

// HasTag says whether a tag is there.
func (m *Metric) HasTag(key string) bool {
	_, ok := m.tag(key)
	return ok
}

// AddTag sets a tag.
func (m *Metric) AddTag(key, value string) {
	i, ok := m.tag(key)
	if ok {
		m.TagPtrs[i].Value = value
		return
	}
	m.TagPtrs = slices.Insert(m.TagPtrs, i, &telegraf.Tag{Key: key, Value: value})
}

// RemoveTag removes a tag.
func (m *Metric) RemoveTag(key string) {
	if i, ok := m.tag(key); ok {
		m.TagPtrs = slices.Delete(m.TagPtrs, i, i+1)
	}
}

// field returns the place of a field, -1 when it is not there.
func (m *Metric) field(key string) int {
	return slices.IndexFunc(m.FieldPtrs, func(f *telegraf.Field) bool { return f.Key == key })
}

// GetField returns a field's value and whether it is there.
func (m *Metric) GetField(key string) (interface{}, bool) {
	if i := m.field(key); i >= 0 {
		return m.FieldPtrs[i].Value, true
	}
	return nil, false
}

// HasField says whether a field is there.
func (m *Metric) HasField(key string) bool { return m.field(key) >= 0 }

// AddField sets a field. Types that metrics do not have are converted as Telegraf
// does.
func (m *Metric) AddField(key string, value interface{}) {
	f := &telegraf.Field{Key: key, Value: value}
	switch value.(type) {
	case int64, uint64, float64, string, bool:
	default:
		f.Value = metric.New("", nil, map[string]interface{}{key: value}, m.At).Fields()[key]
	}
	if i := m.field(key); i >= 0 {
		m.FieldPtrs[i] = f
		return
	}
	m.FieldPtrs = append(m.FieldPtrs, f)
}

// RemoveField removes a field.
func (m *Metric) RemoveField(key string) {
	if i := m.field(key); i >= 0 {
		m.FieldPtrs = slices.Delete(m.FieldPtrs, i, i+1)
	}
}

// SetTime sets the metric's time.
func (m *Metric) SetTime(t time.Time) { m.At = t }

// SetType sets what kind of values the metric has.
func (m *Metric) SetType(t telegraf.ValueType) { m.Kind = t }

// Copy returns a deep copy.
func (m *Metric) Copy() telegraf.Metric {
	c := &Metric{Measurement: m.Measurement, At: m.At, Kind: m.Kind, lost: m.lost}
	tags := make([]telegraf.Tag, len(m.TagPtrs))
	c.TagPtrs = make([]*telegraf.Tag, len(m.TagPtrs))
	for i, t := range m.TagPtrs {
		tags[i] = *t
		c.TagPtrs[i] = &tags[i]
	}
	fields := make([]telegraf.Field, len(m.FieldPtrs))
	c.FieldPtrs = make([]*telegraf.Field, len(m.FieldPtrs))
	for i, f := range m.FieldPtrs {
		fields[i] = *f
		c.FieldPtrs[i] = &fields[i]
	}
	return c
}

// HashID returns a number for the series: measurement and tags.
func (m *Metric) HashID() uint64 { return m.hash(nil, nil, false) }

// HashIDWithFieldsFiltered returns a number for the series and the keys of its
// fields, without the given tags and fields.
func (m *Metric) HashIDWithFieldsFiltered(tags, fields []string) uint64 {
	return m.hash(tags, fields, true)
}

// hash returns the numbers that Telegraf's metrics of the same content have.
func (m *Metric) hash(noTags, noFields []string, withFields bool) uint64 {
	h := fnv.New64a()
	write := func(s string) { _, _ = h.Write([]byte(s)) }
	write(m.Measurement + "\n")
	for _, t := range m.TagPtrs {
		if !slices.Contains(noTags, t.Key) {
			write(t.Key + "\n" + t.Value + "\n")
		}
	}
	if !withFields {
		return h.Sum64()
	}
	var keys []string
	for _, f := range m.FieldPtrs {
		if !slices.Contains(noFields, f.Key) {
			keys = append(keys, f.Key)
		}
	}
	slices.Sort(keys)
	for i, k := range keys {
		if i > 0 {
			write("\n")
		}
		write(k)
	}
	return h.Sum64()
}

// Accept ends the life of a metric that was written.
func (m *Metric) Accept() {}

// Reject ends the life of a metric that is lost: an output's buffer had no room for it,
// or its server does not want it. Each output has a copy of its own.
func (m *Metric) Reject() {
	if m.lost != nil {
		m.lost.Add(1)
	}
}

// Drop ends the life of a metric that the configuration filters out.
func (m *Metric) Drop() {}

// String returns the metric as text, for logs.
func (m *Metric) String() string {
	return fmt.Sprintf("%s %v %v %d", m.Measurement, m.Tags(), m.Fields(), m.At.UnixNano())
}
