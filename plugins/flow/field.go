package flow

// Field is a field of a Record, for its bit set and its name.
type Field uint8

// The fields that an exporter may leave out.
const (
	Src Field = iota
	Dst
	SrcPort
	DstPort
	Proto
	IPVersion
	TCPFlags
	TCPFlagsWide // TCPFlags came in two bytes
	SrcTOS
	DstTOS
	ICMP
	Bytes
	Packets
	RevBytes
	RevPackets
	OutBytes
	OutPackets
	Flows
	SamplingRate
	SamplerID
	Input
	Output
	SrcMask
	DstMask
	SrcAS
	DstAS
	NextAS
	PrevAS
	NextHop
	BGPNextHop
	Direction
	FwdStatus
	EndReason
	BiflowDir
	MinTTL
	MaxTTL
	FragFlags
	FlowID
	IngressVRF
	EgressVRF
	SrcVLAN
	DstVLAN
	InSrcMAC
	OutDstMAC
	InDstMAC
	OutSrcMAC
	MPLS
	EventTime
	FwEvent
	FwXEvent
	NATEvent
	NATPool
	XlateSrc
	XlateDst
	XlateSPort
	XlateDPort
	IngressACL
	EgressACL
	PortBlock
	User
	AppID
	TunSrc
	TunDst
	TunProto
	ObservationPoint
	SegmentID
	IngressAttr
	EgressAttr
	EngineType
	EngineID
	FirstSeen  // First is the exporter's own
	LastSeen   // Last is the exporter's own
	TimeRepair // First or Last was absurd and has been replaced
	numFields
)

// NumFields is the number of fields.
const NumFields = int(numFields)

// names are the fields' names in metrics: Telegraf's stock names where it has
// one.
var names = [NumFields]string{
	Src: "src", Dst: "dst", SrcPort: "src_port", DstPort: "dst_port", Proto: "protocol",
	IPVersion: "ip_version", TCPFlags: "tcp_flags", SrcTOS: "src_tos", DstTOS: "dst_tos",
	ICMP: "icmp_type", Bytes: "in_bytes", Packets: "in_packets",
	RevBytes: "rev_bytes", RevPackets: "rev_packets",
	OutBytes: "out_bytes", OutPackets: "out_packets", Flows: "flows",
	SamplingRate: "sampling_rate", SamplerID: "flow_sampler_id",
	Input: "in_snmp", Output: "out_snmp", SrcMask: "src_mask", DstMask: "dst_mask",
	SrcAS: "bgp_src_as", DstAS: "bgp_dst_as", NextAS: "bgp_next_as", PrevAS: "bgp_prev_as",
	NextHop: "next_hop", BGPNextHop: "bgp_next_hop", Direction: "direction",
	FwdStatus: "fwd_status", EndReason: "flow_end_reason", BiflowDir: "biflow_direction",
	MinTTL: "min_ttl", MaxTTL: "max_ttl", FragFlags: "fragment_flags", FlowID: "flow_id",
	IngressVRF: "in_vrf_id", EgressVRF: "out_vrf_id",
	SrcVLAN: "vlan_src", DstVLAN: "vlan_dst", InSrcMAC: "in_src_mac", OutDstMAC: "out_dst_mac",
	InDstMAC: "in_dst_mac", OutSrcMAC: "out_src_mac", MPLS: "mpls_label_1",
	EventTime: "event_time_ms", FwEvent: "fw_event", FwXEvent: "fw_event_ext",
	NATEvent: "nat_event", NATPool: "nat_pool_id", XlateSrc: "xlat_src", XlateDst: "xlat_dst",
	XlateSPort: "xlat_src_port", XlateDPort: "xlat_dst_port",
	IngressACL: "in_acl_id", EgressACL: "out_acl_id", PortBlock: "port_range_start",
	User: "username", AppID: "app_id", TunSrc: "tunnel_src", TunDst: "tunnel_dst",
	TunProto: "tunnel_protocol", ObservationPoint: "observation_point_id",
	SegmentID: "l2_segment_id", IngressAttr: "ingress_interface_attr",
	EgressAttr: "egress_interface_attr", EngineType: "engine_type", EngineID: "engine_id",
	FirstSeen: "flow_start", LastSeen: "flow_end",
}

// Name returns the field's name in metrics, "" for fields that have none.
func (f Field) Name() string {
	if int(f) < NumFields {
		return names[f]
	}
	return ""
}

// FieldByName returns the field of a metric's name.
func FieldByName(name string) (Field, bool) {
	for f, n := range names {
		if n == name && n != "" {
			return Field(f), true
		}
	}
	return 0, false
}

// Set is a set of fields.
type Set [2]uint64

// Add puts f into the set.
func (s *Set) Add(f Field) { s[f>>6] |= 1 << (f & 63) }

// Remove takes f out of the set.
func (s *Set) Remove(f Field) { s[f>>6] &^= 1 << (f & 63) }

// Has says whether f is in the set.
func (s *Set) Has(f Field) bool { return s[f>>6]&(1<<(f&63)) != 0 }
