package report

import (
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// utc is the location of the tags of GMT.
var utc = time.UTC

// outer returns the flow of the tunnel that f was seen in, as nfdump prints it: with the
// times of f, and since 1.7.8 with its counters.
func (t *Text) outer(f row) row {
	r := t.tunnel.Record
	if r == nil {
		r = new(flow.Record)
	}
	*r = flow.Record{First: f.First, Last: f.Last, Src: f.TunSrc, Dst: f.TunDst, Proto: f.TunProto}
	r.Present.Add(flow.Flows)
	t.tunnel = query.Flow{Record: r, Extra: &noExtra}
	if t.newer {
		t.tunnel.Number = f.Number
		r.Received, r.Packets, r.Bytes, r.Flows = f.Received, f.Packets, f.Bytes, 1
		r.SrcTOS, r.TCPFlags, r.FwdStatus = f.SrcTOS, f.TCPFlags, f.FwdStatus
	}
	return row{&t.tunnel}
}

// firstMilli returns when the flow began. An event has no beginning: nfdump prints 0
// up to 1.7.1, and the time of the event since 1.7.8.
func (f row) firstMilli(newer bool) uint64 {
	if newer && f.First == 0 {
		return f.EventTime.Milli()
	}
	return f.First.Milli()
}

// appendTime appends a time; without one, nfdump 1.7.8 prints zeros.
func (t *Text) appendTime(c *clock, b []byte, ms uint64) []byte {
	if ms == 0 && t.newer {
		return append(b, "0000-00-00 00:00:00.000"...)
	}
	return c.time(b, ms)
}

func first(t *Text, b []byte, f row) []byte { return t.appendTime(t.clock, b, f.firstMilli(t.newer)) }

func last(t *Text, b []byte, f row) []byte { return t.appendTime(t.clock, b, f.Last.Milli()) }

func received(t *Text, b []byte, f row) []byte {
	return t.appendTime(t.clock, b, f.Received.Milli())
}

func firstGMT(t *Text, b []byte, f row) []byte {
	return t.appendTime(t.utc, b, f.firstMilli(t.newer))
}

func lastGMT(t *Text, b []byte, f row) []byte { return t.appendTime(t.utc, b, f.Last.Milli()) }

func receivedGMT(t *Text, b []byte, f row) []byte {
	return t.appendTime(t.utc, b, f.Received.Milli())
}

// rawWidth is how wide raw times are, at least.
func (t *Text) rawWidth() int {
	if t.newer {
		return 14
	}
	return 0
}

func firstRaw(t *Text, b []byte, f row) []byte {
	return appendSeconds(b, f.firstMilli(t.newer), t.rawWidth())
}

func lastRaw(t *Text, b []byte, f row) []byte {
	last := f.Last.Milli()
	if t.opt.Compat == Nfdump171 {
		last = last/1000*1000 + last%100 // an error of nfdump's
	}
	return appendSeconds(b, last, t.rawWidth())
}

func receivedRaw(t *Text, b []byte, f row) []byte {
	return appendSeconds(b, f.Received.Milli(), t.rawWidth())
}

func duration(t *Text, b []byte, f row) []byte {
	return t.opt.appendDuration(b, f.milliseconds())
}

func durationSeconds(_ *Text, b []byte, f row) []byte {
	return appendSeconds(b, f.milliseconds(), 16)
}

func protocol(t *Text, b []byte, f row) []byte { return t.opt.appendProto(b, f.Proto) }

func dstPort(_ *Text, b []byte, f row) []byte {
	if !f.isICMP() {
		return appendUint(b, uint64(f.DstPort), 6)
	}
	var buf [8]byte
	return appendRight(b, f.appendDstPort(buf[:0]), 6)
}

func icmpType(_ *Text, b []byte, f row) []byte { return appendUint(b, uint64(f.ICMP>>8), 6) }

func icmpCode(_ *Text, b []byte, f row) []byte { return appendUint(b, uint64(f.ICMP&0xff), 6) }

func labels(_ *Text, b []byte, f row) []byte {
	for _, v := range f.MPLS {
		b = append(appendLabel(b, v, 8), ' ')
	}
	return b
}

func flowCount(_ *Text, b []byte, f row) []byte { return appendUint(b, f.flows(), 5) }

// tcpFlags returns the flags of a flow, none when it is not of TCP.
func (f row) tcpFlags() uint8 {
	if f.Proto != 6 {
		return 0
	}
	return uint8(f.TCPFlags)
}

func flags(_ *Text, b []byte, f row) []byte { return appendFlags(b, f.tcpFlags()) }

// appendFlags appends TCP flags as 8 letters or dots, CWR first.
func appendFlags(b []byte, v uint8) []byte {
	const letters = "CEUAPRSF"
	for i := range 8 {
		if v&(0x80>>i) != 0 {
			b = append(b, letters[i])
		} else {
			b = append(b, '.')
		}
	}
	return b
}

func tos(t *Text, b []byte, f row) []byte {
	if t.newer {
		return appendUint(b, uint64(f.SrcTOS), 4)
	}
	return appendUint(b, uint64(f.SrcTOS), 3)
}

func direction(_ *Text, b []byte, f row) []byte {
	if f.Direction != 0 {
		return append(b, "  E"...)
	}
	return append(b, "  I"...)
}

// perSecond returns v per second of the flow, rounded down, 0 when it took no time.
func (f row) perSecond(v uint64) uint64 {
	if ms := f.milliseconds(); ms > 0 {
		return clampUint(float64(v) / (float64(ms) / 1000))
	}
	return 0
}

func bitsPerSecond(t *Text, b []byte, f row) []byte {
	return t.opt.appendCount(b, f.perSecond(f.Bytes<<3), 8)
}

func packetsPerSecond(t *Text, b []byte, f row) []byte {
	return t.opt.appendCount(b, f.perSecond(f.Packets), 8)
}

// bytesPerPacketOf returns the bytes of a packet, 0 without packets.
func (f row) bytesPerPacketOf() uint64 {
	if f.Packets == 0 {
		return 0
	}
	return f.Bytes / f.Packets
}

func bytesPerPacket(_ *Text, b []byte, f row) []byte { return appendUint(b, f.bytesPerPacketOf(), 6) }

func fragment(_ *Text, b []byte, f row) []byte {
	n := len(b)
	if f.FragFlags&2 != 0 {
		b = append(b, "DF"...)
	}
	if f.FragFlags&4 != 0 {
		b = append(b, "MF"...)
	}
	return appendLeftFrom(b, n, 4)
}

func count(_ *Text, b []byte, f row) []byte { return appendUint(b, f.Number, 5) }

func version(_ *Text, b []byte, f row) []byte {
	switch {
	case f.Event:
		return appendUint(append(b, "EVT"...), uint64(f.Version), 0)
	case f.Version == 0:
		return append(b, "FLO"...)
	case f.Version&0x80 != 0:
		b = append(b, "Sv"...)
	case f.Version&0x40 != 0:
		b = append(b, "Pv"...)
	default:
		b = append(b, "Nv"...)
	}
	return appendUint(b, uint64(f.Version&0x0f), 0)
}

func engine(_ *Text, b []byte, f row) []byte {
	b = append(appendUint(b, uint64(f.EngineType), 3), '/')
	n := len(b)
	return appendLeftFrom(appendUint(b, uint64(f.EngineID), 0), n, 3)
}

func exporterID(_ *Text, b []byte, f row) []byte { return appendUint(b, uint64(f.SysID), 6) }

func ident(_ *Text, b []byte, f row) []byte { return appendText(b, f.Ident) }

func flowLabel(_ *Text, b []byte, f row) []byte {
	if f.Extra.Has&nffile.HasLabel == 0 {
		return appendRightText(b, "<none>", 16)
	}
	n := len(b)
	b = appendText(b, f.Extra.Label)
	if short := n + 16 - len(b); short > 0 {
		b = appendSpaces(b, short)
		copy(b[n+short:], b[n:len(b)-short])
		appendSpaces(b[:n], short)
	}
	return b
}

func newLine(_ *Text, b []byte, _ row) []byte { return append(b, '\n') }

func clientLatency(_ *Text, b []byte, f row) []byte {
	return appendMilliseconds(b, f.latencies()[0])
}

func serverLatency(_ *Text, b []byte, f row) []byte {
	return appendMilliseconds(b, f.latencies()[1])
}

func appLatency(_ *Text, b []byte, f row) []byte { return appendMilliseconds(b, f.latencies()[2]) }

// latencies returns the delays of client, server and application in microseconds.
func (f row) latencies() [3]uint64 {
	if f.Extra.Has&nffile.HasDelays == 0 {
		return [3]uint64{}
	}
	return [3]uint64{f.Extra.ClientDelay, f.Extra.ServerDelay, f.Extra.AppDelay}
}

func observationDomain(t *Text, b []byte, f row) []byte {
	if t.newer && !f.Has(flow.ObservationPoint) {
		return append(b, "0x00"...)
	}
	return appendHex(append(b, "0x"...), uint64(f.observationDomain()), 9)
}

// observationDomain returns the domain that the flow itself names.
func (f row) observationDomain() uint32 {
	if !f.Has(flow.ObservationPoint) {
		return 0
	}
	return f.Extra.Domain
}

func observationPoint(t *Text, b []byte, f row) []byte {
	if t.newer && !f.Has(flow.ObservationPoint) {
		return append(b, "0x00"...)
	}
	return appendHex(append(b, "0x"...), f.ObservationPoint, 10)
}

// appendText appends a text of an exporter: what would move the cursor, or be no
// character, is replaced.
func appendText[S string | []byte](b []byte, s S) []byte {
	for _, c := range string(s) {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			c = '?'
		}
		b = append(b, string(c)...)
	}
	return b
}
