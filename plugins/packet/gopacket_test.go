package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// randomFlow returns a flow of an address family and a protocol.
func randomFlow(rng *rand.Rand, six bool, proto uint8) flow.Record {
	r := flow.Record{Proto: proto, SrcPort: uint16(rng.Uint32()), DstPort: uint16(rng.Uint32()),
		TCPFlags: uint16(rng.IntN(256)), SrcTOS: uint8(rng.Uint32()), MaxTTL: uint8(rng.Uint32()),
		Bytes: uint64(rng.IntN(1700)), SrcVLAN: uint16(rng.IntN(2) * rng.IntN(4096))}
	a := make([]byte, 32)
	for i := range a {
		a[i] = byte(rng.Uint32())
	}
	copy(r.InSrcMAC[:], a)
	copy(r.OutDstMAC[:], a[8:])
	r.Src, r.Dst = netip.AddrFrom4([4]byte(a)), netip.AddrFrom4([4]byte(a[16:]))
	if six {
		r.Src, r.Dst = netip.AddrFrom16([16]byte(a)), netip.AddrFrom16([16]byte(a[16:]))
	}
	return r
}

// What Append writes is what gopacket reads: addresses, tag, lengths, ports and flags, and
// the checksum of IPv4's header that gopacket calculates itself.
func TestGopacketReadsWhatIsAppended(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	for range 2000 {
		six := rng.IntN(2) == 0
		proto := []uint8{ipTCP, ipUDP, ipICMP}[rng.IntN(3)]
		if six && proto == ipICMP {
			proto = ipICMPv6
		}
		r := randomFlow(rng, six, proto)
		b := Append(nil, &r)
		p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
		eth := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
		if [6]byte(eth.SrcMAC) != r.InSrcMAC || [6]byte(eth.DstMAC) != r.OutDstMAC {
			t.Fatalf("from %s to %s, want %x and %x", eth.SrcMAC, eth.DstMAC, r.InSrcMAC, r.OutDstMAC)
		}
		tag, tagged := p.Layer(layers.LayerTypeDot1Q).(*layers.Dot1Q)
		if tagged != (r.SrcVLAN != 0) || tagged && tag.VLANIdentifier != r.SrcVLAN {
			t.Fatalf("VLAN %d: %+v", r.SrcVLAN, tag)
		}
		top := map[uint8]uint64{ipTCP: 20}[proto]
		if top == 0 {
			top = 8
		}
		if six {
			checkIPv6(t, p, &r, min(max(r.Bytes, 40+top), 1500)-40)
		} else {
			checkIPv4(t, p, &r, min(max(r.Bytes, 20+top), 1500))
		}
		switch top := p.TransportLayer().(type) {
		case *layers.TCP:
			flags := top.Contents[13]
			if uint16(top.SrcPort) != r.SrcPort || uint16(top.DstPort) != r.DstPort || uint16(flags) != r.TCPFlags ||
				top.DataOffset != 5 {
				t.Fatalf("TCP %+v of %+v", top, r)
			}
		case *layers.UDP:
			if uint16(top.SrcPort) != r.SrcPort || uint16(top.DstPort) != r.DstPort {
				t.Fatalf("UDP %+v of %+v", top, r)
			}
		}
	}
}

// checkIPv4 compares a header with the flow and the length of the packet.
func checkIPv4(t *testing.T, p gopacket.Packet, r *flow.Record, length uint64) {
	t.Helper()
	ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	src, _ := netip.AddrFromSlice(ip.SrcIP)
	dst, _ := netip.AddrFromSlice(ip.DstIP)
	if src != r.Src || dst != r.Dst || uint64(ip.Length) != length || ip.TTL != max(r.MaxTTL, 1) ||
		ip.TOS != r.SrcTOS || uint8(ip.Protocol) != r.Proto || ip.IHL != 5 {
		t.Fatalf("%+v of %+v, want %d bytes", ip, r, length)
	}
	buf := gopacket.NewSerializeBuffer()
	again := *ip
	if err := again.SerializeTo(buf, gopacket.SerializeOptions{ComputeChecksums: true}); err != nil {
		t.Fatal(err)
	}
	if again.Checksum != ip.Checksum {
		t.Fatalf("the checksum is %#x, gopacket calculates %#x", ip.Checksum, again.Checksum)
	}
}

// checkIPv6 does the same; length is that of the payload.
func checkIPv6(t *testing.T, p gopacket.Packet, r *flow.Record, length uint64) {
	t.Helper()
	ip := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	src, _ := netip.AddrFromSlice(ip.SrcIP)
	dst, _ := netip.AddrFromSlice(ip.DstIP)
	if src != r.Src || dst != r.Dst || uint64(ip.Length) != length || ip.HopLimit != max(r.MaxTTL, 1) ||
		ip.TrafficClass != r.SrcTOS || ip.FlowLabel != 0 || uint8(ip.NextHeader) != r.Proto {
		t.Fatalf("%+v of %+v, want %d bytes", ip, r, length)
	}
}

// What gopacket writes is dissected: Ethernet, tags and labels, both families, TCP and UDP
// in any combination, with values of their own.
func TestDissectWhatGopacketWrites(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 34))
	for range 2000 {
		six, tagged, labelled := rng.IntN(2) == 0, rng.IntN(3) == 0, rng.IntN(3) == 0
		want := randomFlow(rng, six, []uint8{ipTCP, ipUDP}[rng.IntN(2)])
		kind := layers.EthernetTypeIPv4
		if six {
			kind = layers.EthernetTypeIPv6
		}
		below := kind
		if labelled {
			below = layers.EthernetTypeMPLSUnicast
		}
		eth := &layers.Ethernet{SrcMAC: want.InSrcMAC[:], DstMAC: want.OutDstMAC[:], EthernetType: below}
		stack := []gopacket.SerializableLayer{eth}
		if tagged {
			eth.EthernetType = layers.EthernetTypeDot1Q
			stack = append(stack, &layers.Dot1Q{VLANIdentifier: 1 + want.SrcPort%4094, Type: below})
		}
		label := uint32(16 + rng.IntN(1<<20-16))
		if labelled {
			stack = append(stack, &layers.MPLS{Label: label, StackBottom: true, TTL: 9})
		}
		var ip gopacket.NetworkLayer
		if six {
			header := &layers.IPv6{Version: 6, TrafficClass: want.SrcTOS, HopLimit: want.MaxTTL,
				SrcIP: want.Src.AsSlice(), DstIP: want.Dst.AsSlice(), NextHeader: layers.IPProtocol(want.Proto)}
			stack, ip = append(stack, header), header
		} else {
			header := &layers.IPv4{Version: 4, IHL: 5, TOS: want.SrcTOS, TTL: want.MaxTTL, SrcIP: want.Src.AsSlice(),
				DstIP: want.Dst.AsSlice(), Protocol: layers.IPProtocol(want.Proto)}
			stack, ip = append(stack, header), header
		}
		if want.Proto == ipTCP {
			tcp := &layers.TCP{SrcPort: layers.TCPPort(want.SrcPort), DstPort: layers.TCPPort(want.DstPort), SYN: true,
				ECE: true}
			tcp.SetNetworkLayerForChecksum(ip)
			stack = append(stack, tcp)
		} else {
			udp := &layers.UDP{SrcPort: layers.UDPPort(want.SrcPort), DstPort: layers.UDPPort(want.DstPort)}
			udp.SetNetworkLayerForChecksum(ip)
			stack = append(stack, udp)
		}
		buf := gopacket.NewSerializeBuffer()
		options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
		err := gopacket.SerializeLayers(buf, options, stack...)
		if err != nil {
			t.Fatal(err)
		}
		var got flow.Record
		var p flow.Sample
		Dissect(&got, &p, ProtocolEthernet, buf.Bytes())
		if got.Src != want.Src || got.Dst != want.Dst || got.Proto != want.Proto || got.SrcTOS != want.SrcTOS ||
			got.MaxTTL != want.MaxTTL || got.InSrcMAC != want.InSrcMAC || got.OutDstMAC != want.OutDstMAC ||
			got.Has(flow.SrcVLAN) != tagged || tagged && got.SrcVLAN != 1+want.SrcPort%4094 ||
			got.Has(flow.MPLS) != labelled || labelled && got.MPLS[0]>>4 != label ||
			want.Proto == ipTCP && got.TCPFlags != 0x42 {
			t.Fatalf("%x\n got %+v\nwant %+v", buf.Bytes(), got, want)
		}
		if got.SrcPort != want.SrcPort || got.DstPort != want.DstPort {
			t.Fatalf("%x: ports %d and %d, want %d and %d", buf.Bytes(), got.SrcPort, got.DstPort, want.SrcPort,
				want.DstPort)
		}
		if n := LinkLength(buf.Bytes()); n != map[bool]int{true: 4}[tagged]+map[bool]int{true: 4}[labelled]+14 {
			t.Fatalf("%x: the IP header begins at %d", buf.Bytes(), n)
		}
	}
}

// Where the IP header begins, behind everything that carries one, and that it does not
// where a frame is cut in front of it: what is counted from there are the bytes of IP.
func TestLinkLengths(t *testing.T) {
	v4, v6 := ip4("10.0.0.1", "10.0.0.2", 6), ip6("2001:db8::1", "2001:db8::2", 6)
	pppoe := []byte{0x11, 0, 0, 1, 0, 22}
	for name, c := range map[string]struct {
		head  []byte
		below []byte
		want  int
	}{
		"IPv4": {eth(etherIPv4), v4, 14}, "IPv6": {eth(etherIPv6), v6, 14},
		"a tag": {eth(etherIPv4, 7), v4, 18}, "two tags": {eth(etherIPv6, 7, 8), v6, 22},
		"a label":        {cat(eth(etherMPLS), u32s(16<<12|1<<8|64)), v4, 18},
		"two labels":     {cat(eth(etherMPLS), u32s(16<<12|64, 17<<12|1<<8|64)), v6, 22},
		"PPPoE":          {cat(eth(etherPPPoE), pppoe, []byte{0, 0x21}), v4, 22},
		"PPPoE, IPv6":    {cat(eth(etherPPPoE), pppoe, []byte{0, 0x57}), v6, 22},
		"PPPoE, HDLC":    {cat(eth(etherPPPoE), pppoe, []byte{0xff, 3, 0, 0x21}), v4, 24},
		"PPPoE, a label": {cat(eth(etherPPPoE), pppoe, []byte{0x02, 0x81}, u32s(16<<12|1<<8|64)), v4, 26},
		"PPPoE, LCP":     {cat(eth(etherPPPoE), pppoe, []byte{0xc0, 0x21}), v4, 0},
		"a pseudowire":   {cat(eth(etherMPLS), u32s(16<<12|1<<8|64, 0)), eth(etherIPv4), 0},
		"ARP":            {eth(0x0806), make([]byte, 28), 0},
	} {
		frame := cat(c.head, c.below)
		if got := LinkLength(frame); got != c.want {
			t.Errorf("%s: the IP header begins at %d, want %d", name, got, c.want)
		}
		for n := range len(c.head) + 1 {
			if got := LinkLength(frame[:n:n]); got != 0 {
				t.Errorf("%s: cut after %d bytes it begins at %d", name, n, got)
			}
		}
	}
}

// The checksum of IPv4 is that of RFC 1071 also where its sum carries twice.
func TestChecksumThatCarriesTwice(t *testing.T) {
	for _, a := range []string{"255.255.255.255", "255.255.0.0", "0.0.0.0", "186.174.255.255"} {
		r := flow.Record{Src: addr(a), Dst: addr("255.255.255.254"), Proto: 17, MaxTTL: 255, SrcTOS: 255, Bytes: 1500}
		header := Append(nil, &r)[14:34]
		var sum uint32
		for i := 0; i < 20; i += 2 {
			sum += uint32(binary.BigEndian.Uint16(header[i:]))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		if sum != 0xffff {
			t.Errorf("%s: the words of the header add up to %#x", net.IP(header[12:16]), sum)
		}
	}
}
