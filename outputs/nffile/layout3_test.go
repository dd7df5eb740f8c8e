package nffile

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// put appends numbers of 1, 2, 4 and 8 bytes.
func put(b []byte, values ...any) []byte {
	for _, v := range values {
		switch v := v.(type) {
		case uint8:
			b = append(b, v)
		case uint16:
			b = le.AppendUint16(b, v)
		case uint32:
			b = le.AppendUint32(b, v)
		case uint64:
			b = le.AppendUint64(b, v)
		case string:
			b = append(b, v...)
		}
	}
	return b
}

// flow3Record returns a flow of layout 3 with the given elements in rising order.
func flow3Record(flags uint16, sysid uint32, elements map[int][]byte) []byte {
	var set uint64
	for id := range elements {
		set |= 1 << id
	}
	n := len(elements)
	b := make([]byte, (flow3HeadSize+2*n+7)&^7)
	le.PutUint16(b[0:], recordFlow3)
	le.PutUint16(b[4:], uint16(n))
	le.PutUint16(b[6:], flags)
	le.PutUint32(b[8:], sysid)
	b[12], b[13], b[14] = 3, 4, 9
	le.PutUint64(b[16:], set)
	i := 0
	for id := range 64 {
		if e, ok := elements[id]; ok {
			le.PutUint16(b[flow3HeadSize+2*i:], uint16(len(b)))
			b = append(b, e...)
			b = append(b, make([]byte, -len(b)&7)...)
			i++
		}
	}
	le.PutUint16(b[2:], uint16(len(b)))
	return b
}

// address6 returns an address as two words in host order.
func address6(s string) string {
	var b [16]byte
	putAddr6(b[:], addr(s))
	return string(b[:])
}

// wide3 are the elements of a flow with all that layout 3 has of wideRecord.
func wide3() map[int][]byte {
	var macs [32]byte
	w := wideRecord(false)
	putMAC(macs[0:], w.InSrcMAC)
	putMAC(macs[8:], w.OutDstMAC)
	putMAC(macs[16:], w.InDstMAC)
	putMAC(macs[24:], w.OutSrcMAC)
	v4 := func(a netip.Addr) uint32 { b := a.As4(); return be.Uint32(b[:]) }
	mpls := make([]byte, 40)
	for i, l := range w.MPLS {
		le.PutUint32(mpls[4*i:], l)
	}
	return map[int][]byte{
		1: put(nil, w.First.Milli(), w.Last.Milli(), w.Received.Milli(), w.Packets, w.Bytes, w.SrcPort,
			w.DstPort, w.Proto, uint8(w.TCPFlags), w.FwdStatus, w.SrcTOS),
		2:              put(nil, v4(w.Src), v4(w.Dst)),
		el3Interface:   put(nil, w.Input, w.Output),
		el3Misc:        put(nil, w.SrcMask, w.DstMask, w.Direction, w.BiflowDir, w.DstTOS, w.EndReason, uint16(0)),
		6:              put(nil, w.Flows, w.RevPackets, w.RevBytes),
		7:              put(nil, uint32(w.SrcVLAN), uint32(w.DstVLAN)),
		8:              put(nil, w.SrcAS, w.DstAS),
		el3Routing4:    put(nil, v4(w.NextHop), v4(w.BGPNextHop)),
		11:             put(nil, v4(w.Exporter), uint32(0)),
		13:             mpls,
		el3MACIn:       macs[:16],
		el3MACOut:      macs[16:],
		16:             put(nil, w.NextAS, w.PrevAS),
		18:             put(nil, v4(w.XlateSrc), v4(w.XlateDst)),
		20:             put(nil, w.XlateSPort, w.XlateDPort, uint32(0)),
		24:             put(nil, w.PortBlock[0], w.PortBlock[1], w.PortBlock[2], w.PortBlock[3]),
		el3NBAR:        put(nil, uint32(4), string(w.AppID)),
		el3InPayload:   put(nil, uint32(5), "hello"),
		28:             put(nil, v4(w.TunSrc), v4(w.TunDst), uint32(w.TunProto)),
		el3Observation: put(nil, w.ObservationPoint, uint64(77)),
		33:             put(nil, w.EgressVRF, w.IngressVRF),
		el3IPInfo:      put(nil, w.FragFlags, uint8(5), uint8(64), uint8(0), uint32(0)),
	}
}

// block3 returns a block of layout 3.
func block3(t testing.TB, kind uint32, c Compression, payload []byte) []byte {
	t.Helper()
	p, err := newPacker(c, 0)
	must(t, err)
	dst := make([]byte, packBound(len(payload)))
	n, err := p.pack(dst, payload)
	must(t, err)
	number := map[Compression]uint16{None: 1, LZO: 2, BZ2: 3, LZ4: 4, ZSTD: 5}[c]
	b := put(nil, kind, uint32(block3HeadSize+n), uint32(block3HeadSize+len(payload)), number, uint16(0), uint64(0))
	return append(b, dst[:n]...)
}

// file3 returns a file of layout 3 with one block of flows, exporters, ident and
// statistics.
func file3(t testing.TB, c Compression) []byte {
	t.Helper()
	flows := [][]byte{
		flow3Record(0, 1, wide3()),
		flow3Record(0, 0, map[int][]byte{1: make([]byte, 48),
			3: put(nil, address6("2001:db8::1"), address6("2001:db8::2"))}),
		flow3Record(flagEvent, 1, map[int][]byte{1: make([]byte, 48),
			el3Event: put(nil, uint64(1e12), uint32(7), uint16(1001), uint8(3), uint8(0), uint16(1), uint16(0),
				uint32(0))}),
		flow3Record(flagSampled, 1, map[int][]byte{1: make([]byte, 48),
			el3Event: put(nil, uint64(1e12), uint32(0), uint16(0), uint8(0), uint8(0), uint16(2), uint16(4),
				uint32(5))}),
	}
	payload := put(nil, uint32(len(flows)), uint32(0), uint64(0), uint64(0), uint64(0))
	for _, f := range flows {
		payload = append(payload, f...)
	}
	exporter := put(nil, uint32(1), uint32(0), uint16(recordExporter3), uint16(exporter3Size+24),
		string(make([]byte, 10)), "\xff\xff\xc0\x00\x02\xfe",
		uint32(9), uint32(77), uint32(1), uint64(11), uint64(4), uint32(2), uint16(1), uint16(1),
		uint64(3), uint32(1), uint32(99), uint32(2), uint16(1), uint16(0))
	stat := Stat{Flows: 4, Packets: 10, First: 1e12, Last: 2e12}
	var statBytes [statSize]byte
	stat.encode(statBytes[:])

	file := make([]byte, header3Size)
	directory := put(nil, uint32(directory3Magic), uint32(4))
	for kind, content := range map[uint32][]byte{block3Flow: payload, block3Exporter: exporter,
		block3Ident: []byte("edge1\x00"), block3Stat: statBytes[4:]} {
		b := block3(t, kind, c, content)
		directory = put(directory, kind, uint32(len(b)), uint64(len(file)))
		file = append(file, b...)
	}
	off := len(file)
	file = append(file, directory...)
	file = put(file, uint32(0xA50F), uint32(len(directory)), uint64(off), string(make([]byte, 40)))
	copy(file, put(nil, uint16(magic), uint16(layout3), uint32(0x01080000), uint64(1e9), uint16(1), uint16(1),
		uint32(0), uint32(4<<20), uint32(len(directory)), uint64(off)))
	return file
}

// TestLayout3 reads flows, exporters, samplers, ident and statistics of a file of
// nfdump 1.8, in every compression.
func TestLayout3(t *testing.T) {
	for c := None; c <= ZSTD; c++ {
		path := write(t, file3(t, c))
		got, err := readAll(path)
		must(t, err)
		if len(got) != 4 {
			t.Fatalf("%s: %d flows, expected 4", c, len(got))
		}
		want := wideRecord(false)
		want.MinTTL, want.MaxTTL = 5, 64
		want.Present.Add(flow.MinTTL)
		want.Present.Add(flow.MaxTTL)
		if d := differences(&got[0], want); d != "" {
			t.Errorf("%s: %s", c, d)
		}
		if r := &got[1]; r.Src != addr("2001:db8::1") || r.Input != 0 || r.Has(flow.Input) || r.Has(flow.NextHop) {
			t.Errorf("%s: the second flow is %+v", c, r)
		}
		if r := &got[2]; !r.Event || r.FlowID != 7 || r.FwEvent != 3 || r.FwXEvent != 1001 ||
			r.EventTime.Milli() != 1e12 {
			t.Errorf("%s: the event is %+v", c, r)
		}
		if r := &got[3]; r.Event || r.NATEvent != 4 || r.NATPool != 5 || r.Has(flow.FwEvent) {
			t.Errorf("%s: the translation is %+v", c, r)
		}
		f, err := OpenFile(path)
		must(t, err)
		if f.Ident() != "edge1" || f.Stat().Flows != 4 || f.Stat().Last != 2e12 || f.Header().Layout != 3 {
			t.Errorf("%s: ident %q, statistics %+v, header %+v", c, f.Ident(), f.Stat(), f.Header())
		}
		f.Close()
	}
}

// TestLayout3Tables reads exporters, samplers and payload.
func TestLayout3Tables(t *testing.T) {
	r, err := Open(write(t, file3(t, LZ4)))
	must(t, err)
	defer r.Close()
	if !r.Next() || string(r.dec.Extra().InPayload) != "hello" || r.dec.Extra().Has&(1<<elInPayload) == 0 {
		t.Errorf("extra %+v: %v", r.dec.Extra(), r.Err())
	}
	if e := r.Exporters(); len(e) != 1 || e[0] != (Exporter{router, flow.V9, 77}) {
		t.Errorf("exporters %+v", e)
	}
	if s := r.dec.Samplers(); len(s) != 1 || s[0].Rate() != 100 || s[0].Exporter.Addr != router {
		t.Errorf("samplers %+v", s)
	}
	if s := r.dec.ExporterStats(); len(s) != 1 || s[0] != (ExporterStat{11, 4, 2}) {
		t.Errorf("statistics of the exporters %+v", s)
	}
}

// TestLayout3Damaged damages a file in every place.
func TestLayout3Damaged(t *testing.T) {
	s := sweeper{dec: NewDecoder()}
	for c := None; c <= ZSTD; c++ {
		s.sweep(t, fmt.Sprint("layout 3, ", c), file3(t, c))
	}
	encrypted := file3(t, None)
	encrypted[20] = 1
	if _, err := readAll(write(t, encrypted)); err == nil {
		t.Error("an encrypted file is read")
	}
}

// TestExportersCostThemselves: a block of exporters that makes no sense hides neither
// flows nor statistics.
func TestExportersCostThemselves(t *testing.T) {
	content := file3(t, None)
	at := bytes.Index(content, put(nil, uint16(recordExporter3), uint16(exporter3Size+24)))
	if at < 0 {
		t.Fatal("no exporter in the file")
	}
	content[at+2], content[at+3] = 3, 0 // its size
	f, err := OpenFile(write(t, content))
	must(t, err)
	defer f.Close()
	r, err := Verify(f.Path(), nil)
	must(t, err)
	if len(f.Damage()) != 1 || f.Stat().Flows != 4 || f.Ident() != "edge1" || r.Flows != 4 || r.Sound() {
		t.Errorf("damage %v, statistics %+v; %s %v", f.Damage(), f.Stat(), &r, r.Problems)
	}
}
