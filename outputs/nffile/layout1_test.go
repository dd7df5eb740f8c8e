package nffile

import (
	"fmt"
	"slices"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// file1 returns a file of layout 1: two blocks, the map of the flows in the second
// stands in the first.
func file1(t testing.TB, c Compression) []byte {
	t.Helper()
	extensions := map[uint16]int{}
	for id, size := range sizes1 {
		if size > 0 {
			extensions[uint16(id)] = int(size)
		}
	}
	mapRecord := func(number uint16, ids ...uint16) []byte {
		b := put(nil, uint16(recordMap), uint16(0), number, uint16(0))
		for _, id := range ids {
			b = put(b, id)
		}
		b = append(put(b, uint16(0)), make([]byte, -(len(b)+2)&3)...)
		le.PutUint16(b[2:], uint16(len(b)))
		return b
	}
	flowRecord := func(flags, number uint16, ids ...uint16) []byte {
		b := put(nil, uint16(recordCommon), uint16(0), flags, number, uint16(123), uint16(456), uint32(1e9),
			uint32(1e9+5),
			uint8(64), uint8(0x1b), uint8(6), uint8(46), uint16(1000), uint16(80), uint16(1), uint8(2), uint8(3))
		if flags&common1IPv6 != 0 {
			b = put(b, address6("2001:db8::1"), address6("2001:db8::2"))
		} else {
			b = put(b, uint32(0x0a000001), uint32(0x0a000002))
		}
		if flags&common1Packets != 0 {
			b = put(b, uint64(1<<40))
		} else {
			b = put(b, uint32(10))
		}
		if flags&common1Bytes != 0 {
			b = put(b, uint64(1<<41))
		} else {
			b = put(b, uint32(5000))
		}
		for _, id := range ids {
			for i := range extensions[id] {
				b = append(b, byte(i+1))
			}
		}
		le.PutUint16(b[2:], uint16(len(b)))
		return b
	}
	var all []uint16
	for id := range uint16(len(sizes1)) {
		if sizes1[id] > 0 {
			all = append(all, id)
		}
	}
	var exporter [exporterSize]byte
	encodeExporter(exporter[:], Exporter{router, flow.V5, 7}, 1)
	blocks := [][][]byte{
		{mapRecord(0, 4, 6, 27), mapRecord(1, all...), exporter[:], flowRecord(0, 0, 4, 6, 27),
			flowRecord(common1IPv6|common1Packets|common1Bytes, 1, all...)},
		{flowRecord(common1Packets|common1Event|common1Sampled, 1, all...), mapRecord(0), flowRecord(0, 0)},
	}
	flags := map[Compression]uint32{None: 0, LZO: flags1LZO, BZ2: flags1BZ2, LZ4: flags1LZ4}[c]
	file := make([]byte, header1Size)
	copy(file, put(nil, uint16(magic), uint16(layout1), flags, uint32(len(blocks)), "edge1"))
	copy(file[140:], put(nil, uint64(4)))
	for _, records := range blocks {
		payload := slices.Concat(records...)
		p, err := newPacker(c, 0)
		must(t, err)
		dst := make([]byte, packBound(len(payload)))
		n, err := p.pack(dst, payload)
		must(t, err)
		file = put(file, uint32(len(records)), uint32(n), uint16(blockOld), uint16(0))
		file = append(file, dst[:n]...)
	}
	return file
}

// TestLayout1Made reads a file of nfdump 1.6 with every extension, in every
// compression.
func TestLayout1Made(t *testing.T) {
	for c := None; c <= LZ4; c++ {
		path := write(t, file1(t, c))
		got, err := readAll(path)
		must(t, err)
		if len(got) != 4 {
			t.Fatalf("%s: %d flows, expected 4", c, len(got))
		}
		a, b, e, d := &got[0], &got[1], &got[2], &got[3]
		if a.Src != addr("10.0.0.1") || a.First.Milli() != 1e12+123 || a.Last.Milli() != 1e12+5456 ||
			a.Input != 0x0201 ||
			a.SrcAS != 0x0201 || a.Received.Milli() != 0 && a.Received == 0 || a.Version != flow.V5 || a.Domain != 7 ||
			a.Exporter != router {
			t.Errorf("%s: the first flow is %+v", c, a)
		}
		if b.Src != addr("2001:db8::1") || b.Packets != 1<<40 || b.Bytes != 1<<41 || b.Input != 0x04030201 ||
			b.RevPackets != 0x0807060504030201 ||
			b.SrcVLAN != 0x0201 || b.InSrcMAC != [6]byte{6, 5, 4, 3, 2, 1} || b.PortBlock[3] != 0x0807 ||
			b.EngineType != 3 || b.NATEvent != 1 {
			t.Errorf("%s: the second flow is %+v", c, b)
		}
		if !e.Event || e.Packets != 1<<40 || e.Bytes != 5000 || e.User == nil || !e.Has(flow.XlateSrc) {
			t.Errorf("%s: the event is %+v", c, e)
		}
		if d.Has(flow.Input) || d.SrcAS != 0 || d.RevPackets != 0 || d.User != nil || d.Received != 0 ||
			d.InSrcMAC != [6]byte{} {
			t.Errorf("%s: fields of the flow before have stayed: %+v", c, d)
		}
		if f, err := OpenFile(path); err != nil || f.Ident() != "edge1" || f.Stat().Flows != 4 ||
			f.Header().Layout != 1 {
			t.Errorf("%s: %v", c, err)
		}
	}
}

// TestLayout1Damaged damages a file in every place.
func TestLayout1Damaged(t *testing.T) {
	s := sweeper{dec: NewDecoder()}
	for c := None; c <= LZ4; c++ {
		s.sweep(t, fmt.Sprint("layout 1, ", c), file1(t, c))
	}
}

// TestLayoutsAllocate: neither layout 1 nor layout 3 allocates per flow.
func TestLayoutsAllocate(t *testing.T) {
	for name, content := range map[string][]byte{"layout 1": file1(t, LZ4), "layout 3": file3(t, LZ4)} {
		f, err := OpenFile(write(t, content))
		must(t, err)
		defer f.Close()
		var b Block
		d := NewDecoder()
		must(t, f.ReadBlock(&b))
		for b.kindOfBlock != blockOld && b.kindOfBlock != block3Flow {
			must(t, f.ReadBlock(&b))
		}
		must(t, b.Unpack())
		flows := 0
		var records [][]byte
		for d.Next(&b) {
			records = append(records, b.rec)
		}
		if n := testing.AllocsPerRun(1000, func() {
			for _, rec := range records {
				if d.flow(rec) == "" {
					flows++
				}
			}
		}); n != 0 || flows == 0 {
			t.Errorf("%s: %v allocations for %d flows", name, n, len(records))
		}
	}
}

// fuzzLayout reads files of one layout.
func fuzzLayout(f *testing.F, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		s := sweeper{dec: NewDecoder()}
		s.readFile(content)
	})
}

// FuzzLayout1 and FuzzLayout3: no file makes the reader panic or allocate without
// bound.
func FuzzLayout1(f *testing.F) { fuzzLayout(f, file1(f, None), file1(f, LZO), file1(f, LZ4)) }

func FuzzLayout3(f *testing.F) { fuzzLayout(f, file3(f, None), file3(f, LZO), file3(f, ZSTD)) }
