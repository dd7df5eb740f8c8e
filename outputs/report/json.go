package report

import (
	"io"
	"net/netip"
	"strconv"
	"unicode/utf8"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// layout is what stands around the members of objects, and around objects.
type layout struct {
	begin, end            string // of all
	open, next, is, close string // of an object: before the first member, between two, behind a name, behind the last
	between               string // two objects
}

// The layouts: those of nfdump's arrays, and one object on each line.
var (
	layout171 = layout{begin: "[\n", end: "]\n", open: "{\n\t\"", next: ",\n\t\"", is: "\" : ", close: "\n}",
		between: ",\n"}
	layout178 = layout{begin: "[\n", end: "\n]\n", open: " {\n  \"", next: ",\n  \"", is: "\" : ", close: "\n }",
		between: ",\n"}
	lines = layout{open: "{\"", next: ",\"", is: "\":", close: "}", between: "\n", end: "\n"}
)

// object writes an object, member by member.
type object struct {
	layout *layout
	b      []byte
	some   bool // has members
}

// member begins a member.
func (o *object) member(name string) {
	if o.some {
		o.b = append(o.b, o.layout.next...)
	} else {
		o.b, o.some = append(o.b, o.layout.open...), true
	}
	o.b = append(append(o.b, name...), o.layout.is...)
}

// close ends the object.
func (o *object) close() {
	if !o.some {
		o.b = append(o.b, '{', '}')
		return
	}
	o.b, o.some = append(o.b, o.layout.close...), false
}

// uint writes a number.
func (o *object) uint(name string, v uint64) {
	o.member(name)
	o.b = strconv.AppendUint(o.b, v, 10)
}

// plain writes a text that needs no escapes.
func (o *object) plain(name, v string) {
	o.member(name)
	o.b = append(append(append(o.b, '"'), v...), '"')
}

// text writes a text of an exporter.
func (o *object) text(name string, v []byte) {
	o.member(name)
	o.b = appendJSON(o.b, v)
}

// addr writes an address.
func (o *object) addr(name string, a netip.Addr) {
	o.member(name)
	o.b = append(appendPlainAddr(append(o.b, '"'), a), '"')
}

// appendJSON appends a text as a JSON string. What is no UTF-8 becomes U+FFFD.
func appendJSON(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for len(s) > 0 {
		c := s[0]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < ' ' || c == 0x7f:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			default:
				b = append(b, c)
			}
			s = s[1:]
			continue
		}
		r, n := utf8.DecodeRune(s)
		b = utf8.AppendRune(b, r)
		s = s[n:]
	}
	return append(b, '"')
}

// appendUTF8 appends a text. What is no UTF-8 becomes U+FFFD.
func appendUTF8(b, s []byte) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		b = utf8.AppendRune(b, r)
		s = s[n:]
	}
	return b
}

// jsonFlows prints an object for each flow, with the members of nfdump 1.7.1 or 1.7.8.
type jsonFlows struct {
	output
	object object
	newer  bool
	strict bool // with the errors of nfdump 1.7.1
	layout *layout
	some   bool // flows have been printed
}

func openJSON(w io.Writer, opt Options) (Printer, error) {
	if opt.Compat == Nfdump171 {
		return newJSON(w, opt, &layout171), nil
	}
	return newJSON(w, opt, &layout178), nil
}

func openNDJSON(w io.Writer, opt Options) (Printer, error) {
	return newJSON(w, opt, &lines), nil
}

func newJSON(w io.Writer, opt Options, l *layout) *jsonFlows {
	return &jsonFlows{output: newOutput(w, opt), object: object{layout: l}, newer: opt.Compat != Nfdump171,
		strict: opt.Compat == Nfdump171, layout: l}
}

// Begin prints the beginning of the array.
func (j *jsonFlows) Begin() error {
	_, err := j.w.WriteString(j.layout.begin)
	return err
}

// End prints the end of the array.
func (j *jsonFlows) End(*query.Totals, Usage) error {
	if j.some || j.layout == &layout171 {
		j.w.WriteString(j.layout.end)
	} else if j.layout == &layout178 {
		j.w.WriteString("]\n")
	}
	return j.w.Flush()
}

// Flow prints a flow.
func (j *jsonFlows) Flow(q *query.Flow) error {
	o, f := &j.object, row{q}
	o.b = j.buf
	if j.some {
		o.b = append(o.b, j.layout.between...)
	}
	j.some = true
	j.head(o, f)
	j.generic(o, f)
	j.path(o, f)
	j.layer2(o, f)
	j.events(o, f)
	j.more(o, f)
	o.close()
	return j.write(o.b)
}

// isFile says whether f is a flow of a file, whose values are printed whether they have
// been sent or not, as nfdump does; of a sum only its keys are.
func (f row) isFile() bool { return f.Number > 0 }

// time writes a time, 1970 for none.
func (j *jsonFlows) time(o *object, name string, t uint64) {
	o.member(name)
	o.b = append(j.clock.iso(append(o.b, '"'), t), '"')
}

// number writes a number where nfdump 1.7.1 writes a text.
func (j *jsonFlows) number(o *object, name string, v uint64) {
	o.member(name)
	if j.newer {
		o.b = strconv.AppendUint(o.b, v, 10)
		return
	}
	o.b = append(strconv.AppendUint(append(o.b, '"'), v, 10), '"')
}

// head writes what the record is.
func (j *jsonFlows) head(o *object, f row) {
	if j.newer && f.isFile() {
		o.uint("cnt", f.Number)
	}
	if f.Event {
		o.plain("type", "EVENT")
	} else {
		o.plain("type", "FLOW")
	}
	if j.newer {
		if f.isFile() {
			o.text("ident", []byte(f.Ident))
		}
	} else {
		o.uint("sampled", f.sampled())
	}
	if f.isFile() {
		o.uint("export_sysid", uint64(f.SysID))
	}
}

// sampled returns 1 when the counters have been estimated from a sample.
func (f row) sampled() uint64 {
	if f.Extra.Sampled {
		return 1
	}
	return 0
}

// generic writes times, counters, protocol, ports and addresses.
func (j *jsonFlows) generic(o *object, f row) {
	j.time(o, "first", f.firstMilli(j.newer))
	j.time(o, "last", f.Last.Milli())
	if f.isFile() {
		j.time(o, "received", f.Received.Milli())
	}
	o.uint("in_packets", f.Packets)
	o.uint("in_bytes", f.Bytes)
	if f.Has(flow.Proto) {
		o.uint("proto", uint64(f.Proto))
	}
	switch {
	case f.isICMP() && f.Has(flow.DstPort):
		o.uint("icmp_type", uint64(f.DstPort>>8))
		o.uint("icmp_code", uint64(f.DstPort&0xff))
	default:
		j.ports(o, f)
	}
	if f.Has(flow.SrcTOS) {
		o.uint("src_tos", uint64(f.SrcTOS))
	}
	j.addresses(o, f)
}

// ports writes flags and ports.
func (j *jsonFlows) ports(o *object, f row) {
	if f.Has(flow.TCPFlags) {
		o.member("tcp_flags")
		o.b = append(appendFlags(append(o.b, '"'), uint8(f.TCPFlags)), '"')
	}
	if f.Has(flow.SrcPort) {
		o.uint("src_port", uint64(f.SrcPort))
	}
	if f.Has(flow.DstPort) {
		o.uint("dst_port", uint64(f.DstPort))
	}
	if j.newer && f.Has(flow.FwdStatus) {
		o.uint("fwd_status", uint64(f.FwdStatus))
	}
}

// addresses writes the addresses, and in 1.7.8's way their countries.
func (j *jsonFlows) addresses(o *object, f row) {
	src, dst, geo := "src4_addr", "dst4_addr", [2]string{"src4_geo", "dst4_geo"}
	if f.Src.Is6() || f.Dst.Is6() {
		src, dst, geo = "src6_addr", "dst6_addr", [2]string{"src6_geo", "dst6_geo"}
	}
	if f.Src.IsValid() {
		o.addr(src, f.Src)
	}
	if f.Dst.IsValid() {
		o.addr(dst, f.Dst)
	}
	switch {
	case j.newer && f.isFile() && f.Src.IsValid():
		o.plain(geo[0], j.opt.country(f.Src))
		o.plain(geo[1], j.opt.country(f.Dst))
	case f.SrcCountry != "" || f.DstCountry != "": // of a row
		o.plain("src_geo", f.SrcCountry)
		o.plain("dst_geo", f.DstCountry)
	}
}
