package web

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"github.com/flowgraf/flowgraf/plugins/disk"
)

// ErrNotStore is the error of a store's path at which something else is: it is left as it is.
var ErrNotStore = errors.New("expected a store of flowgraf web or a file that is not there yet, got another file: " +
	"name another one")

// The meta page of a bbolt data base, of which the first two pages are one each: 16 bytes of
// a page's head, then magic, version, size of a page, flags, root, sequence, freelist, the
// number of pages, that of the transaction, and a sum of all these.
const (
	boltMagic    = 0xED0CDAED
	metaAt       = 16
	metaPageSize = metaAt + 8
	metaPages    = metaAt + 40
	metaTx       = metaAt + 48
	metaSum      = metaAt + 56
	metaSize     = metaSum + 8
)

// The sizes that the pages of a data base may have.
const (
	leastPage = 4096
	mostPage  = 65536
)

// checkStore looks at the file of a store before anybody opens it. It is ErrNotStore when
// there is something else, which must not be touched; torn says that it is, or was, a data
// base, of which a part is missing: reading that would end the program. Without a file, and
// with an empty one, there is nothing wrong.
func checkStore(path string) (torn bool, err error) {
	f, info, err := disk.OpenRegular(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case errors.Is(err, disk.ErrNotRegular):
		return false, ErrNotStore
	case err != nil:
		return false, err
	}
	defer f.Close()
	if info.Size() == 0 {
		return false, nil
	}
	found, least, newest := false, int64(0), uint64(0)
	for at := int64(0); at <= mostPage; at = max(leastPage, 2*at) {
		var b [metaSize]byte
		if _, err := f.ReadAt(b[:], at); err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if binary.NativeEndian.Uint32(b[metaAt:]) != boltMagic {
			continue
		}
		found = true
		sum := fnv.New64a()
		sum.Write(b[metaAt:metaSum]) // never fails
		tx := binary.NativeEndian.Uint64(b[metaTx:])
		if sum.Sum64() == binary.NativeEndian.Uint64(b[metaSum:]) && tx >= newest {
			pages := binary.NativeEndian.Uint64(b[metaPages:])
			newest, least = tx, int64(pages)*int64(binary.NativeEndian.Uint32(b[metaPageSize:]))
		}
	}
	if !found {
		return false, ErrNotStore
	}
	if info, err = f.Stat(); err != nil { // it may have grown
		return false, fmt.Errorf("store: %w", err)
	}
	return info.Size() < least, nil
}
