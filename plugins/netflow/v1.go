package netflow

import (
	"encoding/binary"
	"fmt"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// The sizes of versions 1 and 7, in bytes, and the records that one datagram may hold,
// as Cisco documents them (NetFlow Export Datagram Format, tables for version 1 and
// version 7). A record of version 1 is as long as one of version 5, one of version 7 has
// the router's address behind it.
const (
	V1HeaderLen = 16
	V7HeaderLen = 24
	V1RecordLen = 48
	V7RecordLen = 52
	V1MaxCount  = 24
	V7MaxCount  = 27
)

// ParseV1Header reads the header of a version 1 datagram: that of version 5
// without sequence, engine and sampling. It returns the records behind it as
// ParseV5Header does.
func ParseV1Header(b []byte) (V5Header, []byte, error) {
	return parseFixed(b, 1, V1HeaderLen, V1RecordLen)
}

// ParseV7Header reads the header of a version 7 datagram: that of version 5
// without engine and sampling. It returns the records behind it as ParseV5Header
// does.
func ParseV7Header(b []byte) (V5Header, []byte, error) {
	return parseFixed(b, 7, V7HeaderLen, V7RecordLen)
}

// parseFixed reads a header of version 1 or 7.
func parseFixed(b []byte, version uint16, header, record int) (V5Header, []byte, error) {
	if len(b) < header {
		return V5Header{}, nil, fmt.Errorf("netflow v%d: header: expected %d bytes, got %d: %w", version, header,
			len(b), wire.ErrShort)
	}
	if v := binary.BigEndian.Uint16(b); v != version {
		return V5Header{}, nil, fmt.Errorf("netflow v%d: header: expected version %d, got %d", version, version, v)
	}
	h := V5Header{
		Count:     binary.BigEndian.Uint16(b[2:]),
		SysUptime: binary.BigEndian.Uint32(b[4:]),
		Seconds:   binary.BigEndian.Uint32(b[8:]),
		Nanos:     binary.BigEndian.Uint32(b[12:]),
	}
	if version == 7 {
		h.Sequence = binary.BigEndian.Uint32(b[16:])
	}
	records := b[header:]
	have := len(records) / record
	var err error
	if have < int(h.Count) {
		err = fmt.Errorf("netflow v%d: expected %d records, got %d: %w", version, h.Count, have, wire.ErrShort)
	}
	return h, records[:min(have, int(h.Count))*record], err
}

// v1Present are the fields of every version 1 record.
var v1Present = flow.SetOf(flow.Src, flow.Dst, flow.NextHop, flow.Input, flow.Output, flow.Packets, flow.Bytes,
	flow.SrcPort, flow.DstPort, flow.TCPFlags, flow.Proto, flow.SrcTOS)

// V1Base fills base with what all records of a version 1 datagram share.
func V1Base(base *flow.Record, h V5Header) {
	V5Base(base, h)
	base.Version = flow.V1
	base.Present = v1Present
}

// DecodeV1 reads the record at the start of b, which must have V1RecordLen
// bytes, into r, which Begin or Continue has made ready.
func DecodeV1(r *flow.Record, b []byte) {
	_ = b[V1RecordLen-1]
	endpoints(r, b)
	r.Proto, r.SrcTOS, r.TCPFlags = b[38], b[39], uint16(b[40])
	switched(r, b)
}

// routerElement is exporterIPv4Address, the element that stands for version 7's
// router_sc: the router whose shortcut the switch took.
const routerElement = 130

// v7Present are the fields of every version 7 record.
var v7Present = flow.SetOf(flow.Src, flow.Dst, flow.NextHop, flow.Input, flow.Output, flow.Packets, flow.Bytes,
	flow.SrcPort, flow.DstPort, flow.TCPFlags, flow.Proto, flow.SrcTOS, flow.SrcAS, flow.DstAS, flow.SrcMask,
	flow.DstMask)

// V7Base fills base with what all records of a version 7 datagram share.
func V7Base(base *flow.Record, h V5Header) {
	V5Base(base, h)
	base.Version = flow.V7
	base.Present = v7Present
}

// DecodeV7 reads the record at the start of b, which must have V7RecordLen
// bytes, into r, which Begin or Continue has made ready. The address of the router
// whose shortcut the switch took goes to Extra, as element 130.
func DecodeV7(r *flow.Record, b []byte) {
	_ = b[V7RecordLen-1]
	DecodeV5(r, b[:V5RecordLen])
	r.Extra = append(r.Extra, flow.Element{ID: routerElement, Value: b[48:52:52]})
}

// AppendV1 appends a version 1 datagram with recs to dst, as AppendV5 does.
func AppendV1(dst []byte, h V5Header, recs []flow.Record) []byte {
	w := wire.NewWriter(dst)
	appendHead(&w, 1, h, len(recs))
	for i := range recs {
		r := &recs[i]
		appendEndpoints(&w, h, r)
		w.Uint16(0)
		w.Uint8(r.Proto)
		w.Uint8(r.SrcTOS)
		w.Uint8(uint8(r.TCPFlags))
		w.Zero(7) // two of padding, five that are reserved
	}
	return w.Buf()
}

// AppendV7 appends a version 7 datagram with recs to dst, as AppendV5 does. The
// router's address comes from element 130 in Extra.
func AppendV7(dst []byte, h V5Header, recs []flow.Record) []byte {
	w := wire.NewWriter(dst)
	appendHead(&w, 7, h, len(recs))
	w.Uint32(h.Sequence)
	w.Uint32(0)
	for i := range recs {
		r := &recs[i]
		appendEndpoints(&w, h, r)
		appendRest(&w, r)
		router := make([]byte, 4)
		for _, e := range r.Extra {
			if e.PEN == 0 && e.ID == routerElement {
				copy(router, e.Value)
			}
		}
		w.Bytes(router)
	}
	return w.Buf()
}

// appendHead writes what the headers of all fixed versions begin with.
func appendHead(w *wire.Writer, version uint16, h V5Header, count int) {
	w.Uint16(version)
	w.Uint16(uint16(count))
	w.Uint32(h.SysUptime)
	w.Uint32(h.Seconds)
	w.Uint32(h.Nanos)
}

// appendEndpoints writes the first 36 bytes of a record, the same in all fixed
// versions.
func appendEndpoints(w *wire.Writer, h V5Header, r *flow.Record) {
	appendV4(w, r.Src)
	appendV4(w, r.Dst)
	appendV4(w, r.NextHop)
	w.Uint16(uint16(min(r.Input, 0xffff)))
	w.Uint16(uint16(min(r.Output, 0xffff)))
	w.Uint32(uint32(min(r.Packets, 0xffffffff)))
	w.Uint32(uint32(min(r.Bytes, 0xffffffff)))
	w.Uint32(h.uptime(r.First))
	w.Uint32(h.uptime(r.Last))
	w.Uint16(r.SrcPort)
	w.Uint16(r.DstPort)
}

// appendRest writes the bytes 36 to 47 of a record of version 5 or 7.
func appendRest(w *wire.Writer, r *flow.Record) {
	w.Uint8(0)
	w.Uint8(uint8(r.TCPFlags))
	w.Uint8(r.Proto)
	w.Uint8(r.SrcTOS)
	w.Uint16(as16(r.SrcAS))
	w.Uint16(as16(r.DstAS))
	w.Uint8(r.SrcMask)
	w.Uint8(r.DstMask)
	w.Uint16(0)
}

// switched sets the times of a record from the bytes 24 to 31.
func switched(r *flow.Record, b []byte) {
	first := binary.BigEndian.Uint32(b[24:])
	last := binary.BigEndian.Uint32(b[28:])
	r.Extra = append(r.Extra,
		flow.Element{ID: firstSwitched, Value: b[24:28:28]}, flow.Element{ID: lastSwitched, Value: b[28:32:32]})
	if r.Exported == 0 {
		ipfix.SetTimes(r, 0, 0)
		return
	}
	ipfix.SetTimes(r, v5Time(r, first), v5Time(r, last))
}
