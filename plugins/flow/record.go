// Package flow holds Record, the one type in which a flow crosses packages.
//
// Decoders fill a Record, everything else reads it: metrics, nfdump files,
// filters and queries. It is a plain struct without behaviour of its own. A bit
// set (Present) says which fields the exporter sent; the others are zero. What
// has no field here rides along in Extra as (PEN, id, bytes).
//
// To add a field: add it to Record, add its constant and name in field.go, let
// the decoder set it (plugins/ipfix, compile.go), and give it a place in
// flowmetric and, where nfdump has one, in nffile.
package flow

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
	Value []byte
}

// Record is one flow. It is reused: a callback that gets one may read it until
// it returns, must not change it (decoders set only what the next flow has other
// than this one), and must copy what it keeps, the bytes behind its slices
// included.
//
// Counters are as the exporter sent them; SamplingRate scales them.
type Record struct {
	Present Set

	// Who sent it.
	Exporter     netip.Addr
	ExporterPort uint16
	Domain       uint32 // observation domain: v9 source id, v5 engine type<<8|id
	Version      Version
	EngineType   uint8
	EngineID     uint8
	TemplateID   uint16
	Sequence     uint32 // the datagram's sequence number
	SysUptime    uint32 // of the exporter at export, milliseconds; v5 and v9
	HeaderCount  uint16 // the datagram's count of records; v5 only
	HeaderRate   uint16 // the sampling field of the header as sent, mode in the top 2 bits; v5 only

	// The four times. First and Last are never zero after decoding: what the
	// exporter did not send, or sent absurdly, is Exported, else Received.
	First    Time
	Last     Time
	Exported Time
	Received Time

	// The flow.
	Src       netip.Addr
	Dst       netip.Addr
	SrcPort   uint16
	DstPort   uint16 // of ICMP and ICMPv6: type<<8 | code
	Proto     uint8
	IPVersion uint8
	TCPFlags  uint16 // RFC 9565 control bits; the low 8 in all but IPFIX
	SrcTOS    uint8
	DstTOS    uint8
	ICMP      uint16 // type<<8 | code

	// Counters of the flow, and of its reverse direction where the exporter
	// reports both in one record (RFC 5103, elements 231/232, 298/299). Bytes and
	// Packets are the best count there is: elements 1 and 2, else 23 and 24 (also
	// where 1 and 2 are zero), else 85 and 86, else 231 and 298.
	Bytes      uint64
	Packets    uint64
	RevBytes   uint64
	RevPackets uint64
	OutBytes   uint64 // after the observation point (element 23): the same packets, never to be added
	OutPackets uint64
	Flows      uint64 // flows this record stands for; 0 when not sent

	SamplingRate   uint32 // one packet in so many; 0 and 1 are unsampled
	SamplingSource RateSource
	SamplerID      uint64

	// Forwarding.
	Input      uint32 // SNMP interface index
	Output     uint32
	SrcMask    uint8
	DstMask    uint8
	SrcAS      uint32
	DstAS      uint32
	NextAS     uint32
	PrevAS     uint32
	NextHop    netip.Addr
	BGPNextHop netip.Addr
	Direction  uint8 // 0 ingress, 1 egress
	FwdStatus  uint8
	EndReason  uint8 // IPFIX element 136
	BiflowDir  uint8 // IPFIX element 239
	MinTTL     uint8
	MaxTTL     uint8
	FragFlags  uint8
	FlowID     uint64
	IngressVRF uint32
	EgressVRF  uint32

	// Layer 2.
	SrcVLAN   uint16
	DstVLAN   uint16
	InSrcMAC  [6]byte
	OutDstMAC [6]byte
	InDstMAC  [6]byte
	OutSrcMAC [6]byte
	MPLS      [10]uint32 // label<<4 | exp<<1 | bottom of stack, top first
	MPLSDepth uint8      // labels in MPLS

	// Events of firewalls and address translators.
	Event      bool // state changed, no traffic counted: NSEL or NEL
	EventTime  Time
	FwEvent    uint8  // element 233
	FwXEvent   uint16 // v9 field 33002
	NATEvent   uint8  // element 230
	NATPool    uint32
	XlateSrc   netip.Addr
	XlateDst   netip.Addr
	XlateSPort uint16
	XlateDPort uint16
	IngressACL [12]byte // v9 field 33000, as on the wire
	EgressACL  [12]byte
	PortBlock  [4]uint16 // start, end, step, size: elements 361-364
	User       []byte    // v9 field 40000

	// Application and tunnel.
	AppID            []byte // element 95
	TunSrc           netip.Addr
	TunDst           netip.Addr
	TunProto         uint8
	ObservationPoint uint64
	SegmentID        uint64 // layer2SegmentId, element 351; the low 24 bits are a VXLAN's VNI

	// VMware virtual switch (PEN 6876).
	IngressAttr uint16 // 1 uplink, 2 VM access port, 3 VXLAN or management
	EgressAttr  uint16

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
// tables and from configuration. Unknown ones are empty.
type Names struct {
	Exporter   string
	Input      string // interface
	Output     string
	IngressVRF string
	EgressVRF  string
	App        string
	Sampler    string
	User       string // behind one of the addresses

	// What stands behind the ports of a VMware switch.
	InputVM         string // virtual machine that sent the flow
	OutputVM        string // virtual machine that got it
	InputPortgroup  string
	OutputPortgroup string
	Host            string // ESXi host

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
}
