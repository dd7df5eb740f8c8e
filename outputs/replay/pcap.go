package replay

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/ip4defrag"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/klauspost/compress/zstd"

	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Captured are the packets of a capture.
type Captured struct {
	Datagrams uint64 // of flows, sFlow among them
	Others    uint64 // packets that hold none
	Fragments uint64 // of datagrams of which the others are missing, or of IPv6
	Cut       uint64 // that were captured in part
}

// The files that IsCapture knows by their first bytes.
const (
	magicPcapMicro = 0xA1B2C3D4
	magicPcapNano  = 0xA1B23C4D
	magicPcapNg    = 0x0A0D0D0A
	magicZstd      = 0xFD2FB528 // little-endian
	magicGzip      = 0x8B1F     // likewise, of two bytes
)

// maxFragments bounds the datagrams whose fragments are waited for; their packets are at
// most 64 KB each.
const maxFragments = 256

// IsCapture says whether a file is a capture of packets: pcap or pcapng, as they are or
// packed with gzip or zstd.
func IsCapture(path string) (bool, error) {
	f, _, err := disk.OpenRegular(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	r, err := unpacked(f)
	if err != nil {
		return false, err
	}
	head, _ := r.Peek(4)
	return isCapture(head), nil
}

// isCapture says whether a capture begins with these bytes.
func isCapture(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	for _, v := range [...]uint32{binary.BigEndian.Uint32(head), binary.LittleEndian.Uint32(head)} {
		if v == magicPcapMicro || v == magicPcapNano || v == magicPcapNg {
			return true
		}
	}
	return false
}

// unpacked returns what is in a file that may be packed.
func unpacked(f io.Reader) (*bufio.Reader, error) {
	r := bufio.NewReaderSize(f, 1<<16)
	head, _ := r.Peek(4)
	switch {
	case len(head) == 4 && binary.LittleEndian.Uint32(head) == magicZstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, err
		}
		return bufio.NewReaderSize(d, 1<<16), nil
	case len(head) >= 2 && binary.LittleEndian.Uint16(head) == magicGzip:
		d, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return bufio.NewReaderSize(d, 1<<16), nil
	}
	return r, nil
}

// packets reads packets.
type packets interface {
	ReadPacketData() (data []byte, info gopacket.CaptureInfo, err error)
	LinkType() layers.LinkType
}

// ReadCapture calls fn with the datagrams of flows in a capture: UDP over IPv4, put
// together where it came in fragments, or IPv6, to any port, or just one where port is
// not 0. A datagram is valid until fn returns. A capture that ends within a packet is an
// error, behind what could be read.
func ReadCapture(path string, port uint16, fn func(flow.Datagram) error) (Captured, error) {
	f, _, err := disk.OpenRegular(path)
	if err != nil {
		return Captured{}, err
	}
	defer f.Close()
	c := capture{port: port, fn: fn, defragmenter: ip4defrag.NewIPv4Defragmenter()}
	p, err := openPackets(f)
	if err != nil {
		return c.got, fmt.Errorf("%s: %w", path, err)
	}
	for {
		data, info, err := p.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c.got, fmt.Errorf("%s: behind %d datagrams: %w", path, c.got.Datagrams, err)
		}
		if err := c.packet(p.LinkType(), data, info); err != nil {
			return c.got, err
		}
	}
	c.got.Fragments += uint64(c.waiting)
	return c.got, nil
}

// openPackets returns the packets of a capture of any kind.
func openPackets(f *os.File) (packets, error) {
	r, err := unpacked(f)
	if err != nil {
		return nil, err
	}
	head, _ := r.Peek(4)
	if !isCapture(head) {
		return nil, errors.New("expected a capture of packets: pcap or pcapng")
	}
	if binary.BigEndian.Uint32(head) == magicPcapNg {
		return pcapgo.NewNgReader(r, pcapgo.DefaultNgReaderOptions)
	}
	return pcapgo.NewReader(r)
}

// capture is the reading of one.
type capture struct {
	port         uint16
	fn           func(flow.Datagram) error
	defragmenter *ip4defrag.IPv4Defragmenter
	waiting      int // fragments
	got          Captured
}

// packet takes one packet.
func (c *capture) packet(link layers.LinkType, data []byte, info gopacket.CaptureInfo) error {
	p := gopacket.NewPacket(data, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	var from netip.Addr
	var payload []byte
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		whole, err := c.whole(ip, info.Timestamp)
		if err != nil || whole == nil {
			return nil
		}
		from, _ = netip.AddrFromSlice(whole.SrcIP)
		if whole.Protocol == layers.IPProtocolUDP {
			payload = whole.Payload
		}
	case *layers.IPv6:
		from, _ = netip.AddrFromSlice(ip.SrcIP)
		if p.Layer(layers.LayerTypeIPv6Fragment) != nil {
			c.got.Fragments++
			return nil
		}
		if udp, ok := p.TransportLayer().(*layers.UDP); ok {
			payload = append(udp.Contents, udp.Payload...)
		}
	}
	if info.CaptureLength < info.Length && len(payload) >= udpHead && isFlows(payload[udpHead:]) {
		c.got.Cut++
		return nil
	}
	return c.datagram(from, payload, info.Timestamp)
}

// whole returns a packet that is no fragment, or of which this was the last one, nil
// while others are missing.
func (c *capture) whole(ip *layers.IPv4, at time.Time) (*layers.IPv4, error) {
	whole, err := c.defragmenter.DefragIPv4WithTimestamp(ip, at)
	switch {
	case err != nil:
		c.got.Fragments++
	case whole == nil:
		if c.waiting++; c.waiting%maxFragments == 0 {
			c.got.Fragments += uint64(c.defragmenter.DiscardOlderThan(at.Add(-30 * time.Second)))
		}
	case whole != ip:
		c.waiting = 0
	}
	return whole, err
}

// udpHead is the size of UDP's header in bytes.
const udpHead = 8

// datagram hands out a datagram that holds flows.
func (c *capture) datagram(from netip.Addr, udp []byte, at time.Time) error {
	be := binary.BigEndian
	if len(udp) < udpHead || c.port != 0 && be.Uint16(udp[2:]) != c.port {
		c.got.Others++
		return nil
	}
	payload := udp[udpHead:]
	if n := int(be.Uint16(udp[4:])) - udpHead; n >= 0 && n < len(payload) {
		payload = payload[:n] // behind it is what fills an Ethernet frame
	}
	if !isFlows(payload) {
		c.got.Others++
		return nil
	}
	c.got.Datagrams++
	return c.fn(flow.Datagram{Exporter: netip.AddrPortFrom(from.Unmap(), be.Uint16(udp)), Received: at,
		Payload: payload})
}

// isFlows says whether a datagram begins as those of NetFlow, IPFIX and sFlow do.
func isFlows(b []byte) bool {
	if len(b) < 16 {
		return false
	}
	switch binary.BigEndian.Uint16(b) {
	case 1, 5, 7, 9, 10:
		return true
	case 0: // sFlow's is a number of 32 bits
		v := binary.BigEndian.Uint16(b[2:])
		return v == 2 || v == 4 || v == 5
	}
	return false
}
