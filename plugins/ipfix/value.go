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

// useOf returns the field of a record that an element is written from: of several the
// one that it fills best. It is nil where there is none.
func useOf(f FieldSpec) *flow.Use {
	var best *flow.Use
	uses := flow.Uses(f.PEN, f.ID)
	for i := range uses {
		if best == nil || uses[i].Rank < best.Rank {
			best = &uses[i]
		}
	}
	return best
}

// appendField appends the value of field f of record r to dst, in the length
// that the template says. A value comes from Extra, where the element is there,
// else from the record's field that u is the use of; what r does not have is zero.
func appendField(dst []byte, f FieldSpec, nth uint8, u *flow.Use, r *flow.Record, c clock) []byte {
	var buf [16]byte
	for i := range r.Extra {
		if e := &r.Extra[i]; e.ID == f.ID && e.PEN == f.PEN && e.Nth == nth {
			return appendBytes(dst, f, e.Value)
		}
	}
	if b, ok := octetsOf(f, u, r, &buf); ok {
		return appendBytes(dst, f, b)
	}
	v := number(f, u, r, c)
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
	u := useOf(f)
	if u == nil || u.Keep || !r.Has(u.Field) {
		return dst, false
	}
	if b, ok := octetsOf(f, u, r, &buf); ok {
		return append(dst, b...), len(b) > 0
	}
	if u.Field == flow.MPLS && u.Index >= r.MPLSDepth {
		return dst, false
	}
	size := int(u.Field.Describe().Size)
	if u.Form == flow.FormHigh || u.Form == flow.FormLow {
		size = 1
	}
	w := wire.NewWriter(dst)
	w.Uint(number(f, u, r, clock{}), size)
	return w.Buf(), true
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
func octetsOf(f FieldSpec, u *flow.Use, r *flow.Record, buf *[16]byte) ([]byte, bool) {
	if u == nil {
		return nil, false
	}
	switch u.Field.Describe().Kind {
	case flow.KindAddress:
		a := r.Addr(u.Field)
		return addrBytes(a, four(f, a), buf), true
	case flow.KindMAC, flow.KindText, flow.KindOctets:
		return r.Octets(u.Field), true
	}
	return nil, false
}

// four says whether a field is an IPv4 address: by its length, as the decoder sees it,
// else by the address itself; where no length is given, by the type of the element.
func four(f FieldSpec, a netip.Addr) bool {
	switch f.Length {
	case 4:
		return true
	case 16:
		return false
	case Variable:
		return a.Is4()
	}
	e, ok := ie.Lookup(f.PEN, f.ID)
	return !ok || e.Type == ie.IPv4Address
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
func number(f FieldSpec, u *flow.Use, r *flow.Record, c clock) uint64 {
	if u == nil {
		return c.span(f, r)
	}
	switch u.Form {
	case flow.FormHigh:
		return r.Number(u.Field) >> 8
	case flow.FormLow:
		return r.Number(u.Field) & 0xff
	case flow.FormItem:
		return r.Item(u.Field, u.Index)
	case flow.FormSeconds, flow.FormMilliseconds, flow.FormNTP, flow.FormBefore, flow.FormUptime:
		return c.time(u, r)
	}
	return r.Number(u.Field)
}

// time returns a time in the form of its element.
func (c clock) time(u *flow.Use, r *flow.Record) uint64 {
	t := r.First
	switch u.Field {
	case flow.LastSeen:
		t = r.Last
	case flow.EventTime:
		t = r.EventTime
	}
	switch u.Form {
	case flow.FormSeconds:
		return uint64(t / aSecond)
	case flow.FormNTP:
		return uint64(t/aSecond+epoch)<<32 | (uint64(t%aSecond)<<32)/uint64(aSecond)
	case flow.FormBefore:
		return uint64((c.exported - t) / 1000)
	case flow.FormUptime:
		return c.uptime(t)
	}
	return t.Milli()
}

// span returns the elements of times that are no field's.
func (c clock) span(f FieldSpec, r *flow.Record) uint64 {
	if f.PEN != 0 {
		return 0
	}
	switch f.ID {
	case ie.SystemInitTimeMilliseconds:
		return c.boot.Milli()
	case ie.FlowDurationMilliseconds:
		return uint64((r.Last - r.First) / milli)
	case ie.FlowDurationMicroseconds:
		return uint64((r.Last - r.First) / 1000)
	}
	return 0
}
