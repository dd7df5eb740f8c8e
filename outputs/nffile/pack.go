package nffile

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// packer compresses blocks. Its memory is reused.
type packer struct {
	kind  Compression
	level int
	hc    lz4.CompressorHC
	lz4   *lz4Writer
	lzo   *lzoWriter
	zstd  *zstd.Encoder
	bz2   *bzip2.Writer
	out   bytes.Buffer // of bz2
}

// newPacker returns a packer after checking kind and level.
func newPacker(kind Compression, level int) (*packer, error) {
	if kind > ZSTD {
		return nil, fmt.Errorf("compression %d is unknown", uint8(kind))
	}
	if least, most := levels[kind][0], levels[kind][1]; level != 0 && (level < least || level > most) {
		if most == 0 {
			return nil, fmt.Errorf("compression %s has no levels, got %d", kind, level)
		}
		return nil, fmt.Errorf("level %d of %s: expected %d to %d", level, kind, least, most)
	}
	p := &packer{kind: kind, level: level}
	var err error
	switch kind {
	case LZO:
		p.lzo = new(lzoWriter)
	case LZ4:
		if level > 1 {
			p.hc.Level = lz4.CompressionLevel(1 << (8 + min(level, 9)))
		} else {
			p.lz4 = new(lz4Writer)
		}
	case ZSTD:
		if level == 0 {
			level = 3
		}
		p.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)))
	case BZ2:
		if level == 0 {
			level = 9
		}
		p.bz2, err = bzip2.NewWriter(&p.out, &bzip2.WriterConfig{Level: level})
	}
	return p, err
}

// levels are the least and the highest level of each compression.
var levels = [...][2]int{None: {}, LZO: {}, BZ2: {1, 9}, LZ4: {1, 9}, ZSTD: {1, 22}}

// packBound returns the most bytes that n bytes can become, however they are
// compressed.
func packBound(n int) int {
	return max(lz4.CompressBlockBound(n), lz4Bound(n), lzoBound(n), n+n/50+1024)
}

// pack writes src to dst as the payload of a block and returns its length. dst has
// at least packBound(len(src)) bytes.
func (p *packer) pack(dst, src []byte) (int, error) {
	switch p.kind {
	case LZ4:
		return p.packLZ4(dst, src), nil
	case LZO:
		return p.lzo.pack(dst, src), nil
	case ZSTD:
		return len(p.zstd.EncodeAll(src, dst[:0])), nil
	case BZ2:
		p.out.Reset()
		if err := p.bz2.Reset(&p.out); err != nil {
			return 0, err
		}
		if _, err := p.bz2.Write(src); err != nil {
			return 0, err
		}
		if err := p.bz2.Close(); err != nil {
			return 0, err
		}
		return copy(dst, p.out.Bytes()), nil
	}
	return copy(dst, src), nil
}

// packLZ4 writes src as one raw LZ4 block, with a level above 1 by a search that
// takes long. What does not shrink is written as literals: the format has no block
// that is not compressed.
func (p *packer) packLZ4(dst, src []byte) int {
	if p.level > 1 {
		if n, err := p.hc.CompressBlock(src, dst); err == nil && n > 0 {
			return n
		}
	}
	return p.lz4.pack(dst, src)
}

// errTooLarge says that a block unpacks to more than MaxBlock bytes.
var errTooLarge = fmt.Errorf("unpacks to more than %d bytes", MaxBlock)

// unpacker holds the memory for unpacking: at most MaxBlock bytes.
type unpacker struct {
	buf []byte
	bz2 *bzip2Reader
}

// unpack returns the payload of a block. The slice is raw itself or valid until
// the next call.
func (u *unpacker) unpack(c Compression, raw []byte) ([]byte, error) {
	switch c {
	case None:
		return raw, nil
	case LZ4:
		return u.unpackLZ4(raw)
	case BZ2:
		return u.unpackBZ2(raw)
	case ZSTD:
		return u.unpackZSTD(raw)
	case LZO:
		return u.unpackLZO(raw)
	}
	return nil, fmt.Errorf("%w: %s", ErrUnsupported, c)
}

// firstSize returns how many bytes to unpack n bytes into at first. Those of a block
// of flows are mostly nfdump's 1 or 2 MiB and some records: what is not used of the
// buffer is never touched.
func firstSize(n int) int {
	size := max(4*n, 4<<10)
	if size > 512<<10 {
		size = max(size, 2<<20+64<<10)
	}
	return min(size, MaxBlock)
}

func (u *unpacker) unpackLZ4(raw []byte) ([]byte, error) {
	size := max(cap(u.buf), firstSize(len(raw)))
	for {
		u.grow(size)
		n, err := lz4.UncompressBlock(raw, u.buf[:size])
		if err == nil {
			return u.buf[:n], nil
		}
		if !errors.Is(err, lz4.ErrInvalidSourceShortBuffer) || size >= MaxBlock {
			return nil, fmt.Errorf("LZ4: %w", err)
		}
		size = min(MaxBlock, 4*size)
	}
}

// grow makes the buffer at least n bytes long.
func (u *unpacker) grow(n int) {
	if cap(u.buf) < n {
		u.buf = make([]byte, n)
	}
	u.buf = u.buf[:cap(u.buf)]
}

// zstdDecoder is made when the first file needs it; DecodeAll is safe for
// concurrent use.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(MaxBlock),
		zstd.WithDecoderMaxWindow(8<<20))
})

func (u *unpacker) unpackZSTD(raw []byte) ([]byte, error) {
	d, err := zstdDecoder()
	if err != nil {
		return nil, err
	}
	u.grow(1 << 16)
	b, err := d.DecodeAll(raw, u.buf[:0])
	if err != nil {
		return nil, fmt.Errorf("ZSTD: %w", err)
	}
	u.buf = b[:cap(b)]
	return b, nil
}
