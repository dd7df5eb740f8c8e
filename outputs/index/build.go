package index

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/FastFilter/xorfilter"
	"github.com/cespare/xxhash/v2"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// Built is what Build has made.
type Built struct {
	Blocks  int
	Records uint64
	Bytes   int64 // of the index
}

// ErrNotIndexable says that a file is none of which an index can be made.
var ErrNotIndexable = errors.New("not indexed")

// builder makes an index.
type builder struct {
	block   nffile.Block
	dec     *nffile.Decoder
	keys    [numFilters]keySet
	fuse    xorfilter.BinaryFuseBuilder
	entries []entry
	filters []byte
	records uint64
}

// indexed are the fields that an index is made of.
var indexed = func() flow.Set {
	s := nffilter.KeyFields()
	s.Add(flow.EventTime)
	return s
}()

// Build makes the index of a flow file, in place of one that there may be. Who may read
// the file may read its index. A file that is damaged, not complete, or of layout 1 gets
// none: the error is ErrNotIndexable then.
func Build(file string) (Built, error) {
	before, err := identityOf(file)
	if err != nil {
		return Built{}, err
	}
	f, err := nffile.OpenFile(file)
	if err != nil {
		if errors.As(err, new(*nffile.FormatError)) {
			return Built{}, fmt.Errorf("%w: %w", ErrNotIndexable, err)
		}
		return Built{}, err
	}
	defer f.Close()
	if why := f.NotIndexable(); why != "" {
		return Built{}, fmt.Errorf("%w: %s: %s", ErrNotIndexable, file, why)
	}
	b := builder{dec: nffile.NewDecoder()}
	b.dec.Only(indexed)
	if err := b.run(f); err != nil {
		return Built{}, err
	}
	after, err := identityOf(file)
	if err != nil {
		return Built{}, err
	}
	if before != after {
		return Built{}, fmt.Errorf("%w: %s changes while it is read", ErrNotIndexable, file)
	}
	return b.write(file, before)
}

// run reads all blocks.
func (b *builder) run(f *nffile.File) error {
	for {
		err := f.ReadBlock(&b.block)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = b.block.Unpack()
		}
		if err == nil {
			err = b.add()
		}
		if errors.As(err, new(*nffile.FormatError)) {
			return fmt.Errorf("%w: %w", ErrNotIndexable, err)
		}
		if err != nil {
			return err
		}
	}
}

// add makes the entry of a block.
func (b *builder) add() error {
	e := entry{place: b.block.Place(), at: uint64(len(b.filters)), first: ^uint64(0)}
	for i := range b.keys {
		b.keys[i].reset()
	}
	for b.dec.Next(&b.block) {
		r := b.dec.Record()
		e.records++
		e.flows += max(r.Flows, 1)
		e.first, e.last = min(e.first, r.First.Milli()), max(e.last, r.Last.Milli())
		nffilter.EachKey(r, func(k nffilter.Key) { b.keys[filterOf(k.Kind)].add(hash(k)) })
	}
	if err := b.dec.Err(); err != nil {
		return err
	}
	e.tables = e.records < uint64(b.block.Records)
	for i := range b.keys {
		before := len(b.filters)
		var err error
		if b.filters, err = appendFilter(b.filters, &b.fuse, b.keys[i].hashes); err != nil {
			return err
		}
		e.lengths[i] = uint32(len(b.filters) - before)
	}
	e.sum = xxhash.Sum64(b.filters[e.at:])
	b.entries = append(b.entries, e)
	b.records += e.records
	return nil
}

// write writes the index.
func (b *builder) write(file string, id identity) (Built, error) {
	begin := uint64(headSize + len(b.entries)*entrySize)
	var entries []byte
	for i := range b.entries {
		e := &b.entries[i]
		e.at += begin
		entries = e.encode(entries)
	}
	head := append(make([]byte, 0, headSize), magic...)
	head = le.AppendUint32(head, version)
	head = le.AppendUint32(head, uint32(len(b.entries)))
	for _, v := range [...]uint64{uint64(id.size), uint64(id.modified), id.sum, xxhash.Sum64(entries)} {
		head = le.AppendUint64(head, v)
	}
	head = le.AppendUint64(head, xxhash.Sum64(head))
	if err := replace(file, head, entries, b.filters); err != nil {
		return Built{}, err
	}
	size := len(head) + len(entries) + len(b.filters)
	return Built{Blocks: len(b.entries), Records: b.records, Bytes: int64(size)}, nil
}

// replace puts an index in its place. It does not wait for the disk: what a power cut
// leaves of it has a wrong checksum, or is another's, and is made anew.
func replace(file string, parts ...[]byte) error {
	to := Path(file)
	f, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".*.tmp")
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err == nil {
			_, err = f.Write(part)
		}
	}
	if err == nil {
		err = likeFile(f, file)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// likeFile lets those read the index who may read the file.
func likeFile(f *os.File, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if err := giveGroup(f, info); err != nil { // of a group that this user is not in
		return f.Chmod(info.Mode().Perm() &^ 0o070)
	}
	return f.Chmod(info.Mode().Perm())
}
