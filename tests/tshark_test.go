package tests

import (
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// udpPacket returns a datagram in a packet from port 40000 of host 127.0.1.from to port
// 2055.
func udpPacket(t testing.TB, from byte, payload []byte) []byte {
	t.Helper()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	eth := &layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IPv4(127, 0, 1, from),
		DstIP: net.IPv4(127, 0, 0, 1)}
	udp := &layers.UDP{SrcPort: 40000, DstPort: 2055}
	udp.SetNetworkLayerForChecksum(ip)
	return serialize(t, eth, ip, udp, gopacket.Payload(payload))
}
