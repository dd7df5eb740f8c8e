package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// The protocols of a sampled header (sFlow's header_protocol).
const (
	ProtocolEthernet = 1
	ProtocolPPP      = 7
	ProtocolIPv4     = 11
	ProtocolIPv6     = 12
	ProtocolMPLS     = 13
	ProtocolPOS      = 14 // PPP over SONET (RFC 2615)
)

// maxHeaders bounds the headers of one packet that are looked at.
const maxHeaders = 32

// The types of Ethernet's payload that lead on.
const (
	etherIPv4    = 0x0800
	etherIPv6    = 0x86dd
	etherVLAN    = 0x8100
	etherQinQ    = 0x88a8
	etherQinQOld = 0x9100
	etherMPLS    = 0x8847
	etherMPLSMC  = 0x8848
	etherBridge  = 0x6558 // Ethernet in GRE or GENEVE
	etherPPPoE   = 0x8864
)

// IANA's protocol numbers that lead on.
const (
	ipHopByHop = 0
	ipICMP     = 1
	ipIPv4     = 4
	ipTCP      = 6
	ipUDP      = 17
	ipIPv6     = 41
	ipRouting  = 43
	ipFragment = 44
	ipDCCP     = 33
	ipGRE      = 47
	ipAH       = 51
	ipICMPv6   = 58
	ipDestOpts = 60
	ipSCTP     = 132
	ipUDPLite  = 136
)

// The UDP ports of tunnels that are entered.
const (
	portVXLAN  = 4789
	portGENEVE = 6081
)

// isTunnel says whether a UDP port is a tunnel's.
func isTunnel(port uint16) bool { return port == portVXLAN || port == portGENEVE }

// next is what the bytes at hand are.
type next uint8

const (
	nothing next = iota
	ethernet
	ipv4
	ipv6
	mpls
)

// walker is a packet on its way through the headers.
type walker struct {
	r     *flow.Record
	p     *flow.Sample
	depth int
	link  []byte // addresses of an Ethernet header whose payload is not known yet
}

// Dissect reads the headers at the start of a packet, of which head has the first
// bytes: Ethernet, 802.1Q and QinQ tags, MPLS, IPv4, IPv6 and its extensions, TCP,
// UDP, SCTP, DCCP, UDP-Lite, ICMP, and through VXLAN, GENEVE, GRE, and IP in IP. The innermost IP
// header is the flow, with the MAC addresses around it, the outer one its tunnel, as with
// VMware's tenants. It sets
// the record's fields and what p has of the packet; what is cut off is left out.
func Dissect(r *flow.Record, p *flow.Sample, protocol uint32, head []byte) {
	if protocol != ProtocolEthernet || !usual(r, p, head) {
		walk(r, p, protocol, head)
	}
}

// walk reads any packet, header by header.
func walk(r *flow.Record, p *flow.Sample, protocol uint32, head []byte) {
	k := walker{r: r, p: p}
	what := nothing
	switch protocol {
	case ProtocolEthernet:
		what = ethernet
	case ProtocolIPv4:
		what = ipv4
	case ProtocolIPv6:
		what = ipv6
	case ProtocolMPLS:
		what = mpls
	case ProtocolPPP, ProtocolPOS:
		what, head = ppp(head)
	}
	for what != nothing && k.depth < maxHeaders {
		k.depth++
		switch what {
		case ethernet:
			what, head = k.ethernet(head)
		case mpls:
			what, head = k.mpls(head)
		case ipv4:
			what, head = k.ipv4(head)
		case ipv6:
			what, head = k.ipv6(head)
		}
	}
}

// short ends the walk at a header that is cut off.
func (k *walker) short() (next, []byte) {
	k.p.Headers |= flow.HasShort
	return nothing, nil
}

// ethernet reads an Ethernet header and the tags behind it.
func (k *walker) ethernet(b []byte) (next, []byte) {
	if len(b) < 14 {
		return k.short()
	}
	r, p := k.r, k.p
	outermost := p.Headers&flow.HasEthernet == 0
	if outermost {
		setMACs(r, b)
	} else {
		k.link = b[:12]
	}
	p.Headers |= flow.HasEthernet
	kind := binary.BigEndian.Uint16(b[12:])
	if outermost {
		p.EtherType = kind
	}
	return k.tags(kind, b[14:], outermost)
}

// setMACs sets the addresses that an Ethernet header begins with.
func setMACs(r *flow.Record, b []byte) {
	r.OutDstMAC, r.InSrcMAC = [6]byte(b), [6]byte(b[6:])
	r.Present.Add(flow.InSrcMAC)
	r.Present.Add(flow.OutDstMAC)
}

// tags reads 802.1Q tags, and goes on with what they carry.
func (k *walker) tags(kind uint16, b []byte, outermost bool) (next, []byte) {
	r, p := k.r, k.p
	for ; kind == etherVLAN || kind == etherQinQ || kind == etherQinQOld; k.depth++ {
		if len(b) < 4 || k.depth >= maxHeaders {
			return k.short()
		}
		if outermost {
			if p.Headers&flow.HasVLAN != 0 && p.OuterVLAN == 0 {
				p.OuterVLAN = p.VLAN
			}
			tag(r, p, binary.BigEndian.Uint16(b))
		}
		kind = binary.BigEndian.Uint16(b[2:])
		b = b[4:]
	}
	return byEtherType(kind, b)
}

// tag sets what an 802.1Q tag says. The VLAN that the agent names itself is better.
func tag(r *flow.Record, p *flow.Sample, v uint16) {
	p.Headers |= flow.HasVLAN
	p.VLAN, p.VLANClass = v&0xfff, uint8(v>>12)
	if p.Extended&flow.HasSwitch == 0 {
		r.SrcVLAN = p.VLAN
		r.Present.Add(flow.SrcVLAN)
	}
}

// byEtherType says what follows a type of Ethernet's.
func byEtherType(kind uint16, b []byte) (next, []byte) {
	switch kind {
	case etherIPv4:
		return ipv4, b
	case etherIPv6:
		return ipv6, b
	case etherMPLS, etherMPLSMC:
		return mpls, b
	case etherBridge:
		return ethernet, b
	case etherPPPoE:
		if len(b) >= 8 {
			return ppp(b[6:])
		}
	}
	return nothing, nil
}

// LinkLength returns how many bytes of an Ethernet frame lie before its IP header:
// addresses, tags, PPPoE and MPLS labels. It returns 0 when no IP header follows, as in
// a pseudowire, or when it is cut off.
func LinkLength(frame []byte) int {
	if len(frame) < 14 {
		return 0
	}
	kind, b := binary.BigEndian.Uint16(frame[12:]), frame[14:]
	for kind == etherVLAN || kind == etherQinQ || kind == etherQinQOld {
		if len(b) < 4 {
			return 0
		}
		kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	what, b := byEtherType(kind, b)
	if what == mpls {
		for bottom := false; !bottom; b = b[4:] {
			if len(b) < 4 {
				return 0
			}
			bottom = b[2]&1 != 0
		}
		if len(b) > 0 && (b[0]>>4 == 4 || b[0]>>4 == 6) {
			what = ipv4
		}
	}
	if what != ipv4 && what != ipv6 || len(b) == 0 {
		return 0
	}
	return len(frame) - len(b)
}

// ppp reads PPP's protocol number.
func ppp(b []byte) (next, []byte) {
	if len(b) >= 4 && b[0] == 0xff && b[1] == 3 {
		b = b[2:]
	}
	if len(b) < 2 {
		return nothing, nil
	}
	switch binary.BigEndian.Uint16(b) {
	case 0x21:
		return ipv4, b[2:]
	case 0x57:
		return ipv6, b[2:]
	case 0x281:
		return mpls, b[2:]
	}
	return nothing, nil
}

// mpls reads a stack of labels. What lies under the last one is told by its first
// four bits: IP, else a pseudowire's Ethernet, with a control word (RFC 4385)
// when they are zero.
func (k *walker) mpls(b []byte) (next, []byte) {
	for ; ; k.depth++ {
		if len(b) < 4 || k.depth >= maxHeaders {
			return k.short()
		}
		entry := binary.BigEndian.Uint32(b)
		b = b[4:]
		if r := k.r; int(r.MPLSDepth) < len(r.MPLS) {
			r.MPLS[r.MPLSDepth] = entry >> 8
			r.MPLSDepth++
			r.Present.Add(flow.MPLS)
		}
		if entry&0x100 != 0 {
			break
		}
	}
	if len(b) == 0 {
		return k.short()
	}
	switch b[0] >> 4 {
	case 4:
		return ipv4, b
	case 6:
		return ipv6, b
	case 0:
		if len(b) >= 4 {
			return ethernet, b[4:]
		}
	}
	return nothing, nil
}

// beginIP makes room for an IP header: the one before it, if any, was a tunnel's. The MAC
// addresses are those of the Ethernet header that it lies in.
func (k *walker) beginIP() {
	r := k.r
	if k.link != nil {
		setMACs(r, k.link)
		k.link = nil
	}
	if k.p.Headers&(flow.HasIPv4|flow.HasIPv6) != 0 {
		r.TunSrc, r.TunDst, r.TunProto = r.Src, r.Dst, r.Proto
		r.Present.Add(flow.TunSrc)
		r.Present.Add(flow.TunDst)
		r.Present.Add(flow.TunProto)
	}
	k.p.Headers &^= flow.HasIPv4 | flow.HasIPv6 | flow.HasTCP | flow.HasUDP
	r.SrcPort, r.DstPort, r.TCPFlags, r.ICMP, r.FragFlags = 0, 0, 0, 0, 0
	r.Present.Remove(flow.SrcPort)
	r.Present.Remove(flow.DstPort)
	r.Present.Remove(flow.TCPFlags)
	r.Present.Remove(flow.ICMP)
	r.Present.Remove(flow.FragFlags)
	r.Present.Add(flow.Src)
	r.Present.Add(flow.Dst)
	r.Present.Add(flow.Proto)
	r.Present.Add(flow.SrcTOS)
	r.Present.Add(flow.IPVersion)
}

// ipv4 reads an IPv4 header (RFC 791).
func (k *walker) ipv4(b []byte) (next, []byte) {
	if len(b) < 20 || b[0]>>4 != 4 || b[0]&15 < 5 {
		return k.short()
	}
	k.beginIP()
	r, p := k.r, k.p
	p.Headers |= flow.HasIPv4
	r.IPVersion = 4
	p.HeaderLen, r.SrcTOS = b[0]&15, b[1]
	p.IPLength = binary.BigEndian.Uint16(b[2:])
	p.IPID = binary.BigEndian.Uint16(b[4:])
	frag := binary.BigEndian.Uint16(b[6:])
	p.FragFlags, p.FragOffset = uint8(frag>>13), frag&0x1fff
	p.TTL, r.Proto = b[8], b[9]
	r.MinTTL, r.MaxTTL = b[8], b[8]
	r.FragFlags = uint8(frag >> 8 & 0xe0)
	r.Present.Add(flow.MinTTL)
	r.Present.Add(flow.MaxTTL)
	r.Present.Add(flow.FragFlags)
	r.Src, r.Dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	size := int(p.HeaderLen) * 4
	if size > len(b) {
		return k.short()
	}
	if p.FragOffset != 0 {
		return nothing, nil
	}
	return k.transport(r.Proto, b[size:])
}

// ipv6 reads an IPv6 header and its extensions (RFC 8200).
func (k *walker) ipv6(b []byte) (next, []byte) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return k.short()
	}
	k.beginIP()
	r, p := k.r, k.p
	p.Headers |= flow.HasIPv6
	r.IPVersion = 6
	r.SrcTOS = uint8(binary.BigEndian.Uint16(b) >> 4)
	p.FlowLabel = binary.BigEndian.Uint32(b) & 0xfffff
	p.IPLength = binary.BigEndian.Uint16(b[4:])
	p.TTL = b[7]
	r.MinTTL, r.MaxTTL = b[7], b[7]
	r.Present.Add(flow.MinTTL)
	r.Present.Add(flow.MaxTTL)
	r.Src, r.Dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	proto := b[6]
	r.Proto = proto
	b = b[40:]
	for ; k.depth < maxHeaders; k.depth++ {
		size := 0
		switch proto {
		case ipHopByHop, ipRouting, ipDestOpts:
			if len(b) >= 2 {
				size = 8 + 8*int(b[1])
			}
		case ipAH:
			if len(b) >= 2 {
				size = 8 + 4*int(b[1])
			}
		case ipFragment:
			size = 8
		default:
			return k.transport(proto, b)
		}
		if size == 0 || size > len(b) {
			return k.short()
		}
		if proto == ipFragment {
			frag := binary.BigEndian.Uint16(b[2:])
			p.FragOffset = frag >> 3
			r.FragFlags = uint8(frag&1) << 5
			r.Present.Add(flow.FragFlags)
		}
		later := proto == ipFragment && p.FragOffset != 0
		proto = b[0]
		r.Proto = proto
		if later {
			return nothing, nil
		}
		b = b[size:]
	}
	return nothing, nil
}

// transport reads what an IP header carries.
func (k *walker) transport(proto uint8, b []byte) (next, []byte) {
	r, p := k.r, k.p
	switch proto {
	case ipIPv4:
		return ipv4, b
	case ipIPv6:
		return ipv6, b
	case ipGRE:
		return k.gre(b)
	case ipICMP, ipICMPv6:
		if len(b) < 2 {
			return k.short()
		}
		r.ICMP = binary.BigEndian.Uint16(b)
		r.DstPort = r.ICMP
		r.Present.Add(flow.ICMP)
		r.Present.Add(flow.DstPort)
	case ipTCP, ipUDP, ipSCTP, ipDCCP, ipUDPLite: // ports first (RFC 4340, section 5.1; RFC 3828)
		if len(b) < 8 {
			return k.short()
		}
		r.SrcPort, r.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		r.Present.Add(flow.SrcPort)
		r.Present.Add(flow.DstPort)
		switch {
		case proto == ipUDP:
			p.Headers |= flow.HasUDP
			p.UDPLength = binary.BigEndian.Uint16(b[4:])
			return k.udp(b[8:])
		case proto == ipTCP && len(b) < 20:
			return k.short()
		case proto == ipTCP:
			p.Headers |= flow.HasTCP
			p.TCPSeq, p.TCPAck = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
			p.TCPWindow, p.TCPUrgent = binary.BigEndian.Uint16(b[14:]), binary.BigEndian.Uint16(b[18:])
			r.TCPFlags = uint16(b[13])
			r.Present.Add(flow.TCPFlags)
		}
	}
	return nothing, nil
}

// udp looks for tunnels by their port.
func (k *walker) udp(b []byte) (next, []byte) {
	if !isTunnel(k.r.DstPort) || len(b) < 8 {
		return nothing, nil
	}
	if k.r.DstPort == portVXLAN { // RFC 7348, section 5
		if b[0]&0x08 == 0 {
			return nothing, nil
		}
		k.network(binary.BigEndian.Uint32(b[4:]) >> 8)
		return ethernet, b[8:]
	}
	size := 8 + 4*int(b[0]&0x3f) // RFC 8926, section 3.4
	if b[0]>>6 != 0 || size > len(b) {
		return nothing, nil
	}
	k.network(binary.BigEndian.Uint32(b[4:]) >> 8)
	return byEtherType(binary.BigEndian.Uint16(b[2:]), b[size:])
}

// network sets the number of a virtual network.
func (k *walker) network(vni uint32) {
	k.p.VNI = vni
	k.p.Headers |= flow.HasVNI
	k.r.SegmentID = uint64(vni)
	k.r.Present.Add(flow.SegmentID)
}

// gre reads a GRE header (RFC 2784, RFC 2890; NVGRE is RFC 7637).
func (k *walker) gre(b []byte) (next, []byte) {
	if len(b) < 4 {
		return k.short()
	}
	flags, kind := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if flags&0x4007 != 0 {
		return nothing, nil // another version, PPTP's, or routes that RFC 2784 abolished
	}
	size := 4
	if flags&0x8000 != 0 {
		size += 4 // checksum
	}
	if flags&0x2000 != 0 {
		if size+4 > len(b) {
			return k.short()
		}
		if kind == etherBridge {
			k.network(binary.BigEndian.Uint32(b[size:]) >> 8)
		}
		size += 4
	}
	if flags&0x1000 != 0 {
		size += 4 // sequence number
	}
	if size > len(b) {
		return k.short()
	}
	return byEtherType(kind, b[size:])
}
