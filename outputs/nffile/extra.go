package nffile

// Extra is what a flow of a file has besides the fields of flow.Record: what only
// nfdump's other collectors write. Slices point into the block.
type Extra struct {
	Sampled    bool // counters were estimated from a sample
	Anonymised bool // addresses are others than those that there were

	Has uint64 // the elements that are there, bit 1<<id (FORMAT.md, section 4)

	ClientDelay, ServerDelay, AppDelay uint64 // element 17, microseconds

	Selector uint64 // element 18: the sampler that chose the packets

	Label                 []byte // element 28, text
	InPayload, OutPayload []byte // elements 29 and 30: first bytes of the flow

	FrameSize, LinkType uint16 // element 34: of the sampled frame
	Frame               []byte // element 35: its first bytes

	Domain uint32 // element 33: observation domain of the flow itself

	PF     PF     // element 37
	Layer2 Layer2 // element 38

	NokiaIn, NokiaOut uint16 // element 40: service ids
	NokiaText         []byte // element 41
}

// Bits of Extra.Has.
const (
	HasDelays     = 1 << elLatency
	HasSelector   = 1 << elSampler
	HasLabel      = 1 << elLabel
	HasPayload    = 1 << elInPayload
	HasOutPayload = 1 << elOutPayload
	HasFrameSize  = 1 << elInmonMeta // and LinkType
	HasFrame      = 1 << elInmonFrame
	HasPF         = 1 << elPF
	HasLayer2     = 1 << elLayer2
	HasNokia      = 1 << elNokia
	HasNokiaText  = 1 << elNokiaText
)

// HasRouter says whether a record with these elements has the address of its exporter
// itself.
func HasRouter(elements uint64) bool { return elements&(1<<elReceived4|1<<elReceived6) != 0 }

// PF is what OpenBSD's packet filter says of a flow.
type PF struct {
	Action, Reason, Direction, Rewritten uint8
	Rule, Subrule, UID, PID              uint32
	Interface                            []byte
}

// Layer2 are the VLANs and physical interfaces of a flow. Its VXLAN is
// flow.Record's SegmentID.
type Layer2 struct {
	VLAN, CustomerVLAN, PostVLAN, PostCustomerVLAN uint16
	Ingress, Egress                                uint32
	EtherType                                      uint16
	IPVersion                                      uint8
}

// extraElements are the elements that fill an Extra.
const extraElements = 1<<elLatency | 1<<elSampler | 1<<elLabel | 1<<elInPayload | 1<<elOutPayload |
	1<<elInmonMeta | 1<<elInmonFrame | 1<<elPF | 1<<elLayer2 | 1<<elNokia | 1<<elNokiaText

// extraElement reads an element that flow.Record has no field for.
func (d *Decoder) extraElement(id uint16, p []byte) {
	x := &d.extra
	switch id {
	case elLatency:
		x.ClientDelay, x.ServerDelay, x.AppDelay = le.Uint64(p), le.Uint64(p[8:]), le.Uint64(p[16:])
	case elSampler:
		x.Selector = le.Uint64(p)
	case elLabel:
		x.Label = cutNUL(p)
	case elInPayload:
		x.InPayload = p
	case elOutPayload:
		x.OutPayload = p
	case elInmonMeta:
		x.FrameSize, x.LinkType = le.Uint16(p), le.Uint16(p[2:])
	case elInmonFrame:
		x.Frame = p
	case elPF:
		x.PF = PF{Action: p[0], Reason: p[1], Direction: p[2], Rewritten: p[3], Rule: le.Uint32(p[4:]),
			Subrule: le.Uint32(p[8:]), UID: le.Uint32(p[12:]), PID: le.Uint32(p[16:]), Interface: cutNUL(p[20:])}
	case elLayer2:
		x.Layer2 = Layer2{VLAN: le.Uint16(p), CustomerVLAN: le.Uint16(p[2:]), PostVLAN: le.Uint16(p[4:]),
			PostCustomerVLAN: le.Uint16(p[6:]), Ingress: le.Uint32(p[8:]), Egress: le.Uint32(p[12:]),
			EtherType: le.Uint16(p[24:]), IPVersion: p[26]}
		d.rec.SegmentID = le.Uint64(p[16:])
	case elFlowID:
		d.rec.FlowID = le.Uint64(p)
	case elNokia:
		x.NokiaIn, x.NokiaOut = le.Uint16(p), le.Uint16(p[2:])
	case elNokiaText:
		x.NokiaText = cutNUL(p)
	case elIPInfo:
		d.rec.FragFlags, d.rec.MinTTL, d.rec.MaxTTL = p[1], p[2], p[3]
	}
}

// cutNUL returns b up to its first NUL.
func cutNUL(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i:i]
		}
	}
	return b
}

// writeExtra writes the elements of x. Those above 37 are written when extended
// is set. What does not fit into a record any more is left out.
func (e *encoder) writeExtra(x *Extra, segment uint64, extended bool) {
	if x.Has&(1<<elLatency) != 0 {
		p := e.element(elLatency, 24)
		le.PutUint64(p[0:], x.ClientDelay)
		le.PutUint64(p[8:], x.ServerDelay)
		le.PutUint64(p[16:], x.AppDelay)
	}
	if x.Has&(1<<elSampler) != 0 {
		p := e.element(elSampler, 16)
		clear(p)
		le.PutUint64(p, x.Selector)
	}
	if x.Has&(1<<elInmonMeta) != 0 {
		p := e.element(elInmonMeta, 4)
		le.PutUint16(p[0:], x.FrameSize)
		le.PutUint16(p[2:], x.LinkType)
	}
	if x.Has&(1<<elPF) != 0 {
		name := x.PF.Interface[:min(len(x.PF.Interface), 31)]
		p := e.element(elPF, 20+(len(name)+4)&^3)
		clear(p)
		p[0], p[1], p[2], p[3] = x.PF.Action, x.PF.Reason, x.PF.Direction, x.PF.Rewritten
		le.PutUint32(p[4:], x.PF.Rule)
		le.PutUint32(p[8:], x.PF.Subrule)
		le.PutUint32(p[12:], x.PF.UID)
		le.PutUint32(p[16:], x.PF.PID)
		copy(p[20:], name)
	}
	if extended {
		e.extendedExtra(x, segment)
	}
	e.text(elLabel, x.Label, x.Has, true)
	e.text(elInPayload, x.InPayload, x.Has, false)
	e.text(elOutPayload, x.OutPayload, x.Has, false)
	e.text(elInmonFrame, x.Frame, x.Has, false)
}

// extendedExtra writes the elements of x above 37.
func (e *encoder) extendedExtra(x *Extra, segment uint64) {
	if x.Has&(1<<elLayer2) != 0 {
		e.layer2(&x.Layer2, segment)
	}
	if x.Has&(1<<elNokia) != 0 {
		p := e.element(elNokia, 4)
		le.PutUint16(p[0:], x.NokiaIn)
		le.PutUint16(p[2:], x.NokiaOut)
	}
	e.text(elNokiaText, x.NokiaText, x.Has, true)
}

// layer2 writes element 38.
func (e *encoder) layer2(l *Layer2, segment uint64) {
	p := e.element(elLayer2, 32)
	clear(p)
	le.PutUint16(p[0:], l.VLAN)
	le.PutUint16(p[2:], l.CustomerVLAN)
	le.PutUint16(p[4:], l.PostVLAN)
	le.PutUint16(p[6:], l.PostCustomerVLAN)
	le.PutUint32(p[8:], l.Ingress)
	le.PutUint32(p[12:], l.Egress)
	le.PutUint64(p[16:], segment)
	le.PutUint16(p[24:], l.EtherType)
	p[26] = l.IPVersion
}

// text writes an element of variable length, with a final NUL when terminated is
// set, unless it would make the record longer than maxRecord.
func (e *encoder) text(id uint16, b []byte, has uint64, terminated bool) {
	n := len(b)
	if terminated {
		n++
	}
	if has&(1<<id) == 0 || n == 0 || e.n+4+n+receivedRoom > len(e.b) {
		return
	}
	p := e.element(id, n)
	copy(p, b)
	if terminated {
		p[n-1] = 0
	}
}

// receivedRoom is what the last element of a record, the exporter, takes at most.
const receivedRoom = 20
