package nffile

import (
	"bytes"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Shelf keeps flows of blocks in memory, whole, to be read again in any order: those of
// layout 2 as they are in the file. A nil *Shelf keeps nothing.
type Shelf struct {
	chunks  [][]byte
	used    int64
	origins []Origin
	number  map[Origin]uint32
	copies  []copied // of flows of other layouts

	full *Decoder // of those
	dec  *Decoder // of what is read again
}

// Origin is where a flow of a Shelf is from.
type Origin struct {
	Ident    string // of its file
	SysID    uint32 // the number of its exporter there, 0 without
	Exporter Exporter
}

// copied is a flow of layout 1 or 3.
type copied struct {
	rec    flow.Record
	extra  Extra
	origin Origin
}

// Of a Shelf's reference, so many bits are the place in a chunk.
const (
	shelfBits  = 24
	shelfChunk = 1 << 20
	shelfCopy  = uint64(1) << 55 // the reference is the number of a copy
	shelfHead  = 4               // of each flow: the number of its origin
)

// NewShelf returns an empty Shelf.
func NewShelf() *Shelf {
	return &Shelf{number: map[Origin]uint32{}, full: NewDecoder(), dec: NewDecoder()}
}

// Size returns how many bytes the Shelf has in memory.
func (s *Shelf) Size() int64 { return s.used + int64(len(s.copies))*copiedSize }

// copiedSize is about what a copied takes, in bytes.
const copiedSize = 1200

// Put keeps a record of a block, that at which d or an Extractor with that Decoder stands,
// and returns a reference to it, which is below 1<<56.
func (s *Shelf) Put(d *Decoder, b *Block, rec []byte) uint64 {
	if le.Uint16(rec) != recordFlow {
		return s.putCopy(d, b)
	}
	sysid := uint32(le.Uint16(rec[8:]))
	n := shelfHead + len(rec)
	if last := len(s.chunks) - 1; last < 0 || cap(s.chunks[last])-len(s.chunks[last]) < n {
		s.chunks = append(s.chunks, make([]byte, 0, max(shelfChunk, n)))
		s.used += int64(max(shelfChunk, n))
	}
	last := len(s.chunks) - 1
	c := s.chunks[last]
	ref := uint64(last)<<shelfBits | uint64(len(c))
	c = le.AppendUint32(c, s.origin(d, sysid))
	s.chunks[last] = append(c, rec...)
	return ref
}

// origin returns the number of an origin.
func (s *Shelf) origin(d *Decoder, sysid uint32) uint32 {
	o := Origin{Ident: d.Ident(), SysID: sysid}
	if sysid > 0 && int(sysid) <= len(d.exporters) {
		o.Exporter = d.exporters[sysid-1]
	}
	if n := len(s.origins); n > 0 && s.origins[n-1] == o {
		return uint32(n - 1)
	}
	n, ok := s.number[o]
	if !ok {
		n = uint32(len(s.origins))
		s.number[o] = n
		s.origins = append(s.origins, o)
	}
	return n
}

// putCopy keeps the record at hand of a block decoded.
func (s *Shelf) putCopy(d *Decoder, b *Block) uint64 {
	if s.full.block != b || s.full.blockOff != b.off || s.full.file != b.file {
		s.full.useBlock(b)
	}
	s.full.exporters, s.full.maps = d.exporters, d.maps // those that the block has before the record too
	s.full.flow(b.rec)                                  // it has been read before
	c := copied{rec: s.full.rec, extra: s.full.extra, origin: Origin{Ident: d.Ident(), SysID: s.full.SysID()}}
	for _, p := range []*[]byte{&c.rec.User, &c.rec.AppID, &c.extra.Label, &c.extra.InPayload, &c.extra.OutPayload,
		&c.extra.Frame, &c.extra.PF.Interface, &c.extra.NokiaText} {
		*p = bytes.Clone(*p)
	}
	s.copies = append(s.copies, c)
	return shelfCopy | uint64(len(s.copies)-1)
}

// Get returns a flow that is kept. It is valid, and may only be read, until the next call.
func (s *Shelf) Get(ref uint64) (*flow.Record, *Extra, Origin) {
	if ref&shelfCopy != 0 {
		c := &s.copies[ref&^shelfCopy]
		return &c.rec, &c.extra, c.origin
	}
	p := s.chunks[ref>>shelfBits][ref&(1<<shelfBits-1):]
	o := s.origins[le.Uint32(p)]
	rec := p[shelfHead : shelfHead+int(le.Uint16(p[shelfHead+2:]))]
	if o.SysID > 0 {
		s.dec.know(o.Exporter, uint16(o.SysID))
	}
	s.dec.flow(rec) // it has been read before
	return &s.dec.rec, &s.dec.extra, o
}
