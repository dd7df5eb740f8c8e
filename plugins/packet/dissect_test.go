package packet

import (
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// dissected dissects a packet.
func dissected(protocol uint32, parts ...[]byte) (flow.Record, flow.Sample) {
	var r flow.Record
	var p flow.Sample
	Dissect(&r, &p, protocol, cat(parts...))
	return r, p
}

func TestTags(t *testing.T) {
	tcp := cat(ip4("10.0.0.1", "10.0.0.2", 6), ports(1024, 80))
	for _, c := range []struct {
		name                  string
		tags                  []uint16
		inner, outer, vlanTag uint16
		class                 uint8
	}{
		{"no tag", nil, 0, 0, 0, 0},
		{"802.1Q", []uint16{0xa007}, 7, 0, etherVLAN, 10},
		{"priority tag", []uint16{0xf000}, 0, 0, etherVLAN, 15},
		{"QinQ", []uint16{0x0005, 0x3007}, 7, 5, etherQinQ, 3},
		{"three tags", []uint16{5, 6, 7}, 7, 5, etherQinQ, 0},
	} {
		r, p := dissected(ProtocolEthernet, eth(etherIPv4, c.tags...), tcp)
		kind := c.vlanTag
		if kind == 0 {
			kind = etherIPv4
		}
		if p.VLAN != c.inner || p.OuterVLAN != c.outer || p.VLANClass != c.class || p.EtherType != kind ||
			r.SrcVLAN != c.inner ||
			r.Has(flow.SrcVLAN) != (c.tags != nil) || (p.Headers&flow.HasVLAN != 0) != (c.tags != nil) ||
			r.DstPort != 80 {
			t.Errorf("%s: got %+v\n%+v", c.name, r, p)
		}
		if r.OutDstMAC != [6]byte{2, 0, 0, 0, 0, 1} || r.InSrcMAC != [6]byte{2, 0, 0, 0, 0, 2} {
			t.Errorf("%s: from %x to %x", c.name, r.InSrcMAC, r.OutDstMAC)
		}
		r, p = flow.Record{SrcVLAN: 99}, flow.Sample{Extended: flow.HasSwitch}
		Dissect(&r, &p, ProtocolEthernet, cat(eth(etherIPv4, c.tags...), tcp))
		if r.SrcVLAN != 99 || p.VLAN != c.inner {
			t.Errorf("%s: the switch's VLAN 99 became %d", c.name, r.SrcVLAN)
		}
	}
}

func TestLabels(t *testing.T) {
	tcp := cat(ip4("10.0.0.1", "10.0.0.2", 6), ports(1024, 80))
	r, _ := dissected(ProtocolEthernet, eth(etherMPLS), u32s(16<<12|5<<9|64, 17<<12|1<<8|63), tcp)
	if r.MPLSDepth != 2 || r.MPLS[0] != 16<<4|5<<1 || r.MPLS[1] != 17<<4|1 || !r.Has(flow.MPLS) || r.DstPort != 80 {
		t.Errorf("got %d labels %x, %+v", r.MPLSDepth, r.MPLS, r)
	}
	var deep []byte
	for i := range uint32(12) {
		deep = append(deep, u32s(i<<12)...)
	}
	r, _ = dissected(ProtocolMPLS, deep, u32s(99<<12|1<<8), tcp)
	if r.MPLSDepth != 10 || r.MPLS[9] != 9<<4 || r.DstPort != 80 {
		t.Errorf("got %d labels %x, port %d", r.MPLSDepth, r.MPLS, r.DstPort)
	}
	for range 5 { // more labels than headers are looked at
		deep = append(deep, deep...)
	}
	if r, p := dissected(ProtocolMPLS, deep, u32s(1<<8), tcp); r.Has(flow.Src) || p.Headers&flow.HasShort == 0 {
		t.Errorf("got %+v", r)
	}
}

// TestTunnelView says which of two headers is the flow: the inner one, and the outer
// one is its tunnel; an outer one without an inner one is the flow itself.
func TestTunnelView(t *testing.T) {
	outer := func(proto byte) []byte { return ip4("192.0.2.1", "192.0.2.2", proto) }
	inner := cat(ip6("2001:db8::1", "2001:db8::2", 17), ports(5000, 53))
	udp := func(dst uint16) []byte { return ports(50000, dst)[:8] }
	for _, c := range []struct {
		name    string
		parts   [][]byte
		entered bool
		proto   uint8 // of the outer header
	}{
		{"IP in IP", [][]byte{outer(41), inner}, true, 41},
		{"GRE", [][]byte{outer(47), {0, 0, 0x86, 0xdd}, inner}, true, 47},
		{"GRE with checksum", [][]byte{outer(47), {0x80, 0, 0x86, 0xdd, 1, 2, 3, 4}, inner}, true, 47},
		{"GRE with key", [][]byte{outer(47), {0x20, 0, 0x86, 0xdd, 1, 2, 3, 4}, inner}, true, 47},
		{"GRE with sequence number", [][]byte{outer(47), {0x10, 0, 0x86, 0xdd, 1, 2, 3, 4}, inner}, true, 47},
		{"GRE with routes", [][]byte{outer(47), {0x40, 0, 0x86, 0xdd}, inner}, false, 47},
		{"PPTP", [][]byte{outer(47), {0x20, 1, 0x88, 0x0b, 0, 0, 0, 0}, inner}, false, 47},
		{"VXLAN", [][]byte{outer(17), udp(portVXLAN), {8, 0, 0, 0, 0, 0, 9, 0}, eth(etherIPv6), inner}, true, 17},
		{"VXLAN without a network", [][]byte{outer(17), udp(portVXLAN), {0, 0, 0, 0, 0, 0, 9, 0}, eth(etherIPv6),
			inner}, false, 17},
		{"VXLAN of ARP", [][]byte{outer(17), udp(portVXLAN), {8, 0, 0, 0, 0, 0, 9, 0}, eth(0x806), inner}, false, 17},
		{"GENEVE with options", [][]byte{outer(17), udp(portGENEVE),
			{2, 0, 0x86, 0xdd, 0, 0, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8}, inner}, true, 17},
		{"GENEVE with as many options as fit",
			[][]byte{outer(17), udp(portGENEVE), {0x3f, 0, 0x86, 0xdd, 0, 0, 9, 0, 8 + 4*63 - 1: 0}, inner}, true, 17},
		{"GENEVE of another version", [][]byte{outer(17), udp(portGENEVE), {0x40, 0, 0x86, 0xdd, 0, 0, 9, 0}, inner},
			false, 17},
		{"ESP", [][]byte{outer(50), inner}, false, 50},
		{"UDP to another port", [][]byte{outer(17), udp(4790), {8, 0, 0, 0, 0, 0, 9, 0}, eth(etherIPv6), inner}, false,
			17},
		{"half an inner header", [][]byte{outer(41), inner[:39]}, false, 41},
	} {
		r, p := dissected(ProtocolEthernet, append([][]byte{eth(etherIPv4, 7)}, c.parts...)...)
		src, proto, headers, version := addr("192.0.2.1"), c.proto, flow.HasIPv4, uint8(4)
		if c.entered {
			src, proto, headers, version = addr("2001:db8::1"), 17, flow.HasIPv6|flow.HasUDP, 6
		} else if c.proto == 17 {
			headers |= flow.HasUDP
		}
		if r.Src != src || r.Proto != proto || r.IPVersion != version ||
			p.Headers&(flow.HasIPv4|flow.HasIPv6|flow.HasUDP|flow.HasTCP) != headers || r.SrcVLAN != 7 ||
			r.OutDstMAC[0] != 2 {
			t.Errorf("%s: got %+v\n%+v", c.name, r, p)
		}
		if c.entered != r.Has(flow.TunSrc) || c.entered &&
			(r.TunSrc != addr("192.0.2.1") || r.TunDst != addr("192.0.2.2") || r.TunProto != c.proto ||
				!r.Has(flow.TunDst) || !r.Has(flow.TunProto) || r.DstPort != 53 || r.Has(flow.FragFlags)) {
			t.Errorf("%s: tunnel %s to %s, %d; port %d", c.name, r.TunSrc, r.TunDst, r.TunProto, r.DstPort)
		}
	}
}

func TestIPv6Extensions(t *testing.T) {
	udp := ports(5000, 53)
	for _, c := range []struct {
		name     string
		next     byte
		parts    [][]byte
		proto    uint8
		port     uint16
		fragment bool
	}{
		{"hop by hop of 16 bytes", 0, [][]byte{{17, 1, 15: 0}, udp}, 17, 53, false},
		{"routing, options", 43, [][]byte{{60, 0, 7: 0}, {17, 0, 7: 0}, udp}, 17, 53, false},
		{"authentication of 24 bytes", 51, [][]byte{{17, 4, 23: 0}, udp}, 17, 53, false},
		{"first fragment", 44, [][]byte{{17, 0, 0, 1, 0, 0, 0, 9}, udp}, 17, 53, true},
		{"later fragment", 44, [][]byte{{17, 0, 0, 9, 0, 0, 0, 9}, udp}, 17, 0, true},
		{"later fragment of another header", 44, [][]byte{{60, 0, 0, 9, 0, 0, 0, 9}, {17, 0, 7: 0}, udp}, 60, 0, true},
		{"ESP", 50, [][]byte{udp}, 50, 0, false},
		{"no next header", 59, [][]byte{udp}, 59, 0, false},
		{"extension longer than the packet", 0, [][]byte{{17, 9, 7: 0}}, 0, 0, false},
	} {
		r, p := dissected(ProtocolIPv6, append([][]byte{ip6("2001:db8::1", "2001:db8::2", c.next)}, c.parts...)...)
		if r.Proto != c.proto || r.DstPort != c.port || r.Has(flow.DstPort) != (c.port != 0) ||
			r.Has(flow.FragFlags) != c.fragment {
			t.Errorf("%s: got protocol %d, port %d, %+v\n%+v", c.name, r.Proto, r.DstPort, r, p)
		}
		if c.fragment && r.FragFlags != 0x20 {
			t.Errorf("%s: flags %#x", c.name, r.FragFlags)
		}
	}
	chain := cat(ip6("2001:db8::1", "2001:db8::2", 0), make([]byte, 8*2*maxHeaders)) // hop by hop, again and again
	if r, _ := dissected(ProtocolIPv6, chain); r.Has(flow.DstPort) || r.Proto != 0 {
		t.Errorf("endless extensions: got %+v", r)
	}
}

// TestTransports has the fields above IP that the tunnels' tests do not look at, of
// the usual packet and, behind options, of the walk.
func TestTransports(t *testing.T) {
	tcp := []byte{4, 0, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x12, 9, 10, 0, 0, 11, 12}
	for _, options := range []int{0, 4} {
		ip := func(proto byte) []byte {
			b := append(ip4("10.0.0.1", "10.0.0.2", proto), make([]byte, options)...)
			b[0], b[1], b[3], b[5], b[6] = byte(0x45+options/4), 0xb8, 60, 77, 0x40
			return b
		}
		r, p := dissected(ProtocolEthernet, eth(etherIPv4), ip(6), tcp)
		if r.SrcPort != 1024 || r.DstPort != 80 || r.TCPFlags != 0x12 || p.TCPSeq != 0x01020304 ||
			p.TCPAck != 0x05060708 || p.TCPWindow != 0x090a || p.TCPUrgent != 0x0b0c {
			t.Errorf("TCP: got %+v\n%+v", r, p)
		}
		if r.SrcTOS != 0xb8 || p.IPLength != 60 || p.IPID != 77 || p.FragFlags != 2 || r.FragFlags != 0x40 ||
			p.TTL != 64 || r.MinTTL != 64 || r.MaxTTL != 64 || int(p.HeaderLen) != 5+options/4 {
			t.Errorf("IPv4: got %+v\n%+v", r, p)
		}
		r, p = dissected(ProtocolEthernet, eth(etherIPv4), ip(17), []byte{4, 0, 0, 53, 0, 40, 0, 0}, make([]byte, 12))
		if r.DstPort != 53 || p.UDPLength != 40 || p.Headers&flow.HasUDP == 0 || r.Has(flow.TCPFlags) {
			t.Errorf("UDP: got %+v\n%+v", r, p)
		}
		r, _ = dissected(ProtocolEthernet, eth(etherIPv4), ip(1), []byte{3, 4}, make([]byte, 18))
		if r.ICMP != 0x0304 || r.DstPort != 0x0304 || !r.Has(flow.ICMP) || r.Has(flow.SrcPort) || r.SrcPort != 0 {
			t.Errorf("ICMP: got %+v", r)
		}
		r, _ = dissected(ProtocolEthernet, eth(etherIPv4), ip(132), []byte{4, 0, 0, 80}, make([]byte, 16))
		if r.SrcPort != 1024 || r.DstPort != 80 {
			t.Errorf("SCTP: got %+v", r)
		}
	}
}

// TestNoHeader has bytes that are none of the header they are said to be.
func TestNoHeader(t *testing.T) {
	four, six := cat(ip4("10.0.0.1", "10.0.0.2", 6), ports(1024, 80)),
		cat(ip6("2001:db8::1", "2001:db8::2", 6), ports(1024, 80))
	less := append([]byte(nil), four...)
	less[0] = 0x44 // a header of 16 bytes
	for name, c := range map[string]struct {
		protocol uint32
		head     []byte
	}{
		"IPv6 as IPv4":   {ProtocolIPv4, six},
		"IPv4 as IPv6":   {ProtocolIPv6, four},
		"IPv4 too small": {ProtocolIPv4, less},
		"nothing":        {ProtocolEthernet, nil},
		"an end in tags": {ProtocolEthernet, eth(etherVLAN, 1)},
	} {
		if r, p := dissected(c.protocol, c.head); r.Has(flow.Src) || p.Headers&flow.HasShort == 0 {
			t.Errorf("%s: got %+v\n%+v", name, r, p)
		}
	}
}

func TestLinks(t *testing.T) {
	tcp := cat(ip4("10.0.0.1", "10.0.0.2", 6), ports(1024, 80))
	for _, c := range []struct {
		name     string
		protocol uint32
		head     []byte
		known    bool
	}{
		{"PPP", ProtocolPPP, []byte{0, 0x21}, true},
		{"PPP over SONET", ProtocolPOS, []byte{0xff, 3, 0, 0x21}, true},
		{"token ring", 3, nil, false},
		{"802.11", 15, nil, false},
	} {
		r, p := dissected(c.protocol, c.head, tcp)
		if r.Has(flow.Src) != c.known || p.Headers&flow.HasEthernet != 0 {
			t.Errorf("%s: got %+v", c.name, r)
		}
	}
}
