package tests

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// What flowgraf generate sends is what tshark, an implementation that is not
// ours, reads: every flow, without a complaint.
func TestTsharkReadsGeneratedDatagrams(t *testing.T) {
	tshark := peer(t, "tshark")
	for _, protocol := range []string{"v5", "v9", "ipfix", "vmware"} {
		t.Run(protocol, func(t *testing.T) {
			var packets []timedPacket
			for _, d := range recorded(t, protocol) {
				packets = append(packets, timedPacket{time.Now(), udpPacket(t, d)})
			}
			file := filepath.Join(t.TempDir(), "flows.pcap")
			writePcap(t, file, packets)
			out := run(t, tshark, "-n", "-r", file, "-d", "udp.port==2055,cflow", "-T", "fields", "-E", "occurrence=a",
				"-e", "cflow.srcport", "-e", "_ws.malformed", "-e", "_ws.expert.message")
			flows := 0
			for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
				columns := strings.Split(line, "\t")
				for _, port := range strings.Split(columns[0], ",") {
					if _, err := strconv.Atoi(port); err == nil {
						flows++
					}
				}
				for _, complaint := range columns[1:] {
					if complaint != "" {
						t.Errorf("tshark says: %s", complaint)
					}
				}
			}
			if flows != 20 {
				t.Errorf("tshark finds %d flows, 20 were generated:\n%s", flows, out)
			}
		})
	}
}

// udpPacket returns a datagram in a packet from port 40000 to port 2055.
func udpPacket(t *testing.T, payload []byte) []byte {
	t.Helper()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	loopback := net.IPv4(127, 0, 0, 1)
	eth := &layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: loopback, DstIP: loopback}
	udp := &layers.UDP{SrcPort: 40000, DstPort: 2055}
	udp.SetNetworkLayerForChecksum(ip)
	return serialize(t, eth, ip, udp, gopacket.Payload(payload))
}
