package nffile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// problems returns what Verify says of content.
func problems(t *testing.T, content []byte) (*Report, string) {
	t.Helper()
	r, err := Verify(write(t, content), nil)
	must(t, err)
	var text strings.Builder
	for _, p := range r.Problems {
		text.WriteString(p.Error() + "\n")
	}
	return &r, text.String()
}

// TestVerifySound: files of ours and of nfdump, of all layouts, are sound.
func TestVerifySound(t *testing.T) {
	contents := [][]byte{file1(t, LZO), file3(t, ZSTD)}
	for c := None; c <= ZSTD; c++ {
		content, _ := smallFile(t, c)
		contents = append(contents, content)
	}
	for i, content := range contents {
		r, text := problems(t, content)
		if i == 0 || i == 1 { // made by hand: the statistics are not of their flows
			text = ""
		}
		if text != "" || r.Flows < 4 || r.Ident != "edge1" || r.Open {
			t.Errorf("file %d: %s\n%s", i, r, text)
		}
	}
}

// TestVerifySamples: all samples are sound, but those made by hand have statistics
// that are not of their flows.
func TestVerifySamples(t *testing.T) {
	for _, path := range sampleFiles(t) {
		called := false
		r, err := Verify(path, func(done, size int64) error { called = done <= size; return nil })
		must(t, err)
		r.Problems = slices.DeleteFunc(r.Problems, func(err error) bool {
			return !strings.Contains(path, "nfcapd") && strings.Contains(err.Error(), "the statistics say 1 ")
		})
		if !r.Sound() || r.Flows == 0 || !called {
			t.Errorf("%s %v", &r, r.Problems)
		}
	}
}

// TestVerifyDamaged: Verify names each place, and finds its way behind it.
func TestVerifyDamaged(t *testing.T) {
	good, ends := smallFile(t, None)
	torn := func(b []byte) []byte { return b[:ends[2]+7] }
	for want, change := range map[string]func([]byte) []byte{
		"magic 0x7878":                      func(b []byte) []byte { b[0], b[1] = 'x', 'x'; return b },
		"the header says 9 blocks, 3":       func(b []byte) []byte { b[36] = 9; return b },
		"the appendix is at offset":         func(b []byte) []byte { b[24]++; return b },
		"the statistics say 6 flows, there": func(b []byte) []byte { b[len(b)-statSize+4]++; return b },
		"an element runs past": func(b []byte) []byte {
			b[ends[1]+blockHeadSize+recordHeadSize+2] = 0xff
			b[ends[1]+blockHeadSize+recordHeadSize+3] = 0xff
			return b
		},
		"block with 0 records":             func(b []byte) []byte { clear(b[ends[1] : ends[1]+4]); return b },
		"the next sound block begins here": func(b []byte) []byte { copy(b[ends[1]:], "garbage garbage"); return b },
		"no statistics":                    torn,
		"bytes, the file has":              func(b []byte) []byte { return b[:len(b)-3] },
		"1 bytes behind the last record": func(b []byte) []byte {
			return slices.Insert(bumpSize(b, ends[1]),
				int(ends[2]), 0)
		},
	} {
		r, text := problems(t, change(slices.Clone(good)))
		if r.Sound() || !strings.Contains(text, want) {
			t.Errorf("no %q in: %s\n%s", want, r, text)
		}
	}
}

// bumpSize makes the block at off one byte longer.
func bumpSize(b []byte, off int64) []byte {
	le.PutUint32(b[off+4:], le.Uint32(b[off+4:])+1)
	return b
}

// TestSalvage damages a file in the middle of each block: the other two come out,
// with their statistics, and nfdump reads them.
func TestSalvage(t *testing.T) {
	for _, c := range []Compression{None, LZ4, LZO} {
		good, ends := smallFile(t, c)
		for i := range 3 {
			bad := slices.Clone(good)
			for j := ends[i] + 2; j < ends[i]+30; j++ {
				bad[j] ^= 0x5a
			}
			from, to := write(t, bad), filepath.Join(t.TempDir(), "nfcapd.202611221001")
			got, err := Salvage(from, to, nil)
			must(t, err)
			want := 5 - (flowsInBlocks[i+1] - flowsInBlocks[i])
			if got.Flows != want || got.Blocks != 2 || got.Lost != ends[i+1]-ends[i] || len(got.Gaps) != 1 {
				t.Errorf("%s, block %d: %+v, expected %d flows", c, i, got, want)
			}
			r, err := Verify(to, nil)
			must(t, err)
			if !r.Sound() || r.Flows != want || r.Ident != "edge1" || r.Header.Compression != c {
				t.Errorf("%s, block %d: %s %v", c, i, &r, r.Problems)
			}
			if out := nfdump(t, "-r", to, "-o", "null"); !strings.Contains(out,
				"flows processed: "+string(rune('0'+want))+",") {
				t.Errorf("nfdump says\n%s", out)
			}
			if out := nfdump(t, "-v", to); strings.Contains(out, "rror") {
				t.Errorf("nfdump -v says\n%s", out)
			}
		}
	}
}

// TestSalvageCut cuts files of all layouts at many lengths: whole blocks come out,
// or an error says that there is none, and then there is no file.
func TestSalvageCut(t *testing.T) {
	ours, _ := smallFile(t, LZ4)
	for name, content := range map[string][]byte{"layout 1": file1(t, LZO), "layout 2": ours,
		"layout 3": file3(t, LZ4)} {
		from, to := write(t, content), filepath.Join(t.TempDir(), "out")
		last := uint64(0)
		for _, n := range append(offsets(len(content)), len(content)) {
			must(t, os.WriteFile(from, content[:n], 0o644))
			got, err := Salvage(from, to, nil)
			if err != nil {
				if _, statErr := os.Stat(to); statErr == nil {
					t.Fatalf("%s cut to %d: %v, and a file is left", name, n, err)
				}
				continue
			}
			if got.Flows < last {
				t.Fatalf("%s cut to %d: %d flows, %d were in a shorter one", name, n, got.Flows, last)
			}
			last = got.Flows
			if r, err := Verify(to, nil); err != nil || !r.Sound() || r.Flows != got.Flows {
				t.Fatalf("%s cut to %d: %s %v %v", name, n, &r, r.Problems, err)
			}
			must(t, os.Remove(to))
		}
		if last < 4 {
			t.Errorf("%s: %d flows salvaged", name, last)
		}
	}
}

// TestSalvageWithoutHeader: a header that is damaged, says the wrong thing, or is cut
// off does not cost the blocks behind it.
func TestSalvageWithoutHeader(t *testing.T) {
	to := filepath.Join(t.TempDir(), "out")
	for c := None; c <= ZSTD; c++ {
		ours, _ := smallFile(t, c)
		files := map[string][]byte{"layout 2": ours, "layout 3": file3(t, c)}
		if c != ZSTD {
			files["layout 1"] = file1(t, c)
		}
		for name, good := range files {
			whole, err := Salvage(write(t, good), to, nil)
			must(t, err)
			must(t, os.Remove(to))
			for what, damage := range map[string]func(b []byte) []byte{
				"zeros":             func(b []byte) []byte { clear(b[:headerSize]); return b },
				"no header":         func(b []byte) []byte { return b[headerSize:] },
				"other layout":      func(b []byte) []byte { b[2] ^= 1; return b },
				"other compression": func(b []byte) []byte { b[16] ^= 1; return b },
			} {
				got, err := Salvage(write(t, damage(slices.Clone(good))), to, nil)
				if err != nil || got.Flows != whole.Flows || what == "zeros" && len(got.Gaps) == 0 {
					t.Errorf("%s, %s, %s: %+v, expected %d flows: %v", name, c, what, got, whole.Flows, err)
				}
				if r, err := Verify(to, nil); err != nil || !r.Sound() || r.Flows != whole.Flows {
					t.Errorf("%s, %s, %s: %s %v %v", name, c, what, &r, r.Problems, err)
				}
				os.Remove(to)
			}
		}
	}
	for name, content := range map[string][]byte{"nothing": nil, "zeros": make([]byte, 1<<16),
		"text": bytes.Repeat([]byte("no flow\n"), 8000)} {
		var format *FormatError
		if _, err := Salvage(write(t, content), to, nil); !errors.As(err, &format) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("a file is left of what could not be salvaged")
	}
}

// TestProgressEnds: an error of progress ends the work, and nothing is left.
func TestProgressEnds(t *testing.T) {
	good, _ := smallFile(t, LZ4)
	from, to := write(t, good), filepath.Join(t.TempDir(), "out")
	enough := errors.New("enough")
	progress := func(done, _ int64) error {
		if done > headerSize {
			return enough
		}
		return nil
	}
	if _, err := Verify(from, progress); !errors.Is(err, enough) {
		t.Errorf("Verify: %v", err)
	}
	if _, err := Salvage(from, to, progress); !errors.Is(err, enough) {
		t.Errorf("Salvage: %v", err)
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("a file is left")
	}
}

// TestSalvageKeeps: salvaging a sound file of nfdump loses nothing, and nothing is
// overwritten.
func TestSalvageKeeps(t *testing.T) {
	for _, path := range sampleFiles(t) {
		want, err := readAll(path)
		must(t, err)
		to := filepath.Join(t.TempDir(), "out")
		_, err = Salvage(path, to, nil)
		must(t, err)
		got, err := readAll(to)
		must(t, err)
		if len(got) != len(want) {
			t.Fatalf("%s: %d flows, expected %d", path, len(got), len(want))
		}
		for i := range got {
			if want[i].Event && want[i].First == 0 { // nfcapd 1.7.1 leaves it out
				want[i].First, want[i].Last = want[i].EventTime, want[i].EventTime
				got[i].First, got[i].Last = got[i].EventTime, got[i].EventTime
			}
			got[i].Present, want[i].Present = flow.Set{}, flow.Set{}
			if d := differences(&got[i], &want[i]); d != "" {
				t.Errorf("%s, flow %d: %s", filepath.Base(path), i+1, d)
			}
		}
		if _, err := Salvage(path, to, nil); err == nil {
			t.Error("an existing file is overwritten")
		}
	}
}

// TestGrowing: a file that is written is read up to its last whole block, and
// Verify says that it is being written.
func TestGrowing(t *testing.T) {
	content, ends := smallFile(t, LZ4)
	clear(content[18:20])
	clear(content[24:40])
	path := write(t, nil)
	for _, n := range offsets(int(ends[3])+1, ends...) {
		if n < headerSize {
			continue
		}
		must(t, os.WriteFile(path, content[:n], 0o644))
		blocks := 0
		for blocks < 3 && int64(n) >= ends[blocks+1] {
			blocks++
		}
		got, err := readAll(path)
		if err != nil || uint64(len(got)) != flowsInBlocks[blocks] {
			t.Fatalf("%d bytes: %d flows, expected those of %d blocks: %v", n, len(got), blocks, err)
		}
		r, err := Verify(path, nil)
		must(t, err)
		if !r.Sound() || !r.Open || r.Flows != flowsInBlocks[blocks] || r.Torn != int64(n)-ends[blocks] {
			t.Fatalf("%d bytes: %s %v", n, &r, r.Problems)
		}
	}
}

// TestDamageOutsideFlowsHidesNothing: of a file whose statistics, counts, types or
// compression are damaged, all flows are read and salvaged, and all three say that it
// is damaged. Of one with a damaged flow, all others are.
func TestDamageOutsideFlowsHidesNothing(t *testing.T) {
	for _, c := range []Compression{None, LZ4} {
		good, ends := smallFile(t, c)
		appendix := ends[3]
		for name, change := range map[string]func(b []byte) []byte{
			"no appendix":       func(b []byte) []byte { clear(b[18:20]); return b },
			"cut appendix":      func(b []byte) []byte { return b[:appendix+20] },
			"no room":           func(b []byte) []byte { return b[:appendix] },
			"appendix in front": func(b []byte) []byte { b[24], b[25] = headerSize, 0; return b },
			"appendix behind":   func(b []byte) []byte { b[27] = 1; return b },
			"packed appendix": func(b []byte) []byte {
				copy(b[appendix+blockHeadSize:],
					"\xff\xff\xff\xff\xff\xff")
				return b
			},
			"blocks":        func(b []byte) []byte { b[36] = 99; return b },
			"fewer blocks":  func(b []byte) []byte { b[36] = 1; return b },
			"records":       func(b []byte) []byte { b[ends[1]] += 3; return b },
			"fewer records": func(b []byte) []byte { b[ends[2]] = 1; return b },
			"type":          func(b []byte) []byte { b[ends[1]+8] = 5; return b },
			"first type":    func(b []byte) []byte { b[ends[0]+8] = 77; return b },
			"compression":   func(b []byte) []byte { b[16] = byte(LZO); return b },
		} {
			path := write(t, change(slices.Clone(good)))
			expectDamaged(t, name+" "+c.String(), path, 5, 0)
		}
	}
	good, ends := smallFile(t, None)
	first := ends[0] + blockHeadSize + exporterSize
	good[first+recordHeadSize+2] = 0xff // the size of an element
	expectDamaged(t, "an element", write(t, good), 4, 1)
	good, _ = smallFile(t, None)
	good[len(good)-statSize+4] = 9 // flows of the statistics
	expectDamaged(t, "statistics", write(t, good), 5, 4)
}

// expectDamaged checks that reading, Verify and Salvage find the same flows, and that
// none calls the file sound.
func expectDamaged(t *testing.T, name, path string, flows, lost uint64) {
	t.Helper()
	f, err := OpenFile(path)
	must(t, err)
	defer f.Close()
	read, damaged := uint64(0), len(f.Damage()) > 0
	dec := NewDecoder()
	for b := new(Block); ; {
		err := f.ReadBlock(b)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = b.Unpack()
		}
		if err == nil {
			for dec.Next(b) {
				read++
			}
			err = dec.Err()
		}
		damaged = damaged || err != nil
	}
	damaged = damaged || f.CompareFlows(read, read) != nil
	r, err := Verify(path, nil)
	must(t, err)
	got, err := Salvage(path, filepath.Join(t.TempDir(), "out"), nil)
	must(t, err)
	if read != flows || !damaged || r.Sound() || r.Flows != flows || r.Lost != lost || got.Flows != flows ||
		got.LostFlows != lost {
		t.Errorf("%s: %d flows are read, expected %d; damaged is %v; verify: %s %v; salvage: %+v", name, read, flows,
			damaged, &r, r.Problems, got)
	}
}

// TestLostOfAggregated: statistics of nfdump -w count the flows that records stand for.
// Verify and Salvage agree on how many of them are lost: none of a sound file.
func TestLostOfAggregated(t *testing.T) {
	w := mustCreate(t, Options{Compression: None})
	first := w.Size()
	for range 2 {
		r := wideRecord(false)
		r.Flows = 3
		must(t, w.Append(r))
		must(t, w.Flush())
	}
	must(t, w.Close())
	content, err := os.ReadFile(w.Path())
	must(t, err)
	content[len(content)-statSize+4] = 6 // flows of the statistics
	damaged := slices.Clone(content)
	damaged[first+blockHeadSize+exporterSize+recordHeadSize+2] = 0xff // the size of an element
	for _, c := range []struct {
		name    string
		content []byte
		lost    uint64
	}{{"sound", content, 0}, {"damaged", damaged, 3}} {
		path := write(t, c.content)
		r, err := Verify(path, nil)
		must(t, err)
		got, err := Salvage(path, filepath.Join(t.TempDir(), "out"), nil)
		must(t, err)
		if r.Sound() != (c.lost == 0) || r.Lost != c.lost || got.LostFlows != c.lost {
			t.Errorf("%s: %v, verify says %d are lost, salvage %d, want %d: %v", c.name, r.Sound(), r.Lost,
				got.LostFlows, c.lost, r.Problems)
		}
	}
}

// TestFindIsBounded: a file that is all headers of blocks, and no block, is searched
// through in a time that its size bounds.
func TestFindIsBounded(t *testing.T) {
	good, ends := smallFile(t, None)
	head := append(le.AppendUint32(le.AppendUint32(nil, 100), 1<<20), blockNormal, 0, 0, 0)
	content := append(slices.Clone(good[:ends[1]]), bytes.Repeat(head, 8<<20/len(head))...)
	path := write(t, content)
	w, err := openWalker(path)
	must(t, err)
	defer w.file.Close()
	must(t, w.walk(func(*Block, error) error { return nil }, func(int64, int64, error) {}))
	if most := int64(triesAtLeast + triesPerByte*len(content) + 2*MaxBlock); w.tried > most {
		t.Errorf("%d bytes were tried, of %d in the file", w.tried, len(content))
	}
}

// TestSpecialFilesAreRefused: what is not a file is refused at once.
func TestSpecialFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	for _, path := range append(specialFiles(t, dir), dir, os.DevNull) {
		_, err := OpenFile(path)
		_, salvageErr := Salvage(path, filepath.Join(dir, "out"), nil)
		r, verifyErr := Verify(path, nil)
		if err == nil || salvageErr == nil || verifyErr == nil && r.Sound() {
			t.Errorf("%s: %v, %v, %v", path, err, salvageErr, verifyErr)
		}
	}
}
