package flowmetric

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/line"
)

// lineTag is a tag that lines may have.
type lineTag struct {
	key   string
	lead  []byte // what stands in front of the value: ,key=
	fixed []byte // the value where the flow has none of its own
}

// SetLineTags says which tags the lines of AppendFlow have where the flow has none of
// that key: those of the configuration.
func (b *Builder) SetLineTags(tags map[string]string) {
	b.lineTags = b.lineTags[:0]
	keys := append([]string{"source", "version"}, b.tags...)
	for key := range tags {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		name := strings.TrimRight(key, `\`)
		if name == "" {
			continue
		}
		t := lineTag{key: key, lead: append(line.AppendKey([]byte{','}, name), '=')}
		t.fixed = line.AppendKey(nil, strings.TrimRight(tags[key], `\`))
		b.lineTags = append(b.lineTags, t)
	}
}

// AppendFlow appends the metric of a flow in line protocol, as package execd's
// AppendMetric writes what Flow returns, with the tags of SetLineTags besides. It keeps
// nothing of r, and does not allocate.
func (b *Builder) AppendFlow(dst []byte, r *flow.Record, at time.Time) []byte {
	dst = append(dst, b.flow(r)...) // a measurement that needs no escape
	b.move(b.tags)
	for i := range b.lineTags {
		dst = b.appendTag(dst, &b.lineTags[i], r)
	}
	separator := byte(' ')
	for i := range b.fields {
		f := &b.fields[i]
		if f.form == formFloat && !finite(f.bits) {
			continue
		}
		before := len(dst)
		dst = append(dst, separator)
		if b.plain {
			dst = append(dst, f.name...)
		} else if dst = line.AppendKey(dst, strings.TrimRight(f.name, `\`)); len(dst) == before+1 {
			dst = dst[:before]
			continue
		}
		dst = b.cache.appendField(append(dst, '='), &f.value)
		separator = ','
	}
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, at.UnixNano(), 10)
	return append(dst, '\n')
}

// appendTag appends a tag with the flow's own value, or the one that it has otherwise.
func (b *Builder) appendTag(dst []byte, t *lineTag, r *flow.Record) []byte {
	before := len(dst)
	dst = append(dst, t.lead...)
	from := len(dst)
	switch i := slices.IndexFunc(b.moved, func(f field) bool { return f.name == t.key }); {
	case i >= 0:
		dst = b.cache.appendTagValue(dst, &b.moved[i].value)
	case t.key == "source":
		source, _ := b.cache.addr(r.Exporter).(string)
		dst = line.AppendKey(dst, source)
	case t.key == "version":
		dst = line.AppendKey(dst, r.Version.String())
	}
	if len(dst) == from {
		dst = append(dst, t.fixed...)
	}
	if len(dst) == from {
		return dst[:before]
	}
	return dst
}

// appendTagValue appends a value as that of a tag.
func (c *cache) appendTagValue(dst []byte, v *value) []byte {
	switch v.form {
	case formUint:
		return strconv.AppendUint(dst, v.bits, 10)
	case formAddr4, formAddr6:
		return v.addr().AppendTo(dst)
	}
	return line.AppendKey(dst, line.Tag(tagValue(c.box(v))))
}

// appendField appends a value as that of a field.
func (c *cache) appendField(dst []byte, v *value) []byte {
	switch v.form {
	case formUint:
		return append(strconv.AppendUint(dst, v.bits, 10), 'u')
	case formInt:
		return append(strconv.AppendInt(dst, int64(v.bits), 10), 'i')
	case formFloat:
		return line.AppendValue(dst, math.Float64frombits(v.bits))
	case formAddr4, formAddr6:
		return append(v.addr().AppendTo(append(dst, '"')), '"')
	case formText:
		return line.AppendString(dst, c.bytes(v))
	}
	return line.AppendValue(dst, v.boxed)
}

// finite says whether the bits of a float are those of a number.
func finite(bits uint64) bool {
	v := math.Float64frombits(bits)
	return !math.IsNaN(v) && !math.IsInf(v, 0)
}

// plainNames says whether the names that the options give to fields need no escape. All
// others need none.
func (o *Options) plainNames(extra []extraField) bool {
	for _, f := range o.PEN.elements {
		if !line.Plain(f.name) {
			return false
		}
	}
	return !slices.ContainsFunc(extra, func(x extraField) bool { return !line.Plain(x.name) })
}
