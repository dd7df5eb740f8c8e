package nffile

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// maxRecord is the most bytes one flow record can take, with the longest
// application id that is kept.
const maxRecord = 2048

// maxAppID is the longest application id that is kept; nfdump's are 4 bytes.
const maxAppID = 1024

// maxUser is the longest user name: the element has 66 bytes with a final NUL.
const maxUser = 65

// fieldsOf lists, for the elements that depend on what the exporter sent, the
// fields of which one is enough for the element to be written.
var fieldsOf = [...]struct {
	id     int
	fields flow.Set
}{
	{elMisc, flow.SetOf(flow.Input, flow.Output, flow.SrcMask, flow.DstMask, flow.Direction,
		flow.DstTOS, flow.BiflowDir, flow.EndReason, flow.FragFlags)},
	{elVLAN, flow.SetOf(flow.SrcVLAN, flow.DstVLAN)},
	{elAS, flow.SetOf(flow.SrcAS, flow.DstAS)},
	{elBGPNext4, flow.SetOf(flow.BGPNextHop)},
	{elNext4, flow.SetOf(flow.NextHop)},
	{elMPLS, flow.SetOf(flow.MPLS)},
	{elMAC, flow.SetOf(flow.InSrcMAC, flow.OutDstMAC, flow.InDstMAC, flow.OutSrcMAC)},
	{elASAdjacent, flow.SetOf(flow.NextAS, flow.PrevAS)},
	{elNSEL, flow.SetOf(flow.FwEvent, flow.FwXEvent)},
	{elXlate4, flow.SetOf(flow.XlateSrc, flow.XlateDst)},
	{elXlatePort, flow.SetOf(flow.XlateSPort, flow.XlateDPort)},
	{elACL, flow.SetOf(flow.IngressACL, flow.EgressACL)},
	{elUser, flow.SetOf(flow.User)},
	{elNAT, flow.SetOf(flow.NATEvent, flow.NATPool)},
	{elPortBlock, flow.SetOf(flow.PortBlock)},
	{elNBAR, flow.SetOf(flow.AppID)},
	{elTunnel4, flow.SetOf(flow.TunSrc, flow.TunDst, flow.TunProto)},
	{elObservation, flow.SetOf(flow.ObservationPoint)},
	{elVRF, flow.SetOf(flow.IngressVRF, flow.EgressVRF)},
	{elLayer2, flow.SetOf(flow.SegmentID)},
	{elFlowID, flow.SetOf(flow.FlowID)},
	{elIPInfo, flow.SetOf(flow.MinTTL, flow.MaxTTL)},
}

// extendedElements are those that are written on request.
const extendedElements = 1<<elLayer2 | 1<<elFlowID | 1<<elIPInfo

// planOf returns the elements that a record with these fields gets, a bit for
// each, besides those that every record has. Of elements for IPv4 and IPv6 it is
// the IPv4 one.
func planOf(present flow.Set, event, extended bool) uint64 {
	var plan uint64
	for _, e := range fieldsOf {
		if present.Meets(e.fields) {
			plan |= 1 << e.id
		}
	}
	if event && plan&(1<<elNSEL|1<<elNAT) == 0 {
		plan |= 1 << elNAT // the event's time has no other place
	}
	if !extended {
		plan &^= extendedElements
	} else if plan&(1<<elNSEL) != 0 {
		plan &^= 1 << elFlowID // it is the connection's
	}
	return plan
}

// counts are the counters of a record as they are written: scaled.
type counts struct {
	first, last            uint64 // milliseconds
	packets, bytes         uint64
	revPackets, revBytes   uint64
	flows                  uint64
	sampled, hasCntElement bool
}

// of sets c to the counters of r, scaled with its sampling rate, and to its times,
// mended.
func (c *counts) of(r *flow.Record) {
	c.first, c.last = r.First.Milli(), r.Last.Milli()
	c.packets, c.bytes, c.revPackets, c.revBytes = r.Packets, r.Bytes, r.RevPackets, r.RevBytes
	c.flows = max(r.Flows, 1)
	c.sampled = r.Rate() > 1
	if c.sampled {
		c.packets, c.bytes = r.Scale(c.packets), r.Scale(c.bytes)
		c.revPackets, c.revBytes = r.Scale(c.revPackets), r.Scale(c.revBytes)
	}
	if r.Event && r.EventTime > 0 {
		c.first = r.EventTime.Milli()
		c.last = c.first
	}
	c.last = max(c.last, c.first)
	c.hasCntElement = c.flows > 1 || c.revPackets|c.revBytes != 0
}

// encoder puts the elements of one record into b, which is long enough for any
// record.
type encoder struct {
	b    []byte
	n    int // bytes used
	elms uint16
}

// element starts an element of size payload bytes and returns the payload.
func (e *encoder) element(id uint16, size int) []byte {
	p := e.b[e.n : e.n+4+size : e.n+4+size]
	le.PutUint32(p, uint32(id)|uint32(4+size)<<16)
	e.n += 4 + size
	e.elms++
	return p[4:]
}

// encode writes r and x as a flow record into b, which has maxRecord bytes, and
// returns its size.
func (w *Writer) encode(b []byte, r *flow.Record, x *Extra, c *counts, sysid uint16) int {
	e := encoder{b: b, n: recordHeadSize}
	plan := w.plan
	g := e.element(elGeneric, 48)
	le.PutUint64(g[0:], c.first)
	le.PutUint64(g[8:], c.last)
	le.PutUint64(g[16:], r.Received.Milli())
	le.PutUint64(g[24:], c.packets)
	le.PutUint64(g[32:], c.bytes)
	le.PutUint16(g[40:], r.SrcPort)
	le.PutUint16(g[42:], r.DstPort)
	g[44], g[45], g[46], g[47] = r.Proto, uint8(r.TCPFlags), r.FwdStatus, r.SrcTOS

	if r.Src.Is4() && r.Dst.Is4() {
		p, src, dst := e.element(elIPv4, 8), r.Src.As4(), r.Dst.As4()
		le.PutUint32(p, be.Uint32(src[:]))
		le.PutUint32(p[4:], be.Uint32(dst[:]))
	} else {
		e.addressPair(elIPv4, elIPv6, r.Src, r.Dst, 0)
	}
	if plan&(1<<elMisc) != 0 {
		p := e.element(elMisc, 16)
		le.PutUint32(p[0:], r.Input)
		le.PutUint32(p[4:], r.Output)
		p[8], p[9], p[10], p[11] = r.SrcMask, r.DstMask, r.Direction, r.DstTOS
		p[12], p[13], p[14], p[15] = r.BiflowDir, r.EndReason, 0, r.FragFlags
	}
	if c.hasCntElement {
		p := e.element(elCount, 24)
		le.PutUint64(p[0:], c.flows)
		le.PutUint64(p[8:], c.revPackets)
		le.PutUint64(p[16:], c.revBytes)
	}
	if plan&(1<<elAS) != 0 {
		e.pair(elAS, r.SrcAS, r.DstAS)
	}
	if plan&(1<<elNext4) != 0 {
		e.address(elNext4, elNext6, r.NextHop)
	}
	if plan&^(1<<elMisc|1<<elAS|1<<elNext4) != 0 {
		e.rare(r, c, plan)
	}
	if x.Has != 0 {
		e.writeExtra(x, r.SegmentID, w.opt.Extended)
	}
	if plan&(1<<elLayer2) != 0 && x.Has&(1<<elLayer2) == 0 {
		e.layer2(&Layer2{IPVersion: r.IPVersion}, r.SegmentID)
	}
	e.n += copy(b[e.n:], w.received)
	if len(w.received) > 0 {
		e.elms++
	}

	var flags uint8
	exporters := x == &w.extra || x == &noExtra                 // not that of another file
	if r.Event || exporters && plan&(1<<elNSEL|1<<elNAT) != 0 { // with bytes or without, as nfcapd marks them
		flags |= flagEvent
	}
	if c.sampled || x.Sampled {
		flags |= flagSampled
	}
	if x.Anonymised {
		flags |= flagAnon
	}
	le.PutUint16(b[0:], recordFlow)
	le.PutUint16(b[2:], uint16(e.n))
	le.PutUint16(b[4:], e.elms)
	b[6], b[7] = r.EngineType, r.EngineID
	le.PutUint16(b[8:], sysid)
	b[10], b[11] = flags, uint8(r.Version)
	return e.n
}

// rare writes the elements that most flows do not have.
func (e *encoder) rare(r *flow.Record, c *counts, plan uint64) {
	if plan&(1<<elVLAN) != 0 {
		e.pair(elVLAN, uint32(r.SrcVLAN), uint32(r.DstVLAN))
	}
	if plan&(1<<elBGPNext4) != 0 {
		e.address(elBGPNext4, elBGPNext6, r.BGPNextHop)
	}
	if plan&(1<<elMPLS) != 0 {
		p := e.element(elMPLS, 40)
		for i, label := range r.MPLS {
			le.PutUint32(p[4*i:], label)
		}
	}
	if plan&(1<<elMAC) != 0 {
		p := e.element(elMAC, 32)
		putMAC(p[0:], r.InSrcMAC)
		putMAC(p[8:], r.OutDstMAC)
		putMAC(p[16:], r.InDstMAC)
		putMAC(p[24:], r.OutSrcMAC)
	}
	if plan&(1<<elASAdjacent) != 0 {
		e.pair(elASAdjacent, r.NextAS, r.PrevAS)
	}
	if plan&(1<<elVRF) != 0 {
		e.pair(elVRF, r.EgressVRF, r.IngressVRF)
	}
	if plan&(1<<elNBAR) != 0 && len(r.AppID) > 0 && len(r.AppID) <= maxAppID {
		copy(e.element(elNBAR, len(r.AppID)), r.AppID)
	}
	if plan&(1<<elTunnel4) != 0 {
		e.addressPair(elTunnel4, elTunnel6, r.TunSrc, r.TunDst, r.TunProto)
	}
	if plan&(1<<elObservation) != 0 {
		p := e.element(elObservation, 16)
		le.PutUint64(p[0:], r.ObservationPoint)
		le.PutUint32(p[8:], r.Domain)
		le.PutUint32(p[12:], 0)
	}
	if plan&(1<<elFlowID) != 0 {
		le.PutUint64(e.element(elFlowID, 8), r.FlowID)
	}
	if plan&(1<<elIPInfo) != 0 {
		p := e.element(elIPInfo, 4)
		p[0], p[1], p[2], p[3] = 0, r.FragFlags, r.MinTTL, r.MaxTTL
	}
	e.events(r, c, plan)
}

// events writes the elements of firewalls and address translators.
func (e *encoder) events(r *flow.Record, c *counts, plan uint64) {
	eventTime := c.first
	if r.EventTime > 0 {
		eventTime = r.EventTime.Milli()
	}
	if plan&(1<<elNSEL) != 0 {
		p := e.element(elNSEL, 16)
		le.PutUint64(p[0:], eventTime)
		le.PutUint32(p[8:], uint32(r.FlowID))
		le.PutUint16(p[12:], r.FwXEvent)
		p[14], p[15] = r.FwEvent, 0
	}
	if plan&(1<<elNAT) != 0 {
		p := e.element(elNAT, 16)
		le.PutUint64(p[0:], eventTime)
		le.PutUint32(p[8:], r.NATPool)
		p[12], p[13], p[14], p[15] = r.NATEvent, 0, 0, 0
	}
	if plan&(1<<elXlate4) != 0 {
		e.addressPair(elXlate4, elXlate6, r.XlateSrc, r.XlateDst, 0)
	}
	if plan&(1<<elXlatePort) != 0 {
		p := e.element(elXlatePort, 4)
		le.PutUint16(p[0:], r.XlateSPort)
		le.PutUint16(p[2:], r.XlateDPort)
	}
	if plan&(1<<elACL) != 0 {
		p := e.element(elACL, 24)
		copy(p[0:], r.IngressACL[:])
		copy(p[12:], r.EgressACL[:])
	}
	if plan&(1<<elUser) != 0 && len(r.User) > 0 {
		p := e.element(elUser, 68)
		clear(p)
		copy(p[:maxUser], r.User)
	}
	if plan&(1<<elPortBlock) != 0 {
		p := e.element(elPortBlock, 8)
		for i, v := range r.PortBlock {
			le.PutUint16(p[2*i:], v)
		}
	}
}

// pair writes an element of two numbers.
func (e *encoder) pair(id uint16, a, b uint32) {
	p := e.element(id, 8)
	le.PutUint32(p[0:], a)
	le.PutUint32(p[4:], b)
}

// address writes an element of one address, nothing when a is not valid.
func (e *encoder) address(id4, id6 uint16, a netip.Addr) {
	switch {
	case a.Is4():
		putAddr4(e.element(id4, 4), a)
	case a.Is6():
		putAddr6(e.element(id6, 16), a)
	}
}

// addressPair writes an element of two addresses and, for tunnels, a protocol.
// An address that is missing is zero; when one of them is IPv6, an IPv4 address
// is written as its IPv4-mapped one. Nothing is written when both are missing.
func (e *encoder) addressPair(id4, id6 uint16, src, dst netip.Addr, proto uint8) {
	tunnel := id4 == elTunnel4
	switch {
	case src.Is6() || dst.Is6():
		size := 32
		if tunnel {
			size = 40
		}
		p := e.element(id6, size)
		putAddr6(p[0:], src)
		putAddr6(p[16:], dst)
		if tunnel {
			le.PutUint64(p[32:], uint64(proto))
		}
	case src.Is4() || dst.Is4():
		size := 8
		if tunnel {
			size = 12
		}
		p := e.element(id4, size)
		putAddr4(p[0:], src)
		putAddr4(p[4:], dst)
		if tunnel {
			le.PutUint32(p[8:], uint32(proto))
		}
	}
}

// putAddr4 writes an IPv4 address in host order, zeros when a is not valid.
func putAddr4(p []byte, a netip.Addr) {
	var v [4]byte
	if a.Is4() {
		v = a.As4()
	}
	le.PutUint32(p, be.Uint32(v[:]))
}

// putAddr6 writes an address as two words in host order, zeros when a is not
// valid.
func putAddr6(p []byte, a netip.Addr) {
	var v [16]byte
	if a.IsValid() {
		v = a.As16()
	}
	le.PutUint64(p[0:], be.Uint64(v[0:]))
	le.PutUint64(p[8:], be.Uint64(v[8:]))
}

// putMAC writes a MAC address as a 48-bit number in host order.
func putMAC(p []byte, m [6]byte) {
	for i, v := range m {
		p[5-i] = v
	}
	p[6], p[7] = 0, 0
}
