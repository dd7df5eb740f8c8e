package exporter

import (
	"math"
	"math/bits"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// carriage is the element that a field travels in.
type carriage struct {
	field flow.Field
	id    uint16 // NetFlow v9 and IPFIX
	id6   uint16 // instead of it for an IPv6 address, where that differs
	size  uint16 // 0: that of the address
	pen   uint32 // which only IPFIX has
	only  flow.Version
}

// userLength is the longest user name of Cisco's firewalls in bytes.
const userLength = 65

// carriages are the elements of all fields that may travel, but for those of specials.
// Where several fill a field it is the one that collectors know best, with the size in
// which nothing is cut.
var carriages = []carriage{
	{field: flow.FirstSeen, id: ie.FlowStartMilliseconds, size: 8},
	{field: flow.LastSeen, id: ie.FlowEndMilliseconds, size: 8},
	{field: flow.Src, id: 8, id6: 27}, {field: flow.Dst, id: 12, id6: 28},
	{field: flow.SrcPort, id: 7, size: 2}, {field: flow.DstPort, id: 11, size: 2},
	{field: flow.Proto, id: 4, size: 1},
	{field: flow.SrcTOS, id: 5, size: 1}, {field: flow.DstTOS, id: 55, size: 1},
	{field: flow.Bytes, id: 1, size: 8}, {field: flow.Packets, id: 2, size: 8},
	{field: flow.RevBytes, id: 232, size: 8, only: flow.V9},
	{field: flow.RevPackets, id: 299, size: 8, only: flow.V9},
	{field: flow.RevBytes, pen: ie.ReversePEN, id: 1, size: 8},
	{field: flow.RevPackets, pen: ie.ReversePEN, id: 2, size: 8},
	{field: flow.OutBytes, id: 23, size: 8}, {field: flow.OutPackets, id: 24, size: 8},
	{field: flow.Flows, id: 3, size: 8}, {field: flow.SamplingRate, id: 34, size: 4},
	{field: flow.SamplerID, id: 48, size: 4, only: flow.V9},
	{field: flow.SamplerID, id: 302, size: 8, only: flow.IPFIX},
	{field: flow.Input, id: 10, size: 4}, {field: flow.Output, id: 14, size: 4},
	{field: flow.SrcMask, id: 9, id6: 29, size: 1}, {field: flow.DstMask, id: 13, id6: 30, size: 1},
	{field: flow.SrcAS, id: 16, size: 4}, {field: flow.DstAS, id: 17, size: 4},
	{field: flow.NextAS, id: 128, size: 4}, {field: flow.PrevAS, id: 129, size: 4},
	{field: flow.NextHop, id: 15, id6: 62}, {field: flow.BGPNextHop, id: 18, id6: 63},
	{field: flow.Direction, id: 61, size: 1}, {field: flow.FwdStatus, id: 89, size: 1},
	{field: flow.EndReason, id: 136, size: 1}, {field: flow.BiflowDir, id: 239, size: 1},
	{field: flow.MinTTL, id: 52, size: 1}, {field: flow.MaxTTL, id: 53, size: 1},
	{field: flow.FragFlags, id: 197, size: 1}, {field: flow.FlowID, id: 148, size: 8},
	{field: flow.IngressVRF, id: 234, size: 4}, {field: flow.EgressVRF, id: 235, size: 4},
	{field: flow.SrcVLAN, id: 58, size: 2}, {field: flow.DstVLAN, id: 59, size: 2},
	{field: flow.InSrcMAC, id: 56, size: 6}, {field: flow.OutDstMAC, id: 57, size: 6},
	{field: flow.InDstMAC, id: 80, size: 6}, {field: flow.OutSrcMAC, id: 81, size: 6},
	{field: flow.EventTime, id: 323, size: 8}, {field: flow.FwEvent, id: 233, size: 1},
	{field: flow.FwXEvent, id: 33002, size: 2, only: flow.V9},
	{field: flow.NATEvent, id: 230, size: 1}, {field: flow.NATPool, id: 283, size: 4},
	{field: flow.XlateSrc, id: 225, id6: 281}, {field: flow.XlateDst, id: 226, id6: 282},
	{field: flow.XlateSPort, id: 227, size: 2}, {field: flow.XlateDPort, id: 228, size: 2},
	{field: flow.IngressACL, id: 33000, size: 12, only: flow.V9},
	{field: flow.EgressACL, id: 33001, size: 12, only: flow.V9},
	{field: flow.User, id: 40000, size: userLength, only: flow.V9},
	{field: flow.User, id: 371, size: ipfix.Variable, only: flow.IPFIX},
	{field: flow.TunSrc, pen: ie.VMwarePEN, id: 893}, {field: flow.TunDst, pen: ie.VMwarePEN, id: 894},
	{field: flow.TunProto, pen: ie.VMwarePEN, id: 895, size: 1},
	{field: flow.TunSrcPort, pen: ie.VMwarePEN, id: 896, size: 2},
	{field: flow.TunDstPort, pen: ie.VMwarePEN, id: 897, size: 2},
	{field: flow.ObservationPoint, id: 138, size: 8}, {field: flow.SegmentID, id: 351, size: 8},
	{field: flow.IngressAttr, pen: ie.VMwarePEN, id: 890, size: 2},
	{field: flow.EgressAttr, pen: ie.VMwarePEN, id: 888, size: 2},
}

// specials are the fields whose elements depend on the flow, and those that need none.
var specials = flow.SetOf(flow.TCPFlags, flow.ICMP, flow.MPLS, flow.AppID, flow.PortBlock, flow.Router,
	flow.EngineType, flow.EngineID, flow.TimeRepair, flow.TCPFlagsWide, flow.IPVersion)

// eachField calls fn for the fields of a set.
func eachField(s flow.Set, fn func(flow.Field)) {
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			fn(flow.Field(64*i + bits.TrailingZeros64(word)))
		}
	}
}

// carriedBy returns the fields for which a version, NetFlow v9 or IPFIX, has elements.
func carriedBy(v flow.Version) flow.Set {
	carried := specials
	for i := range carriages {
		if carriages[i].in(v) {
			carried.Add(carriages[i].field)
		}
	}
	return carried
}

var carriedByV9, carriedByIPFIX = carriedBy(flow.V9), carriedBy(flow.IPFIX)

// notCarried returns the fields of a flow that a version has no place for, and that are
// not zero.
func notCarried(v flow.Version, r *flow.Record) (lost flow.Set) {
	carried := carriedByIPFIX
	switch v {
	case flow.V5:
		carried = inV5
	case flow.V9:
		carried = carriedByV9
	}
	eachField(r.Present.Without(carried), func(f flow.Field) {
		if !isZero(r, f) && !(v == flow.V5 && f == flow.Flows && r.Flows == 1) {
			lost.Add(f)
		}
	})
	return lost
}

// in says whether a version has the element.
func (c *carriage) in(v flow.Version) bool {
	return (c.only == 0 || c.only == v) && (c.pen == 0 || v == flow.IPFIX)
}

// isZero says whether a flow has nothing in a field, so that nothing is lost without it.
func isZero(r *flow.Record, f flow.Field) bool {
	switch f.Describe().Kind {
	case flow.KindAddress:
		return !r.Addr(f).IsValid()
	case flow.KindMAC, flow.KindText, flow.KindOctets:
		return !slices.ContainsFunc(r.Octets(f), func(b byte) bool { return b != 0 })
	case flow.KindMark:
		return true
	}
	return r.Number(f) == 0
}

// elementsOf returns the elements that carry a flow in a version, NetFlow v9 or IPFIX.
func elementsOf(v flow.Version, r *flow.Record) (specs []ipfix.FieldSpec) {
	for _, c := range carriages {
		if !r.Has(c.field) || !c.in(v) {
			continue
		}
		spec := ipfix.FieldSpec{PEN: c.pen, ID: c.id, Length: c.size}
		address := c.field.Describe().Kind == flow.KindAddress
		if address && !r.Addr(c.field).IsValid() {
			continue
		}
		six := address && r.Addr(c.field).Is6() || !address && r.Src.Is6()
		if c.id6 != 0 && six {
			spec.ID = c.id6
		}
		if address {
			spec.Length = 4
			if six {
				spec.Length = 16
			}
		}
		if c.field == flow.FlowID && r.Has(flow.FwEvent) && r.FlowID <= math.MaxUint32 {
			spec.Length = 4 // the connection of a firewall
		}
		specs = append(specs, spec)
	}
	return append(specs, specialElements(v, r)...)
}

// specialElements returns the elements of specials.
func specialElements(v flow.Version, r *flow.Record) (specs []ipfix.FieldSpec) {
	add := func(id uint16, size int) {
		specs = append(specs, ipfix.FieldSpec{ID: id, Length: uint16(size)})
	}
	if r.Has(flow.TCPFlags) {
		size := 1
		if v == flow.IPFIX && (r.Has(flow.TCPFlagsWide) || r.TCPFlags > math.MaxUint8) {
			size = 2
		}
		add(6, size)
	}
	if r.Has(flow.ICMP) { // for collectors that do not look for it in the port
		id := uint16(32)
		if v == flow.IPFIX && r.Proto == protoICMPv6 {
			id = 139
		}
		add(id, 2)
	}
	if r.Has(flow.MPLS) {
		for i := range max(r.MPLSDepth, 1) {
			add(70+uint16(i), 3)
		}
	}
	if r.Has(flow.AppID) && len(r.AppID) > 0 {
		size := len(r.AppID)
		if v == flow.IPFIX && size != 4 {
			size = ipfix.Variable
		}
		add(95, size)
	}
	if r.Has(flow.PortBlock) {
		for i := range uint16(4) {
			add(361+i, 2)
		}
	}
	if r.EngineType|r.EngineID != 0 {
		add(38, 1)
		add(39, 1)
	}
	if !r.Src.IsValid() && r.IPVersion != 0 {
		add(60, 1)
	}
	return specs
}

// extraElement returns the element for one of a flow's Extra, and whether the version
// has a place for it. Those of times, which the flow's own fields tell, need none.
func extraElement(v flow.Version, e *flow.Element) (spec ipfix.FieldSpec, needed, possible bool) {
	for _, u := range flow.Uses(e.PEN, e.ID) {
		if u.Field == flow.FirstSeen || u.Field == flow.LastSeen || u.Field == flow.EventTime {
			return spec, false, true
		}
	}
	switch {
	case e.PEN == 0 && (e.ID >= ie.FlowStartDeltaMicroseconds && e.ID <= ie.FlowDurationMicroseconds ||
		e.ID == ie.PaddingOctets):
		return spec, false, true
	case v == flow.V9 && e.PEN != 0, v == flow.IPFIX && e.ID >= enterprise:
		return spec, true, false
	}
	spec = ipfix.FieldSpec{PEN: e.PEN, ID: e.ID, Length: uint16(len(e.Value))}
	if known, ok := ie.Lookup(e.PEN, e.ID); v == flow.IPFIX && ok &&
		(known.Type == ie.String || known.Type == ie.OctetArray || known.Type >= ie.BasicList) {
		spec.Length = ipfix.Variable
	}
	return spec, len(e.Value) > 0, len(e.Value) < ipfix.Variable
}

// enterprise is the bit of an element's number with which IPFIX says that a private
// enterprise number follows: NetFlow v9 alone has elements of these numbers.
const enterprise = 0x8000
