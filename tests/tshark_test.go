package tests

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// What flowgraf generate sends is what tshark, an implementation that is not
// ours, reads: every flow, without a complaint.
func TestTsharkReadsGeneratedDatagrams(t *testing.T) {
	tshark := peer(t, "tshark")
	for _, protocol := range []string{"v5", "v9", "ipfix", "vmware"} {
		t.Run(protocol, func(t *testing.T) {
			datagrams := recorded(t, protocol)
			file := filepath.Join(t.TempDir(), "flows.pcap")
			writeDatagrams(t, file, datagrams)
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

// writeDatagrams writes datagrams into a pcap file, from port 40000 to 2055.
func writeDatagrams(t *testing.T, file string, datagrams [][]byte) {
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
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	loopback := net.IPv4(127, 0, 0, 1)
	for _, d := range datagrams {
		eth := &layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: layers.EthernetTypeIPv4}
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: loopback, DstIP: loopback}
		udp := &layers.UDP{SrcPort: 40000, DstPort: 2055}
		udp.SetNetworkLayerForChecksum(ip)
		buf := gopacket.NewSerializeBuffer()
		opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
		if err := gopacket.SerializeLayers(buf, opts, eth, ip, udp, gopacket.Payload(d)); err != nil {
			t.Fatal(err)
		}
		info := gopacket.CaptureInfo{Timestamp: time.Now(), CaptureLength: len(buf.Bytes()), Length: len(buf.Bytes())}
		if err := w.WritePacket(info, buf.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
}
