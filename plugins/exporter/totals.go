package exporter

import (
	"fmt"
	"io"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Totals are the exact sums of what has been generated.
type Totals struct {
	Datagrams uint64 `json:"datagrams"`
	Flows     uint64 `json:"flows"`
	Packets   uint64 `json:"packets"`
	Bytes     uint64 `json:"bytes"`
	TCP       uint64 `json:"flows_tcp"`
	UDP       uint64 `json:"flows_udp"`
	ICMP      uint64 `json:"flows_icmp"`
	IPv6      uint64 `json:"flows_ipv6"`
}

// Add counts a flow.
func (s *Totals) Add(r *flow.Record) {
	s.Flows++
	s.Packets += r.Packets
	s.Bytes += r.Bytes
	switch r.Proto {
	case protoTCP:
		s.TCP++
	case protoUDP:
		s.UDP++
	case protoICMP, protoICMPv6:
		s.ICMP++
	}
	if r.IPVersion == 6 {
		s.IPv6++
	}
}

// Print writes a line for each sum.
func (s *Totals) Print(out io.Writer) {
	fmt.Fprintf(out, "datagrams: %d\nflows: %d\npackets: %d\nbytes: %d\nflows_tcp: %d\nflows_udp: %d\nflows_icmp: "+
		"%d\nflows_ipv6: %d\n",
		s.Datagrams, s.Flows, s.Packets, s.Bytes, s.TCP, s.UDP, s.ICMP, s.IPv6)
}
