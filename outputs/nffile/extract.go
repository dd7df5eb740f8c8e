package nffile

import (
	"math"
	"slices"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Brief is what a ranking needs of a flow: its times and counters, and the values
// of a few fields.
type Brief struct {
	First, Last          uint64 // milliseconds since 1970
	Flows                uint64 // that it stands for
	Packets, Bytes       uint64 // of the flow's direction
	RevPackets, RevBytes uint64
	Proto, TCPFlags      uint8
	Six                  SixSet       // which of the addresses are IPv6, behind ReadSix
	Index                int          // of the record in its block, from 1
	Values               []flow.Value // of the columns of the Extractor, in their order
}

// SixSet says which addresses of a flow are IPv6, as bits.
type SixSet uint8

// The addresses: those of both ends, and of the next hops.
const (
	SixEnds SixSet = 1 << iota
	SixNextHop
	SixBGPNextHop

	SixBits = 3 // how many bits there are
)

// Fields returns the fields of the addresses.
func (s SixSet) Fields() flow.Set {
	var set flow.Set
	for i, fields := range [SixBits]flow.Set{flow.SetOf(flow.Src, flow.Dst), flow.SetOf(flow.NextHop),
		flow.SetOf(flow.BGPNextHop)} {
		if s&(1<<i) != 0 {
			set = set.Union(fields)
		}
	}
	return set
}

// sixOf returns that of a flow.
func sixOf(r *flow.Record) (s SixSet) {
	for i, six := range [SixBits]bool{r.Src.Is6() || r.Dst.Is6(), r.NextHop.Is6(), r.BGPNextHop.Is6()} {
		if six {
			s |= 1 << i
		}
	}
	return s
}

// Extractor reads the flows of blocks in brief. Flows of layout 2 with elements
// that were seen before are read at known places, without a look at the others;
// all others by a Decoder.
type Extractor struct {
	// Flows that end before From or begin after To, in milliseconds since 1970, with
	// Within those that begin before From or end after To, are passed over and counted in
	// Passed, and what they stand for in PassedFlows. A To of 0 is open.
	From, To            uint64
	Within              bool
	Passed, PassedFlows uint64

	// Keep, where it is set, says whether a flow is wanted, which the Decoder has read
	// then; those that are not are passed over and counted likewise.
	Keep func(*Decoder) bool

	// Sieve may decide for Keep, where it knows a flow: both must be of the same filter. It
	// is set before the first Next.
	Sieve *Sieve

	dec      *Decoder
	columns  []Column
	decode   bool // some columns are known to a Decoder only
	outlines [1 << outlineBits][2]outline
}

// NewExtractor returns an Extractor for some columns. The fields in more are read too
// where Keep is set.
func NewExtractor(columns []Column, more flow.Set) *Extractor {
	x := &Extractor{dec: NewDecoder(), columns: columns}
	set := more
	var elements uint64
	for _, c := range columns {
		switch {
		case c == Router: // always read
		case c < Column(flow.NumFields):
			set.Add(flow.Field(c))
		default:
			elements |= 1 << places[c].id
		}
		x.decode = x.decode || places[c].width == decoded
	}
	x.dec.Only(set)
	x.dec.want |= elements
	values := make([]place, 2*len(x.outlines)*len(columns))
	for i := range x.outlines {
		for j := range x.outlines[i] {
			x.outlines[i][j].values, values = values[:len(columns):len(columns)], values[len(columns):]
		}
	}
	return x
}

// ReadAll makes the Decoder read all elements for Keep.
func (x *Extractor) ReadAll() { x.dec.want = ^uint64(0) }

// ReadSix makes the Decoder read the elements that Brief.Six tells of.
func (x *Extractor) ReadSix() {
	for _, id := range sixElements {
		x.dec.want |= 1 << id
	}
}

// NewBrief returns a Brief for Next.
func (x *Extractor) NewBrief() Brief { return Brief{Values: make([]flow.Value, len(x.columns))} }

// Decoder returns the Decoder that has what the blocks hold besides flows.
func (x *Extractor) Decoder() *Decoder { return x.dec }

// Raw returns the record of the current flow of b as it is in the file, and whether it is
// valid as long as the block is: of layout 2. Others are only at hand until Next.
func (x *Extractor) Raw(b *Block) ([]byte, bool) { return b.rec, b.kind == recordFlow }

// Err is Decoder.Err.
func (x *Extractor) Err() error { return x.dec.err }

// Next reads the next flow of an unpacked block into f, as Decoder.Next does.
func (x *Extractor) Next(b *Block, f *Brief) bool {
	d := x.dec
	d.begin(b)
	for b.next() {
		if b.isFlow() && b.kind == recordFlow {
			if o := x.outline(b.rec); o != nil && !x.decode && (x.Keep == nil || x.Sieve != nil) {
				within := x.within(o, b.rec)
				if within && (x.Sieve == nil || x.Sieve.matches(o, o.sieved, b.rec)) {
					o.readRecord(b.rec, d.exporters, f)
					f.Index = int(b.seen)
					return true
				}
				x.Passed++
				x.PassedFlows += o.flows(b.rec)
				continue
			}
		}
		if !d.takeBlock(b) {
			continue
		}
		if x.wants(d.rec.First.Milli(), d.rec.Last.Milli()) && (x.Keep == nil || x.Keep(d)) {
			x.plain(f)
			f.Index = int(b.seen)
			return true
		}
		x.Passed++
		x.PassedFlows += max(d.rec.Flows, 1)
	}
	d.end(b)
	return false
}

// within says whether the flow in a record is wanted by its times.
func (x *Extractor) within(o *outline, rec []byte) bool {
	return x.From == 0 && x.To == 0 || x.wants(o.times(rec))
}

// wants says whether a flow is wanted by its times.
func (x *Extractor) wants(first, last uint64) bool {
	if x.Within {
		first, last = last, first
	}
	return last >= x.From && (x.To == 0 || first <= x.To)
}

// plain sets f to the flow that the Decoder has read.
func (x *Extractor) plain(f *Brief) {
	r := x.dec.Record()
	f.First, f.Last = r.First.Milli(), r.Last.Milli()
	f.Packets, f.Bytes, f.RevPackets, f.RevBytes = r.Packets, r.Bytes, r.RevPackets, r.RevBytes
	f.Flows, f.Proto, f.TCPFlags, f.Six = 1, r.Proto, uint8(r.TCPFlags), sixOf(r)
	if r.Has(flow.Flows) {
		f.Flows = r.Flows
	}
	for i, c := range x.columns {
		f.Values[i] = x.dec.Column(c)
	}
}

// outline is what flow records of one size with the same elements in the same order
// have in common: where what is wanted lies in them.
type outline struct {
	head    uint32 // size and number of elements, as in the record; 0 is none
	n       int    // of the elements; behind them the first is repeated, up to outlineFew
	offsets [outlineElements]uint16
	heads   [outlineElements]uint32 // id and length, as in the record
	values  []place                 // of the columns
	sieved  []place                 // of those of the Sieve
	writers bool                    // the elements are as the Writer writes them
	present flow.Set                // the fields of the elements
	six     SixSet                  // the addresses that are IPv6

	generic, misc, count uint16 // offsets of their payloads, 0 without

	low [2]uint16 // offsets of the last four bytes of source and destination, 0 without
}

// place is where the value of a column lies in a record.
type place struct {
	off   uint16
	width width
}

// An Extractor remembers so many pairs of outlines, as a power of two, each of fewer
// elements than that. Most flows have at most the few.
const (
	outlineBits     = 5
	outlineElements = 16
	outlineFew      = 8
)

// outline returns the outline of a record, nil when it has to be decoded: one that
// is damaged, or has too many elements.
func (x *Extractor) outline(rec []byte) *outline {
	if len(rec) < recordHeadSize {
		return nil
	}
	head := le.Uint32(rec[2:])
	pair := &x.outlines[head*0x9E3779B1>>(32-outlineBits)]
	if pair[0].fits(rec, head) {
		return &pair[0]
	}
	if pair[1].fits(rec, head) {
		return &pair[1]
	}
	pair[0], pair[1] = pair[1], pair[0]
	o := &pair[0]
	o.head = 0
	want := x.dec.want
	if x.Sieve != nil {
		want = ^uint64(0) // what is damaged is for a Decoder
	}
	if !o.measure(rec, want) {
		return nil
	}
	if s := x.Sieve; s != nil {
		o.sieved = o.sieved[:0]
		for _, c := range s.x.columns {
			o.sieved = append(o.sieved, o.place(c))
		}
	}
	for i, c := range x.columns {
		o.values[i] = o.place(c)
	}
	for i := o.n; i < outlineFew; i++ {
		o.offsets[i], o.heads[i] = o.offsets[0], o.heads[0]
	}
	o.low = [2]uint16{o.place(Column(flow.Src)).low(), o.place(Column(flow.Dst)).low()}
	o.writers = o.isWriters(rec)
	o.present, o.six = flow.Set{}, 0
	for _, h := range o.heads[:o.n] {
		id := uint16(h)
		if id < numElements {
			o.present = o.present.Union(x.dec.present[id])
		}
		if i := slices.Index(sixElements[:], id); i >= 0 {
			o.six |= 1 << i
		}
	}
	o.head = head
	return o
}

// sixElements are those of the bits of a SixSet.
var sixElements = [SixBits]uint16{elIPv6, elNext6, elBGPNext6}

// fits says whether the record has the elements of the outline.
func (o *outline) fits(rec []byte, head uint32) bool {
	if o.head != head {
		return false
	}
	// One branch for all elements: of most records they are those of the outline. And none
	// for how many they are.
	differ := uint32(0)
	for i := range outlineFew {
		differ |= le.Uint32(rec[o.offsets[i]:]) ^ o.heads[i]
	}
	for i := outlineFew; i < o.n; i++ {
		differ |= le.Uint32(rec[o.offsets[i]:]) ^ o.heads[i]
	}
	return differ == 0
}

// measure notes the elements of a record. It returns false when there are too many,
// or when something is wrong with those in want: see Decoder.elements.
func (o *outline) measure(rec []byte, want uint64) bool {
	n, off, addresses := le.Uint16(rec[4:]), recordHeadSize, 0
	o.n, o.generic, o.misc, o.count = 0, 0, 0, 0
	for ; n > 0 && off+4 <= len(rec); n-- {
		id, size := le.Uint16(rec[off:]), int(le.Uint16(rec[off+2:]))
		if size < 4 || size > len(rec)-off || o.n == outlineElements-1 {
			return false
		}
		if id < numElements && want&(1<<id) != 0 && size-4 < int(payloadSizes[id]) {
			return false
		}
		switch id {
		case elIPv4, elIPv6:
			if addresses++; addresses > 1 {
				return false // a Decoder knows which counts
			}
		case elGeneric:
			o.generic = uint16(off + 4)
		case elMisc:
			o.misc = uint16(off + 4)
		case elCount:
			o.count = uint16(off + 4)
		}
		o.offsets[o.n], o.heads[o.n] = uint16(off), le.Uint32(rec[off:])
		o.n++
		off += size
	}
	return o.generic != 0 && (n == 0 || off == len(rec))
}

// place returns where a column is. Of elements that have the same one the last counts,
// as for a Decoder.
func (o *outline) place(c Column) place {
	w := &places[c]
	for i := o.n - 1; i >= 0; i-- {
		off := o.offsets[i] + 4
		switch id := uint16(o.heads[i]); {
		case id == w.id:
			return place{off + w.off, w.width}
		case id == w.id6 && id != 0:
			return place{off + w.off6, addrIPv6}
		}
	}
	switch {
	case c == Router:
		return place{8, byExporter}
	case w.width == addrIPv4:
		return place{0, noAddr}
	}
	return place{0, absent}
}

// low returns the offset of the last four bytes of an address, 0 where there is none.
func (p place) low() uint16 {
	switch p.width {
	case addrIPv4:
		return p.off
	case addrIPv6:
		return p.off + 8
	}
	return 0
}

// readRecord sets f to the flow in rec, which fits the outline.
func (o *outline) readRecord(rec []byte, exporters []Exporter, f *Brief) {
	f.First, f.Last = o.times(rec)
	g := rec[o.generic:][:48]
	f.Packets, f.Bytes = le.Uint64(g[24:]), le.Uint64(g[32:])
	f.Proto, f.TCPFlags, f.Six = g[44], g[45], o.six
	f.Flows, f.RevPackets, f.RevBytes = 1, 0, 0
	if o.count != 0 {
		c := rec[o.count:][:24]
		f.Flows, f.RevPackets, f.RevBytes = le.Uint64(c), le.Uint64(c[8:]), le.Uint64(c[16:])
	}
	for i, p := range o.values {
		f.Values[i] = p.value(rec, exporters)
	}
}

// flows returns how many flows the one in rec stands for.
func (o *outline) flows(rec []byte) uint64 {
	if o.count == 0 {
		return 1
	}
	return le.Uint64(rec[o.count:])
}

// times returns when the flow in rec began and ended.
func (o *outline) times(rec []byte) (first, last uint64) {
	g := rec[o.generic:][:16]
	first, last = milli(le.Uint64(g)), milli(le.Uint64(g[8:]))
	return first, max(first, last)
}

// milli returns a time that flow.Milli takes, 0 for others.
func milli(ms uint64) uint64 {
	if ms > math.MaxInt64/uint64(time.Millisecond) {
		return 0
	}
	return ms
}

// value reads the value at a place.
func (p place) value(rec []byte, exporters []Exporter) flow.Value {
	v := rec[p.off:]
	switch p.width {
	case number1:
		return flow.Value{Lo: uint64(v[0])}
	case number2:
		return flow.Value{Lo: uint64(le.Uint16(v))}
	case number4:
		return flow.Value{Lo: uint64(le.Uint32(v))}
	case number8:
		return flow.Value{Lo: le.Uint64(v)}
	case numberMAC:
		return flow.Value{Lo: le.Uint64(v) & maxMAC}
	case numberACL:
		return flow.Value{Lo: uint64(be.Uint32(v))}
	case addrIPv4:
		return flow.Value{Lo: flow.Mapped4 | uint64(le.Uint32(v))}
	case addrIPv6:
		return flow.Value{Hi: le.Uint64(v), Lo: le.Uint64(v[8:])}
	case byExporter:
		if sysid := int(le.Uint16(v)); sysid > 0 && sysid <= len(exporters) {
			return flow.ValueOf(exporters[sysid-1].Addr)
		}
		return flow.Value{Lo: flow.Mapped4}
	case noAddr:
		return flow.Value{Lo: flow.Mapped4}
	}
	return flow.Value{}
}
