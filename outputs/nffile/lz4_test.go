package nffile

import (
	"bytes"
	"flag"
	"testing"

	"github.com/pierrec/lz4/v4"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// packFile names a flow file whose blocks BenchmarkPack packs too.
var packFile = flag.String("pack", "", "flow file for BenchmarkPack")

// recordsOf returns the records of n flows, as a Writer makes them of what next
// fills in.
func recordsOf(n int, next func(*flow.Record)) []byte {
	var b []byte
	var r flow.Record
	w := newWriter(nil, "", Options{})
	for range n {
		next(&r)
		if err := w.Append(&r); err != nil {
			panic(err)
		}
		b = append(b, w.block...)
		w.block, w.records = w.block[:0], 0
	}
	return b
}

// plainRecords returns the records of n plain flows.
func plainRecords(n int) []byte {
	i := 0
	return recordsOf(n, func(r *flow.Record) { plainFlow(r, i); i++ })
}

// corpus is some blocks of records.
type corpus struct {
	name   string
	blocks [][]byte
	flows  int
}

// corpora returns what BenchmarkPack packs: flows of one exporter and of several,
// and the file that a flag names.
func corpora(t testing.TB) []corpus {
	const n = 7000
	all := []corpus{
		{"border", [][]byte{recordsOf(n, newBorder(1, false).next)}, n},
		{"mixed", [][]byte{recordsOf(n, newBorder(1, true).next)}, n},
	}
	if *packFile == "" {
		return all
	}
	c := corpus{name: "file"}
	f, err := OpenFile(*packFile)
	must(t, err)
	defer f.Close()
	for b := new(Block); f.ReadBlock(b) == nil && len(c.blocks) < 100; b = new(Block) {
		must(t, b.Unpack())
		c.blocks, c.flows = append(c.blocks, b.data), c.flows+int(b.Records)
	}
	return append(all, c)
}

// TestPackIsSmall holds that blocks are smaller than those of a compressor that
// knows nothing of records, or hardly larger where flows of many layouts alternate,
// and that they unpack to what they were.
func TestPackIsSmall(t *testing.T) {
	for _, c := range corpora(t) {
		var ours lz4Writer
		var fast lz4.Compressor
		var mine, theirs int
		dst, got := make([]byte, 2*MaxBlock), make([]byte, MaxBlock)
		for _, src := range c.blocks {
			n := ours.pack(dst, src)
			m, err := lz4.UncompressBlock(dst[:n], got)
			if err != nil || !bytes.Equal(got[:m], src) {
				t.Fatalf("%s: %d bytes come back as %d: %v", c.name, len(src), m, err)
			}
			mine += n
			n, err = fast.CompressBlock(src, dst)
			must(t, err)
			theirs += n
		}
		most := theirs
		if c.name == "mixed" {
			most += most / 20
		}
		if mine >= most {
			t.Errorf("%s: %d bytes, expected less than %d: pierrec's fast mode takes %d", c.name, mine, most, theirs)
		}
	}
}

// FuzzPack: whatever is packed, unpacks to the same, and fits where it should.
func FuzzPack(f *testing.F) {
	for n := range 4 {
		f.Add(plainRecords(n), uint8(n))
	}
	f.Add(recordsOf(40, newBorder(1, true).next), uint8(2))
	f.Add(bytes.Repeat([]byte{11, 0, 24, 0, 1, 2, 3, 4}, 40), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, repeat uint8) {
		src := bytes.Repeat(b, int(repeat)+1)
		if len(src) > 1<<20 {
			return
		}
		dst := make([]byte, lz4Bound(len(src)))
		var s lz4Writer
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
