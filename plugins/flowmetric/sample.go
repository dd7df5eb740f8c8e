package flowmetric

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// put sets a number that may be there already.
func (b *Builder) put(name string, v uint64) { b.setValue(name, number(v)) }

// sample writes what sFlow tells of a packet, under the stock plugin's names.
func (b *Builder) sample(r *flow.Record) {
	p := r.Sample
	if p.Kind != flow.SampleSection {
		b.agent(r, p)
	}
	if p.Headers&flow.HasFrame != 0 {
		b.addField("l2_protocol", headerProtocol(p.Protocol))
		b.put("l2_bytes", uint64(p.FrameLength))
		b.headers(r, p)
	}
	b.extended(p)
	if b.stock && r.Has(flow.SrcTOS) && p.Kind != flow.SampleSection {
		b.put("src_tos", uint64(r.SrcTOS))
	}
}

// agent writes who took the sample, and how.
func (b *Builder) agent(r *flow.Record, p *flow.Sample) {
	if p.Agent.IsValid() {
		b.addValue("agent_ip", address(p.Agent))
	}
	b.put("agent_subid", uint64(p.SubAgent))
	b.put("sys_uptime", uint64(p.Uptime))
	b.put("seq_number", uint64(p.Sequence))
	b.put("sampling_drops", uint64(p.Drops))
	if p.Kind == flow.SampleFlow {
		b.put("sampling_interval", uint64(p.Interval))
		b.put("in_total_packets", uint64(p.Pool))
	}
	if p.Kind == flow.SampleDiscarded || p.OutFormat == 1 {
		b.put("reason", uint64(p.Reason))
	}
	switch p.SourceType {
	case 1:
		b.put("in_vlan_id", uint64(p.Source))
	case 2:
		b.put("in_phy_interface", uint64(p.Source))
	}
	if b.stock && !r.Has(flow.IPVersion) {
		b.set("ip_version", agentVersion(p.Agent))
	}
}

// agentVersion returns the family of the agent's address, which the stock plugin
// gives where a sample has none.
func agentVersion(a netip.Addr) any {
	switch {
	case a.Is4():
		return "IPv4"
	case a.Is6():
		return "IPv6"
	}
	return nil
}

// headers writes what the packet's headers say.
func (b *Builder) headers(r *flow.Record, p *flow.Sample) {
	if p.Headers&flow.HasEthernet != 0 {
		b.addValue("datalink_frame_type", b.etherType(p.EtherType))
	}
	if p.Headers&flow.HasVLAN != 0 {
		b.put("vlan_id", uint64(p.VLAN))
		b.put("vlan_priority", uint64(p.VLANClass>>1))
		b.set("vlan_drop_eligible", p.VLANClass&1 != 0)
		if p.OuterVLAN != 0 {
			b.put("vlan_outer_id", uint64(p.OuterVLAN))
		}
	}
	if p.Headers&(flow.HasIPv4|flow.HasIPv6) != 0 {
		b.put("ttl", uint64(p.TTL))
		b.put("ip_total_len", uint64(p.IPLength))
	}
	if p.Headers&flow.HasIPv4 != 0 {
		b.put("ipv4_total_len", uint64(p.IPLength))
		b.put("ipv4_inet_header_len", uint64(p.HeaderLen))
		b.put("ipv4_id", uint64(p.IPID))
		b.put("fragment_offset", uint64(p.FragOffset))
		b.setValue("fragment_flags", b.cache.flagsOf(p.FragFlags, ".....MDE"))
	}
	if p.Headers&flow.HasIPv6 != 0 {
		b.put("ipv6_total_len", uint64(p.IPLength))
		if p.FlowLabel != 0 {
			label := binary.BigEndian.AppendUint32(b.scratch[:0], p.FlowLabel)
			b.setValue("flow_label", b.cache.hex(label)) // as element 31
		}
	}
	if p.Headers&flow.HasTCP != 0 {
		b.put("tcp_seq_number", uint64(p.TCPSeq))
		b.put("tcp_ack_number", uint64(p.TCPAck))
		b.put("tcp_window_size", uint64(p.TCPWindow))
		b.put("tcp_urgent_ptr", uint64(p.TCPUrgent))
	}
	if p.Headers&flow.HasVNI != 0 {
		b.put("vni", uint64(p.VNI))
	}
}

// extended writes what the agent adds to a packet.
func (b *Builder) extended(p *flow.Sample) {
	has := func(s flow.ExtendedSet) bool { return p.Extended&s != 0 }
	if has(flow.HasEthernetSample) {
		b.put("eth_total_len", uint64(p.EthLength))
		b.setValue("datalink_frame_type", b.etherType(p.EtherType))
	}
	if has(flow.HasIPv4Sample) {
		b.put("ipv4_total_len", uint64(p.IPLength))
	}
	if has(flow.HasIPv6Sample) {
		b.put("ipv6_total_len", uint64(p.IPLength))
	}
	if has(flow.HasSwitch) {
		b.put("vlan_src", uint64(p.SrcVLAN))
		b.put("vlan_src_priority", uint64(p.SrcPriority))
		b.put("vlan_dst", uint64(p.DstVLAN))
		b.put("vlan_dst_priority", uint64(p.DstPriority))
	}
	if has(flow.HasGateway) {
		b.put("bgp_as", uint64(p.AS))
		b.put("next_hop_ip_version", uint64(p.GatewayVersion))
		b.put("bgp_as_path_type", uint64(p.ASPathType))
		b.put("bgp_as_path_length", uint64(p.ASPathLength))
		b.put("community_length", uint64(len(p.Communities)/4))
		b.setValue("communities", b.cache.communities(p.Communities))
		b.put("local_pref", uint64(p.LocalPref))
	}
	if has(flow.HasQueue) {
		b.put("out_queue", uint64(p.Queue))
	}
	if has(flow.HasACL) {
		b.put("acl_id", uint64(p.ACL))
		b.setValue("acl_name", b.cache.valid(p.ACLName))
	}
	if has(flow.HasFunction) {
		b.setValue("function", b.cache.valid(p.Function))
	}
}

// communities returns BGP communities as hex numbers, separated by commas.
func (c *cache) communities(b []byte) value {
	from := len(c.scratch)
	for ; len(b) >= 4; b = b[4:] {
		if len(c.scratch) > from {
			c.scratch = append(c.scratch, ',')
		}
		c.scratch = append(c.scratch, "0x"...)
		c.scratch = strconv.AppendUint(c.scratch, uint64(binary.BigEndian.Uint32(b)), 16)
	}
	return c.since(from)
}

// headerProtocols are sFlow's names of header_protocol, from 1.
var headerProtocols = [...]any{"ETHERNET-ISO8023", "ISO88024-TOKENBUS", "ISO88025-TOKENRING", "FDDI", "FRAME-RELAY",
	"X25", "PPP",
	"SMDS", "AAL5", "AAL5-IP", "IPv4", "IPv6", "MPLS"}

// headerProtocol returns the name of a header_protocol.
func headerProtocol(v uint32) any {
	if v >= 1 && int(v) <= len(headerProtocols) {
		return headerProtocols[v-1]
	}
	return "unknown"
}

// etherType returns the name of a type of Ethernet's, or its number in hex.
func (b *Builder) etherType(v uint16) value {
	switch v {
	case 0x0800:
		return boxed("IPv4")
	case 0x0806:
		return boxed("ARP")
	case 0x86dd:
		return boxed("IPv6")
	case 0x8100:
		return boxed("Dot1Q")
	case 0x88a8:
		return boxed("QinQ")
	case 0x8847:
		return boxed("MPLSUnicast")
	case 0x8848:
		return boxed("MPLSMulticast")
	case 0x8864:
		return boxed("PPPoESession")
	case 0x88cc:
		return boxed("LinkLayerDiscovery")
	}
	return b.cache.hex(binary.BigEndian.AppendUint16(b.scratch[:0], v))
}

// Counters returns the metric of a counter record of sFlow: netflow_counters, with the
// tags kind and index, or netflow as the stock plugin writes it. That one has a metric
// for each sample, with what its records of a few kinds say: the first of them returns
// it, the later ones add to it and return nil. It must not be given away before the
// sample is over.
func (b *Builder) Counters(o *flow.CounterRecord, at time.Time) telegraf.Metric {
	b.begin()
	if b.stock {
		return b.stockCounters(o, at)
	}
	b.agentFields(o)
	b.counters(o)
	m := b.finish(CounterMeasurement, o.Exporter, flow.SFlow, at, nil)
	m.AddTag("kind", o.Kind)
	m.AddTag("index", strconv.FormatUint(uint64(o.Source), 10))
	return m
}

// agentFields writes whose counters these are.
func (b *Builder) agentFields(o *flow.CounterRecord) {
	if o.Agent.IsValid() {
		b.addValue("agent_ip", address(o.Agent))
	}
	b.put("agent_subid", uint64(o.Domain))
	b.put("sys_uptime", uint64(o.Uptime))
	b.put("seq_number", uint64(o.Sequence))
}

// counters writes the counters of a record.
func (b *Builder) counters(o *flow.CounterRecord) {
	for i := range o.Counters {
		b.counter(o, &o.Counters[i])
	}
	if o.Kind == "ethernet" {
		b.set("type", "IEEE 802.3")
	}
}

// stockCounters returns the metric of a counter sample, or adds to it.
func (b *Builder) stockCounters(o *flow.CounterRecord, at time.Time) telegraf.Metric {
	if o.First {
		b.sampleMetric = nil
	}
	if o.Kind != "interface" && o.Kind != "ethernet" && o.Kind != "port_name" {
		return nil
	}
	if b.sampleMetric != nil {
		b.counters(o)
		for i := range b.fields {
			b.sampleMetric.AddField(b.fields[i].name, b.cache.box(&b.fields[i].value))
		}
		return nil
	}
	b.set("ip_version", agentVersion(o.Agent))
	switch o.SourceType {
	case 0:
		b.put("in_snmp", uint64(o.Source))
	case 1:
		b.put("in_vlan_id", uint64(o.Source))
	case 2:
		b.put("in_phy_interface", uint64(o.Source))
	}
	b.agentFields(o)
	b.counters(o)
	m := b.finish(Measurement, o.Exporter, flow.SFlow, at, nil)
	b.sampleMetric = m
	return m
}

// counter writes one counter. One that the agent does not have is no field, but for the stock
// plugin, to which it is the highest number there is.
func (b *Builder) counter(o *flow.CounterRecord, c *flow.Counter) {
	switch {
	case c.Unknown && !b.stock:
	case c.Name == "interface_status":
		b.set("status", upDown(c.Value != 0))
		if !b.stock {
			b.set("admin_status", upDown(c.Value&1 != 0))
			b.set("oper_status", upDown(c.Value&2 != 0))
		}
	case c.Name == "interface_direction" && b.stock:
	case c.Real:
		b.set(c.Name, c.Float)
	case c.Text == nil:
		b.put(c.Name, c.Value)
	default:
		switch sflow.TextKind(c, o.Kind) {
		case "mac":
			b.setValue(c.Name, b.cache.mac(c.Text))
		case "uuid":
			b.set(c.Name, hex.EncodeToString(c.Text))
		default:
			b.setValue(c.Name, b.cache.valid(c.Text))
		}
	}
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
