package flowmetric

import (
	"bytes"
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/line"
)

// lineText is the fields of the line at hand: they are written as they come, each behind a
// comma, and no list is made of them. But those that become tags are in Builder.fields.
type lineText struct {
	open    bool // fields are written, instead of made those of a metric
	text    []byte
	written []writtenField
	apart   []byte // for fields in front of which their flow's tags have to stand
	another []byte // what another value is written as
}

// writtenField is a field of the line at hand.
type writtenField struct {
	name     string
	from, to int32 // where it stands, with comma and name; what has no form takes no room
	tag      int32 // its place in Builder.fields if it becomes a tag, else -1
}

// appendFields appends the fields of a flow, each behind a comma.
func (b *Builder) appendFields(dst []byte, r *flow.Record) []byte {
	l := &b.lines
	l.open, l.text, l.written = true, dst, l.written[:0]
	b.flow(r)
	dst = l.text
	l.open, l.text = false, nil
	return dst
}

// writeField writes a field, or keeps it for the tags.
func (b *Builder) writeField(name string, v *value) {
	if len(b.tags) > 0 && b.keepTag(name, v) {
		return
	}
	l := &b.lines
	from := len(l.text)
	l.text = b.appendNamed(l.text, name, v)
	l.written = append(l.written, writtenField{name, int32(from), int32(len(l.text)), -1})
}

// writeUint is writeField for a number, which most fields are.
func (b *Builder) writeUint(name string, n uint64) {
	if len(b.tags) > 0 || !b.plain {
		b.writeField(name, &value{form: formUint, bits: n})
		return
	}
	l := &b.lines
	from := len(l.text)
	text := append(l.text, ',')
	text = append(text, name...)
	text = append(text, '=')
	text = append(line.AppendUint(text, n), 'u')
	l.text = text
	l.written = append(l.written, writtenField{name, int32(from), int32(len(text)), -1})
}

// lead is what stands in front of a value, comma and name, at a fixed length so that it is
// copied without a call.
type lead struct {
	text   [32]byte
	length uint8 // 0 when it is longer
}

// fieldLeads returns the leads of the fields of flow.Record, whose names need no escape.
func fieldLeads() *[flow.NumFields]lead {
	var all [flow.NumFields]lead
	for f := range all {
		l := &all[f]
		if text := "," + recordFields[f].name + "="; len(text) <= len(l.text) {
			l.length = uint8(copy(l.text[:], text))
		}
	}
	return &all
}

// appendLead appends a lead.
func appendLead(dst []byte, l *lead) []byte {
	n := len(dst)
	dst = slices.Grow(dst, len(l.text))
	*(*[len(l.text)]byte)(dst[n : n+len(l.text)]) = l.text
	return dst[:n+int(l.length)]
}

// writeRecordField writes a field of flow.Record that is a number or an address, as
// recordField does. Others, and where fields become tags, it leaves to that.
func (b *Builder) writeRecordField(f flow.Field, k kind, r *flow.Record) bool {
	d := &b.leads[f]
	if k != kindUint && k != kindIP || d.length == 0 || len(b.tags) > 0 {
		return false
	}
	l := &b.lines
	from := len(l.text)
	text := appendLead(l.text, d)
	if k == kindUint {
		text = append(line.AppendUint(text, r.Number(f)), 'u')
	} else {
		v := address(r.Addr(f))
		text = b.cache.appendField(text, &v)
	}
	l.text = text
	l.written = append(l.written, writtenField{recordFields[f].name, int32(from), int32(len(text)), -1})
	b.derived(f, r)
	return true
}

// keepTag keeps a field that becomes a tag in b.fields; others it does not.
func (b *Builder) keepTag(name string, v *value) bool {
	if !slices.Contains(b.tags, name) {
		return false
	}
	b.lines.written = append(b.lines.written, writtenField{name: name, tag: int32(len(b.fields))})
	*b.next(name) = *v
	return true
}

// appendNamed appends comma, name and value of a field; nothing where one of them has no
// form.
func (b *Builder) appendNamed(dst []byte, name string, v *value) []byte {
	if v.form == formFloat && !finite(v.bits) {
		return dst
	}
	before := len(dst)
	dst = append(dst, ',')
	if b.plain {
		dst = append(dst, name...)
	} else if dst = line.AppendKey(dst, strings.TrimRight(name, `\`)); len(dst) == before+1 {
		return dst[:before]
	}
	return b.cache.appendField(append(dst, '='), v)
}

// find returns the place of a field of the line at hand, -1 when it is not there.
func (l *lineText) find(name string) int {
	for i := range l.written {
		if l.written[i].name == name {
			return i
		}
	}
	return -1
}

// rewriteField writes another value in the place of a field's.
func (b *Builder) rewriteField(i int, v *value) {
	l := &b.lines
	f := &l.written[i]
	if f.tag >= 0 {
		b.fields[f.tag].value = *v
		return
	}
	l.another = b.appendNamed(l.another[:0], f.name, v)
	longer := int32(len(l.another)) - (f.to - f.from)
	l.text = slices.Replace(l.text, int(f.from), int(f.to), l.another...)
	f.to += longer
	for i++; i < len(l.written); i++ {
		if f := &l.written[i]; f.tag < 0 {
			f.from, f.to = f.from+longer, f.to+longer
		}
	}
}

// writtenAs says whether a field is written as another value would be.
func (b *Builder) writtenAs(i int, v *value) bool {
	l := &b.lines
	f := &l.written[i]
	if f.tag >= 0 {
		return b.cache.same(&b.fields[f.tag].value, v)
	}
	l.another = b.appendNamed(l.another[:0], f.name, v)
	return bytes.Equal(l.text[f.from:f.to], l.another)
}

// writtenAsNothing is what isZero says of a field that is written.
func (b *Builder) writtenAsNothing(i int) bool {
	f := &b.lines.written[i]
	if f.tag >= 0 {
		return isZero(b.cache.box(&b.fields[f.tag].value))
	}
	text := b.lines.text[f.from:f.to]
	switch string(text[bytes.LastIndexByte(text, '=')+1:]) {
	case "0u", "0i", "0", "-0", `""`, `"0.0.0.0"`, `"::"`, `"00:00:00:00:00:00"`:
		return true
	}
	return false
}
