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
	filters [numFilters][]byte // of all blocks
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
	before, err := identify(f.Raw())
	if err != nil {
		return Built{}, err
	}
	b := builder{dec: nffile.NewDecoder()}
	b.dec.Only(indexed)
	if err := b.readBlocks(f); err != nil {
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

// readBlocks reads all blocks.
func (b *builder) readBlocks(f *nffile.File) error {
	for {
		err := f.ReadBlock(&b.block)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = b.block.Unpack()
		}
		if err == nil {
			err = b.addBlock()
		}
		if errors.As(err, new(*nffile.FormatError)) {
			return fmt.Errorf("%w: %w", ErrNotIndexable, err)
		}
		if err != nil {
			return err
		}
	}
}

// addBlock makes the entry of a block.
func (b *builder) addBlock() error {
	e := entry{place: b.block.Place(), first: ^uint64(0)}
	tables := b.tables()
	for i := range b.keys {
		b.keys[i].reset()
	}
	for b.dec.Next(&b.block) {
		r := b.dec.Record()
		e.records++
		e.flows += max(r.Flows, 1)
		e.first, e.last = min(e.first, r.First.Milli()), max(e.last, r.Last.Milli())
		nffilter.EachKey(r, func(k nffilter.Key) { b.keys[filterOf(k.Kind)].addHash(hash(k)) })
	}
	if err := b.dec.Err(); err != nil {
		return err
	}
	e.tables = b.tables() != tables
	for i := range b.keys {
		before := len(b.filters[i])
		var err error
		if b.filters[i], err = appendFilter(b.filters[i], &b.fuse, b.keys[i].hashes); err != nil {
			return err
		}
		e.at[i], e.lengths[i] = uint64(before), uint32(len(b.filters[i])-before)
		e.sums[i] = xxhash.Sum64(b.filters[i][before:])
	}
	b.entries = append(b.entries, e)
	b.records += e.records
	return nil
}

// tables returns how much the blocks so far tell of exporters, samplers and names.
func (b *builder) tables() int {
	return len(b.dec.Exporters()) + len(b.dec.Samplers()) + len(b.dec.Names())
}

// write writes the index.
func (b *builder) write(file string, id identity) (Built, error) {
	begin := uint64(headSize + len(b.entries)*entrySize)
	for kind, filters := range b.filters {
		for i := range b.entries {
			b.entries[i].at[kind] += begin
		}
		begin += uint64(len(filters))
	}
	var entries []byte
	for i := range b.entries {
		entries = b.entries[i].encode(entries)
	}
	head := append(make([]byte, 0, headSize), magic...)
	head = le.AppendUint32(head, version)
	head = le.AppendUint32(head, uint32(len(b.entries)))
	for _, v := range [...]uint64{uint64(id.size), uint64(id.modified), id.sum, xxhash.Sum64(entries), begin} {
		head = le.AppendUint64(head, v)
	}
	head = le.AppendUint64(head, xxhash.Sum64(head))
	if err := replace(file, head, entries, b.filters[ofAddresses], b.filters[ofPorts], b.filters[ofAS]); err != nil {
		return Built{}, err
	}
	return Built{Blocks: len(b.entries), Records: b.records, Bytes: int64(begin)}, nil
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
