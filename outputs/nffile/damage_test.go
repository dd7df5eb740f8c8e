package nffile

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// smallFile writes a file of three blocks with five flows, and returns its bytes
// and the ends of the blocks.
func smallFile(t testing.TB, c Compression) (content []byte, ends []int64) {
	t.Helper()
	w := mustCreate(t, Options{Compression: c, Ident: "edge1"})
	ends = append(ends, w.Size())
	for _, flows := range [][]*flow.Record{{wideRecord(false), wideRecord(true)}, {eventRecord()},
		{eventRecord(), wideRecord(true)}} {
		for _, r := range flows {
			must(t, w.Append(r))
		}
		must(t, w.Flush())
		ends = append(ends, w.Size())
	}
	must(t, w.Close())
	content, err := os.ReadFile(w.Path())
	must(t, err)
	return content, ends
}

// flowsInBlocks are how many flows the first n blocks of a small file have.
var flowsInBlocks = []uint64{0, 2, 3, 5}

// write puts content into a file of a test.
func write(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nfcapd.202611221000")
	must(t, os.WriteFile(path, content, 0o644))
	return path
}

// allOffsets makes the tests that damage files try every offset: they take minutes
// then.
var allOffsets = flag.Bool("all", false, "damage files at every offset, not at a sample of them")

// offsets returns where a test damages a file of n bytes: in the header and around
// the marks, where blocks begin, everywhere, elsewhere at every 23rd byte.
func offsets(n int, marks ...int64) []int {
	var list []int
	for i := range n {
		near := i <= headerSize || i%23 == 0
		for _, m := range marks {
			near = near || int64(i) >= m-2 && int64(i) <= m+blockHeadSize+1
		}
		if near || *allOffsets {
			list = append(list, i)
		}
	}
	return list
}

// TestCut cuts files at many lengths: reading ends with an error that names file
// and offset, and Recover keeps every whole block and nothing else.
func TestCut(t *testing.T) {
	for _, c := range []Compression{None, LZ4} {
		content, ends := smallFile(t, c)
		path := write(t, nil)
		for _, n := range offsets(len(content), ends...) {
			must(t, os.WriteFile(path, content[:n], 0o644))
			var format *FormatError
			if _, err := readAll(path); !errors.As(err, &format) || format.Path != path {
				t.Fatalf("cut to %d: %v", n, err)
			}
			found, err := Recover(path, Options{Compression: c, Ident: "edge1"})
			must(t, err)
			blocks := 0
			for blocks < 3 && int64(n) >= ends[blocks+1] {
				blocks++
			}
			got, err := readAll(path)
			must(t, err)
			if found.Blocks != uint32(blocks) || found.Flows != flowsInBlocks[blocks] ||
				uint64(len(got)) != found.Flows {
				t.Fatalf("cut to %d: found %+v, read %d flows, expected %d blocks", n, found, len(got), blocks)
			}
			if want := int64(n) - ends[blocks]; n >= headerSize && found.Truncated != want {
				t.Fatalf("cut to %d: %d bytes cut off, expected %d", n, found.Truncated, want)
			}
		}
	}
}

// TestRecoverNfdump lets nfdump read what Recover made of a file at several
// lengths.
func TestRecoverNfdump(t *testing.T) {
	content, ends := smallFile(t, LZ4)
	for i, end := range ends {
		path := write(t, content[:end+5])
		_, err := Recover(path, Options{Compression: LZ4, Ident: "edge1"})
		must(t, err)
		out := nfdump(t, "-I", "-r", path) + nfdump(t, "-r", path, "-o", "null") + nfdump(t, "-v", path)
		for _, want := range []string{fmt.Sprintf("Flows: %d\n", flowsInBlocks[i]),
			fmt.Sprintf("flows processed: %d,", flowsInBlocks[i]), "Ident: edge1\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("%d blocks: no %q in\n%s", i, want, out)
			}
		}
	}
}

// TestRecoverIsIdempotent: a file that is whole stays what it is, statistics and
// exporters included.
func TestRecoverIsIdempotent(t *testing.T) {
	content, _ := smallFile(t, LZ4)
	path := write(t, content)
	before := nfdump(t, "-I", "-r", path) + nfdump(t, "-E", path)
	for range 2 {
		found, err := Recover(path, Options{})
		must(t, err)
		if found.Flows != 5 || found.Truncated != 0 {
			t.Errorf("found %+v", found)
		}
		if after := nfdump(t, "-I", "-r", path) + nfdump(t, "-E", path); after != before {
			t.Errorf("before\n%s\nafter\n%s", before, after)
		}
	}
}

// TestResume appends to a file in many turns: the numbers of exporters, the
// statistics and the flows are as if it had been written in one.
func TestResume(t *testing.T) {
	content, _ := smallFile(t, LZ4)
	path := write(t, content)
	for range 3 {
		w, found, err := Resume(path, Options{})
		must(t, err)
		if found.Truncated != 0 {
			t.Errorf("found %+v", found)
		}
		must(t, w.Append(eventRecord()))
		w.Datagrams(Exporter{router, flow.V9, 77}, 1, 1)
		must(t, w.Close())
	}
	out := nfdump(t, "-I", "-r", path) + nfdump(t, "-E", path)
	for _, want := range []string{"Ident: edge1\n", "Flows: 8\n", "Sequence failures: 3\n",
		"SysID: 1, IP:      192.0.2.254, version: 9, ID: 77, Sequence failures: 3, packets: 3, flows: 6\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "SysID: 3") {
		t.Errorf("an exporter has come twice:\n%s", out)
	}
}

// TestResumeRefuses: what cannot be appended to is not touched.
func TestResumeRefuses(t *testing.T) {
	good, ends := smallFile(t, None)
	for name, change := range map[string]func([]byte) []byte{
		"text":         func([]byte) []byte { return []byte("a text") },
		"layout 1":     func(b []byte) []byte { b[2] = 1; return append(b, make([]byte, 300)...) },
		"layout 3":     func(b []byte) []byte { b[2] = 3; return b },
		"encrypted":    func(b []byte) []byte { b[17] = 1; return b },
		"damaged flow": func(b []byte) []byte { b[ends[1]+blockHeadSize+2] = 0xff; return b },
	} {
		content := change(slices.Clone(good))
		path := write(t, content)
		w, _, err := Resume(path, Options{})
		var format *FormatError
		if !errors.As(err, &format) || w != nil {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(path); !slices.Equal(after, content) {
			t.Errorf("%s: the file has been changed", name)
		}
	}
}

// TestFlips cuts files and changes their bytes: nothing panics, and an error is one
// of the format's.
func TestFlips(t *testing.T) {
	s := sweeper{dec: NewDecoder()}
	for c := None; c <= ZSTD; c++ {
		content, _ := smallFile(t, c)
		s.sweep(t, c.String(), content)
	}
}

// TestRefused: files that are not supported say what they are.
func TestRefused(t *testing.T) {
	content, _ := smallFile(t, None)
	for want, change := range map[string]func(b []byte){
		"layout 9, expected 1, 2 or 3":        func(b []byte) { b[2] = 9 },
		"packed with none, the file says lzo": func(b []byte) { b[16] = byte(LZO) },
		"compression 9 is unknown":            func(b []byte) { b[16] = 9 },
		"encrypted":                           func(b []byte) { b[17] = 1 },
		"big-endian":                          func(b []byte) { b[0], b[1] = 0xa5, 0x0c },
		"magic 0x7878, expected 0xa50c":       func(b []byte) { b[0], b[1] = 'x', 'x' },
		"the appendix should be at":           func(b []byte) { b[30] = 1 },
		"block with 0 records":                func(b []byte) { clear(b[headerSize : headerSize+4]) },
		"block of 4294967295 bytes, at most":  func(b []byte) { copy(b[headerSize+4:], "\xff\xff\xff\xff") },
	} {
		bad := slices.Clone(content)
		change(bad)
		path := write(t, bad)
		_, err := readAll(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// TestOpenFile reads a file while it is written: up to the last flushed block.
func TestOpenFile(t *testing.T) {
	w := mustCreate(t, Options{Compression: LZ4})
	for i := range 3 {
		must(t, w.Append(eventRecord()))
		must(t, w.Flush())
		got, err := readAll(w.Path())
		if err != nil || len(got) != i+1 {
			t.Errorf("%d flows after %d blocks: %v", len(got), i+1, err)
		}
	}
}

// TestWriteError: after a failed write the file is as after the last Flush and
// the Writer goes on.
func TestWriteError(t *testing.T) {
	w := mustCreate(t, Options{})
	must(t, w.Append(wideRecord(false)))
	must(t, w.Flush())
	before := w.Stat()
	f := w.f
	closed, err := os.Open(os.DevNull)
	must(t, err)
	closed.Close()
	w.f = closed
	must(t, w.Append(wideRecord(true)))
	if err := w.Flush(); err == nil || !strings.Contains(err.Error(), w.Path()) {
		t.Errorf("flushing to a closed file: %v", err)
	}
	if err := w.Close(); err == nil {
		t.Error("closing a file that cannot be written succeeds")
	}
	w.f = f
	if w.Stat() != before {
		t.Errorf("the failed flow is counted: %+v", w.Stat())
	}
	must(t, w.Append(eventRecord()))
	must(t, w.Close())
	if err := w.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("closing twice: %v", err)
	}
	if err := w.Flush(); !errors.Is(err, ErrClosed) {
		t.Errorf("flushing a closed file: %v", err)
	}
	got, err := readAll(w.Path())
	if err != nil || len(got) != 2 || !got[1].Event {
		t.Errorf("%d flows: %v", len(got), err)
	}
}

// ram is a file in memory to write to.
type ram struct{ b []byte }

func (m *ram) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, off)
}

func (m *ram) WriteAt(p []byte, off int64) (int, error) {
	if end := off + int64(len(p)); end > int64(len(m.b)) {
		m.grow(end)
	}
	return copy(m.b[off:], p), nil
}

func (m *ram) Truncate(size int64) error {
	m.grow(size)
	m.b = m.b[:size]
	return nil
}

// grow makes the file at least size bytes long.
func (m *ram) grow(size int64) {
	if n := size - int64(len(m.b)); n > 0 {
		m.b = append(m.b, make([]byte, n)...)
	}
}

func (m *ram) Sync() error  { return nil }
func (m *ram) Close() error { return nil }

// readRAM reads a file in memory to its end with a Reader that is used again and
// again, and returns how many flows it has.
func readRAM(r *Reader, content []byte) (flows uint64, err error) {
	if r.File, err = newFile("memory", memory{bytes.NewReader(content)}, int64(len(content))); err != nil {
		return 0, err
	}
	r.block.data, r.err, r.done = nil, nil, false
	r.dec.Reset()
	for r.Next() {
		flows++
	}
	return flows, r.Err()
}

// FuzzReader: no file makes the reader panic or allocate without bound, and what
// Recover makes of a file can be read to its end. Files are in memory: a run that
// waits for the disk takes ten times as long.
func FuzzReader(f *testing.F) {
	for _, c := range []Compression{None, LZ4} {
		content, ends := smallFile(f, c)
		f.Add(content)
		f.Add(content[:ends[2]+20])
	}
	r := &Reader{dec: NewDecoder()}
	f.Fuzz(func(t *testing.T, content []byte) {
		_, readErr := readRAM(r, content)
		var format *FormatError
		if readErr != nil && !errors.As(readErr, &format) {
			t.Fatal(readErr)
		}
		disk := &ram{slices.Clone(content)}
		w, found, err := resume(disk, int64(len(content)), "memory", Options{})
		if err == nil {
			err = w.complete()
		}
		if err != nil {
			if !errors.As(err, &format) {
				t.Fatal(err)
			}
			return
		}
		got, err := readRAM(r, disk.b)
		if err != nil || got != found.Flows {
			t.Fatalf("recovered %+v, read %d: %v", found, got, err)
		}
	})
}
