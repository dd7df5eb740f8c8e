package report

import (
	"net/netip"
	"strconv"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// path writes interfaces, masks, VLANs and autonomous systems.
func (j *jsonFlows) path(o *object, f row) {
	if f.isFile() && f.Has(flow.Input) {
		j.misc(o, f)
	} else {
		j.keys(o, f)
	}
	if f.Has(flow.RevBytes) || !f.isFile() {
		o.uint("out_packets", f.RevPackets)
		o.uint("out_bytes", f.RevBytes)
		o.uint("aggr_flows", f.flows())
	}
	for _, m := range [...]struct {
		name  string
		field flow.Field
	}{{"src_vlan", flow.SrcVLAN}, {"dst_vlan", flow.DstVLAN}, {"src_as", flow.SrcAS}, {"dst_as", flow.DstAS}} {
		if f.Has(m.field) {
			o.uint(m.name, f.Record.Number(m.field))
		}
	}
}

// misc writes what stands in one element of a file.
func (j *jsonFlows) misc(o *object, f row) {
	o.uint("input_snmp", uint64(f.Input))
	o.uint("output_snmp", uint64(f.Output))
	o.uint("src_mask", uint64(f.SrcMask))
	o.uint("dst_mask", uint64(f.DstMask))
	j.network(o, "src_net", f.Src, f.SrcMask)
	j.network(o, "dst_net", f.Dst, f.DstMask)
	if !j.newer {
		o.uint("fwd_status", uint64(f.FwdStatus))
	}
	o.uint("direction", uint64(f.Direction))
	o.uint("dst_tos", uint64(f.DstTOS))
}

// keys writes of a sum those of the same fields that are its keys.
func (j *jsonFlows) keys(o *object, f row) {
	for _, m := range [...]struct {
		name  string
		field flow.Field
	}{{"input_snmp", flow.Input}, {"output_snmp", flow.Output}, {"src_mask", flow.SrcMask}, {"dst_mask", flow.DstMask},
		{"direction", flow.Direction}, {"dst_tos", flow.DstTOS}} {
		if f.Has(m.field) {
			o.uint(m.name, f.Record.Number(m.field))
		}
	}
}

// network writes the network of an address, nothing for a mask of no bits.
func (j *jsonFlows) network(o *object, name string, a netip.Addr, bits uint8) {
	if bits == 0 {
		a = netip.Addr{}
	}
	o.member(name)
	o.b = append(o.b, '"')
	if a.IsValid() {
		o.b = appendPlainAddr(o.b, network(a, bits))
	}
	o.b = append(o.b, '"')
}

// family writes an address under one of two names.
func (o *object) family(v4, v6 string, a netip.Addr) {
	switch {
	case a.Is6():
		o.addr(v6, a)
	case a.IsValid():
		o.addr(v4, a)
	}
}

// labelNames are the members of the MPLS labels.
var labelNames = [...]string{"mpls_1", "mpls_2", "mpls_3", "mpls_4", "mpls_5", "mpls_6", "mpls_7", "mpls_8", "mpls_9",
	"mpls_10"}

// layer2 writes next hops, the exporter, labels and hardware addresses.
func (j *jsonFlows) layer2(o *object, f row) {
	if f.Has(flow.BGPNextHop) {
		o.family("bgp4_next_hop", "bgp6_next_hop", f.BGPNextHop)
	}
	if f.Has(flow.NextHop) {
		o.family("ip4_next_hop", "ip6_next_hop", f.NextHop)
	}
	o.family("ip4_router", "ip6_router", f.router())
	if f.Has(flow.MPLS) {
		for i, v := range f.MPLS {
			o.member(labelNames[i])
			o.b = append(appendLabel(append(o.b, '"'), v, 0), '"')
		}
	}
	for _, m := range [...]struct {
		name  string
		field flow.Field
		mac   *[6]byte
	}{{"in_src_mac", flow.InSrcMAC, &f.InSrcMAC}, {"out_dst_mac", flow.OutDstMAC, &f.OutDstMAC},
		{"in_dst_mac", flow.InDstMAC, &f.InDstMAC}, {"out_src_mac", flow.OutSrcMAC, &f.OutSrcMAC}} {
		if f.Has(m.field) {
			o.member(m.name)
			o.b = append(appendMAC(append(o.b, '"'), *m.mac), '"')
		}
	}
	if f.Has(flow.NextAS) {
		o.uint("next_as", uint64(f.NextAS))
	}
	if f.Has(flow.PrevAS) {
		o.uint("prev_as", uint64(f.PrevAS))
	}
	if f.Extra.Has&nffile.HasDelays != 0 {
		for i, name := range [...]string{"cli_latency", "srv_latency", "app_latency"} {
			o.member(name)
			o.b = strconv.AppendFloat(o.b, float64(f.latencies()[i])/1000, 'f', 6, 64)
		}
	}
}

// events writes what firewalls and address translators tell.
func (j *jsonFlows) events(o *object, f row) {
	if f.Has(flow.FwEvent) {
		j.number(o, "connect_id", f.FlowID)
		j.number(o, "event_id", uint64(f.FwEvent))
		o.plain("event", firewallEvent(f.FwEvent))
		j.number(o, "xevent_id", uint64(f.FwXEvent))
		j.eventTime(o, f)
	}
	if f.Has(flow.XlateSrc) {
		o.family("src4_xlt_ip", "src6_xlt_ip", f.XlateSrc)
		o.family("dst4_xlt_ip", "dst6_xlt_ip", f.XlateDst)
	}
	if f.Has(flow.XlateSPort) {
		j.number(o, "src_xlt_port", uint64(f.XlateSPort))
	}
	if f.Has(flow.XlateDPort) {
		j.number(o, "dst_xlt_port", uint64(f.XlateDPort))
	}
	if f.Has(flow.IngressACL) {
		o.member("ingress_acl")
		o.b = append(appendACL(append(o.b, '"'), f.IngressACL, j.opt.Compat), '"')
		o.member("egress_acl")
		o.b = append(appendACL(append(o.b, '"'), f.EgressACL, j.opt.Compat), '"')
	}
	if f.Has(flow.User) {
		o.text("user_name", f.User)
	}
	if f.Has(flow.NATEvent) {
		j.nat(o, f)
	}
	if f.Has(flow.PortBlock) {
		for i, name := range [...]string{"pblock_start", "pblock_end", "pblock_step", "pblock_size"} {
			j.number(o, name, uint64(f.PortBlock[i]))
		}
	}
}

// nat writes an event of an address translator.
func (j *jsonFlows) nat(o *object, f row) {
	_, long := natEvent(f.NATEvent)
	j.number(o, "nat_event_id", uint64(f.NATEvent))
	o.plain("nat_event", long)
	if j.newer {
		o.uint("nat_pool_id", uint64(f.NATPool))
	} else if !f.Has(flow.IngressVRF) {
		o.plain("ingress_vrf", "0")
		o.plain("egress_vrf", "0")
	}
	j.eventTime(o, f)
}

// eventTime writes the time of an event. nfdump 1.7.1 does not fill its milliseconds up.
func (j *jsonFlows) eventTime(o *object, f row) {
	ms := f.EventTime.Milli()
	if !j.strict {
		j.time(o, "t_event", ms)
		return
	}
	o.member("t_event")
	o.b = j.clock.iso(append(o.b, '"'), ms)
	o.b = append(strconv.AppendUint(o.b[:len(o.b)-3], ms%1000, 10), '"')
}

// more writes all else.
func (j *jsonFlows) more(o *object, f row) {
	if f.tunnelled() {
		if j.newer {
			o.uint("tun_proto", uint64(f.TunProto))
		} else {
			o.uint("tun proto", uint64(f.TunProto))
		}
		o.family("src4_tun_ip", "src6_tun_ip", f.TunSrc)
		o.family("dst4_tun_ip", "dst6_tun_ip", f.TunDst)
	}
	if f.Has(flow.ObservationPoint) {
		if name := "observationDomainID"; f.isFile() && j.strict {
			o.uint("observationDoaminID", uint64(f.observationDomain())) // so written by nfdump
		} else if f.isFile() {
			o.uint(name, uint64(f.observationDomain()))
		}
		o.uint("observationPointID", f.ObservationPoint)
	}
	if f.Has(flow.IngressVRF) {
		j.number(o, "ingress_vrf", uint64(f.IngressVRF))
	}
	if f.Has(flow.EgressVRF) {
		j.number(o, "egress_vrf", uint64(f.EgressVRF))
	}
	if f.Has(flow.MinTTL) && j.newer {
		o.uint("min_ttl", uint64(f.MinTTL))
		o.uint("max_ttl", uint64(f.MaxTTL))
	}
	switch {
	case f.Extra.Has&nffile.HasLabel != 0:
		o.text("label", f.Extra.Label)
	case !j.newer:
		o.plain("label", "<none>")
	}
	if j.newer && f.isFile() {
		o.uint("sampled", f.sampled())
	}
}
