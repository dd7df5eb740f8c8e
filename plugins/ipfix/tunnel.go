package ipfix

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// innerFlow is the flow inside a tunnel: the tenant's in a VXLAN segment, by VMware's
// elements 880 to 887, or what the elements say that stand in a record for the second
// time (RFC 7011, section 8: the order is that of the headers, the outermost first), as
// routers send it of SRv6 and of IP in IP.
type innerFlow struct {
	has              flow.Set
	src, dst         netip.Addr
	srcPort, dstPort uint16
	proto            uint8
	flags            uint16
	tos              uint8
	srcMAC, dstMAC   [6]byte
}

// innerOf are the fields that a flow inside a tunnel has of its own, and the elements
// that tell them.
var innerOf = flow.SetOf(flow.Src, flow.Dst, flow.SrcPort, flow.DstPort, flow.Proto, flow.TCPFlags, flow.SrcTOS,
	flow.InSrcMAC, flow.InDstMAC)

// endpoints are those of innerOf that make a tunnel of a record where they come again.
var endpoints = flow.SetOf(flow.Src, flow.Dst, flow.SrcPort, flow.DstPort, flow.Proto)

// innerFields says which fields of a template are of a flow inside a tunnel: those that
// come again and, where any does, addresses of the other family that stand with them.
func innerFields(fields []FieldSpec, nth []int) []bool {
	inner := make([]bool, len(fields))
	tunnel := false
	for i, f := range fields {
		of := fieldOf(f)
		inner[i] = of != noField && nth[i] > 0
		tunnel = tunnel || inner[i] && endpoints.Has(of)
	}
	if !tunnel {
		clear(inner)
		return inner
	}
	for i, f := range fields {
		if of := fieldOf(f); nth[i] == 0 && (of == flow.Src || of == flow.Dst) {
			inner[i] = otherFamily(fields, i, of)
		}
	}
	return inner
}

// otherFamily says whether the address at i, the first of its element in a template with
// a flow inside another, is of the inner header: the outer one's stands before it in the
// other family, and another of that, if there is any, is further than the inner one's.
func otherFamily(fields []FieldSpec, i int, of flow.Field) bool {
	others, before := []int{}, false
	for j, f := range fields {
		if fieldOf(f) != of {
			continue
		}
		if j != i && f.ID == fields[i].ID {
			return false // it comes again: this is the outer one
		}
		if j != i {
			others = append(others, j)
			before = before || j < i
		}
	}
	if len(others) < 2 {
		return before
	}
	first, last := others[0], others[len(others)-1]
	return before && max(last-i, i-last) < i-first
}

// fieldOf returns the field of innerOf that an element of IANA's fills, noField for
// others.
func fieldOf(f FieldSpec) flow.Field {
	if f.PEN != 0 {
		return noField
	}
	if uses := flow.Uses(0, f.ID); len(uses) == 1 && !uses[0].Keep && uses[0].Form == flow.FormWhole &&
		innerOf.Has(uses[0].Field) {
		return uses[0].Field
	}
	return noField
}

// sentOnce returns the fields of a template with a flow inside another that no element tells
// for the second time, and that stand behind an address of the inner header: they are of
// that one.
func (c *compiler) sentOnce() (once flow.Set) {
	behind, again := false, flow.Set{}
	for i, f := range c.fields {
		of := fieldOf(f)
		switch {
		case c.inner[i]:
			behind = behind || of == flow.Src || of == flow.Dst
			again.Add(of)
		case behind && (of == flow.Proto || of == flow.SrcPort || of == flow.DstPort):
			once.Add(of)
		}
	}
	return once.Without(again)
}

// set takes a value of the inner flow; of several the last one that is not zero, as
// that is of the innermost.
func (in *innerFlow) set(f flow.Field, b []byte) {
	in.has.Add(f)
	switch f {
	case flow.Src:
		in.src = innermost(in.src, b)
	case flow.Dst:
		in.dst = innermost(in.dst, b)
	case flow.SrcPort:
		in.srcPort = uint16(wire.Uint(b))
	case flow.DstPort:
		in.dstPort = uint16(wire.Uint(b))
	case flow.Proto:
		in.proto = uint8(wire.Uint(b))
	case flow.TCPFlags:
		in.flags = uint16(wire.Uint(b))
	case flow.SrcTOS:
		in.tos = uint8(wire.Uint(b))
	case flow.InSrcMAC:
		copy(in.srcMAC[:], b)
	case flow.InDstMAC:
		copy(in.dstMAC[:], b)
	}
}

// innermost returns the address in b, or a where that is zero.
func innermost(a netip.Addr, b []byte) netip.Addr {
	if v := addr(b); !v.IsUnspecified() || !a.IsValid() {
		return v
	}
	return a
}

// isTold says whether there is an inner flow: an exporter sends zeros for what is in no
// tunnel.
func (in *innerFlow) isTold() bool {
	return in.src.IsValid() && !in.src.IsUnspecified() || in.dst.IsValid() && !in.dst.IsUnspecified()
}

// apply makes the inner flow the record's, and the outer addresses its tunnel; once are
// the fields that the template has once, for the inner header.
func (in *innerFlow) apply(r *flow.Record, once flow.Set) {
	if !in.isTold() {
		return
	}
	if !r.TunSrc.IsValid() || r.TunSrc.IsUnspecified() {
		r.TunSrc = r.Src
	}
	if !r.TunDst.IsValid() || r.TunDst.IsUnspecified() {
		r.TunDst = r.Dst
	}
	r.Present = r.Present.Union(flow.SetOf(flow.TunSrc, flow.TunDst, flow.Src, flow.Dst))
	in.transport(r, once)
	r.Src, r.Dst = in.src, in.dst
	r.IPVersion = 0
	if in.has.Has(flow.TCPFlags) {
		r.TCPFlags = in.flags
	}
	if in.has.Has(flow.SrcTOS) {
		r.SrcTOS = in.tos
	}
	if in.has.Has(flow.InSrcMAC) {
		r.InSrcMAC = in.srcMAC
	}
	if in.has.Has(flow.InDstMAC) {
		r.InDstMAC = in.dstMAC
	}
}

// transport exchanges the protocol and the ports. What the record tells once is of the
// inner header where it stands behind that one's addresses, or where the outer one cannot
// have it: a protocol that carries no tunnel, the ports of one without any.
func (in *innerFlow) transport(r *flow.Record, once flow.Set) {
	outer, known := r.Proto, r.Has(flow.Proto)
	again := in.has.Has(flow.Proto)
	switch {
	case again:
		r.Proto = in.proto
		r.Present.Add(flow.Proto)
	case known && (once.Has(flow.Proto) || !carriesTunnels(outer)):
		outer, known = 0, false
	default:
		r.Proto = 0
		r.Present.Remove(flow.Proto)
	}
	if known {
		if r.TunProto == 0 {
			r.TunProto = outer
		}
		r.Present.Add(flow.TunProto)
	}
	ports := flow.SetOf(flow.SrcPort, flow.DstPort)
	if in.has.Meets(ports) || !once.Meets(ports) && known && outer == protoUDP {
		in.ports(r)
	}
}

// ports exchanges the ports. Those of the outer header are kept where there are any.
func (in *innerFlow) ports(r *flow.Record) {
	if r.TunSrcPort == 0 && r.TunDstPort == 0 && r.SrcPort|r.DstPort != 0 {
		r.TunSrcPort, r.TunDstPort = r.SrcPort, r.DstPort
		r.Present.Add(flow.TunSrcPort)
		r.Present.Add(flow.TunDstPort)
	}
	r.SrcPort, r.DstPort = in.srcPort, in.dstPort
	r.Present.Add(flow.SrcPort)
	r.Present.Add(flow.DstPort)
}

// carriesTunnels says whether a header of IP may follow one of the protocol (IANA's
// protocol numbers): behind TCP, ICMP and their like there is none.
func carriesTunnels(proto uint8) bool {
	switch proto {
	case protoICMP, protoTCP, protoICMPv6, protoDCCP, protoSCTP, protoUDPLite:
		return false
	}
	return true
}

// outerUse returns the field that the outer header's element is written from, in a
// template that has a flow inside another.
func outerUse(u *flow.Use) *flow.Use {
	if u == nil {
		return nil
	}
	outer := *u
	switch u.Field {
	case flow.Src:
		outer.Field = flow.TunSrc
	case flow.Dst:
		outer.Field = flow.TunDst
	case flow.SrcPort:
		outer.Field = flow.TunSrcPort
	case flow.DstPort:
		outer.Field = flow.TunDstPort
	case flow.Proto:
		outer.Field = flow.TunProto
	default:
		return u
	}
	return &outer
}

// usesOf appends the fields of a record that those of a template are written from: to
// plain for flows in no tunnel, of which the inner header is zero, to tunnelled for others.
func (t *Template) usesOf(plain, tunnelled []*flow.Use) (_, _ []*flow.Use) {
	c := newCompiler(t.Fields, t.v9)
	for i, f := range t.Fields {
		u := useOf(f)
		both := [2]*flow.Use{u, u}
		switch {
		case !t.plan.tunnel:
		case c.inner[i] || u != nil && u.Form == flow.FormInner:
			both[0] = nil
		case c.hasInner(u):
			both[1] = outerUse(u)
		}
		plain, tunnelled = append(plain, both[0]), append(tunnelled, both[1])
	}
	return plain, tunnelled
}

// hasInner says whether a field of the record comes from the inner header in the
// template.
func (c *compiler) hasInner(u *flow.Use) bool {
	if u == nil {
		return false
	}
	_, ok := c.mains[place{u.Field, u.Index, true}]
	return ok
}
