package ipfix

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// DefaultLimit is the size of a datagram in bytes that encoders stay under, so
// that no link fragments it.
const DefaultLimit = 1400

// largestMessage is the length of a message in bytes that its header can tell (RFC 7011,
// section 3.1), with room for padding.
const largestMessage = 1<<16 - 1 - 3

// SetWriter writes data sets, which IPFIX and NetFlow v9 have in common. It is
// part of Encoder and netflow.V9Encoder.
type SetWriter struct {
	// Limit is the size of the datagram in bytes that AddData and AddOptions
	// stay under; 0 is DefaultLimit, over 65532 is 65532.
	Limit int

	// Boot is when the exporter started: times that count from there (elements
	// 21, 22, 160) are written with it.
	Boot flow.Time

	w        wire.Writer
	start    int // of the message in the writer's buffer
	exported flow.Time
	records  int
	used     *Template   // of the latest AddData
	uses     []*flow.Use // of its fields, for flows in no tunnel: see useOf
	outer    []*flow.Use // for flows in a tunnel
	nth      []uint8     // of its fields: how many of the same element stand before it
}

// Start begins a message at the end of dst; its header is n bytes.
func (s *SetWriter) Start(dst []byte, n int, exported flow.Time) {
	s.w = wire.NewWriter(dst)
	s.start = len(dst)
	s.w.Zero(n)
	s.exported = exported
	s.records = 0
}

// Len returns the length of the message so far in bytes.
func (s *SetWriter) Len() int { return s.w.Len() - s.start }

// Records returns the number of records in the message so far: data and options.
func (s *SetWriter) Records() int { return s.records }

// Exported returns the message's time of export.
func (s *SetWriter) Exported() flow.Time { return s.exported }

// Message returns the bytes of the message so far, without what dst held before.
func (s *SetWriter) Message() []byte { return s.w.Buf()[s.start:] }

// Buf returns dst with the message behind it.
func (s *SetWriter) Buf() []byte { return s.w.Buf() }

// Set writes a set: its header, what body appends, and padding to 4 bytes.
func (s *SetWriter) Set(id uint16, body func(w *wire.Writer)) {
	at := s.w.Len()
	s.w.Uint16(id)
	s.w.Uint16(0)
	body(&s.w)
	s.close(at)
}

// close pads the set that began at offset at and writes its length.
func (s *SetWriter) close(at int) {
	s.w.Zero((4 - (s.w.Len()-at)%4) % 4)
	s.w.PutUint16(at+2, uint16(s.w.Len()-at))
}

// AddData writes a data set with as many of recs, from the first, as fit the
// limit, and returns how many these are. A record that no datagram could hold
// is none that fits. Values come from Record.Extra where it has the element,
// else from the record's fields; effective counters stand for all elements they
// may come from.
func (s *SetWriter) AddData(t *Template, recs []flow.Record) int {
	c := clock{exported: s.exported, boot: s.Boot}
	if s.used != t {
		s.used, s.nth = t, t.again(s.nth[:0])
		s.uses, s.outer = t.usesOf(s.uses[:0], s.outer[:0])
	}
	return s.addRecords(t, len(recs), func(dst []byte, i int) []byte {
		uses := s.uses
		if recs[i].TunSrc.IsValid() || recs[i].TunDst.IsValid() {
			uses = s.outer
		}
		for j, f := range t.Fields {
			dst = appendField(dst, f, s.nth[j], uses[j], &recs[i], c)
		}
		return dst
	})
}

// AddOptions does for option records what AddData does for flows. Values are
// those of Scope and Fields, by number.
func (s *SetWriter) AddOptions(t *Template, recs []flow.OptionRecord) int {
	return s.addRecords(t, len(recs), func(dst []byte, i int) []byte {
		for _, f := range t.Fields {
			from := recs[i].Fields
			if f.Scope {
				from = recs[i].Scope
			}
			var value []byte
			for _, e := range from {
				if e.PEN == f.PEN && e.ID == f.ID {
					value = e.Value
					break
				}
			}
			dst = appendBytes(dst, f, value)
		}
		return dst
	})
}

// AddRecord writes a data set with one record of t, as it was on the wire.
func (s *SetWriter) AddRecord(t *Template, raw []byte) {
	at := s.w.Len()
	s.w.Uint16(t.ID)
	s.w.Uint16(0)
	s.w.Bytes(raw)
	s.closeData(at, t)
	s.records++
}

// addRecords writes a set of up to n records, each appended by record.
func (s *SetWriter) addRecords(t *Template, n int, record func(dst []byte, i int) []byte) int {
	limit := min(s.Limit, largestMessage)
	if limit <= 0 {
		limit = DefaultLimit
	}
	at := s.w.Len()
	buf := append(s.w.Buf(), byte(t.ID>>8), byte(t.ID), 0, 0)
	done := 0
	for ; done < n; done++ {
		before := len(buf)
		buf = record(buf, done)
		if len(buf)-s.start > limit {
			buf = buf[:before]
			break
		}
	}
	if done == 0 {
		buf = buf[:at]
	}
	s.w = wire.NewWriter(buf)
	if done > 0 {
		s.closeData(at, t)
	}
	s.records += done
	return done
}

// closeData closes a data set. Padding must be shorter than a record (RFC 7011,
// section 3.3.1), so short records go without.
func (s *SetWriter) closeData(at int, t *Template) {
	if t.min > 3 {
		s.close(at)
		return
	}
	s.w.PutUint16(at+2, uint16(s.w.Len()-at))
}

// Encoder writes IPFIX messages. Use Begin, then add sets, then End:
//
//	e := ipfix.Encoder{Domain: 1}
//	e.Begin(nil, now)
//	e.AddTemplates(tmpl)
//	n := e.AddData(tmpl, records)
//	datagram := e.End()
//
// The zero value is ready. It keeps the sequence number from message to message.
type Encoder struct {
	SetWriter
	Domain   uint32
	Sequence uint32 // of the next message; End counts on
}

// Begin starts a message with the given time of export behind dst.
func (e *Encoder) Begin(dst []byte, exported flow.Time) { e.Start(dst, HeaderLen, exported) }

// AddTemplates writes the templates, those with a scope into a set of their own.
func (e *Encoder) AddTemplates(templates ...*Template) {
	for _, options := range [...]bool{false, true} {
		id := uint16(TemplateSet)
		if options {
			id = OptionsTemplateSet
		}
		if !anyTemplate(templates, options) {
			continue
		}
		e.Set(id, func(w *wire.Writer) {
			for _, t := range templates {
				if t.Options() == options {
					appendTemplate(w, t)
				}
			}
		})
	}
}

// Withdraw writes the withdrawal of the given template ids (RFC 7011, section
// 8.1).
func (e *Encoder) Withdraw(ids ...uint16) {
	e.Set(TemplateSet, func(w *wire.Writer) {
		for _, id := range ids {
			w.Uint16(id)
			w.Uint16(0)
		}
	})
}

// End closes the message and returns it behind the bytes that Begin got.
func (e *Encoder) End() []byte {
	m := wire.NewWriter(e.Message()[:0])
	m.Uint16(Version)
	m.Uint16(uint16(e.Len()))
	m.Uint32(uint32(e.exported / aSecond))
	m.Uint32(e.Sequence)
	m.Uint32(e.Domain)
	e.Sequence += uint32(e.records)
	return e.Buf()
}

// anyTemplate says whether templates has one with, or without, options.
func anyTemplate(templates []*Template, options bool) bool {
	for _, t := range templates {
		if t.Options() == options {
			return true
		}
	}
	return false
}

// appendTemplate writes one template record.
func appendTemplate(w *wire.Writer, t *Template) {
	w.Uint16(t.ID)
	w.Uint16(uint16(len(t.Fields)))
	if t.Options() {
		scopes := 0
		for _, f := range t.Fields {
			if f.Scope {
				scopes++
			}
		}
		w.Uint16(uint16(scopes))
	}
	for _, f := range t.Fields {
		appendSpec(w, f)
	}
}

// appendSpec writes a field specifier.
func appendSpec(w *wire.Writer, f FieldSpec) {
	if f.PEN == 0 {
		w.Uint16(f.ID)
		w.Uint16(f.Length)
		return
	}
	w.Uint16(f.ID | 0x8000)
	w.Uint16(f.Length)
	w.Uint32(f.PEN)
}
