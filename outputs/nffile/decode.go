package nffile

import (
	"math/bits"
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Decoder turns the records of blocks into flows. It holds one flow.Record that
// it fills again and again, and the exporters that the blocks named so far.
type Decoder struct {
	rec       flow.Record
	flags     uint8
	have      uint64   // elements that rec has fields of
	base      flow.Set // fields of these elements
	present   [numElements]flow.Set
	shapes    [1 << shapeBits]shape
	want      uint64 // elements to read; all others are passed over
	extra     Extra
	sieve     *Sieve
	exporters []Exporter // index sysid-1
	stats     []ExporterStat
	samplers  []Sampler
	namesSeen []Name
	maps      maps1 // of the block at hand
	file      *File // of the block before
	block     *Block
	blockOff  int64
	sysid     int // of the flow
	size      int // of its record
	err       error
}

// NewDecoder returns a Decoder.
func NewDecoder() *Decoder {
	d := &Decoder{want: ^uint64(0)}
	for id, fields := range elementFields {
		d.present[id] = flow.SetOf(fields...)
	}
	return d
}

// elementFields lists the fields that an element makes present.
var elementFields = map[int][]flow.Field{
	elGeneric: {flow.Bytes, flow.Packets, flow.SrcPort, flow.DstPort, flow.Proto, flow.TCPFlags,
		flow.FwdStatus, flow.SrcTOS, flow.FirstSeen, flow.LastSeen},
	elIPv4: {flow.Src, flow.Dst, flow.IPVersion},
	elIPv6: {flow.Src, flow.Dst, flow.IPVersion},
	elMisc: {flow.Input, flow.Output, flow.SrcMask, flow.DstMask, flow.Direction, flow.DstTOS,
		flow.BiflowDir, flow.EndReason},
	elLayer2:      {flow.SegmentID},
	elFlowID:      {flow.FlowID},
	elIPInfo:      {flow.MinTTL, flow.MaxTTL},
	elCount:       {flow.Flows, flow.RevBytes, flow.RevPackets},
	elVLAN:        {flow.SrcVLAN, flow.DstVLAN},
	elAS:          {flow.SrcAS, flow.DstAS},
	elBGPNext4:    {flow.BGPNextHop},
	elBGPNext6:    {flow.BGPNextHop},
	elNext4:       {flow.NextHop},
	elNext6:       {flow.NextHop},
	elMPLS:        {flow.MPLS},
	elMAC:         {flow.InSrcMAC, flow.OutDstMAC, flow.InDstMAC, flow.OutSrcMAC},
	elASAdjacent:  {flow.NextAS, flow.PrevAS},
	elNSEL:        {flow.EventTime, flow.FwEvent, flow.FwXEvent, flow.FlowID},
	elXlate4:      {flow.XlateSrc, flow.XlateDst},
	elXlate6:      {flow.XlateSrc, flow.XlateDst},
	elXlatePort:   {flow.XlateSPort, flow.XlateDPort},
	elACL:         {flow.IngressACL, flow.EgressACL},
	elUser:        {flow.User},
	elNAT:         {flow.EventTime, flow.NATEvent, flow.NATPool},
	elPortBlock:   {flow.PortBlock},
	elNBAR:        {flow.AppID},
	elTunnel4:     {flow.TunSrc, flow.TunDst, flow.TunProto},
	elTunnel6:     {flow.TunSrc, flow.TunDst, flow.TunProto},
	elObservation: {flow.ObservationPoint},
	elVRF:         {flow.IngressVRF, flow.EgressVRF},
}

// payloadSizes are the least payload bytes of the elements read here, 0 for those
// of variable length and those that are unknown.
var payloadSizes = [numElements]uint8{
	elGeneric: 48, elIPv4: 8, elIPv6: 32, elMisc: 16, elCount: 24, elVLAN: 8, elAS: 8,
	elBGPNext4: 4, elBGPNext6: 16, elNext4: 4, elNext6: 16, elReceived4: 4, elReceived6: 16,
	elMPLS: 40, elMAC: 32, elASAdjacent: 8, elNSEL: 16, elXlate4: 8, elXlate6: 32,
	elXlatePort: 4, elACL: 24, elUser: 1, elNAT: 16, elPortBlock: 8,
	elTunnel4: 12, elTunnel6: 36, elObservation: 12, elVRF: 8,
	elLatency: 24, elSampler: 8, elInmonMeta: 4, elPF: 20, elLayer2: 27, elFlowID: 8, elNokia: 4, elIPInfo: 4,
}

// Only makes the Decoder fill just these fields, and those that come with them:
// a query that needs a few is faster so. Times, counters, ports, protocol and
// Exporter are always filled.
func (d *Decoder) Only(fields flow.Set) {
	d.want = 1<<elGeneric | 1<<elCount | 1<<elReceived4 | 1<<elReceived6
	for id, s := range d.present {
		if s.Meets(fields) {
			d.want |= 1 << id
		}
	}
}

// Reset forgets the exporters, samplers and names, for the next file.
func (d *Decoder) Reset() {
	d.exporters, d.stats = d.exporters[:0], d.stats[:0]
	d.samplers, d.namesSeen = d.samplers[:0], d.namesSeen[:0]
	d.file, d.block, d.maps = nil, nil, nil
	d.err = nil
}

// useBlock takes over what a file and its blocks have that is not in the records.
func (d *Decoder) useBlock(b *Block) {
	d.block, d.blockOff, d.maps = b, b.off, b.maps
	if d.file == b.file {
		return
	}
	d.file = b.file
	for _, e := range b.file.exporters {
		if e.sysid > 0 && e.sysid <= MaxExporters {
			d.know(e.id, uint16(e.sysid))
			d.stats[e.sysid-1] = e.stat
			for _, s := range e.samplers {
				d.sampler(s, uint16(e.sysid))
			}
		}
	}
}

// Extra returns what the current flow has besides the fields of its Record. It is
// valid until the next call of Next.
func (d *Decoder) Extra() *Extra { return &d.extra }

// Record returns the current flow. It is valid, and may only be read, until the
// next call of Next; the slices in it point into the block.
//
// Counters are as nfdump means them: multiplied by the sampling rate already, so
// SamplingRate is 0. Fields that share an element with one that was sent are
// present too. Exporter is the address that the flow was received from.
func (d *Decoder) Record() *flow.Record { return &d.rec }

// Sampled says whether the counters of the current flow were estimated from a
// sample.
func (d *Decoder) Sampled() bool { return d.flags&flagSampled != 0 }

// Ident returns the ident of the file that the current flow is from.
func (d *Decoder) Ident() string { return d.file.Ident() }

// SysID returns the number of the exporter of the current flow in its file, 0 when it
// has none.
func (d *Decoder) SysID() uint32 { return uint32(d.sysid) }

// Elements returns which elements the record of the current flow has, bit 1<<id
// (FORMAT.md, section 4): of those that the Decoder reads.
func (d *Decoder) Elements() uint64 { return d.have }

// Size returns the bytes of the record of the current flow.
func (d *Decoder) Size() int { return d.size }

// Err returns what was wrong with the block, nil at its end.
func (d *Decoder) Err() error { return d.err }

// Exporters returns the exporters that the blocks decoded so far named. The
// exporter at index i has the sysid i+1; those without an address are unknown.
func (d *Decoder) Exporters() []Exporter { return d.exporters }

// Next decodes the next flow of an unpacked block. Records that are not flows are
// taken in or passed over, and so are those that are damaged. At the end of the block
// it returns false, and Err tells what was wrong in it.
func (d *Decoder) Next(b *Block) bool {
	d.begin(b)
	for b.next() {
		if !d.sieve.skips(b.rec) && d.takeBlock(b) {
			return true
		}
	}
	d.end(b)
	return false
}

// Sift makes Next pass over flows that a Sieve does not keep, and count them there.
func (d *Decoder) Sift(s *Sieve) { d.sieve = s }

// begin prepares for records of b.
func (d *Decoder) begin(b *Block) {
	d.err = nil
	if d.sieve != nil && b.sifted > 0 {
		d.sieve.takeSifted(b)
	}
	if d.block != b || d.blockOff != b.off || d.file != b.file {
		d.useBlock(b)
	}
}

// takeBlock decodes the record at hand and says whether it is a flow. One that is damaged
// is passed over, and noted in the block.
func (d *Decoder) takeBlock(b *Block) bool {
	switch {
	case b.isFlow():
		reason := d.flow(b.rec)
		if reason == "" {
			return true
		}
		if b.lost++; b.why == nil {
			b.pos -= len(b.rec)
			b.why = b.errorf("flow record of %d bytes: %s", len(b.rec), reason)
			b.pos += len(b.rec)
		}
	case b.kind == recordExporter:
		if len(b.rec) >= exporterSize {
			d.know(decodeExporter(b.rec))
		}
	default:
		d.table(b.kind, b.rec)
	}
	return false
}

// end takes over what was wrong with the block, behind its last record.
func (d *Decoder) end(b *Block) {
	if d.err == nil {
		d.err = b.wrong()
	}
}

// know remembers an exporter.
func (d *Decoder) know(id Exporter, sysid uint16) {
	if sysid == 0 || int(sysid) > MaxExporters && int(sysid) > 2*len(d.exporters)+MaxExporters {
		return
	}
	for len(d.exporters) < int(sysid) {
		d.exporters = append(d.exporters, Exporter{})
		d.stats = append(d.stats, ExporterStat{})
	}
	d.exporters[sysid-1] = id
}

// decodeExporter reads an exporter record of the form of nfdump up to 1.7.7, or
// that of 1.7.8.
func decodeExporter(b []byte) (Exporter, uint16) {
	id := Exporter{Domain: le.Uint32(b[28:]), Version: versionOf(le.Uint32(b[4:]))}
	switch le.Uint16(b[24:]) {
	case 2:
		id.Addr = addr4(b[16:])
	case 10:
		id.Addr = addr6(b[8:])
	case 0:
		id.Addr = addrOf(b[8:])
	}
	return id, le.Uint16(b[26:])
}

// flow decodes a flow record of any layout and returns what is wrong with it.
func (d *Decoder) flow(rec []byte) string {
	if len(rec) < recordHeadSize {
		return "shorter than its header"
	}
	r := &d.rec
	have, reason := d.fields(rec)
	if reason != "" { // what it has filled is not the next flow's
		r.Reset()
		d.have, d.base = 0, flow.Set{}
		return reason
	}
	if have != d.have {
		d.change(rec, have)
	}
	d.extra.Has, d.size = have&extraElements, len(rec)
	r.Present = d.base
	sysid := 0
	switch le.Uint16(rec) {
	case recordFlow:
		r.EngineType, r.EngineID = rec[6], rec[7]
		d.flags, r.Version, sysid = rec[10], flow.Version(rec[11]), int(le.Uint16(rec[8:]))
	case recordFlow3:
		r.EngineType, r.EngineID = rec[12], rec[13]
		d.flags, r.Version, sysid = rec[6], flow.Version(rec[14]), int(le.Uint32(rec[8:])&(1<<31-1))
	case recordCommon:
		d.flags, sysid = flags1(le.Uint16(rec[4:])), int(le.Uint16(rec[28:]))
		r.Version = 0
		if sysid > 0 && sysid <= len(d.exporters) {
			r.Version = d.exporters[sysid-1].Version
		}
	}
	r.Event = d.flags&flagEvent != 0
	d.extra.Sampled, d.extra.Anonymised = d.Sampled(), d.flags&flagAnon != 0
	d.finish(sysid)
	return ""
}

// fields fills the record with the elements of a flow. It returns which there
// are, a bit for each, and what is wrong with them.
func (d *Decoder) fields(rec []byte) (have uint64, reason string) {
	switch le.Uint16(rec) {
	case recordCommon:
		return d.common(rec)
	case recordFlow3:
		return d.flow3(rec)
	}
	return d.elements(rec)
}

// change prepares the record for other elements than the one before had: what this
// one lacks is cleared, and the fields that are present are looked up.
func (d *Decoder) change(rec []byte, have uint64) {
	switch gone := families(d.have) &^ families(have); gone {
	case 0:
	case 1 << elCount: // comes and goes within a template
		d.rec.Flows, d.rec.RevPackets, d.rec.RevBytes = 0, 0, 0
	default:
		d.rec.Reset()
		d.fields(rec)
	}
	d.have = have
	c := &d.shapes[have*0x9E3779B97F4A7C15>>(64-shapeBits)]
	if c.have != have {
		*c = shape{have: have}
		for left := have; left != 0; left &= left - 1 {
			s := &d.present[bits.TrailingZeros64(left)]
			c.present = c.present.Union(*s)
		}
	}
	d.base = c.present
}

// shape is a set of elements and the fields that they make present.
type shape struct {
	have    uint64
	present flow.Set
}

// shapeBits gives how many shapes a Decoder remembers, as a power of two.
const shapeBits = 4

// elements reads all elements of a flow record. It returns which there are, a bit
// for each, and what is wrong with them.
func (d *Decoder) elements(rec []byte) (have uint64, reason string) {
	n := le.Uint16(rec[4:])
	rest := rec[recordHeadSize:]
	for ; n > 0 && len(rest) >= 4; n-- {
		id, size := le.Uint16(rest), int(le.Uint16(rest[2:]))
		if size < 4 || size > len(rest) {
			return 0, "an element runs past the end"
		}
		if id < numElements && d.want&(1<<id) != 0 {
			payload := rest[4:size:size]
			if len(payload) < int(payloadSizes[id]) {
				return 0, "an element is too short"
			}
			have |= 1 << id
			d.element(id, payload)
		}
		rest = rest[size:]
	}
	if n > 0 && len(rest) > 0 {
		return 0, "ends within an element"
	}
	if have&bothAddresses == bothAddresses {
		have = d.dualStack(rec, have)
	}
	return have, ""
}

// bothAddresses are the elements of which a flow has one.
const bothAddresses = 1<<elIPv4 | 1<<elIPv6

// dualStack takes the addresses of a flow with both elements, as nfcapd 1.7 writes it
// of an exporter that sends both: those that are not zero. Of two that are not, the IP
// version of layer 2 decides, else they are IPv4, as for nfdump 1.7.8. It returns the
// elements without the other one.
func (d *Decoder) dualStack(rec []byte, have uint64) uint64 {
	var v4, v6 []byte
	version := uint8(0)
	for n, rest := le.Uint16(rec[4:]), rec[recordHeadSize:]; n > 0; n-- {
		size := le.Uint16(rest[2:])
		switch le.Uint16(rest) {
		case elIPv4:
			v4 = rest[4:size]
		case elIPv6:
			v6 = rest[4:size]
		case elLayer2:
			if size >= 4+27 {
				version = rest[4+26]
			}
		}
		if rest = rest[size:]; len(rest) < 4 {
			break
		}
	}
	zero4, zero6 := le.Uint64(v4) == 0, !slices.ContainsFunc(v6[:32], func(b byte) bool { return b != 0 })
	if zero4 || !zero6 && version == 6 {
		d.element(elIPv6, v6)
		return have &^ (1 << elIPv4)
	}
	d.element(elIPv4, v4)
	return have &^ (1 << elIPv6)
}

// families puts the bits of elements for IPv6 where those for IPv4 are: they fill
// the same fields.
func families(have uint64) uint64 {
	const v6 = 1<<elIPv6 | 1<<elBGPNext6 | 1<<elNext6 | 1<<elReceived6 | 1<<elXlate6 | 1<<elTunnel6
	return have&^v6 | have&v6>>1
}

// finish sets what does not come from an element.
func (d *Decoder) finish(sysid int) {
	r := &d.rec
	r.Domain, d.sysid = 0, sysid
	known := sysid > 0 && sysid <= len(d.exporters)
	if known {
		r.Domain = d.exporters[sysid-1].Domain
	} else if d.have&(1<<elObservation) != 0 {
		r.Domain = d.extra.Domain
	}
	if d.have&(1<<elReceived4|1<<elReceived6) == 0 {
		r.Exporter = netip.Addr{}
		if known {
			r.Exporter = d.exporters[sysid-1].Addr
		}
	}
	if r.Last < r.First {
		r.Last = r.First
	}
	if r.FragFlags != 0 {
		r.Present.Add(flow.FragFlags)
	}
	r.ICMP = 0
	if r.Proto == 1 || r.Proto == 58 {
		r.ICMP = r.DstPort
		r.Present.Add(flow.ICMP)
	}
}

// element reads the payload of one element, which is long enough.
func (d *Decoder) element(id uint16, p []byte) {
	r := &d.rec
	switch id {
	case elGeneric:
		_ = p[47]
		r.First, r.Last = flow.Milli(le.Uint64(p)), flow.Milli(le.Uint64(p[8:]))
		r.Received = flow.Milli(le.Uint64(p[16:]))
		r.Packets, r.Bytes = le.Uint64(p[24:]), le.Uint64(p[32:])
		r.SrcPort, r.DstPort = le.Uint16(p[40:]), le.Uint16(p[42:])
		r.Proto, r.TCPFlags, r.FwdStatus, r.SrcTOS = p[44], uint16(p[45]), p[46], p[47]
	case elIPv4:
		r.Src, r.Dst, r.IPVersion = addr4(p), addr4(p[4:]), 4
	case elIPv6:
		r.Src, r.Dst, r.IPVersion = addr6(p), addr6(p[16:]), 6
	case elMisc:
		_ = p[15]
		r.Input, r.Output = le.Uint32(p), le.Uint32(p[4:])
		r.SrcMask, r.DstMask, r.Direction, r.DstTOS = p[8], p[9], p[10], p[11]
		r.BiflowDir, r.EndReason, r.FragFlags = p[12], p[13], p[15]
	case elCount:
		r.Flows, r.RevPackets, r.RevBytes = le.Uint64(p), le.Uint64(p[8:]), le.Uint64(p[16:])
	case elAS:
		r.SrcAS, r.DstAS = le.Uint32(p), le.Uint32(p[4:])
	case elNext4:
		r.NextHop = addr4(p)
	case elNext6:
		r.NextHop = addr6(p)
	case elReceived4:
		r.Exporter = addr4(p)
	case elReceived6:
		r.Exporter = addr6(p)
	default:
		d.rare(id, p)
	}
}

// rare reads the elements that most flows do not have.
func (d *Decoder) rare(id uint16, p []byte) {
	r := &d.rec
	switch id {
	case elVLAN:
		r.SrcVLAN, r.DstVLAN = uint16(le.Uint32(p)), uint16(le.Uint32(p[4:]))
	case elBGPNext4:
		r.BGPNextHop = addr4(p)
	case elBGPNext6:
		r.BGPNextHop = addr6(p)
	case elMPLS:
		r.MPLSDepth = 0
		for i := range r.MPLS {
			r.MPLS[i] = le.Uint32(p[4*i:])
			if r.MPLS[i] != 0 {
				r.MPLSDepth = uint8(i + 1)
			}
		}
	case elMAC:
		r.InSrcMAC, r.OutDstMAC = mac(p), mac(p[8:])
		r.InDstMAC, r.OutSrcMAC = mac(p[16:]), mac(p[24:])
	case elASAdjacent:
		r.NextAS, r.PrevAS = le.Uint32(p), le.Uint32(p[4:])
	case elXlate4:
		r.XlateSrc, r.XlateDst = addr4(p), addr4(p[4:])
	case elXlate6:
		r.XlateSrc, r.XlateDst = addr6(p), addr6(p[16:])
	case elXlatePort:
		r.XlateSPort, r.XlateDPort = le.Uint16(p), le.Uint16(p[2:])
	case elPortBlock:
		for i := range r.PortBlock {
			r.PortBlock[i] = le.Uint16(p[2*i:])
		}
	case elNBAR:
		r.AppID = p
	case elTunnel4:
		r.TunSrc, r.TunDst, r.TunProto = addr4(p), addr4(p[4:]), uint8(le.Uint32(p[8:]))
	case elTunnel6:
		r.TunSrc, r.TunDst, r.TunProto = addr6(p), addr6(p[16:]), uint8(le.Uint32(p[32:]))
	case elObservation:
		r.ObservationPoint, d.extra.Domain = le.Uint64(p), le.Uint32(p[8:])
	case elVRF:
		r.EgressVRF, r.IngressVRF = le.Uint32(p), le.Uint32(p[4:])
	default:
		d.event(id, p)
	}
}

// event reads the elements of firewalls and address translators.
func (d *Decoder) event(id uint16, p []byte) {
	r := &d.rec
	switch id {
	case elNSEL:
		r.EventTime, r.FlowID = flow.Milli(le.Uint64(p)), uint64(le.Uint32(p[8:]))
		r.FwXEvent, r.FwEvent = le.Uint16(p[12:]), p[14]
	case elACL:
		r.IngressACL, r.EgressACL = [12]byte(p[0:12]), [12]byte(p[12:24])
	case elUser:
		n := 0
		for n < len(p) && n < maxUser+1 && p[n] != 0 {
			n++
		}
		r.User = p[:n:n]
	case elNAT:
		r.EventTime = flow.Milli(le.Uint64(p))
		if len(p) >= 24 { // the older form, with the VRFs between
			r.EgressVRF, r.IngressVRF = le.Uint32(p[8:]), le.Uint32(p[12:])
			r.NATPool, r.NATEvent = le.Uint32(p[16:]), p[20]
			return
		}
		r.NATPool, r.NATEvent = le.Uint32(p[8:]), p[12]
	default:
		d.extraElement(id, p)
	}
}

func addr4(p []byte) netip.Addr {
	return netip.AddrFrom4([4]byte{p[3], p[2], p[1], p[0]})
}

func addr6(p []byte) netip.Addr {
	var v [16]byte
	be.PutUint64(v[0:], le.Uint64(p))
	be.PutUint64(v[8:], le.Uint64(p[8:]))
	return netip.AddrFrom16(v)
}

func mac(p []byte) [6]byte {
	return [6]byte{p[5], p[4], p[3], p[2], p[1], p[0]}
}
