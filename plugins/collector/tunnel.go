package collector

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// vmwarePEN is VMware's private enterprise number.
const vmwarePEN = 6876

// tenantBytes is room for the values of a tenant's elements.
type tenantBytes [2*16 + 2*2 + 1]byte

// turnOut makes o what r is, but for a record of a VXLAN segment with the outer
// addresses as the flow; the tenant's ride along as VMware's own elements
// (specs/flow-protocols.md, VMware). The outer ports are those that the exporter
// sent as elements 896 and 897.
func turnOut(r, o *flow.Record, b *tenantBytes) {
	extra := append(o.Extra[:0], r.Extra...)
	*o = *r
	free := b[:0]
	keep := func(id uint16, value ...byte) {
		at := len(free)
		free = append(free, value...)
		extra = append(extra, flow.Element{PEN: vmwarePEN, ID: id, Value: free[at:len(free):len(free)]})
	}
	address := func(a netip.Addr, id4, id6 uint16) {
		switch {
		case a.Is4():
			keep(id4, a.AsSlice()...)
		case a.IsValid():
			keep(id6, a.AsSlice()...)
		}
	}
	address(r.Src, 881, 883)
	address(r.Dst, 882, 884)
	keep(886, byte(r.SrcPort>>8), byte(r.SrcPort))
	keep(887, byte(r.DstPort>>8), byte(r.DstPort))
	keep(880, r.Proto)
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
		case e.PEN != vmwarePEN:
		case e.ID == 896:
			o.SrcPort = uint16(wire.Uint(e.Value))
			o.Present.Add(flow.SrcPort)
		case e.ID == 897:
			o.DstPort = uint16(wire.Uint(e.Value))
			o.Present.Add(flow.DstPort)
		}
	}
	o.Extra = extra
}
