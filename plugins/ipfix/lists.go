package ipfix

import (
	"errors"
	"fmt"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// The elements that hold structured data (RFC 6313, section 4).
const (
	BasicList            = ie.BasicListID
	SubTemplateList      = ie.SubTemplateListID
	SubTemplateMultiList = ie.SubTemplateMultiListID
)

// The bounds of the structured data of one record: how deep lists may lie in
// lists, and how many elements are read. What lies beyond is left out.
const (
	MaxListDepth = 4
	MaxNested    = 1024
)

// ErrList says that structured data contradicts itself, goes beyond the bounds, or
// holds records of a template that is not known.
var ErrList = errors.New("structured data")

// isList says whether a field holds structured data.
func isList(f FieldSpec) bool {
	return (f.PEN == 0 || f.PEN == ie.ReversePEN) && f.ID >= BasicList && f.ID <= SubTemplateMultiList
}

// lists is the state of the decoding of one record's structured data.
type lists struct {
	nested []flow.Nested // reused
	count  uint16        // lists so far
	err    error
}

// ListErr returns what was wrong with the structured data of the record that was
// decoded last, or nil. It wraps ErrList. The record is whole all the same, but
// for elements of Nested.
func (d *RecordDecoder) ListErr() error { return d.lists.err }

// Lists says whether the records of t have structured data.
func (t *Template) Lists() bool { return t.plan.lists }

// unfold reads the structured data among the record's elements into Nested. MPLS
// labels in it are the record's, where that has no others.
func (d *RecordDecoder) unfold(r *flow.Record) {
	l := &d.lists
	l.nested, l.count, l.err = l.nested[:0], 0, nil
	for i := range r.Extra {
		if e := &r.Extra[i]; isList(FieldSpec{PEN: e.PEN, ID: e.ID}) {
			d.list(e, 1)
		}
	}
	r.Nested = l.nested
	if !r.Has(flow.MPLS) {
		labels(r)
	}
}

// labels takes the stack of MPLS labels from a list.
func labels(r *flow.Record) {
	for i := range r.Nested {
		e := &r.Nested[i]
		if e.PEN == 0 && e.ID >= ie.MplsTopLabelStackSection && e.ID <= ie.MplsLabelStackSection10 &&
			len(e.Value) == 3 && int(r.MPLSDepth) < len(r.MPLS) {
			r.MPLS[r.MPLSDepth] = uint32(wire.Uint(e.Value))
			r.MPLSDepth++
			r.Present.Add(flow.MPLS)
		}
	}
}

// fail keeps the first error of a record.
func (l *lists) fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf("%w: %s", ErrList, fmt.Sprintf(format, args...))
	}
}

// list reads the list that an element holds.
func (d *RecordDecoder) list(e *flow.Element, depth uint8) {
	l := &d.lists
	if depth > MaxListDepth {
		l.fail("expected at most %d lists in each other", MaxListDepth)
		return
	}
	b := wire.NewReader(e.Value)
	if b.Len() == 0 {
		return
	}
	at := flow.Nested{Holder: e.ID, Semantic: flow.Semantic(b.Uint8()), Depth: depth, List: l.count}
	l.count++
	switch e.ID {
	case BasicList:
		d.basic(at, &b)
	case SubTemplateList:
		id := b.Uint16()
		d.records(&at, id, b.Rest())
	default:
		for b.Len() > 0 {
			id, n := b.Uint16(), int(b.Uint16())
			if n < 4 && b.Err() == nil {
				l.fail("records of template %d in a subTemplateMultiList: expected a length of at least 4, got %d", id,
					n)
				return
			}
			d.records(&at, id, b.Bytes(n-4))
		}
	}
	if err := b.Err(); err != nil {
		l.fail("element %d of %d bytes: %v", e.ID, len(e.Value), err)
	}
}

// basic reads the elements of a basicList (RFC 6313, section 4.5.1).
func (d *RecordDecoder) basic(at flow.Nested, b *wire.Reader) {
	f := FieldSpec{ID: b.Uint16(), Length: b.Uint16()}
	if f.ID&0x8000 != 0 {
		f.ID &^= 0x8000
		f.PEN = b.Uint32()
	}
	rest := b.Rest()
	for len(rest) > 0 {
		prefix, n, ok := f.next(rest)
		if !ok || prefix+n == 0 {
			d.lists.fail("basicList of element %s: expected another one, got %d bytes", f, len(rest))
			return
		}
		if !d.addField(&at, f, rest[prefix:prefix+n:prefix+n]) {
			return
		}
		rest = rest[prefix+n:]
		at.Row++
	}
}

// records reads the records of one template in a list (RFC 6313, sections 4.5.2
// and 4.5.3). Bytes too few for another one are padding.
func (d *RecordDecoder) records(at *flow.Nested, id uint16, b []byte) {
	var t *Template
	if d.Templates != nil {
		t = d.Templates.Nested(id)
	}
	if t == nil {
		if len(b) > 0 {
			d.lists.fail("element %d: no template %d yet", at.Holder, id)
		}
		return
	}
	for len(b) >= t.min {
		for _, f := range t.sent {
			prefix, n, ok := f.next(b)
			if !ok {
				d.lists.fail("record of template %d in element %d: expected field %s, got %d bytes", id, at.Holder, f,
					len(b))
				return
			}
			if !(f.PEN == 0 && f.ID == ie.PaddingOctets) && !d.addField(at, f, b[prefix:prefix+n:prefix+n]) {
				return
			}
			b = b[prefix+n:]
		}
		at.Row++
	}
}

// addField appends an element and, where it is a list, what that holds. It says false
// when there is no more room.
func (d *RecordDecoder) addField(at *flow.Nested, f FieldSpec, value []byte) bool {
	l := &d.lists
	if len(l.nested) >= MaxNested {
		l.fail("expected at most %d elements", MaxNested)
		return false
	}
	n := *at
	n.Element = flow.Element{PEN: f.PEN, ID: f.ID, Value: value}
	l.nested = append(l.nested, n)
	if isList(f) {
		d.list(&n.Element, at.Depth+1)
	}
	return true
}

// AppendBasicList appends the value of a basicList (RFC 6313, section 4.5.1) of
// elements f, each of f.Length bytes or, where that is Variable, of its own.
func AppendBasicList(dst []byte, semantic flow.Semantic, f FieldSpec, values ...[]byte) []byte {
	w := wire.NewWriter(dst)
	w.Uint8(uint8(semantic))
	appendSpec(&w, f)
	dst = w.Buf()
	for _, v := range values {
		dst = appendBytes(dst, f, v)
	}
	return dst
}

// AppendSubTemplateList appends the value of a subTemplateList (RFC 6313, section
// 4.5.2): recs as records of t, with the times of a message exported then by an
// exporter that started at boot.
func AppendSubTemplateList(dst []byte, semantic flow.Semantic, t *Template, recs []flow.Record, exported,
	boot flow.Time) []byte {
	w := wire.NewWriter(dst)
	w.Uint8(uint8(semantic))
	w.Uint16(t.ID)
	return appendRecords(w.Buf(), t, recs, clock{exported, boot})
}

// Sublist are records of one template in a subTemplateMultiList.
type Sublist struct {
	Template *Template
	Records  []flow.Record
}

// AppendSubTemplateMultiList appends the value of a subTemplateMultiList (RFC 6313,
// section 4.5.3), as AppendSubTemplateList does.
func AppendSubTemplateMultiList(dst []byte, semantic flow.Semantic, exported, boot flow.Time, lists ...Sublist) []byte {
	dst = append(dst, uint8(semantic))
	for _, l := range lists {
		at := len(dst)
		dst = append(dst, byte(l.Template.ID>>8), byte(l.Template.ID), 0, 0)
		dst = appendRecords(dst, l.Template, l.Records, clock{exported, boot})
		w := wire.NewWriter(dst)
		w.PutUint16(at+2, uint16(len(dst)-at))
	}
	return dst
}

// appendRecords appends records of t.
func appendRecords(dst []byte, t *Template, recs []flow.Record, c clock) []byte {
	for i := range recs {
		for _, f := range t.Fields {
			dst = appendField(dst, f, 0, useOf(f), &recs[i], c)
		}
	}
	return dst
}
