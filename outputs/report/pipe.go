package report

import (
	"encoding/binary"
	"io"
	"net/netip"
	"strconv"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// pipe prints flows as nfdump 1.7.1's pipe does: numbers between bars, addresses as four
// numbers of 32 bits, IPv4 in the last.
type pipe struct{ output }

func openPipe(w io.Writer, opt Options) (Printer, error) {
	return &pipe{newOutput(w, opt)}, nil
}

// Begin prints nothing.
func (p *pipe) Begin() error { return nil }

// Flow prints a flow.
func (p *pipe) Flow(q *query.Flow) error {
	b, f := p.buf, row{q}
	if f.tunnelled() {
		tunnel := flow.Record{First: f.First, Last: f.Last, Proto: f.TunProto}
		b = p.row(b, row{&query.Flow{Record: &tunnel, Extra: &noExtra}})
	}
	return p.write(p.row(b, f))
}

// row appends the row of a flow.
func (p *pipe) row(b []byte, f row) []byte {
	src, dst := f.end(flow.Src), f.end(flow.Dst)
	b = appendFamily(b, src)
	for _, v := range [...]uint64{f.First.Milli(), f.Last.Milli(), uint64(f.Proto)} {
		b = strconv.AppendUint(append(b, '|'), v, 10)
	}
	b = appendWords(append(b, '|'), src)
	b = strconv.AppendUint(append(b, '|'), uint64(f.SrcPort), 10)
	b = appendWords(append(b, '|'), dst)
	for _, v := range [...]uint64{uint64(f.DstPort), uint64(f.SrcAS), uint64(f.DstAS), uint64(f.Input),
		uint64(f.Output), uint64(uint8(f.TCPFlags)), uint64(f.SrcTOS), f.Packets, f.Bytes} {
		b = strconv.AppendUint(append(b, '|'), v, 10)
	}
	return append(b, '\n')
}

// End writes out what is buffered.
func (p *pipe) End(t *query.Totals, _ Usage) error {
	if t.Records == 0 {
		p.w.WriteString(noMatch)
	}
	return p.w.Flush()
}

// appendFamily appends the number of an address family on Linux.
func appendFamily(b []byte, a netip.Addr) []byte {
	if a.Is6() {
		return append(b, "10"...)
	}
	return append(b, '2')
}

// appendWords appends an address as four numbers.
func appendWords(b []byte, a netip.Addr) []byte {
	if !a.Is6() {
		var v uint32
		if a.IsValid() {
			w := a.As4()
			v = binary.BigEndian.Uint32(w[:])
		}
		return strconv.AppendUint(append(b, "0|0|0|"...), uint64(v), 10)
	}
	w := a.As16()
	for i := range 4 {
		if i > 0 {
			b = append(b, '|')
		}
		b = strconv.AppendUint(b, uint64(binary.BigEndian.Uint32(w[4*i:])), 10)
	}
	return b
}
