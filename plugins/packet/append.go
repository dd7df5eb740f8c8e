package packet

import (
	"encoding/binary"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// The sizes of headers in bytes.
const (
	ipv4Len = 20
	ipv6Len = 40
	tcpLen  = 20
	udpLen  = 8
)

// maxLength is the longest IP packet that Append writes the headers of: that of an
// Ethernet without jumbo frames.
const maxLength = 1500

// Append appends the headers of the packet that a flow's record stands for: Ethernet, an
// 802.1Q tag where SrcVLAN is set, IPv4 with its checksum or IPv6 without a flow label, and
// TCP, UDP or ICMP; what carries ports in its first four bytes (SCTP, DCCP) is written as
// UDP is. The packet is r.Bytes long, from its IP header on, but no shorter than its
// headers and no longer than 1,500 bytes. Checksums that cover the payload, which is not
// there, are 0. It is what generators and tests sample.
func Append(dst []byte, r *flow.Record) []byte {
	w := wire.NewWriter(dst)
	w.Bytes(r.OutDstMAC[:])
	w.Bytes(r.InSrcMAC[:])
	if r.SrcVLAN != 0 {
		w.Uint16(etherVLAN)
		w.Uint16(r.SrcVLAN & 0xfff)
	}
	top := udpLen
	if r.Proto == ipTCP {
		top = tcpLen
	}
	if r.Src.Is4() {
		length := clampLength(r.Bytes, ipv4Len+top)
		appendIPv4(&w, r, length)
		appendTop(&w, r, length-ipv4Len)
	} else {
		length := clampLength(r.Bytes, ipv6Len+top)
		appendIPv6(&w, r, length-ipv6Len)
		appendTop(&w, r, length-ipv6Len)
	}
	return w.Buf()
}

// clampLength returns the length of a packet of n bytes that has least bytes of headers.
func clampLength(n uint64, least int) uint16 {
	return uint16(min(max(n, uint64(least)), maxLength))
}

// appendIPv4 writes a header without options (RFC 791, section 3.1).
func appendIPv4(w *wire.Writer, r *flow.Record, length uint16) {
	w.Uint16(etherIPv4)
	at := w.Len()
	w.Uint8(0x45)
	w.Uint8(r.SrcTOS)
	w.Uint16(length)
	w.Zero(4)
	w.Uint8(max(r.MaxTTL, 1))
	w.Uint8(r.Proto)
	w.Uint16(0)
	w.Bytes(r.Src.AsSlice())
	w.Bytes(r.Dst.AsSlice())
	var sum uint32
	for b := w.Buf()[at:]; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	sum = sum>>16 + sum&0xffff
	w.PutUint16(at+10, ^uint16(sum>>16+sum))
}

// appendIPv6 writes a header without extensions (RFC 8200, section 3).
func appendIPv6(w *wire.Writer, r *flow.Record, payload uint16) {
	w.Uint16(etherIPv6)
	w.Uint32(6<<28 | uint32(r.SrcTOS)<<20)
	w.Uint16(payload)
	w.Uint8(r.Proto)
	w.Uint8(max(r.MaxTTL, 1))
	w.Bytes(r.Src.AsSlice())
	w.Bytes(r.Dst.AsSlice())
}

// appendTop writes the header above IP of a packet with payload bytes behind IP's.
func appendTop(w *wire.Writer, r *flow.Record, payload uint16) {
	switch r.Proto {
	case ipTCP:
		w.Uint16(r.SrcPort)
		w.Uint16(r.DstPort)
		w.Zero(8)
		w.Uint8(5 << 4)
		w.Uint8(uint8(r.TCPFlags))
		w.Zero(6)
	case ipICMP, ipICMPv6:
		w.Uint16(r.DstPort)
		w.Zero(6)
	default:
		w.Uint16(r.SrcPort)
		w.Uint16(r.DstPort)
		w.Uint16(payload)
		w.Uint16(0)
	}
}
