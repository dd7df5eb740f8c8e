package netflow

import (
	"encoding/binary"
	"fmt"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// The FlowSet ids of version 9 that are not data (RFC 3954, sections 5.2 and 6.1).
const (
	V9TemplateSet        = 0
	V9OptionsTemplateSet = 1
)

// V9HeaderLen is the length of a version 9 header in bytes.
const V9HeaderLen = 20

// V9Header is the header of a version 9 datagram (RFC 3954, section 5.1).
type V9Header struct {
	Count     uint16 // records, templates included; some exporters count FlowSets
	SysUptime uint32 // milliseconds since the exporter started
	Seconds   uint32 // of the export, since 1970
	Sequence  uint32 // datagrams sent before this one
	SourceID  uint32 // observation domain
}

// ExportTime returns the time of export, 0 when the header has none.
func (h V9Header) ExportTime() flow.Time { return flow.Time(h.Seconds) * 1e9 }

// ParseV9Header reads the header of a datagram and returns the FlowSets behind
// it, which ipfix.NewSets walks over.
func ParseV9Header(b []byte) (V9Header, []byte, error) {
	if len(b) < V9HeaderLen {
		return V9Header{}, nil, fmt.Errorf("netflow v9: header: expected %d bytes, got %d: %w", V9HeaderLen, len(b),
			wire.ErrShort)
	}
	if v := binary.BigEndian.Uint16(b); v != 9 {
		return V9Header{}, nil, fmt.Errorf("netflow v9: header: expected version 9, got %d", v)
	}
	return V9Header{
		Count:     binary.BigEndian.Uint16(b[2:]),
		SysUptime: binary.BigEndian.Uint32(b[4:]),
		Seconds:   binary.BigEndian.Uint32(b[8:]),
		Sequence:  binary.BigEndian.Uint32(b[12:]),
		SourceID:  binary.BigEndian.Uint32(b[16:]),
	}, b[V9HeaderLen:], nil
}

// V9TemplateReader walks over the templates of a FlowSet.
type V9TemplateReader struct {
	r       wire.Reader
	options bool
	fields  []ipfix.FieldSpec
	err     error
	flaw    error // the first that did no harm
}

// NewV9TemplateReader returns a reader for the body of a template FlowSet, or
// of an options template FlowSet. It uses the memory of scratch for the fields.
func NewV9TemplateReader(body []byte, options bool, scratch []ipfix.FieldSpec) V9TemplateReader {
	return V9TemplateReader{r: wire.NewReader(body), options: options, fields: scratch[:0]}
}

// Next returns the id and the fields of the next template. The fields are valid
// until the next call. Padding after the last template ends the walk. Version 9
// has no enterprise bit: field types from 32768 are vendors' own.
func (t *V9TemplateReader) Next() (id uint16, fields []ipfix.FieldSpec, ok bool) {
	t.fields = t.fields[:0]
	if t.options {
		return t.nextOptions()
	}
	if t.r.Len() < 4 {
		return 0, nil, false
	}
	id = t.r.Uint16()
	count := int(t.r.Uint16())
	if id == 0 && count == 0 {
		return 0, nil, false
	}
	return t.readFields(id, count, 0)
}

// nextOptions reads the head of an options template, which gives the lengths of
// its field specifiers in bytes (RFC 3954, section 6.1). Some exporters count a few
// bytes too many: what is no whole field, or not there, is left out.
func (t *V9TemplateReader) nextOptions() (id uint16, fields []ipfix.FieldSpec, ok bool) {
	if t.r.Len() < 6 {
		return 0, nil, false
	}
	id = t.r.Uint16()
	scope, option := int(t.r.Uint16()), int(t.r.Uint16())
	if id == 0 && scope == 0 && option == 0 {
		return 0, nil, false
	}
	scopes, count := scope/4, scope/4+option/4
	if have := t.r.Len() / 4; scope%4 != 0 || option%4 != 0 || count > have && have > 0 {
		if t.flaw == nil {
			t.flaw = fmt.Errorf("%w %d: expected lengths of scope and options in steps of 4 bytes, within the %d that "+
				"there are, got %d and %d",
				ipfix.ErrTemplate, id, t.r.Len(), scope, option)
		}
		count = min(count, have)
		scopes = min(scopes, count)
	}
	return t.readFields(id, count, scopes)
}

// readFields reads count field specifiers, the first ones of which are scopes.
func (t *V9TemplateReader) readFields(id uint16, count, scopes int) (uint16, []ipfix.FieldSpec, bool) {
	for i := 0; i < count && t.r.Err() == nil; i++ {
		t.fields = append(t.fields, ipfix.FieldSpec{ID: t.r.Uint16(), Length: t.r.Uint16(), Scope: i < scopes})
	}
	if err := t.r.Err(); err != nil {
		t.err = fmt.Errorf("%w %d of %d fields: %w", ipfix.ErrTemplate, id, count, err)
		return 0, nil, false
	}
	return id, t.fields, true
}

// Err returns why the walk ended early, else what was wrong with a template that could
// be read all the same, or nil.
func (t *V9TemplateReader) Err() error {
	if t.err == nil {
		return t.flaw
	}
	return t.err
}

// Scratch returns the memory for fields, for the next reader.
func (t *V9TemplateReader) Scratch() []ipfix.FieldSpec { return t.fields[:0] }

// V9Encoder writes version 9 datagrams. It is used as ipfix.Encoder is; Boot
// gives the header's uptime.
type V9Encoder struct {
	ipfix.SetWriter
	SourceID uint32
	Sequence uint32 // of the next datagram; End counts on

	templates int
}

// Begin starts a datagram with the given time of export behind dst.
func (e *V9Encoder) Begin(dst []byte, exported flow.Time) {
	e.Start(dst, V9HeaderLen, exported)
	e.templates = 0
}

// AddTemplates writes the templates, those with a scope into a FlowSet of their
// own. Version 9 has no enterprise numbers: FieldSpec.PEN is not written.
func (e *V9Encoder) AddTemplates(templates ...*ipfix.Template) {
	var data, options []*ipfix.Template
	for _, t := range templates {
		if t.Options() {
			options = append(options, t)
		} else {
			data = append(data, t)
		}
	}
	e.templates += len(templates)
	if len(data) > 0 {
		e.Set(V9TemplateSet, func(w *wire.Writer) {
			for _, t := range data {
				w.Uint16(t.ID)
				w.Uint16(uint16(len(t.Fields)))
				appendSpecs(w, t)
			}
		})
	}
	if len(options) > 0 {
		e.Set(V9OptionsTemplateSet, func(w *wire.Writer) {
			for _, t := range options {
				scopes := 0
				for _, f := range t.Fields {
					if f.Scope {
						scopes++
					}
				}
				w.Uint16(t.ID)
				w.Uint16(uint16(4 * scopes))
				w.Uint16(uint16(4 * (len(t.Fields) - scopes)))
				appendSpecs(w, t)
			}
		})
	}
}

func appendSpecs(w *wire.Writer, t *ipfix.Template) {
	for _, f := range t.Fields {
		w.Uint16(f.ID)
		w.Uint16(f.Length)
	}
}

// End closes the datagram and returns it behind the bytes that Begin got.
func (e *V9Encoder) End() []byte {
	m := wire.NewWriter(e.Message()[:0])
	m.Uint16(9)
	m.Uint16(uint16(e.Records() + e.templates))
	seconds := e.Exported() / 1e9
	m.Uint32(uint32((seconds*1e9 - e.Boot) / 1e6))
	m.Uint32(uint32(seconds))
	m.Uint32(e.Sequence)
	m.Uint32(e.SourceID)
	e.Sequence++
	return e.Buf()
}
