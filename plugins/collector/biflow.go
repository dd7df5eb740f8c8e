package collector

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// isBiflow says whether a record counts both directions (RFC 5103, or elements
// 232 and 299). Events of firewalls stay one record.
func isBiflow(r *flow.Record) bool {
	return r.RevBytes|r.RevPackets != 0 && !r.Has(flow.FwEvent) && !r.Has(flow.NATEvent)
}

// split makes r the flow of its own direction and rev that of the other. Times are
// those of both; of what the record says of the other direction, TCP's flags and
// the class of service are taken over.
func split(r, rev *flow.Record) {
	*rev = *r
	rev.Extra = nil
	rev.Src, rev.Dst = r.Dst, r.Src
	rev.SrcPort, rev.DstPort = r.DstPort, r.SrcPort
	if r.Has(flow.ICMP) { // the destination port is type and code
		rev.SrcPort, rev.DstPort = r.SrcPort, r.DstPort
	}
	rev.SrcMask, rev.DstMask = r.DstMask, r.SrcMask
	rev.SrcAS, rev.DstAS = r.DstAS, r.SrcAS
	rev.Input, rev.Output = r.Output, r.Input
	rev.SrcVLAN, rev.DstVLAN = r.DstVLAN, r.SrcVLAN
	rev.IngressVRF, rev.EgressVRF = r.EgressVRF, r.IngressVRF
	rev.TunSrc, rev.TunDst = r.TunDst, r.TunSrc
	rev.XlateSrc, rev.XlateDst = r.XlateDst, r.XlateSrc
	rev.XlateSPort, rev.XlateDPort = r.XlateDPort, r.XlateSPort
	rev.IngressAttr, rev.EgressAttr = r.EgressAttr, r.IngressAttr
	rev.Bytes, rev.Packets = r.RevBytes, r.RevPackets
	exchange(r, &rev.Present)
	for _, f := range [...]flow.Field{flow.Direction, flow.OutBytes, flow.OutPackets, flow.TCPFlags, flow.TCPFlagsWide, flow.SrcTOS,
		flow.InSrcMAC, flow.OutDstMAC, flow.InDstMAC, flow.OutSrcMAC, flow.NextHop, flow.BGPNextHop, flow.NextAS, flow.PrevAS} {
		rev.Present.Remove(f)
	}
	rev.TCPFlags, rev.SrcTOS, rev.Direction, rev.OutBytes, rev.OutPackets = 0, 0, 0, 0, 0
	for i := range r.Extra {
		e := &r.Extra[i]
		switch {
		case e.PEN != ie.ReversePEN:
		case e.ID == 6:
			rev.TCPFlags = uint16(wire.Uint(e.Value))
			rev.Present.Add(flow.TCPFlags)
		case e.ID == 5:
			rev.SrcTOS = uint8(wire.Uint(e.Value))
			rev.Present.Add(flow.SrcTOS)
		}
	}
	for _, x := range [...]*flow.Record{r, rev} {
		x.RevBytes, x.RevPackets = 0, 0
		x.Present.Remove(flow.RevBytes)
		x.Present.Remove(flow.RevPackets)
	}
}

// exchange gives to the set of the other direction what r has, the two ends
// exchanged.
func exchange(r *flow.Record, to *flow.Set) {
	for _, pair := range [...][2]flow.Field{{flow.Src, flow.Dst}, {flow.SrcMask, flow.DstMask}, {flow.SrcAS, flow.DstAS},
		{flow.Input, flow.Output}, {flow.SrcVLAN, flow.DstVLAN}, {flow.IngressVRF, flow.EgressVRF}, {flow.TunSrc, flow.TunDst},
		{flow.XlateSrc, flow.XlateDst}, {flow.XlateSPort, flow.XlateDPort}, {flow.IngressAttr, flow.EgressAttr}, {flow.RevBytes, flow.Bytes}, {flow.RevPackets, flow.Packets}} {
		move(r, to, pair[0], pair[1])
		move(r, to, pair[1], pair[0])
	}
	if !r.Has(flow.ICMP) {
		move(r, to, flow.SrcPort, flow.DstPort)
		move(r, to, flow.DstPort, flow.SrcPort)
	}
}

// move sets whether field b is present to whether field a is in r.
func move(r *flow.Record, to *flow.Set, a, b flow.Field) {
	if r.Has(a) {
		to.Add(b)
	} else {
		to.Remove(b)
	}
}
