package nffile

import (
	"errors"
	"io"
)

// walker goes over all blocks of a file, whatever its header promises, and finds
// its way again behind damage. Verify and Salvage are built on it.
type walker struct {
	file *File
	dec  *Decoder
	b    Block

	progress Progress
}

// Progress is called with the bytes of a file that are done and to do. An error that
// it returns ends the work.
type Progress func(done, size int64) error

// openWalker opens a file of which at least the header is sound.
func openWalker(path string) (*walker, error) {
	file, err := openHeader(path)
	if err != nil {
		return nil, err
	}
	return newWalker(file), nil
}

func newWalker(file *File) *walker {
	return &walker{file: file, dec: NewDecoder(), progress: func(int64, int64) error { return nil }}
}

// openWalkerAs opens a file whose header is not to be trusted.
func openWalkerAs(path string, head Header) (*walker, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	return newWalker(&File{path: path, f: f, size: size, head: head}), nil
}

// walk calls sound for every block that is sound, and bad for every range of bytes
// that is no sound block, in the order of the file. It ends at the offset end, that
// of the directory of layout 3 or the size of the file. An error of sound ends it.
func (w *walker) walk(end int64, sound func(*Block) error, bad func(from, to int64, why error)) error {
	f := w.file
	for off := f.off; off < end; {
		if err := w.progress(off, f.size); err != nil {
			return err
		}
		err := w.read(off, sound)
		if err == nil {
			off += w.b.headSize() + int64(len(w.b.raw))
			continue
		}
		var damage *FormatError
		if !errors.As(err, &damage) || errors.Is(err, ErrUnsupported) {
			return err
		}
		next, findErr := w.find(off+1, end)
		if findErr != nil {
			return findErr
		}
		bad(off, next, err)
		off = next
	}
	return w.progress(end, f.size)
}

// read reads the block at off, checks all of it, and hands it to sound.
func (w *walker) read(off int64, sound func(*Block) error) error {
	if err := w.load(off); err != nil {
		return err
	}
	if err := w.check(); err != nil {
		return err
	}
	return sound(&w.b)
}

// load reads and unpacks the block at off.
func (w *walker) load(off int64) error {
	f := w.file
	if err := f.readBlockAt(&w.b, off); err != nil {
		return err
	}
	if f.head.Layout == layout3 && w.b.kindOfBlock != block3Flow {
		return f.takeBlock3(&w.b)
	}
	w.b.maps = f.maps
	return w.b.Unpack()
}

// check decodes all records of the block and says what is wrong with the first
// that is not sound.
func (w *walker) check() error {
	b := &w.b
	if b.data == nil {
		return nil
	}
	flows := uint32(0)
	for w.dec.Next(b) {
		flows++
	}
	if err := w.dec.Err(); err != nil {
		return err
	}
	if b.pos < len(b.data) {
		return b.errorf("%d records end %d bytes before the block", b.Records, len(b.data)-b.pos)
	}
	if w.file.head.Layout == layout3 && flows > b.Records {
		return b.errorf("%d flows, the block says %d", flows, b.Records)
	}
	w.file.maps = w.dec.maps
	b.pos, b.left = 0, b.Records
	if w.file.head.Layout == layout3 {
		b.left = ^uint32(0)
	}
	return nil
}

// findStep is how many bytes find looks at with one read.
const findStep = 1 << 20

// find returns where the next sound block begins, at off or behind it, or end.
func (w *walker) find(off, end int64) (int64, error) {
	buf := make([]byte, findStep+block3HeadSize)
	maps := w.file.maps
	for ; off < end; off += findStep {
		if err := w.progress(off, w.file.size); err != nil {
			return 0, err
		}
		n, err := w.file.f.ReadAt(buf[:min(int64(len(buf)), end-off)], off)
		if err != nil && err != io.EOF {
			return 0, err
		}
		for i := 0; i < min(n, findStep); i++ {
			if !w.plausible(buf[i:n], end-off-int64(i)) {
				continue
			}
			if w.load(off+int64(i)) == nil && w.check() == nil {
				w.file.maps = maps
				return off + int64(i), nil
			}
		}
	}
	return end, nil
}

// plausible says whether b may be the header of a block, with left bytes up to the
// end of the file.
func (w *walker) plausible(b []byte, left int64) bool {
	if w.file.head.Layout == layout3 {
		if len(b) < block3HeadSize {
			return false
		}
		kind, size, raw := le.Uint32(b), int64(le.Uint32(b[4:])), le.Uint32(b[8:])
		return kind >= 1 && kind <= block3Exporter && size > block3HeadSize && size <= left && raw > block3HeadSize &&
			raw <= MaxBlock && le.Uint16(b[12:]) <= 5 && le.Uint16(b[14:]) == 0
	}
	if len(b) < blockHeadSize || b[11] != 0 || b[10] != 0 || b[9] != 0 || b[8] != blockNormal && b[8] != blockOld {
		return false
	}
	records, size := int64(le.Uint32(b)), int64(le.Uint32(b[4:]))
	return size > 0 && size <= min(left-blockHeadSize, MaxBlock+blockHeadSize) && records > 0 && records <= MaxBlock/4
}
