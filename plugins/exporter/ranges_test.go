package exporter

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// within is a set of networks.
type within []netip.Prefix

func networks(list ...string) (w within) {
	for _, text := range list {
		w = append(w, netip.MustParsePrefix(text))
	}
	return w
}

func (w within) has(a netip.Addr) bool {
	for _, p := range w {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// The hosts of a mix, inside and outside: private addresses (RFC 1918), those for
// documentation (RFC 5737, RFC 3849) and for benchmarks (RFC 2544), and no others: what is
// generated must never name somebody's host.
var hostsOf = map[Mix]struct{ inside, outside within }{
	Plain: {networks("10.20.0.0/16", "2001:db8:a::/48"),
		networks("198.51.100.0/24", "203.0.113.0/24", "2001:db8:50::/48")},
	Realistic: {networks("10.40.0.0/14", "2001:db8:0:a::/64"), networks("198.18.0.0/15", "2001:db8:0:50::/64")},
}

// TestAddressesAreNobodys: each flow is between a host inside and one outside, in either
// direction, at the interfaces where these are.
func TestAddressesAreNobodys(t *testing.T) {
	for mix, hosts := range hostsOf {
		tr := newTraffic(11, false, mix)
		var r flow.Record
		in, six := 0, 0
		for range 20000 {
			tr.next(&r, time.Unix(1700000000, 0))
			client, server, near, far := r.Src, r.Dst, r.Input, r.Output
			if hosts.outside.has(r.Src) {
				in++
				client, server, near, far = r.Dst, r.Src, r.Output, r.Input
			}
			if !hosts.inside.has(client) || !hosts.outside.has(server) || far != outside || near < 2 || near > 63 ||
				mix == Plain && near > 7 {
				t.Fatalf("%s: %s to %s, from interface %d to %d", mix, r.Src, r.Dst, r.Input, r.Output)
			}
			if fromOutside := r.Input == outside; fromOutside != (r.Direction == 1) || r.Src.Is4() != (r.IPVersion == 4) ||
				r.Src.Is4() != r.Dst.Is4() || r.Src.Is6() != (r.IPVersion == 6) {
				t.Fatalf("%s: direction %d, IP version %d of %s to %s", mix, r.Direction, r.IPVersion, r.Src, r.Dst)
			}
			if r.IPVersion == 6 {
				six++
			}
		}
		least, most := 3000, 4200 // 18 percent
		if mix == Realistic {
			least, most = 6500, 7500 // 35
		}
		if in < 9000 || in > 10500 || six < least || six > most {
			t.Errorf("%s: of 20,000 flows %d come from outside, %d are of IPv6", mix, in, six)
		}
	}
}

// TestHostsByRank: each rank is a host of its own, in both families, and neighbours in rank
// are none in the network.
func TestHostsByRank(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		var seen [outsideHosts]bool
		inside := hostsOf[Realistic].outside
		var last netip.Addr
		for rank := range uint64(outsideHosts) {
			a := host(rank, 198, 18, 80, v6)
			b := a.AsSlice()
			n := int(b[1]-18)<<16 | int(b[2])<<8 | int(b[3])
			if v6 {
				n = int(b[8])<<16 | int(b[9])<<8 | int(b[15])
			}
			if seen[n] || !inside.has(a) || a == last.Next() || a == last.Prev() {
				t.Fatalf("rank %d is %s, behind %s", rank, a, last)
			}
			seen[n], last = true, a
		}
	}
}

// TestRealisticFields: interfaces, AS numbers (RFC 6996: for private use), next hops, VLANs
// (IEEE 802.1Q), MAC addresses (locally administered) and hops are such as there can be.
func TestRealisticFields(t *testing.T) {
	tr := newTraffic(12, false, Realistic)
	hops4, hops6 := networks("192.0.2.0/24"), networks("2001:db8::/64")
	bgp6 := networks("2001:db8::100/120")
	var r flow.Record
	masks, vlans, ttls, macs := map[uint8]bool{}, map[uint16]bool{}, map[uint8]bool{}, map[[6]byte]bool{}
	for range 30000 {
		tr.next(&r, time.Unix(1700000000, 0))
		near, far := r.SrcAS, r.DstAS
		port := r.Input
		if r.Input == outside {
			near, far, port = far, near, r.Output
		}
		hop := r.NextHop.As16()[15]
		bgp := r.BGPNextHop.As16()[15]
		want := hop + 100
		hops, bgps := hops4, hops4
		if r.IPVersion == 6 {
			hops, bgps, want = hops6, bgp6, hop
		}
		switch {
		case near < 64512+488 || near > 65019 || far < 4_200_000_000 || far > 4_294_967_294:
			t.Fatalf("AS %d inside, %d outside", near, far)
		case !hops.has(r.NextHop) || !bgps.has(r.BGPNextHop) || hop < 1 || hop > 30 || bgp != want:
			t.Fatalf("IP version %d: next hops %s and %s", r.IPVersion, r.NextHop, r.BGPNextHop)
		case r.SrcMask < 8 || r.SrcMask > 24 || r.DstMask < 8 || r.DstMask > 24:
			t.Fatalf("masks %d and %d", r.SrcMask, r.DstMask)
		case r.SrcVLAN < 1 || r.SrcVLAN > 400 || r.DstVLAN < 1 || r.DstVLAN > 400:
			t.Fatalf("VLANs %d and %d", r.SrcVLAN, r.DstVLAN)
		case r.InSrcMAC != [6]byte{2, 0, 0, 1, byte(port), hop} || r.OutDstMAC != [6]byte{2, 0, 0, 2, byte(port), hop}:
			t.Fatalf("MAC addresses %x and %x at port %d", r.InSrcMAC, r.OutDstMAC, port)
		case r.MaxTTL < 30 || r.MaxTTL > 249 || r.MaxTTL-r.MinTTL > 7 || r.MinTTL > r.MaxTTL:
			t.Fatalf("%d to %d hops", r.MinTTL, r.MaxTTL)
		case r.Flows != 1 || r.EndReason != 1:
			t.Fatalf("%d flows, end reason %d", r.Flows, r.EndReason)
		}
		masks[r.SrcMask], masks[r.DstMask], vlans[r.SrcVLAN], ttls[r.MaxTTL] = true, true, true, true
		macs[r.InSrcMAC] = true
	}
	if len(masks) != 17 || len(vlans) != 400 || len(ttls) != 220 || len(macs) < 1000 {
		t.Errorf("%d masks, %d VLANs, %d TTLs, %d MACs", len(masks), len(vlans), len(ttls), len(macs))
	}
}

// TestPlainFields: of the plain mix AS numbers are for documentation (RFC 5398), and only the
// outside has one.
func TestPlainFields(t *testing.T) {
	tr := newTraffic(13, false, Plain)
	var r flow.Record
	as, flags, tos := map[uint32]bool{}, map[uint16]int{}, map[uint8]int{}
	for range 20000 {
		tr.next(&r, time.Unix(1700000000, 0))
		far, near, masks := r.DstAS, r.SrcAS, [2]uint8{r.SrcMask, r.DstMask}
		want := [2]uint8{16, 24}
		if r.Input == outside {
			far, near, want = near, far, [2]uint8{24, 16}
		}
		if near != 0 || far < 64496 || far > 64511 || masks != want || r.NextHop.IsValid() || r.SrcVLAN != 0 ||
			r.MinTTL != 57 || r.MaxTTL != 64 || r.Flows != 1 || r.EndReason != 1 {
			t.Fatalf("%+v", r)
		}
		as[far] = true
		tos[r.SrcTOS]++
		if r.Proto == protoTCP {
			flags[r.TCPFlags]++
		} else if r.TCPFlags != 0 {
			t.Fatalf("flags %#x of protocol %d", r.TCPFlags, r.Proto)
		}
	}
	if len(as) != 16 || len(flags) != 2 || flags[0x06] < 500 || flags[0x06] > 900 || flags[0x1b] < 12000 {
		t.Errorf("%d AS, flags of TCP %v", len(as), flags)
	}
	if len(tos) != 2 || tos[0xb8] < 2200 || tos[0xb8] > 2800 { // an eighth is expedited (RFC 3246)
		t.Errorf("classes of service %v", tos)
	}
}

// TestEphemeralPorts: a client's port is above the well-known ones, of the plain mix as
// Linux chooses it.
func TestEphemeralPorts(t *testing.T) {
	for mix, bounds := range map[Mix][2]uint16{Plain: {32768, 60767}, Realistic: {1024, 65535}} {
		tr := newTraffic(14, false, mix)
		least, most := uint16(65535), uint16(0)
		for range 300000 {
			p := tr.clientPort()
			least, most = min(least, p), max(most, p)
		}
		if least != bounds[0] || most != bounds[1] {
			t.Errorf("%s: from %d to %d, want %d to %d", mix, least, most, bounds[0], bounds[1])
		}
	}
}

// TestServicesHaveTheirShares: the weights of the services are percents, and each has its
// share of the flows.
func TestServicesHaveTheirShares(t *testing.T) {
	sum := 0
	for _, s := range services {
		sum += s.weight
	}
	if sum != 100 {
		t.Fatalf("the weights are %d together", sum)
	}
	tr := newTraffic(15, true, Plain)
	count := map[string]int{}
	const n = 50000
	for range n {
		s := tr.pickService()
		count[fmt.Sprint(s.proto, "/", s.port)]++
	}
	for _, s := range services {
		got := count[fmt.Sprint(s.proto, "/", s.port)]
		if want := n * s.weight / 100; got < want*8/10 || got > want*12/10 {
			t.Errorf("protocol %d, port %d: %d of %d flows, want about %d", s.proto, s.port, got, n, want)
		}
	}
}

// TestExportersDiffer: exporters of one seed make flows of their own, also those whose
// numbers and seeds are equal together.
func TestExportersDiffer(t *testing.T) {
	now := time.Unix(1700000000, 0)
	seen := map[string]Options{}
	for _, o := range []Options{{Seed: 1}, {Seed: 2}, {Seed: 1, ID: 1}, {Seed: 1, ID: 2}, {Seed: 2, ID: 1},
		{Seed: 3, ID: 0}, {Seed: 0, ID: 1}, {Seed: 0, ID: 3}, {Seed: 1, Mix: Realistic}} {
		o.Protocol = "v9"
		e, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, r := range e.Flows(5, now) {
			text += fmt.Sprint(r.Src, r.SrcPort, r.Dst, r.Bytes, " ")
		}
		if other, same := seen[text]; same {
			t.Errorf("%+v and %+v make the same flows", o, other)
		}
		seen[text] = o
	}
}
