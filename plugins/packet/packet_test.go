package packet

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// addr parses an address.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// cat puts byte slices behind each other.
func cat(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// ip4 is an IPv4 header.
func ip4(src, dst string, proto byte) []byte {
	b := make([]byte, 20)
	b[0], b[8], b[9] = 0x45, 64, proto
	copy(b[12:], addr(src).AsSlice())
	copy(b[16:], addr(dst).AsSlice())
	return b
}

// ip6 is an IPv6 header.
func ip6(src, dst string, next byte) []byte {
	b := make([]byte, 40)
	b[0], b[6], b[7] = 0x60, next, 64
	copy(b[8:], addr(src).AsSlice())
	copy(b[24:], addr(dst).AsSlice())
	return b
}

// eth is an Ethernet header with tags.
func eth(kind uint16, tags ...uint16) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for i, tag := range tags {
		outer := uint16(etherVLAN)
		if i == 0 && len(tags) > 1 {
			outer = etherQinQ
		}
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, outer), tag)
	}
	return binary.BigEndian.AppendUint16(b, kind)
}

func ports(src, dst uint16) []byte {
	return append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, src), dst), make([]byte, 16)...)
}

// u32s are big-endian words.
func u32s(v ...uint32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return b
}

// TestDissect has a packet for every header that leads on.
func TestDissect(t *testing.T) {
	const inner4, inner6 = "10.0.0.1", "2001:db8:1::1"
	tcp4 := cat(ip4(inner4, "10.0.0.2", 6), ports(1024, 80))
	tcp6 := cat(ip6(inner6, "2001:db8:1::2", 6), ports(1024, 80))
	udp := func(dst uint16) []byte { return ports(50000, dst)[:8] }
	outer := func(proto byte) []byte { return ip4("192.0.2.1", "192.0.2.2", proto) }
	for _, c := range []struct {
		name     string
		protocol uint32
		packet   []byte
		src      string
		tunnel   string
		vni      uint32
		vlan     uint16
	}{
		{"ethernet", 1, cat(eth(0x800), tcp4), inner4, "", 0, 0},
		{"802.1Q", 1, cat(eth(0x800, 7), tcp4), inner4, "", 0, 7},
		{"QinQ", 1, cat(eth(0x86dd, 5, 7), tcp6), inner6, "", 0, 7},
		{"MPLS", 1, cat(eth(0x8847), []byte{0, 1, 0x10, 64, 0, 2, 0x11, 64}, tcp4), inner4, "", 0, 0},
		{"MPLS pseudowire", 13, cat([]byte{0, 2, 0x11, 64, 0, 0, 0, 0}, eth(0x800, 9), tcp4), inner4, "", 0, 9},
		{"IPv4", 11, tcp4, inner4, "", 0, 0},
		{"IPv6", 12, tcp6, inner6, "", 0, 0},
		{"PPP", 7, cat([]byte{0xff, 3, 0, 0x21}, tcp4), inner4, "", 0, 0},
		{"PPPoE", 1, cat(eth(0x8864), []byte{0x11, 0, 0, 1, 0, 60, 0, 0x57}, tcp6), inner6, "", 0, 0},
		{"IPv6 extensions", 12, cat(ip6(inner6, "2001:db8:1::2", 0), []byte{43, 0, 0, 0, 0, 0, 0, 0},
			[]byte{60, 0, 0, 0, 0, 0, 0, 0}, []byte{44, 0, 0, 0, 0, 0, 0, 0}, []byte{51, 0, 0, 1, 0, 0, 0, 9},
			[]byte{6, 0, 0, 0, 0, 0, 0, 9}, ports(1024, 80)), inner6, "", 0, 0},
		{"VXLAN", 1, cat(eth(0x800), outer(17), udp(4789), []byte{8, 0, 0, 0, 0, 0x13, 0x89, 0}, eth(0x800, 3), tcp4),
			inner4, "192.0.2.1", 5001, 0},
		{"GENEVE", 1, cat(eth(0x800), outer(17), udp(6081), []byte{1, 0, 0x65, 0x58, 0, 0x13, 0x89, 0, 0, 0, 0, 0},
			eth(0x86dd), tcp6), inner6, "192.0.2.1", 5001, 0},
		{"GRE", 1, cat(eth(0x800), outer(47), []byte{0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2}, tcp4), inner4,
			"192.0.2.1", 0, 0},
		{"NVGRE", 1, cat(eth(0x800), outer(47), []byte{0x20, 0, 0x65, 0x58, 0, 0x13, 0x89, 0}, eth(0x800), tcp4),
			inner4, "192.0.2.1", 5001, 0},
		{"IP in IP", 1, cat(eth(0x800), outer(4), tcp4), inner4, "192.0.2.1", 0, 0},
		{"6in4", 1, cat(eth(0x800), outer(41), tcp6), inner6, "192.0.2.1", 0, 0},
		{"4in6", 12, cat(ip6("2001:db8:9::1", "2001:db8:9::2", 4), tcp4), inner4, "2001:db8:9::1", 0, 0},
	} {
		var r flow.Record
		var p flow.Sample
		Dissect(&r, &p, c.protocol, c.packet)
		if r.Src != addr(c.src) || r.Proto != 6 || r.SrcPort != 1024 || r.DstPort != 80 || p.VNI != c.vni ||
			r.SrcVLAN != c.vlan {
			t.Errorf("%s: got %+v\n%+v", c.name, r, p)
		}
		if tunnel := ""; r.TunSrc.IsValid() {
			tunnel = r.TunSrc.String()
			if tunnel != c.tunnel {
				t.Errorf("%s: tunnel %s, want %q", c.name, tunnel, c.tunnel)
			}
		} else if c.tunnel != "" {
			t.Errorf("%s: no tunnel", c.name)
		}
		for n := range c.packet { // cut at every length
			Dissect(&flow.Record{}, &flow.Sample{}, c.protocol, c.packet[:n:n])
		}
		if n := testing.AllocsPerRun(1000, func() { Dissect(&r, &p, c.protocol, c.packet) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func TestDissectLaterFragmentHasNoPorts(t *testing.T) {
	b := cat(ip4("10.0.0.1", "10.0.0.2", 17), ports(1, 2))
	b[6], b[7] = 0x1f, 0xfe
	var r flow.Record
	var p flow.Sample
	Dissect(&r, &p, ProtocolIPv4, b)
	if r.SrcPort != 0 || r.Has(flow.SrcPort) || p.FragOffset != 0x1ffe {
		t.Errorf("got port %d, offset %d", r.SrcPort, p.FragOffset)
	}
}

func FuzzDissect(f *testing.F) {
	r := flow.Record{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), Proto: 17, SrcVLAN: 3}
	f.Add(uint32(1), Append(nil, &r))
	f.Add(uint32(13), []byte{0, 2, 0x11, 64, 0x45})
	f.Fuzz(func(t *testing.T, protocol uint32, b []byte) {
		var r flow.Record
		var p flow.Sample
		Dissect(&r, &p, protocol, b)
		if r.Has(flow.Src) != r.Src.IsValid() {
			t.Fatal("an address that is not there")
		}
	})
}

// TestPortsFirst has the protocols that begin with ports.
func TestPortsFirst(t *testing.T) {
	for _, proto := range []byte{6, 17, 33, 132, 136} {
		for _, head := range [][]byte{ip4("192.0.2.1", "192.0.2.2", proto), ip6("2001:db8::1", "2001:db8::2", proto)} {
			kind := uint16(etherIPv4)
			if len(head) == ipv6Len {
				kind = etherIPv6
			}
			r, _ := dissected(ProtocolEthernet, eth(kind), head, ports(40000, 5001), make([]byte, 20))
			if r.Proto != proto || r.SrcPort != 40000 || r.DstPort != 5001 || !r.Has(flow.SrcPort) ||
				!r.Has(flow.DstPort) {
				t.Errorf("protocol %d: from port %d to %d", proto, r.SrcPort, r.DstPort)
			}
		}
	}
}

// TestFlowLabel: the lowest 20 bits of IPv6's first word (RFC 8200, section 3), by the
// short way and by the walk.
func TestFlowLabel(t *testing.T) {
	head := ip6("2001:db8::1", "2001:db8::2", 17)
	binary.BigEndian.PutUint32(head, 6<<28|0xb8<<20|0xabcde)
	for _, parts := range [][][]byte{{eth(etherIPv6), head}, {eth(etherIPv6, 5, 6), head}} {
		r, p := dissected(ProtocolEthernet, append(parts, ports(1, 2), make([]byte, 20))...)
		if p.FlowLabel != 0xabcde || r.SrcTOS != 0xb8 || r.DstPort != 2 {
			t.Errorf("label %#x, class %#x, port %d", p.FlowLabel, r.SrcTOS, r.DstPort)
		}
	}
}

// TestMACsOfTheInnerHeader: in a tunnel of Ethernet the addresses are those of the frame
// that the flow's IP header lies in; a frame without one leaves the outer frame's.
func TestMACsOfTheInnerHeader(t *testing.T) {
	inner := func(kind uint16) []byte {
		return cat([]byte{2, 0, 0, 0, 9, 2, 2, 0, 0, 0, 9, 1}, []byte{byte(kind >> 8), byte(kind)})
	}
	vxlan := [][]byte{eth(etherIPv4), ip4("192.0.2.1", "192.0.2.2", 17), {0, 1, 0x12, 0xb5, 0, 0, 0, 0},
		{8, 0, 0, 0, 0, 0, 9, 0}}
	outer := eth(etherIPv4)
	for _, c := range []struct {
		name     string
		parts    [][]byte
		dst, src []byte
	}{
		{"IPv6 in VXLAN", append(vxlan, inner(etherIPv6), ip6("2001:db8::1", "2001:db8::2", 17), ports(1, 2),
			make([]byte, 20)), inner(0)[:6], inner(0)[6:12]},
		{"ARP in VXLAN", append(vxlan, inner(0x806), make([]byte, 28)), outer[:6], outer[6:12]},
		{"IPv6 in IPv4", [][]byte{outer, ip4("192.0.2.1", "192.0.2.2", 41), ip6("2001:db8::1", "2001:db8::2", 17),
			ports(1, 2)}, outer[:6], outer[6:12]},
		{"IPv4 in NVGRE", [][]byte{outer, ip4("192.0.2.1", "192.0.2.2", 47), {0x20, 0, 0x65, 0x58, 0, 0, 9, 0},
			inner(etherIPv4), ip4("10.0.0.1", "10.0.0.2", 6), ports(1, 2)}, inner(0)[:6], inner(0)[6:12]},
	} {
		r, _ := dissected(ProtocolEthernet, c.parts...)
		if string(r.OutDstMAC[:]) != string(c.dst) || string(r.InSrcMAC[:]) != string(c.src) {
			t.Errorf("%s: from %x to %x, want %x to %x", c.name, r.InSrcMAC, r.OutDstMAC, c.src, c.dst)
		}
	}
}

// FuzzAppend reads what Append writes of a packet: addresses, ports, flags and lengths.
func FuzzAppend(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1, 192, 0, 2, 2}, uint8(6), uint8(0xb8), uint8(64), uint16(40000), uint16(443), uint16(0),
		uint8(0x18), uint64(900))
	f.Add([]byte{192, 0, 2, 1, 192, 0, 2, 2}, uint8(1), uint8(0), uint8(0), uint16(0), uint16(8<<8), uint16(7),
		uint8(0), uint64(0))
	f.Add(make([]byte, 32), uint8(17), uint8(1), uint8(255), uint16(53), uint16(53), uint16(0), uint8(0), uint64(1<<40))
	f.Fuzz(func(t *testing.T, addrs []byte, proto, tos, ttl uint8, sport, dport, vlan uint16, flags uint8,
		size uint64) {
		switch proto {
		case ipTCP, ipUDP, ipICMP, ipICMPv6, ipSCTP, ipDCCP, ipUDPLite:
		default:
			proto = ipTCP
		}
		if isTunnel(dport) {
			return
		}
		want := flow.Record{Proto: proto, SrcTOS: tos, MaxTTL: max(ttl, 1), SrcPort: sport, DstPort: dport,
			SrcVLAN: vlan & 0xfff, TCPFlags: uint16(flags), Bytes: size}
		switch {
		case len(addrs) >= 32:
			want.Src, want.Dst = netip.AddrFrom16([16]byte(addrs)), netip.AddrFrom16([16]byte(addrs[16:]))
		case len(addrs) >= 8:
			want.Src, want.Dst = netip.AddrFrom4([4]byte(addrs)), netip.AddrFrom4([4]byte(addrs[4:]))
		default:
			return
		}
		b := Append(nil, &want)
		var r flow.Record
		var p flow.Sample
		Dissect(&r, &p, ProtocolEthernet, b)
		if r.Src != want.Src || r.Dst != want.Dst || r.Proto != proto || r.SrcTOS != tos || r.MaxTTL != want.MaxTTL ||
			r.DstPort != dport ||
			r.SrcVLAN != want.SrcVLAN || p.Headers&flow.HasShort != 0 {
			t.Fatalf("%x: got %+v\nwant %+v", b, r, want)
		}
		if icmp := proto == ipICMP || proto == ipICMPv6; !icmp && r.SrcPort != sport || proto == ipTCP &&
			r.TCPFlags != uint16(flags) {
			t.Fatalf("%x: got %+v", b, r)
		}
		if r.IPVersion == 4 && (p.IPLength > maxLength || uint64(p.IPLength) < min(size, maxLength)) {
			t.Fatalf("a packet of %d bytes has the length %d", size, p.IPLength)
		}
	})
}
