package nffile

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

var (
	slot   = flow.TimeOf(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC))
	router = netip.MustParseAddr("192.0.2.254")
)

// plainFlow fills r like a NetFlow v5 record, a different one for each i.
func plainFlow(r *flow.Record, i int) {
	r.Present = flow.SetOf(flow.Src, flow.Dst, flow.SrcPort, flow.DstPort, flow.Proto, flow.TCPFlags, flow.SrcTOS,
		flow.Bytes, flow.Packets, flow.Input, flow.Output, flow.SrcMask, flow.DstMask, flow.SrcAS, flow.DstAS,
		flow.NextHop, flow.EngineType, flow.EngineID, flow.FirstSeen, flow.LastSeen)
	x := uint32(i) * 2654435761
	r.Exporter, r.Version, r.Domain, r.EngineType, r.EngineID = router, flow.V5, 0x102, 1, 2
	r.First = slot + flow.Time(x%300000)*flow.Time(time.Millisecond)
	r.Last = r.First + flow.Time(x>>8%5000)*flow.Time(time.Millisecond)
	r.Received = slot + flow.Time(i/1000)*flow.Time(time.Millisecond)
	r.Src = netip.AddrFrom4([4]byte{10, byte(x >> 8), byte(x >> 16), byte(x >> 24)})
	r.Dst = netip.AddrFrom4([4]byte{192, 0, 2, byte(x >> 12)})
	r.SrcPort, r.DstPort, r.Proto, r.TCPFlags = uint16(x>>5), 443, 6, 0x1b
	r.Packets, r.Bytes = uint64(1+x>>20%50), uint64(40+x>>3%60000)
	r.Input, r.Output, r.SrcMask, r.DstMask = 1+x>>9%4, 1+x>>11%4, 24, 16
	r.SrcAS, r.DstAS = 64500+x>>4%16, 64600+x>>7%16
	r.NextHop = netip.AddrFrom4([4]byte{198, 51, 100, 1})
}

// mustCreate creates a file in a directory of the test.
func mustCreate(t testing.TB, opt Options) *Writer {
	t.Helper()
	w, err := Create(filepath.Join(t.TempDir(), "nfcapd.202611221000"), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Abandon() })
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writePlain writes n plain flows into a new file and returns its name.
func writePlain(t testing.TB, n int, opt Options) string {
	t.Helper()
	w := mustCreate(t, opt)
	var r flow.Record
	for i := range n {
		plainFlow(&r, i)
		must(t, w.Append(&r))
	}
	must(t, w.Close())
	return w.Path()
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []Compression{None, LZO, LZ4} {
		b.Run(c.String(), func(b *testing.B) {
			var flows [1024]flow.Record
			for i := range flows {
				plainFlow(&flows[i], i)
			}
			w := mustCreate(b, Options{Compression: c})
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				r := &flows[i&1023]
				r.SrcPort++
				if err := w.Append(r); err != nil {
					b.Fatal(err)
				}
				if w.off > 1<<28 {
					w.off = headerSize
				}
			}
			b.ReportMetric(float64(w.off)/float64(w.blocks+1), "B/block")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, c := range []Compression{None, LZO, LZ4} {
		b.Run(c.String(), func(b *testing.B) {
			const n = 200000
			path := writePlain(b, n, Options{Compression: c})
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				r, err := Open(path)
				if err != nil {
					b.Fatal(err)
				}
				got := 0
				for r.Next() {
					got++
				}
				if r.Err() != nil || got != n {
					b.Fatal(got, r.Err())
				}
				r.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/flow")
		})
	}
}
