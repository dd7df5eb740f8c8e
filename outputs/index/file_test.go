package index

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/FastFilter/xorfilter"
	"github.com/cespare/xxhash/v2"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// The name of an index is that of its file behind the prefix, and the other way round.
func TestNamesOfIndexes(t *testing.T) {
	for file, path := range map[string]string{
		"nfcapd.202611221200":               "nfcapd.current.index-nfcapd.202611221200",
		"/a/2026/11/22/nfcapd.202611221200": "/a/2026/11/22/nfcapd.current.index-nfcapd.202611221200",
	} {
		if got := Path(file); got != path {
			t.Errorf("the index of %s is %s, want %s", file, got, path)
		}
		if got, ok := FileOf(path); !ok || got != file {
			t.Errorf("%s is of %s, %v, want %s", path, got, ok, file)
		}
		if _, ok := FileOf(file); ok {
			t.Errorf("%s is taken for an index", file)
		}
	}
}

// Each part of the file is where the package's comment says that it is.
func TestLayout(t *testing.T) {
	e := entry{place: nffile.Place{Offset: 1, Size: 2}, records: 3, flows: 4, first: 5, last: 6,
		sums: [numFilters]uint64{7, 8, 9}, at: [numFilters]uint64{10, 11, 12}, lengths: [numFilters]uint32{13, 14, 15},
		tables: true}
	b := e.encode(nil)
	if len(b) != entrySize {
		t.Fatalf("an entry has %d bytes", len(b))
	}
	for i := range 12 {
		if v := le.Uint64(b[8*i:]); v != uint64(i+1) {
			t.Errorf("word %d is %d", i, v)
		}
	}
	for i := range 3 {
		if v := le.Uint32(b[96+4*i:]); v != uint32(i+13) {
			t.Errorf("length %d is %d", i, v)
		}
	}
	for _, tables := range []bool{true, false} {
		e.tables = tables
		var again entry
		if again.decode(e.encode(nil)); !reflect.DeepEqual(again, e) {
			t.Errorf("%+v comes back as %+v", e, again)
		}
	}
	var builder xorfilter.BinaryFuseBuilder
	list, err := appendFilter(nil, &builder, []uint64{0x0102030405060708, 9})
	want := strings.Repeat("\x00", 8) + "\x08\x07\x06\x05\x04\x03\x02\x01" + "\x09" + strings.Repeat("\x00", 7)
	if err != nil || string(list) != want {
		t.Errorf("a list is %x, %v", list, err)
	}
	hashes := make([]uint64, mostListed+1)
	for i := range hashes {
		hashes[i] = uint64(i) * 0x9E3779B97F4A7C15
	}
	fuse, err := appendFilter(nil, &builder, hashes)
	if err != nil || string(fuse[:4]) != "\x01\x00\x00\x00" || le.Uint32(fuse[12:]) != 0 ||
		len(fuse) != 24+int(le.Uint32(fuse[8:])+2*le.Uint32(fuse[4:])) {
		t.Errorf("a filter is %x, %v", fuse, err)
	}
}

// A head that says what cannot be is refused, though its checksum is right, and nothing is
// taken in memory for what it says.
func TestHeadsThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nfcapd.202611221200")
	write(t, path, 100, 50, 1)
	build(t, path)
	good, err := os.ReadFile(Path(path))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(b []byte)
		want   error
	}{
		"nothing changed": {func([]byte) {}, nil},
		"magic":           {func(b []byte) { b[0] = 'F' }, ErrDamaged},
		"version":         {func(b []byte) { b[8] = 2 }, ErrDamaged},
		"size":            {func(b []byte) { le.PutUint64(b[48:], uint64(len(b))+1) }, ErrDamaged},
		"blocks":          {func(b []byte) { le.PutUint32(b[12:], 1<<32-1) }, ErrDamaged},
		"more blocks":     {func(b []byte) { le.PutUint32(b[12:], uint32(len(b)-headSize)/entrySize+1) }, ErrDamaged},
		"fewer blocks":    {func(b []byte) { le.PutUint32(b[12:], 0) }, ErrDamaged}, // whose checksum is another
		"another size":    {func(b []byte) { b[16]++ }, ErrStale},
		"another time":    {func(b []byte) { b[24]++ }, ErrStale},
		"another file":    {func(b []byte) { b[32]++ }, ErrStale},
	} {
		b := append([]byte{}, good...)
		tt.change(b)
		le.PutUint64(b[56:], xxhash.Sum64(b[:56]))
		if err := os.WriteFile(Path(path), b, 0o600); err != nil {
			t.Fatal(err)
		}
		x, err := Open(path)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if err == nil {
			x.Close()
		}
	}
	if err := os.Remove(Path(path)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without an index: %v", err)
	}
}

// An index that is not there is not worth a word, one that is of no use is named: five of
// them, then that there are more.
func TestWordsOnIndexesOfNoUse(t *testing.T) {
	var said []string
	g := NewGuide(parse(t, "ip 10.0.0.1"), 0, 0, func(format string, args ...any) {
		said = append(said, fmt.Sprintf(format, args...))
	})
	g.without(nil)
	g.without(&fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist})
	if len(said) != 0 {
		t.Errorf("%q", said)
	}
	for i := range 10 {
		g.without(fmt.Errorf("index %d: %w", i, ErrStale))
	}
	if len(said) != mostTold+1 || !strings.Contains(said[0], "index 0: made of another file") ||
		!strings.Contains(said[mostTold], "further indexes") {
		t.Errorf("%q", said)
	}
	if s := g.Stats(); s != (Stats{Without: 12}) {
		t.Errorf("%+v", s)
	}
	NewGuide(parse(t, "ip 10.0.0.1"), 0, 0, nil).without(ErrStale) // nobody listens
}

// Who may read a file may read its index; a file that is none, or is cut, gets none.
func TestWhatIsIndexed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nfcapd.202611221200")
	write(t, path, 500, 50, 1)
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		built := build(t, path)
		info, err := os.Stat(Path(path))
		if err != nil || info.Mode() != mode || info.Size() != built.Bytes || built.Records != 500 ||
			built.Blocks != 1 {
			t.Errorf("an index of %v with %d bytes, %v, want %v; %+v", info.Mode(), info.Size(), err, mode, built)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"nothing": nil, "a text": []byte(strings.Repeat("no flows ", 100)),
		"cut in the middle": whole[:len(whole)/2], "cut at the end": whole[:len(whole)-1]} {
		other := filepath.Join(dir, "nfcapd.202611221205")
		if err := os.WriteFile(other, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if built, err := Build(other); !errors.Is(err, ErrNotIndexable) {
			t.Errorf("%s: %+v, %v", name, built, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(Path(filepath.Join(dir, "nfcapd.202611221210")), "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "nfcapd.202611221210"), 10, 5, 1)
	if _, err := Build(filepath.Join(dir, "nfcapd.202611221210")); err == nil {
		t.Error("a directory in the place of the index is no error")
	}
	if _, err := Build(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("%q is left, %v", left, err)
	}
}

// A file that has changed at its begin or end, its size and time as they were, is not the one
// that the index is of.
func TestChangedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221200")
	write(t, path, 3000, 50, 1)
	build(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int]error{0: ErrStale, endBytes - 1: ErrStale, endBytes: nil,
		len(whole) - endBytes - 1: nil,
		len(whole) - endBytes:     ErrStale, len(whole) - 1: ErrStale} {
		changed := append([]byte{}, whole...)
		changed[at] ^= 1
		if err := errors.Join(os.WriteFile(path, changed, 0o600), os.Chtimes(path, info.ModTime(),
			info.ModTime())); err != nil {
			t.Fatal(err)
		}
		x, err := Open(path)
		if !errors.Is(err, want) {
			t.Errorf("byte %d of %d: %v, want %v", at, len(whole), err, want)
		}
		if err == nil {
			x.Close()
		}
	}
}

// Where nothing matches, all blocks are left out, and counted with the flows that their
// records stand for; where something does, the block that names the exporters stays.
func TestWhatIsLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221200")
	w, err := nffile.Create(path, nffile.Options{Compression: nffile.LZ4})
	if err != nil {
		t.Fatal(err)
	}
	const n = 35000
	flows := uint64(0)
	for i := range n {
		r := flow.Record{Exporter: host(1), Version: flow.V9, Domain: 5, Src: host(i), Dst: host(1 << 20), Proto: 6,
			IPVersion: 4,
			Packets:   1, Bytes: 100, First: slot + flow.Time(i)*1e6, Last: slot + flow.Time(i)*1e6 + 1e9,
			Flows: uint64(i % 3)}
		r.Present = flow.SetOf(flow.Src, flow.Dst, flow.Proto, flow.Bytes, flow.Packets, flow.IPVersion, flow.Flows)
		flows += max(r.Flows, 1)
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	built := build(t, path)
	f, err := nffile.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, tt := range []struct {
		filter   string
		from, to uint64
		all      bool
	}{
		{"ip 10.200.0.1", 0, 0, true},
		{"ip " + host(n-1).String(), 0, 0, false},
		{"ip " + host(n-1).String(), 0, slot.Milli() - 1, true},
		{"ip " + host(n-1).String(), (slot + n*1e6 + 2e9).Milli(), 0, true},
		{"ip " + host(0).String(), 0, slot.Milli(), false},
	} {
		g := NewGuide(parse(t, tt.filter), tt.from, tt.to, nil)
		places, records, stand := g.Omit(f)
		if all := len(places) == built.Blocks && records == n && stand == flows; all != tt.all {
			t.Errorf("%s from %d to %d: %d of %d blocks, %d records, %d flows of %d are left out, want all: %v",
				tt.filter,
				tt.from, tt.to, len(places), built.Blocks, records, stand, flows, tt.all)
		}
		if s := g.Stats(); s != (Stats{Files: 1, Blocks: built.Blocks, Omitted: len(places)}) {
			t.Errorf("%s: %+v", tt.filter, s)
		}
	}
	x, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	places, _, _ := NewGuide(parse(t, "ip "+host(n-1).String()), 0, 0, nil).Omit(f)
	for i := range x.entries {
		left := false
		for _, p := range places {
			left = left || p == x.entries[i].place
		}
		if left == (x.entries[i].tables || i == len(x.entries)-1) {
			t.Errorf("block %d of %d, with tables %v, is left out: %v", i, len(x.entries), x.entries[i].tables, left)
		}
	}
}
