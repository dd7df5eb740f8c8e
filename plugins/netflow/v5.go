package netflow

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// The sizes of version 5, in bytes, and the records that one datagram may hold
// according to Cisco.
const (
	V5HeaderLen = 24
	V5RecordLen = 48
	V5MaxCount  = 30
)

// V5Header is the header of a version 5 datagram.
type V5Header struct {
	Count      uint16 // records that the datagram claims to hold
	SysUptime  uint32 // milliseconds since the exporter started
	Seconds    uint32 // of the export, since 1970
	Nanos      uint32 // rest of Seconds
	Sequence   uint32 // flows sent before this datagram
	EngineType uint8
	EngineID   uint8
	Sampling   uint16 // mode in the top 2 bits, the rate in the others
}

// ExportTime returns the time of export, 0 when the header has none.
func (h V5Header) ExportTime() flow.Time {
	if h.Seconds == 0 {
		return 0
	}
	return flow.Time(h.Seconds)*1e9 + flow.Time(h.Nanos%1e9)
}

// Domain returns the observation domain: engine type and id.
func (h V5Header) Domain() uint32 { return uint32(h.EngineType)<<8 | uint32(h.EngineID) }

// Rate returns the sampling rate, 0 when the exporter says nothing of sampling.
func (h V5Header) Rate() uint32 { return uint32(h.Sampling & 0x3fff) }

// ParseV5Header reads the header of a datagram and returns the records behind
// it. The records are as many as the header counts and the bytes hold, whichever
// is less; when bytes are missing for the count, an error says so beside them.
func ParseV5Header(b []byte) (V5Header, []byte, error) {
	if len(b) < V5HeaderLen {
		return V5Header{}, nil, fmt.Errorf("netflow v5: header: expected %d bytes, got %d: %w", V5HeaderLen, len(b),
			wire.ErrShort)
	}
	if v := binary.BigEndian.Uint16(b); v != 5 {
		return V5Header{}, nil, fmt.Errorf("netflow v5: header: expected version 5, got %d", v)
	}
	h := V5Header{
		Count:      binary.BigEndian.Uint16(b[2:]),
		SysUptime:  binary.BigEndian.Uint32(b[4:]),
		Seconds:    binary.BigEndian.Uint32(b[8:]),
		Nanos:      binary.BigEndian.Uint32(b[12:]),
		Sequence:   binary.BigEndian.Uint32(b[16:]),
		EngineType: b[20],
		EngineID:   b[21],
		Sampling:   binary.BigEndian.Uint16(b[22:]),
	}
	records := b[V5HeaderLen:]
	have := len(records) / V5RecordLen
	var err error
	if have < int(h.Count) {
		err = fmt.Errorf("netflow v5: expected %d records, got %d: %w", h.Count, have, wire.ErrShort)
	}
	return h, records[:min(have, int(h.Count))*V5RecordLen], err
}

// v5Present are the fields of every version 5 record.
var v5Present = flow.SetOf(flow.Src, flow.Dst, flow.NextHop, flow.Input, flow.Output, flow.Packets, flow.Bytes,
	flow.SrcPort, flow.DstPort, flow.TCPFlags, flow.Proto, flow.SrcTOS, flow.SrcAS, flow.DstAS, flow.SrcMask,
	flow.DstMask, flow.EngineType, flow.EngineID)

// V5Base fills base with what all records of the datagram share. Exporter and
// Received are the caller's.
func V5Base(base *flow.Record, h V5Header) {
	base.Version = flow.V5
	base.Domain = h.Domain()
	base.EngineType, base.EngineID = h.EngineType, h.EngineID
	base.Sequence, base.SysUptime, base.HeaderCount = h.Sequence, h.SysUptime, h.Count
	base.HeaderRate = h.Sampling
	base.Exported = h.ExportTime()
	base.Present = v5Present
	base.IPVersion = 4
	base.SamplingRate, base.SamplingSource = 0, flow.RateUnknown
	if rate := h.Rate(); rate != 0 {
		base.SamplingRate, base.SamplingSource = rate, flow.RateHeader
		base.Present.Add(flow.SamplingRate)
	}
}

// Begin makes r ready for the first record of a datagram: a copy of base (see V5Base),
// with the memory of its Extra.
func Begin(r, base *flow.Record) {
	extra := r.Extra[:0]
	*r = *base
	r.Extra = extra
}

// Continue makes r, which is the record before of the same datagram, ready for the next
// one: what DecodeV5 and the others do not set is what base has. But for sampling rate,
// names and the set of fields present, nobody else may have changed r.
func Continue(r, base *flow.Record) {
	r.Extra, r.Present, r.Names = r.Extra[:0], base.Present, nil
	r.SamplingRate, r.SamplingSource = base.SamplingRate, base.SamplingSource
}

// DecodeV5 reads the record at the start of b, which must have V5RecordLen
// bytes, into r, which Begin or Continue has made ready.
func DecodeV5(r *flow.Record, b []byte) {
	_ = b[V5RecordLen-1]
	endpoints(r, b)
	r.TCPFlags = uint16(b[37])
	r.Proto = b[38]
	r.SrcTOS = b[39]
	r.SrcAS = uint32(binary.BigEndian.Uint16(b[40:]))
	r.DstAS = uint32(binary.BigEndian.Uint16(b[42:]))
	r.SrcMask, r.DstMask = b[44], b[45]
	switched(r, b)
}

// endpoints sets what the first 36 bytes of a record say in all fixed versions,
// but for the times.
func endpoints(r *flow.Record, b []byte) {
	r.Src = netip.AddrFrom4([4]byte(b[0:4]))
	r.Dst = netip.AddrFrom4([4]byte(b[4:8]))
	r.NextHop = netip.AddrFrom4([4]byte(b[8:12]))
	r.Input = uint32(binary.BigEndian.Uint16(b[12:]))
	r.Output = uint32(binary.BigEndian.Uint16(b[14:]))
	r.Packets = uint64(binary.BigEndian.Uint32(b[16:]))
	r.Bytes = uint64(binary.BigEndian.Uint32(b[20:]))
	r.SrcPort = binary.BigEndian.Uint16(b[32:])
	r.DstPort = binary.BigEndian.Uint16(b[34:])
}

// The elements that carry a record's times as sent.
const (
	lastSwitched  = 21
	firstSwitched = 22
)

// v5Time converts milliseconds since the exporter's start, whose count may have wrapped
// since.
func v5Time(r *flow.Record, switched uint32) flow.Time {
	return r.Exported - ipfix.Age(r.SysUptime, switched)
}

// AppendV5 appends a version 5 datagram with recs to dst. The count is that of
// recs, of which Cisco allows V5MaxCount; h.Count is not used. Addresses that
// are not IPv4 are written as 0.0.0.0, numbers too large for their field as the
// largest that fits.
func AppendV5(dst []byte, h V5Header, recs []flow.Record) []byte {
	w := wire.NewWriter(dst)
	appendHead(&w, 5, h, len(recs))
	w.Uint32(h.Sequence)
	w.Uint8(h.EngineType)
	w.Uint8(h.EngineID)
	w.Uint16(h.Sampling)
	for i := range recs {
		appendEndpoints(&w, h, &recs[i])
		appendRest(&w, &recs[i])
	}
	return w.Buf()
}

// uptime returns t as milliseconds since the exporter's start.
func (h V5Header) uptime(t flow.Time) uint32 {
	return h.SysUptime - uint32(int32((h.ExportTime()-t)/1e6))
}

// as16 writes an AS number in two bytes; larger ones become AS_TRANS (RFC 6793).
func as16(as uint32) uint16 {
	if as > 0xffff {
		return 23456
	}
	return uint16(as)
}

func appendV4(w *wire.Writer, a netip.Addr) {
	if !a.Is4() {
		w.Zero(4)
		return
	}
	b := a.As4()
	w.Bytes(b[:])
}
