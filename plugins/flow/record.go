// Package flow holds Record, the one type in which a flow crosses packages.
//
// Decoders fill a Record, everything else reads it: metrics, nfdump files,
// filters and queries. A bit set (Present) says which fields the exporter sent; the
// others are zero. What has no field here rides along in Extra as (PEN, id, bytes).
//
// To add a field: add it to Record with its tags and run go generate. Decoders,
// encoders, metrics, biflows and queries know it then. Where nfdump has a place
// for it, give it that in the layout of nffile; document it in the input's README.
package flow

//go:generate go run ./generate

import (
	"math"
	"math/bits"
	"net/netip"
	"time"
)

// Time is a point in time in nanoseconds since 1970 UTC. 0 is unknown.
type Time int64

// TimeOf converts t. Times before 1970 and after 2262 are unknown.
func TimeOf(t time.Time) Time {
	if s := t.Unix(); s < 0 || s >= math.MaxInt64/int64(time.Second) {
		return 0
	}
	return Time(t.UnixNano())
}

// Milli returns a Time of ms milliseconds since 1970, 0 when it is out of range.
func Milli(ms uint64) Time {
	if ms > math.MaxInt64/uint64(time.Millisecond) {
		return 0
	}
	return Time(ms) * Time(time.Millisecond)
}

// Milli returns the milliseconds since 1970, rounded down.
func (t Time) Milli() uint64 { return uint64(t) / uint64(time.Millisecond) }

// Time returns t as a time.Time in UTC.
func (t Time) Time() time.Time { return time.Unix(0, int64(t)).UTC() }

// Version is the version of the protocol a flow came in.
type Version uint8

// The protocol versions.
const (
	V1    Version = 1
	V5    Version = 5
	V7    Version = 7
	V9    Version = 9
	IPFIX Version = 10
	SFlow Version = 0x85 // sFlow version 5, numbered as in nfdump files
)

// String returns the name that the tag "version" carries.
func (v Version) String() string {
	switch v {
	case V1:
		return "NetFlowV1"
	case V5:
		return "NetFlowV5"
	case V7:
		return "NetFlowV7"
	case V9:
		return "NetFlowV9"
	case IPFIX:
		return "IPFIX"
	case SFlow:
		return "sFlowV5"
	}
	return "unknown"
}

// RateSource says where a sampling rate came from.
type RateSource uint8

// The sources of a sampling rate.
const (
	RateUnknown  RateSource = iota // no rate known: the counters are as sent
	RateHeader                     // the NetFlow v5 header
	RateDomain                     // an option record of the observation domain
	RateSelector                   // an option record for the sampler the flow names
	RateRecord                     // the flow record itself (element 34)
	RateConfig                     // configuration
	RateVCenter                    // the switch's settings in vCenter
)

// Element is an information element as it was on the wire. Value points into
// the datagram: it is valid as long as the Record is.
type Element struct {
	PEN   uint32 // private enterprise number, 0 is IANA; NetFlow v9's types are 0 too
	ID    uint16
	Nth   uint8 // how many of the same element stand before it in the record, at most 255
	Value []byte
}

// Record is one flow. It is reused: a callback that gets one may read it until
// it returns, must not change it (decoders set only what the next flow has other
// than this one), and must copy what it keeps, the bytes behind its slices
// included.
//
// Counters are as the exporter sent them; SamplingRate scales them.
//
// The tags say what a field is; the generator makes the table of them (see Field):
//
//	flow   its name in metrics; behind a comma its kind, where the Go type does not say it, or "one":
//	       of its elements only the first of the list counts that a template has
//	const  the constant of the field, where that is not the name of the struct's field
//	also   constants of flags that say something about the field
//	pair   the field that has the same of the other direction
//	unit   of a number
//	ie     the information elements that fill it, the preferred first: a number of IANA's or of
//	       NetFlow v9's, or PEN/number. A + before it says that the field alone does not tell what was sent, so that the
//	       bytes are kept in Extra too, as those of all vendors are; = says how the value becomes the
//	       field's, where the type does not (see Form), or which item of a list it is.
type Record struct {
	Present Set

	// Who sent it.
	Exporter     netip.Addr `flow:"" const:"Router"`
	ExporterPort uint16
	Domain       uint32 // observation domain: v9 source id, v5 engine type<<8|id
	Version      Version
	EngineType   uint8 `flow:"engine_type" ie:"38"`
	EngineID     uint8 `flow:"engine_id" ie:"39"`
	TemplateID   uint16
	Sequence     uint32 // the datagram's sequence number
	SysUptime    uint32 // of the exporter at export, milliseconds; v5 and v9
	HeaderCount  uint16 // the datagram's count of records; v5 only
	HeaderRate   uint16 // the sampling field of the header as sent, mode in the top 2 bits; v5 only

	// The four times. First and Last are never zero after decoding: what the
	// exporter did not send, or sent absurdly, is Exported, else Received.
	First    Time `flow:"flow_start,one" const:"FirstSeen" ie:"+152 +150 +154 +156 +158=before +22=uptime"`
	Last     Time `flow:"flow_end,one" const:"LastSeen" also:"TimeRepair" ie:"+153 +151 +155 +157 +159=before +21=uptime"`
	Exported Time
	Received Time

	// The flow.
	Src       netip.Addr `flow:"src" pair:"Dst" ie:"8 27 6876/881=inner 6876/883=inner"`
	Dst       netip.Addr `flow:"dst" pair:"Src" ie:"12 28 6876/882=inner 6876/884=inner"`
	SrcPort   uint16     `flow:"src_port" pair:"DstPort" ie:"7 +180 +182 6876/886=inner"`
	DstPort   uint16     `flow:"dst_port" pair:"SrcPort" ie:"11 +181 +183 6876/887=inner"` // ICMP: type<<8 | code
	Proto     uint8      `flow:"protocol" ie:"4 6876/880=inner"`
	IPVersion uint8      `flow:"ip_version" ie:"60"`
	TCPFlags  uint16     `flow:"tcp_flags,flags" also:"TCPFlagsWide" ie:"6"` // RFC 9565; IPFIX alone has 16
	SrcTOS    uint8      `flow:"src_tos" ie:"5"`
	DstTOS    uint8      `flow:"dst_tos" ie:"55"`
	ICMP      uint16     `flow:"icmp_type" ie:"32 139 176=high 178=high 177=low 179=low"` // type<<8 | code

	// Counters of the flow, and of its reverse direction where the exporter
	// reports both in one record (RFC 5103, elements 231/232, 298/299). Bytes and
	// Packets are the best count there is: elements 1 and 2, else 23 and 24 (also
	// where 1 and 2 are zero), else 85 and 86, else 231 and 298, else those of layer 2.
	Bytes      uint64 `flow:"in_bytes,one" pair:"RevBytes" unit:"octets" ie:"1 +23 +85 +171 +231 +352 +353"`
	Packets    uint64 `flow:"in_packets,one" pair:"RevPackets" unit:"packets" ie:"2 +24 +86 +172 +298 +430 +431"`
	RevBytes   uint64 `flow:"rev_bytes,one" pair:"Bytes" unit:"octets" ie:"29305/1 29305/85 +232 29305/352 29305/353 6871/12"`
	RevPackets uint64 `flow:"rev_packets,one" pair:"Packets" unit:"packets" ie:"29305/2 29305/86 +299 29305/430 29305/431 6871/13"`
	OutBytes   uint64 `flow:"out_bytes,one" unit:"octets" ie:"23 +171"` // the same packets later on, never to be added
	OutPackets uint64 `flow:"out_packets,one" unit:"packets" ie:"24 +172"`
	Flows      uint64 `flow:"flows" unit:"flows" ie:"3"` // flows this record stands for; 0 when not sent

	SamplingRate   uint32 `flow:"sampling_rate" unit:"packets" ie:"+34 +50"` // one packet in so many; up to 1: all
	SamplingSource RateSource
	SamplerID      uint64 `flow:"flow_sampler_id" ie:"48 +302"`

	// Forwarding.
	Input      uint32     `flow:"in_snmp,one" pair:"Output" ie:"10 +252"` // SNMP interface index
	Output     uint32     `flow:"out_snmp,one" pair:"Input" ie:"14 +253"`
	SrcMask    uint8      `flow:"src_mask" pair:"DstMask" unit:"bits" ie:"9 29"`
	DstMask    uint8      `flow:"dst_mask" pair:"SrcMask" unit:"bits" ie:"13 30"`
	SrcAS      uint32     `flow:"bgp_src_as" pair:"DstAS" ie:"16"`
	DstAS      uint32     `flow:"bgp_dst_as" pair:"SrcAS" ie:"17"`
	NextAS     uint32     `flow:"bgp_next_as" ie:"128"`
	PrevAS     uint32     `flow:"bgp_prev_as" ie:"129"`
	NextHop    netip.Addr `flow:"next_hop" ie:"15 62"`
	BGPNextHop netip.Addr `flow:"bgp_next_hop" ie:"18 63"`
	Direction  uint8      `flow:"direction" ie:"61"` // 0 ingress, 1 egress
	FwdStatus  uint8      `flow:"fwd_status" ie:"89"`
	EndReason  uint8      `flow:"flow_end_reason" ie:"136"`
	BiflowDir  uint8      `flow:"biflow_direction" ie:"239"`
	MinTTL     uint8      `flow:"min_ttl" unit:"hops" ie:"52"`
	MaxTTL     uint8      `flow:"max_ttl" unit:"hops" ie:"53"`
	FragFlags  uint8      `flow:"fragment_flags,flags" ie:"197"`
	FlowID     uint64     `flow:"flow_id" ie:"148"`
	IngressVRF uint32     `flow:"in_vrf_id" pair:"EgressVRF" ie:"234"`
	EgressVRF  uint32     `flow:"out_vrf_id" pair:"IngressVRF" ie:"235"`

	// Layer 2.
	SrcVLAN   uint16  `flow:"vlan_src" pair:"DstVLAN" ie:"58 +243=v9"`
	DstVLAN   uint16  `flow:"vlan_dst" pair:"SrcVLAN" ie:"59 +254=v9"`
	InSrcMAC  [6]byte `flow:"in_src_mac" ie:"56"`
	OutDstMAC [6]byte `flow:"out_dst_mac" ie:"57"`
	InDstMAC  [6]byte `flow:"in_dst_mac" ie:"80"`
	OutSrcMAC [6]byte `flow:"out_src_mac" ie:"81"`
	// label<<4 | exp<<1 | bottom of stack, top first
	MPLS      [10]uint32 `flow:"mpls_label_1,label" ie:"70=0 71=1 72=2 73=3 74=4 75=5 76=6 77=7 78=8 79=9"`
	MPLSDepth uint8      // labels in MPLS

	// Events of firewalls and address translators.
	Total      bool       // a counter is left out: it counts since the flow began, and from what on is not known
	Event      bool       // state changed, no traffic counted: NSEL or NEL
	EventTime  Time       `flow:"event_time_ms,one" ie:"+323 +322 +324 +325"`
	FwEvent    uint8      `flow:"fw_event" ie:"233 +40005"`
	FwXEvent   uint16     `flow:"fw_event_ext" ie:"33002"` // NetFlow v9 only, as ACLs and 4000x
	NATEvent   uint8      `flow:"nat_event" ie:"230"`
	NATPool    uint32     `flow:"nat_pool_id" ie:"283"`
	XlateSrc   netip.Addr `flow:"xlat_src" pair:"XlateDst" ie:"225 281 +40001"`
	XlateDst   netip.Addr `flow:"xlat_dst" pair:"XlateSrc" ie:"226 282 +40002"`
	XlateSPort uint16     `flow:"xlat_src_port" pair:"XlateDPort" ie:"227 +40003"`
	XlateDPort uint16     `flow:"xlat_dst_port" pair:"XlateSPort" ie:"228 +40004"`
	IngressACL [12]byte   `flow:"in_acl_id" ie:"33000"` // as on the wire
	EgressACL  [12]byte   `flow:"out_acl_id" ie:"33001"`
	PortBlock  [4]uint16  `flow:"port_range_start" ie:"+361=0 +362=1 +363=2 +364=3"` // start, end, step, size
	User       []byte     `flow:"username,text" ie:"371 40000 56702"`

	// Application and tunnel.
	AppID            []byte     `flow:"app_id" ie:"95"`
	TunSrc           netip.Addr `flow:"tunnel_src" pair:"TunDst" ie:"6876/893"`
	TunDst           netip.Addr `flow:"tunnel_dst" pair:"TunSrc" ie:"6876/894"`
	TunSrcPort       uint16     `flow:"tunnel_src_port" pair:"TunDstPort" ie:"6876/896"`
	TunDstPort       uint16     `flow:"tunnel_dst_port" pair:"TunSrcPort" ie:"6876/897"`
	TunProto         uint8      `flow:"tunnel_protocol" ie:"6876/895"`
	ObservationPoint uint64     `flow:"observation_point_id" ie:"138"`
	SegmentID        uint64     `flow:"l2_segment_id" ie:"351"` // the low 24 bits are a VXLAN's VNI

	// VMware virtual switch (PEN 6876): 1 uplink, 2 VM access port, 3 VXLAN or management.
	IngressAttr uint16 `flow:"ingress_interface_attr" pair:"EgressAttr" ie:"6876/890"`
	EgressAttr  uint16 `flow:"egress_interface_attr" pair:"IngressAttr" ie:"6876/888"`

	// Sample is what sFlow, or a packet section in IPFIX, tells of the one packet
	// that the flow stands for; nil for all other flows.
	Sample *Sample

	// Names are what tables and configuration call the numbers above; nil when
	// there are none.
	Names *Names

	// Extra has what the exporter sent and no field above holds losslessly, in
	// the order of the template.
	Extra []Element

	// Nested are the elements inside the structured data of Extra, in the order of
	// their bytes.
	Nested []Nested
}

// Reset empties r for the next flow and keeps the memory of Extra.
func (r *Record) Reset() {
	extra := r.Extra[:0]
	*r = Record{}
	r.Extra = extra
}

// Has says whether the exporter sent field f.
func (r *Record) Has(f Field) bool { return r.Present.Has(f) }

// Rate returns the factor from sampled to estimated counters, at least 1.
// Events and flow counts are never scaled.
func (r *Record) Rate() uint64 {
	if r.SamplingRate > 1 && !r.Event {
		return uint64(r.SamplingRate)
	}
	return 1
}

// Scale returns a counter of r as an estimate of what was there before sampling:
// times Rate, or the largest number when that does not fit.
func (r *Record) Scale(n uint64) uint64 {
	high, low := bits.Mul64(n, r.Rate())
	if high != 0 {
		return math.MaxUint64
	}
	return low
}

// Names are what the numbers of a flow are called, from the exporter's option
// tables and from configuration. Unknown ones are empty. The tags are their names in
// metrics: see Label.
type Names struct {
	Exporter   string `flow:"exporter_name"`
	Input      string `flow:"in_interface"`
	Output     string `flow:"out_interface"`
	IngressVRF string `flow:"in_vrf_name"`
	EgressVRF  string `flow:"out_vrf_name"`
	App        string `flow:"app_name"`
	Sampler    string `flow:"sampler_name"`
	User       string `flow:"username"` // behind one of the addresses

	// What stands behind the ports of a VMware switch.
	InputVM         string `flow:"in_vm"`  // virtual machine that sent the flow
	OutputVM        string `flow:"out_vm"` // virtual machine that got it
	InputPortgroup  string `flow:"in_portgroup"`
	OutputPortgroup string `flow:"out_portgroup"`
	Host            string `flow:"esxi_host"` // ESXi host

	// What files of the user tell of the addresses (package enrich).
	SrcCountry string `flow:"src_country"` // two letters of ISO 3166-1
	DstCountry string `flow:"dst_country"`
	SrcNetwork string `flow:"src_network"`
	DstNetwork string `flow:"dst_network"`

	Port uint16 // source port of the exporter, where its ports are kept apart
}

// OptionRecord is one option data record (RFC 7011, section 3.4.2.2): what an
// exporter says about itself. It is reused as a Record is.
type OptionRecord struct {
	Exporter     netip.Addr
	ExporterPort uint16
	Domain       uint32
	Version      Version
	TemplateID   uint16
	Exported     Time
	Received     Time

	// Scope says what the record is about. In NetFlow v9 its ids are scope
	// types (1 system, 2 interface, 3 line card, 4 cache, 5 template), not
	// information elements (RFC 3954, section 6.1).
	Scope  []Element
	Fields []Element
}

// Datagram is one UDP payload as it was received, the unit in which flows travel
// undecoded: to an archive, through Kafka, out of a replay. Payload belongs to
// whoever made the Datagram; what keeps it longer than a call copies it.
type Datagram struct {
	Exporter netip.AddrPort // who sent it; an IPv4 address is never written as IPv6
	Received time.Time      // when it came in
	Payload  []byte

	// Resent says that this is no datagram of the exporter, but one made of the
	// templates and option records that it has sent before, for decoders that
	// have started since. Its sequence number says nothing.
	Resent bool

	// Stream says that this is an IPFIX message that came over TCP or TLS: its
	// templates live as long as the connection from Exporter (RFC 7011, section
	// 10.4.3). One without payload says that the connection has ended.
	Stream bool

	// Policy is what the administrator of an earlier decoder has said of the exporter.
	Policy Policy
}
