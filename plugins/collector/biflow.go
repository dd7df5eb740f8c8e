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
	flow.NextHop, flow.BGPNextHop, flow.NextAS, flow.PrevAS)

// split makes r the flow of its own direction and rev that of the other. Times are
// those of both; of what the record says of the other direction, TCP's flags and
// the class of service are taken over.
func split(r, rev *flow.Record) {
	*rev = *r
	rev.Extra = nil
	rev.Turn()
	turnMACs(r, rev)
	if r.Has(flow.ICMP) { // the destination port is type and code
		rev.SrcPort, rev.DstPort = r.SrcPort, r.DstPort
		mark(rev, flow.SrcPort, r.Has(flow.SrcPort))
		mark(rev, flow.DstPort, r.Has(flow.DstPort))
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

// turnMACs gives the other direction its addresses of layer 2: what came in from one
// station goes out to it, and what went out to another comes in from that. Where only one
// frame is told, the one that came in or the one that went out, its two addresses are
// exchanged.
func turnMACs(r, rev *flow.Record) {
	pairs := [...][2]flow.Field{{flow.InSrcMAC, flow.OutDstMAC}, {flow.InDstMAC, flow.OutSrcMAC}}
	in, out := r.Has(flow.InSrcMAC) && r.Has(flow.InDstMAC), r.Has(flow.OutSrcMAC) && r.Has(flow.OutDstMAC)
	if in != out {
		pairs = [...][2]flow.Field{{flow.InSrcMAC, flow.InDstMAC}, {flow.OutSrcMAC, flow.OutDstMAC}}
	}
	for _, p := range pairs {
		rev.SetNumber(p[0], r.Number(p[1]))
		rev.SetNumber(p[1], r.Number(p[0]))
		mark(rev, p[0], r.Has(p[1]))
		mark(rev, p[1], r.Has(p[0]))
	}
}

// mark sets whether a field is present.
func mark(r *flow.Record, f flow.Field, present bool) {
	if present {
		r.Present.Add(f)
	} else {
		r.Present.Remove(f)
	}
}

// SplitBiflow gives the flows of both directions of a record that counts both, as
// Options.SplitBiflows does, and leaves the record as it is. It returns false for other
// records. The flows share their slices with r.
func SplitBiflow(r, forward, reverse *flow.Record) bool {
	if !isBiflow(r) {
		return false
	}
	*forward = *r
	split(forward, reverse)
	return true
}
