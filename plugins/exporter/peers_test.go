package exporter

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
)

// templateTexts are the layouts of the exporters, "element:length", as a router of Cisco's,
// and a distributed switch of VMware's, document them.
var templateTexts = map[string][]string{
	"v9": {"8:4 12:4 9:1 13:1 22:4 21:4 1:4 2:4 10:4 14:4 7:2 11:2 4:1 6:1 5:1 61:1 16:4 17:4 32:2",
		"27:16 28:16 29:1 30:1 22:4 21:4 1:4 2:4 10:4 14:4 7:2 11:2 4:1 6:1 5:1 61:1 16:4 17:4 32:2"},
	"ipfix": {"8:4 12:4 9:1 13:1 152:8 153:8 1:8 2:8 10:4 14:4 7:2 11:2 4:1 6:2 5:1 61:1 136:1 16:4 17:4",
		"27:16 28:16 29:1 30:1 152:8 153:8 1:8 2:8 10:4 14:4 7:2 11:2 4:1 6:2 5:1 61:1 136:1 16:4 17:4"},
	"vmware": {"8:4 12:4 1:8 2:8 152:8 153:8 7:2 11:2 10:4 14:4 351:8 4:1 136:1 6:1 5:1 53:1 61:1 6876/890:2 " +
		"6876/888:2 6876/889:1",
		"27:16 28:16 1:8 2:8 152:8 153:8 7:2 11:2 10:4 14:4 351:8 4:1 136:1 6:1 5:1 53:1 61:1 6876/890:2 " +
			"6876/888:2 6876/889:1"},
}

const linkText, hops4, hops6 = "56:6 57:6 58:2 59:2 52:1 53:1", "15:4 18:4", "62:16 63:16"

// TestTemplatesOfExporters reads the templates off the datagram: one pair of the plain mix,
// two or three of the realistic one, with the numbers that follow each other.
func TestTemplatesOfExporters(t *testing.T) {
	for protocol, usual := range templateTexts {
		all := [][]string{usual, {linkText + " " + usual[0], linkText + " " + usual[1]}, {usual[0] + " " + hops4,
			usual[1] + " " + hops6}}
		if protocol == "vmware" {
			all = [][]string{usual, {usual[0] + " " + linkText, usual[1] + " " + linkText}}
		}
		for mix, pairs := range map[Mix][][]string{Plain: all[:1], Realistic: all} {
			e, err := New(Options{Protocol: protocol, Mix: mix})
			if err != nil {
				t.Fatal(err)
			}
			got := templatesOf(t, e.Templates(nil, time.Now()))
			for i, pair := range pairs {
				for family, want := range pair {
					id := uint16(256 + 2*i + family)
					if text := strings.Join(got[id], " "); text != want {
						t.Errorf("%s %s, template %d:\n got %s\nwant %s", mix, protocol, id, text, want)
					}
				}
			}
			if len(got) != 2*len(pairs) {
				t.Errorf("%s %s: %d templates, want %d", mix, protocol, len(got), 2*len(pairs))
			}
		}
	}
}

// TestLengthsAreThoseOfTheTypes: an element has the length of its type, but for numbers
// that routers send in fewer bytes (RFC 7011, section 6.2).
func TestLengthsAreThoseOfTheTypes(t *testing.T) {
	sizes := map[ie.Type]int{ie.Unsigned8: 1, ie.Unsigned16: 2, ie.Unsigned32: 4, ie.Unsigned64: 8, ie.MACAddress: 6,
		ie.IPv4Address: 4, ie.IPv6Address: 16, ie.DateTimeMilliseconds: 8}
	shorter := []string{"1:4", "2:4", "6:1"}
	for protocol := range templateTexts {
		e, err := New(Options{Protocol: protocol, Mix: Realistic})
		if err != nil {
			t.Fatal(err)
		}
		for id, list := range templatesOf(t, e.Templates(nil, time.Now())) {
			for _, text := range list {
				name, length, _ := strings.Cut(text, ":")
				known, err := ie.ByName(name)
				if err != nil || known.Name == "" {
					t.Fatalf("%s, template %d: %s: %v", protocol, id, text, err)
				}
				if n, _ := strconv.Atoi(length); n != sizes[known.Type] && !slices.Contains(shorter, text) {
					t.Errorf("%s, template %d: %s of %s in %d bytes", protocol, id, known.Name, known.Type, n)
				}
			}
		}
	}
}

// sflowOf decodes a datagram of sFlow by gopacket.
func sflowOf(t *testing.T, b []byte) layers.SFlowDatagram {
	t.Helper()
	var d layers.SFlowDatagram
	if err := d.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSamplesByGopacket: gopacket reads the samples that are sent, and the packets in them,
// and finds what was generated.
func TestSamplesByGopacket(t *testing.T) {
	for _, mix := range []Mix{Plain, Realistic} {
		e, err := New(Options{Protocol: "sflow", Mix: mix, Seed: 5, ID: 7})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		recs := e.Flows(200, now)
		for left := recs; len(left) > 0; {
			b, n := e.Data(nil, now, left)
			d := sflowOf(t, b)
			if len(d.FlowSamples) != n || d.SubAgentID != 7 || d.DatagramVersion != 5 || len(b) > 1400 ||
				!d.AgentAddress.Equal(net.IPv4(192, 0, 2, 247)) {
				t.Fatalf("%d samples of %d flows, %d bytes, agent %s/%d", len(d.FlowSamples), n, len(b), d.AgentAddress,
					d.SubAgentID)
			}
			for i, s := range d.FlowSamples {
				isSample(t, &s, &left[i])
			}
			left = left[n:]
		}
	}
}

// isSample compares a sample with the packet that it is of.
func isSample(t *testing.T, s *layers.SFlowFlowSample, r *flow.Record) {
	t.Helper()
	raw, ok := s.Records[0].(layers.SFlowRawPacketFlowRecord)
	if !ok || s.SamplingRate != 512 || s.InputInterface != r.Input || s.OutputInterface != r.Output {
		t.Fatalf("rate %d, from %d to %d: %T", s.SamplingRate, s.InputInterface, s.OutputInterface, s.Records[0])
	}
	p := raw.Header
	eth, _ := p.LinkLayer().(*layers.Ethernet)
	if raw.HeaderProtocol != layers.SFlowProtoEthernet || eth == nil || eth.SrcMAC.String() != "02:00:00:00:00:01" ||
		eth.DstMAC.String() != "02:00:00:00:00:02" || uint64(raw.FrameLength) != r.Bytes || r.Packets != 1 {
		t.Fatalf("a frame of %d bytes: %v, want %d", raw.FrameLength, eth, r.Bytes)
	}
	if raw.FrameLength < 60+18 || raw.FrameLength > 1500+18 {
		t.Fatalf("a frame of %d bytes", raw.FrameLength)
	}
	length := 0
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		length = int(ip.Length)
		if r.IPVersion != 4 || uint8(ip.Protocol) != r.Proto {
			t.Fatalf("IPv4, protocol %d of %+v", ip.Protocol, r)
		}
	case *layers.IPv6:
		length = 40 + int(ip.Length)
		if r.IPVersion != 6 || uint8(ip.NextHeader) != r.Proto {
			t.Fatalf("IPv6, protocol %d of %+v", ip.NextHeader, r)
		}
	}
	src, dst := p.NetworkLayer().NetworkFlow().Endpoints()
	if a, _ := netip.AddrFromSlice(src.Raw()); a != r.Src {
		t.Fatalf("from %s, want %s", a, r.Src)
	}
	if a, _ := netip.AddrFromSlice(dst.Raw()); a != r.Dst || length != int(r.Bytes)-18 {
		t.Fatalf("to %s, want %s; a packet of %d bytes in a frame of %d", a, r.Dst, length, r.Bytes)
	}
	switch tp := p.TransportLayer().(type) {
	case *layers.TCP:
		if uint16(tp.SrcPort) != r.SrcPort || uint16(tp.DstPort) != r.DstPort || !tp.ACK || !tp.PSH || tp.SYN || tp.FIN {
			t.Fatalf("TCP %+v of %+v", tp, r)
		}
	case *layers.UDP:
		if uint16(tp.SrcPort) != r.SrcPort || uint16(tp.DstPort) != r.DstPort {
			t.Fatalf("UDP %+v of %+v", tp, r)
		}
	default:
		if r.Proto != protoICMP && r.Proto != protoICMPv6 {
			t.Fatalf("no transport layer in a packet of protocol %d", r.Proto)
		}
	}
}

// TestCountersByGopacket: the counters of the interfaces are those of all packets that the
// samples stand for, as gopacket reads them (RFC 2233's ifTable).
func TestCountersByGopacket(t *testing.T) {
	e, err := New(Options{Protocol: "sflow", Seed: 6})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var in, out [8]sflowCounts
	for left := e.Flows(500, now); len(left) > 0; {
		_, n := e.Data(nil, now, left)
		for _, r := range left[:n] {
			in[r.Input].octets += r.Bytes * 512
			in[r.Input].packets += 512
			out[r.Output].octets += r.Bytes * 512
			out[r.Output].packets += 512
		}
		left = left[n:]
	}
	d := sflowOf(t, e.Templates(nil, now))
	if len(d.CounterSamples) != 7 {
		t.Fatalf("counters of %d interfaces", len(d.CounterSamples))
	}
	for i, s := range d.CounterSamples {
		c, ok := s.Records[0].(layers.SFlowGenericInterfaceCounters)
		n := uint32(i + 1)
		if !ok || uint32(s.SourceIDIndex) != n || c.IfIndex != n || c.IfType != 6 || c.IfSpeed != 10e9 ||
			c.IfDirection != 1 || c.IfStatus != 3 {
			t.Fatalf("interface %d: %+v", n, c)
		}
		if c.IfInOctets != in[n].octets || uint64(c.IfInUcastPkts) != in[n].packets || c.IfOutOctets != out[n].octets ||
			uint64(c.IfOutUcastPkts) != out[n].packets || in[n].octets == 0 && out[n].octets == 0 {
			t.Errorf("interface %d: %+v, want %+v and %+v", n, c, in[n], out[n])
		}
		if sum := c.IfInMulticastPkts + c.IfInBroadcastPkts + c.IfInDiscards + c.IfInErrors + c.IfOutErrors +
			c.IfOutDiscards; sum != 0 {
			t.Errorf("interface %d: %d of what there is none", n, sum)
		}
	}
}

// TestVersion5ByItsTable reads datagrams of version 5 at the offsets of Cisco's table.
func TestVersion5ByItsTable(t *testing.T) {
	e, err := New(Options{Protocol: "v5", Seed: 8, ID: 5})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1700000000, 123_456_789)
	be, sequence := binary.BigEndian, uint32(0)
	recs := e.Flows(75, now)
	if e.Templates(nil, now) != nil {
		t.Error("version 5 has templates")
	}
	for left := recs; len(left) > 0; {
		b, n := e.Data([]byte("dst"), now, left)
		b = b[3:]
		if n != min(30, len(left)) || len(b) != 24+48*n || be.Uint16(b) != 5 || int(be.Uint16(b[2:])) != n ||
			be.Uint32(b[8:]) != 1700000000 || be.Uint32(b[12:]) != 123_000_000 || be.Uint32(b[16:]) != sequence || b[21] != 5 {
			t.Fatalf("%d flows: header %x", n, b[:24])
		}
		boot := now.UnixMilli() - int64(be.Uint32(b[4:]))
		for i := range n {
			r, w := b[24+48*i:], left[i]
			got := fmt.Sprint(netip.AddrFrom4([4]byte(r)), netip.AddrFrom4([4]byte(r[4:])), be.Uint16(r[12:]),
				be.Uint16(r[14:]), be.Uint32(r[16:]), be.Uint32(r[20:]), boot+int64(be.Uint32(r[24:])),
				boot+int64(be.Uint32(r[28:])), be.Uint16(r[32:]), be.Uint16(r[34:]), r[37], r[38], r[39], be.Uint16(r[40:]),
				be.Uint16(r[42:]), r[44], r[45])
			want := fmt.Sprint(w.Src, w.Dst, w.Input, w.Output, w.Packets, w.Bytes, w.First.Milli(), w.Last.Milli(), w.SrcPort,
				w.DstPort, w.TCPFlags, w.Proto, w.SrcTOS, w.SrcAS, w.DstAS, w.SrcMask, w.DstMask)
			if got != want {
				t.Fatalf("record %d:\n got %s\nwant %s", i, got, want)
			}
		}
		sequence += uint32(n)
		left = left[n:]
	}
}
