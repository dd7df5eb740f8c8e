package nffile

import (
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/zeebo/xxh3"
)

// Report is what Verify found in a file.
type Report struct {
	Path   string
	Header Header
	Ident  string
	Blocks uint64 // sound ones with records
	Flows  uint64 // in them
	Size   int64

	// Open says that the file is not complete: it is being written, or was left
	// behind. Torn are the bytes at its end that are no whole block yet.
	Open bool
	Torn int64

	// Problems says what is wrong where: each is a *FormatError. More counts those
	// that are not listed.
	Problems []error
	More     int
}

// maxProblems is how many problems a Report lists.
const maxProblems = 100

func (r *Report) problem(err error) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, err)
	} else {
		r.More++
	}
}

// Sound says whether nothing is wrong. A file that is still written is sound when
// its whole blocks are.
func (r *Report) Sound() bool { return len(r.Problems) == 0 }

// Verify reads all of a file and says exactly what is wrong with it where: every
// block is unpacked, every record decoded, the checksums of layout 3 are computed,
// and the statistics compared with those of the flows. Progress may be nil.
//
// The error is one of opening or reading, or of progress; what is wrong with the file is in the
// Report, also when it is no file of nfdump at all.
func Verify(path string, progress Progress) (Report, error) {
	r := Report{Path: path}
	w, err := openWalker(path)
	var format *FormatError
	if errors.As(err, &format) {
		r.problem(err)
		return r, nil
	}
	if err != nil {
		return r, err
	}
	defer w.file.Close()
	if progress != nil {
		w.progress = progress
	}
	v := verifier{walker: w, report: &r}
	return r, v.run()
}

// verifier checks one file.
type verifier struct {
	*walker
	report *Report

	stat       Stat   // of the flows that were read
	flows      uint64 // that they stand for: nfdump -w counts these
	blocks     uint32
	appendixAt int64 // where the last block with an ident or statistics was
	haveStat   bool
	lastBad    [2]int64
	lastWhy    error
}

func (v *verifier) run() error {
	f, r := v.file, v.report
	r.Header, r.Size = f.head, f.size
	end := f.size
	switch f.head.Layout {
	case layout1:
		r.Open = f.head.Blocks == 0 && f.size > f.off
		v.haveStat = !r.Open
	case layout2:
		r.Open = f.head.Blocks == 0 && f.head.Appendix == 0
	case layout3:
		r.Open = f.head.AppendixOffset == 0
		if !r.Open {
			if err := f.readDirectory3(); err != nil {
				r.problem(err)
			} else {
				end = f.head.AppendixOffset
			}
			f.exporters, f.stat, f.ident = nil, Stat{}, "" // come again
		}
	}
	err := v.walk(end, v.sound, func(from, to int64, why error) {
		v.lastBad, v.lastWhy = [2]int64{from, to}, why
		if to == end && r.Open {
			r.Torn = to - from
			return
		}
		r.problem(why)
		if to < end {
			r.problem(f.errorf(to, ErrCorrupt, "the next sound block begins here, %d bytes are lost", to-from))
		}
	})
	var format *FormatError
	if errors.As(err, &format) {
		r.problem(err)
		err = nil
	}
	r.Ident, r.Flows, r.Blocks = f.ident, v.stat.Flows, uint64(v.blocks)
	if err == nil && !r.Open {
		v.compare()
	}
	return err
}

// sound takes in a block that is sound.
func (v *verifier) sound(b *Block) error {
	f := v.file
	if b.data == nil {
		v.haveStat = v.haveStat || f.head.Layout == layout3 && b.kindOfBlock == block3Stat
		v.checksum(b)
		return nil
	}
	if len(b.data) >= 4 && (le.Uint16(b.data) == recordIdent || le.Uint16(b.data) == recordStat) {
		v.appendixAt = b.off
		for b.next() {
			switch {
			case b.kind == recordIdent:
				f.ident = cString(b.rec[4:])
			case b.kind == recordStat && len(b.rec) == statSize:
				v.haveStat = true
				f.stat.decode(b.rec)
			}
		}
		return nil
	}
	v.blocks++
	v.checksum(b)
	for v.dec.Next(b) {
		r := v.dec.Record()
		v.flows += max(r.Flows, 1)
		v.stat.add(r.Proto, r.First.Milli(), r.Last.Milli(), r.Packets, r.Bytes, r.RevPackets, r.RevBytes)
	}
	return nil
}

// checksum compares the checksum of a block of layout 3: XXH3, or XXH64 of early
// versions.
func (v *verifier) checksum(b *Block) {
	if b.checksum != 0 && b.checksum != xxh3.Hash(b.raw) && b.checksum != xxhash.Sum64(b.raw) {
		v.report.problem(v.file.errorf(b.off, ErrCorrupt, "the checksum of the block is wrong, its content has been changed"))
	}
}

// compare checks what a complete file says of itself.
func (v *verifier) compare() {
	f, r := v.file, v.report
	if f.head.Layout != layout3 && v.blocks != f.head.Blocks {
		r.problem(f.errorf(36, ErrCorrupt, "the header says %d blocks, %d are sound", f.head.Blocks, v.blocks))
	}
	if f.head.Layout == layout2 && f.head.Appendix > 0 && v.appendixAt != f.head.AppendixOffset {
		r.problem(f.errorf(24, ErrCorrupt, "the header says the appendix is at offset %d, it is at %d (0 is nowhere)", f.head.AppendixOffset, v.appendixAt))
	}
	if !v.haveStat {
		r.problem(f.errorf(f.size, ErrCorrupt, "no statistics: nfdump -I and -t do not see the flows; salvage the file"))
		return
	}
	if len(r.Problems) > 0 {
		return // the flows are not all
	}
	if f.stat.Flows == v.flows {
		v.stat.Flows = v.flows
	}
	for _, c := range []struct {
		what      string
		says, are uint64
	}{
		{"flows", f.stat.Flows, v.stat.Flows}, {"packets", f.stat.Packets, v.stat.Packets}, {"bytes", f.stat.Bytes, v.stat.Bytes},
	} {
		if c.says != c.are {
			r.problem(f.errorf(max(v.appendixAt, 0), ErrCorrupt, "the statistics say %d %s, there are %d", c.says, c.what, c.are))
		}
	}
}

// String is one line: what the file is, without its problems.
func (r *Report) String() string {
	if r.Header.Layout == 0 {
		return r.Path + ": cannot be read as a flow file"
	}
	state := "sound"
	switch {
	case !r.Sound():
		state = fmt.Sprintf("%d problems", len(r.Problems)+r.More)
	case r.Torn > 0:
		state = fmt.Sprintf("being written, or torn: %d bytes at the end are no whole block", r.Torn)
	case r.Open:
		state = "being written, or left behind"
	}
	return fmt.Sprintf("%s: %s; layout %d, %s, %d blocks, %d flows, %d bytes", r.Path, state, r.Header.Layout, r.Header.Compression, r.Blocks, r.Flows, r.Size)
}
