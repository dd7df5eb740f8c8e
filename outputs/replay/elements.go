package replay

import (
	"encoding/binary"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
)

// The elements that nprobe measures delays in: with NetFlow v9 of each a number of
// seconds and one of microseconds, with IPFIX milliseconds.
const (
	delaySeconds = 57554
	delayMilli   = 123 // of ntop's enterprise number
)

// Nokia's elements of address translators.
const (
	nokiaIn   = 91
	nokiaOut  = 92
	nokiaText = 93
)

// elements makes elements of what a file has of a flow that flow.Record has no field
// for. Its memory is used again for the next flow.
type elements struct {
	list  []flow.Element
	bytes []byte
}

// of returns the elements for a version, NetFlow v9 or IPFIX. They are valid until the
// next call.
func (e *elements) of(v flow.Version, x *nffile.Extra) []flow.Element {
	e.list, e.bytes = e.list[:0], e.bytes[:0]
	has := func(bit uint64) bool { return x.Has&bit != 0 }
	if has(nffile.HasDelays) {
		e.delays(v, x)
	}
	if has(nffile.HasSelector) && v == flow.V9 {
		e.number(0, ie.SamplerId, 4, x.Selector)
	} else if has(nffile.HasSelector) {
		e.number(0, ie.SelectorId, 8, x.Selector)
	}
	if has(nffile.HasFrameSize) {
		e.number(0, ie.DataLinkFrameSize, 2, uint64(x.FrameSize))
		e.number(0, ie.DataLinkFrameType, 2, uint64(x.LinkType))
	}
	if has(nffile.HasFrame) {
		e.list = append(e.list, flow.Element{ID: ie.DataLinkFrameSection, Value: x.Frame})
	}
	if has(nffile.HasLayer2) {
		e.layer2(&x.Layer2)
	}
	if has(nffile.HasNokia) {
		e.number(ie.NokiaPEN, nokiaIn, 2, uint64(x.NokiaIn))
		e.number(ie.NokiaPEN, nokiaOut, 2, uint64(x.NokiaOut))
	}
	if has(nffile.HasNokiaText) {
		e.list = append(e.list, flow.Element{PEN: ie.NokiaPEN, ID: nokiaText, Value: x.NokiaText})
	}
	return e.list
}

// number adds an element of some bytes.
func (e *elements) number(pen uint32, id uint16, size int, v uint64) {
	n := len(e.bytes)
	e.bytes = binary.BigEndian.AppendUint64(e.bytes, v)
	e.list = append(e.list, flow.Element{PEN: pen, ID: id, Value: e.bytes[n+8-size : n+8]})
}

// delays adds those of client, server and application.
func (e *elements) delays(v flow.Version, x *nffile.Extra) {
	for i, micro := range [...]uint64{x.ClientDelay, x.ServerDelay, x.AppDelay} {
		if v == flow.V9 {
			e.number(0, delaySeconds+2*uint16(i), 4, micro/1e6)
			e.number(0, delaySeconds+2*uint16(i)+1, 4, micro%1e6)
		} else {
			e.number(ie.NtopPEN, delayMilli+uint16(i), 4, micro/1000)
		}
	}
}

// layer2 adds what is known of layer 2.
func (e *elements) layer2(l *nffile.Layer2) {
	for _, n := range [...]struct {
		id    uint16
		size  int
		value uint64
	}{
		{ie.Dot1qVlanId, 2, uint64(l.VLAN)}, {ie.Dot1qCustomerVlanId, 2, uint64(l.CustomerVLAN)},
		{ie.PostDot1qVlanId, 2, uint64(l.PostVLAN)}, {ie.PostDot1qCustomerVlanId, 2, uint64(l.PostCustomerVLAN)},
		{ie.IngressPhysicalInterface, 4, uint64(l.Ingress)}, {ie.EgressPhysicalInterface, 4, uint64(l.Egress)},
		{ie.EthernetType, 2, uint64(l.EtherType)},
	} {
		if n.value != 0 {
			e.number(0, n.id, n.size, n.value)
		}
	}
}

// lost names what of a file's flow has no element in a version, "" when all has.
func (e *elements) lost(v flow.Version, x *nffile.Extra) string {
	switch {
	case x == nil:
	case x.Has&nffile.HasLabel != 0:
		return "label"
	case x.Has&nffile.HasPayload != 0:
		return "in_payload"
	case x.Has&nffile.HasOutPayload != 0:
		return "out_payload"
	case x.Has&nffile.HasPF != 0:
		return "pf"
	case x.Has&nffile.HasDelays != 0 && v == flow.IPFIX && (x.ClientDelay%1000 != 0 || x.ServerDelay%1000 != 0 ||
		x.AppDelay%1000 != 0):
		return "microseconds of delays"
	}
	return ""
}
