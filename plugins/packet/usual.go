package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// topSize is the longest header above IP that is read at fixed offsets: TCP's. The
// usual packet has as many bytes there whatever they are, so that one check does.
const topSize = 20

// usual dissects the packet that most samples have, at fixed offsets and without a
// step per header: Ethernet with at most one 802.1Q tag, IPv4 without options or
// IPv6 without extensions, not a later fragment, and TCP, UDP or ICMP, not a tunnel.
// It sets what the walk would set. When b is another packet it says so, and has set
// nothing.
func usual(r *flow.Record, p *flow.Sample, b []byte) bool {
	if len(b) < 14+20+topSize || p.Headers&^flow.HasFrame != 0 {
		return false
	}
	kind, ip := binary.BigEndian.Uint16(b[12:]), b[14:]
	tagged := kind == etherVLAN
	if tagged {
		kind, ip = binary.BigEndian.Uint16(b[16:]), b[18:]
	}
	switch {
	case kind == etherIPv4 && usual4(r, p, ip):
	case kind == etherIPv6 && usual6(r, p, ip):
	default:
		return false
	}
	r.OutDstMAC, r.InSrcMAC = [6]byte(b), [6]byte(b[6:])
	p.Headers |= flow.HasEthernet
	p.EtherType = kind
	r.Present.Add(flow.InSrcMAC)
	r.Present.Add(flow.OutDstMAC)
	r.Present.Add(flow.Src)
	r.Present.Add(flow.Dst)
	r.Present.Add(flow.Proto)
	r.Present.Add(flow.SrcTOS)
	r.Present.Add(flow.IPVersion)
	r.Present.Add(flow.MinTTL)
	r.Present.Add(flow.MaxTTL)
	if tagged {
		p.EtherType = etherVLAN
		tag(r, p, binary.BigEndian.Uint16(b[14:]))
	}
	return true
}

// usual4 sets what an IPv4 header says, and what is in it, when it is usual.
func usual4(r *flow.Record, p *flow.Sample, b []byte) bool {
	if len(b) < 20+topSize || b[0] != 0x45 {
		return false
	}
	frag := binary.BigEndian.Uint16(b[6:])
	if frag&0x1fff != 0 || !usualTop(r, p, b[9], b[20:]) {
		return false
	}
	p.Headers |= flow.HasIPv4
	p.HeaderLen = 5
	p.IPLength, p.IPID = binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b[4:])
	p.FragFlags, p.FragOffset = uint8(frag>>13), 0
	p.TTL, r.MinTTL, r.MaxTTL = b[8], b[8], b[8]
	r.IPVersion, r.SrcTOS, r.Proto, r.FragFlags = 4, b[1], b[9], b[6]
	r.Src, r.Dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	r.Present.Add(flow.FragFlags)
	return true
}

// usual6 is usual4 for IPv6.
func usual6(r *flow.Record, p *flow.Sample, b []byte) bool {
	if len(b) < 40+topSize || b[0]>>4 != 6 || !usualTop(r, p, b[6], b[40:]) {
		return false
	}
	p.Headers |= flow.HasIPv6
	p.FlowLabel = word(b, 0) & 0xfffff
	p.IPLength = binary.BigEndian.Uint16(b[4:])
	p.TTL, r.MinTTL, r.MaxTTL = b[7], b[7], b[7]
	r.IPVersion, r.SrcTOS, r.Proto, r.FragFlags = 6, b[0]<<4|b[1]>>4, b[6], 0
	r.Src, r.Dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	r.Present.Remove(flow.FragFlags)
	return true
}

// usualTop sets what TCP, UDP or ICMP say, when it is one of them and no tunnel.
func usualTop(r *flow.Record, p *flow.Sample, proto uint8, b []byte) bool {
	b = b[:topSize]
	src, dst := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	switch proto {
	case ipTCP:
		p.Headers |= flow.HasTCP
		p.TCPSeq, p.TCPAck = word(b, 1), word(b, 2)
		p.TCPWindow, p.TCPUrgent = binary.BigEndian.Uint16(b[14:]), binary.BigEndian.Uint16(b[18:])
		r.SrcPort, r.DstPort, r.TCPFlags, r.ICMP = src, dst, uint16(b[13]), 0
		r.Present.Remove(flow.ICMP)
		r.Present.Add(flow.SrcPort)
		r.Present.Add(flow.TCPFlags)
	case ipUDP:
		if isTunnel(dst) {
			return false
		}
		p.Headers |= flow.HasUDP
		p.UDPLength = binary.BigEndian.Uint16(b[4:])
		r.SrcPort, r.DstPort, r.TCPFlags, r.ICMP = src, dst, 0, 0
		r.Present.Remove(flow.ICMP)
		r.Present.Remove(flow.TCPFlags)
		r.Present.Add(flow.SrcPort)
	case ipICMP, ipICMPv6:
		r.SrcPort, r.DstPort, r.TCPFlags, r.ICMP = 0, src, 0, src
		r.Present.Remove(flow.SrcPort)
		r.Present.Remove(flow.TCPFlags)
		r.Present.Add(flow.ICMP)
	default:
		return false
	}
	r.Present.Add(flow.DstPort)
	return true
}
