package nffile

import (
	"bytes"
	"testing"

	"github.com/pierrec/lz4/v4"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// records returns the records of n plain flows.
func records(n int) []byte {
	b := make([]byte, 0, n*maxRecord)
	var r flow.Record
	for i := range n {
		plainFlow(&r, i)
		c := countsOf(&r)
		w := Writer{plan: planOf(r.Present, false, false)}
		size := w.encode(b[len(b):len(b)+maxRecord], &r, &w.extra, &c, 1)
		b = b[:len(b)+size]
	}
	return b
}

func BenchmarkPack(b *testing.B) {
	const n = 8000
	src := records(n)
	dst := make([]byte, strideBound(len(src)))
	var c lz4.Compressor
	var s stride
	for name, pack := range map[string]func() int{
		"stride":  func() int { return s.pack(dst, src) },
		"pierrec": func() int { n, _ := c.CompressBlock(src, dst); return n },
	} {
		b.Run(name, func(b *testing.B) {
			size := 0
			for range b.N {
				size = pack()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/flow")
			b.ReportMetric(float64(size)/n, "B/flow")
		})
	}
}

// FuzzPackStride: whatever is packed, unpacks to the same.
func FuzzPackStride(f *testing.F) {
	for n := range 4 {
		f.Add(records(n), uint8(n))
	}
	f.Add(bytes.Repeat([]byte{11, 0, 24, 0, 1, 2, 3, 4}, 40), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, repeat uint8) {
		src := bytes.Repeat(b, int(repeat)+1)
		if len(src) > 1<<20 {
			return
		}
		dst := make([]byte, strideBound(len(src)))
		var s stride
		n := s.pack(dst, src)
		got := make([]byte, len(src)+16)
		m, err := lz4.UncompressBlock(dst[:n], got)
		if len(src) == 0 {
			return
		}
		if err != nil || !bytes.Equal(got[:m], src) {
			t.Fatalf("%d bytes come back as %d: %v", len(src), m, err)
		}
	})
}
