package ipfix

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// RecordDecoder decodes data records into a reused flow.Record. The zero value
// is ready. It is not safe for concurrent use.
type RecordDecoder struct {
	// Base is what all records of a message share: exporter, domain, version,
	// and the times of export and receipt. Every record starts as a copy.
	Base flow.Record

	// Uptime is the clock of the message's exporter, for the elements 21 and
	// 22; nil when there is none. The decoder lets it learn.
	Uptime *Uptime

	// Templates finds the templates that records inside structured data are of,
	// among those of the same exporter. Without it such records are left out.
	Templates interface {
		Nested(id uint16) *Template
	}

	present flow.Set // of Base and the template at hand
	times   times
	inner   innerFlow
	sample  flow.Sample
	lists   lists
}

// Decode reads the data record at the start of b, which belongs to t, into r
// and returns the bytes read. All of r is replaced. What r's slices point to is
// b: it is valid as long as b is.
func (d *RecordDecoder) Decode(t *Template, r *flow.Record, b []byte) (int, error) {
	if len(b) < t.min {
		return 0, shortRecord(t, 0, len(b))
	}
	extra, present := r.Extra[:0], d.Base.Present.Union(t.plan.present)
	*r = d.Base
	r.Extra, r.Present, r.TemplateID = extra, present, t.ID
	if t.plan.tunnel {
		d.inner = innerFlow{}
	}
	d.present = present
	return d.fields(t, r, b)
}

// Next does what Decode does for a record that follows another one of the same
// template and of the same message, and is faster: r must be as that call has left
// it, but for the counters, sampling rate, names and the set of fields present. A
// caller that gives r to others must know that they only read it.
func (d *RecordDecoder) Next(t *Template, r *flow.Record, b []byte) (int, error) {
	if !t.plan.steady || r.TemplateID != t.ID {
		return d.Decode(t, r, b)
	}
	if len(b) < t.min {
		return 0, shortRecord(t, 0, len(b))
	}
	// What is not set by every record, or set by others than the decoder.
	r.Extra, r.Present = r.Extra[:0], d.present
	r.SrcPort, r.DstPort, r.ICMP, r.IPVersion = 0, 0, 0, d.Base.IPVersion
	r.Bytes, r.Packets = 0, 0
	r.SamplingRate, r.SamplingSource, r.SamplerID = 0, flow.RateUnknown, 0
	r.Names = nil
	return d.fields(t, r, b)
}

// fields reads the fields of a record into r, which has what Base has.
func (d *RecordDecoder) fields(t *Template, r *flow.Record, b []byte) (int, error) {
	d.times = times{}
	n := t.min
	if !t.variable {
		d.segment(r, &t.plan.segments[0], b[:n])
	} else {
		var err error
		if n, err = d.variable(t, r, b); err != nil {
			return 0, err
		}
	}
	d.finish(t, r)
	return n, nil
}

// segment decodes the fields of s, which are all in rec.
func (d *RecordDecoder) segment(r *flow.Record, s *segment, rec []byte) {
	d.runSteps(r, s.steps, rec)
	n := len(r.Extra)
	extra := slices.Grow(r.Extra, len(s.keeps))[:n+len(s.keeps)]
	for i, k := range s.keeps {
		extra[n+i] = flow.Element{PEN: k.pen, ID: k.id, Nth: k.nth, Value: rec[k.off:k.end:k.end]}
	}
	r.Extra = extra
}

// variable decodes a record whose size stands in itself and returns its length.
func (d *RecordDecoder) variable(t *Template, r *flow.Record, b []byte) (int, error) {
	off := 0
	for i := range t.plan.segments {
		s := &t.plan.segments[i]
		if s.size > len(b)-off {
			return 0, shortRecord(t, off, len(b))
		}
		d.segment(r, s, b[off:off+s.size])
		off += s.size
		if s.tail == nil {
			continue
		}
		prefix, n, ok := FieldSpec{Length: Variable}.next(b[off:])
		if !ok {
			return 0, shortRecord(t, off, len(b))
		}
		off += prefix
		for j := range s.tail {
			d.moveTail(&s.tail[j], r, b[off:off+n:off+n])
		}
		off += n
	}
	return off, nil
}

// moveTail does with the bytes of a field of variable size what segment.place
// prepares for one of fixed size.
func (d *RecordDecoder) moveTail(m *move, r *flow.Record, b []byte) {
	lossless := true
	if m.op != opNone {
		fits := false
		fits, lossless = fit(&m.use, len(b))
		switch {
		case fits && len(b) <= maxStep:
			d.slow(m.op, m.use.Field, m.use.Index, r, b)
			if f := m.present(); f != noField {
				r.Present.Add(f)
			}
		case m.anySize():
			d.slow(m.op, m.use.Field, m.use.Index, r, nil)
			lossless = false
		default:
			lossless = false
		}
	}
	if m.extra || !lossless {
		r.Extra = append(r.Extra, flow.Element{PEN: m.use.PEN, ID: m.use.ID, Nth: m.nth, Value: b})
	}
}

// runSteps executes the steps on the record rec: the frequent ones here, all others by the
// table of fields.
func (d *RecordDecoder) runSteps(r *flow.Record, steps []step, rec []byte) {
	for i := range steps {
		s := &steps[i]
		b := rec[s.off:]
		switch s.op {
		case fuseFlow4:
			r.Src, r.Dst = netip.AddrFrom4([4]byte(b)), netip.AddrFrom4([4]byte(rec[s.more[0]:]))
			r.SrcPort, r.DstPort = binary.BigEndian.Uint16(rec[s.more[1]:]), binary.BigEndian.Uint16(rec[s.more[2]:])
			r.Proto = rec[s.more[3]]
		case fuseFlow16:
			r.Src, r.Dst = netip.AddrFrom16([16]byte(b)), netip.AddrFrom16([16]byte(rec[s.more[0]:]))
			r.SrcPort, r.DstPort = binary.BigEndian.Uint16(rec[s.more[1]:]), binary.BigEndian.Uint16(rec[s.more[2]:])
			r.Proto = rec[s.more[3]]
		case fuseRoute:
			r.Input, r.Output = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(rec[s.more[0]:])
			r.SrcAS, r.DstAS = binary.BigEndian.Uint32(rec[s.more[1]:]), binary.BigEndian.Uint32(rec[s.more[2]:])
			r.SrcMask, r.DstMask = rec[s.more[3]], rec[s.more[4]]
		case fuseBits:
			r.TCPFlags, r.SrcTOS = uint16(b[0]), rec[s.more[0]]
		case fuseCounters8:
			r.Bytes, r.Packets = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(rec[s.more[0]:])
		case fuseCounters4:
			r.Bytes, r.Packets = uint64(binary.BigEndian.Uint32(b)), uint64(binary.BigEndian.Uint32(rec[s.more[0]:]))
		case fuseInterfaces4:
			r.Input, r.Output = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(rec[s.more[0]:])
		case fuseTimes8:
			d.times.milliseconds(b, rec[s.more[0]:])
		case fuseUptimes:
			d.times.upFirst, d.times.upLast = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(rec[s.more[0]:])
			d.times.hasUp = 3
		case fuseReason:
			r.Direction, r.EndReason = b[0], rec[s.more[0]]
		case fuseAttrs:
			r.IngressAttr, r.EgressAttr = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(rec[s.more[0]:])
		case fastSrc4:
			r.Src = netip.AddrFrom4([4]byte(b))
		case fastDst4:
			r.Dst = netip.AddrFrom4([4]byte(b))
		case fastSrc16:
			r.Src = netip.AddrFrom16([16]byte(b))
		case fastDst16:
			r.Dst = netip.AddrFrom16([16]byte(b))
		case fastNextHop4:
			r.NextHop = netip.AddrFrom4([4]byte(b))
		case fastSrcPort:
			r.SrcPort = binary.BigEndian.Uint16(b)
		case fastDstPort:
			r.DstPort = binary.BigEndian.Uint16(b)
		case fastProto:
			r.Proto = b[0]
		case fastTCPFlags1:
			r.TCPFlags = uint16(b[0])
		case fastTCPFlags2:
			r.TCPFlags = binary.BigEndian.Uint16(b)
			r.Present.Add(flow.TCPFlagsWide)
		case fastSrcTOS:
			r.SrcTOS = b[0]
		case fastBytes4:
			r.Bytes = uint64(binary.BigEndian.Uint32(b))
		case fastBytes8:
			r.Bytes = binary.BigEndian.Uint64(b)
		case fastPackets4:
			r.Packets = uint64(binary.BigEndian.Uint32(b))
		case fastPackets8:
			r.Packets = binary.BigEndian.Uint64(b)
		case fastInput2:
			r.Input = uint32(binary.BigEndian.Uint16(b))
		case fastInput4:
			r.Input = binary.BigEndian.Uint32(b)
		case fastOutput2:
			r.Output = uint32(binary.BigEndian.Uint16(b))
		case fastOutput4:
			r.Output = binary.BigEndian.Uint32(b)
		case fastSrcAS4:
			r.SrcAS = binary.BigEndian.Uint32(b)
		case fastDstAS4:
			r.DstAS = binary.BigEndian.Uint32(b)
		case fastSrcMask:
			r.SrcMask = b[0]
		case fastDstMask:
			r.DstMask = b[0]
		case fastDirection:
			r.Direction = b[0]
		case fastEndReason:
			r.EndReason = b[0]
		case fastIPVersion:
			r.IPVersion = b[0]
		case fastMaxTTL:
			r.MaxTTL = b[0]
		case fastSegmentID8:
			r.SegmentID = binary.BigEndian.Uint64(b)
		case fastIngressAttr:
			r.IngressAttr = binary.BigEndian.Uint16(b)
		case fastEgressAttr:
			r.EgressAttr = binary.BigEndian.Uint16(b)
		default:
			d.slow(s.op, s.field, s.index, r, b[:s.n:s.n])
		}
	}
}

// slow executes an operation that the loop does not.
func (d *RecordDecoder) slow(o op, f flow.Field, index uint8, r *flow.Record, b []byte) {
	switch o {
	case opNumber:
		r.SetNumber(f, wire.Uint(b))
	case opNumberElse:
		if r.Number(f) == 0 {
			r.SetNumber(f, wire.Uint(b))
		}
	case opAddr:
		r.SetAddr(f, addr(b))
	case opAddrElse:
		r.SetAddr(f, orAddr(r.Addr(f), b))
	case opOctets:
		r.SetOctets(f, b)
	case opOctetsElse:
		if len(r.Octets(f)) == 0 {
			r.SetOctets(f, b)
		}
	case opHigh:
		r.SetNumber(f, r.Number(f)|uint64(uint8(wire.Uint(b)))<<8)
	case opLow:
		r.SetNumber(f, r.Number(f)|uint64(uint8(wire.Uint(b))))
	case opItem:
		r.SetItem(f, index, wire.Uint(b))
		if f == flow.MPLS {
			r.MPLSDepth = max(r.MPLSDepth, index+1)
		}
	case opInner:
		d.inner.set(f, b)
	case opTCPFlags:
		r.TCPFlags = uint16(wire.Uint(b))
		if len(b) > 1 {
			r.Present.Add(flow.TCPFlagsWide)
		}
	case opRate:
		if r.SamplingRate == 0 {
			r.SamplingRate = uint32(min(wire.Uint(b), 1<<32-1))
			r.SamplingSource = flow.RateRecord
		}
	default:
		d.times.set(o, f, b, r)
	}
}

// addr reads an address of 4 or 16 bytes. An IPv4-mapped address stays what it was on
// the wire.
func addr(b []byte) netip.Addr {
	if len(b) == 4 {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrFrom16([16]byte(b))
}

// orAddr returns a, or the address in b where a is still zero.
func orAddr(a netip.Addr, b []byte) netip.Addr {
	if !a.IsValid() || a.IsUnspecified() {
		if v := addr(b); !v.IsUnspecified() || !a.IsValid() {
			return v
		}
	}
	return a
}

// Protocol numbers; the ports of ICMP are type and code.
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)

// finish sets what depends on several fields of the record.
func (d *RecordDecoder) finish(t *Template, r *flow.Record) {
	if t.plan.section {
		d.dissect(r)
	}
	if t.plan.lists {
		d.unfold(r)
	}
	if t.plan.tunnel {
		d.inner.apply(r, t.plan.once)
	}
	if t.plan.hasICMP && (r.Proto == protoICMP || r.Proto == protoICMPv6) {
		r.DstPort = r.ICMP
	}
	if t.plan.event {
		r.Event = r.Bytes == 0 && r.Packets == 0 && r.RevBytes == 0 && r.RevPackets == 0
	}
	if r.Bytes == 0 && r.Packets == 0 && r.OutBytes|r.OutPackets != 0 && t.countsAlike() {
		countOut(r)
	}
	if r.SamplerID != 0 {
		r.Present.Add(flow.SamplerID)
	}
	if r.IPVersion == 0 && r.Src.IsValid() {
		r.IPVersion = 6
		if r.Src.Is4() {
			r.IPVersion = 4
		}
	}
	d.times.apply(r, d.Uptime)
}

// countsAlike says whether the counters behind the observation point count from when on those
// before it do.
func (t *Template) countsAlike() bool {
	all := t.plan.totals
	return all.Has(flow.OutBytes) == all.Has(flow.Bytes) && all.Has(flow.OutPackets) == all.Has(flow.Packets)
}

// sentZero is a count that was sent as 0.
var sentZero = []byte{0}

// countOut makes the counters behind the observation point the flow's, where those
// before it are zero: some exporters fill one pair for flows that come in and the
// other for those that go out. What was sent stays in Extra.
func countOut(r *flow.Record) {
	r.Bytes, r.Packets = r.OutBytes, r.OutPackets
	if r.Has(flow.Bytes) {
		r.Extra = append(r.Extra, flow.Element{ID: ie.OctetDeltaCount, Value: sentZero})
	}
	if r.Has(flow.Packets) {
		r.Extra = append(r.Extra, flow.Element{ID: ie.PacketDeltaCount, Value: sentZero})
	}
}
