package index

import (
	"fmt"
	"math/bits"

	"github.com/FastFilter/xorfilter"

	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// hash returns the number that stands for a key.
func hash(k nffilter.Key) uint64 {
	return mix(mix(k.Value.Hi+uint64(k.Kind)*0x9E3779B97F4A7C15) ^ k.Value.Lo)
}

// mix is the finalizer of SplitMix64: different numbers have different ones.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// The kinds of encoded filters, and the size of what stands before their contents.
const (
	listOfHashes   = 0
	fuseFilter     = 1
	listHeadSize   = 8
	filterHeadSize = 24
)

// mostListed is how many hashes a list has before a filter is smaller.
const mostListed = 24

// appendFilter appends the filter of hashes, which are all different.
func appendFilter(dst []byte, b *xorfilter.BinaryFuseBuilder, hashes []uint64) ([]byte, error) {
	if len(hashes) <= mostListed {
		dst = append(dst, listOfHashes, 0, 0, 0, 0, 0, 0, 0)
		for _, h := range hashes {
			dst = le.AppendUint64(dst, h)
		}
		return dst, nil
	}
	f, err := xorfilter.BuildBinaryFuse[uint8](b, hashes)
	if err != nil {
		return nil, err
	}
	dst = append(dst, fuseFilter, 0, 0, 0)
	dst = le.AppendUint32(dst, f.SegmentLength)
	dst = le.AppendUint32(dst, f.SegmentCountLength)
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint64(dst, f.Seed)
	return append(dst, f.Fingerprints...), nil
}

// filter says which keys a block can hold.
type filter struct {
	list []byte // of hashes, where it is a list
	fuse xorfilter.BinaryFuse[uint8]
}

// decodeFilter reads a filter, which points into b. What could lead a look-up out of it
// is refused.
func decodeFilter(b []byte) (f filter, err error) {
	if len(b) < listHeadSize {
		return f, fmt.Errorf("%w: a filter of %d bytes", ErrDamaged, len(b))
	}
	switch b[0] {
	case listOfHashes:
		if f.list = b[listHeadSize:]; len(f.list)%8 != 0 {
			return f, fmt.Errorf("%w: a list of %d bytes", ErrDamaged, len(f.list))
		}
		return f, nil
	case fuseFilter:
		if len(b) > filterHeadSize {
			break
		}
		fallthrough
	default:
		return f, fmt.Errorf("%w: a filter of kind %d and %d bytes", ErrDamaged, b[0], len(b))
	}
	x := &f.fuse
	x.SegmentLength, x.SegmentCountLength, x.Seed = le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint64(b[16:])
	x.Fingerprints = b[filterHeadSize:]
	length, total := uint64(x.SegmentLength), uint64(x.SegmentCountLength)
	if bits.OnesCount64(length) != 1 || total == 0 || total%length != 0 ||
		uint64(len(x.Fingerprints)) != total+2*length {
		return f, fmt.Errorf("%w: a filter of %d segments of %d in %d bytes", ErrDamaged, total, length,
			len(x.Fingerprints))
	}
	x.SegmentLengthMask, x.SegmentCount = x.SegmentLength-1, uint32(total/length)
	return f, nil
}

// mayHave says whether a key may be there: no means that it is not.
func (f *filter) mayHave(hash uint64) bool {
	if f.fuse.Fingerprints != nil {
		return f.fuse.Contains(hash)
	}
	for at := 0; at < len(f.list); at += 8 {
		if le.Uint64(f.list[at:]) == hash {
			return true
		}
	}
	return false
}

// keySet collects the hashes of keys, each once.
type keySet struct {
	table  []uint64 // by hash, 0 is free
	hashes []uint64
	zero   bool // 0 is among them
}

// addHash adds a hash.
func (s *keySet) addHash(h uint64) {
	if h == 0 {
		if !s.zero {
			s.zero, s.hashes = true, append(s.hashes, 0)
		}
		return
	}
	if 2*len(s.hashes) >= len(s.table) {
		s.grow()
	}
	mask := uint64(len(s.table) - 1)
	i := h & mask
	for ; s.table[i] != 0; i = (i + 1) & mask {
		if s.table[i] == h {
			return
		}
	}
	s.table[i] = h
	s.hashes = append(s.hashes, h)
}

// grow doubles the table.
func (s *keySet) grow() {
	s.table = make([]uint64, max(1024, 2*len(s.table)))
	mask := uint64(len(s.table) - 1)
	for _, h := range s.hashes {
		i := h & mask
		for s.table[i] != 0 {
			i = (i + 1) & mask
		}
		s.table[i] = h
	}
}

// reset empties the set and keeps its memory.
func (s *keySet) reset() {
	clear(s.table)
	s.hashes, s.zero = s.hashes[:0], false
}
