package tests

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// conversation is traffic in one direction, as the pcap has it and as the
// exporter must report it.
type conversation struct {
	src, dst         string
	sport, dport     uint16
	proto            string
	packets, payload int
	first            time.Time
	gap              time.Duration // between two packets
}

// bytes is the sum of the IP lengths, which is what exporters count.
func (c conversation) bytes() int {
	header := map[string]int{"tcp": 20, "udp": 8, "icmp": 8}[c.proto]
	ip := 20
	if strings.Contains(c.src, ":") {
		ip = 40
	}
	return c.packets * (ip + header + c.payload)
}

func (c conversation) last() time.Time { return c.first.Add(time.Duration(c.packets-1) * c.gap) }

// capture is when the packets were captured. It is recent: softflowd exports
// now, with times that count in 32 bits of milliseconds from the first packet.
var capture = time.Now().Add(-time.Hour).UTC().Truncate(time.Second)

var conversations = []conversation{
	{"10.1.1.1", "198.51.100.7", 40001, 443, "tcp", 12, 700, capture, 100 * time.Millisecond},
	{"10.1.1.2", "198.51.100.53", 40002, 53, "udp", 3, 61, capture.Add(200 * time.Millisecond), 50 * time.Millisecond},
	{"10.1.1.3", "203.0.113.9", 0, 0, "icmp", 4, 56, capture.Add(300 * time.Millisecond), 200 * time.Millisecond},
	{"10.1.1.4", "203.0.113.80", 40004, 8080, "tcp", 200, 1400, capture, 10 * time.Millisecond},
	{"2001:db8::1", "2001:db8:80::2", 40006, 443, "tcp", 7, 333, capture.Add(time.Second), 20 * time.Millisecond},
}

// timedPacket is a packet of a capture.
type timedPacket struct {
	at   time.Time
	data []byte
}

// writePcap writes a capture file of Ethernet packets.
func writePcap(t testing.TB, file string, packets []timedPacket) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		info := gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: len(p.data), Length: len(p.data)}
		if err := w.WritePacket(info, p.data); err != nil {
			t.Fatal(err)
		}
	}
}

// serialize returns the bytes of a packet, with its lengths and checksums.
func serialize(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, parts...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// captured returns the packets of the conversations in the order of time.
func captured(t *testing.T) (packets []timedPacket) {
	t.Helper()
	end := capture.Add(4 * time.Second)
	for at := capture; at.Before(end); at = at.Add(10 * time.Millisecond) {
		for _, c := range conversations {
			if !at.Before(c.first) && !at.After(c.last()) && at.Sub(c.first)%c.gap == 0 {
				packets = append(packets, timedPacket{at, packet(t, c)})
			}
		}
	}
	return packets
}

// packet returns one packet of a conversation.
func packet(t testing.TB, c conversation) []byte {
	t.Helper()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	eth := &layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: layers.EthernetTypeIPv4}
	proto := map[string]layers.IPProtocol{"tcp": layers.IPProtocolTCP, "udp": layers.IPProtocolUDP,
		"icmp": layers.IPProtocolICMPv4}[c.proto]
	var ip gopacket.SerializableLayer
	var checksum gopacket.NetworkLayer
	if src := net.ParseIP(c.src); src.To4() == nil {
		eth.EthernetType = layers.EthernetTypeIPv6
		v6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: src, DstIP: net.ParseIP(c.dst)}
		ip, checksum = v6, v6
	} else {
		v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: src, DstIP: net.ParseIP(c.dst)}
		ip, checksum = v4, v4
	}
	var transport gopacket.SerializableLayer
	switch c.proto {
	case "tcp":
		l := &layers.TCP{SrcPort: layers.TCPPort(c.sport), DstPort: layers.TCPPort(c.dport), ACK: true, PSH: true,
			Window: 1000}
		l.SetNetworkLayerForChecksum(checksum)
		transport = l
	case "udp":
		l := &layers.UDP{SrcPort: layers.UDPPort(c.sport), DstPort: layers.UDPPort(c.dport)}
		l.SetNetworkLayerForChecksum(checksum)
		transport = l
	default:
		transport = &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}
	}
	payload := make([]byte, c.payload)
	binary.BigEndian.PutUint32(payload, 0xf10f67af)
	return serialize(t, eth, ip, transport, gopacket.Payload(payload))
}

// A real exporter replays a capture in four protocols; addresses, ports,
// counters and times are right in the metrics and in the files.
func TestSoftflowdInEveryProtocol(t *testing.T) {
	nfdump := peer(t, "nfdump")
	pcap := filepath.Join(t.TempDir(), "capture.pcap")
	writePcap(t, pcap, captured(t))
	for _, c := range []struct{ version, tag string }{{"1", "NetFlowV1"}, {"5", "NetFlowV5"}, {"9", "NetFlowV9"},
		{"10", "IPFIX"}} {
		t.Run("v"+c.version, func(t *testing.T) {
			a := startAgent(t, t.TempDir(), agentConfig, nil)
			want := conversations
			if c.version == "1" || c.version == "5" { // have no IPv6
				want = conversations[:4]
			}
			softflowd(t, pcap, c.version, a.flows)
			metrics := filepath.Join(a.dir, "metrics")
			waitFor(t, 10*time.Second, "the flows",
				func() bool { return len(points(t, metrics, "netflow")) >= len(want) })
			a.stop(t)
			checkMetrics(t, points(t, metrics, "netflow"), want, c.tag)
			checkFiles(t, nfdump, filepath.Join(a.dir, "archive"), want)
		})
	}
}

func checkMetrics(t *testing.T, flows []point, want []conversation, version string) {
	t.Helper()
	if len(flows) != len(want) {
		t.Errorf("%d flows became metrics, want %d", len(flows), len(want))
	}
	found := map[string]point{}
	for _, p := range flows {
		found[p.str("src")] = p
	}
	for _, c := range want {
		p, ok := found[c.src]
		if !ok {
			t.Errorf("the flow from %s is missing", c.src)
			continue
		}
		if p.tags["version"] != version || p.tags["source"] != "127.0.0.1" {
			t.Errorf("%s: tags are %v", c.src, p.tags)
		}
		name := map[string]string{"icmp": "icmp", "tcp": "tcp", "udp": "udp"}[c.proto]
		if p.str("dst") != c.dst || p.str("protocol") != name || p.uint("src_port") != uint64(c.sport) ||
			c.proto != "icmp" && p.uint("dst_port") != uint64(c.dport) {
			t.Errorf("%s: wrong key: %v", c.src, p.fields)
		}
		if p.uint("in_bytes") != uint64(c.bytes()) || p.uint("in_packets") != uint64(c.packets) {
			t.Errorf("%s: %d bytes in %d packets, want %d in %d", c.src, p.uint("in_bytes"), p.uint("in_packets"),
				c.bytes(), c.packets)
		}
		if !near(p.uint("flow_start"), c.first) || !near(p.uint("flow_end"), c.last()) {
			t.Errorf("%s: from %d to %d, want %d to %d ms", c.src, p.uint("flow_start"), p.uint("flow_end"),
				c.first.UnixMilli(), c.last().UnixMilli())
		}
	}
}

// near allows what the protocols round.
func near(ms uint64, at time.Time) bool {
	d := int64(ms) - at.UnixMilli()
	return d >= -1100 && d <= 1100
}

func checkFiles(t *testing.T, nfdump, archive string, want []conversation) {
	t.Helper()
	out := outputOf(t, nfdump, "-q", "-6", "-R", archive, "-o", "fmt:%sa %da %sp %dp %pr %pkt %byt %ts %te")
	lines := map[string][]string{}
	for _, line := range strings.Split(out, "\n") {
		if words := strings.Fields(line); len(words) == 11 {
			lines[words[0]] = words
		}
	}
	if len(lines) != len(want) {
		t.Errorf("nfdump lists %d flows, want %d:\n%s", len(lines), len(want), out)
	}
	for _, c := range want {
		words := lines[c.src]
		if words == nil {
			t.Errorf("nfdump does not list the flow from %s:\n%s", c.src, out)
			continue
		}
		dport := fmt.Sprint(c.dport)
		if c.proto == "icmp" {
			dport = "8.0" // type and code
		}
		got := strings.Join(words[1:7], " ")
		if expect := fmt.Sprintf("%s %d %s %s %d %d", c.dst, c.sport, dport, strings.ToUpper(c.proto), c.packets,
			c.bytes()); got != expect {
			t.Errorf("%s: nfdump lists %q, want %q", c.src, got, expect)
		}
		for i, at := range []time.Time{c.first, c.last()} {
			parsed, err := time.Parse("2006-01-02 15:04:05.000", words[7+2*i]+" "+words[8+2*i])
			if err != nil || !near(uint64(parsed.UnixMilli()), at) {
				t.Errorf("%s: nfdump lists the time %v, want %v", c.src, words[7:], at)
			}
		}
	}
}
