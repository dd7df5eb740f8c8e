package flowmetric

import (
	"math"
	"slices"
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
// nothing of r, and does not allocate. A flow all of whose fields are tags appends nothing.
func (b *Builder) AppendFlow(dst []byte, r *flow.Record, at time.Time) []byte {
	begin := len(dst)
	dst = append(dst, b.measurement(r)...) // needs no escape
	b.begin()
	if len(b.tags) == 0 {
		dst = b.appendTags(dst, r)
		tagged := len(dst)
		if dst = b.appendFields(dst, r); len(dst) == tagged {
			return dst[:begin]
		}
		dst[tagged] = ' '
	} else {
		fields := b.appendFields(b.lines.apart[:0], r)
		b.lines.apart = fields
		if len(fields) == 0 {
			return dst[:begin]
		}
		fields[0] = ' '
		dst = append(b.appendTags(dst, r), fields...)
	}
	dst = line.AppendInt(append(dst, ' '), at.UnixNano())
	return append(dst, '\n')
}

// appendTags appends the tags of a flow, of whose fields some are in b.fields.
func (b *Builder) appendTags(dst []byte, r *flow.Record) []byte {
	for i := range b.lineTags {
		dst = b.appendTag(dst, &b.lineTags[i], r)
	}
	return dst
}

// appendTag appends a tag with the flow's own value, or the one that it has otherwise.
func (b *Builder) appendTag(dst []byte, t *lineTag, r *flow.Record) []byte {
	before := len(dst)
	dst = append(dst, t.lead...)
	from := len(dst)
	switch i := slices.IndexFunc(b.fields, func(f field) bool { return f.name == t.key }); {
	case i >= 0:
		dst = b.cache.appendTagValue(dst, &b.fields[i].value)
	case t.key == "source":
		dst = line.AppendKey(dst, b.cache.addr(r.Exporter))
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
		return line.AppendUint(dst, v.bits)
	case formAddr4:
		return line.AppendIPv4(dst, uint32(v.bits))
	case formAddr6:
		return v.addr().AppendTo(dst)
	}
	return line.AppendKey(dst, line.Tag(tagValue(c.box(v))))
}

// appendField appends a value as that of a field.
func (c *cache) appendField(dst []byte, v *value) []byte {
	switch v.form {
	case formUint:
		return append(line.AppendUint(dst, v.bits), 'u')
	case formInt:
		return append(line.AppendInt(dst, int64(v.bits)), 'i')
	case formFloat:
		return line.AppendValue(dst, math.Float64frombits(v.bits))
	case formAddr4:
		return append(line.AppendIPv4(append(dst, '"'), uint32(v.bits)), '"')
	case formAddr6:
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
