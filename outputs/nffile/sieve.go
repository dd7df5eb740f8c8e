package nffile

import (
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Sieve says of flows whether they match a filter, before they are decoded: of most
// records of layout 2 it reads only the fields that the filter looks at. A nil *Sieve
// keeps all.
type Sieve struct {
	// Passed counts the records that a Decoder has passed over, PassedFlows what they
	// stand for.
	Passed, PassedFlows uint64

	x         *Extractor
	addresses []bool // which of its columns are
	timed     bool   // the times are looked at
	rec       flow.Record
	match     func(*flow.Record) bool

	// What matches has one of these addresses in one of the columns near, where there are any.
	needles []flow.Value
	low     []uint32 // the last four bytes of each
	near    []int
	sides   [2]int // of outline.low, the same twice where only one is near
}

// sieved are the fields that a Sieve knows: those that are at one place, and mean what is
// there.
var sieved = flow.SetOf(flow.Src, flow.Dst, flow.IPVersion, flow.SrcPort, flow.DstPort, flow.Proto, flow.TCPFlags,
	flow.FwdStatus, flow.SrcTOS, flow.DstTOS, flow.Input, flow.Output, flow.SrcMask, flow.DstMask, flow.Direction,
	flow.SrcAS, flow.DstAS, flow.NextAS, flow.PrevAS, flow.NextHop, flow.BGPNextHop, flow.SrcVLAN, flow.DstVLAN,
	flow.Packets, flow.Bytes, flow.RevPackets, flow.RevBytes, flow.Flows, flow.FirstSeen, flow.LastSeen)

// always are those that a Brief has besides its columns.
var always = flow.SetOf(flow.IPVersion, flow.Packets, flow.Bytes, flow.RevPackets, flow.RevBytes, flow.Flows,
	flow.FirstSeen, flow.LastSeen, flow.Proto, flow.TCPFlags)

// NewSieve returns a Sieve for a filter that reads some fields, nil when it does not know
// one of them. With needles only flows match whose source or destination, as far as the
// filter reads them, is one of these addresses: most others are told by a comparison.
func NewSieve(fields flow.Set, needles []flow.Value, match func(*flow.Record) bool) *Sieve {
	if fields.Without(sieved) != (flow.Set{}) {
		return nil
	}
	rest := fields.Without(always)
	if fields.Has(flow.IPVersion) {
		rest.Add(flow.Src)
	}
	var columns []Column
	for f := range flow.Field(flow.NumFields) {
		if rest.Has(f) {
			columns = append(columns, Column(f))
		}
	}
	s := &Sieve{x: NewExtractor(columns, flow.Set{}), match: match,
		timed: fields.Has(flow.FirstSeen) || fields.Has(flow.LastSeen)}
	s.x.ReadAll() // what is damaged is for a Decoder
	for _, c := range columns {
		s.addresses = append(s.addresses, c.IsAddr())
	}
	s.lookFor(needles)
	return s
}

// lookFor makes flows without any of these addresses be told before they are matched; none
// are all.
func (s *Sieve) lookFor(needles []flow.Value) {
	if len(needles) == 0 {
		return
	}
	s.needles = needles
	for _, v := range needles {
		s.low = append(s.low, uint32(v.Lo))
	}
	for side, f := range [...]flow.Field{flow.Src, flow.Dst} {
		i := slices.Index(s.x.columns, Column(f))
		if i < 0 {
			continue
		}
		if len(s.near) == 0 {
			s.sides[0] = side
		}
		s.near, s.sides[1] = append(s.near, i), side
	}
}

// mayHaveNeedle says whether the flow in rec may have one of the addresses that are looked
// for. It compares four bytes of each, of IPv4 and IPv6 alike: flows of both are mixed, and
// to branch on which one is would cost more than all else.
func (s *Sieve) mayHaveNeedle(o *outline, rec []byte) bool {
	a, b := le.Uint32(rec[o.low[s.sides[0]]:]), le.Uint32(rec[o.low[s.sides[1]]:])
	for _, low := range s.low {
		if a == low || b == low {
			return true
		}
	}
	return false
}

// hasNeedle says whether the flow in rec, whose columns are at these places, has one of the
// addresses that are looked for.
func (s *Sieve) hasNeedle(places []place, rec []byte) bool {
	for _, i := range s.near {
		if w := places[i].width; w != addrIPv4 && w != addrIPv6 {
			continue
		}
		if slices.Contains(s.needles, places[i].value(rec, nil)) {
			return true
		}
	}
	return false
}

// matches says whether the flow in rec matches, which fits the outline: its columns are at
// these places.
func (s *Sieve) matches(o *outline, places []place, rec []byte) bool {
	if len(s.near) > 0 && (!s.mayHaveNeedle(o, rec) || !s.hasNeedle(places, rec)) {
		return false
	}
	r := &s.rec
	if s.timed {
		first, last := o.times(rec)
		r.First, r.Last = flow.Milli(first), flow.Milli(last)
	}
	g := rec[o.generic:][:48]
	r.Packets, r.Bytes = le.Uint64(g[24:]), le.Uint64(g[32:])
	r.Proto, r.TCPFlags = g[44], uint16(g[45])
	r.Flows, r.RevPackets, r.RevBytes = 0, 0, 0
	if o.count != 0 {
		c := rec[o.count:][:24]
		r.Flows, r.RevPackets, r.RevBytes = le.Uint64(c), le.Uint64(c[8:]), le.Uint64(c[16:])
	}
	r.Present = o.present
	for i, c := range s.x.columns {
		if v := places[i].value(rec, nil); s.addresses[i] {
			setSieved(r, c, v, places[i].width)
		} else {
			r.SetNumber(flow.Field(c), v.Lo)
		}
	}
	return s.match(r)
}

// setSieved sets an address of the record.
func setSieved(r *flow.Record, c Column, v flow.Value, w width) {
	var a netip.Addr
	switch w {
	case addrIPv4:
		a = netip.AddrFrom4([4]byte{byte(v.Lo >> 24), byte(v.Lo >> 16), byte(v.Lo >> 8), byte(v.Lo)})
	case addrIPv6:
		var b [16]byte
		be.PutUint64(b[:], v.Hi)
		be.PutUint64(b[8:], v.Lo)
		a = netip.AddrFrom16(b)
	}
	switch flow.Field(c) {
	case flow.Src:
		r.Src = a
		r.IPVersion = 0
		if a.IsValid() {
			r.IPVersion = uint8(4 + 2*(w-addrIPv4))
		}
	case flow.Dst:
		r.Dst = a
	case flow.NextHop:
		r.NextHop = a
	default:
		r.BGPNextHop = a
	}
}

// Sift passes over the records at the begin of an unpacked block that do not match, up to
// one that may, or is no flow. A Decoder with a Sieve of the same filter goes on there, and
// counts them: so several goroutines can look for what one uses in order.
func (s *Sieve) Sift(b *Block) {
	if s == nil {
		return
	}
	s.Passed, s.PassedFlows = 0, 0
	for {
		pos, seen := b.pos, b.seen
		if !b.next() {
			break
		}
		if !s.skips(b.rec) {
			b.pos, b.seen = pos, seen
			break
		}
	}
	b.sifted, b.siftedFlows = s.Passed, s.PassedFlows
}

// takeSifted counts what another Sieve has passed over in a block.
func (s *Sieve) takeSifted(b *Block) {
	s.Passed += b.sifted
	s.PassedFlows += b.siftedFlows
	b.sifted, b.siftedFlows = 0, 0
}

// skips says whether a Decoder may pass over a record, and counts it.
func (s *Sieve) skips(rec []byte) bool {
	if s == nil || le.Uint16(rec) != recordFlow {
		return false
	}
	o := s.x.outline(rec)
	if o == nil || s.matches(o, o.values, rec) {
		return false
	}
	s.Passed++
	s.PassedFlows += o.flows(rec)
	return true
}
