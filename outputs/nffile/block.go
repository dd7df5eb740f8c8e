package nffile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// File is an open file to read from: its header, its statistics and, one after
// the other, its blocks. ReadBlock is safe for concurrent use, so that several
// goroutines can share the work of unpacking and decoding.
type File struct {
	path  string
	f     storage
	size  int64
	head  Header
	ident string
	stat  Stat
	open  bool // the file has no appendix: it is being written, or was torn

	exporters []exporter3 // layout 3: they stand behind the flows

	mu   sync.Mutex
	off  int64
	left uint32 // blocks that the header promises; open files are read to the end
	maps maps1  // layout 1: as of the block before off
}

// storage is what a file is read from.
type storage interface {
	io.ReaderAt
	io.Closer
}

// OpenFile opens a file and reads its header and appendix. A file without an
// appendix, one that is being written, is read as far as it goes. Errors are
// those of os.Open and *FormatError.
func OpenFile(path string) (*File, error) {
	file, err := openHeader(path)
	if err != nil {
		return nil, err
	}
	if err := file.readEnd(); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// openHeader opens a file and reads its header only.
func openHeader(path string) (*File, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	file, err := readHeader(path, f, size)
	if err != nil {
		f.Close()
		return nil, err
	}
	return file, nil
}

// openRegular opens a file that is neither a directory nor a device, and returns its
// size too.
func openRegular(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &FormatError{path, 0, ErrNotNfdump, "not a regular file"}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// newFile reads header and appendix of f, which has size bytes.
func newFile(path string, f storage, size int64) (*File, error) {
	file, err := readHeader(path, f, size)
	if err != nil {
		return nil, err
	}
	return file, file.readEnd()
}

// readHeader reads the header of f, and of layout 1 the statistics behind it.
func readHeader(path string, f storage, size int64) (*File, error) {
	var b [maxHeaderSize]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	head, err := decodeHeader(path, b[:n])
	if err != nil {
		return nil, err
	}
	file := &File{path: path, f: f, size: size, head: head, off: int64(headerSizes[head.Layout])}
	if head.Layout == layout1 {
		file.ident, file.stat = decodeStat1(b[:])
	}
	return file, nil
}

// readEnd reads what stands behind the flows, where the header promises it.
func (f *File) readEnd() error {
	f.left = f.head.Blocks
	switch {
	case f.head.Layout == layout3:
		return f.readDirectory3()
	case f.head.Layout == layout1 || f.head.Appendix == 0:
		f.open = f.head.Blocks == 0
		return nil
	case f.head.AppendixOffset < headerSize || f.head.AppendixOffset >= f.size:
		return f.errorf(24, ErrCorrupt, "the appendix should be at offset %d, the file has %d bytes: it was cut, salvage it",
			f.head.AppendixOffset, f.size)
	}
	return f.readAppendix()
}

// errorf returns a FormatError of this file.
func (f *File) errorf(off int64, kind error, format string, args ...any) error {
	return &FormatError{f.path, off, kind, fmt.Sprintf(format, args...)}
}

// readAppendix reads ident and statistics.
func (f *File) readAppendix() error {
	var b Block
	if err := f.readBlockAt(&b, f.head.AppendixOffset); err != nil {
		return err
	}
	if err := b.Unpack(); err != nil {
		return err
	}
	for b.next() {
		switch {
		case b.kind == recordIdent:
			f.ident = cString(b.rec[4:])
		case b.kind == recordStat && len(b.rec) == statSize:
			f.stat.decode(b.rec)
		}
	}
	return b.err
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

// Path returns the name the file was opened with.
func (f *File) Path() string { return f.path }

// Header returns the file header.
func (f *File) Header() Header { return f.head }

// Ident returns the ident in the appendix, "" without one.
func (f *File) Ident() string { return f.ident }

// HasStat says whether the file has statistics: one that is being written has none.
func (f *File) HasStat() bool {
	return f.head.Appendix > 0 || f.head.Layout == layout1 && f.head.Blocks > 0
}

// Stat returns the statistics of the file, zeros without them.
func (f *File) Stat() Stat { return f.stat }

// ReadBlock reads the next data block into b, still packed, and returns io.EOF
// after the last. Blocks of a type that holds no flows are read too; they have
// no records. A *FormatError says what is wrong with the block; the blocks after
// it cannot be found.
func (f *File) ReadBlock(b *Block) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 && !f.open || f.open && f.off >= f.size {
		return io.EOF
	}
	if err := f.readBlockAt(b, f.off); err != nil {
		growing := f.open && f.cutAt(f.off)
		f.left, f.open = 0, false
		if growing {
			return io.EOF // the rest of the block is still to come
		}
		return err
	}
	f.off += b.headSize() + int64(len(b.raw))
	if !f.open {
		f.left--
	}
	if f.head.Layout == layout1 {
		return f.takeMaps1(b)
	}
	return nil
}

// cutAt says whether the file ends within the block at off.
func (f *File) cutAt(off int64) bool {
	var h [block3HeadSize]byte
	n, _ := f.f.ReadAt(h[:], off)
	head := blockHeadSize
	size := int64(le.Uint32(h[4:]))
	if f.head.Layout == layout3 {
		head, size = block3HeadSize, size-block3HeadSize
	}
	return n < head || size <= MaxBlock && size > f.size-off-int64(head)
}

// readBlockAt reads the block at off into b.
func (f *File) readBlockAt(b *Block, off int64) error {
	b.reset(f, off)
	var h [block3HeadSize]byte
	head := b.headSize()
	if _, err := f.f.ReadAt(h[:head], off); err != nil {
		return f.shortRead(err, off, int(head))
	}
	if f.head.Layout == layout3 {
		if err := b.decodeHead3(h[:]); err != nil {
			return err
		}
	} else {
		b.Records = le.Uint32(h[0:])
		b.onDisk = int64(le.Uint32(h[4:]))
		b.kindOfBlock = le.Uint16(h[8:])
	}
	size := b.onDisk
	switch {
	case size == 0 || b.Records == 0:
		return f.errorf(off, ErrCorrupt, "block with %d records in %d bytes", b.Records, size)
	case size > MaxBlock+blockHeadSize:
		return f.errorf(off, ErrCorrupt, "block of %d bytes, at most %d are allowed", size, MaxBlock)
	case size > f.size-off-head:
		return f.errorf(off, ErrCorrupt, "block of %d bytes, the file has %d more", size, f.size-off-head)
	}
	if int64(cap(b.raw)) < size {
		b.raw = make([]byte, max(size, int64(min(2*cap(b.raw), MaxBlock))))
	}
	b.raw = b.raw[:size]
	if _, err := f.f.ReadAt(b.raw, off+head); err != nil {
		return f.shortRead(err, off, int(size))
	}
	return nil
}

// shortRead turns the end of a file into an error with its place.
func (f *File) shortRead(err error, off int64, want int) error {
	if err == io.EOF {
		return f.errorf(off, ErrCorrupt, "the file ends within a block (%d bytes wanted)", want)
	}
	return fmt.Errorf("reading %d bytes at offset %d of %s: %w", want, off, f.path, err)
}

// Block is one data block. It is reused: its memory is that of the largest block
// it has held.
type Block struct {
	Records uint32 // of all types, as its header says

	file        *File
	off         int64
	kindOfBlock uint16
	compression Compression // of layout 3, which has it block by block
	rawSize     int         // of layout 3: bytes when unpacked
	checksum    uint64      // of layout 3, 0 is none
	onDisk      int64       // bytes behind the block's header
	raw         []byte
	unpacker    unpacker
	data        []byte
	maps        maps1 // of layout 1, before the block

	pos  int
	left uint32
	kind uint16 // of the current record
	rec  []byte // the current record with its header
	err  error
}

// reset prepares b for the block at off of f.
func (b *Block) reset(f *File, off int64) {
	b.file, b.off, b.Records = f, off, 0
	b.compression, b.maps = f.head.Compression, nil
	b.data, b.pos, b.left, b.rec, b.err = nil, 0, 0, nil, nil
}

// Path returns the name of the file that the block is from.
func (b *Block) Path() string { return b.file.path }

// Size returns the bytes of the unpacked payload.
func (b *Block) Size() int { return len(b.data) }

// headSize returns the bytes of the block's header.
func (b *Block) headSize() int64 {
	if b.file.head.Layout == layout3 {
		return block3HeadSize
	}
	return blockHeadSize
}

// Unpack decompresses the block. Blocks that hold no flows become empty.
func (b *Block) Unpack() error {
	switch {
	case b.data != nil: // layout 1: done by ReadBlock
		return nil
	case b.file.head.Layout == layout3:
		return b.unpack3()
	case b.kindOfBlock != blockNormal && b.kindOfBlock != blockOld:
		b.data, b.left = nil, 0
		return nil
	}
	data, err := b.decompress()
	if err != nil {
		return err
	}
	b.data, b.pos, b.left = data, 0, b.Records
	return nil
}

// decompress returns the payload of the block.
func (b *Block) decompress() ([]byte, error) {
	data, err := b.unpacker.unpack(b.compression, b.raw)
	if err != nil {
		kind := ErrCorrupt
		if errors.Is(err, ErrUnsupported) {
			kind = ErrUnsupported
		}
		return nil, b.file.errorf(b.off, kind, "block of %d bytes: %v", len(b.raw), err)
	}
	return data, nil
}

// next steps to the next record of any type and sets kind and rec. At the end of
// the block, and at a record that does not fit, it returns false; err tells.
func (b *Block) next() bool {
	if b.left == 0 || b.err != nil {
		return false
	}
	rest := b.data[b.pos:]
	if len(rest) == 0 && b.file.head.Layout == layout3 {
		b.left = 0 // its count is of flows, or of all records
		return false
	}
	if len(rest) < 4 {
		b.err = b.errorf("record %d of %d is missing", b.Records-b.left+1, b.Records)
		return false
	}
	size := int(binary.LittleEndian.Uint16(rest[2:]))
	if size < 4 || size > len(rest) {
		b.err = b.errorf("record of %d bytes, the block has %d more", size, len(rest))
		return false
	}
	b.kind, b.rec = binary.LittleEndian.Uint16(rest), rest[:size:size]
	b.pos += size
	b.left--
	return true
}

// flowKinds are the types of flow records, by layout: each has one of its own, and
// passes over the others as over any record that it does not know.
var flowKinds = [...]uint16{layout1: recordCommon, layout2: recordFlow, layout3: recordFlow3}

// isFlow says whether the record at hand is a flow.
func (b *Block) isFlow() bool { return b.kind == flowKinds[b.file.head.Layout] }

// errorf returns a FormatError for the current place in the payload. Within a
// packed block that is the block's offset and a place in the text.
func (b *Block) errorf(format string, args ...any) error {
	reason := fmt.Sprintf(format, args...)
	if b.compression == None {
		return b.file.errorf(b.off+b.headSize()+int64(len(b.raw)-len(b.data)+b.pos), ErrCorrupt, "%s", reason)
	}
	return b.file.errorf(b.off, ErrCorrupt, "at %d of the unpacked block: %s", b.pos, reason)
}

// cString returns b up to its first NUL.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
