package flowmetric

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// isList says whether an element of IANA's holds structured data (RFC 6313).
func isList(id uint16) bool { return id >= ipfix.BasicList && id <= ipfix.SubTemplateMultiList }

// nested writes an element that lies inside structured data: its value, or all of
// its values, in their order and with commas between them.
func (b *Builder) nested(x *extraField, r *flow.Record) {
	var values []any
	for i := range r.Nested {
		if e := &r.Nested[i]; e.PEN == x.pen && e.ID == x.id {
			if v := b.cache.value(x.kind, e.Value); v != nil {
				values = append(values, v)
			}
		}
	}
	if len(values) < 2 {
		if len(values) == 1 {
			b.set(x.name, values[0])
		}
		return
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = tagValue(v)
	}
	b.set(x.name, strings.Join(texts, ","))
}

// listValue is a list as JSON writes it: the values of a basicList with the name of
// their element, of the others the records.
type listValue struct {
	Semantic string           `json:"semantic"`
	Element  string           `json:"element,omitempty"`
	Values   []any            `json:"values,omitempty"`
	Records  []map[string]any `json:"records,omitempty"`
}

// lists writes the lists of one kind that a record has, as JSON.
func (b *Builder) lists(x *extraField, r *flow.Record) {
	var all []*listValue
	for i := 0; i < len(r.Nested); {
		end := listEnd(r.Nested, i)
		if r.Nested[i].Holder == x.id {
			all = append(all, b.list(r.Nested[i:end]))
		}
		i = end
	}
	if len(all) == 0 {
		return
	}
	if text, err := json.Marshal(all); err == nil {
		b.set(x.name, string(text))
	}
}

// listEnd returns the end of the list whose first element is at i: the place of the
// first element behind it that lies in another list and not deeper.
func listEnd(list []flow.Nested, i int) int {
	first := &list[i]
	for i++; i < len(list) && (list[i].Depth > first.Depth || list[i].List == first.List); i++ {
	}
	return i
}

// list returns the list whose elements, and what lies in them, are given. Of an
// element that a record has twice the first counts.
func (b *Builder) list(list []flow.Nested) *listValue {
	first := &list[0]
	out := &listValue{Semantic: first.Semantic.String()}
	if first.Holder == ipfix.BasicList {
		out.Element = b.elementName(&first.Element)
	}
	row := -1
	for i := 0; i < len(list); {
		e := &list[i]
		end := i + 1
		var value any
		if end < len(list) && list[end].Depth > e.Depth {
			end = listEnd(list, end)
			value = b.list(list[i+1 : end])
		} else {
			value = b.nestedValue(&e.Element)
		}
		i = end
		if out.Element != "" {
			out.Values = append(out.Values, value)
			continue
		}
		if int(e.Row) != row {
			row = int(e.Row)
			out.Records = append(out.Records, map[string]any{})
		}
		record := out.Records[len(out.Records)-1]
		if name := b.elementName(&e.Element); record[name] == nil {
			record[name] = value
		}
	}
	return out
}

// elementName returns an element's name: that of the registry, or type_<id> or
// type_<pen>_<id>.
func (b *Builder) elementName(e *flow.Element) string {
	if known, ok := ie.Lookup(e.PEN, e.ID); ok {
		return known.Name
	}
	return b.field(e.PEN, e.ID, false).name
}

// nestedValue returns an element's value, for JSON: hex where the registry does not
// know its type, or the bytes are none of that type.
func (b *Builder) nestedValue(e *flow.Element) any {
	k := kindHex
	if known, ok := ie.Lookup(e.PEN, e.ID); ok {
		k = kindOf(known)
	}
	v := b.cache.value(k, e.Value)
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	if v == nil {
		return string(appendHex(nil, e.Value))
	}
	return v
}
