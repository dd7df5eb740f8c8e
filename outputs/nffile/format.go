package nffile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The sizes and numbers of the file format; FORMAT.md has the tables.
const (
	magic          = 0xA50C
	layout1        = 1          // nfdump 1.6
	layout2        = 2          // nfdump 1.7, the one that is written
	layout3        = 3          // nfdump 1.8
	nfdumpVersion  = 0x01070100 // the version whose files these are: 1.7.1
	headerSize     = 40
	blockHeadSize  = 12
	recordHeadSize = 12
	statSize       = 148
	exporterSize   = 32

	blockOld    = 2 // records of layout 1
	blockNormal = 3 // records of any type
	blockArray  = 4 // tables of geolookup and torlookup, no flows

	recordMap          = 2 // layout 1: the extensions of the flows that name it
	recordExporter     = 7
	recordExporterStat = 8
	recordOldSampler   = 9
	recordCommon       = 10 // a flow of layout 1
	recordFlow         = 11
	recordApps         = 12
	recordInterfaces   = 13
	recordVRFs         = 14
	recordSampler      = 15
	recordFlow3        = 16 // a flow of layout 3
	recordExporter3    = 17
	recordMeta3        = 18
	recordIdent        = 0x8001
	recordStat         = 0x8002

	flagEvent   = 0x01
	flagSampled = 0x02
	flagAnon    = 0x04
)

// MaxBlock is the most bytes that a block may have, on disk and unpacked
// (nfdump 1.7.8; 1.7.1 takes 12 more).
const MaxBlock = 5<<20 - blockHeadSize

// blockLimit is how many bytes of flows the writer puts into a block before it
// writes it. The exporter records of a file, each written once, and a record with
// their statistics may come on top.
const blockLimit = 1 << 20

// MaxIdent is the longest ident in bytes: nfdump 1.7.1 refuses an ident record of
// 128 bytes and more.
const MaxIdent = 122

// MaxExporters is how many exporters one file can name: the record with their
// statistics has a size of 16 bits.
const MaxExporters = (1<<16 - 1 - 8) / 24

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// Compression is how the blocks of a file are packed. The numbers are those in
// the file header.
type Compression uint8

// The compressions. nfdump 1.7.1 reads all but ZSTD, which came with 1.7.3.
const (
	None Compression = 0
	LZO  Compression = 1
	BZ2  Compression = 2
	LZ4  Compression = 3
	ZSTD Compression = 4
)

// String returns the name that nfdump's options have.
func (c Compression) String() string {
	switch c {
	case None:
		return "none"
	case LZO:
		return "lzo"
	case BZ2:
		return "bz2"
	case LZ4:
		return "lz4"
	case ZSTD:
		return "zstd"
	}
	return fmt.Sprintf("compression %d", uint8(c))
}

// ParseCompression returns the compression and the level of a name for writing:
// "none", "lzo", "lz4", "bz2" or "zstd", the last three with a level behind a colon
// if wanted, as "lz4:9". Level 0 is the compression's own.
func ParseCompression(text string) (Compression, int, error) {
	name, number, hasLevel := strings.Cut(text, ":")
	for c := None; c <= ZSTD; c++ {
		if c.String() != name {
			continue
		}
		level := 0
		if hasLevel {
			var err error
			if level, err = strconv.Atoi(number); err != nil || level < 1 {
				return 0, 0, fmt.Errorf("compression %q: expected a level behind the colon, as in \"lz4:9\"", text)
			}
		}
		_, err := newPacker(c, level)
		return c, level, err
	}
	return 0, 0, fmt.Errorf("unknown compression %q: expected \"lz4\", \"none\", \"lzo\", \"bz2\" or \"zstd\"", text)
}

// CheckCompression says what is wrong with a compression and its level for
// writing, nil when nothing is.
func CheckCompression(c Compression, level int) error {
	_, err := newPacker(c, level)
	return err
}

// Errors that a FormatError wraps.
var (
	ErrNotNfdump   = errors.New("not an nfdump file")
	ErrUnsupported = errors.New("not supported")
	ErrCorrupt     = errors.New("corrupt")
)

// FormatError says where a file is not what it should be. It wraps one of
// ErrNotNfdump, ErrUnsupported and ErrCorrupt.
type FormatError struct {
	Path   string
	Offset int64 // from the start of the file; inside a packed block, the block's
	Err    error

	// The text is made when it is asked for: of a file full of damage most is only
	// counted.
	format string
	args   []any // values that stay what they are
}

// newFormatError returns a FormatError with what fmt.Sprintf makes of a format.
func newFormatError(path string, off int64, kind error, format string, args ...any) *FormatError {
	return &FormatError{path, off, kind, format, args}
}

// Reason says what was found and what was expected.
func (e *FormatError) Reason() string { return fmt.Sprintf(e.format, e.args...) }

// Error names the file, the offset and what was expected.
func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: %v at offset %d: %s", e.Path, e.Err, e.Offset, e.Reason())
}

// Unwrap returns the kind of error.
func (e *FormatError) Unwrap() error { return e.Err }

// lostError is an error of a block by which records are lost.
type lostError struct {
	error
	lost, of uint32
}

// Error says how many.
func (e *lostError) Error() string {
	return fmt.Sprintf("%v; %d of %d records are lost", e.error, e.lost, e.of)
}

// Unwrap returns what is wrong with the block.
func (e *lostError) Unwrap() error { return e.error }

// gapError is an error behind which bytes are lost, up to the next sound block.
type gapError struct {
	error
	bytes int64
}

// Error says how many.
func (e *gapError) Error() string { return fmt.Sprintf("%v; %d bytes are lost", e.error, e.bytes) }

// Unwrap returns what is wrong where they begin.
func (e *gapError) Unwrap() error { return e.error }

// Header is the header of a file (FORMAT.md, sections 1, 6 and 7).
type Header struct {
	Layout         uint16 // 1 nfdump 1.6, 2 nfdump 1.7, 3 nfdump 1.8
	NfdumpVersion  uint32 // major<<24 | minor<<16 | patch<<8
	Created        int64  // seconds since 1970
	Compression    Compression
	Appendix       uint16 // appendix blocks, 0 while a file is being written
	Creator        uint32 // 0 unknown, 1 nfcapd, …
	AppendixOffset int64
	Blocks         uint32 // data blocks, 0 while a file is being written
}

// encode writes h into b, which has headerSize bytes.
func (h *Header) encode(b []byte) {
	clear(b[:headerSize])
	le.PutUint16(b[0:], magic)
	le.PutUint16(b[2:], layout2)
	le.PutUint32(b[4:], h.NfdumpVersion)
	le.PutUint64(b[8:], uint64(h.Created))
	b[16] = byte(h.Compression)
	le.PutUint16(b[18:], h.Appendix)
	le.PutUint32(b[20:], h.Creator)
	le.PutUint64(b[24:], uint64(h.AppendixOffset))
	le.PutUint32(b[36:], h.Blocks)
}

// headerSizes are the bytes before the first block, by layout.
var headerSizes = [...]int{layout1: header1Size, layout2: headerSize, layout3: header3Size}

// maxHeaderSize is the largest of them.
const maxHeaderSize = header1Size

// decodeHeader reads and checks a file header. Path is for the error.
func decodeHeader(path string, b []byte) (Header, error) {
	bad := func(off int64, kind error, format string, args ...any) (Header, error) {
		return Header{}, newFormatError(path, off, kind, format, args...)
	}
	if len(b) >= 2 && le.Uint16(b) != magic {
		if be.Uint16(b) == magic {
			return bad(0, ErrUnsupported,
				"written on a big-endian machine; rewrite it there with nfdump -o … or export it")
		}
		return bad(0, ErrNotNfdump, "magic %#04x, expected %#04x", le.Uint16(b), magic)
	}
	if len(b) < 4 {
		return bad(int64(len(b)), ErrNotNfdump, "ends within the file header of %d bytes", headerSize)
	}
	v := le.Uint16(b[2:])
	if v < layout1 || v > layout3 {
		return bad(2, ErrUnsupported, "layout %d, expected 1, 2 or 3", v)
	}
	if len(b) < headerSizes[v] {
		return bad(int64(len(b)), ErrNotNfdump, "ends within the file header of %d bytes", headerSizes[v])
	}
	var h Header
	var e *FormatError
	switch v {
	case layout1:
		h, e = decodeHeader1(b)
	case layout2:
		h, e = decodeHeader2(b)
	case layout3:
		h, e = decodeHeader3(b)
	}
	if e != nil {
		e.Path = path
		return Header{}, e
	}
	return h, nil
}

// decodeHeader2 reads a header of layout 2.
func decodeHeader2(b []byte) (Header, *FormatError) {
	h := Header{
		Layout:         layout2,
		NfdumpVersion:  le.Uint32(b[4:]),
		Created:        int64(le.Uint64(b[8:])),
		Compression:    Compression(b[16]),
		Appendix:       le.Uint16(b[18:]),
		Creator:        le.Uint32(b[20:]),
		AppendixOffset: int64(le.Uint64(b[24:])),
		Blocks:         le.Uint32(b[36:]),
	}
	if b[17] != 0 {
		return h, newFormatError("", 17, ErrUnsupported, "encrypted (%d)", b[17])
	}
	if h.Compression > ZSTD {
		return h, newFormatError("", 16, ErrUnsupported, "compression %d is unknown", h.Compression)
	}
	return h, nil
}

// Elements of a flow record (FORMAT.md, section 4).
const (
	elGeneric     = 1
	elIPv4        = 2
	elIPv6        = 3
	elMisc        = 4
	elCount       = 5
	elVLAN        = 6
	elAS          = 7
	elBGPNext4    = 8
	elBGPNext6    = 9
	elNext4       = 10
	elNext6       = 11
	elReceived4   = 12
	elReceived6   = 13
	elMPLS        = 14
	elMAC         = 15
	elASAdjacent  = 16
	elLatency     = 17
	elSampler     = 18
	elNSEL        = 19
	elXlate4      = 20
	elXlate6      = 21
	elXlatePort   = 22
	elACL         = 23
	elUser        = 24
	elNAT         = 25
	elPortBlock   = 26
	elNBAR        = 27
	elLabel       = 28
	elInPayload   = 29
	elOutPayload  = 30
	elTunnel4     = 31
	elTunnel6     = 32
	elObservation = 33
	elInmonMeta   = 34
	elInmonFrame  = 35
	elVRF         = 36
	elPF          = 37
	elLayer2      = 38 // this and those below: on request only
	elFlowID      = 39
	elNokia       = 40
	elNokiaText   = 41
	elIPInfo      = 42
	numElements   = 64 // bits of an element mask; higher ids are unknown here
)
