package collector

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// outerFlow makes o what r is, but for a record of a VXLAN segment with the outer
// addresses as the flow. The tenant's are in Extra as VMware's own elements. The outer
// ports are those that the exporter sent as VMware's elements for them.
func outerFlow(r, o *flow.Record) {
	*o = *r
	o.Src, o.Dst, o.Proto, o.SrcPort, o.DstPort = r.TunSrc, r.TunDst, r.TunProto, 0, 0
	o.TunSrc, o.TunDst, o.TunProto = netip.Addr{}, netip.Addr{}, 0
	for _, f := range [...]flow.Field{flow.SrcPort, flow.DstPort, flow.TunSrc, flow.TunDst, flow.TunProto, flow.ICMP} {
		o.Present.Remove(f)
	}
	o.IPVersion = 6
	if o.Src.Is4() {
		o.IPVersion = 4
	}
	for i := range r.Extra {
		switch e := &r.Extra[i]; {
		case e.PEN != ie.VMwarePEN:
		case e.ID == ie.VMwareTunnelSourceTransportPort:
			o.SrcPort = uint16(wire.Uint(e.Value))
			o.Present.Add(flow.SrcPort)
		case e.ID == ie.VMwareTunnelDestinationTransportPort:
			o.DstPort = uint16(wire.Uint(e.Value))
			o.Present.Add(flow.DstPort)
		}
	}
}
