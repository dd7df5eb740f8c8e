package flow

import "net/netip"

// SampleKind is a kind of sFlow sample.
type SampleKind uint8

// The kinds of samples.
const (
	SampleFlow      SampleKind = iota // a packet taken at random
	SampleDiscarded                   // a packet that was dropped (sFlow Discarded Packets)
	SampleSection                     // a packet section of IPFIX (elements 313, 315)
)

// Sample is one sampled packet: what Record has no field for. Fields are 0 when
// the agent did not send them; Header says which headers the packet has.
type Sample struct {
	Kind SampleKind

	// Of the datagram and the sample (sFlow version 5).
	Agent      netip.Addr // address by which the agent calls itself
	SubAgent   uint32
	Uptime     uint32 // of the agent, milliseconds
	Sequence   uint32 // of the sample, per source
	SourceType uint8  // 0 interface, 1 VLAN, 2 physical entity
	Source     uint32 // index of what was sampled
	Interval   uint32 // one packet in so many
	Pool       uint32 // packets that could have been sampled
	Drops      uint32 // samples lost; of discarded packets: notices lost
	Reason     uint32 // why a packet was discarded
	OutFormat  uint8  // 0 interface, 1 discarded, 2 number of interfaces

	// The packet, from the outermost header to the innermost.
	Headers     HeaderSet
	Protocol    uint32 // sFlow's header_protocol: 1 Ethernet, 11 IPv4, 12 IPv6, 13 MPLS
	FrameLength uint32 // bytes on the wire
	EtherType   uint16
	VLAN        uint16 // of the innermost tag
	OuterVLAN   uint16 // of the outermost of two tags
	VLANClass   uint8  // priority code point and drop eligible bit: class<<1 | dei
	TTL         uint8
	HeaderLen   uint8 // of IPv4, in words of 4 bytes
	FragFlags   uint8 // of IPv4: 4 evil, 2 don't fragment, 1 more fragments
	FragOffset  uint16
	IPID        uint16
	FlowLabel   uint32 // of IPv6, 20 bits
	IPLength    uint16 // total length of IPv4, payload length of IPv6; bytes
	UDPLength   uint16
	TCPSeq      uint32
	TCPAck      uint32
	TCPWindow   uint16
	TCPUrgent   uint16
	VNI         uint32 // VXLAN, NVGRE or GENEVE network

	// What the agent adds (extended data).
	Extended       ExtendedSet
	EthLength      uint32
	SrcVLAN        uint32
	SrcPriority    uint32
	DstVLAN        uint32
	DstPriority    uint32
	AS             uint32
	ASPathLength   uint32
	ASPathType     uint32 // of the first segment: 1 set, 2 sequence
	Communities    []byte // 4 bytes each
	LocalPref      uint32
	GatewayVersion uint32 // 1 IPv4, 2 IPv6
	Queue          uint32
	ACL            uint32
	ACLName        []byte
	ACLDirection   uint32 // 1 ingress, 2 egress
	Function       []byte
}

// HeaderSet says which headers a packet has.
type HeaderSet uint16

// The headers of a packet.
const (
	HasFrame HeaderSet = 1 << iota // the sample has the packet's first bytes
	HasEthernet
	HasVLAN
	HasIPv4
	HasIPv6
	HasTCP
	HasUDP
	HasVNI
	HasShort // the bytes end within a header
)

// ExtendedSet says which extended data a sample has.
type ExtendedSet uint16

// The extended data of a sample.
const (
	HasSwitch ExtendedSet = 1 << iota
	HasRouter
	HasGateway
	HasQueue
	HasACL
	HasFunction
	HasEthernetSample
	HasIPv4Sample
	HasIPv6Sample
)

// Counter is one figure of a CounterRecord. It is a number, or Text when that is
// not nil.
type Counter struct {
	Name    string
	Value   uint64
	Unknown bool    // all bits of Value are set in the record: the agent does not count it
	Float   float64 // where Real
	Real    bool
	Text    []byte
}

// CounterRecord is one counter record of sFlow: what an agent counts of an
// interface, a host or a virtual machine. It is reused as a Record is.
type CounterRecord struct {
	Exporter     netip.Addr
	ExporterPort uint16
	Domain       uint32 // sub-agent
	Agent        netip.Addr
	Uptime       uint32 // of the agent, milliseconds
	Sequence     uint32 // of the sample, per source
	SourceType   uint8
	Source       uint32 // index of what is counted
	Received     Time
	First        bool   // of the records of its sample that are decoded
	Kind         string // interface, ethernet, host_cpu, …
	Counters     []Counter
}
