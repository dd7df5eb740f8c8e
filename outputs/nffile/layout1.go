package nffile

import (
	"maps"
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Layout 1 is that of nfdump 1.6 (FORMAT.md, section 6). A flow is a common record
// and the extensions that its map lists. Maps are records of their own, valid for
// the flows behind them, across blocks: so blocks of layout 1 are unpacked one
// after the other, in ReadBlock.

// header1Size is the size of the header and the statistics of a file.
const header1Size = 276

// The flags of a header of layout 1.
const (
	flags1LZO = 0x01
	flags1BZ2 = 0x08
	flags1LZ4 = 0x10
)

// decodeHeader1 reads a header of layout 1.
func decodeHeader1(b []byte) (Header, *FormatError) {
	h := Header{Layout: layout1, NfdumpVersion: 0x01060000, Blocks: le.Uint32(b[8:])}
	switch flags := le.Uint32(b[4:]); flags & (flags1LZO | flags1BZ2 | flags1LZ4) {
	case 0:
	case flags1LZO:
		h.Compression = LZO
	case flags1BZ2:
		h.Compression = BZ2
	case flags1LZ4:
		h.Compression = LZ4
	default:
		return h, newFormatError("", 4, ErrCorrupt, "more than one compression in the flags")
	}
	return h, nil
}

// decodeStat1 reads ident and statistics of layout 1. The counters come in the
// order of layout 2; the times are seconds and milliseconds.
func decodeStat1(b []byte) (string, Stat) {
	var s Stat
	words := s.words()
	for i, v := range words[:15] {
		*v = le.Uint64(b[140+8*i:])
	}
	s.First = uint64(le.Uint32(b[260:]))*1000 + uint64(le.Uint16(b[268:]))
	s.Last = uint64(le.Uint32(b[264:]))*1000 + uint64(le.Uint16(b[270:]))
	s.SequenceFailures = uint64(le.Uint32(b[272:]))
	return cString(b[12:140]), s
}

// maps1 are the extension maps of a file by their number. It is not changed once
// a block has it.
type maps1 map[uint16][]uint16

// with returns the maps and one more, that of a map record. A record that ends
// early has the extensions that are there.
func (m maps1) with(rec []byte) maps1 {
	if len(rec) < 8 {
		return m
	}
	var ids []uint16
	for p := rec[8:]; len(p) >= 2 && le.Uint16(p) != 0; p = p[2:] {
		ids = append(ids, le.Uint16(p))
	}
	next := maps.Clone(m)
	if next == nil {
		next = maps1{}
	}
	next[le.Uint16(rec[4:])] = ids
	return next
}

// takeMaps1 unpacks a block of layout 1 and notes the maps in it for the blocks
// behind. The lock is held. What is wrong with the block is found again when it is
// decoded.
func (f *File) takeMaps1(b *Block) error {
	b.maps = f.maps
	if err := b.Unpack(); err != nil {
		return nil // Unpack returns the same error
	}
	scan := Block{file: f, off: b.off, compression: b.compression, raw: b.raw, data: b.data, Records: b.Records}
	for scan.next() {
		if scan.kind == recordMap {
			f.maps = f.maps.with(scan.rec)
		}
	}
	return nil
}

// sizes1 are the bytes of the extensions of layout 1, 0 for those that are unknown.
var sizes1 = [...]uint8{
	4: 4, 5: 8, 6: 4, 7: 8, 8: 4, 9: 4, 10: 16, 11: 4, 12: 16, 13: 4, 14: 4, 15: 8, 16: 4, 17: 8, 18: 4, 19: 8,
	20: 16, 21: 16, 22: 40, 23: 4, 24: 16, 25: 4, 26: 8, 27: 8,
	37: 20, 38: 4, 39: 8, 40: 32, 41: 24, 42: 24, 43: 72, 45: 24, 46: 12, 47: 8, 48: 8,
}

// elements1 are the elements of layout 2 whose fields an extension of layout 1 has.
var elements1 = [len(sizes1)]uint64{
	4: 1 << elMisc, 5: 1 << elMisc, 6: 1 << elAS, 7: 1 << elAS, 8: 1 << elMisc,
	9: 1 << elNext4, 10: 1 << elNext6, 11: 1 << elBGPNext4, 12: 1 << elBGPNext6, 13: 1 << elVLAN,
	14: 1 << elCount, 15: 1 << elCount, 16: 1 << elCount, 17: 1 << elCount, 18: 1 << elCount, 19: 1 << elCount,
	20: 1 << elMAC, 21: 1 << elMAC, 22: 1 << elMPLS, 23: 1 << elReceived4, 24: 1 << elReceived6, 25: 1 << elGeneric,
	26: 1 << elASAdjacent, 27: 1 << elGeneric, 37: 1 << elNSEL, 38: 1 << elXlatePort, 39: 1 << elXlate4,
	40: 1 << elXlate6, 41: 1 << elACL, 42: 1 << elUser, 43: 1 << elUser, 45: 1 << elLatency,
	46: 1<<elNAT | 1<<elVRF, 47: 1 << elXlate4, 48: 1 << elPortBlock,
}

// The flags of a common record.
const (
	common1IPv6    = 1
	common1Packets = 2 // 8 bytes
	common1Bytes   = 4
	common1Event   = 64
	common1Sampled = 128
)

// flags1 turns the flags of a common record into those of layout 2.
func flags1(v uint16) (flags uint8) {
	if v&common1Event != 0 {
		flags |= flagEvent
	}
	if v&common1Sampled != 0 {
		flags |= flagSampled
	}
	return flags
}

// common1Size is the size of what every flow of layout 1 begins with.
const common1Size = 32

// common reads a flow of layout 1. It returns the elements of layout 2 that it
// stands for, and what is wrong with it.
func (d *Decoder) common(rec []byte) (have uint64, reason string) {
	if len(rec) < common1Size+16 {
		return 0, "shorter than its fixed part"
	}
	ids, known := d.maps[le.Uint16(rec[6:])]
	if !known {
		return 0, "its extension map has not been seen"
	}
	r := &d.rec
	r.First = flow.Milli(uint64(le.Uint32(rec[12:]))*1000 + uint64(le.Uint16(rec[8:])))
	r.Last = flow.Milli(uint64(le.Uint32(rec[16:]))*1000 + uint64(le.Uint16(rec[10:])))
	r.Received = 0
	r.FwdStatus, r.TCPFlags, r.Proto, r.SrcTOS = rec[20], uint16(rec[21]), rec[22], rec[23]
	r.SrcPort, r.DstPort = le.Uint16(rec[24:]), le.Uint16(rec[26:])
	p, flags := rec[common1Size:], le.Uint16(rec[4:])
	have = 1 << elGeneric
	size := 8
	if flags&common1IPv6 != 0 {
		size = 32
	}
	need := size + 4 + 4 + int(flags&common1Packets)*2 + int(flags&common1Bytes)
	if len(p) < need {
		return 0, "ends within its counters"
	}
	if flags&common1IPv6 != 0 {
		r.Src, r.Dst, r.IPVersion = addr6(p), addr6(p[16:]), 6
		have |= 1 << elIPv6
	} else {
		r.Src, r.Dst, r.IPVersion = addr4(p), addr4(p[4:]), 4
		have |= 1 << elIPv4
	}
	p = p[size:]
	r.Packets, p = number(p, flags&common1Packets != 0)
	r.Bytes, p = number(p, flags&common1Bytes != 0)
	r.Flows, r.RevPackets, r.RevBytes = 0, 0, 0
	r.Direction, r.BiflowDir, r.EndReason = 0, rec[30], rec[31]
	r.EngineType, r.EngineID = 0, 0
	// Two extensions fill one element: what only the other one has is cleared.
	r.Input, r.Output, r.SrcMask, r.DstMask, r.DstTOS, r.FragFlags = 0, 0, 0, 0, 0, 0
	r.InSrcMAC, r.OutDstMAC, r.InDstMAC, r.OutSrcMAC = [6]byte{}, [6]byte{}, [6]byte{}, [6]byte{}
	for _, id := range ids {
		if int(id) >= len(sizes1) || sizes1[id] == 0 {
			return 0, "an extension of its map is unknown"
		}
		n := int(sizes1[id])
		if len(p) < n {
			return 0, "ends within an extension"
		}
		if e := elements1[id]; e&d.want != 0 {
			have |= e
			d.extension1(id, p[:n:n])
		}
		p = p[n:]
	}
	if have&(1<<elCount) != 0 {
		r.Flows = max(r.Flows, 1)
	}
	return have, ""
}

// number reads a counter of 4 or 8 bytes.
func number(p []byte, wide bool) (uint64, []byte) {
	if wide {
		return le.Uint64(p), p[8:]
	}
	return uint64(le.Uint32(p)), p[4:]
}

// extension1 reads one extension of layout 1. Those that are the same in layout 2
// are read as there.
func (d *Decoder) extension1(id uint16, p []byte) {
	r := &d.rec
	switch id {
	case 4:
		r.Input, r.Output = uint32(le.Uint16(p)), uint32(le.Uint16(p[2:]))
	case 5:
		r.Input, r.Output = le.Uint32(p), le.Uint32(p[4:])
	case 6:
		r.SrcAS, r.DstAS = uint32(le.Uint16(p)), uint32(le.Uint16(p[2:]))
	case 7:
		d.element(elAS, p)
	case 8:
		r.DstTOS, r.Direction, r.SrcMask, r.DstMask = p[0], p[1], p[2], p[3]
	case 9:
		d.element(elNext4, p)
	case 10:
		d.element(elNext6, p)
	case 11:
		d.element(elBGPNext4, p)
	case 12:
		d.element(elBGPNext6, p)
	case 13:
		r.SrcVLAN, r.DstVLAN = le.Uint16(p), le.Uint16(p[2:])
	case 14, 15:
		r.RevPackets, _ = number(p, id == 15)
	case 16, 17:
		r.RevBytes, _ = number(p, id == 17)
	case 18, 19:
		r.Flows, _ = number(p, id == 19)
	case 20:
		r.InSrcMAC, r.OutDstMAC = mac(p), mac(p[8:])
	case 21:
		r.InDstMAC, r.OutSrcMAC = mac(p), mac(p[8:])
	case 22:
		d.element(elMPLS, p)
	case 23:
		d.element(elReceived4, p)
	case 24:
		d.element(elReceived6, p)
	case 25:
		r.EngineType, r.EngineID = p[2], p[3]
	case 26:
		d.element(elASAdjacent, p)
	case 27:
		r.Received = flow.Milli(le.Uint64(p))
	default:
		d.event1(id, p)
	}
}

// event1 reads the extensions of firewalls and address translators.
func (d *Decoder) event1(id uint16, p []byte) {
	r := &d.rec
	switch id {
	case 37:
		r.EventTime, r.FlowID = flow.Milli(le.Uint64(p)), uint64(le.Uint32(p[8:]))
		r.FwEvent, r.FwXEvent = p[14], le.Uint16(p[16:])
	case 38:
		d.element(elXlatePort, p)
	case 39, 47:
		d.element(elXlate4, p)
	case 40:
		d.element(elXlate6, p)
	case 41:
		for i := range 3 { // numbers there, bytes as on the wire here
			be.PutUint32(r.IngressACL[4*i:], le.Uint32(p[4*i:]))
			be.PutUint32(r.EgressACL[4*i:], le.Uint32(p[12+4*i:]))
		}
	case 42, 43:
		d.element(elUser, p)
	case 45:
		d.element(elLatency, p)
	case 46:
		r.NATEvent, r.EventTime = p[0], r.First
		r.EgressVRF, r.IngressVRF = le.Uint32(p[4:]), le.Uint32(p[8:])
	case 48:
		d.element(elPortBlock, p)
	}
}

// oldSampler reads a sampler of nfdump 1.6, which came in one of so many packets.
func oldSampler(rec []byte) (s Sampler, sysid uint16) {
	return Sampler{
		ID: int64(int32(le.Uint32(rec[4:]))), Interval: 1, Space: max(le.Uint32(rec[8:]), 1) - 1,
		Algorithm: le.Uint16(rec[12:]),
	}, le.Uint16(rec[14:])
}

// addrOf reads an address of 16 bytes in network order; IPv4 is mapped.
func addrOf(p []byte) netip.Addr { return netip.AddrFrom16([16]byte(p[:16])).Unmap() }
