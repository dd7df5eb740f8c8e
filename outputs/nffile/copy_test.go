package nffile

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// copyComparer copies files twice: with a Copier, and flow by flow with a Decoder and
// Writer.AppendExtra.
type copyComparer struct {
	block, again Block
	copier       *Copier
	plain        *Extractor
	got, want    *Writer
}

func newCopyComparer(t testing.TB) *copyComparer {
	c := &copyComparer{got: mustCreate(t, Options{}), want: mustCreate(t, Options{}),
		plain: NewExtractor(nil, flow.Set{})}
	c.copier = NewCopier(c.got)
	c.plain.dec = NewDecoder()
	return c
}

// compare returns how many flows of a file are copied, and how many of them as they
// are. The two Writers must have the same to the byte.
func (c *copyComparer) compare(t *testing.T, name string, content []byte) (flows, asIs int) {
	t.Helper()
	f, err := newFile("memory", memory{bytes.NewReader(content)}, int64(len(content)))
	if err != nil {
		return 0, 0
	}
	c.copier.Decoder().Reset()
	c.plain.dec.Reset()
	var brief Brief
	for f.ReadBlock(&c.block) == nil && c.block.Unpack() == nil {
		c.again = Block{file: f, off: c.block.off, data: c.block.data, Records: c.block.Records,
			maps: c.block.maps, raw: c.block.raw, compression: c.block.compression, why: c.block.why}
		for c.copier.Next(&c.block) {
			if !c.plain.dec.Next(&c.again) {
				t.Fatalf("%s: flow %d is one too many", name, flows)
			}
			if c.plain.plain(&brief); !equalBriefs(c.copier.Flow(), &brief) {
				t.Fatalf("%s: flow %d is %+v, expected %+v", name, flows, c.copier.Flow(), brief)
			}
			if len(c.got.block)+2*maxRecord > blockLimit { // both begin a block anew
				must(t, c.got.Flush())
				must(t, c.want.Flush())
			}
			from := len(c.got.block)
			must(t, c.copier.Copy())
			must(t, c.want.AppendExtra(c.plain.dec.Record(), c.plain.dec.Extra()))
			if !bytes.Equal(c.got.block[from:], c.want.block[from:]) {
				t.Fatalf("%s: flow %d is\n%x, expected\n%x", name, flows, c.got.block[from:], c.want.block[from:])
			}
			flows++
			if c.copier.at != nil {
				asIs++
			}
		}
		more := c.plain.dec.Next(&c.again)
		if got, want := fmt.Sprint(c.copier.Err()), fmt.Sprint(c.plain.Err()); more || got != want {
			t.Fatalf("%s: ends with %s, expected %s", name, got, want)
		}
	}
	if c.got.Stat() != c.want.Stat() || c.got.records != c.want.records ||
		!slices.Equal(c.got.exporters, c.want.exporters) {
		t.Fatalf("%s: statistics %+v, expected %+v", name, c.got.Stat(), c.want.Stat())
	}
	return flows, asIs
}

// plainFiles are files of every layout, uncompressed, so that a byte that is changed
// is one of a record.
func plainFiles(t testing.TB) map[string][]byte {
	files := map[string][]byte{"layout 1": file1(t, None), "layout 3": file3(t, None), "traffic": trafficFile(t, false),
		"mixed": trafficFile(t, true)}
	files["wide"], _ = smallFile(t, None)
	return files
}

// eachDamage calls read for a file with one byte after the other changed; without
// -all for every 23rd.
func eachDamage(name string, content []byte, read func(name string, content []byte)) {
	bad := slices.Clone(content)
	step := 23
	if *allOffsets {
		step = 1
	}
	for i := 0; i < len(content); i += step {
		for _, v := range []byte{0, 0xff, content[i] ^ 0x04, content[i] + 1} {
			bad[i] = v
			read(fmt.Sprintf("%s with %#x at %d", name, v, i), bad)
		}
		bad[i] = content[i]
	}
}

// TestCopier copies whole files and those that are damaged in many places.
func TestCopier(t *testing.T) {
	c := newCopyComparer(t)
	for name, content := range plainFiles(t) {
		flows, asIs := c.compare(t, name, content)
		if name == "traffic" && (flows != 100 || asIs != flows) || name == "mixed" && (asIs == 0 || asIs == flows) {
			t.Errorf("%s: %d flows, %d copied as they are", name, flows, asIs)
		}
		eachDamage(name, content, func(name string, bad []byte) { c.compare(t, name, bad) })
	}
}

// TestCopierSamples does that with nfdump's samples.
func TestCopierSamples(t *testing.T) {
	c := newCopyComparer(t)
	for _, sample := range sampleFiles(t) {
		content, err := os.ReadFile(sample)
		must(t, err)
		c.compare(t, sample, content)
	}
}

// TestCopierOrder: a record is not copied as it is when the Writer would write it
// otherwise.
func TestCopierOrder(t *testing.T) {
	element := func(id, size uint16) []byte {
		return append(put(nil, id, 4+size), bytes.Repeat([]byte{1}, int(size))...)
	}
	generic, ip4, as, received := element(elGeneric, 48), element(elIPv4, 8), element(elAS, 8), element(elReceived4, 4)
	for _, test := range []struct {
		name     string
		elements [][]byte
		want     bool
	}{
		{"as written", [][]byte{generic, ip4, as, received}, true},
		{"out of order", [][]byte{generic, as, ip4, received}, false},
		{"not received", [][]byte{generic, ip4, as}, false},
		{"twice", [][]byte{generic, ip4, ip4, received}, false},
		{"both families", [][]byte{generic, ip4, element(elIPv6, 32), received}, false},
		{"longer", [][]byte{generic, ip4, element(elAS, 12), received}, false},
		{"MACs", [][]byte{generic, ip4, element(elMAC, 32), received}, false},
		{"no times", [][]byte{ip4, as, received}, false},
	} {
		rec := put(nil, uint16(recordFlow), uint16(0), uint16(len(test.elements)), uint32(0), uint16(0))
		rec = append(rec, slices.Concat(test.elements...)...)
		le.PutUint16(rec[2:], uint16(len(rec)))
		o := NewCopier(nil).x.outline(rec)
		if got := o != nil && o.writers; got != test.want {
			t.Errorf("%s: copied as it is: %v", test.name, got)
		}
	}
}

// trafficFile returns a file of 100 flows.
func trafficFile(t testing.TB, mixed bool) []byte {
	t.Helper()
	traffic := newBorder(1, mixed)
	w := mustCreate(t, Options{})
	var r flow.Record
	for range 100 {
		traffic.next(&r)
		must(t, w.Append(&r))
	}
	must(t, w.Close())
	content, err := os.ReadFile(w.Path())
	must(t, err)
	return content
}
