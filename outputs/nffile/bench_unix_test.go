//go:build unix

package nffile

import (
	"syscall"
	"testing"
	"time"

	"github.com/pierrec/lz4/v4"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// cpuTime returns the user and system time of the process: on a busy machine it
// says more than a clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPack compares lz4Writer with pierrec's fast mode and its best, in CPU
// time and bytes:
//
//	go test -run xxx -bench Pack ./outputs/nffile -pack nfcapd.202611221200
func BenchmarkPack(b *testing.B) {
	dst := make([]byte, 2*MaxBlock)
	var ours lz4Writer
	var fast lz4.Compressor
	best := lz4.CompressorHC{Level: lz4.Level9}
	for _, c := range corpora(b) {
		for _, p := range []struct {
			name string
			pack func(src []byte) int
		}{
			{"ours", func(src []byte) int { return ours.pack(dst, src) }},
			{"pierrec", func(src []byte) int { n, _ := fast.CompressBlock(src, dst); return n }},
			{"pierrecHC9", func(src []byte) int { n, _ := best.CompressBlock(src, dst); return n }},
		} {
			b.Run(c.name+"/"+p.name, func(b *testing.B) {
				size, started := 0, cpuTime()
				for range b.N {
					size = 0
					for _, src := range c.blocks {
						size += p.pack(src)
					}
				}
				b.ReportMetric(float64(cpuTime()-started)/float64(b.N)/float64(c.flows), "cpu-ns/flow")
				b.ReportMetric(float64(size)/float64(c.flows), "B/flow")
			})
		}
	}
}

// BenchmarkEncode is the way of a flow into a block, without compression and disk.
func BenchmarkEncode(b *testing.B) {
	var flows [128]flow.Record
	traffic := newBorder(1, false)
	for i := range flows {
		traffic.next(&flows[i])
	}
	w := mustCreate(b, Options{})
	b.ReportAllocs()
	started := cpuTime()
	for i := range b.N {
		if len(w.block)+2*maxRecord > blockLimit {
			w.block, w.records = w.block[:0], 0
		}
		must(b, w.Append(&flows[i&127]))
	}
	b.ReportMetric(float64(cpuTime()-started)/float64(b.N), "cpu-ns/flow")
}
