package collector

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// outerFlow makes o what r is, but for a record of a flow inside another with the outer
// addresses as the flow. A tenant's are in Extra as VMware's own elements.
func outerFlow(r, o *flow.Record) {
	*o = *r
	o.Src, o.Dst, o.Proto, o.SrcPort, o.DstPort = r.TunSrc, r.TunDst, r.TunProto, r.TunSrcPort, r.TunDstPort
	o.TunSrc, o.TunDst, o.TunProto, o.TunSrcPort, o.TunDstPort = netip.Addr{}, netip.Addr{}, 0, 0, 0
	o.Present = r.Present.Without(flow.SetOf(flow.SrcPort, flow.DstPort, flow.TunSrc, flow.TunDst, flow.TunProto,
		flow.TunSrcPort, flow.TunDstPort, flow.ICMP))
	o.IPVersion = 6
	if o.Src.Is4() {
		o.IPVersion = 4
	}
	if r.Has(flow.TunSrcPort) {
		o.Present.Add(flow.SrcPort)
	}
	if r.Has(flow.TunDstPort) {
		o.Present.Add(flow.DstPort)
	}
}
