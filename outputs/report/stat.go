package report

import (
	"bufio"
	"fmt"
	"io"
	"strconv"

	"github.com/flowgraf/flowgraf/outputs/query"
)

// Stat prints a table as nfdump's -s does: a title, the names of the columns, the
// rows, an empty line. Percentages are of totals.
func Stat(w io.Writer, t *query.Table, totals *query.Totals, opt Options) error {
	out := bufio.NewWriter(w)
	title := t.Stat.Element.Title()
	out.WriteString("Top ")
	if t.N > 0 {
		out.WriteString(strconv.Itoa(t.N) + " ")
	}
	fmt.Fprintf(out, "%s ordered by %s:\n", title, t.Order)
	width := 17
	if opt.LongIPv6 && t.Stat.Element.IsAddr() {
		width = 40
	}
	fmt.Fprintf(out, "Date first seen                 Duration Proto %*s    Flows(%%)     Packets(%%)       Bytes(%%) "+
		"        pps      bps   bpp\n",
		width, title)
	var b []byte
	for i := range t.Rows {
		b = appendRow(b[:0], t, &t.Rows[i], totals, width, opt)
		out.Write(b)
	}
	out.WriteByte('\n')
	return out.Flush()
}

// appendRow appends a row of a table.
func appendRow(b []byte, t *query.Table, r *query.Row, totals *query.Totals, width int, opt Options) []byte {
	b = opt.appendTime(b, r.First)
	b = append(b, ' ')
	b = opt.appendDuration(b, r.Duration())
	b = append(b, ' ')
	if proto, ok := r.Proto(); ok {
		b = opt.appendProto(b, proto)
	} else {
		b = append(b, "any  "...)
	}
	b = append(b, ' ')
	switch {
	case t.Stat.Element.IsAddr():
		b = opt.appendAddr(b, r.Addr(), width)
	case t.Stat.Element.IsFlags():
		b = appendFlags(appendSpaces(b, width-8), uint8(r.Number()))
	default:
		b = appendRight(b, strconv.AppendUint(nil, r.Number(), 10), width)
	}
	packets, bytes := r.Counters(t.Order)
	b = opt.appendShare(b, r.Flows, totals.Flows)
	b = opt.appendShare(b, packets, totals.Packets)
	b = opt.appendShare(b, bytes, totals.Bytes)
	b = append(b, ' ')
	b = opt.appendCount(b, query.PerSecond(packets, r.Duration()), 8)
	b = append(b, ' ')
	b = opt.appendCount(b, query.PerSecond(8*bytes, r.Duration()), 8)
	b = append(b, ' ')
	b = appendRight(b, strconv.AppendUint(nil, query.PerPacket(bytes, packets), 10), 5)
	return append(b, '\n')
}

// appendShare appends a counter and how much of the total it is.
func (o *Options) appendShare(b []byte, v, total uint64) []byte {
	b = append(b, ' ')
	b = o.appendCount(b, v, 8)
	percent := 0.0
	if total > 0 {
		percent = float64(v) * 100 / float64(total)
	}
	return fmt.Appendf(b, "(%4.1f)", percent)
}
