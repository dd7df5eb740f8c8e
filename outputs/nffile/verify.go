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
	Blocks uint64 // with records that could be read
	Flows  uint64 // in them
	Size   int64

	// Open says that the file is not complete: it is being written, or was left
	// behind. Torn are the bytes at its end that are no whole block yet.
	Open bool
	Torn int64

	// Lost are the flows that the statistics count and that could not be read. Where
	// there are none to be trusted, it is the records of damaged blocks.
	Lost uint64

	// Problems says what is wrong where: each is a *FormatError or wraps one. More
	// counts those that are not listed.
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
	return r, v.verify()
}

// verifier checks one file.
type verifier struct {
	*walker
	report *Report

	stat       Stat   // of the flows that were read
	flows      uint64 // that they stand for: nfdump -w counts these
	lostBlocks uint64 // records of blocks that could not be read, or not to their end
	blocks     uint32
	appendixAt int64 // where the last block with an ident or statistics was
}

func (v *verifier) verify() error {
	f, r := v.file, v.report
	r.Header, r.Size, r.Open = f.head, f.size, f.open
	if f.end < f.size && f.head.Layout == layout2 {
		v.appendixAt = f.end
	}
	for _, err := range f.damage {
		r.problem(err)
	}
	err := v.walk(v.takeBlock, func(from, to int64, why error) {
		if to == f.end && r.Open {
			r.Torn = to - from
			return
		}
		v.lostBlocks += uint64(v.b.plausibleRecords())
		r.problem(why)
		if to < f.end {
			r.problem(f.errorf(to, ErrCorrupt, "the next sound block begins here, %d bytes are lost", to-from))
		}
	})
	var format *FormatError
	if errors.As(err, &format) {
		r.problem(err)
		err = nil
	}
	r.Ident, r.Flows, r.Blocks, r.Lost = f.ident, v.stat.Flows, uint64(v.blocks), v.lostBlocks
	if err == nil && !r.Open {
		v.compare()
	}
	return err
}

// plausibleRecords returns how many records the block says it has, 0 when it cannot
// have so many.
func (b *Block) plausibleRecords() uint32 {
	if b.Records > MaxBlock/4 || b.file.head.Layout == layout3 || b.behindFlows() {
		return 0
	}
	return b.Records
}

// behindFlows says whether the block is where the header has the appendix.
func (b *Block) behindFlows() bool {
	h := &b.file.head
	return h.Layout == layout2 && h.Appendix > 0 && b.off >= h.AppendixOffset
}

// takeBlock counts a block that could be unpacked.
func (v *verifier) takeBlock(b *Block, wrong error) error {
	f := v.file
	if b.data == nil {
		if wrong != nil {
			v.report.problem(wrong)
		}
		v.checksum(b)
		return nil
	}
	if b.isAppendix() {
		v.appendixAt = b.off
		return f.takeAppendix(b)
	}
	if wrong != nil {
		v.report.problem(wrong)
		v.lostBlocks += uint64(v.lost)
	}
	v.blocks++
	v.checksum(b)
	for v.dec.Next(b) {
		r := v.dec.Record()
		v.flows += max(r.Flows, 1)
		v.stat.AddRecord(r)
	}
	return nil
}

// checksum compares the checksum of a block of layout 3: XXH3, or XXH64 of early
// versions.
func (v *verifier) checksum(b *Block) {
	if b.checksum != 0 && b.checksum != xxh3.Hash(b.raw) && b.checksum != xxhash.Sum64(b.raw) {
		v.report.problem(v.file.errorf(b.off, ErrCorrupt,
			"the checksum of the block is wrong, its content has been changed"))
	}
}

// compare checks what a complete file says of itself.
func (v *verifier) compare() {
	f, r := v.file, v.report
	if f.head.Layout != layout3 && v.blocks != f.head.Blocks {
		r.problem(f.errorf(36, ErrCorrupt, "the header says %d blocks, %d are sound", f.head.Blocks, v.blocks))
	}
	if f.head.Layout == layout2 && f.head.Appendix > 0 && v.appendixAt != f.head.AppendixOffset {
		r.problem(f.errorf(24, ErrCorrupt, "the header says the appendix is at offset %d, it is at %d (0 is nowhere)",
			f.head.AppendixOffset, v.appendixAt))
	}
	if !f.haveStat {
		if f.head.Appendix > 0 && f.head.Layout == layout2 {
			r.problem(f.errorf(f.size, ErrCorrupt,
				"no statistics: nfdump -I and -t do not see the flows; salvage the file"))
		}
		return
	}
	if err := f.compareFlows(v.stat.Flows, v.flows); err != nil {
		r.Lost = f.lostFlows(v.stat.Flows, v.flows)
		r.problem(err)
	}
	if len(r.Problems) > 0 {
		return // the flows are not all
	}
	for _, c := range []struct {
		what      string
		says, are uint64
	}{
		{"packets", f.stat.Packets, v.stat.Packets}, {"bytes", f.stat.Bytes, v.stat.Bytes},
	} {
		if c.says != c.are {
			r.problem(f.errorf(max(v.appendixAt, 0), ErrCorrupt, "the statistics say %d %s, there are %d", c.says,
				c.what, c.are))
		}
	}
}

// CompareFlows says whether the statistics count other flows than could be read, nil
// when not, or when there are none: records are how many were read, and flows what they
// stand for, which is what nfdump -w counts.
func (f *File) CompareFlows(records, flows uint64) error {
	if !f.haveStat || f.open {
		return nil
	}
	return f.compareFlows(records, flows)
}

func (f *File) compareFlows(records, flows uint64) error {
	says := f.stat.Flows
	if says == records || says == flows {
		return nil
	}
	if lost := f.lostFlows(records, flows); lost > 0 {
		return f.errorf(f.end, ErrCorrupt, "the statistics say %d flows, there are %d: %d are lost", says, says-lost,
			lost)
	}
	return f.errorf(f.end, ErrCorrupt, "the statistics say %d flows, there are %d", says, records)
}

// lostFlows returns how many of the flows that the statistics count are not among those that
// were read. Statistics of nfdump -w count what records stand for, others the records: the
// first are taken to be so where they can.
func (f *File) lostFlows(records, flows uint64) uint64 {
	says := f.stat.Flows
	if says == records || says == flows {
		return 0
	}
	if flows > says {
		flows = records
	}
	return says - min(says, flows)
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
	lost := ""
	if r.Lost > 0 {
		lost = fmt.Sprintf(", %d are lost", r.Lost)
	}
	return fmt.Sprintf("%s: %s; layout %d, %s, %d blocks, %d flows%s, %d bytes", r.Path, state, r.Header.Layout,
		r.Header.Compression, r.Blocks, r.Flows, lost, r.Size)
}
