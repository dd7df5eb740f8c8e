package exporter

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// traffic makes flows as a site's border sees them: a few heavy talkers and a
// long tail of hosts, TCP, UDP and ICMP, IPv4 and IPv6. The same seed makes the
// same flows. Addresses are those of RFC 5737, RFC 3849, RFC 1918 and, in the
// realistic mix, RFC 2544.
type traffic struct {
	rng       *rand.Rand
	server    *rand.Zipf // rank of the server: the first few have most flows
	client    *rand.Zipf
	as        *rand.Zipf
	v4only    bool
	realistic bool
}

// The hosts of the realistic mix: inside and outside 200,000 together. Those outside
// are as many as RFC 2544 has addresses.
const (
	insideHosts  = 200_000 - outsideHosts
	outsideHosts = 1 << 17
)

func newTraffic(seed uint64, v4only bool, mix Mix) *traffic {
	rng := rand.New(rand.NewPCG(seed, 0x666c6f7767726166))
	if mix == Realistic {
		return &traffic{
			rng:       rng,
			server:    rand.NewZipf(rng, 1.07, 20, outsideHosts-1),
			client:    rand.NewZipf(rng, 1.05, 50, insideHosts-1),
			as:        rand.NewZipf(rng, 1.2, 5, 4999),
			v4only:    v4only,
			realistic: true,
		}
	}
	return &traffic{
		rng:    rng,
		server: rand.NewZipf(rng, 1.3, 1, 199),
		client: rand.NewZipf(rng, 1.05, 8, 64999),
		v4only: v4only,
	}
}

// service is what a server offers.
type service struct {
	proto  uint8
	port   uint16
	weight int     // share of the flows, in percent
	bytes  float64 // median size of a flow
}

var services = []service{
	{protoTCP, 443, 48, 9000}, {protoTCP, 80, 10, 6000}, {protoUDP, 53, 16, 160},
	{protoUDP, 443, 9, 12000}, {protoTCP, 22, 4, 4000}, {protoUDP, 123, 3, 76},
	{protoTCP, 25, 3, 15000}, {protoTCP, 3306, 2, 2500}, {protoICMP, 0, 5, 168},
}

// The protocol numbers of the traffic.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// TCP control bits, RFC 9293, section 3.1.
const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpRST = 0x04
	tcpPSH = 0x08
	tcpACK = 0x10
)

// next fills r with the next flow, which ended shortly before now.
func (t *traffic) next(r *flow.Record, now time.Time) {
	r.Reset()
	s := t.pickService()
	v6 := !t.v4only && t.rng.IntN(100) < t.shareOfIPv6()
	client, server := t.clientAddr(v6), t.serverAddr(v6)
	r.Proto, r.IPVersion = s.proto, 4
	if v6 {
		r.IPVersion = 6
		if s.proto == protoICMP {
			r.Proto = protoICMPv6
		}
	}
	clientPort := t.clientPort()
	if s.proto == protoICMP {
		clientPort = 0
		s.port = 8 << 8 // echo
		if v6 {
			s.port = 128 << 8
		}
		r.ICMP = s.port
	}
	t.count(r, s)
	// A server's answer is larger than the question.
	if t.rng.IntN(2) == 0 && s.proto != protoICMP {
		r.Src, r.Dst, r.SrcPort, r.DstPort = server, client, s.port, clientPort
		r.Input, r.Output, r.Direction = outside, uint32(2+t.rng.IntN(6)), 1
		r.SrcAS, r.SrcMask, r.DstMask = 64496+uint32(t.rng.IntN(16)), 24, 16
	} else {
		r.Src, r.Dst, r.SrcPort, r.DstPort = client, server, clientPort, s.port
		r.Input, r.Output, r.Direction = uint32(2+t.rng.IntN(6)), outside, 0
		r.DstAS, r.SrcMask, r.DstMask = 64496+uint32(t.rng.IntN(16)), 16, 24
	}
	r.Flows, r.EndReason, r.MinTTL, r.MaxTTL = 1, 1, 57, 64
	if t.realistic {
		t.vary(r)
	}
	t.times(r, now)
	for _, f := range trafficFields {
		r.Present.Add(f)
	}
}

// outside is the interface that leads to the servers.
const outside = 1

// shareOfIPv6 is in percent.
func (t *traffic) shareOfIPv6() int {
	if t.realistic {
		return 35
	}
	return 18
}

// clientPort returns an ephemeral port: one of those that Linux takes, or any.
func (t *traffic) clientPort() uint16 {
	if t.realistic {
		return uint16(1024 + t.rng.IntN(65536-1024))
	}
	return uint16(32768 + t.rng.IntN(28000))
}

// vary gives a flow what differs from flow to flow where many networks meet: interfaces,
// AS numbers (RFC 6996's), next hops, VLANs and MAC addresses.
func (t *traffic) vary(r *flow.Record) {
	port := uint32(2 + t.rng.IntN(62))
	near, far := 65000+uint32(t.rng.IntN(20)), 4_200_000_000+uint32(t.as.Uint64())
	hop := byte(1 + t.rng.IntN(30))
	if r.Input == outside {
		r.Output, r.SrcAS, r.DstAS = port, far, near
	} else {
		r.Input, r.SrcAS, r.DstAS = port, near, far
	}
	r.SrcMask, r.DstMask = uint8(8+t.rng.IntN(17)), uint8(8+t.rng.IntN(17))
	r.NextHop, r.BGPNextHop = netip.AddrFrom4([4]byte{192, 0, 2, hop}), netip.AddrFrom4([4]byte{192, 0, 2, hop + 100})
	if r.IPVersion == 6 {
		r.NextHop = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: hop})
		r.BGPNextHop = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: 1, 15: hop})
	}
	r.SrcVLAN, r.DstVLAN = uint16(1+t.rng.IntN(400)), uint16(1+t.rng.IntN(400))
	r.InSrcMAC = [6]byte{2, 0, 0, 1, byte(port), hop}
	r.OutDstMAC = [6]byte{2, 0, 0, 2, byte(port), hop}
	r.MaxTTL = uint8(30 + t.rng.IntN(220))
	r.MinTTL = r.MaxTTL - uint8(t.rng.IntN(8))
}

// trafficFields are the fields that every generated flow has.
var trafficFields = []flow.Field{
	flow.Src, flow.Dst, flow.SrcPort, flow.DstPort, flow.Proto, flow.IPVersion, flow.TCPFlags,
	flow.SrcTOS, flow.Bytes, flow.Packets, flow.Input, flow.Output, flow.SrcMask, flow.DstMask,
	flow.SrcAS, flow.DstAS, flow.Direction, flow.EndReason, flow.MaxTTL, flow.FirstSeen, flow.LastSeen,
}

func (t *traffic) pickService() service {
	n := t.rng.IntN(100)
	for _, s := range services {
		if n -= s.weight; n < 0 {
			return s
		}
	}
	return services[0]
}

func (t *traffic) clientAddr(v6 bool) netip.Addr {
	n := t.client.Uint64()
	if t.realistic {
		return host(n, 10, 40, 10, v6)
	}
	if v6 {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 10, byte(n >> 8), byte(n), 8: 2, 15: byte(n)})
	}
	return netip.AddrFrom4([4]byte{10, 20, byte(n >> 8), byte(n)})
}

func (t *traffic) serverAddr(v6 bool) netip.Addr {
	if t.realistic {
		return host(t.server.Uint64(), 198, 18, 80, v6)
	}
	n := t.server.Uint64() + 10
	if v6 {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 80, 15: byte(n)})
	}
	if n%2 == 0 {
		return netip.AddrFrom4([4]byte{198, 51, 100, byte(n)})
	}
	return netip.AddrFrom4([4]byte{203, 0, 113, byte(n)})
}

// host returns the address of a host by its rank, so that neighbours in rank are none in
// the network: its lowest 17 bits stand behind a.b in IPv4, below 2001:db8:0:net in IPv6.
func host(rank uint64, a, b, net byte, v6 bool) netip.Addr {
	n := rank * 0x9e35 % outsideHosts // odd, hence one to one
	if v6 {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 6: 0, 7: net, 8: byte(n >> 16), 9: byte(n >> 8),
			15: byte(n)})
	}
	return netip.AddrFrom4([4]byte{a, b + byte(n>>16), byte(n >> 8), byte(n)})
}

// count sets the counters: log-normal sizes, a few flows a thousand times the
// median, packets of up to 1,400 bytes.
func (t *traffic) count(r *flow.Record, s service) {
	size := s.bytes * math.Exp(t.rng.NormFloat64()*1.2)
	if s.bytes > 4000 && t.rng.IntN(200) == 0 {
		size *= 500
	}
	r.Bytes = uint64(min(max(size, 64), 3e9))
	largest := uint64(200 + t.rng.IntN(1200))
	r.Packets = (r.Bytes + largest - 1) / largest
	if s.proto == protoTCP {
		r.Packets = max(r.Packets, 3)
		r.Bytes = max(r.Bytes, 40*r.Packets)
		r.TCPFlags = tcpSYN | tcpACK | tcpPSH | tcpFIN
		if t.rng.IntN(20) == 0 {
			r.TCPFlags = tcpSYN | tcpRST
		}
	}
	if t.rng.IntN(8) == 0 {
		r.SrcTOS = 0xb8 // expedited forwarding
	}
}

// times sets First and Last in whole milliseconds, which every protocol holds. Flows end
// within the last two seconds, in the realistic mix within the last minute.
func (t *traffic) times(r *flow.Record, now time.Time) {
	ago := 2000
	if t.realistic {
		ago = 60000
	}
	last := flow.TimeOf(now).Milli() - uint64(t.rng.IntN(ago))
	duration := uint64(min(t.rng.ExpFloat64()*3000, 55000))
	if r.Packets == 1 {
		duration = 0
	}
	r.First, r.Last = flow.Milli(last-duration), flow.Milli(last)
}
