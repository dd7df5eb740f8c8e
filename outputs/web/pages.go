package web

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// pages looks through the pages of a bbolt data base, without a mapping of the file and in
// bounded steps: bbolt itself trusts them, and a page with other bytes can make it panic, read
// where nothing is, or go round in a circle. What has been looked through is safe to be opened.
//
// A page has 16 bytes of a head (number, kind, count of elements, pages that follow it as part
// of it), then an element of 16 bytes for each key. That of a branch leads to a page; that of
// a leaf to a value, or to the root of a bucket. The first two pages are meta pages.
type pages struct {
	file  io.ReaderAt
	meta  boltMeta
	seen  []bool
	whole bool // look at values too, whose sums have to be right

	// What is found, also behind the first damage. The slices are valid during the call.
	onBucket func(name []byte, sequence uint64)
	onValue  func(bucket, key, value []byte) // of a bucket of a store
	found    *damage                         // the first
}

// damage says what is wrong with a store, and where.
type damage struct{ err error }

func (d *damage) Error() string { return d.err.Error() }

// boltMeta is what a meta page tells.
type boltMeta struct {
	pageSize int64
	root     uint64 // page of the buckets
	freelist uint64 // page that lists those which are free
	count    uint64 // of pages
	tx       uint64
}

// The meta page of a bbolt data base behind the page's head: magic, version, size of a page,
// flags, root, sequence, freelist, the number of pages, that of the transaction, and a sum of
// all these.
const (
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	pageHead     = 16
	metaVersion  = pageHead + 4
	metaPageSize = pageHead + 8
	metaRoot     = pageHead + 16
	metaFreelist = pageHead + 32
	metaPages    = pageHead + 40
	metaTx       = pageHead + 48
	metaSum      = pageHead + 56
	metaSize     = metaSum + 8
)

// The kinds of pages, and what their elements may have.
const (
	branchPage   = 1
	leafPage     = 2
	freelistPage = 0x10
	bucketFlag   = 1
	elementSize  = 16
	bucketSize   = 16 // root and sequence
	maxKey       = 32768
	manyIDs      = 0xffff // of a freelist: their count stands before them
	noFreelist   = 1<<64 - 1
	leastPage    = 4096
	mostPage     = 65536
	maxDepth     = 64
)

// parseMeta reads a meta page. Magic says whether it looks like one, ok whether it is right.
func parseMeta(b []byte) (m boltMeta, magic, ok bool) {
	if len(b) < metaSize || binary.NativeEndian.Uint32(b[pageHead:]) != boltMagic {
		return m, false, false
	}
	sum := fnv.New64a()
	sum.Write(b[pageHead:metaSum]) // never fails
	m = boltMeta{int64(binary.NativeEndian.Uint32(b[metaPageSize:])), binary.NativeEndian.Uint64(b[metaRoot:]),
		binary.NativeEndian.Uint64(b[metaFreelist:]), binary.NativeEndian.Uint64(b[metaPages:]),
		binary.NativeEndian.Uint64(b[metaTx:])}
	return m, true, sum.Sum64() == binary.NativeEndian.Uint64(b[metaSum:]) &&
		binary.NativeEndian.Uint32(b[metaVersion:]) == boltVersion &&
		m.pageSize >= leastPage && m.pageSize <= mostPage && m.pageSize&(m.pageSize-1) == 0
}

// readMeta finds the newest meta page that is right. Magic says whether there is anything of a
// data base; problem says what is wrong with its meta pages, also where one of them will do.
func readMeta(file io.ReaderAt) (newest boltMeta, magic bool, problem *damage) {
	good := 0
	for at := int64(0); at <= mostPage; at = max(leastPage, 2*at) {
		var b [metaSize]byte
		n, _ := file.ReadAt(b[:], at) // what is missing is no meta page
		m, like, ok := parseMeta(b[:n])
		magic = magic || like
		if ok && (at == 0 || at == m.pageSize) {
			if good++; good == 1 || m.tx > newest.tx {
				newest = m
			}
		}
	}
	if good < 2 {
		problem = &damage{fmt.Errorf("%d of its 2 meta pages are right", good)}
	}
	return newest, magic, problem
}

// check looks through a data base of so many bytes, and returns the first damage.
func (p *pages) check(size int64) *damage {
	var magic bool
	p.meta, magic, p.found = readMeta(p.file)
	most := uint64(0)
	if p.meta.pageSize > 0 {
		most = uint64(size) / uint64(p.meta.pageSize)
	}
	switch {
	case !magic:
		p.fail("it has no meta page")
	case p.meta.count > most:
		p.fail("it has %d bytes, expected %d pages of %d", size, p.meta.count, p.meta.pageSize)
	}
	p.seen = make([]bool, min(p.meta.count, most))
	p.tree(nil, p.meta.root, nil, nil, 0)
	if p.meta.freelist != noFreelist && p.found == nil {
		p.free(p.meta.freelist)
		for id := 2; id < len(p.seen); id++ {
			if !p.seen[id] {
				p.fail("page %d is neither used nor free", id)
			}
		}
	}
	return p.found
}

// fail notes damage.
func (p *pages) fail(format string, args ...any) {
	if p.found == nil {
		p.found = &damage{fmt.Errorf(format, args...)}
	}
}

// page is a page of the file, or one that stands inside a value.
type page struct {
	pages *pages
	id    uint64
	at    int64  // of the file
	size  int64  // with the pages that follow it
	begin []byte // as far as it has been read: at least the head and the elements
	kind  uint16
	count int
}

// open reads the beginning of a page, or all of it, and notes that it is used.
func (p *pages) open(id uint64) (pg page, ok bool) {
	if id < 2 || id >= uint64(len(p.seen)) {
		p.fail("page %d is wanted, expected one of 2 to %d", id, len(p.seen)-1)
		return pg, false
	}
	pg = page{pages: p, id: id, at: int64(id) * p.meta.pageSize}
	head := make([]byte, p.meta.pageSize)
	if _, err := p.file.ReadAt(head, pg.at); err != nil {
		p.fail("page %d: %w", id, err)
		return pg, false
	}
	more := uint64(binary.NativeEndian.Uint32(head[12:]))
	if got := binary.NativeEndian.Uint64(head); got != id || more >= uint64(len(p.seen))-id {
		p.fail("page %d says that it is page %d, and %d more", id, got, more)
		return pg, false
	}
	for i := id; i <= id+more; i++ {
		if p.seen[i] {
			p.fail("page %d is used twice", i)
			return pg, false
		}
		p.seen[i] = true
	}
	pg.size = int64(more+1) * p.meta.pageSize
	pg.begin = head
	return pg, pg.parse(p.whole)
}

// parse reads the head of a page, and of the rest what is wanted.
func (pg *page) parse(whole bool) bool {
	pg.kind = binary.NativeEndian.Uint16(pg.begin[8:])
	pg.count = int(binary.NativeEndian.Uint16(pg.begin[10:]))
	need := int64(pageHead + elementSize*pg.count)
	if pg.kind == freelistPage {
		need, whole = pageHead, true
	}
	if need > pg.size {
		pg.pages.fail("page %d has %d elements in %d bytes", pg.id, pg.count, pg.size)
		return false
	}
	if whole {
		need = pg.size
	}
	if need <= int64(len(pg.begin)) {
		return true
	}
	pg.begin = make([]byte, need)
	if _, err := pg.pages.file.ReadAt(pg.begin, pg.at); err != nil {
		pg.pages.fail("page %d: %w", pg.id, err)
		return false
	}
	return true
}

// bytes returns a part of a page that an element points to.
func (pg *page) bytes(from, length int64) ([]byte, bool) {
	if from < int64(pageHead+elementSize*pg.count) || length > pg.size || from > pg.size-length {
		pg.pages.fail("page %d: %d bytes at %d are outside", pg.id, length, from)
		return nil, false
	}
	if from+length <= int64(len(pg.begin)) {
		return pg.begin[from : from+length], true
	}
	b := make([]byte, length)
	if _, err := pg.pages.file.ReadAt(b, pg.at+from); err != nil {
		pg.pages.fail("page %d: %w", pg.id, err)
		return nil, false
	}
	return b, true
}

// element is what stands in a page for a key.
type element struct {
	flags uint32 // of a leaf
	key   []byte
	value int64 // where it is in the page
	size  int64
	child uint64 // of a branch
}

// element reads an element.
func (pg *page) element(i int) (e element, ok bool) {
	at := pageHead + elementSize*i
	b := pg.begin[at : at+elementSize]
	word := func(i int) int64 { return int64(binary.NativeEndian.Uint32(b[i:])) }
	pos, size := word(0), word(4)
	if pg.kind == leafPage {
		e.flags, pos, size, e.size = uint32(word(0)), word(4), word(8), word(12)
	} else {
		e.child = binary.NativeEndian.Uint64(b[8:])
	}
	if e.key, ok = pg.bytes(int64(at)+pos, size); !ok {
		return e, false
	}
	if size == 0 || size > maxKey || e.flags > bucketFlag {
		pg.pages.fail("page %d: a key of %d bytes with flags %d", pg.id, size, e.flags)
		return e, false
	}
	e.value = int64(at) + pos + size
	return e, true
}

// tree looks through the pages below one, whose keys are not less than least and less than
// most; nil is no bound. A nil bucket is the root, whose values are buckets.
func (p *pages) tree(bucket []byte, id uint64, least, most []byte, depth int) {
	if depth > maxDepth {
		p.fail("page %d is %d levels deep", id, depth)
		return
	}
	if pg, ok := p.open(id); ok {
		p.elements(&pg, bucket, least, most, depth)
	}
}

// elements looks through the elements of a page, and what they lead to.
func (p *pages) elements(pg *page, bucket, least, most []byte, depth int) {
	if pg.kind != leafPage && (pg.kind != branchPage || pg.count == 0) || pg.count == 0 && depth > 0 {
		p.fail("page %d is of kind %d with %d elements", pg.id, pg.kind, pg.count)
		return
	}
	list := make([]element, 0, pg.count)
	for i := range pg.count {
		e, ok := pg.element(i)
		if !ok {
			continue
		}
		if n := len(list); n > 0 && bytes.Compare(list[n-1].key, e.key) >= 0 ||
			least != nil && bytes.Compare(e.key, least) < 0 || most != nil && bytes.Compare(e.key, most) >= 0 {
			p.fail("page %d: its keys are not in order", pg.id)
		}
		list = append(list, e)
	}
	for i, e := range list {
		switch {
		case pg.kind == leafPage:
			p.leaf(pg, bucket, e)
		case i+1 < len(list):
			p.tree(bucket, e.child, e.key, list[i+1].key, depth+1)
		default:
			p.tree(bucket, e.child, e.key, most, depth+1)
		}
	}
}

// leaf looks at a value, or at a bucket.
func (p *pages) leaf(pg *page, bucket []byte, e element) {
	if (bucket == nil) != (e.flags == bucketFlag) {
		p.fail("page %d: %.60q has flags %d", pg.id, e.key, e.flags)
		return
	}
	if bucket != nil && !p.whole {
		if e.size > pg.size-e.value {
			p.fail("page %d: the value of %.60q is outside", pg.id, e.key)
		}
		return
	}
	value, ok := pg.bytes(e.value, e.size)
	switch {
	case !ok:
	case bucket == nil:
		p.bucket(pg, e.key, value)
	case summed(bucket):
		if plain, ok := unsealed(bucket, e.key, value); !ok {
			p.fail("page %d: the value of %.60q has a wrong sum", pg.id, e.key)
		} else if p.onValue != nil {
			p.onValue(bucket, e.key, plain)
		}
	}
}

// bucket looks through a bucket; a small one has its page in the value.
func (p *pages) bucket(pg *page, name, value []byte) {
	if len(value) < bucketSize {
		p.fail("page %d: bucket %.60q has %d bytes", pg.id, name, len(value))
		return
	}
	root := binary.NativeEndian.Uint64(value)
	if p.onBucket != nil {
		p.onBucket(name, binary.NativeEndian.Uint64(value[8:]))
	}
	if root != 0 {
		p.tree(name, root, nil, nil, 0)
		return
	}
	inner := page{pages: p, id: pg.id, begin: value[bucketSize:], size: int64(len(value) - bucketSize)}
	if len(inner.begin) < pageHead || binary.NativeEndian.Uint16(inner.begin[8:]) != leafPage {
		p.fail("page %d: bucket %.60q has no page", pg.id, name)
		return
	}
	if inner.parse(true) {
		p.elements(&inner, name, nil, nil, 0)
	}
}

// free looks through the list of free pages.
func (p *pages) free(id uint64) {
	pg, ok := p.open(id)
	if !ok {
		return
	}
	ids, count := pg.begin[pageHead:], uint64(pg.count)
	if count == manyIDs {
		count, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if pg.kind != freelistPage || count > uint64(len(ids)/8) {
		p.fail("page %d is of kind %d with %d elements, expected a freelist", id, pg.kind, count)
		return
	}
	for i := range count {
		free := binary.NativeEndian.Uint64(ids[8*i:])
		if free < 2 || free >= uint64(len(p.seen)) || p.seen[free] {
			p.fail("page %d says that page %d is free", id, free)
			return
		}
		p.seen[free] = true
	}
}
