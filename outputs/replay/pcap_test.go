package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/plugins/exporter"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// datagrams returns what exporters of several protocols send.
func datagrams(t testing.TB, n int) (list []flow.Datagram) {
	t.Helper()
	at := time.Unix(1772366430, 250e6).UTC()
	for i, protocol := range []string{"v5", "v9", "ipfix", "sflow"} {
		e, err := exporter.New(exporter.Options{Protocol: protocol, Seed: uint64(i)})
		if err != nil {
			t.Fatal(err)
		}
		from := netip.AddrPortFrom(addr(fmt.Sprintf("127.0.0.%d", 20+i)), uint16(40000+i))
		if b := e.Templates(nil, at); len(b) > 0 {
			list = append(list, flow.Datagram{Exporter: from, Received: at, Payload: b})
		}
		for range n {
			at = at.Add(time.Millisecond)
			b, _ := e.Data(nil, at, e.Flows(20, at))
			list = append(list, flow.Datagram{Exporter: from, Received: at, Payload: b})
		}
	}
	return list
}

// same says whether a capture gave datagrams as they were.
func same(t *testing.T, got, want []flow.Datagram) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d datagrams, expected %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Exporter != want[i].Exporter || !got[i].Received.Equal(want[i].Received) ||
			!bytes.Equal(got[i].Payload, want[i].Payload) {
			t.Fatalf("datagram %d: from %s at %s, %d bytes; expected %s, %s, %d", i, got[i].Exporter, got[i].Received,
				len(got[i].Payload), want[i].Exporter, want[i].Received, len(want[i].Payload))
		}
	}
}

// captured reads a capture.
func captured(t testing.TB, path string, port uint16) (list []flow.Datagram, got Captured) {
	t.Helper()
	if is, err := IsCapture(path); err != nil || !is {
		t.Fatalf("%s is no capture: %v", path, err)
	}
	got, err := ReadCapture(path, port, func(dg flow.Datagram) error {
		dg.Payload = bytes.Clone(dg.Payload)
		list = append(list, dg)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, got
}

// What the archive keeps as captures comes out byte for byte.
func TestCapturesOfTheArchive(t *testing.T) {
	for _, packed := range []bool{false, true} {
		dir := t.TempDir()
		p, err := archive.NewPcap(archive.PcapOptions{Dir: dir, Zstd: packed, Port: 2055})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Open(); err != nil {
			t.Fatal(err)
		}
		want := datagrams(t, 5)
		for _, dg := range want {
			p.Add(dg)
		}
		if err := p.Prepare(); err != nil {
			t.Fatal(err)
		}
		if err := p.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "pcap.*"))
		if len(files) != 1 {
			t.Fatalf("files %v", files)
		}
		got, count := captured(t, files[0], 2055)
		same(t, got, want)
		if count != (Captured{Datagrams: uint64(len(want))}) {
			t.Errorf("%+v", count)
		}
	}
}

// frames writes datagrams as a capture of Wireshark's, behind a VLAN tag, some in
// fragments, and among packets of something else.
func frames(t testing.TB, list []flow.Datagram) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	put := func(dg flow.Datagram, port uint16, parts int) {
		udp := &layers.UDP{SrcPort: layers.UDPPort(dg.Exporter.Port()), DstPort: layers.UDPPort(port)}
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, Id: uint16(out.Len()),
			SrcIP: dg.Exporter.Addr().AsSlice(), DstIP: net.IPv4(127, 0, 0, 1)}
		udp.SetNetworkLayerForChecksum(ip)
		b := gopacket.NewSerializeBuffer()
		o := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
		if err := gopacket.SerializeLayers(b, o, udp, gopacket.Payload(dg.Payload)); err != nil {
			t.Fatal(err)
		}
		body := slices.Clone(b.Bytes())
		step := (len(body)/parts + 7) &^ 7
		for at := 0; at < len(body); at += step {
			end := min(at+step, len(body))
			ip.FragOffset, ip.Flags = uint16(at/8), 0
			if end < len(body) {
				ip.Flags = layers.IPv4MoreFragments
			}
			eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1},
				DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeDot1Q}
			tag := &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeIPv4}
			if err := gopacket.SerializeLayers(b, o, eth, tag, ip, gopacket.Payload(body[at:end])); err != nil {
				t.Fatal(err)
			}
			data := b.Bytes()
			if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: dg.Received, CaptureLength: len(data),
				Length: len(data)}, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, dg := range list {
		put(dg, 2055, 1+i%3)
		dg.Payload = []byte("something else, and long")
		put(dg, 53, 1)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Of a capture of Wireshark's all datagrams of flows are taken, put together of their
// fragments, and nothing else.
func TestCapturesOfWireshark(t *testing.T) {
	want := datagrams(t, 4)
	path := filepath.Join(t.TempDir(), "capture.pcapng.gz")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(frames(t, want))
	z.Close()
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, count := captured(t, path, 0)
	same(t, got, want)
	if count != (Captured{Datagrams: uint64(len(want)), Others: uint64(len(want))}) {
		t.Errorf("%+v", count)
	}
	if _, count := captured(t, path, 53); count.Datagrams != 0 || count.Others != uint64(2*len(want)) {
		t.Errorf("of port 53: %+v", count)
	}
}

// A capture goes out byte for byte, each datagram from the address and the port that it
// came from.
func TestReplayDatagrams(t *testing.T) {
	want := datagrams(t, 10)
	conn := listen(t, "127.0.0.1:0")
	s, err := NewSender(Options{To: conn.LocalAddr().(*net.UDPAddr).AddrPort(), Pace: Pace{Rate: 5000}, Warn: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn.SetReadDeadline(time.Now().Add(60 * time.Second))
	buf := make([]byte, 65536)
	for i, dg := range want {
		if err := s.Datagram(context.Background(), dg); err != nil {
			t.Fatal(err)
		}
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatal(err)
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if from.Addr() != dg.Exporter.Addr() || !bytes.Equal(buf[:n], dg.Payload) {
			t.Fatalf("datagram %d: %d bytes from %s, expected %d from %s", i, n, from, len(dg.Payload), dg.Exporter)
		}
	}
	if totals := s.Totals(); totals.Datagrams != uint64(len(want)) || totals.Exporters != 4 {
		t.Errorf("%+v", totals)
	}
}

// What is no capture, or ends within a packet, is an error that says so.
func TestCapturesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	whole := frames(t, datagrams(t, 1))
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("no capture at all"),
		"cut": whole[:len(whole)-9]} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		is, err := IsCapture(path)
		if err != nil || is != (name == "cut") {
			t.Errorf("%s: IsCapture says %v, %v", name, is, err)
		}
		if _, err := ReadCapture(path, 0, func(flow.Datagram) error { return nil }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzCapture: whatever is in a file, reading it ends, and what comes out are datagrams
// of flows.
func FuzzCapture(f *testing.F) {
	whole := frames(f, datagrams(f, 1)[:3])
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x01\x00\x00\x00"))
	f.Add([]byte("\x28\xb5\x2f\xfd\x00"))
	path := filepath.Join(f.TempDir(), "capture")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		ReadCapture(path, 0, func(dg flow.Datagram) error {
			if !isFlows(dg.Payload) {
				t.Errorf("%d bytes that are no flows", len(dg.Payload))
			}
			return nil
		})
	})
}
