package ipfix

import (
	"net/netip"

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

	layout []step // of the record at hand, for templates with variable fields
	times  times
	tenant tenant
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
	extra := r.Extra[:0]
	*r = d.Base
	r.Extra = extra
	r.TemplateID = t.ID
	n, steps := t.min, t.plan.steps
	if t.variable {
		var err error
		if n, err = d.lay(t, r, b); err != nil {
			return 0, err
		}
		steps = d.layout
	} else {
		if len(b) < n {
			return 0, shortRecord(t, 0, len(b))
		}
		r.Present = union(r.Present, t.plan.present)
	}
	d.times = times{}
	d.run(r, steps, b[:n])
	d.finish(t, r)
	return n, nil
}

// union returns the fields of both sets.
func union(a, b flow.Set) flow.Set {
	for i := range a {
		a[i] |= b[i]
	}
	return a
}

// lay finds where the fields of the record at the start of b are, and leaves
// steps with these places in d.layout. It returns the record's length.
func (d *RecordDecoder) lay(t *Template, r *flow.Record, b []byte) (int, error) {
	d.layout = append(d.layout[:0], t.plan.steps...)
	off, next := 0, 0
	for i, f := range t.Fields {
		prefix, n, ok := f.next(b[off:])
		if !ok || off+prefix+n > Variable {
			return 0, shortRecord(t, off, len(b))
		}
		off += prefix
		for ; next < len(d.layout) && int(d.layout[next].field) == i; next++ {
			s := &d.layout[next]
			s.off, s.end = uint16(off), uint16(off+n)
			fits, lossless := s.kind.fit(n)
			if !fits {
				s.op = opNone
			}
			if f.Length == Variable && s.op != opNone && !lossless || !fits && last(d.layout, next) {
				s.extra = true
			}
			if s.op != opNone && s.present != noField {
				r.Present.Add(s.present)
			}
		}
		off += n
	}
	return off, nil
}

// last says whether step i is the last one for its field.
func last(steps []step, i int) bool {
	return i+1 == len(steps) || steps[i+1].field != steps[i].field
}

// run executes the steps on the record rec.
func (d *RecordDecoder) run(r *flow.Record, steps []step, rec []byte) {
	for i := range steps {
		s := &steps[i]
		b := rec[s.off:s.end:s.end]
		switch {
		case s.op == opNone:
		case s.op < lastCommon:
			d.common(s.op, r, b)
		case s.op < lastForward:
			forward(s, r, b)
		default:
			d.event(s, r, b)
		}
		if s.extra {
			r.Extra = append(r.Extra, flow.Element{PEN: s.pen, ID: s.id, Value: b})
		}
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
	case opXlateSrc, opXlateSrcAlt:
		orAddr(&r.XlateSrc, b)
	case opXlateDst, opXlateDstAlt:
		orAddr(&r.XlateDst, b)
	case opTunSrc, opTunSrcAlt:
		orAddr(&r.TunSrc, b)
	case opTunDst, opTunDstAlt:
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
func forward(s *step, r *flow.Record, b []byte) {
	switch s.op {
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
	case opMPLS:
		i := s.id - 70
		r.MPLS[i] = uint32(wire.Uint(b))
		r.MPLSDepth = max(r.MPLSDepth, uint8(i+1))
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
	}
}

// event executes the operations on the fields of state changes and tunnels.
func (d *RecordDecoder) event(s *step, r *flow.Record, b []byte) {
	switch s.op {
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
	case opPortBlock:
		r.PortBlock[s.id-361] = uint16(wire.Uint(b))
	case opTunProto:
		r.TunProto = uint8(wire.Uint(b))
	case opTenantProto:
		d.tenant.proto = uint8(wire.Uint(b))
	case opTenantSrcPort:
		d.tenant.srcPort = uint16(wire.Uint(b))
	case opTenantDstPort:
		d.tenant.dstPort = uint16(wire.Uint(b))
	}
}

// The protocol numbers whose ports are type and code.
const (
	protoICMP   = 1
	protoICMPv6 = 58
)

// finish sets what depends on several fields of the record.
func (d *RecordDecoder) finish(t *Template, r *flow.Record) {
	if t.plan.hasTenant {
		d.enter(r)
	}
	if t.plan.hasICMP && (r.Proto == protoICMP || r.Proto == protoICMPv6) {
		r.DstPort = r.ICMP
	}
	if t.plan.event {
		r.Event = r.Bytes == 0 && r.Packets == 0 && r.RevBytes == 0 && r.RevPackets == 0
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

// enter makes the tenant's flow inside a VXLAN segment the record's flow, and
// the outer addresses its tunnel, where the exporter sent a tenant's address.
func (d *RecordDecoder) enter(r *flow.Record) {
	in := d.tenant
	d.tenant = tenant{}
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
