package nffile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/flowgraf/flowgraf/plugins/disk"
)

// File is an open file to read from: its header, its statistics and, one after
// the other, its blocks. ReadBlock is safe for concurrent use, so that several
// goroutines can share the work of unpacking and decoding.
type File struct {
	path     string
	f        storage
	info     fs.FileInfo // nil without a name
	size     int64
	head     Header
	ident    string
	stat     Stat
	haveStat bool
	open     bool    // the file has no end: it is being written, or was torn
	damage   []error // outside of the blocks with flows: each is a *FormatError

	exporters []exporter3 // layout 3: they stand behind the flows

	mu     sync.Mutex
	off    int64
	end    int64  // of the blocks with flows
	blocks uint32 // with flows, before off
	gaps   bool   // something before off is no sound block
	maps   maps1  // layout 1: as of the block before off
	finder *walker
	omit   []Place // blocks that are passed over

	misses atomic.Uint32 // blocks that are packed with no compression at all
}

// storage is what a file is read from.
type storage interface {
	io.ReaderAt
	io.Closer
}

// OpenFile opens a file and reads its header and appendix. A file without an
// appendix, one that is being written, is read as far as it goes; what is wrong with
// the appendix, Damage tells. Errors are those of os.Open and *FormatError of the
// header.
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
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	file, err := readHeader(path, f, info.Size())
	if err != nil {
		f.Close()
		return nil, err
	}
	file.info = info
	return file, nil
}

// openRegular opens a file that is neither a directory nor a device, and returns what
// the file system knows of it too.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	f, info, err := disk.OpenRegular(path)
	if errors.Is(err, disk.ErrNotRegular) {
		return nil, nil, newFormatError(path, 0, ErrNotNfdump, "not a regular file")
	}
	return f, info, err
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
	file := &File{path: path, f: f, size: size, head: head, off: int64(headerSizes[head.Layout]), end: size}
	if head.Layout == layout1 {
		file.ident, file.stat = decodeStat1(b[:])
	}
	return file, nil
}

// readEnd reads what stands behind the flows, where the header promises it. What is
// wrong there is noted: the flows are read without it, up to the end of the file.
func (f *File) readEnd() error {
	var err error
	switch {
	case f.head.Layout == layout3:
		err = f.readDirectory3()
	case f.head.Layout == layout1:
		f.open, f.haveStat = f.head.Blocks == 0, f.head.Blocks > 0
	case f.head.Appendix == 0:
		if f.open = f.head.Blocks == 0; !f.open {
			err = f.errorf(f.size, ErrCorrupt, "no statistics: nfdump -I and -t do not see the flows; salvage the file")
		}
	case f.head.AppendixOffset < headerSize || f.head.AppendixOffset >= f.size:
		err = f.errorf(24, ErrCorrupt,
			"the appendix should be at offset %d, the file has %d bytes: it was cut, salvage it",
			f.head.AppendixOffset, f.size)
	default:
		err = f.readAppendix()
	}
	return f.note(err)
}

// note keeps an error of the format as damage. It returns any other one.
func (f *File) note(err error) error {
	var damage *FormatError
	if !errors.As(err, &damage) {
		return err
	}
	f.damage = append(f.damage, err)
	return nil
}

// errorf returns a FormatError of this file.
func (f *File) errorf(off int64, kind error, format string, args ...any) error {
	return newFormatError(f.path, off, kind, format, args...)
}

// appendices are blocks that have held one: what each file would need anew is most of
// what it costs to open many. The few that take more than maxKept bytes are not kept.
var appendices = sync.Pool{New: func() any { return new(Block) }}

// readAppendix reads ident and statistics. Where they are, the flows end.
func (f *File) readAppendix() error {
	b := appendices.Get().(*Block)
	defer appendices.Put(b)
	defer b.forget()
	off := f.head.AppendixOffset
	for range min(f.head.Appendix, maxAppendix) {
		if err := f.readBlockAt(b, off, f.size); err != nil {
			return err
		}
		if err := b.Unpack(); err != nil {
			return err
		}
		if !b.isAppendix() {
			return f.errorf(24, ErrCorrupt, "the appendix should be at offset %d, a block of another kind is there",
				off)
		}
		if err := f.takeAppendix(b); err != nil {
			return err
		}
		off += b.headSize() + int64(len(b.raw))
	}
	f.end = f.head.AppendixOffset
	if !f.haveStat {
		return f.errorf(f.end, ErrCorrupt, "no statistics in the appendix")
	}
	return nil
}

// maxKept is how much memory of an appendix is kept for the next.
const maxKept = 1 << 20

// maxAppendix is how many appendix blocks are read; nfdump writes one.
const maxAppendix = 16

// isAppendix says whether an unpacked block is an appendix.
func (b *Block) isAppendix() bool {
	return len(b.data) >= 4 && (le.Uint16(b.data) == recordIdent || le.Uint16(b.data) == recordStat)
}

// takeAppendix takes ident and statistics from an appendix.
func (f *File) takeAppendix(b *Block) error {
	for b.next() {
		switch {
		case b.kind == recordIdent:
			f.ident = cString(b.rec[4:])
		case b.kind == recordStat && len(b.rec) == statSize:
			f.haveStat = true
			f.stat.decode(b.rec)
		}
	}
	return b.err
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

// Path returns the name the file was opened with.
func (f *File) Path() string { return f.path }

// Size returns the bytes of the file.
func (f *File) Size() int64 { return f.size }

// Raw returns the file itself, to read its bytes as they are, and what the file system
// knew of it when it was opened.
func (f *File) Raw() (io.ReaderAt, fs.FileInfo) { return f.f, f.info }

// Header returns the file header.
func (f *File) Header() Header { return f.head }

// Ident returns the ident in the appendix, "" without one.
func (f *File) Ident() string { return f.ident }

// HasStat says whether the file has statistics: one that is being written has none.
func (f *File) HasStat() bool { return f.haveStat }

// Stat returns the statistics of the file, zeros without them.
func (f *File) Stat() Stat { return f.stat }

// Open says that the file is not complete: it is being written, or was left behind.
func (f *File) Open() bool { return f.open }

// Damage returns what is wrong with the file outside of its blocks with flows, as far
// as that is known when it is opened: each is a *FormatError.
func (f *File) Damage() []error { return f.damage }

// ReadBlock reads the next data block into b, still packed, and returns io.EOF
// after the last. Blocks of a type that holds no flows are read too; they have
// no records. A *FormatError says what is wrong at one place; the next call goes on
// with the next sound block behind it. With any other error the file has ended.
func (f *File) ReadBlock(b *Block) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passOmitted()
	if f.off >= f.end {
		return f.ended()
	}
	err := f.next(b)
	var damage *FormatError
	switch {
	case err == nil:
	case !errors.As(err, &damage):
		f.off = f.end
		return err
	case f.open && f.cutAt(f.off):
		f.off = f.end
		return io.EOF // the rest of the block is still to come
	default:
		return f.skip(err)
	}
	f.off += b.headSize() + int64(len(b.raw))
	if f.head.Layout != layout3 || b.kindOfBlock == block3Flow {
		f.blocks++
	}
	if f.head.Layout == layout1 {
		return f.takeMaps1(b)
	}
	return nil
}

// ended says what is wrong with the number of blocks, once, and then io.EOF.
func (f *File) ended() error {
	wrong := f.off == f.end && !f.open && !f.gaps && len(f.damage) == 0 && f.blocks != f.head.Blocks
	f.off = f.end + 1
	if wrong {
		return f.errorf(36, ErrCorrupt, "the header says %d blocks, there are %d", f.head.Blocks, f.blocks)
	}
	return io.EOF
}

// skip goes to the next sound block, and returns what is wrong before it.
func (f *File) skip(why error) error {
	from := f.off
	to, err := f.searcher().find(from+1, f.end)
	if err != nil {
		f.off = f.end
		return err
	}
	f.off = to
	f.gaps = true
	return &gapError{why, to - from}
}

// searcher returns a walker that tries what is at a place. It has a File of its own: what
// a block that is tried would change, other goroutines may be reading.
func (f *File) searcher() *walker {
	if f.finder == nil {
		f.finder = newWalker(&File{path: f.path, f: f.f, info: f.info, size: f.size, head: f.head, ident: f.ident,
			stat: f.stat, haveStat: f.haveStat, exporters: slices.Clip(f.exporters), open: f.open, end: f.end})
	}
	f.finder.file.maps = f.maps
	return f.finder
}

// next reads the block at the place that has been reached. It is where the file says
// that a block begins when another one follows where it ends, or the end of all; else
// it is one only if it is sound: its size may be what is damaged.
func (f *File) next(b *Block) error {
	off := f.off
	if err := f.readBlockAt(b, off, f.end); err != nil {
		return err
	}
	behind := off + b.headSize() + int64(len(b.raw))
	if behind == f.end || f.beginsAt(behind) || f.searcher().soundAt(off) {
		return nil
	}
	return f.errorf(off, ErrCorrupt, "block of %d bytes, behind it is neither another one nor the end", len(b.raw))
}

// beginsAt says whether what is at off looks like the header of a block.
func (f *File) beginsAt(off int64) bool {
	var h [block3HeadSize]byte
	n, _ := f.f.ReadAt(h[:], off)
	return plausible(f.head.Layout, h[:n], f.end-off, true)
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

// readBlockAt reads the block at off, which ends before end, into b.
func (f *File) readBlockAt(b *Block, off, end int64) error {
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
	case size > end-off-head:
		return f.errorf(off, ErrCorrupt, "block of %d bytes, the file has %d more", size, end-off-head)
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
	seen uint32 // records up to pos
	lost uint32 // of these, those that are damaged
	why  error  // what is wrong with the first of them, or with the block's header
	kind uint16 // of the current record
	rec  []byte // the current record with its header
	err  error

	sifted, siftedFlows uint64 // records up to pos that a Sieve has passed over: see Sieve.Sift

	trying bool // what the block is is not known yet
}

// reset prepares b for the block at off of f.
func (b *Block) reset(f *File, off int64) {
	b.file, b.off, b.Records = f, off, 0
	b.compression, b.maps = f.head.Compression, nil
	b.data, b.err = nil, nil
	b.rewind()
}

// forget lets go of the file of the block, and keeps the memory.
func (b *Block) forget() {
	b.file, b.maps, b.data, b.err = nil, nil, nil, nil
	b.rewind()
	if cap(b.raw)+cap(b.unpacker.buf) > maxKept {
		b.raw, b.unpacker = nil, unpacker{}
	}
}

// Path returns the name of the file that the block is from.
func (b *Block) Path() string { return b.file.path }

// File returns the file that the block is from.
func (b *Block) File() *File { return b.file }

// Packed returns the bytes that the payload has in the file.
func (b *Block) Packed() int { return len(b.raw) }

// Size returns the bytes of the unpacked payload.
func (b *Block) Size() int { return len(b.data) }

// headSize returns the bytes of the block's header.
func (b *Block) headSize() int64 {
	if b.file.head.Layout == layout3 {
		return block3HeadSize
	}
	return blockHeadSize
}

// rewind goes back to before the first record.
func (b *Block) rewind() {
	b.pos, b.seen, b.lost, b.why, b.rec = 0, 0, 0, nil, nil
	b.sifted, b.siftedFlows = 0, 0
}

// Unpack decompresses the block. Blocks that hold no flows become empty. One of an
// unknown type is read when it is all records that are known, for then its type is
// what is damaged; Decoder.Err tells of it in any case.
func (b *Block) Unpack() error {
	switch {
	case b.data != nil: // layout 1: done by ReadBlock
		return nil
	case b.file.head.Layout == layout3:
		return b.unpack3()
	case b.kindOfBlock == blockArray:
		return nil
	}
	known := b.kindOfBlock == blockNormal || b.kindOfBlock == blockOld
	data, err := b.decompress()
	b.data = data
	b.rewind()
	if known && (err != nil || !b.beginsWell()) {
		if b.unpackOtherwise() {
			return nil
		}
	}
	if known {
		return err
	}
	if err != nil || !b.isRecords() {
		b.data = nil
	}
	b.why = b.file.errorf(b.off, ErrCorrupt, "block of type %d, expected %d", b.kindOfBlock, blockNormal)
	return nil
}

// beginsWell says whether the first record can be one.
func (b *Block) beginsWell() bool {
	b.trying = true
	defer func() { b.trying = false }()
	sound := b.next() && (b.kind <= recordMeta3 || b.kind == recordIdent || b.kind == recordStat)
	b.rewind()
	b.err = nil
	return sound
}

// isRecords says whether the block is records of known types, as many as it says,
// from its begin to its end.
func (b *Block) isRecords() bool {
	b.trying = true
	defer func() { b.trying = false }()
	known := true
	for known && b.next() {
		known = b.kind >= recordMap && b.kind <= recordSampler || b.kind == recordIdent || b.kind == recordStat
	}
	sound := known && b.err == nil && b.seen == b.Records
	b.rewind()
	b.err = nil
	return sound
}

// maxMisses is for how many blocks of a file all compressions are tried in vain.
const maxMisses = 64

// unpackOtherwise unpacks the block as all other compressions would, for the file's may
// be what is damaged: one by which it becomes records, as many as it says, is its own.
func (b *Block) unpackOtherwise() bool {
	said := b.compression
	if b.file.misses.Load() > maxMisses {
		return false
	}
	for c := None; c <= ZSTD; c++ {
		if c == said {
			continue
		}
		b.compression = c
		var err error
		if b.data, err = b.decompress(); err == nil && b.isRecords() {
			b.why = b.file.errorf(b.off, ErrCorrupt, "the block is packed with %s, the file says %s", c, said)
			return true
		}
	}
	b.file.misses.Add(1)
	b.compression = said
	b.data, _ = b.decompress()
	return false
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
// the block, and at a record that does not fit, it returns false; err tells. How many
// there are, their sizes say: the number in the block's header may be wrong.
func (b *Block) next() bool {
	rest := b.data[b.pos:]
	if len(rest) == 0 || b.err != nil {
		return false
	}
	if len(rest) < 4 {
		b.err = b.misfit(-1, len(rest))
		return false
	}
	size := int(binary.LittleEndian.Uint16(rest[2:]))
	if size < 4 || size > len(rest) {
		b.err = b.misfit(size, len(rest))
		return false
	}
	b.kind, b.rec = binary.LittleEndian.Uint16(rest), rest[:size:size]
	b.pos += size
	b.seen++
	return true
}

// misfit says that a record of so many bytes, or none where there are less than 0, is
// not in the rest of the block. While it is only tried what the block is, nobody reads
// where.
func (b *Block) misfit(size, rest int) error {
	switch {
	case b.trying:
		return ErrCorrupt
	case size < 0:
		return b.errorf("%d bytes behind the last record", rest)
	}
	return b.errorf("record of %d bytes, the block has %d more", size, rest)
}

// lostRecords returns how many records could not be read, as far as that is known.
func (b *Block) lostRecords() uint32 {
	if b.err != nil {
		return b.lost + max(b.Records, b.seen) - b.seen
	}
	return b.lost
}

// wrong says what is wrong with the block when all its records have been read.
func (b *Block) wrong() error {
	why := b.why
	if why == nil {
		why = b.err
	}
	switch lost := b.lostRecords(); {
	case lost > 0:
		return &lostError{why, lost, max(b.Records, b.seen)}
	case why != nil:
		return why
	case b.seen != b.Records && b.file.head.Layout != layout3 && b.data != nil:
		return b.file.errorf(b.off, ErrCorrupt, "the block says %d records, there are %d", b.Records, b.seen)
	}
	return nil
}

// flowKinds are the types of flow records, by layout: each has one of its own, and
// passes over the others as over any record that it does not know.
var flowKinds = [...]uint16{layout1: recordCommon, layout2: recordFlow, layout3: recordFlow3}

// isFlow says whether the record at hand is a flow.
func (b *Block) isFlow() bool { return b.kind == flowKinds[b.file.head.Layout] }

// errorf returns a FormatError for the current place in the payload. Within a
// packed block that is the block's offset and a place in the text.
func (b *Block) errorf(format string, args ...any) error {
	if b.compression == None {
		return b.file.errorf(b.off+b.headSize()+int64(len(b.raw)-len(b.data)+b.pos), ErrCorrupt, format, args...)
	}
	return b.file.errorf(b.off, ErrCorrupt, "at %d of the unpacked block: "+format, append([]any{b.pos}, args...)...)
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
