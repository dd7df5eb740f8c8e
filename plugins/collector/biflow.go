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

// oneWay are the fields that say nothing of the other direction.
var oneWay = flow.SetOf(flow.Direction, flow.OutBytes, flow.OutPackets, flow.TCPFlags, flow.TCPFlagsWide, flow.SrcTOS,
	flow.InSrcMAC, flow.OutDstMAC, flow.InDstMAC, flow.OutSrcMAC, flow.NextHop, flow.BGPNextHop, flow.NextAS, flow.PrevAS)

// split makes r the flow of its own direction and rev that of the other. Times are
// those of both; of what the record says of the other direction, TCP's flags and
// the class of service are taken over.
func split(r, rev *flow.Record) {
	*rev = *r
	rev.Extra = nil
	rev.Turn()
	if r.Has(flow.ICMP) { // the destination port is type and code
		rev.SrcPort, rev.DstPort = r.SrcPort, r.DstPort
		keep(r, rev, flow.SrcPort)
		keep(r, rev, flow.DstPort)
	}
	rev.Present = rev.Present.Without(oneWay)
	rev.TCPFlags, rev.SrcTOS, rev.Direction, rev.OutBytes, rev.OutPackets = 0, 0, 0, 0, 0
	for i := range r.Extra {
		e := &r.Extra[i]
		switch {
		case e.PEN != ie.ReversePEN:
		case e.ID == ie.TcpControlBits:
			rev.TCPFlags = uint16(wire.Uint(e.Value))
			rev.Present.Add(flow.TCPFlags)
		case e.ID == ie.IpClassOfService:
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

// keep makes a field as present in rev as it is in r.
func keep(r, rev *flow.Record, f flow.Field) {
	if r.Has(f) {
		rev.Present.Add(f)
	} else {
		rev.Present.Remove(f)
	}
}
