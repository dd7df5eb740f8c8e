package report

import (
	"bufio"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/outputs/query"
)

// Tables prints statistics, as nfdump's -s does, in an output format. Percentages are of
// totals. Formats of flows that are text print tables of text.
func Tables(w io.Writer, tables []query.Table, t *query.Totals, u Usage, format string, opt Options) error {
	out := bufio.NewWriterSize(w, bufferSize) // which all that is opened below uses
	if t.Records == 0 && len(tables) > 0 && tables[0].Stat.Element != query.Record && noneFirst(format, &opt) {
		out.WriteString(noMatch)
		opt.saidNone = true
	}
	p, err := openTables(out, format, opt)
	if err != nil {
		return err
	}
	for i := range tables {
		if tables[i].Stat.Element == query.Record {
			if err := recordTable(out, &tables[i], t, format, opt); err != nil || !ForPeople(format) {
				return err // what is printed is a whole: there is nothing else, see CheckTables
			}
		} else {
			if err := p.table(&tables[i], t); err != nil {
				return err
			}
		}
	}
	return p.end(t, u)
}

// noneFirst says whether nfdump begins statistics of nothing with saying so.
func noneFirst(format string, opt *Options) bool {
	return opt.Compat != Nfdump178 && (ForPeople(format) || format == "pipe") ||
		opt.Compat == Nfdump171 && format == "csv"
}

// CheckTables says whether statistics can be printed in a format.
func CheckTables(format string, opt Options) error {
	_, err := openTables(io.Discard, format, opt)
	return err
}

// tablePrinter prints statistics.
type tablePrinter interface {
	table(t *query.Table, totals *query.Totals) error
	end(totals *query.Totals, u Usage) error
}

// openTables returns what prints statistics in a format.
func openTables(w io.Writer, format string, opt Options) (tablePrinter, error) {
	if _, err := Open(io.Discard, format, opt); err != nil {
		return nil, err
	}
	base, long := strings.CutSuffix(format, "6")
	opt.LongIPv6 = opt.LongIPv6 || long
	o := newOutput(w, opt)
	switch {
	case base == "csv" || base == "csv-fast" || strings.HasPrefix(format, "csv:"):
		return &csvTables{output: o}, nil
	case base == "json" && opt.Compat == Nfdump178:
		return &jsonTables{output: o, object: object{layout: &lines178}}, nil
	case base == "json":
		return &jsonTables{output: o, object: object{layout: &rows}}, nil
	case base == "ndjson" || base == "json-log":
		return &jsonTables{output: o, object: object{layout: &lines}}, nil
	case base == "table" || strings.HasPrefix(format, "table:"):
		return &tableTables{output: o}, nil
	case base == "parquet" || slices.ContainsFunc(opt.Extensions, func(x Extension) bool {
		name, _, _ := strings.Cut(format, ":")
		return x.Name == name
	}):
		return nil, fmt.Errorf("-o %s prints flows, not statistics: -s takes text, table, csv, json, ndjson and pipe",
			format)
	case base == "pipe":
		return &pipeTables{output: o}, nil
	}
	return &textTables{output: o}, nil
}

// textTables prints a title, the names of the columns, the rows, an empty line.
type textTables struct{ output }

func (p *textTables) table(t *query.Table, totals *query.Totals) error {
	title := t.Stat.Element.Title()
	if !p.opt.Quiet {
		p.w.WriteString("Top ")
		if t.N > 0 {
			p.w.WriteString(strconv.Itoa(t.N) + " ")
		}
		fmt.Fprintf(p.w, "%s ordered by %s:\n", title, t.Order)
	}
	width := 17
	if p.opt.LongIPv6 && t.Stat.Element.IsAddr() {
		width = 40
		if p.opt.Compat == Nfdump171 {
			width--
		}
	}
	if !p.opt.Quiet {
		dates := "Date first seen                 Duration Proto"
		if p.opt.Compat == Nfdump178 {
			dates = "Date first seen             Duration     Proto"
		}
		fmt.Fprintf(p.w, "%s %*s    Flows(%%)     Packets(%%)       Bytes(%%)         pps      bps   bpp\n", dates,
			width, title)
	}
	for i := range t.Rows {
		if err := p.write(p.row(p.buf, t, &t.Rows[i], totals, width)); err != nil {
			return err
		}
	}
	if p.opt.Compat == Nfdump178 {
		return nil
	}
	return p.w.WriteByte('\n')
}

func (p *textTables) end(totals *query.Totals, u Usage) error { return p.summary(totals, u) }

// row appends a row of a table.
func (p *textTables) row(b []byte, t *query.Table, r *query.Row, totals *query.Totals, width int) []byte {
	b = append(p.clock.time(b, r.First), ' ')
	if p.opt.Compat == Nfdump171 && width > 17 { // which has a line of its own for long addresses
		b = append(appendSeconds(b, r.Duration(), 9), ' ')
	} else {
		b = append(p.opt.appendDuration(b, r.Duration()), ' ')
	}
	if proto, ok := r.Proto(); ok {
		b = p.opt.appendProto(b, proto)
	} else {
		b = append(b, "any  "...)
	}
	b = append(b, ' ')
	if t.Stat.Element.IsAddr() {
		b = p.opt.appendAddr(b, r.Addr(), width)
	} else {
		var buf [64]byte
		b = appendRight(b, appendValue(buf[:0], t.Stat.Element, r), width)
	}
	packets, bytes := r.Counters(t.Order)
	b = p.opt.appendShare(b, r.Flows, totals.Flows)
	b = p.opt.appendShare(b, packets, totals.Packets)
	b = append(p.opt.appendShare(b, bytes, totals.Bytes), ' ')
	b = append(p.opt.appendCount(b, p.opt.perSecond(packets, r.Duration()), 8), ' ')
	b = append(p.opt.appendCount(b, p.opt.perSecond(8*bytes, r.Duration()), 8), ' ')
	return append(appendUint(b, query.PerPacket(bytes, packets), 5), '\n')
}

// appendValue appends the value of an element.
func appendValue(b []byte, e query.Element, r *query.Row) []byte {
	if e.IsAddr() {
		return appendPlainAddr(b, r.Addr())
	}
	return appendNumber(b, e, r.Number())
}

// appendShare appends a counter and how much of the total it is.
func (o *Options) appendShare(b []byte, v, total uint64) []byte {
	b = append(o.appendCount(append(b, ' '), v, 8), '(')
	var buf [16]byte
	return append(appendRight(b, appendPercent(buf[:0], v, total), 4), ')')
}

// appendPercent appends how much of a total v is.
func appendPercent(b []byte, v, total uint64) []byte {
	percent := 0.0
	if total > 0 {
		percent = float64(v) * 100 / float64(total)
	}
	return strconv.AppendFloat(b, percent, 'f', 1, 64)
}

// csvTables prints a header and the rows of each table, an empty line between two; as
// nfdump 1.7.1 behind each, and a summary.
type csvTables struct {
	output
	some bool
}

// counterNames are the columns of counters by the direction of an order.
func counterNames(o query.Order) string {
	names := "fl,flP,pkt,pktP,byt,bytP,pps,bps,bpp\n"
	way := ""
	switch name := o.String(); {
	case o == query.ByFlows || name[0] == 'i':
		way = "i"
	case name[0] == 'o':
		way = "o"
	}
	for _, n := range [...]string{"pkt", "byt", "pps", "bps", "bpp"} {
		names = strings.ReplaceAll(names, ","+n, ","+way+n)
	}
	return names
}

func (p *csvTables) table(t *query.Table, totals *query.Totals) error {
	if p.some && p.opt.Compat != Nfdump171 {
		p.w.WriteByte('\n')
	}
	p.some = true
	p.w.WriteString("ts,te,td,pr,val," + counterNames(t.Order))
	for i := range t.Rows {
		r := &t.Rows[i]
		b := append(p.clock.seconds(p.buf, r.First), ',')
		b = append(p.clock.seconds(b, r.Last), ',')
		b = append(appendSeconds(b, r.Duration(), 0), ',')
		b = append(p.opt.appendAny(b, r), ',')
		b = append(appendValue(b, t.Stat.Element, r), ',')
		packets, bytes := r.Counters(t.Order)
		for _, v := range [...][2]uint64{{r.Flows, totals.Flows}, {packets, totals.Packets}, {bytes, totals.Bytes}} {
			b = append(strconv.AppendUint(b, v[0], 10), ',')
			b = append(appendPercent(b, v[0], v[1]), ',')
		}
		b = append(strconv.AppendUint(b, p.opt.perSecond(packets, r.Duration()), 10), ',')
		b = append(strconv.AppendUint(b, p.opt.perSecond(8*bytes, r.Duration()), 10), ',')
		b = append(strconv.AppendUint(b, query.PerPacket(bytes, packets), 10), '\n')
		if err := p.write(b); err != nil {
			return err
		}
	}
	if p.opt.Compat == Nfdump171 {
		return p.w.WriteByte('\n')
	}
	return nil
}

// appendAny appends the protocol of a row.
func (o *Options) appendAny(b []byte, r *query.Row) []byte {
	proto, ok := r.Proto()
	if !ok {
		return append(b, "any"...)
	}
	n := len(b)
	b = o.appendProtoName(b, proto)
	if o.Compat == Nfdump171 && (proto > lastProto || o.Plain) {
		b = appendLeftFrom(b, n, 5)
	}
	return b
}

func (p *csvTables) end(totals *query.Totals, _ Usage) error {
	if p.opt.Compat == Nfdump171 && !p.opt.Quiet {
		csvSummary(p.w, totals)
	}
	return p.w.Flush()
}

// Layouts of statistics: an array with a row on each line, and nfdump 1.7.8's lines.
var (
	rows = layout{begin: "[\n", end: "\n]\n", open: " { \"", next: ", \"", is: "\" : ", close: "}",
		between: ",\n"}
	lines178 = layout{open: "{ \"", next: ", \"", is: "\" : ", close: "}", between: "\n", end: "\n"}
)

// jsonTables prints an object for each row.
type jsonTables struct {
	output
	object object
	some   bool
}

func (p *jsonTables) table(t *query.Table, _ *query.Totals) error {
	o := &p.object
	for i := range t.Rows {
		r := &t.Rows[i]
		o.b = p.buf
		if p.some {
			o.b = append(o.b, o.layout.between...)
		} else {
			o.b = append(o.b, o.layout.begin...)
		}
		p.some = true
		o.member("first")
		o.b = append(p.clock.iso(append(o.b, '"'), r.First), '"')
		o.member("last")
		o.b = append(p.clock.iso(append(o.b, '"'), r.Last), '"')
		proto, _ := r.Proto()
		o.uint("proto", uint64(proto))
		p.value(o, t.Stat.Element, r)
		packets, bytes := r.Counters(t.Order)
		o.uint("flows", r.Flows)
		o.uint("packets", packets)
		o.uint("bytes", bytes)
		o.uint("pps", p.opt.perSecond(packets, r.Duration()))
		o.uint("bps", p.opt.perSecond(8*bytes, r.Duration()))
		o.uint("bpp", query.PerPacket(bytes, packets))
		o.close()
		if err := p.write(o.b); err != nil {
			return err
		}
	}
	return nil
}

// value writes the value of an element: a number as one, but for nfdump 1.7.8.
func (p *jsonTables) value(o *object, e query.Element, r *query.Row) {
	name := e.String()
	if name == "proto" { // which is there already
		name = "protocol"
	}
	o.member(name)
	if k := e.Kind(); (k == query.KindNumber || k == query.KindLatency) && p.opt.Compat != Nfdump178 {
		o.b = appendValue(o.b, e, r)
		return
	}
	o.b = append(appendValue(append(o.b, '"'), e, r), '"')
}

func (p *jsonTables) end(*query.Totals, Usage) error {
	switch l := p.object.layout; {
	case p.some:
		p.w.WriteString(l.end)
	case l.begin != "":
		p.w.WriteString("[\n]\n")
	}
	return p.w.Flush()
}

// pipeTables prints values between bars, as nfdump 1.7.1 does, an empty line behind each
// table. The words of an IPv6 address are in its order; nfdump's are not.
type pipeTables struct{ output }

func (p *pipeTables) table(t *query.Table, _ *query.Totals) error {
	for i := range t.Rows {
		r, b := &t.Rows[i], p.buf
		addr := t.Stat.Element.IsAddr()
		if addr {
			b = appendFamily(b, r.Addr())
		} else {
			b = append(b, '0')
		}
		proto, _ := r.Proto()
		for _, v := range [...]uint64{r.First, r.Last, uint64(proto)} {
			b = strconv.AppendUint(append(b, '|'), v, 10)
		}
		b = append(b, '|')
		switch {
		case addr && p.opt.Compat == Nfdump171 && r.Addr().Is6():
			b = appendSwapped(b, r)
		case addr:
			b = appendWords(b, r.Addr())
		default:
			b = strconv.AppendUint(b, r.Number(), 10)
		}
		packets, bytes := r.Counters(t.Order)
		pps, bps := p.opt.perSecond(packets, r.Duration()), p.opt.perSecond(8*bytes, r.Duration())
		if p.opt.Compat == Nfdump171 {
			pps, bps = uint64(uint32(pps)), uint64(uint32(bps)) // an error of nfdump's
		}
		for _, v := range [...]uint64{r.Flows, packets, bytes, pps, bps, query.PerPacket(bytes, packets)} {
			b = strconv.AppendUint(append(b, '|'), v, 10)
		}
		if err := p.write(append(b, '\n')); err != nil {
			return err
		}
	}
	return p.w.WriteByte('\n')
}

// appendSwapped appends the words of an IPv6 address as nfdump 1.7.1 swaps them.
func appendSwapped(b []byte, r *query.Row) []byte {
	a := r.Addr().As16()
	for i := 0; i < 16; i += 8 {
		var v uint64
		for _, c := range a[i : i+8] {
			v = v<<8 | uint64(c)
		}
		v = bits.ReverseBytes64(v)
		if i > 0 {
			b = append(b, '|')
		}
		b = strconv.AppendUint(append(strconv.AppendUint(b, v>>32, 10), '|'), v&0xffffffff, 10)
	}
	return b
}

func (p *pipeTables) end(*query.Totals, Usage) error { return p.w.Flush() }
