package nffile

import (
	"errors"
	"io"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Reader reads the flows of one file in order:
//
//	r, err := nffile.Open(path)
//	…
//	for r.Next() {
//		use(r.Record())
//	}
//	return r.Err()
//
// It does not allocate per flow. To read with several goroutines, use OpenFile,
// and in each a Block and a Decoder.
type Reader struct {
	*File
	block Block
	dec   *Decoder
	err   error
	done  bool
}

// Open opens a file for reading. A file that is being written is read up to its
// last whole block. Errors are those of os.Open and *FormatError.
func Open(path string) (*Reader, error) {
	f, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	return &Reader{File: f, dec: NewDecoder()}, nil
}

// Next steps to the next flow. It returns false at the end and at the first
// damage.
func (r *Reader) Next() bool {
	for !r.done {
		if r.block.data != nil && r.dec.Next(&r.block) {
			return true
		}
		if r.err = r.dec.Err(); r.err == nil {
			r.err = r.nextBlock()
		}
		r.done = r.err != nil
	}
	return false
}

// nextBlock reads and unpacks a block that may hold flows.
func (r *Reader) nextBlock() error {
	for {
		if err := r.ReadBlock(&r.block); err != nil {
			return err
		}
		if err := r.block.Unpack(); err != nil {
			return err
		}
		if r.block.data != nil {
			return nil
		}
	}
}

// Record returns the current flow, as Decoder.Record does.
func (r *Reader) Record() *flow.Record { return r.dec.Record() }

// Sampled says whether the counters of the current flow were estimated.
func (r *Reader) Sampled() bool { return r.dec.Sampled() }

// Exporters returns the exporters named so far, as Decoder.Exporters does.
func (r *Reader) Exporters() []Exporter { return r.dec.Exporters() }

// ExporterStats returns what exporters have sent, as Decoder.ExporterStats does.
func (r *Reader) ExporterStats() []ExporterStat { return r.dec.ExporterStats() }

// Samplers returns the samplers named so far, as Decoder.Samplers does.
func (r *Reader) Samplers() []Sampler { return r.dec.Samplers() }

// Err returns what ended the reading, or what is wrong with the end of the file: nil
// when it is sound, else an error that names the file and the offset.
func (r *Reader) Err() error {
	if !errors.Is(r.err, io.EOF) {
		return r.err
	}
	if damage := r.File.damage; len(damage) > 0 {
		return damage[0]
	}
	return nil
}
