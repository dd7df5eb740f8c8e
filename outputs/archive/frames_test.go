package archive

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/klauspost/compress/zstd"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// frameOf makes the frame of a datagram with gopacket.
func frameOf(t *testing.T, dg flow.Datagram, port uint16) []byte {
	t.Helper()
	src := dg.Exporter.Addr()
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}}
	udp := &layers.UDP{SrcPort: layers.UDPPort(dg.Exporter.Port()), DstPort: layers.UDPPort(port)}
	var ip gopacket.SerializableLayer
	if src.Is4() {
		eth.EthernetType = layers.EthernetTypeIPv4
		v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, Flags: layers.IPv4DontFragment,
			SrcIP: src.AsSlice(), DstIP: net.IPv4(127, 0, 0, 1)}
		must(t, udp.SetNetworkLayerForChecksum(v4))
		ip = v4
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		v6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: src.AsSlice(),
			DstIP: net.IPv6loopback}
		must(t, udp.SetNetworkLayerForChecksum(v6))
		ip = v6
	}
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip,
		udp, gopacket.Payload(dg.Payload)))
	length := 14 + 20 + 8 + len(dg.Payload)
	if !src.Is4() {
		length += 20
	}
	return buf.Bytes()[:length] // without Ethernet's padding
}

// TestFramesAreGopackets: the frame around a datagram is, to the byte, that which gopacket
// makes, checksums included, for every length and for addresses of both families.
func TestFramesAreGopackets(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 52))
	exporters := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:50000"),
		netip.MustParseAddrPort("255.255.255.255:65535"), netip.MustParseAddrPort("0.0.0.0:0"),
		netip.MustParseAddrPort("[2001:db8::1]:1"),
		netip.MustParseAddrPort("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")}
	for n := range 400 {
		size := n * 4 / 3 // odd ones and even ones
		if n >= 370 {
			size = rng.IntN(65507)
		}
		dg := flow.Datagram{Exporter: exporters[n%len(exporters)], Payload: make([]byte, size)}
		for i := range dg.Payload {
			dg.Payload[i] = byte(rng.Uint32())
		}
		port := uint16(rng.Uint32())
		if got, want := appendFrame([]byte("batch"), dg, port)[5:], frameOf(t, dg, port); !bytes.Equal(got, want) {
			t.Fatalf("%s, %d bytes to port %d:\n got %x\nwant %x", dg.Exporter, size, port, got[:min(len(got), 64)],
				want[:min(len(want), 64)])
		}
	}
}

// TestChecksumOfZero: a sum of 0 is written as all ones, as 0 says that there is none (RFC
// 768), which IPv6 does not allow (RFC 8200, section 8.1).
func TestChecksumOfZero(t *testing.T) {
	for _, exporter := range []string{"192.0.2.1:50000", "[2001:db8::1]:50000"} {
		dg := flow.Datagram{Exporter: netip.MustParseAddrPort(exporter), Payload: []byte{0, 0}}
		plain := appendFrame(nil, dg, 2055)
		at := len(plain) - 4
		sum := uint16(plain[at])<<8 | uint16(plain[at+1])
		dg.Payload = []byte{byte(sum >> 8), byte(sum)} // with which the sum is 0
		b := appendFrame(nil, dg, 2055)
		if b[at] != 0xff || b[at+1] != 0xff {
			t.Errorf("%s: the checksum is %x", exporter, b[at:at+2])
		}
	}
}

// packetsIn reads a pcap file with gopacket: the payload of each packet.
func packetsIn(t *testing.T, content []byte) (payloads []string) {
	t.Helper()
	if len(content) == 0 {
		return nil
	}
	r, err := pcapgo.NewReader(bytes.NewReader(content))
	must(t, err)
	for {
		data, info, err := r.ReadPacketData()
		if err == io.EOF {
			return payloads
		}
		must(t, err)
		if info.CaptureLength != len(data) || info.Length != len(data) || info.Timestamp.Unix() != 1700000000 {
			t.Fatalf("%+v of %d bytes", info, len(data))
		}
		p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
		payloads = append(payloads, string(p.TransportLayer().LayerPayload()))
	}
}

// TestPcapCutAtEveryByte: of a file that a kill or a power cut has cut at any byte, the whole
// packets, or the whole frames of zstd, are in the file that gets the name, and of a file of
// none nothing is left.
func TestPcapCutAtEveryByte(t *testing.T) {
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	must(t, err)
	defer unpack.Close()
	for _, packed := range []bool{false, true} {
		content, ends, payloads := batches(t, packed)
		dir := t.TempDir()
		suffix := map[bool]string{false: ".pcap", true: ".pcap.zst"}[packed]
		current := filepath.Join(dir, "pcap.current.1700000100"+suffix)
		for cut := range len(content) + 1 {
			must(t, os.WriteFile(current, content[:cut], 0o600))
			must(t, cutTorn(current))
			got, err := os.ReadFile(current)
			must(t, err)
			want := 0
			for want < len(ends) && ends[want] <= cut {
				want++
			}
			if packed {
				got, err = unpack.DecodeAll(got, nil)
				must(t, err)
			}
			if have := packetsIn(t, got); strings.Join(have, "|") != strings.Join(payloads[:want], "|") {
				t.Fatalf("zstd %v, cut at %d of %d: packets %q, want %q", packed, cut, len(content), have, payloads[:want])
			}
		}
	}
}

// batches writes a file of several batches, one packet each, and returns it, where the
// batches end, and what is in them.
func batches(t *testing.T, packed bool) (content []byte, ends []int, payloads []string) {
	t.Helper()
	dir := t.TempDir()
	p := openPcap(t, PcapOptions{Dir: dir, Zstd: packed, Port: 2055})
	for _, text := range []string{"first", "", strings.Repeat("long", 30), "last"} {
		exporter := "192.0.2.1:50000"
		if text == "last" {
			exporter = "[2001:db8::1]:50001"
		}
		writePcap(t, p, datagram(exporter, text))
		ends, payloads = append(ends, int(p.end)), append(payloads, text)
	}
	content, err := os.ReadFile(p.f.Name())
	must(t, err)
	if len(content) != ends[len(ends)-1] {
		t.Fatalf("%d bytes, %d are committed", len(content), ends[len(ends)-1])
	}
	return content, ends, payloads
}

// TestPcapLeavesOthersAlone: at its start it completes the files that it writes itself, by
// their whole name, and touches none that is called alike.
func TestPcapLeavesOthersAlone(t *testing.T) {
	content, _, _ := batches(t, false)
	torn := content[:len(content)-3]
	dir := t.TempDir()
	others := []string{"pcap.current.1700000100.pcap.bak", "pcap.current.1700000100", "pcap.current.1700000100x.pcap",
		"pcap.current.-1700000100.pcap", "pcap.current.01700000100.pcap", "pcap.current..pcap", "pcap.current.17e8.pcap",
		"pcap.current.1700000100.pcapng", "pcap.current.1700000100.zst", "xpcap.current.1700000100.pcap"}
	for _, name := range append(others, "pcap.current.1700000100.pcap") {
		must(t, os.WriteFile(filepath.Join(dir, name), torn, 0o600))
	}
	p := openPcap(t, PcapOptions{Dir: dir, Port: 2055})
	must(t, p.Close())
	for _, name := range others {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, torn) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(torn), err)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "pcap.202311142215.pcap"))
	if n := len(packetsIn(t, got)); err != nil || n != 3 {
		t.Errorf("%d packets of the file of its own, want 3: %v", n, err)
	}
}

// TestPcapOptionsRefused says which option is wrong, and what was expected.
func TestPcapOptionsRefused(t *testing.T) {
	for _, c := range []struct {
		opt  PcapOptions
		want string
	}{
		{PcapOptions{}, "no directory for pcap files is given"},
		{PcapOptions{Dir: "x", Interval: time.Millisecond}, "rotation interval 1ms: expected whole seconds, at least one"},
		{PcapOptions{Dir: "x", Interval: 1500 * time.Millisecond}, "rotation interval 1.5s: expected whole seconds"},
		{PcapOptions{Dir: "x", Interval: -time.Minute}, "rotation interval -1m0s"},
	} {
		if _, err := NewPcap(c.opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.opt, err, c.want)
		}
	}
	p, err := NewPcap(PcapOptions{Dir: filepath.Join(t.TempDir(), "x")})
	must(t, err)
	p.Add(datagram("192.0.2.1:1", "x"))
	if err := p.Prepare(); err != ErrClosed {
		t.Errorf("writing before it is open: %v", err)
	}
	must(t, p.Commit())
	must(t, p.Undo())
	must(t, p.Close())
}

// TestTakenNamesOfPcap: a file of a slot whose name is taken gets a number, the next one the
// number behind it, and nothing is overwritten.
func TestTakenNamesOfPcap(t *testing.T) {
	content, _, _ := batches(t, false)
	dir := t.TempDir()
	var told []string
	for i := range 4 {
		must(t, os.WriteFile(filepath.Join(dir, "pcap.current.1700000100.pcap"), content[:len(content)-i], 0o600))
		p := openPcap(t, PcapOptions{Dir: dir, Port: 2055, Ident: "edge1", Completed: func(c Complete) {
			told = append(told, fmt.Sprintf("%s %s %d %v", c.File, c.Ident, c.Slot.Unix(), c.Dir == dir))
		}})
		must(t, p.Close())
	}
	want := []string{"pcap.202311142215.pcap edge1 1700000100 true", "pcap.202311142215-1.pcap edge1 1700000100 true",
		"pcap.202311142215-2.pcap edge1 1700000100 true", "pcap.202311142215-3.pcap edge1 1700000100 true"}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("told of\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 4 {
		t.Errorf("%v, %v", entries, err)
	}
}
