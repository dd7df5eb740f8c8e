package ipfix

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
)

// op is what a step does with the bytes of a field.
type op uint8

const (
	opNone op = iota // nothing, or only the copy to Extra

	// Addresses, of 4 or 16 bytes. The second of a pair is for a template with
	// both families: it counts only where the first was zero.
	opSrc
	opSrcAlt
	opDst
	opDstAlt
	opNextHop
	opNextHopAlt
	opBGPNextHop
	opBGPNextHopAlt
	opXlateSrc
	opXlateSrcAlt
	opXlateDst
	opXlateDstAlt
	opTunSrc
	opTunSrcAlt
	opTunDst
	opTunDstAlt
	opTenantSrc
	opTenantDst

	// The flow.
	opProto
	opSrcPort
	opSrcPortAlt
	opDstPort
	opDstPortAlt
	opTCPFlags
	opSrcTOS
	opDstTOS
	opICMP
	opICMPType
	opICMPCode
	opIPVersion
	opBytes
	opPackets
	opRevBytes
	opRevPackets
	opOutBytes
	opOutPackets
	opFlows
	opInput
	opOutput
	opSrcMask
	opSrcMaskAlt
	opDstMask
	opDstMaskAlt
	opSrcAS
	opDstAS
	opFirst
	opLast
	opFirstSec
	opLastSec
	opFirstUptime
	opLastUptime
	opFirstNTP
	opLastNTP
	opFirstDelta
	opLastDelta
	opDuration
	opDurationMicro
	lastCommon // the ops up to here are in common, the others in rare

	opSamplerID
	opRate
	opNextAS
	opPrevAS
	opDirection
	opFwdStatus
	opEndReason
	opBiflowDir
	opMinTTL
	opMaxTTL
	opFragFlags
	opFlowID
	opIngressVRF
	opEgressVRF
	opSrcVLAN
	opDstVLAN
	opInSrcMAC
	opOutDstMAC
	opInDstMAC
	opOutSrcMAC
	opMPLS // the first of ten labels
	_
	_
	_
	_
	_
	_
	_
	_
	opMPLSLast
	opEngineType
	opEngineID
	opAppID
	opUser
	opObservationPoint
	opSegmentID
	opIngressAttr
	opEgressAttr
	lastForward // the ops up to here are in forward, the others in event

	opBoot
	opEventSec
	opEventMilli
	opEventNTP
	opFwEvent
	opFwXEvent
	opNATEvent
	opNATPool
	opXlateSPort
	opXlateDPort
	opIngressACL
	opEgressACL
	opPortBlock // the first of four
	_
	_
	opPortBlockLast
	opTunProto
	opTenantProto
	opTenantSrcPort
	opTenantDstPort
	lastSlow
)

// kind is the shape of the bytes that an op takes.
type kind uint8

const (
	uint1 kind = iota + 1 // an integer; the number is the field's size in Record
	uint2
	uint4
	uint8s
	ipAddr
	macAddr
	label // three bytes of an MPLS label
	acl   // twelve bytes
	octets
	instant // a time: never without its exact bytes in Extra
)

// fit says whether n bytes can be taken as k, and whether nothing is lost.
func (k kind) fit(n int) (ok, lossless bool) {
	switch k {
	case uint1:
		return n >= 1 && n <= 8, n == 1
	case uint2:
		return n >= 1 && n <= 8, n <= 2
	case uint4:
		return n >= 1 && n <= 8, n <= 4
	case uint8s:
		return n >= 1 && n <= 8, true
	case ipAddr:
		return n == 4 || n == 16, true
	case macAddr:
		return n == 6, true
	case label:
		return n == 3, true
	case acl:
		return n == 12, true
	case octets:
		return n >= 1, true
	case instant:
		return n >= 1 && n <= 8, false
	}
	return false, false
}

// target says where an element goes.
type target struct {
	op    op
	kind  kind
	field flow.Field
	extra bool // keep the bytes too: the field alone does not say what was sent
}

// paddingOctets is the element that fills records (RFC 7011, section 3.3.1).
const paddingOctets = 210

// targets are IANA's elements and the vendors' types of NetFlow v9 that have a
// place of their own in flow.Record. Counters and times are not among them:
// which of them counts depends on the others in the template (see slots).
func targets(id uint16) target {
	if int(id) < len(ianaTargets) {
		return ianaTargets[id]
	}
	switch id {
	case 33000: // NF_F_INGRESS_ACL_ID
		return target{op: opIngressACL, kind: acl, field: flow.IngressACL}
	case 33001: // NF_F_EGRESS_ACL_ID
		return target{op: opEgressACL, kind: acl, field: flow.EgressACL}
	case 33002: // NF_F_FW_EXT_EVENT
		return target{op: opFwXEvent, kind: uint2, field: flow.FwXEvent}
	case 40000, 56702: // NF_F_USERNAME of an ASA; user id of Palo Alto
		return target{op: opUser, kind: octets, field: flow.User}
	case 40001: // NF_F_XLATE_SRC_ADDR_IPV4 of old ASA releases, as the others up to 40005
		return target{op: opXlateSrc, kind: ipAddr, field: flow.XlateSrc, extra: true}
	case 40002: // NF_F_XLATE_DST_ADDR_IPV4
		return target{op: opXlateDst, kind: ipAddr, field: flow.XlateDst, extra: true}
	case 40003: // NF_F_XLATE_SRC_PORT
		return target{op: opXlateSPort, kind: uint2, field: flow.XlateSPort, extra: true}
	case 40004: // NF_F_XLATE_DST_PORT
		return target{op: opXlateDPort, kind: uint2, field: flow.XlateDPort, extra: true}
	case 40005: // NF_F_FW_EVENT
		return target{op: opFwEvent, kind: uint1, field: flow.FwEvent, extra: true}
	}
	return target{}
}

var ianaTargets = [400]target{
	3:   {opFlows, uint8s, flow.Flows, false},
	4:   {opProto, uint1, flow.Proto, false},
	5:   {opSrcTOS, uint1, flow.SrcTOS, false},
	6:   {opTCPFlags, uint2, flow.TCPFlags, false},
	7:   {opSrcPort, uint2, flow.SrcPort, false},
	8:   {opSrc, ipAddr, flow.Src, false},
	9:   {opSrcMask, uint1, flow.SrcMask, false},
	10:  {opInput, uint4, flow.Input, false},
	11:  {opDstPort, uint2, flow.DstPort, false},
	12:  {opDst, ipAddr, flow.Dst, false},
	13:  {opDstMask, uint1, flow.DstMask, false},
	14:  {opOutput, uint4, flow.Output, false},
	15:  {opNextHop, ipAddr, flow.NextHop, false},
	16:  {opSrcAS, uint4, flow.SrcAS, false},
	17:  {opDstAS, uint4, flow.DstAS, false},
	18:  {opBGPNextHop, ipAddr, flow.BGPNextHop, false},
	27:  {opSrc, ipAddr, flow.Src, false},
	28:  {opDst, ipAddr, flow.Dst, false},
	29:  {opSrcMask, uint1, flow.SrcMask, false},
	30:  {opDstMask, uint1, flow.DstMask, false},
	32:  {opICMP, uint2, flow.ICMP, false},
	34:  {opRate, uint4, flow.SamplingRate, true},
	38:  {opEngineType, uint1, flow.EngineType, false},
	39:  {opEngineID, uint1, flow.EngineID, false},
	48:  {opSamplerID, uint8s, flow.SamplerID, false},
	50:  {opRate, uint4, flow.SamplingRate, true},
	52:  {opMinTTL, uint1, flow.MinTTL, false},
	53:  {opMaxTTL, uint1, flow.MaxTTL, false},
	55:  {opDstTOS, uint1, flow.DstTOS, false},
	56:  {opInSrcMAC, macAddr, flow.InSrcMAC, false},
	57:  {opOutDstMAC, macAddr, flow.OutDstMAC, false},
	58:  {opSrcVLAN, uint2, flow.SrcVLAN, false},
	59:  {opDstVLAN, uint2, flow.DstVLAN, false},
	60:  {opIPVersion, uint1, flow.IPVersion, false},
	61:  {opDirection, uint1, flow.Direction, false},
	62:  {opNextHop, ipAddr, flow.NextHop, false},
	63:  {opBGPNextHop, ipAddr, flow.BGPNextHop, false},
	70:  {opMPLS, label, flow.MPLS, false},
	71:  {opMPLS + 1, label, flow.MPLS, false},
	72:  {opMPLS + 2, label, flow.MPLS, false},
	73:  {opMPLS + 3, label, flow.MPLS, false},
	74:  {opMPLS + 4, label, flow.MPLS, false},
	75:  {opMPLS + 5, label, flow.MPLS, false},
	76:  {opMPLS + 6, label, flow.MPLS, false},
	77:  {opMPLS + 7, label, flow.MPLS, false},
	78:  {opMPLS + 8, label, flow.MPLS, false},
	79:  {opMPLS + 9, label, flow.MPLS, false},
	80:  {opInDstMAC, macAddr, flow.InDstMAC, false},
	81:  {opOutSrcMAC, macAddr, flow.OutSrcMAC, false},
	89:  {opFwdStatus, uint1, flow.FwdStatus, false},
	95:  {opAppID, octets, flow.AppID, false},
	128: {opNextAS, uint4, flow.NextAS, false},
	129: {opPrevAS, uint4, flow.PrevAS, false},
	136: {opEndReason, uint1, flow.EndReason, false},
	138: {opObservationPoint, uint8s, flow.ObservationPoint, false},
	139: {opICMP, uint2, flow.ICMP, false},
	148: {opFlowID, uint8s, flow.FlowID, false},
	160: {opBoot, instant, noField, true},
	176: {opICMPType, uint1, flow.ICMP, false},
	177: {opICMPCode, uint1, flow.ICMP, false},
	178: {opICMPType, uint1, flow.ICMP, false},
	179: {opICMPCode, uint1, flow.ICMP, false},
	180: {opSrcPortAlt, uint2, flow.SrcPort, true},
	181: {opDstPortAlt, uint2, flow.DstPort, true},
	182: {opSrcPortAlt, uint2, flow.SrcPort, true},
	183: {opDstPortAlt, uint2, flow.DstPort, true},
	197: {opFragFlags, uint1, flow.FragFlags, false},
	225: {opXlateSrc, ipAddr, flow.XlateSrc, false},
	226: {opXlateDst, ipAddr, flow.XlateDst, false},
	227: {opXlateSPort, uint2, flow.XlateSPort, false},
	228: {opXlateDPort, uint2, flow.XlateDPort, false},
	230: {opNATEvent, uint1, flow.NATEvent, false},
	233: {opFwEvent, uint1, flow.FwEvent, false},
	234: {opIngressVRF, uint4, flow.IngressVRF, false},
	235: {opEgressVRF, uint4, flow.EgressVRF, false},
	239: {opBiflowDir, uint1, flow.BiflowDir, false},
	281: {opXlateSrc, ipAddr, flow.XlateSrc, false},
	282: {opXlateDst, ipAddr, flow.XlateDst, false},
	283: {opNATPool, uint4, flow.NATPool, false},
	302: {opSamplerID, uint8s, noField, true},
	322: {opEventSec, instant, flow.EventTime, true},
	323: {opEventMilli, instant, flow.EventTime, true},
	324: {opEventNTP, instant, flow.EventTime, true},
	325: {opEventNTP, instant, flow.EventTime, true},
	351: {opSegmentID, uint8s, flow.SegmentID, false},
	361: {opPortBlock, uint2, flow.PortBlock, true},
	362: {opPortBlock + 1, uint2, flow.PortBlock, true},
	363: {opPortBlock + 2, uint2, flow.PortBlock, true},
	364: {opPortBlock + 3, uint2, flow.PortBlock, true},
	371: {opUser, octets, flow.User, false},
}

// vmware are the elements of VMware's virtual switch (specs/flow-protocols.md,
// VMware). Their bytes are kept in Extra too, as those of all vendors.
func vmware(id uint16) target {
	switch id {
	case 880:
		return target{op: opTenantProto, kind: uint1, field: noField}
	case 881, 883:
		return target{op: opTenantSrc, kind: ipAddr, field: noField}
	case 882, 884:
		return target{op: opTenantDst, kind: ipAddr, field: noField}
	case 886:
		return target{op: opTenantSrcPort, kind: uint2, field: noField}
	case 887:
		return target{op: opTenantDstPort, kind: uint2, field: noField}
	case 888:
		return target{op: opEgressAttr, kind: uint2, field: flow.EgressAttr}
	case 890:
		return target{op: opIngressAttr, kind: uint2, field: flow.IngressAttr}
	case 893:
		return target{op: opTunSrc, kind: ipAddr, field: flow.TunSrc}
	case 894:
		return target{op: opTunDst, kind: ipAddr, field: flow.TunDst}
	case 895:
		return target{op: opTunProto, kind: uint1, field: flow.TunProto}
	}
	return target{}
}

// noField is the field of ops that set none, or not always.
const noField = flow.Field(flow.NumFields)

// candidate is an element for a place that only one can have.
type candidate struct {
	pen uint32
	id  uint16
	op  op
}

// A slot is a place in the record with the elements that can fill it, the
// preferred first (specs/flow-protocols.md, Direction and Time).
type slot struct {
	field      flow.Field
	kind       kind
	candidates []candidate
}

var slots = [...]slot{
	{flow.Bytes, uint8s, []candidate{{0, 1, opBytes}, {0, 23, opBytes}, {0, 85, opBytes}, {0, 171, opBytes}, {0, 231, opBytes}, {0, 352, opBytes}}},
	{flow.Packets, uint8s, []candidate{{0, 2, opPackets}, {0, 24, opPackets}, {0, 86, opPackets}, {0, 172, opPackets}, {0, 298, opPackets}}},
	{flow.RevBytes, uint8s, []candidate{{ie.ReversePEN, 1, opRevBytes}, {ie.ReversePEN, 85, opRevBytes}, {0, 232, opRevBytes}}},
	{flow.RevPackets, uint8s, []candidate{{ie.ReversePEN, 2, opRevPackets}, {ie.ReversePEN, 86, opRevPackets}, {0, 299, opRevPackets}}},
	{flow.OutBytes, uint8s, []candidate{{0, 23, opOutBytes}, {0, 171, opOutBytes}}},
	{flow.OutPackets, uint8s, []candidate{{0, 24, opOutPackets}, {0, 172, opOutPackets}}},
	{noField, instant, []candidate{{0, 152, opFirst}, {0, 150, opFirstSec}, {0, 154, opFirstNTP}, {0, 156, opFirstNTP}, {0, 158, opFirstDelta}, {0, 22, opFirstUptime}}},
	{noField, instant, []candidate{{0, 153, opLast}, {0, 151, opLastSec}, {0, 155, opLastNTP}, {0, 157, opLastNTP}, {0, 159, opLastDelta}, {0, 21, opLastUptime}}},
	{noField, instant, []candidate{{0, 161, opDuration}, {0, 162, opDurationMicro}}},
}

// own says whether an element's bytes are fully told by the field it fills, so
// that they need no place in Extra.
func (c candidate) own() bool {
	if c.pen != 0 {
		return false
	}
	switch c.id {
	case 1, 2:
		return true
	case 23:
		return c.op == opOutBytes
	case 24:
		return c.op == opOutPackets
	}
	return false
}

// move is what the template says of one operation on one field. One field may
// have several.
type move struct {
	pen     uint32
	id      uint16
	op      op
	kind    kind
	present flow.Field
	extra   bool // copy the field to Extra
}

// step is one operation on the bytes of a record, as the loop executes it.
type step struct {
	op   op
	n    uint8     // length of the field in bytes
	off  uint16    // of the field in the record
	more [6]uint16 // offsets of the other fields of a fused operation
}

// maxStep is the longest field that a step can work on; longer ones only go to
// Extra.
const maxStep = 255

// keep is a field of a record that goes to Extra.
type keep struct {
	pen      uint32
	id       uint16
	off, end uint16
}

// segment is a run of fields of fixed size, and one of variable size behind it.
// Offsets count from the start of the segment.
type segment struct {
	steps []step
	keeps []keep
	size  int    // of the fields of fixed size, in bytes
	tail  []move // of the field of variable size; none in the last segment
}

// plan is what a template is compiled to.
type plan struct {
	segments  []segment
	present   flow.Set // of the fields of fixed size
	uptime    bool     // first or last count from the start of the exporter
	boot      bool     // the start of the exporter is told
	hasICMP   bool
	hasTenant bool
	event     bool // state changes of a firewall or an address translator
	section   bool // first bytes of a packet (see section.go)
	lists     bool // structured data (see lists.go)

	// steady says that a record of the template sets the same fields as the one
	// before it, so that Next need not start from Base.
	steady bool
}

// compiler is the state of one compilation.
type compiler struct {
	first  map[uint64]int // an element's first field
	chosen [len(slots)]candidate
	taken  map[op]bool
}

// key is an element as a map key.
func key(pen uint32, id uint16) uint64 { return uint64(pen)<<16 | uint64(id) }

// compile turns fields into steps. Of an element that comes twice the first
// counts, but for lists; padding is left out.
func compile(fields []FieldSpec) plan {
	c := compiler{first: make(map[uint64]int, len(fields)), taken: map[op]bool{}}
	for i, f := range fields {
		if _, ok := c.first[key(f.PEN, f.ID)]; !ok {
			c.first[key(f.PEN, f.ID)] = i
		}
	}
	for i := range slots {
		c.chosen[i] = c.choose(&slots[i], fields)
	}
	moves := make([][]move, len(fields))
	var p plan
	for i, f := range fields {
		if f.PEN == 0 && f.ID == paddingOctets || c.first[key(f.PEN, f.ID)] != i && !isList(f) {
			continue
		}
		p.section = p.section || isSection(f)
		p.lists = p.lists || isList(f)
		moves[i] = c.moves(f)
		for _, m := range moves[i] {
			p.note(&m)
		}
	}
	if p.hasICMP {
		keepDstPort(moves)
	}
	p.divide(fields, moves)
	p.steady = !p.section && !p.hasTenant && !p.lists && p.steadyTails()
	return p
}

// steadyTails says whether what fields of variable size set does not depend on
// their size: they go to Extra, or are octets.
func (p *plan) steadyTails() bool {
	for i := range p.segments {
		for _, m := range p.segments[i].tail {
			if m.op != opNone && m.op != opUser && m.op != opAppID {
				return false
			}
		}
	}
	return true
}

// divide lays the fields out in segments.
func (p *plan) divide(fields []FieldSpec, moves [][]move) {
	var s segment
	for i, f := range fields {
		if f.Length == Variable {
			s.tail = moves[i]
			if s.tail == nil {
				s.tail = []move{}
			}
			p.segments = append(p.segments, s)
			s = segment{}
			continue
		}
		for _, m := range moves[i] {
			s.place(&m, s.size, int(f.Length), &p.present)
		}
		s.size += int(f.Length)
	}
	p.segments = append(p.segments, s)
	for i := range p.segments {
		p.segments[i].steps = fuse(p.segments[i].steps)
	}
}

// place appends what one move does with a field of n bytes at off.
func (s *segment) place(m *move, off, n int, present *flow.Set) {
	fits, lossless := m.kind.fit(n)
	if m.op != opNone && fits && n <= maxStep {
		s.steps = append(s.steps, step{op: fast(m.op, n), n: uint8(n), off: uint16(off)})
		if m.present != noField {
			present.Add(m.present)
		}
	} else if m.op != opNone {
		lossless = false
	}
	if m.extra || m.op != opNone && !lossless && m.kind != instant {
		s.keeps = append(s.keeps, keep{pen: m.pen, id: m.id, off: uint16(off), end: uint16(off + n)})
	}
}

// moves returns the moves for one field, at least one. The last one says
// whether the field goes to Extra.
func (c *compiler) moves(f FieldSpec) []move {
	var list []move
	extra := true
	add := func(o op, k kind, field flow.Field, keep bool) {
		if ok, _ := k.fit(int(f.Length)); !ok && f.Length != Variable {
			return
		}
		extra = extra && keep
		list = append(list, move{pen: f.PEN, id: f.ID, op: o, kind: k, present: field})
	}
	for s, choice := range c.chosen {
		if choice.op != opNone && choice.pen == f.PEN && choice.id == f.ID {
			add(choice.op, slots[s].kind, slots[s].field, !choice.own())
		}
	}
	var t target
	switch f.PEN {
	case 0:
		t = targets(f.ID)
	case ie.VMwarePEN:
		t = vmware(f.ID)
	}
	if t.op != opNone && c.taken[t.op] {
		t.op = alternative(t.op)
	}
	if t.op != opNone {
		c.taken[t.op] = true
		add(t.op, t.kind, t.field, t.extra || f.PEN != 0)
	}
	if len(list) == 0 {
		list = append(list, move{pen: f.PEN, id: f.ID, kind: octets, present: noField})
	}
	list[len(list)-1].extra = extra
	return list
}

// choose returns the element that fills a slot for a template of the given
// fields: the first candidate that is there in a length that can be read.
func (c *compiler) choose(sl *slot, fields []FieldSpec) candidate {
	for _, can := range sl.candidates {
		i, found := c.first[key(can.pen, can.id)]
		if !found {
			continue
		}
		if ok, _ := sl.kind.fit(int(fields[i].Length)); ok || fields[i].Length == Variable {
			return can
		}
	}
	return candidate{}
}

// alternative returns the op for the second element of a template that has the
// same place, opNone when there is none.
func alternative(o op) op {
	switch o {
	case opSrc, opDst, opNextHop, opBGPNextHop, opXlateSrc, opXlateDst, opTunSrc, opTunDst, opSrcMask, opDstMask:
		return o + 1
	case opICMP, opICMPType, opICMPCode, opSrcPortAlt, opDstPortAlt, opTenantSrc, opTenantDst, opSamplerID, opRate:
		return o
	}
	return opNone
}

// note keeps what the whole plan must know of a move.
func (p *plan) note(m *move) {
	switch m.op {
	case opICMP, opICMPType, opICMPCode:
		p.hasICMP = true
	case opFirstUptime, opLastUptime:
		p.uptime = true
	case opBoot:
		p.boot = true
	case opTenantSrc, opTenantDst:
		p.hasTenant = true
	case opFwEvent, opNATEvent:
		p.event = true
	}
}

// keepDstPort keeps the destination port as sent: in the record, ICMP's type and
// code take its place.
func keepDstPort(moves [][]move) {
	for _, list := range moves {
		for i := range list {
			if list[i].op == opDstPort {
				list[i].extra = true
			}
		}
	}
}
