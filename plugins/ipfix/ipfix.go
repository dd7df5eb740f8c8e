// Package ipfix decodes and encodes IPFIX messages (RFC 7011), and holds the
// template that NetFlow v9 shares with it.
//
// A Template is compiled once, when it arrives: every field becomes steps of
// (operation, offset, length), so that a record is decoded by one flat switch
// into a reused flow.Record without allocation. Fields that templates mostly have
// together are one step (fuse.go), and a record that follows another one of its
// template sets only what may differ (RecordDecoder.Next).
//
// The package keeps no state between messages: which template belongs to which
// exporter, sequence numbers and sampling are the business of package collector.
// Every length is checked before it is used; hostile input costs an error, never
// a panic.
//
// To add an element: give it an operation in compile.go (targets), a case in
// record.go, and its value in value.go for the encoder; a field of flow.Record of
// its own needs the recipe of package flow first. Elements without an operation
// need nothing: they ride along in Record.Extra.
package ipfix

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// Version is the version number in the header of a message (RFC 7011, section 3.1).
const Version = 10

// The set ids that are not templates (RFC 7011, section 3.3.2).
const (
	TemplateSet        = 2
	OptionsTemplateSet = 3
	FirstTemplate      = 256 // the lowest template id, and so the lowest id of a data set
)

// HeaderLen is the length of a message's header in bytes.
const HeaderLen = 16

// ErrLength says that a length in the message contradicts its bytes.
var ErrLength = errors.New("length contradicts the bytes")

// Header is the header of a message (RFC 7011, section 3.1).
type Header struct {
	Length   uint16 // of the message in bytes, as it claims
	Exported uint32 // seconds since 1970
	Sequence uint32 // data and option records sent before this message
	Domain   uint32 // observation domain
}

// ParseHeader reads the header of a message and returns the sets behind it. A
// datagram holds one message (RFC 7011, section 10.3.3): another one behind it is
// cut off, and an error says so beside the sets. Apart from that the length in
// the header is ignored: some exporters have it wrong by two, and a set tells its
// own length.
func ParseHeader(b []byte) (h Header, sets []byte, err error) {
	if len(b) < HeaderLen {
		return h, nil, fmt.Errorf("ipfix: header: expected %d bytes, got %d: %w", HeaderLen, len(b), wire.ErrShort)
	}
	if v := binary.BigEndian.Uint16(b); v != Version {
		return h, nil, fmt.Errorf("ipfix: header: expected version %d, got %d", Version, v)
	}
	h = Header{
		Length:   binary.BigEndian.Uint16(b[2:]),
		Exported: binary.BigEndian.Uint32(b[4:]),
		Sequence: binary.BigEndian.Uint32(b[8:]),
		Domain:   binary.BigEndian.Uint32(b[12:]),
	}
	if n := int(h.Length); n >= HeaderLen && n+HeaderLen <= len(b) && binary.BigEndian.Uint16(b[n:]) == Version {
		err = fmt.Errorf("ipfix: expected one message, got another one at byte %d of %d: %w", n, len(b), ErrLength)
		b = b[:n:n]
	}
	return h, b[HeaderLen:], err
}

// ExportTime returns the time of export, 0 when the header has none.
func (h Header) ExportTime() flow.Time { return flow.Time(h.Exported) * 1e9 }

// Set is one set of a message, or one FlowSet of NetFlow v9.
type Set struct {
	ID   uint16
	Body []byte // without the set's header
}

// Sets walks over the sets of a message. The zero value has none.
type Sets struct {
	rest []byte
	off  int
	err  error
}

// NewSets returns a walk over the bytes behind a message's header.
func NewSets(body []byte) Sets { return Sets{rest: body} }

// Next returns the next set. It ends at the last byte, at zero fill (which is
// no error), or at a set that cannot be: a length under 4 stops the walk, a
// length past the end gives what is there, and either leaves an error in Err.
func (s *Sets) Next() (Set, bool) {
	if len(s.rest) < 4 {
		if s.err == nil && !zero(s.rest) {
			s.err = fmt.Errorf("set at byte %d: expected a header of 4 bytes, got %d: %w", s.off, len(s.rest),
				wire.ErrShort)
		}
		s.rest = nil
		return Set{}, false
	}
	id, n := binary.BigEndian.Uint16(s.rest), int(binary.BigEndian.Uint16(s.rest[2:]))
	switch {
	case n < 4 && zero(s.rest):
		s.rest = nil
		return Set{}, false
	case n < 4:
		s.err = fmt.Errorf("set %d at byte %d: expected a length of at least 4, got %d: %w", id, s.off, n, ErrLength)
		s.rest = nil
		return Set{}, false
	case n > len(s.rest):
		if s.err == nil {
			s.err = fmt.Errorf("set %d at byte %d: expected %d bytes, got %d: %w", id, s.off, n, len(s.rest), ErrLength)
		}
		n = len(s.rest)
	}
	set := Set{ID: id, Body: s.rest[4:n:n]}
	s.rest = s.rest[n:]
	s.off += n
	return set, true
}

// Err returns what was wrong with the framing, or nil.
func (s *Sets) Err() error { return s.err }

// zero says whether b is nothing but zero bytes.
func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
