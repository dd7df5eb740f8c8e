package nffile

import (
	"math/bits"
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Layout 3 is that of nfdump 1.8 (FORMAT.md, section 7). Blocks have a type and a
// compression each; a directory behind them lists them. A flow has a bit set of
// its elements, whose numbers are other ones than in layout 2, and a table of
// their offsets.

const (
	header3Size     = 48
	block3HeadSize  = 24
	flow3HeadSize   = 24
	flows3HeadSize  = 32 // before the flows of a block, when it is unpacked
	exporter3Size   = 56
	directory3Magic = 0xB10CB10C

	block3Flow     = 1
	block3Stat     = 3
	block3Ident    = 4
	block3Exporter = 7

	flag3Encrypted = 1
)

// exporter3 is an exporter of a file of layout 3, with what it has counted.
type exporter3 struct {
	id       Exporter
	sysid    uint32
	stat     ExporterStat
	samplers []Sampler
}

// compression3 turns the number of a compression into that of layout 2.
func compression3(v uint16) (Compression, bool) {
	if v > 5 {
		return 0, false
	}
	return [...]Compression{None, None, LZO, BZ2, LZ4, ZSTD}[v], true
}

// decodeHeader3 reads a header of layout 3.
func decodeHeader3(b []byte) (Header, *FormatError) {
	h := Header{
		Layout:         layout3,
		NfdumpVersion:  le.Uint32(b[4:]),
		Created:        int64(le.Uint64(b[8:])),
		Creator:        uint32(le.Uint16(b[16:])),
		AppendixOffset: int64(le.Uint64(b[32:])),
	}
	if le.Uint32(b[20:])&flag3Encrypted != 0 {
		return h, newFormatError("", 20, ErrUnsupported, "encrypted: decrypt it with nfdump 1.8")
	}
	c, ok := compression3(le.Uint16(b[18:]))
	if !ok {
		return h, newFormatError("", 18, ErrUnsupported, "compression %d is unknown", le.Uint16(b[18:]))
	}
	h.Compression = c
	return h, nil
}

// readDirectory3 finds the blocks with ident, statistics and exporters. A file
// without a directory is being written, or was torn: it is read to its end.
func (f *File) readDirectory3() error {
	off := f.head.AppendixOffset
	if off == 0 {
		f.open = true
		return nil
	}
	var head [8]byte
	if off < header3Size || off > f.size-8 {
		return f.errorf(32, ErrCorrupt,
			"the directory should be at offset %d, the file has %d bytes: it was cut, salvage it", off, f.size)
	}
	if _, err := f.f.ReadAt(head[:], off); err != nil {
		return f.shortRead(err, off, len(head))
	}
	n := int64(le.Uint32(head[4:]))
	if le.Uint32(head[:]) != directory3Magic || n > (f.size-off-8)/16 {
		return f.errorf(off, ErrCorrupt, "no directory of blocks, expected magic %#x and %d entries in %d bytes",
			uint32(directory3Magic), n, f.size-off)
	}
	entries := make([]byte, 16*n)
	if _, err := f.f.ReadAt(entries, off+8); err != nil {
		return f.shortRead(err, off+8, len(entries))
	}
	f.head.Appendix, f.head.Blocks, f.end = 1, 0, off
	for p := entries; len(p) > 0; p = p[16:] {
		kind, at := le.Uint32(p), int64(le.Uint64(p[8:]))
		if kind == block3Flow {
			f.head.Blocks++
		}
		if kind != block3Stat && kind != block3Ident && kind != block3Exporter {
			continue
		}
		if err := f.note(f.readBlock3(at)); err != nil { // it costs itself only
			return err
		}
	}
	if !f.haveStat {
		return f.errorf(off, ErrCorrupt, "no statistics in the directory of blocks")
	}
	return nil
}

// readBlock3 reads a block that has no flows, where the directory says that it is.
func (f *File) readBlock3(at int64) error {
	if at < header3Size || at >= f.end {
		return f.errorf(f.end, ErrCorrupt, "the directory has a block at offset %d", at)
	}
	var b Block
	if err := f.readBlockAt(&b, at, f.end); err != nil {
		return err
	}
	return f.takeBlock3(&b)
}

// takeBlock3 reads a block that has no flows.
func (f *File) takeBlock3(b *Block) error {
	data, err := b.decompress()
	if err != nil {
		return err
	}
	switch uint32(b.kindOfBlock) {
	case block3Ident:
		f.ident = cString(data)
	case block3Stat:
		if len(data) < statSize-4 {
			return f.errorf(b.off, ErrCorrupt, "statistics of %d bytes, expected %d", len(data), statSize-4)
		} else {
			f.haveStat = true
			var rec [statSize]byte
			copy(rec[4:], data)
			f.stat.decode(rec[:])
		}
	case block3Exporter:
		for p := data[min(8, len(data)):]; len(p) >= exporter3Size; {
			size := int(le.Uint16(p[2:]))
			if size < exporter3Size || size > len(p) || len(f.exporters) > 1<<16 {
				return f.errorf(b.off, ErrCorrupt, "exporter record of %d bytes, the block has %d more", size, len(p))
			}
			if le.Uint16(p) == recordExporter3 {
				f.exporters = append(f.exporters, decodeExporter3(p[:size]))
			}
			p = p[size:]
		}
	}
	return nil
}

// decodeExporter3 reads an exporter of layout 3.
func decodeExporter3(p []byte) exporter3 {
	e := exporter3{
		id:    Exporter{Addr: addrOf(p[4:]), Version: versionOf(le.Uint32(p[20:])), Domain: le.Uint32(p[24:])},
		sysid: le.Uint32(p[28:]),
		stat: ExporterStat{Datagrams: le.Uint64(p[32:]), Flows: le.Uint64(p[40:]),
			Failures: uint64(le.Uint32(p[48:]))},
	}
	n := int(le.Uint16(p[54:]))
	for q := p[exporter3Size:]; n > 0 && len(q) >= 24; q, n = q[24:], n-1 {
		e.samplers = append(e.samplers, Sampler{
			ID: int64(le.Uint64(q)), Interval: le.Uint32(q[8:]), Space: le.Uint32(q[12:]),
			Algorithm: uint16(le.Uint32(q[16:])),
		})
	}
	return e
}

// decodeHead3 reads the header of a block of layout 3.
func (b *Block) decodeHead3(h []byte) error {
	b.Records = 1 // the flows say how many, when it is unpacked
	b.kindOfBlock = uint16(le.Uint32(h))
	size, raw := le.Uint32(h[4:]), le.Uint32(h[8:])
	if size < block3HeadSize || raw < block3HeadSize || raw > MaxBlock {
		return b.file.errorf(b.off, ErrCorrupt, "block of %d bytes, %d unpacked, expected %d to %d", size, raw,
			block3HeadSize, MaxBlock)
	}
	if h[14] != 0 || h[15] != 0 {
		return b.file.errorf(b.off, ErrUnsupported, "encrypted: decrypt it with nfdump 1.8")
	}
	b.onDisk, b.rawSize, b.checksum = int64(size)-block3HeadSize, int(raw)-block3HeadSize, le.Uint64(h[16:])
	v := le.Uint16(h[12:])
	c, ok := compression3(v)
	if !ok {
		return b.file.errorf(b.off, ErrUnsupported, "compression %d is unknown", v)
	}
	if v != 0 {
		b.compression = c
	}
	return nil
}

// unpack3 unpacks a block of layout 3.
func (b *Block) unpack3() error {
	b.data = nil
	if b.kindOfBlock != block3Flow {
		return nil
	}
	data, err := b.decompress()
	if err != nil {
		return err
	}
	if len(data) != b.rawSize || len(data) < flows3HeadSize {
		return b.file.errorf(b.off, ErrCorrupt, "unpacks to %d bytes, expected %d", len(data), b.rawSize)
	}
	b.Records = le.Uint32(data)
	b.data = data[flows3HeadSize:]
	b.rewind()
	return nil
}

// versionOf returns the protocol version of an exporter record.
func versionOf(v uint32) flow.Version {
	if v == sflowVersion {
		return flow.SFlow
	}
	return flow.Version(v)
}

// elements3 are the numbers of layout 3: the element of layout 2 that has the same
// payload, 0 where there is none, and the least size of the payload.
var elements3 = [...]struct {
	same  uint16
	size  uint8
	fills uint64 // elements of layout 2 whose fields it has, where it is not the same
}{
	1: {elGeneric, 48, 0}, 2: {elIPv4, 8, 0}, 3: {elIPv6, 32, 0},
	el3Interface: {0, 8, 1 << elMisc}, el3Misc: {0, 8, 1 << elMisc},
	6: {elCount, 24, 0}, 7: {elVLAN, 8, 0}, 8: {elAS, 8, 0},
	el3Routing4: {0, 8, 1<<elNext4 | 1<<elBGPNext4}, el3Routing6: {0, 32, 1<<elNext6 | 1<<elBGPNext6},
	11: {elReceived4, 4, 0}, 12: {elReceived6, 16, 0}, 13: {elMPLS, 40, 0},
	el3MACIn: {0, 16, 1 << elMAC}, el3MACOut: {0, 16, 1 << elMAC},
	16: {elASAdjacent, 8, 0}, 17: {elLatency, 24, 0}, 18: {elXlate4, 8, 0}, 19: {elXlate6, 32, 0},
	20:       {elXlatePort, 4, 0},
	el3Event: {0, 24, 1<<elNSEL | 1<<elNAT},
	22:       {elACL, 24, 0}, 23: {elUser, 1, 0}, 24: {elPortBlock, 8, 0},
	el3NBAR: {0, 4, 1 << elNBAR}, el3InPayload: {0, 4, 1 << elInPayload}, el3OutPayload: {0, 4, 1 << elOutPayload},
	28: {elTunnel4, 12, 0}, 29: {elTunnel6, 36, 0}, el3Observation: {0, 16, 1 << elObservation},
	31: {elInmonMeta, 4, 0}, el3InmonFrame: {0, 4, 1 << elInmonFrame}, 33: {elVRF, 8, 0}, 34: {elPF, 20, 0},
	35: {elLayer2, 27, 0}, 36: {elFlowID, 8, 0}, 37: {elNokia, 4, 0}, 38: {elNokiaText, 1, 0},
	el3IPInfo: {0, 3, 1 << elIPInfo},
}

// The elements of layout 3 that are not as in layout 2.
const (
	el3Interface   = 4
	el3Misc        = 5
	el3Routing4    = 9
	el3Routing6    = 10
	el3MACIn       = 14
	el3MACOut      = 15
	el3Event       = 21
	el3NBAR        = 25
	el3InPayload   = 26
	el3OutPayload  = 27
	el3Observation = 30
	el3InmonFrame  = 32
	el3IPInfo      = 39
)

// flow3 reads a flow of layout 3, and returns as common does.
func (d *Decoder) flow3(rec []byte) (have uint64, reason string) {
	if len(rec) < flow3HeadSize {
		return 0, "shorter than its header"
	}
	set := le.Uint64(rec[16:])
	if set == 0 || bits.OnesCount64(set) != int(le.Uint16(rec[4:])) {
		return 0, "its bit set has another number of elements than its header"
	}
	offsets := rec[flow3HeadSize:]
	if len(offsets) < 2*bits.OnesCount64(set) {
		return 0, "ends within the table of offsets"
	}
	r := &d.rec
	if set&(1<<el3Interface|1<<el3Misc) != 0 {
		r.Input, r.Output, r.SrcMask, r.DstMask, r.DstTOS, r.FragFlags = 0, 0, 0, 0, 0, 0
		r.Direction, r.BiflowDir, r.EndReason = 0, 0, 0
	}
	if set&(1<<el3MACIn|1<<el3MACOut) != 0 {
		r.InSrcMAC, r.OutDstMAC, r.InDstMAC, r.OutSrcMAC = [6]byte{}, [6]byte{}, [6]byte{}, [6]byte{}
	}
	for left := set; left != 0; left &= left - 1 {
		id := bits.TrailingZeros64(left)
		off := int(le.Uint16(offsets))
		offsets = offsets[2:]
		if id >= len(elements3) {
			continue // of a later nfdump
		}
		e := &elements3[id]
		if off < flow3HeadSize || off+int(e.size) > len(rec) {
			return 0, "an element lies outside of the record"
		}
		p := rec[off:]
		fills := e.fills
		if e.same != 0 {
			fills = 1 << e.same
		}
		if fills&d.want == 0 {
			continue
		}
		if e.same != 0 {
			have |= fills
			d.element(e.same, p)
			continue
		}
		got, ok := d.element3(id, p)
		if !ok {
			return 0, "an element runs past the end"
		}
		have |= got
	}
	return have, ""
}

// element3 reads an element that is not as in layout 2. It returns the elements of
// layout 2 that it stands for.
func (d *Decoder) element3(id int, p []byte) (have uint64, ok bool) {
	r := &d.rec
	switch id {
	case el3Interface:
		r.Input, r.Output = le.Uint32(p), le.Uint32(p[4:])
	case el3Misc:
		r.SrcMask, r.DstMask, r.Direction, r.BiflowDir, r.DstTOS, r.EndReason = p[0], p[1], p[2], p[3], p[4], p[5]
	case el3Routing4:
		return routing3(r, addr4(p), addr4(p[4:]), elNext4, elBGPNext4), true
	case el3Routing6:
		return routing3(r, addr6(p), addr6(p[16:]), elNext6, elBGPNext6), true
	case el3MACIn:
		r.InSrcMAC, r.OutDstMAC = mac(p), mac(p[8:])
	case el3MACOut:
		r.InDstMAC, r.OutSrcMAC = mac(p), mac(p[8:])
	case el3Event:
		r.EventTime = flow.Milli(le.Uint64(p))
		if le.Uint16(p[16:]) == 2 { // address translation
			r.NATEvent, r.NATPool = uint8(le.Uint16(p[18:])), le.Uint32(p[20:])
			return 1 << elNAT, true
		}
		r.FlowID, r.FwXEvent, r.FwEvent = uint64(le.Uint32(p[8:])), le.Uint16(p[12:]), p[14]
		return 1 << elNSEL, true
	case el3Observation:
		r.ObservationPoint, d.extra.Domain = le.Uint64(p), uint32(le.Uint64(p[8:]))
	case el3IPInfo:
		r.FragFlags, r.MinTTL, r.MaxTTL = p[0], p[1], p[2]
	default:
		n := le.Uint32(p)
		if uint64(n) > uint64(len(p)-4) {
			return 0, false
		}
		text := p[4 : 4+n : 4+n]
		switch id {
		case el3NBAR:
			r.AppID = text
		case el3InPayload:
			d.extra.InPayload = text
		case el3OutPayload:
			d.extra.OutPayload = text
		case el3InmonFrame:
			d.extra.Frame = text
		}
	}
	return elements3[id].fills, true
}

// routing3 sets the two next hops. One that is zero was not sent.
func routing3(r *flow.Record, next, bgp netip.Addr, elNext, elBGP int) (have uint64) {
	if r.NextHop = next; !next.IsUnspecified() {
		have |= 1 << elNext
	}
	if r.BGPNextHop = bgp; !bgp.IsUnspecified() {
		have |= 1 << elBGP
	}
	return have
}
