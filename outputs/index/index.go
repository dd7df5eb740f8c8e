// Package index tells which blocks of a flow file can hold an address, a port or an AS
// number, so that the others need not be read.
//
// Each flow file may have an index beside it, a file of its own with a name that begins
// with Prefix: one that no release of nfdump looks at. It has for each block of the flow
// file the times of its flows and three filters (binary fuse filters of 8 bits, which say
// "maybe" for 1 in 256 of what is not there), sized by what the block holds. An index is
// used only for the file it was made of, as its size, its time and its checksum say, and
// only where its own checksums are right; any other is left aside.
//
// The file, little-endian:
//
//	 0  8 bytes "flowgidx", u32 version 1, u32 number of blocks
//	16  u64 size of the flow file, i64 its time of modification in ns since 1970,
//	    u64 XXH64 of its header and its end
//	40  u64 XXH64 of the entries, u64 size of the index, u64 XXH64 of the 56 bytes before
//	64  an entry of 112 bytes for each block: u64 offset and u64 size in the flow file,
//	    u64 flow records, u64 flows they stand for, u64 first and u64 last time in ms
//	    since 1970, u64 XXH64 of each of its filters (addresses, ports, AS), u64 offset of
//	    each, u32 length of each, u32 1 when the block tells of exporters, samplers or names
//	    filters, all of a kind behind one another: u8 1, u8 0 ×3, u32 segment length, u32 segments' length, u32 0, u64
//	    seed, fingerprints; or for few values u8 0, u8 0 ×7, their u64 hashes
package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// Prefix begins the name of an index. Programs of nfdump pass over names that begin with
// nfcapd.current when they look through directories; those that begin with a dot they
// try to read.
const Prefix = "nfcapd.current.index-"

// Path returns where the index of a flow file is.
func Path(file string) string {
	dir, name := filepath.Split(file)
	return filepath.Join(dir, Prefix+name)
}

// FileOf returns the flow file that an index is of, false when the name is not one of an
// index.
func FileOf(path string) (string, bool) {
	dir, name := filepath.Split(path)
	name, ok := strings.CutPrefix(name, Prefix)
	return filepath.Join(dir, name), ok
}

// The sizes of the file.
const (
	magic     = "flowgidx"
	version   = 1
	headSize  = 64
	entrySize = 112
	maxBlocks = 1 << 24
)

var le = binary.LittleEndian

// The filters of a block.
const (
	ofAddresses = iota
	ofPorts
	ofAS
	numFilters
)

// filterOf returns which filter has the keys of a kind.
func filterOf(kind nffilter.KeyKind) int {
	switch kind {
	case nffilter.KeyPort:
		return ofPorts
	case nffilter.KeyAS:
		return ofAS
	}
	return ofAddresses
}

// entry is what an index says of one block.
type entry struct {
	place          nffile.Place
	records, flows uint64
	first, last    uint64             // of its flows, milliseconds since 1970
	at, sums       [numFilters]uint64 // of its filters in the index
	lengths        [numFilters]uint32
	tables         bool // it tells of exporters, samplers or names too
}

// identity is what a flow file is known by.
type identity struct {
	size, modified int64
	sum            uint64
}

// endBytes is how much of the end of a flow file is in its checksum: ident, statistics.
const endBytes = 512

// identityOf returns that of the file of a name.
func identityOf(path string) (identity, error) {
	f, info, err := disk.OpenRegular(path)
	if err != nil {
		return identity{}, err
	}
	defer f.Close()
	return identify(f, info)
}

// identify returns the identity of a file that is open.
func identify(f io.ReaderAt, info fs.FileInfo) (identity, error) {
	id := identity{size: info.Size(), modified: info.ModTime().UnixNano()}
	var b [endBytes]byte
	var h xxhash.Digest
	h.Reset()
	end := b[:min(endBytes, id.size)]
	n, err := f.ReadAt(end, 0)
	h.Write(end[:n])
	if err == nil {
		n, err = f.ReadAt(end, id.size-int64(len(end)))
		h.Write(end[:n])
	}
	id.sum = h.Sum64()
	return id, err
}

// encode appends an entry.
func (e *entry) encode(dst []byte) []byte {
	for _, v := range [...]uint64{uint64(e.place.Offset), uint64(e.place.Size), e.records, e.flows, e.first, e.last,
		e.sums[0], e.sums[1], e.sums[2], e.at[0], e.at[1], e.at[2]} {
		dst = le.AppendUint64(dst, v)
	}
	for _, n := range e.lengths {
		dst = le.AppendUint32(dst, n)
	}
	tables := uint32(0)
	if e.tables {
		tables = 1
	}
	return le.AppendUint32(dst, tables)
}

// decode reads an entry.
func (e *entry) decode(b []byte) {
	_ = b[entrySize-1]
	word := func(i int) uint64 { return le.Uint64(b[8*i:]) }
	e.place = nffile.Place{Offset: int64(word(0)), Size: int64(word(1))}
	e.records, e.flows, e.first, e.last = word(2), word(3), word(4), word(5)
	for i := range e.lengths {
		e.sums[i], e.at[i], e.lengths[i] = word(6+i), word(9+i), le.Uint32(b[96+4*i:])
	}
	e.tables = le.Uint32(b[108:]) != 0
}

// Index is an index that is right, and open.
type Index struct {
	f       *os.File
	path    string
	size    int64
	entries []entry
	buf     []byte             // of read
	kinds   [numFilters][]byte // what has been read of each kind, with an offset of begins
	begins  [numFilters]uint64
}

// ErrStale says that an index is of another file, or of what the file was before.
var ErrStale = errors.New("made of another file, or of what it was before")

// ErrDamaged says that an index is none, or not whole.
var ErrDamaged = errors.New("damaged, or no index")

// Open opens the index of a flow file. Without one the error is of fs.ErrNotExist; one
// that is of no use is ErrStale or ErrDamaged.
func Open(file string) (*Index, error) {
	x := &Index{}
	if err := x.open(file, func() (identity, error) { return identityOf(file) }); err != nil {
		return nil, err
	}
	return x, nil
}

// open is Open, with the memory of an index that has been closed, and a function for what
// the flow file is.
func (x *Index) open(file string, of func() (identity, error)) error {
	x.path = Path(file)
	for kind := range x.kinds {
		x.kinds[kind] = x.kinds[kind][:0]
	}
	f, info, err := disk.OpenRegular(x.path)
	if err != nil {
		return err
	}
	x.f, x.size = f, info.Size()
	if err := x.readFile(of); err != nil {
		f.Close()
		return fmt.Errorf("index %s: %w", x.path, err)
	}
	return nil
}

// Close closes it.
func (x *Index) Close() error { return x.f.Close() }

// readFile reads all but the filters, of an index of the file that of tells.
func (x *Index) readFile(of func() (identity, error)) error {
	var head [headSize]byte
	if _, err := x.f.ReadAt(head[:], 0); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	n := int64(le.Uint32(head[12:]))
	switch {
	case string(head[:8]) != magic || le.Uint32(head[8:]) != version:
		return fmt.Errorf("%w: expected %q, version %d", ErrDamaged, magic, version)
	case xxhash.Sum64(head[:56]) != le.Uint64(head[56:]):
		return fmt.Errorf("%w: the checksum of its header is wrong", ErrDamaged)
	case uint64(x.size) != le.Uint64(head[48:]) || n > maxBlocks || headSize+n*entrySize > x.size:
		return fmt.Errorf("%w: it has %d bytes, expected %d", ErrDamaged, x.size, le.Uint64(head[48:]))
	}
	id, err := of()
	if err != nil {
		return err
	}
	if id != (identity{int64(le.Uint64(head[16:])), int64(le.Uint64(head[24:])), le.Uint64(head[32:])}) {
		return ErrStale
	}
	b := slices.Grow(x.buf[:0], int(n*entrySize))[:n*entrySize]
	x.buf = b
	if _, err := x.f.ReadAt(b, headSize); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if xxhash.Sum64(b) != le.Uint64(head[40:]) {
		return fmt.Errorf("%w: the checksum of its entries is wrong", ErrDamaged)
	}
	x.entries = slices.Grow(x.entries[:0], int(n))[:n]
	for i := range x.entries {
		x.entries[i].decode(b[i*entrySize:])
	}
	return nil
}

// mostAtOnce is how many bytes of the filters of a kind are read at once.
const mostAtOnce = 4 << 20

// filter returns one of a block's, once it has been read and found right.
func (x *Index) filter(i, kind int) (f filter, err error) {
	e := &x.entries[i]
	at, n := e.at[kind], uint64(e.lengths[kind])
	if at > uint64(x.size) || n > uint64(x.size)-at {
		return f, fmt.Errorf("index %s: %w: a filter lies behind its end", x.path, ErrDamaged)
	}
	if at < x.begins[kind] || at+n > x.begins[kind]+uint64(len(x.kinds[kind])) {
		if err := x.readKind(i, kind); err != nil {
			return f, fmt.Errorf("index %s: %w: %w", x.path, ErrDamaged, err)
		}
	}
	b := x.kinds[kind][at-x.begins[kind]:][:n]
	if xxhash.Sum64(b) != e.sums[kind] {
		return f, fmt.Errorf("index %s: %w: the checksum of a filter is wrong", x.path, ErrDamaged)
	}
	if f, err = decodeFilter(b); err != nil {
		return f, fmt.Errorf("index %s: %w", x.path, err)
	}
	return f, nil
}

// readKind reads a block's filter of a kind, and those of the blocks behind it as far as
// they follow.
func (x *Index) readKind(i, kind int) error {
	at := x.entries[i].at[kind]
	end := at + uint64(x.entries[i].lengths[kind])
	for _, e := range x.entries[i+1:] {
		next := e.at[kind] + uint64(e.lengths[kind])
		if e.at[kind] != end || next > uint64(x.size) || next-at > mostAtOnce {
			break
		}
		end = next
	}
	b := x.kinds[kind]
	if uint64(cap(b)) < end-at {
		b = make([]byte, end-at)
	}
	b = b[:end-at]
	_, err := x.f.ReadAt(b, int64(at))
	x.kinds[kind], x.begins[kind] = b, at
	if err != nil {
		x.kinds[kind] = b[:0]
	}
	return err
}
