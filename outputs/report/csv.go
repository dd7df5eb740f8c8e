package report

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// csvHeader are the columns of nfdump up to 1.7.4.
const csvHeader = "ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt,in,out,sas,das,smk,dmk,dtos,dir,nh,nhb," +
	"svln,dvln,ismc,odmc,idmc,osmc,mpls1,mpls2,mpls3,mpls4,mpls5,mpls6,mpls7,mpls8,mpls9,mpls10,cl,sl,al,ra,eng,exid," +
	"tr\n"

// csvFlows prints flows as comma separated values (RFC 4180): a header and a row for each
// flow, nothing else. With Nfdump171 there is a row for a tunnel, and a summary.
type csvFlows struct {
	output
	older bool // all as nfdump 1.7.1
}

func openCSV(w io.Writer, opt Options) (Printer, error) {
	if opt.Compat == Nfdump178 {
		return openTagCSV(w, "%ts,%td,%pr,%sa,%sp,%da,%dp,%pkt,%byt,%fl", opt)
	}
	return &csvFlows{newOutput(w, opt), opt.Compat == Nfdump171}, nil
}

// Begin prints the names of the columns.
func (c *csvFlows) Begin() error {
	if c.opt.Quiet {
		return nil
	}
	_, err := c.w.WriteString(csvHeader)
	return err
}

// Flow prints a flow.
func (c *csvFlows) Flow(q *query.Flow) error {
	b := c.buf
	if f := (row{q}); c.older && f.tunnelled() {
		tunnel := flow.Record{First: f.First, Last: f.Last, Proto: f.TunProto}
		b = c.row(b, row{&query.Flow{Record: &tunnel, Extra: &noExtra}})
	}
	return c.write(c.row(b, row{q}))
}

// row appends the row of a flow.
func (c *csvFlows) row(b []byte, f row) []byte {
	b = append(c.clock.seconds(b, f.First.Milli()), ',')
	b = append(c.clock.seconds(b, f.Last.Milli()), ',')
	b = append(appendSeconds(b, f.milliseconds(), 0), ',')
	b = append(appendAddrOrZero(b, f.end(flow.Src)), ',')
	b = append(appendAddrOrZero(b, f.end(flow.Dst)), ',')
	b = append(strconv.AppendUint(b, uint64(f.SrcPort), 10), ',')
	b = append(strconv.AppendUint(b, uint64(f.DstPort), 10), ',')
	n := len(b)
	if c.older { // which has the name with -N too
		b = append(b, protoText(f.Proto)...)
	} else {
		b = c.opt.appendProtoName(b, f.Proto)
	}
	if c.older && f.Proto > lastProto {
		b = appendLeftFrom(b, n, 5)
	}
	b = append(b, ',')
	b = appendFlags(b, uint8(f.TCPFlags))
	for _, v := range [...]uint64{uint64(f.FwdStatus), uint64(f.SrcTOS), f.Packets, f.Bytes, f.RevPackets, f.RevBytes,
		uint64(f.Input), uint64(f.Output), uint64(f.SrcAS), uint64(f.DstAS), uint64(f.SrcMask), uint64(f.DstMask),
		uint64(f.DstTOS), uint64(f.Direction)} {
		b = strconv.AppendUint(append(b, ','), v, 10)
	}
	b = appendAddrOrZero(append(b, ','), f.end(flow.NextHop))
	next := f.end(flow.BGPNextHop)
	if c.older && next.Is6() {
		if next = f.end(flow.NextHop); !next.Is6() { // an error of nfdump's
			next = netip.IPv6Unspecified()
		}
	}
	b = appendAddrOrZero(append(b, ','), next)
	b = strconv.AppendUint(append(b, ','), uint64(f.SrcVLAN), 10)
	b = append(strconv.AppendUint(append(b, ','), uint64(f.DstVLAN), 10), ',')
	return c.rest(b, f)
}

// rest appends the columns from the hardware addresses on.
func (c *csvFlows) rest(b []byte, f row) []byte {
	if f.Has(flow.InSrcMAC) {
		b = append(appendMAC(b, f.InSrcMAC), ',')
		b = append(appendMAC(b, f.OutDstMAC), ',')
		b = append(appendMAC(b, f.InDstMAC), ',')
		b = appendMAC(b, f.OutSrcMAC)
	} else {
		b = append(b, "00:00:00:00:00:00,00:00:00:00:00:00,00:00:00:00:00:00,00:00:00:00:00:00"...)
	}
	if f.Has(flow.MPLS) {
		for _, v := range f.MPLS {
			b = appendLabel(append(b, ','), v, 0)
		}
	} else {
		b = append(b, ",0-0-0,0-0-0,0-0-0,0-0-0,0-0-0,0-0-0,0-0-0,0-0-0,0-0-0,0-0-0"...)
	}
	if l := f.latencies(); l == [3]uint64{} {
		b = append(b, ",    0.000,    0.000,    0.000"...)
	} else {
		for _, v := range l {
			b = appendMilliseconds(append(b, ','), v)
		}
	}
	b = appendAddrOrZero(append(b, ','), f.router())
	b = strconv.AppendUint(append(b, ','), uint64(f.EngineType), 10)
	b = strconv.AppendUint(append(b, '/'), uint64(f.EngineID), 10)
	b = strconv.AppendUint(append(b, ','), uint64(f.SysID), 10)
	b = c.clock.time(append(b, ','), f.Received.Milli())
	return append(b, '\n')
}

// End prints the summary of nfdump 1.7.1.
func (c *csvFlows) End(t *query.Totals, _ Usage) error {
	if c.older && t.Records == 0 {
		c.w.WriteString(noMatch)
	}
	if c.older && !c.opt.Quiet {
		csvSummary(c.w, t)
	}
	return c.w.Flush()
}

// csvSummary prints the sums as nfdump 1.7.1 does behind its csv.
func csvSummary(w io.Writer, t *query.Totals) {
	bps, pps, bpp := averages(t, Nfdump171)
	fmt.Fprintf(w, "Summary\nflows,bytes,packets,avg_bps,avg_pps,avg_bpp\n%d,%d,%d,%d,%d,%d\n", t.Flows, t.Bytes,
		t.Packets, bps, pps, bpp)
}

// csvFast prints flows as nfdump 1.7.8's csv-fast does.
type csvFast struct{ output }

func openCSVFast(w io.Writer, opt Options) (Printer, error) {
	return &csvFast{newOutput(w, opt)}, nil
}

// Begin prints the names of the columns.
func (c *csvFast) Begin() error {
	if c.opt.Quiet {
		return nil
	}
	_, err := c.w.WriteString("cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output," +
		"flags,srcTos,packets,bytes\n")
	return err
}

// Flow prints a flow.
func (c *csvFast) Flow(q *query.Flow) error {
	f, b := row{q}, c.buf
	family := uint64(2)
	if f.end(flow.Src).Is6() {
		family = 10
	}
	for _, v := range [...]uint64{f.Number, family, f.firstMilli(true), f.Last.Milli(), uint64(f.Proto)} {
		b = append(strconv.AppendUint(b, v, 10), ',')
	}
	b = append(appendAddrOrZero(b, f.end(flow.Src)), ',')
	b = append(strconv.AppendUint(b, uint64(f.SrcPort), 10), ',')
	b = append(appendAddrOrZero(b, f.end(flow.Dst)), ',')
	for _, v := range [...]uint64{uint64(f.DstPort), uint64(f.SrcAS), uint64(f.DstAS), uint64(f.Input),
		uint64(f.Output)} {
		b = append(strconv.AppendUint(b, v, 10), ',')
	}
	b = appendFlags(b, uint8(f.TCPFlags))
	for _, v := range [...]uint64{uint64(f.SrcTOS), f.Packets, f.Bytes} {
		b = strconv.AppendUint(append(b, ','), v, 10)
	}
	return c.write(append(b, '\n'))
}

// End writes out what is buffered.
func (c *csvFast) End(*query.Totals, Usage) error { return c.w.Flush() }

// tagCSV prints the values of tags, as nfdump 1.7.8's csv: does: plain numbers, and
// texts that need it in quotes (RFC 4180).
type tagCSV struct {
	*Text
	tunnels bool // as nfdump prints them
	cell    []byte
}

func openTagCSV(w io.Writer, format string, opt Options) (Printer, error) {
	pieces, err := parseFormat(format)
	if err != nil {
		return nil, err
	}
	tunnels := opt.Compat == Nfdump178
	opt.Plain, opt.LongIPv6 = true, true
	c := &tagCSV{Text: newText(w, opt), tunnels: tunnels}
	c.newer, c.width = true, 0
	for _, p := range pieces {
		if p.tag != nil {
			c.pieces = append(c.pieces, p)
		} else if rest := strings.Trim(p.text, ", "); rest != "" {
			return nil, fmt.Errorf("-o csv: takes tags between commas, got the text %q", rest)
		}
	}
	if len(c.pieces) == 0 {
		return nil, fmt.Errorf("-o csv: without tags: expected some, as in 'csv:%%ts,%%sa,%%da'")
	}
	return c, nil
}

// Begin prints the names of the columns.
func (c *tagCSV) Begin() error {
	if c.opt.Quiet {
		return nil
	}
	var b []byte
	for i, p := range c.pieces {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, p.tag.csv...)
	}
	_, err := c.w.Write(append(b, '\n'))
	return err
}

// Flow prints a flow.
func (c *tagCSV) Flow(q *query.Flow) error {
	b, f := c.buf[:0], row{q}
	if c.tunnels && f.tunnelled() {
		tunnel := c.outer(f)
		tunnel.SrcPort, tunnel.DstPort = f.SrcPort, f.DstPort
		b = c.cells(b, tunnel)
	}
	b = c.cells(b, f)
	c.buf = b
	_, err := c.w.Write(b)
	return err
}

// cells appends the row of a flow.
func (c *tagCSV) cells(b []byte, f row) []byte {
	for i := range c.pieces {
		if i > 0 {
			b = append(b, ',')
		}
		c.cell = c.pieces[i].tag.append(c.Text, c.cell[:0], f)
		b = appendCell(b, bytes.TrimSpace(c.cell))
	}
	return append(b, '\n')
}

// appendCell appends a value, in quotes when it has to be.
func appendCell(b, cell []byte) []byte {
	if bytes.IndexByte(cell, ',') < 0 && bytes.IndexByte(cell, '"') < 0 && bytes.IndexByte(cell, '\n') < 0 &&
		bytes.IndexByte(cell, '\r') < 0 {
		return append(b, cell...)
	}
	b = append(b, '"')
	for _, c := range cell {
		if c == '"' {
			b = append(b, '"')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// End writes out what is buffered.
func (c *tagCSV) End(*query.Totals, Usage) error { return c.w.Flush() }
