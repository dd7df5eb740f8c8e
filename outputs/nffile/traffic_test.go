package nffile

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// border makes flows as a site's border sees them: a few heavy talkers and a long
// tail, sizes over four decades, a fifth IPv6. Its kinds of exporters take turns
// in batches, as datagrams do: NetFlow v9 and, with mixed set, v5 with next hops,
// IPFIX with MAC addresses and VLANs, and events of a firewall. The same seed makes
// the same flows.
type border struct {
	rng    *rand.Rand
	server *rand.Zipf
	client *rand.Zipf
	mixed  bool
	kind   int
	left   int // of the batch
	now    flow.Time
}

func newBorder(seed uint64, mixed bool) *border {
	rng := rand.New(rand.NewPCG(seed, 1))
	return &border{rng: rng, server: rand.NewZipf(rng, 1.3, 1, 199), client: rand.NewZipf(rng, 1.05, 8, 64999),
		mixed: mixed, now: slot}
}

var borderPorts = [...]struct {
	proto  uint8
	port   uint16
	median float64
}{{6, 443, 9000}, {6, 443, 9000}, {6, 443, 9000}, {17, 53, 160}, {17, 443, 12000}, {6, 80, 6000}, {6, 22, 4000},
	{17, 123, 76}, {1, 8 << 8, 168}}

// next fills r with the next flow.
func (b *border) next(r *flow.Record) {
	if b.left--; b.left <= 0 {
		b.left = 10 + b.rng.IntN(20)
		b.now += flow.Time(b.rng.IntN(3)) * flow.Time(time.Millisecond)
		if b.mixed {
			b.kind = b.rng.IntN(4)
		}
	}
	r.Reset()
	plainFlow(r, 0)
	s := borderPorts[b.rng.IntN(len(borderPorts))]
	r.Proto, r.TCPFlags, r.NextHop = s.proto, 0, netip.Addr{}
	r.Bytes = uint64(max(64, s.median*math.Exp(b.rng.NormFloat64()*1.2)))
	r.Packets = max(1, r.Bytes/uint64(200+b.rng.IntN(1200)))
	if s.proto == 6 {
		r.TCPFlags, r.Packets = 0x1b, max(3, r.Packets)
	}
	r.Last = b.now - flow.Time(b.rng.IntN(2000))*flow.Time(time.Millisecond)
	r.First = r.Last - flow.Time(min(b.rng.ExpFloat64()*3000, 55000))*flow.Time(time.Millisecond)
	r.Received = b.now
	c, n := b.client.Uint64(), b.server.Uint64()
	r.Src = netip.AddrFrom4([4]byte{10, 20, byte(c >> 8), byte(c)})
	r.Dst = netip.AddrFrom4([4]byte{198, 51, 100, byte(n)})
	if b.kind != 1 && b.rng.IntN(5) == 0 {
		r.Src = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 10, byte(c >> 8), byte(c), 8: 2, 15: byte(c)})
		r.Dst = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 80, 15: byte(n)})
	}
	r.SrcPort, r.DstPort = uint16(32768+b.rng.IntN(28000)), s.port
	r.Input, r.Output, r.SrcAS, r.DstAS = uint32(2+b.rng.IntN(6)), 1, 0, 64496+uint32(b.rng.IntN(16))
	if b.rng.IntN(2) == 0 {
		r.Src, r.Dst, r.SrcPort, r.DstPort = r.Dst, r.Src, r.DstPort, r.SrcPort
		r.Input, r.Output, r.SrcAS, r.DstAS, r.Direction = r.Output, r.Input, r.DstAS, r.SrcAS, 1
	}
	r.Present.Remove(flow.NextHop)
	b.exporter(r)
}

// exporter makes r a flow of the exporter whose turn it is.
func (b *border) exporter(r *flow.Record) {
	r.Exporter = netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + b.kind)})
	r.Version = flow.V9
	switch b.kind {
	case 1:
		r.Version, r.NextHop = flow.V5, netip.AddrFrom4([4]byte{198, 51, 100, 1})
		r.Present.Add(flow.NextHop)
	case 2:
		r.Version, r.SrcVLAN = flow.IPFIX, uint16(100+b.rng.IntN(4))
		r.InSrcMAC, r.OutDstMAC = [6]byte{2, 0, 0, 0, 1, byte(b.rng.IntN(40))},
			[6]byte{2, 0, 0, 0, 2, byte(b.rng.IntN(40))}
		r.Present.Add(flow.SrcVLAN)
		r.Present.Add(flow.InSrcMAC)
	case 3:
		r.Event, r.EventTime, r.FwEvent, r.FlowID = true, r.Last, uint8(1+b.rng.IntN(3)), b.rng.Uint64N(1<<32)
		r.XlateSrc, r.XlateDst, r.XlateSPort, r.XlateDPort = netip.AddrFrom4([4]byte{203, 0, 113, byte(b.rng.IntN(4))}),
			r.Dst, uint16(b.rng.Uint32()), r.DstPort
		for _, f := range []flow.Field{flow.FwEvent, flow.XlateSrc, flow.XlateSPort} {
			r.Present.Add(f)
		}
	}
}
