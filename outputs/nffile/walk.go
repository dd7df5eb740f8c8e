package nffile

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// walker goes over all blocks of a file, whatever its header promises, and finds
// its way again behind damage. Verify and Salvage are built on it, and File.ReadBlock
// asks it where it cannot go on by itself.
type walker struct {
	file *File
	dec  *Decoder
	b    Block

	progress Progress
	lost     uint32 // records of the block at hand that are damaged
	standFor uint64 // flows that the others stand for
	buf      []byte // of find
	tried    int64  // bytes of what looked like a block and was none
}

// Progress is called with the bytes of a file that are done and to do. An error that
// it returns ends the work.
type Progress func(done, size int64) error

// openWalker opens a file of which at least the header is sound.
func openWalker(path string) (*walker, error) {
	file, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	file.f = &window{storage: file.f}
	return newWalker(file), nil
}

// window is a file of which a part is kept in memory: a walker reads many small pieces.
type window struct {
	storage
	off int64
	buf []byte
}

// windowSize is how much of a file a window reads at once. Pieces of half of it and
// more are read as they are.
const windowSize = 64 << 10

// ReadAt implements io.ReaderAt, for one goroutine.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	if len(p) >= windowSize/2 {
		return w.storage.ReadAt(p, off)
	}
	if at := off - w.off; at < 0 || at+int64(len(p)) > int64(len(w.buf)) {
		buf := slices.Grow(w.buf[:0], windowSize)[:windowSize]
		n, err := w.storage.ReadAt(buf, off)
		if err != nil && err != io.EOF {
			return 0, err
		}
		w.off, w.buf = off, buf[:n]
	}
	n := copy(p, w.buf[off-w.off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func newWalker(file *File) *walker {
	return &walker{file: file, dec: NewDecoder(), progress: func(int64, int64) error { return nil }}
}

// openWalkerAs opens a file whose header is not to be trusted.
func openWalkerAs(path string, head Header) (*walker, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	size := info.Size()
	return newWalker(&File{path: path, f: &window{storage: f}, info: info, size: size, head: head, end: size,
		open: true}), nil
}

// walk calls take for every block that can be unpacked, with what is wrong in it, nil
// for one that is sound, and bad for every range of bytes that is no such block, in
// the order of the file. An error of take ends it.
func (w *walker) walk(take func(b *Block, wrong error) error, bad func(from, to int64, why error)) error {
	f := w.file
	for f.off < f.end {
		if err := w.progress(f.off, f.size); err != nil {
			return err
		}
		from := f.off
		err := f.next(&w.b)
		to := from + w.b.headSize() + int64(len(w.b.raw))
		if err == nil {
			if err = w.load(); err == nil {
				if err := take(&w.b, w.check()); err != nil {
					return err
				}
				f.off = to
				continue
			}
		} else if to, err = w.behind(from, err); err != nil && to == from {
			return err
		}
		var damage *FormatError
		if !errors.As(err, &damage) {
			return err
		}
		bad(from, to, err)
		f.off = to
	}
	return w.progress(f.end, f.size)
}

// behind returns where the next sound block begins behind damage at an offset, and
// the damage. When it cannot, it returns the offset.
func (w *walker) behind(from int64, why error) (int64, error) {
	var damage *FormatError
	if !errors.As(why, &damage) {
		return from, why
	}
	to, err := w.find(from+1, w.file.end)
	if err != nil {
		return from, err
	}
	return to, why
}

// load unpacks the block at hand.
func (w *walker) load() error {
	f := w.file
	if f.head.Layout == layout3 && w.b.kindOfBlock != block3Flow {
		return f.takeBlock3(&w.b)
	}
	w.b.maps = f.maps
	return w.b.Unpack()
}

// check decodes all records of the block, says what is wrong with it, and goes back
// to its begin.
func (w *walker) check() error {
	b := &w.b
	if b.data == nil {
		return b.why
	}
	unknown := b.why
	flows := uint32(0)
	w.standFor = 0
	for w.dec.Next(b) {
		flows++
		w.standFor += max(w.dec.Record().Flows, 1)
	}
	err := w.dec.Err()
	if w.lost = b.lostRecords(); b.behindFlows() {
		w.lost = 0
	}
	if err == nil && w.file.head.Layout == layout3 && flows > b.Records {
		err = b.errorf("%d flows, the block says %d", flows, b.Records)
	}
	w.file.maps = w.dec.maps
	b.rewind()
	b.err, b.why = nil, unknown
	return err
}

// soundAt says whether a block that is sound in all its parts is at off.
func (w *walker) soundAt(off int64) bool {
	f := w.file
	maps, exporters, ident, stat, have := f.maps, len(f.exporters), f.ident, f.stat, f.haveStat
	err := f.readBlockAt(&w.b, off, f.end)
	if err == nil {
		err = w.load()
	}
	if err == nil {
		err = w.check()
	}
	f.maps, f.exporters, f.ident, f.stat, f.haveStat = maps, f.exporters[:exporters], ident, stat, have
	w.tried += tryCosts + int64(len(w.b.raw)) + int64(len(w.b.data))
	return err == nil
}

// findStep is how many bytes find looks at with one read.
const findStep = int64(1 << 20)

// triesPerByte and triesAtLeast bound what find unpacks in vain: so often the bytes of
// the file, and so many bytes, where each try counts as tryCosts more. A file of which
// more looks like blocks and is none has been made so.
const (
	triesPerByte = 2
	triesAtLeast = 64 << 20
	tryCosts     = 4 << 10
)

// find returns where the next sound block begins, at off or behind it, or end.
func (w *walker) find(off, end int64) (int64, error) {
	if size := min(findStep, end-off) + block3HeadSize; int64(len(w.buf)) < size {
		w.buf = make([]byte, size)
	}
	buf := w.buf
	layout := w.file.head.Layout
	for ; off < end; off += findStep {
		if err := w.progress(off, w.file.size); err != nil {
			return 0, err
		}
		n, err := w.file.f.ReadAt(buf[:min(int64(len(buf)), end-off)], off)
		if err != nil && err != io.EOF {
			return 0, err
		}
		for i := candidate(layout, buf[:n], 0); i < min(n, int(findStep)); i = candidate(layout, buf[:n], i+1) {
			if !plausible(layout, buf[i:n], end-off-int64(i), false) {
				continue
			}
			if w.tried > triesAtLeast+triesPerByte*w.file.size {
				return end, nil
			}
			if w.soundAt(off + int64(i)) {
				return off + int64(i), nil
			}
		}
	}
	return end, nil
}

// candidate returns where, at i or behind, the header of a block may begin in b, by
// its type; len(b) when nowhere.
func candidate(layout uint16, b []byte, i int) int {
	const typeAt = 8
	if layout == layout3 {
		for ; i < len(b) && (b[i] == 0 || b[i] > block3Exporter); i++ {
		}
		return i
	}
	kind := []byte{blockNormal, 0, 0, 0}
	if layout == layout1 {
		kind[0] = blockOld
	}
	if i+typeAt >= len(b) {
		return len(b)
	}
	n := bytes.Index(b[i+typeAt:], kind)
	if n < 0 {
		return len(b)
	}
	return i + n
}

// plausible says whether b may be the header of a block, with left bytes up to the
// end of the file. Of one that follows another the type may be any.
func plausible(layout uint16, b []byte, left int64, follows bool) bool {
	if layout == layout3 {
		if len(b) < block3HeadSize {
			return false
		}
		kind, size, raw := le.Uint32(b), int64(le.Uint32(b[4:])), le.Uint32(b[8:])
		return kind >= 1 && (kind <= block3Exporter || follows) && size > block3HeadSize && size <= left &&
			raw > block3HeadSize &&
			raw <= MaxBlock && le.Uint16(b[12:]) <= 5 && le.Uint16(b[14:]) == 0
	}
	if len(b) < blockHeadSize || b[11] != 0 || b[10] != 0 || b[9] != 0 || !follows && b[8] != blockNormal &&
		b[8] != blockOld {
		return false
	}
	records, size := int64(le.Uint32(b)), int64(le.Uint32(b[4:]))
	return size > 0 && size <= min(left-blockHeadSize, MaxBlock+blockHeadSize) && records > 0 && records <= MaxBlock/4
}
