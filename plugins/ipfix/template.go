package ipfix

import (
	"errors"
	"fmt"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// Variable is the length of a field whose length stands in each record (RFC
// 7011, section 7).
const Variable = 65535

// MaxFields bounds the fields of one template; more make it invalid.
const MaxFields = 1024

// ErrTemplate says that a template cannot be used.
var ErrTemplate = errors.New("invalid template")

// FieldSpec is one field of a template (RFC 7011, section 3.2).
type FieldSpec struct {
	PEN    uint32 // private enterprise number, 0 is IANA and all of NetFlow v9
	ID     uint16
	Length uint16 // bytes, or Variable
	Scope  bool   // a scope field of an options template
}

// Template is a compiled template. It is immutable and may be shared.
type Template struct {
	ID     uint16
	Fields []FieldSpec // not to be changed

	sent     []FieldSpec // those of Fields whose records have bytes of them: see sent
	min      int         // the shortest record in bytes
	variable bool        // some field has a length of its own in each record
	options  bool
	v9       bool
	twice    []bool // of sent, in an options template: a field before it has the same element
	plan     plan
}

// NewTemplate compiles a template. Its fields are copied. A template without
// fields, whose records could be empty, or too large for a set, is an error
// that wraps ErrTemplate. Fields with Scope make an options template; they come
// first.
func NewTemplate(id uint16, fields []FieldSpec) (*Template, error) {
	options := false
	for _, f := range fields {
		options = options || f.Scope
	}
	return newTemplate(id, fields, options, false)
}

// NewV9Template compiles a template of NetFlow v9 without scope fields, as NewTemplate
// does. Some elements mean there what IPFIX has others for.
func NewV9Template(id uint16, fields []FieldSpec) (*Template, error) {
	return newTemplate(id, fields, false, true)
}

// NewOptionsTemplate compiles an options template, which in NetFlow v9 may be
// without scope fields. It fails as NewTemplate does.
func NewOptionsTemplate(id uint16, fields []FieldSpec) (*Template, error) {
	return newTemplate(id, fields, true, false)
}

func newTemplate(id uint16, fields []FieldSpec, options, v9 bool) (*Template, error) {
	if id < FirstTemplate {
		return nil, fmt.Errorf("%w: expected an id of at least %d, got %d", ErrTemplate, FirstTemplate, id)
	}
	if len(fields) == 0 || len(fields) > MaxFields {
		return nil, fmt.Errorf("%w %d: expected 1 to %d fields, got %d", ErrTemplate, id, MaxFields, len(fields))
	}
	t := &Template{ID: id, Fields: slices.Clone(fields), options: options, v9: v9}
	for _, f := range fields {
		if f.Length == Variable {
			t.variable = true
			t.min++
		} else {
			t.min += int(f.Length)
		}
	}
	if t.min == 0 {
		return nil, fmt.Errorf("%w %d: its records have no bytes", ErrTemplate, id)
	}
	if t.min > Variable-4 {
		return nil, fmt.Errorf("%w %d: its records have %d bytes, more than a set holds", ErrTemplate, id, t.min)
	}
	t.sent = sent(t.Fields)
	if t.options {
		t.twice = twice(t.sent)
	} else {
		t.plan = compile(t.sent, v9)
	}
	return t, nil
}

// maxEmptyScopes is how many scope fields without bytes are kept: NetFlow v9's scope
// "system" is often one (RFC 3954, section 6.1).
const maxEmptyScopes = 4

// sent returns the fields without those that have no bytes: they say nothing, and there
// may be a thousand of them for each byte of data.
func sent(fields []FieldSpec) []FieldSpec {
	empty := func(f FieldSpec) bool { return f.Length == 0 }
	if !slices.ContainsFunc(fields, empty) {
		return fields
	}
	var list []FieldSpec
	scopes := 0
	for _, f := range fields {
		if empty(f) {
			if scopes++; !f.Scope || scopes > maxEmptyScopes {
				continue
			}
		}
		list = append(list, f)
	}
	return list
}

// twice says which fields have the element of one before them. Scopes are apart: in
// NetFlow v9 they have numbers of their own.
func twice(fields []FieldSpec) []bool {
	list, known := make([]bool, len(fields)), make(map[FieldSpec]bool, len(fields))
	for i, f := range fields {
		f.Length = 0
		list[i], known[f] = known[f], true
	}
	return list
}

// again appends for each field how many of the same element stand before it.
func (t *Template) again(nth []uint8) []uint8 {
	seen := make(map[uint64]int, len(t.Fields))
	for _, f := range t.Fields {
		nth = append(nth, uint8(min(seen[key(f.PEN, f.ID)], 255)))
		seen[key(f.PEN, f.ID)]++
	}
	return nth
}

// CountsTotals says whether a counter of t's flows counts from the begin of each flow, and
// not from its last report.
func (t *Template) CountsTotals() bool { return t.plan.totals != flow.Set{} }

// Totals returns the counters of t's flows that count from the begin of each flow
// (RFC 7012, section 3.2.4: totalCounter), and not from its last report.
func (t *Template) Totals() flow.Set { return t.plan.totals }

// Selects says whether t's records tell how their packets, or flows, were selected, by other
// elements than that with the rate itself (RFC 5477, section 8.2; RFC 7014, section 4).
func (t *Template) Selects() bool { return t.plan.selects }

// selects says whether an element is one of these.
func selects(f FieldSpec) bool {
	if f.PEN != 0 {
		return false
	}
	switch f.ID {
	case ie.SamplingAlgorithm, ie.SamplerMode, ie.SelectorAlgorithm, ie.FlowSelectorAlgorithm,
		ie.SamplingPacketInterval, ie.SamplingPacketSpace, ie.SamplingTimeInterval, ie.SamplingTimeSpace,
		ie.SamplingSize, ie.SamplingPopulation, ie.SamplingProbability,
		ie.HashOutputRangeMin, ie.HashOutputRangeMax, ie.HashSelectedRangeMin, ie.HashSelectedRangeMax,
		ie.SamplingFlowInterval, ie.SamplingFlowSpacing, ie.FlowSamplingTimeInterval, ie.FlowSamplingTimeSpacing:
		return true
	}
	return false
}

// Options says whether t is an options template.
func (t *Template) Options() bool { return t.options }

// MinLength is the length of the shortest record of t in bytes. What is left of
// a set and shorter is padding.
func (t *Template) MinLength() int { return t.min }

// FixedSize says whether all records of t have MinLength bytes.
func (t *Template) FixedSize() bool { return !t.variable }

// Equal says whether t consists of the given fields.
func (t *Template) Equal(fields []FieldSpec) bool { return slices.Equal(t.Fields, fields) }

// Size is about what t takes in memory, in bytes.
func (t *Template) Size() int { return 256 + 48*len(t.Fields) + 96*len(t.plan.segments) }

// NeedsUptime says that the times of t's records count from the start of the
// exporter (elements 21 and 22).
func (t *Template) NeedsUptime() bool { return t.plan.uptime }

// MovesClock says whether records of t may change what u knows: they tell the start of
// the exporter, or it is estimated from them.
func (t *Template) MovesClock(u *Uptime) bool { return t.plan.boot || t.plan.uptime && !u.Known() }

// TemplateReader walks over the templates of a template set (RFC 7011, section
// 3.4.1) or an options template set (section 3.4.2.2).
type TemplateReader struct {
	r       wire.Reader
	options bool
	fields  []FieldSpec
	err     error
	flaw    error // the first that did no harm
}

// NewTemplateReader returns a reader for the body of a set. It uses the memory
// of scratch for the fields.
func NewTemplateReader(body []byte, options bool, scratch []FieldSpec) TemplateReader {
	return TemplateReader{r: wire.NewReader(body), options: options, fields: scratch[:0]}
}

// Next returns the id and the fields of the next template; no fields are a
// withdrawal (RFC 7011, section 8.1). The fields are valid until the next call.
// Padding after the last template ends the walk.
func (t *TemplateReader) Next() (id uint16, fields []FieldSpec, ok bool) {
	if t.r.Len() < 4 {
		return 0, nil, false
	}
	id = t.r.Uint16()
	count := int(t.r.Uint16())
	if id == 0 && count == 0 {
		return 0, nil, false
	}
	t.fields = t.fields[:0]
	if count == 0 {
		return id, nil, true
	}
	scopes := 0
	if t.options {
		scopes = int(t.r.Uint16())
		if (scopes == 0 || scopes > count) && t.flaw == nil {
			t.flaw = fmt.Errorf("%w %d: expected 1 to %d scope fields, got %d", ErrTemplate, id, count, scopes)
		}
	}
	for i := 0; i < count && t.r.Err() == nil; i++ {
		f := FieldSpec{ID: t.r.Uint16(), Length: t.r.Uint16(), Scope: i < scopes}
		if f.ID&0x8000 != 0 {
			f.ID &^= 0x8000
			f.PEN = t.r.Uint32()
		}
		t.fields = append(t.fields, f)
	}
	if err := t.r.Err(); err != nil {
		t.err = fmt.Errorf("%w %d of %d fields: %w", ErrTemplate, id, count, err)
		return 0, nil, false
	}
	return id, t.fields, true
}

// Err returns why the walk ended early, else what was wrong with a template that could
// be read all the same, or nil.
func (t *TemplateReader) Err() error {
	if t.err == nil {
		return t.flaw
	}
	return t.err
}

// Scratch returns the memory for fields, for the next reader.
func (t *TemplateReader) Scratch() []FieldSpec { return t.fields[:0] }

// next returns the length of a field at the start of b and the bytes of its
// length prefix.
func (f FieldSpec) next(b []byte) (prefix, n int, ok bool) {
	if f.Length != Variable {
		return 0, int(f.Length), int(f.Length) <= len(b)
	}
	if len(b) == 0 {
		return 0, 0, false
	}
	prefix, n = 1, int(b[0])
	if n == 255 {
		if len(b) < 3 {
			return 0, 0, false
		}
		prefix, n = 3, int(b[1])<<8|int(b[2])
	}
	return prefix, n, prefix+n <= len(b)
}

// DecodeOption reads the option record at the start of b, which belongs to the options
// template t, into o: scope and fields are replaced, the rest stays. Of an element that
// comes twice the first counts. It returns the bytes read. The elements point into b.
func DecodeOption(t *Template, o *flow.OptionRecord, b []byte) (int, error) {
	o.Scope, o.Fields = o.Scope[:0], o.Fields[:0]
	o.TemplateID = t.ID
	off := 0
	for i, f := range t.sent {
		prefix, n, ok := f.next(b[off:])
		if !ok {
			return 0, shortRecord(t, off, len(b))
		}
		off += prefix
		e := flow.Element{PEN: f.PEN, ID: f.ID, Value: b[off : off+n : off+n]}
		off += n
		switch {
		case f.Scope:
			o.Scope = append(o.Scope, e)
		case t.twice[i]:
		case f.PEN == 0 && f.ID == ie.PaddingOctets:
		default:
			o.Fields = append(o.Fields, e)
		}
	}
	return off, nil
}

// shortRecord is the error of a record that does not fit its set.
func shortRecord(t *Template, off, have int) error {
	return fmt.Errorf("record of template %d: expected another field at byte %d of %d: %w", t.ID, off, have,
		wire.ErrShort)
}

// String returns a field's number and, where the registry has one, its name.
func (f FieldSpec) String() string {
	if e, ok := ie.Lookup(f.PEN, f.ID); ok {
		return fmt.Sprintf("%d/%d %s(%d)", f.PEN, f.ID, e.Name, f.Length)
	}
	return fmt.Sprintf("%d/%d (%d)", f.PEN, f.ID, f.Length)
}
