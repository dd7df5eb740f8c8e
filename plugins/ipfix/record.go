package ipfix

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
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
	tenant  tenant
	zero    [1]byte // what instead stands for
	sample  flow.Sample
	lists   lists
}

// tenant is the flow inside a VXLAN segment (PEN 6876, elements 880-887).
type tenant struct {
	src, dst         netip.Addr
	srcPort, dstPort uint16
	proto            uint8
}

// Decode reads the data record at the start of b, which belongs to t, into r
// and returns the bytes read. All of r is replaced. What r's slices point to is
// b: it is valid as long as b is.
func (d *RecordDecoder) Decode(t *Template, r *flow.Record, b []byte) (int, error) {
	if len(b) < t.min {
		return 0, shortRecord(t, 0, len(b))
	}
	extra, present := r.Extra[:0], union(d.Base.Present, t.plan.present)
	*r = d.Base
	r.Extra, r.Present, r.TemplateID = extra, present, t.ID
	if t.plan.hasTenant {
		d.tenant = tenant{}
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
	d.run(r, s.steps, rec)
	n := len(r.Extra)
	extra := slices.Grow(r.Extra, len(s.keeps))[:n+len(s.keeps)]
	for i, k := range s.keeps {
		extra[n+i] = flow.Element{PEN: k.pen, ID: k.id, Value: rec[k.off:k.end:k.end]}
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
		fits, lossless = m.kind.fit(len(b))
		switch {
		case fits && len(b) <= maxStep:
			d.slow(m.op, r, b)
			if m.present != noField {
				r.Present.Add(m.present)
			}
		case m.kind == octets:
			d.slow(m.op, r, nil)
			lossless = false
		default:
			lossless = false
		}
	}
	if m.extra || !lossless && m.kind != instant {
		r.Extra = append(r.Extra, flow.Element{PEN: m.pen, ID: m.id, Value: b})
	}
}

// union returns the fields of both sets.
func union(a, b flow.Set) flow.Set {
	for i := range a {
		a[i] |= b[i]
	}
	return a
}

// run executes the steps on the record rec: the frequent ones here, the others
// by their group.
func (d *RecordDecoder) run(r *flow.Record, steps []step, rec []byte) {
	for i := range steps {
		s := &steps[i]
		b := rec[s.off:]
		switch s.op {
		case fuseFlow4:
			r.Src = netip.AddrFrom4([4]byte(b))
			r.Dst = netip.AddrFrom4([4]byte(rec[s.more[0]:]))
			r.SrcPort = binary.BigEndian.Uint16(rec[s.more[1]:])
			r.DstPort = binary.BigEndian.Uint16(rec[s.more[2]:])
			r.Proto = rec[s.more[3]]
		case fuseFlow16:
			r.Src = netip.AddrFrom16([16]byte(b))
			r.Dst = netip.AddrFrom16([16]byte(rec[s.more[0]:]))
			r.SrcPort = binary.BigEndian.Uint16(rec[s.more[1]:])
			r.DstPort = binary.BigEndian.Uint16(rec[s.more[2]:])
			r.Proto = rec[s.more[3]]
		case fuseRoute:
			r.Input = binary.BigEndian.Uint32(b)
			r.Output = binary.BigEndian.Uint32(rec[s.more[0]:])
			r.SrcAS = binary.BigEndian.Uint32(rec[s.more[1]:])
			r.DstAS = binary.BigEndian.Uint32(rec[s.more[2]:])
			r.SrcMask, r.DstMask = rec[s.more[3]], rec[s.more[4]]
		case fuseBits:
			r.TCPFlags, r.SrcTOS = uint16(b[0]), rec[s.more[0]]
		case fuseCounters8:
			r.Bytes = binary.BigEndian.Uint64(b)
			r.Packets = binary.BigEndian.Uint64(rec[s.more[0]:])
		case fuseCounters4:
			r.Bytes = uint64(binary.BigEndian.Uint32(b))
			r.Packets = uint64(binary.BigEndian.Uint32(rec[s.more[0]:]))
		case fuseInterfaces4:
			r.Input = binary.BigEndian.Uint32(b)
			r.Output = binary.BigEndian.Uint32(rec[s.more[0]:])
		case fuseTimes8:
			d.times.first = flow.Milli(binary.BigEndian.Uint64(b))
			d.times.last = flow.Milli(binary.BigEndian.Uint64(rec[s.more[0]:]))
		case fuseUptimes:
			d.times.upFirst, d.times.upLast = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(rec[s.more[0]:])
			d.times.hasUp = 3
		case fuseReason:
			r.Direction, r.EndReason = b[0], rec[s.more[0]]
		case fuseAttrs:
			r.IngressAttr = binary.BigEndian.Uint16(b)
			r.EgressAttr = binary.BigEndian.Uint16(rec[s.more[0]:])
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
		case fastFirst8:
			d.times.first = flow.Milli(binary.BigEndian.Uint64(b))
		case fastLast8:
			d.times.last = flow.Milli(binary.BigEndian.Uint64(b))
		case fastFirstUptime:
			d.times.upFirst, d.times.hasUp = binary.BigEndian.Uint32(b), d.times.hasUp|1
		case fastLastUptime:
			d.times.upLast, d.times.hasUp = binary.BigEndian.Uint32(b), d.times.hasUp|2
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
			d.slow(s.op, r, b[:s.n:s.n])
		}
	}
}

// slow executes the operations that the loop does not.
func (d *RecordDecoder) slow(o op, r *flow.Record, b []byte) {
	switch {
	case o < lastCommon:
		d.common(o, r, b)
	case o < lastForward:
		forward(o, r, b)
	default:
		d.event(o, r, b)
	}
}

// addr reads an address of 4 or 16 bytes. An IPv4 address in IPv6's clothes
// stays what it was on the wire.
func addr(b []byte) netip.Addr {
	if len(b) == 4 {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrFrom16([16]byte(b))
}

// orAddr sets a to the address in b where a is still zero.
func orAddr(a *netip.Addr, b []byte) {
	if !a.IsValid() || a.IsUnspecified() {
		if v := addr(b); !v.IsUnspecified() || !a.IsValid() {
			*a = v
		}
	}
}

// or16 sets v to the integer in b where v is still zero.
func or16(v *uint16, b []byte) {
	if *v == 0 {
		*v = uint16(wire.Uint(b))
	}
}

// or8 sets v to the integer in b where v is still zero.
func or8(v *uint8, b []byte) {
	if *v == 0 {
		*v = uint8(wire.Uint(b))
	}
}

// common executes the operations on fields that most templates have.
func (d *RecordDecoder) common(o op, r *flow.Record, b []byte) {
	switch o {
	case opSrc:
		r.Src = addr(b)
	case opDst:
		r.Dst = addr(b)
	case opNextHop:
		r.NextHop = addr(b)
	case opBGPNextHop:
		r.BGPNextHop = addr(b)
	case opProto:
		r.Proto = uint8(wire.Uint(b))
	case opSrcPort:
		r.SrcPort = uint16(wire.Uint(b))
	case opDstPort:
		r.DstPort = uint16(wire.Uint(b))
	case opTCPFlags:
		r.TCPFlags = uint16(wire.Uint(b))
		if len(b) > 1 {
			r.Present.Add(flow.TCPFlagsWide)
		}
	case opSrcTOS:
		r.SrcTOS = uint8(wire.Uint(b))
	case opDstTOS:
		r.DstTOS = uint8(wire.Uint(b))
	case opICMP:
		or16(&r.ICMP, b)
	case opICMPType:
		r.ICMP |= uint16(uint8(wire.Uint(b))) << 8
	case opICMPCode:
		r.ICMP |= uint16(uint8(wire.Uint(b)))
	case opIPVersion:
		r.IPVersion = uint8(wire.Uint(b))
	case opBytes:
		r.Bytes = wire.Uint(b)
	case opPackets:
		r.Packets = wire.Uint(b)
	case opOutBytes:
		r.OutBytes = wire.Uint(b)
	case opOutPackets:
		r.OutPackets = wire.Uint(b)
	case opFlows:
		r.Flows = wire.Uint(b)
	case opInput:
		r.Input = uint32(wire.Uint(b))
	case opOutput:
		r.Output = uint32(wire.Uint(b))
	case opSrcMask:
		r.SrcMask = uint8(wire.Uint(b))
	case opDstMask:
		r.DstMask = uint8(wire.Uint(b))
	case opSrcAS:
		r.SrcAS = uint32(wire.Uint(b))
	case opDstAS:
		r.DstAS = uint32(wire.Uint(b))
	default:
		d.second(o, r, b)
	}
}

// second executes the operations for the second direction, the second address
// family, and the times.
func (d *RecordDecoder) second(o op, r *flow.Record, b []byte) {
	switch o {
	case opSrcAlt:
		orAddr(&r.Src, b)
	case opDstAlt:
		orAddr(&r.Dst, b)
	case opNextHopAlt:
		orAddr(&r.NextHop, b)
	case opBGPNextHopAlt:
		orAddr(&r.BGPNextHop, b)
	case opXlateSrc:
		r.XlateSrc = addr(b)
	case opXlateSrcAlt:
		orAddr(&r.XlateSrc, b)
	case opXlateDst:
		r.XlateDst = addr(b)
	case opXlateDstAlt:
		orAddr(&r.XlateDst, b)
	case opTunSrc:
		r.TunSrc = addr(b)
	case opTunSrcAlt:
		orAddr(&r.TunSrc, b)
	case opTunDst:
		r.TunDst = addr(b)
	case opTunDstAlt:
		orAddr(&r.TunDst, b)
	case opTenantSrc:
		orAddr(&d.tenant.src, b)
	case opTenantDst:
		orAddr(&d.tenant.dst, b)
	case opSrcPortAlt:
		or16(&r.SrcPort, b)
	case opDstPortAlt:
		or16(&r.DstPort, b)
	case opSrcMaskAlt:
		or8(&r.SrcMask, b)
	case opDstMaskAlt:
		or8(&r.DstMask, b)
	case opRevBytes:
		r.RevBytes = wire.Uint(b)
	case opRevPackets:
		r.RevPackets = wire.Uint(b)
	default:
		d.times.set(o, b, r)
	}
}

// forward executes the operations on the fields of forwarding and layer 2.
func forward(o op, r *flow.Record, b []byte) {
	switch o {
	case opSamplerID:
		if r.SamplerID == 0 {
			r.SamplerID = wire.Uint(b)
		}
	case opRate:
		if r.SamplingRate == 0 {
			r.SamplingRate = uint32(min(wire.Uint(b), 1<<32-1))
			r.SamplingSource = flow.RateRecord
		}
	case opNextAS:
		r.NextAS = uint32(wire.Uint(b))
	case opPrevAS:
		r.PrevAS = uint32(wire.Uint(b))
	case opDirection:
		r.Direction = uint8(wire.Uint(b))
	case opFwdStatus:
		r.FwdStatus = uint8(wire.Uint(b))
	case opEndReason:
		r.EndReason = uint8(wire.Uint(b))
	case opBiflowDir:
		r.BiflowDir = uint8(wire.Uint(b))
	case opMinTTL:
		r.MinTTL = uint8(wire.Uint(b))
	case opMaxTTL:
		r.MaxTTL = uint8(wire.Uint(b))
	case opFragFlags:
		r.FragFlags = uint8(wire.Uint(b))
	case opFlowID:
		r.FlowID = wire.Uint(b)
	case opIngressVRF:
		r.IngressVRF = uint32(wire.Uint(b))
	case opEgressVRF:
		r.EgressVRF = uint32(wire.Uint(b))
	case opSrcVLAN:
		r.SrcVLAN = uint16(wire.Uint(b))
	case opDstVLAN:
		r.DstVLAN = uint16(wire.Uint(b))
	case opInSrcMAC:
		r.InSrcMAC = [6]byte(b)
	case opOutDstMAC:
		r.OutDstMAC = [6]byte(b)
	case opInDstMAC:
		r.InDstMAC = [6]byte(b)
	case opOutSrcMAC:
		r.OutSrcMAC = [6]byte(b)
	case opEngineType:
		r.EngineType = uint8(wire.Uint(b))
	case opEngineID:
		r.EngineID = uint8(wire.Uint(b))
	case opAppID:
		r.AppID = b
	case opUser:
		r.User = b
	case opObservationPoint:
		r.ObservationPoint = wire.Uint(b)
	case opSegmentID:
		r.SegmentID = wire.Uint(b)
	case opIngressAttr:
		r.IngressAttr = uint16(wire.Uint(b))
	case opEgressAttr:
		r.EgressAttr = uint16(wire.Uint(b))
	default:
		if o >= opMPLS && o <= opMPLSLast {
			i := uint8(o - opMPLS)
			r.MPLS[i] = uint32(wire.Uint(b))
			r.MPLSDepth = max(r.MPLSDepth, i+1)
		}
	}
}

// event executes the operations on the fields of state changes and tunnels.
func (d *RecordDecoder) event(o op, r *flow.Record, b []byte) {
	switch o {
	case opBoot:
		d.times.boot = wire.Uint(b)
	case opEventSec:
		r.EventTime = flow.Milli(min(wire.Uint(b), maxMilli/1000) * 1000)
	case opEventMilli:
		r.EventTime = flow.Milli(wire.Uint(b))
	case opEventNTP:
		r.EventTime = ntp(wire.Uint(b), len(b))
	case opFwEvent:
		r.FwEvent = uint8(wire.Uint(b))
	case opFwXEvent:
		r.FwXEvent = uint16(wire.Uint(b))
	case opNATEvent:
		r.NATEvent = uint8(wire.Uint(b))
	case opNATPool:
		r.NATPool = uint32(wire.Uint(b))
	case opXlateSPort:
		r.XlateSPort = uint16(wire.Uint(b))
	case opXlateDPort:
		r.XlateDPort = uint16(wire.Uint(b))
	case opIngressACL:
		r.IngressACL = [12]byte(b)
	case opEgressACL:
		r.EgressACL = [12]byte(b)
	case opTunProto:
		r.TunProto = uint8(wire.Uint(b))
	case opTenantProto:
		d.tenant.proto = uint8(wire.Uint(b))
	case opTenantSrcPort:
		d.tenant.srcPort = uint16(wire.Uint(b))
	case opTenantDstPort:
		d.tenant.dstPort = uint16(wire.Uint(b))
	default:
		if o >= opPortBlock && o <= opPortBlockLast {
			r.PortBlock[o-opPortBlock] = uint16(wire.Uint(b))
		}
	}
}

// The protocol numbers whose ports are type and code.
const (
	protoICMP   = 1
	protoICMPv6 = 58
)

// finish sets what depends on several fields of the record.
func (d *RecordDecoder) finish(t *Template, r *flow.Record) {
	if t.plan.section {
		d.dissect(r)
	}
	if t.plan.lists {
		d.unfold(r)
	}
	if t.plan.hasTenant {
		d.enter(r)
	}
	if t.plan.hasICMP && (r.Proto == protoICMP || r.Proto == protoICMPv6) {
		r.DstPort = r.ICMP
	}
	if t.plan.event {
		r.Event = r.Bytes == 0 && r.Packets == 0 && r.RevBytes == 0 && r.RevPackets == 0
	}
	if r.Bytes == 0 && r.Packets == 0 && r.OutBytes|r.OutPackets != 0 {
		d.instead(r)
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

// instead makes the counters behind the observation point the flow's, where those
// before it are zero: some exporters fill one pair for flows that come in and the
// other for those that go out. What was sent stays in Extra.
func (d *RecordDecoder) instead(r *flow.Record) {
	r.Bytes, r.Packets = r.OutBytes, r.OutPackets
	for _, c := range [...]struct {
		field flow.Field
		id    uint16
	}{{flow.Bytes, 1}, {flow.Packets, 2}} {
		if r.Has(c.field) {
			r.Extra = append(r.Extra, flow.Element{ID: c.id, Value: d.zero[:]})
		}
	}
}

// enter makes the tenant's flow inside a VXLAN segment the record's flow, and
// the outer addresses its tunnel, where the exporter sent a tenant's address.
func (d *RecordDecoder) enter(r *flow.Record) {
	in := &d.tenant
	if (!in.src.IsValid() || in.src.IsUnspecified()) && (!in.dst.IsValid() || in.dst.IsUnspecified()) {
		return
	}
	if !r.TunSrc.IsValid() || r.TunSrc.IsUnspecified() {
		r.TunSrc = r.Src
	}
	if !r.TunDst.IsValid() || r.TunDst.IsUnspecified() {
		r.TunDst = r.Dst
	}
	if r.TunProto == 0 {
		r.TunProto = r.Proto
	}
	r.Present.Add(flow.TunSrc)
	r.Present.Add(flow.TunDst)
	r.Present.Add(flow.TunProto)
	r.Src, r.Dst, r.Proto = in.src, in.dst, in.proto
	r.SrcPort, r.DstPort = in.srcPort, in.dstPort
	r.IPVersion = 0
	for _, f := range [...]flow.Field{flow.Src, flow.Dst, flow.SrcPort, flow.DstPort, flow.Proto} {
		r.Present.Add(f)
	}
}
