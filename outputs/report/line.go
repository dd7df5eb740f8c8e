package report

import (
	"bufio"
	"io"
	"net/netip"
	"strconv"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Line prints flows in nfdump's format "line": a flow on one line, one with a
// tunnel on two. It buffers; Flush writes out. It does not allocate per flow.
type Line struct {
	opt Options
	w   *bufio.Writer
	buf []byte

	second int64 // the time's second that secondText is of
	text   []byte
}

// NewLine returns a Line that writes to w.
func NewLine(w io.Writer, opt Options) *Line {
	return &Line{opt: opt, w: bufio.NewWriterSize(w, 1<<16), second: -1}
}

// Header prints the names of the columns.
func (l *Line) Header() error {
	b := append(l.buf[:0], "Date first seen             Duration     Proto "...)
	b = appendRight(b, []byte("Src IP Addr"), l.opt.addrWidth())
	b = append(b, ":Port     "...)
	b = appendRight(b, []byte("Dst IP Addr"), l.opt.addrWidth())
	b = append(b, ":Port   Packets    Bytes Flows\n"...)
	l.buf = b
	_, err := l.w.Write(b)
	return err
}

// Flow prints a flow.
func (l *Line) Flow(r *flow.Record) error {
	b := l.buf[:0]
	if r.TunSrc.IsValid() || r.TunDst.IsValid() {
		b = l.start(b, r, r.TunProto)
		b = l.opt.appendAddr(b, r.TunSrc, l.opt.addrWidth())
		b = appendPort(b, r.TunSrc, 0)
		b = append(b, "-> "...)
		b = l.opt.appendAddr(b, r.TunDst, l.opt.addrWidth())
		b = appendPort(b, r.TunDst, 0)
		b = append(b, "       0        0     0\n"...)
	}
	b = l.start(b, r, r.Proto)
	b = l.opt.appendAddr(b, r.Src, l.opt.addrWidth())
	b = appendPort(b, r.Src, r.SrcPort)
	b = append(b, "-> "...)
	b = l.opt.appendAddr(b, r.Dst, l.opt.addrWidth())
	if r.Proto == 1 || r.Proto == 58 {
		b = appendICMP(b, r.Dst, r.DstPort)
	} else {
		b = appendPort(b, r.Dst, r.DstPort)
	}
	b = l.opt.appendCount(b, r.Packets, 8)
	b = append(b, ' ')
	b = l.opt.appendCount(b, r.Bytes, 8)
	b = append(b, ' ')
	flows := uint64(1)
	if r.Has(flow.Flows) {
		flows = r.Flows
	}
	b = l.opt.appendCount(b, flows, 5)
	b = append(b, '\n')
	l.buf = b
	_, err := l.w.Write(b)
	return err
}

// Flush writes out what is buffered.
func (l *Line) Flush() error { return l.w.Flush() }

// start appends time, duration and protocol, each with a blank behind.
func (l *Line) start(b []byte, r *flow.Record, proto uint8) []byte {
	first := r.First.Milli()
	if second := int64(first / 1000); second != l.second {
		l.second = second
		l.text = l.opt.appendTime(l.text[:0], uint64(second)*1000)
		l.text = l.text[:len(l.text)-3]
	}
	b = append(b, l.text...)
	b = appendDigits(b, first%1000, 3)
	b = append(b, ' ')
	b = l.opt.appendDuration(b, r.Last.Milli()-first)
	b = append(b, ' ')
	b = l.opt.appendProto(b, proto)
	return append(b, ' ')
}

// appendSeparator appends what stands between an address and its port.
func appendSeparator(b []byte, a netip.Addr) []byte {
	if a.Is6() {
		return append(b, '.')
	}
	return append(b, ':')
}

// appendPort appends a port, 5 wide, with its separator and a blank behind.
func appendPort(b []byte, a netip.Addr, port uint16) []byte {
	b = appendSeparator(b, a)
	return appendLeftFrom(strconv.AppendUint(b, uint64(port), 10), len(b), 6)
}

// appendICMP appends an ICMP type and code in place of a port.
func appendICMP(b []byte, a netip.Addr, v uint16) []byte {
	b = appendSeparator(b, a)
	n := len(b)
	b = strconv.AppendUint(b, uint64(v>>8), 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(v&0xff), 10)
	return append(appendLeftFrom(b, n, 5), ' ')
}

// appendLeftFrom fills what has been appended after start to width columns.
func appendLeftFrom(b []byte, start, width int) []byte {
	for len(b) < start+width {
		b = append(b, ' ')
	}
	return b
}
