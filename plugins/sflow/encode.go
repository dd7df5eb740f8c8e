package sflow

import (
	"bytes"
	"math"
	"net"
	"net/netip"
	"strconv"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// Encoder writes datagrams. Use Begin, then add samples, then End. The zero value
// is ready, but for Agent.
type Encoder struct {
	Agent    netip.Addr
	SubAgent uint32
	Sequence uint32 // of the next datagram; End counts on
	Samples  uint32 // sequence number of the next sample
	Boot     flow.Time

	w     wire.Writer
	start int // of the datagram in the writer's buffer
	count int // where the number of samples stands
	n     uint32
}

// Begin starts a datagram at the given time behind dst.
func (e *Encoder) Begin(dst []byte, at flow.Time) {
	e.w = wire.NewWriter(dst)
	e.start, e.n = len(dst), 0
	e.w.Uint32(Version)
	appendAddress(&e.w, e.Agent)
	e.w.Uint32(e.SubAgent)
	e.w.Uint32(e.Sequence)
	e.w.Uint32(uint32((at - e.Boot) / 1e6))
	e.count = e.w.Len()
	e.w.Uint32(0)
}

// Len returns the length of the datagram so far in bytes.
func (e *Encoder) Len() int { return e.w.Len() - e.start }

// End closes the datagram and returns it behind the bytes that Begin got.
func (e *Encoder) End() []byte {
	e.Sequence++
	e.w.PutUint16(e.count, uint16(e.n>>16))
	e.w.PutUint16(e.count+2, uint16(e.n))
	return e.w.Buf()
}

// block writes format and length, what body appends, and padding to 4 bytes.
func (e *Encoder) block(format uint32, body func(w *wire.Writer)) {
	e.w.Uint32(format)
	at := e.w.Len()
	e.w.Uint32(0)
	body(&e.w)
	e.w.Zero(-(e.w.Len() - at) & 3)
	n := e.w.Len() - at - 4
	e.w.PutUint16(at, uint16(n>>16))
	e.w.PutUint16(at+2, uint16(n))
}

// Flow adds a flow sample of one packet: its interfaces and rate are r's, head its
// first bytes and length its length on the wire, in bytes.
func (e *Encoder) Flow(r *flow.Record, protocol uint32, head []byte, length uint32) {
	e.block(FlowSample, func(w *wire.Writer) {
		w.Uint32(e.Samples)
		w.Uint32(r.Input & 0xffffff)
		w.Uint32(max(r.SamplingRate, 1))
		w.Uint32(e.Samples * max(r.SamplingRate, 1))
		w.Uint32(0)
		w.Uint32(r.Input & 0x3fffffff)
		w.Uint32(r.Output & 0x3fffffff)
		w.Uint32(1)
		e.block(1, func(w *wire.Writer) {
			w.Uint32(protocol)
			w.Uint32(length)
			w.Uint32(4)
			w.Uint32(uint32(len(head)))
			w.Bytes(head)
		})
	})
	e.n++
	e.Samples++
}

// Counters adds a counter sample with the given records. Counters are written by
// their place; a kind that is not known is left out.
func (e *Encoder) Counters(source uint32, records ...flow.CounterRecord) {
	known := uint32(0)
	for i := range records {
		if kindOf(records[i].Kind) != nil {
			known++
		}
	}
	e.block(CounterSample, func(w *wire.Writer) {
		w.Uint32(e.Samples)
		w.Uint32(source & 0xffffff)
		w.Uint32(known)
		for i := range records {
			if f := kindOf(records[i].Kind); f != nil {
				e.block(f.format, func(w *wire.Writer) { appendCounters(w, f, records[i].Counters) })
			}
		}
	})
	e.n++
	e.Samples++
}

// kindOf returns the layout of a kind, nil when it is unknown.
func kindOf(kind string) *counterFormat {
	for i := range counterFormats {
		if counterFormats[i].kind == kind {
			return &counterFormats[i]
		}
	}
	return nil
}

// appendCounters writes the counters of one record.
func appendCounters(w *wire.Writer, f *counterFormat, list []flow.Counter) {
	for i, c := range f.columns {
		var v flow.Counter
		if i < len(list) {
			v = list[i]
		}
		switch c.shape {
		case u32:
			w.Uint32(uint32(v.Value))
		case u64:
			w.Uint64(v.Value)
		case f32:
			w.Uint32(math.Float32bits(float32(v.Float)))
		case octet:
			w.Uint8(uint8(v.Value))
		case mac:
			appendFixed(w, v.Text, 6, 8)
		case uuid:
			appendFixed(w, v.Text, 16, 16)
		case adapters:
			appendAdapters(w, v.Text)
		case text:
			w.Uint32(uint32(len(v.Text)))
			w.Bytes(v.Text)
			w.Zero(-len(v.Text) & 3)
		}
	}
}

// appendAdapters writes a list of adapters, one address for each, as adapterList has it.
// What is no index and address is left out.
func appendAdapters(w *wire.Writer, list []byte) {
	at, n := w.Len(), uint16(0)
	w.Uint32(0)
	for one := range bytes.SplitSeq(list, []byte{','}) {
		index, addr, _ := bytes.Cut(one, []byte{'='})
		i, err := strconv.ParseUint(string(index), 10, 32)
		mac, macErr := net.ParseMAC(string(addr))
		if err != nil || macErr != nil || len(mac) != macLen {
			continue
		}
		w.Uint32(uint32(i))
		w.Uint32(1)
		appendFixed(w, mac, macLen, macLenXDR)
		n++
	}
	w.PutUint16(at+2, n)
}

// appendFixed writes at most n bytes of b into a place of size bytes.
func appendFixed(w *wire.Writer, b []byte, n, size int) {
	b = b[:min(len(b), n)]
	w.Bytes(b)
	w.Zero(size - len(b))
}

// appendAddress writes an address behind its type.
func appendAddress(w *wire.Writer, a netip.Addr) {
	switch {
	case a.Is4():
		w.Uint32(1)
	case a.Is6():
		w.Uint32(2)
	default:
		w.Uint32(0)
	}
	w.Bytes(a.AsSlice())
}
