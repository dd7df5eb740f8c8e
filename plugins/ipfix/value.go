package ipfix

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// clock is what the encoder needs to write times.
type clock struct {
	exported flow.Time
	boot     flow.Time // start of the exporter
}

// uptime returns t as milliseconds since the exporter's start, wrapped to 32 bits.
func (c clock) uptime(t flow.Time) uint64 { return uint64(uint32((t - c.boot) / milli)) }

// appendField appends the value of field f of record r to dst, in the length
// that the template says. A value comes from Extra, where the element is there,
// else from the record's field; what r does not have is zero.
func appendField(dst []byte, f FieldSpec, r *flow.Record, c clock) []byte {
	var buf [16]byte
	for i := range r.Extra {
		if e := &r.Extra[i]; e.ID == f.ID && e.PEN == f.PEN {
			return appendBytes(dst, f, e.Value)
		}
	}
	if b, ok := octetsOf(f, r, &buf); ok {
		return appendBytes(dst, f, b)
	}
	v := number(f, r, c)
	if f.Length != Variable {
		w := wire.NewWriter(dst)
		w.Uint(v, int(f.Length))
		return w.Buf()
	}
	n := 1
	for n < 8 && v>>(8*n) != 0 {
		n++
	}
	w := wire.NewWriter(append(dst, byte(n)))
	w.Uint(v, n)
	return w.Buf()
}

// Value appends the value of an element to dst, in the length of the element's type,
// where a field of r holds it: what RecordDecoder leaves out of Extra, and what other
// versions than IPFIX and NetFlow v9 have of it. It says false where r does not.
func Value(dst []byte, pen uint32, id uint16, r *flow.Record) ([]byte, bool) {
	var buf [16]byte
	f := FieldSpec{PEN: pen, ID: id}
	field, size := holder(f)
	if field == noField || !r.Has(field) {
		return dst, false
	}
	if b, ok := octetsOf(f, r, &buf); ok {
		return append(dst, b...), len(b) > 0
	}
	if field == flow.MPLS && id-70 >= uint16(r.MPLSDepth) {
		return dst, false
	}
	w := wire.NewWriter(dst)
	w.Uint(number(f, r, clock{}), size)
	return w.Buf(), true
}

// holder returns the field of a record that holds an element without loss, and the
// length of a number in it.
func holder(f FieldSpec) (flow.Field, int) {
	switch {
	case f.PEN != 0:
		return noField, 0
	case f.ID == 1:
		return flow.Bytes, 8
	case f.ID == 2:
		return flow.Packets, 8
	case f.ID == 23:
		return flow.OutBytes, 8
	case f.ID == 24:
		return flow.OutPackets, 8
	}
	t := targets(f.ID)
	if t.op == opNone || t.extra {
		return noField, 0
	}
	switch t.kind {
	case uint1:
		return t.field, 1
	case uint2:
		return t.field, 2
	case label:
		return t.field, 3
	case uint4:
		return t.field, 4
	}
	return t.field, 8
}

// appendBytes appends b as the value of f. In a fixed length, numbers keep
// their last bytes, strings and octets their first; the rest is zero.
func appendBytes(dst []byte, f FieldSpec, b []byte) []byte {
	w := wire.NewWriter(dst)
	n := int(f.Length)
	switch {
	case n == Variable && len(b) < 255:
		w.Uint8(uint8(len(b)))
		w.Bytes(b)
	case n == Variable:
		b = b[:min(len(b), Variable)]
		w.Uint8(255)
		w.Uint16(uint16(len(b)))
		w.Bytes(b)
	case isText(f):
		b = b[:min(len(b), n)]
		w.Bytes(b)
		w.Zero(n - len(b))
	default:
		b = b[max(0, len(b)-n):]
		w.Zero(n - len(b))
		w.Bytes(b)
	}
	return w.Buf()
}

// isText says whether an element's bytes are read from the front.
func isText(f FieldSpec) bool {
	e, ok := ie.Lookup(f.PEN, f.ID)
	return !ok || e.Type == ie.String || e.Type == ie.OctetArray || e.Type >= ie.BasicList
}

// octetsOf returns the values that are no numbers: addresses and octets.
func octetsOf(f FieldSpec, r *flow.Record, buf *[16]byte) ([]byte, bool) {
	if f.PEN == ie.VMwarePEN {
		return tunnelOctets(f, r, buf)
	}
	if f.PEN != 0 {
		return nil, false
	}
	switch f.ID {
	case 8, 27:
		return addrBytes(r.Src, four(f, 8, r.Src), buf), true
	case 12, 28:
		return addrBytes(r.Dst, four(f, 12, r.Dst), buf), true
	case 15, 62:
		return addrBytes(r.NextHop, four(f, 15, r.NextHop), buf), true
	case 18, 63:
		return addrBytes(r.BGPNextHop, four(f, 18, r.BGPNextHop), buf), true
	case 225, 281, 40001:
		return addrBytes(r.XlateSrc, f.ID == 40001 || four(f, 225, r.XlateSrc), buf), true
	case 226, 282, 40002:
		return addrBytes(r.XlateDst, f.ID == 40002 || four(f, 226, r.XlateDst), buf), true
	case 56:
		return append(buf[:0], r.InSrcMAC[:]...), true
	case 57:
		return append(buf[:0], r.OutDstMAC[:]...), true
	case 80:
		return append(buf[:0], r.InDstMAC[:]...), true
	case 81:
		return append(buf[:0], r.OutSrcMAC[:]...), true
	case 95:
		return r.AppID, true
	case 371, 40000:
		return r.User, true
	case 33000:
		return append(buf[:0], r.IngressACL[:]...), true
	case 33001:
		return append(buf[:0], r.EgressACL[:]...), true
	}
	return nil, false
}

// tunnelOctets returns the addresses of VMware's elements: with a tenant's
// elements in the template, the record's flow is the tenant's.
func tunnelOctets(f FieldSpec, r *flow.Record, buf *[16]byte) ([]byte, bool) {
	switch f.ID {
	case 881, 883:
		return addrBytes(r.Src, four(f, 881, r.Src), buf), true
	case 882, 884:
		return addrBytes(r.Dst, four(f, 882, r.Dst), buf), true
	case 893:
		return addrBytes(r.TunSrc, four(f, 893, r.TunSrc), buf), true
	case 894:
		return addrBytes(r.TunDst, four(f, 894, r.TunDst), buf), true
	}
	return nil, false
}

// four says whether a field is an IPv4 address: by its length, as the decoder sees it,
// else by the address itself; where no length is given, by its element, of which v4 is
// the one for IPv4.
func four(f FieldSpec, v4 uint16, a netip.Addr) bool {
	switch f.Length {
	case 4:
		return true
	case 16:
		return false
	case Variable:
		return a.Is4()
	}
	return f.ID == v4
}

// addrBytes returns the bytes of a in the wanted family, none when it is of the
// other.
func addrBytes(a netip.Addr, v4 bool, buf *[16]byte) []byte {
	switch {
	case v4 && a.Is4():
		b := a.As4()
		return append(buf[:0], b[:]...)
	case !v4 && a.Is6():
		*buf = a.As16()
		return buf[:]
	}
	return nil
}

// number returns the values that are numbers, 0 for those r does not have.
func number(f FieldSpec, r *flow.Record, c clock) uint64 {
	switch {
	case f.PEN == ie.ReversePEN && (f.ID == 1 || f.ID == 85):
		return r.RevBytes
	case f.PEN == ie.ReversePEN && (f.ID == 2 || f.ID == 86):
		return r.RevPackets
	case f.PEN == ie.VMwarePEN:
		return vmwareNumber(f.ID, r)
	case f.PEN != 0:
		return 0
	case f.ID >= 128:
		return highNumber(f.ID, r, c)
	}
	switch f.ID {
	case 1, 85:
		return r.Bytes
	case 2, 86:
		return r.Packets
	case 3:
		return r.Flows
	case 4:
		return uint64(r.Proto)
	case 5:
		return uint64(r.SrcTOS)
	case 6:
		return uint64(r.TCPFlags)
	case 7:
		return uint64(r.SrcPort)
	case 9, 29:
		return uint64(r.SrcMask)
	case 10:
		return uint64(r.Input)
	case 11:
		return uint64(r.DstPort)
	case 13, 30:
		return uint64(r.DstMask)
	case 14:
		return uint64(r.Output)
	case 16:
		return uint64(r.SrcAS)
	case 17:
		return uint64(r.DstAS)
	case 21:
		return c.uptime(r.Last)
	case 22:
		return c.uptime(r.First)
	case 23:
		return r.OutBytes
	case 24:
		return r.OutPackets
	case 32:
		return uint64(r.ICMP)
	case 34, 50:
		return uint64(r.SamplingRate)
	case 38:
		return uint64(r.EngineType)
	case 39:
		return uint64(r.EngineID)
	case 48:
		return r.SamplerID
	case 52:
		return uint64(r.MinTTL)
	case 53:
		return uint64(r.MaxTTL)
	case 55:
		return uint64(r.DstTOS)
	case 58:
		return uint64(r.SrcVLAN)
	case 59:
		return uint64(r.DstVLAN)
	case 60:
		return uint64(r.IPVersion)
	case 61:
		return uint64(r.Direction)
	case 70, 71, 72, 73, 74, 75, 76, 77, 78, 79:
		return uint64(r.MPLS[f.ID-70])
	case 89:
		return uint64(r.FwdStatus)
	}
	return 0
}

// highNumber returns the numbers of IANA's elements from 128.
func highNumber(id uint16, r *flow.Record, c clock) uint64 {
	switch id {
	case 128:
		return uint64(r.NextAS)
	case 129:
		return uint64(r.PrevAS)
	case 136:
		return uint64(r.EndReason)
	case 138:
		return r.ObservationPoint
	case 139:
		return uint64(r.ICMP)
	case 148:
		return r.FlowID
	case 150, 151, 152, 153, 154, 155, 156, 157, 158, 159, 160, 161, 162:
		return timeNumber(id, r, c)
	case 176, 178:
		return uint64(r.ICMP >> 8)
	case 177, 179:
		return uint64(r.ICMP & 0xff)
	case 180, 182:
		return uint64(r.SrcPort)
	case 181, 183:
		return uint64(r.DstPort)
	case 197:
		return uint64(r.FragFlags)
	case 227, 40003:
		return uint64(r.XlateSPort)
	case 228, 40004:
		return uint64(r.XlateDPort)
	case 230:
		return uint64(r.NATEvent)
	case 231:
		return r.Bytes
	case 232:
		return r.RevBytes
	case 233, 40005:
		return uint64(r.FwEvent)
	case 234:
		return uint64(r.IngressVRF)
	case 235:
		return uint64(r.EgressVRF)
	case 239:
		return uint64(r.BiflowDir)
	case 283:
		return uint64(r.NATPool)
	case 298:
		return r.Packets
	case 299:
		return r.RevPackets
	case 302:
		return r.SamplerID
	case 323:
		return r.EventTime.Milli()
	case 351:
		return r.SegmentID
	case 361, 362, 363, 364:
		return uint64(r.PortBlock[id-361])
	case 33002:
		return uint64(r.FwXEvent)
	}
	return 0
}

// timeNumber returns the elements 150 to 162.
func timeNumber(id uint16, r *flow.Record, c clock) uint64 {
	t := r.First
	if id%2 == 1 {
		t = r.Last
	}
	switch id {
	case 150, 151:
		return uint64(t / second)
	case 152, 153:
		return t.Milli()
	case 154, 155, 156, 157:
		return uint64(t/second+epoch)<<32 | (uint64(t%second)<<32)/uint64(second)
	case 158, 159:
		return uint64((c.exported - t) / 1000)
	case 160:
		return c.boot.Milli()
	case 161:
		return uint64((r.Last - r.First) / milli)
	case 162:
		return uint64((r.Last - r.First) / 1000)
	}
	return 0
}

// vmwareNumber returns the numbers of VMware's elements.
func vmwareNumber(id uint16, r *flow.Record) uint64 {
	switch id {
	case 880:
		return uint64(r.Proto)
	case 886:
		return uint64(r.SrcPort)
	case 887:
		return uint64(r.DstPort)
	case 888:
		return uint64(r.EgressAttr)
	case 890:
		return uint64(r.IngressAttr)
	case 895:
		return uint64(r.TunProto)
	}
	return 0
}
