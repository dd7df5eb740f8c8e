package flowmetric

import (
	"strconv"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
)

// elements writes the elements of a record that flow.Record has no field for, or whose
// exact value is another than the field's. A field is written once: see share.
func (b *Builder) elements(r *flow.Record) {
	v9 := r.Version == flow.V9
	careful := r.Sample != nil // its headers have names of elements
	for i := range r.Extra {
		b.element(&r.Extra[i], v9, careful)
	}
}

// element writes one element. Careful says that the metric may have any name already.
func (b *Builder) element(e *flow.Element, v9, careful bool) {
	if e.PEN == 0 && e.ID < stockEnd {
		for i := range stockTable[e.ID] {
			f := &stockTable[e.ID][i]
			switch {
			case f.name == "":
				if i == 0 && f.kind != kindNone {
					return
				}
			case e.ID == ie.FlowStartSeconds || e.ID == ie.FlowEndSeconds:
				// flow_start and flow_end have it in milliseconds
			default:
				b.write(f, e, careful)
			}
		}
		if stockTable[e.ID][0].name != "" || ignored(e.ID) {
			return
		}
	}
	f := b.field(e.PEN, e.ID, v9)
	b.write(&f, e, careful)
	if e.PEN == ie.VMwarePEN && e.Nth == 0 && !b.stock {
		if el, ok := ie.Lookup(e.PEN, e.ID); ok && el.Name != f.name {
			b.setValue(el.Name, b.cache.of(kindOf(el), e.Value))
		}
	}
}

// write writes the value of an element under its name.
func (b *Builder) write(f *stockField, e *flow.Element, careful bool) {
	v := b.cache.of(f.kind, e.Value)
	switch {
	case e.Nth > 0:
		b.again(f.name, e.Nth, v)
	case f.share == corrects && f.kind == kindUint:
		b.setValue(f.name, v)
	case f.share != alone || careful:
		b.choose(f.name, v)
	default:
		b.addValue(f.name, v)
	}
}

// again writes an element that a record has for the second time and more, as name_2 and
// so on, so that a name keeps its type. What says the same as the first is left out.
func (b *Builder) again(name string, nth uint8, v value) {
	if i := b.find(name); i >= 0 && b.says(i, v) {
		return
	}
	b.setValue(name+"_"+strconv.Itoa(int(nth)+1), v)
}

// choose appends a field, or gives it the value that is not zero where it is there
// already.
func (b *Builder) choose(name string, v value) {
	if v.form == formNone {
		return
	}
	if i := b.find(name); i < 0 {
		b.addValue(name, v)
	} else if b.saysNothing(i) {
		b.replace(i, v)
	}
}

// isZero says whether a value says nothing: 0, an address of zeros, no text.
func isZero(v any) bool {
	switch v {
	case uint64(0), int64(0), float64(0), "", "0.0.0.0", "::", "00:00:00:00:00:00":
		return true
	}
	return false
}
