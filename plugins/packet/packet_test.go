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
		{"IPv6 extensions", 12, cat(ip6(inner6, "2001:db8:1::2", 0), []byte{43, 0, 0, 0, 0, 0, 0, 0}, []byte{60, 0, 0, 0, 0, 0, 0, 0}, []byte{44, 0, 0, 0, 0, 0, 0, 0}, []byte{51, 0, 0, 1, 0, 0, 0, 9}, []byte{6, 0, 0, 0, 0, 0, 0, 9}, ports(1024, 80)), inner6, "", 0, 0},
		{"VXLAN", 1, cat(eth(0x800), outer(17), udp(4789), []byte{8, 0, 0, 0, 0, 0x13, 0x89, 0}, eth(0x800, 3), tcp4), inner4, "192.0.2.1", 5001, 0},
		{"GENEVE", 1, cat(eth(0x800), outer(17), udp(6081), []byte{1, 0, 0x65, 0x58, 0, 0x13, 0x89, 0, 0, 0, 0, 0}, eth(0x86dd), tcp6), inner6, "192.0.2.1", 5001, 0},
		{"GRE", 1, cat(eth(0x800), outer(47), []byte{0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2}, tcp4), inner4, "192.0.2.1", 0, 0},
		{"NVGRE", 1, cat(eth(0x800), outer(47), []byte{0x20, 0, 0x65, 0x58, 0, 0x13, 0x89, 0}, eth(0x800), tcp4), inner4, "192.0.2.1", 5001, 0},
		{"IP in IP", 1, cat(eth(0x800), outer(4), tcp4), inner4, "192.0.2.1", 0, 0},
		{"6in4", 1, cat(eth(0x800), outer(41), tcp6), inner6, "192.0.2.1", 0, 0},
		{"4in6", 12, cat(ip6("2001:db8:9::1", "2001:db8:9::2", 4), tcp4), inner4, "2001:db8:9::1", 0, 0},
	} {
		var r flow.Record
		var p flow.Sample
		Dissect(&r, &p, c.protocol, c.packet)
		if r.Src != addr(c.src) || r.Proto != 6 || r.SrcPort != 1024 || r.DstPort != 80 || p.VNI != c.vni || r.SrcVLAN != c.vlan {
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
		if n := testing.AllocsPerRun(10, func() { Dissect(&r, &p, c.protocol, c.packet) }); n != 0 {
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
