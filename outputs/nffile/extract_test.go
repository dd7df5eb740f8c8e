package nffile

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// extractable returns all columns that an Extractor knows without its Decoder.
func extractable() (columns []Column) {
	for c := range places {
		if places[c].id != 0 && places[c].width != decoded {
			columns = append(columns, Column(c))
		}
	}
	return columns
}

// comparer reads files twice: with an Extractor, and with a Decoder alone.
type comparer struct {
	block, again Block
	fast, plain  *Extractor
}

func newComparer() *comparer {
	return &comparer{fast: NewExtractor(extractable(), flow.Set{}), plain: NewExtractor(extractable(), flow.Set{})}
}

// equalBriefs says whether two flows are the same.
func equalBriefs(a, b *Brief) bool {
	return a.First == b.First && a.Last == b.Last && a.Flows == b.Flows && a.Packets == b.Packets &&
		a.Bytes == b.Bytes &&
		a.RevPackets == b.RevPackets && a.RevBytes == b.RevBytes && a.Proto == b.Proto && a.TCPFlags == b.TCPFlags &&
		slices.Equal(a.Values, b.Values)
}

// compare returns how many flows of a file the two read, and how many of them the
// Extractor has read without its Decoder. They must be the same flows, with the same
// end.
func (c *comparer) compare(t *testing.T, name string, content []byte) (flows, fast int) {
	t.Helper()
	f, err := newFile("memory", memory{bytes.NewReader(content)}, int64(len(content)))
	if err != nil {
		return 0, 0
	}
	got, want := c.fast.NewBrief(), c.plain.NewBrief()
	for f.ReadBlock(&c.block) == nil && c.block.Unpack() == nil {
		c.again = Block{file: f, off: c.block.off, data: c.block.data, Records: c.block.Records,
			maps: c.block.maps, raw: c.block.raw, compression: c.block.compression, why: c.block.why}
		for {
			if more := c.fast.Next(&c.block, &got); more != c.plain.dec.Next(&c.again) {
				t.Fatalf("%s: flow %d: the Extractor has one: %v", name, flows, more)
			} else if !more {
				break
			}
			c.plain.plain(&want)
			if !equalBriefs(&got, &want) {
				t.Fatalf("%s: flow %d is\n%+v, expected\n%+v", name, flows, got, want)
			}
			flows++
			if c.block.kind == recordFlow && c.fast.outline(c.block.rec) != nil {
				fast++
			}
		}
		if got, want := fmt.Sprint(c.fast.Err()), fmt.Sprint(c.plain.Err()); got != want {
			t.Fatalf("%s: ends with %s, expected %s", name, got, want)
		}
	}
	return flows, fast
}

// TestExtractor: an Extractor reads what a Decoder reads, of whole files and of
// those that are damaged in many places.
func TestExtractor(t *testing.T) {
	c := newComparer()
	for name, content := range plainFiles(t) {
		flows, fast := c.compare(t, name, content)
		if (name == "traffic" || name == "mixed") && (flows != 100 || fast != flows) {
			t.Errorf("%s: %d flows, %d read without a Decoder", name, flows, fast)
		}
		eachDamage(name, content, func(name string, bad []byte) { c.compare(t, name, bad) })
	}
}

// TestExtractorSamples does that with nfdump's samples.
func TestExtractorSamples(t *testing.T) {
	c := newComparer()
	for _, sample := range sampleFiles(t) {
		content, err := os.ReadFile(sample)
		must(t, err)
		c.compare(t, sample, content)
	}
}

// TestExtractorWindow: flows outside of a window are passed over, those of every layout.
func TestExtractorWindow(t *testing.T) {
	traffic, _ := smallFile(t, None)
	for name, content := range map[string][]byte{"layout 1": file1(t, None), "layout 2": traffic,
		"layout 3": file3(t, None), "traffic": trafficFile(t, true)} {
		read := func(from, to uint64, within bool) (flows []Brief, passed uint64) {
			f, err := newFile("memory", memory{bytes.NewReader(content)}, int64(len(content)))
			must(t, err)
			x, block := NewExtractor(nil, flow.Set{}), new(Block)
			x.From, x.To, x.Within = from, to, within
			for f.ReadBlock(block) == nil {
				must(t, block.Unpack())
				for brief := x.NewBrief(); x.Next(block, &brief); {
					flows = append(flows, brief)
				}
			}
			return flows, x.Passed
		}
		all, passed := read(0, 0, false)
		if len(all) == 0 || passed != 0 {
			t.Fatalf("%s: %d flows, %d passed over", name, len(all), passed)
		}
		for _, f := range all {
			for _, window := range [][2]uint64{{f.First, 0}, {f.First + 1, 0}, {0, f.Last}, {0, f.Last - 1},
				{f.First, f.Last}} {
				for _, within := range []bool{false, true} {
					got, passed := read(window[0], window[1], within)
					want := slices.DeleteFunc(slices.Clone(all), func(f Brief) bool {
						if within {
							return f.First < window[0] || window[1] != 0 && f.Last > window[1]
						}
						return f.Last < window[0] || window[1] != 0 && f.First > window[1]
					})
					if !slices.EqualFunc(got, want, func(a, b Brief) bool { return equalBriefs(&a, &b) }) ||
						len(got)+int(passed) != len(all) {
						t.Fatalf("%s: %v: %d flows and %d, expected %d of %d", name, window, len(got), passed,
							len(want), len(all))
					}
				}
			}
		}
	}
}

// TestExtractorManyElements: flows with more elements than an outline has, and more
// kinds of flows than are remembered.
func TestExtractorManyElements(t *testing.T) {
	content, ends := smallFile(t, None)
	file := content[:ends[0]]
	var payload []byte
	records := uint32(0)
	for kinds := range 200 {
		b := put(nil, uint16(recordFlow), uint16(0), uint16(kinds+2), uint32(0), uint16(0))
		b = put(b, uint16(elAS), uint16(12), uint32(kinds), uint32(2))
		for range kinds % 40 {
			b = put(b, uint16(60+kinds%9), uint16(4))
		}
		b = put(b, uint16(elGeneric), uint16(52))
		b = append(b, bytes.Repeat([]byte{byte(kinds)}, 48)...)
		le.PutUint16(b[2:], uint16(len(b)))
		le.PutUint16(b[4:], uint16(2+kinds%40))
		payload = append(payload, b...)
		records++
	}
	file = append(put(slices.Clone(file), records, uint32(len(payload)), uint16(blockNormal), uint16(0)), payload...)
	h := Header{Layout: layout2, NfdumpVersion: nfdumpVersion, Blocks: 1}
	h.encode(file)
	c := newComparer()
	for range 2 {
		if flows, fast := c.compare(t, "many", file); flows != 200 || fast == 0 || fast == 200 {
			t.Errorf("%d flows, %d read without a Decoder", flows, fast)
		}
	}
}

// TestExtractorAllocates nothing for a flow.
func TestExtractorAllocates(t *testing.T) {
	content, _ := smallFile(t, None)
	f, err := newFile("memory", memory{bytes.NewReader(content)}, int64(len(content)))
	must(t, err)
	x, block := NewExtractor(extractable(), flow.Set{}), new(Block)
	brief := x.NewBrief()
	for f.ReadBlock(block) != io.EOF {
		must(t, block.Unpack())
		if n := testing.AllocsPerRun(10, func() {
			block.rewind()
			for x.Next(block, &brief) {
			}
		}); n != 0 {
			t.Errorf("%v allocations a block", n)
		}
	}
}

// FuzzExtractor: an Extractor reads what a Decoder reads.
func FuzzExtractor(f *testing.F) {
	content, _ := smallFile(f, None)
	f.Add(content)
	f.Add(file1(f, None))
	f.Add(file3(f, None))
	f.Fuzz(func(t *testing.T, content []byte) { newComparer().compare(t, "input", content) })
}

// TestBothAddresses: of a flow with both elements of addresses, in either order, the
// one that is not zero counts, for a Decoder and for a ranking; and nfdump 1.7.8 takes
// IPv4 when both have an address and no IP version says otherwise.
func TestBothAddresses(t *testing.T) {
	v4, v6 := []byte{1, 2, 0, 192, 2, 2, 0, 192}, make([]byte, 32)
	le.PutUint64(v6[0:], 0x20010db800000000)
	le.PutUint64(v6[8:], 1)
	none4, none6 := make([]byte, 8), make([]byte, 32)
	layer2 := make([]byte, 32)
	layer2[26] = 6
	for i, c := range []struct {
		want     string
		elements []any // id and payload
	}{
		{"192.0.2.1", []any{elIPv4, v4, elIPv6, none6}},
		{"192.0.2.1", []any{elIPv6, none6, elIPv4, v4}},
		{"2001:db8::1", []any{elIPv4, none4, elIPv6, v6}},
		{"2001:db8::1", []any{elIPv6, v6, elIPv4, none4}},
		{"192.0.2.1", []any{elIPv6, v6, elIPv4, v4}},
		{"2001:db8::1", []any{elIPv6, v6, elIPv4, v4, elLayer2, layer2}},
	} {
		e := encoder{b: make([]byte, maxRecord), n: recordHeadSize}
		clear(e.element(elGeneric, 48))
		for k := 0; k < len(c.elements); k += 2 {
			p := c.elements[k+1].([]byte)
			copy(e.element(uint16(c.elements[k].(int)), len(p)), p)
		}
		rec := e.b[:e.n]
		le.PutUint16(rec, recordFlow)
		le.PutUint16(rec[2:], uint16(len(rec)))
		le.PutUint16(rec[4:], e.elms)
		block := Block{file: &File{head: Header{Layout: layout2}}, data: slices.Concat(rec, rec), Records: 2}
		d := NewDecoder()
		if !d.Next(&block) || d.Record().Src.String() != c.want || (d.Record().IPVersion == 4) != d.Record().Src.Is4() {
			t.Errorf("case %d: %s, %v, expected %s", i, d.Record().Src, d.Err(), c.want)
		}
		block.rewind()
		x := NewExtractor([]Column{Column(flow.Src)}, flow.Set{})
		for f := x.NewBrief(); x.Next(&block, &f); {
			if f.Values[0].Addr().String() != c.want {
				t.Errorf("case %d: a ranking has %s, expected %s", i, f.Values[0].Addr(), c.want)
			}
		}
		if x.Err() != nil {
			t.Error(x.Err())
		}
	}
}
