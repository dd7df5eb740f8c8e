package nffile

import (
	"errors"
	"os"
)

// Salvaged is what Salvage got out of a file.
type Salvaged struct {
	Blocks uint64
	Flows  uint64
	Lost   int64   // bytes that are in no block that can be read
	Gaps   []error // what is wrong with the file, each is or wraps a *FormatError; at most 100

	// LostFlows are those that the statistics of the file count and that are not among
	// Flows. Where the file has none, they are the records of damaged blocks.
	LostFlows uint64
}

// Salvage writes every flow that can be read of a damaged, torn or still growing file
// into a new file of layout 2 that nfdump reads: just those that File.ReadBlock and a
// Decoder give. Sound blocks of layout 2 are copied as they are, flows of other blocks
// and of layouts 1 and 3 written anew, the latter with LZ4. Progress may be nil.
//
// Where the header does not help, its own layout and compression are found by trying
// all: no flow comes about by chance.
//
// The new file must not exist; when an error is returned, it does not. A file
// without a single sound block is an error.
func Salvage(from, to string, progress Progress) (Salvaged, error) {
	w, err := openWalker(from)
	var got Salvaged
	if err == nil {
		got, err = w.salvage(to, progress, false)
	}
	var damage *FormatError
	if !errors.As(err, &damage) {
		return got, err
	}
	for _, head := range guesses() {
		w, openErr := openWalkerAs(from, head)
		if openErr != nil {
			return got, err
		}
		found, tryErr := w.salvage(to, progress, true)
		switch {
		case tryErr == nil && found.Flows > 0:
			found.Gaps = append([]error{damage}, found.Gaps...)
			return found, nil
		case tryErr == nil: // of another layout: no record is known
			tryErr = os.Remove(to)
		case errors.As(tryErr, new(*FormatError)):
			tryErr = nil
		}
		if tryErr != nil {
			return got, tryErr
		}
	}
	return got, err
}

// guesses are the headers that a file may have had.
func guesses() (list []Header) {
	for _, layout := range []uint16{layout2, layout3, layout1} {
		for c := None; c <= ZSTD; c++ {
			list = append(list, Header{Layout: layout, Compression: c})
		}
	}
	return list
}

// salvage copies what can be read of the file into a new one, and closes it; when
// strict only of blocks that are sound in all their parts.
func (w *walker) salvage(to string, progress Progress, strict bool) (Salvaged, error) {
	defer w.file.Close()
	if progress != nil {
		w.progress = progress
	}
	opt := Options{Compression: w.file.head.Compression, Extended: true}
	if w.file.head.Layout != layout2 {
		opt.Compression = LZ4
	}
	out, err := Create(to, opt)
	if err != nil {
		return Salvaged{}, err
	}
	s := salvager{walker: w, out: out, dec: NewDecoder(), strict: strict}
	if err = s.salvage(); err == nil {
		err = out.Close()
	}
	if err != nil {
		return s.got, errors.Join(err, out.Abandon(), os.Remove(to))
	}
	return s.got, nil
}

// salvager copies the blocks of one file.
type salvager struct {
	*walker
	out    *Writer
	dec    *Decoder // of what is copied; that of the walker checks
	got    Salvaged
	strict bool

	flows       uint64 // that what is copied stands for
	lostRecords uint64 // of blocks that cannot be read, or not to their end
}

func (s *salvager) salvage() error {
	f := s.file
	if f.ident != "" && CheckIdent(f.ident) == nil {
		s.out.opt.Ident = f.ident
	}
	for _, err := range f.damage {
		s.gap(err)
	}
	err := s.walk(s.takeBlock, func(from, to int64, why error) {
		s.got.Lost += to - from
		s.lostRecords += uint64(s.b.plausibleRecords())
		s.gap(why)
	})
	if err == nil && s.got.Blocks == 0 {
		err = f.errorf(f.off, ErrCorrupt, "no sound block in the %d bytes of the file, nothing to salvage", f.size)
	}
	s.got.LostFlows = s.lostRecords
	if f.haveStat {
		s.got.LostFlows = f.lostFlows(s.got.Flows, s.flows)
	}
	return err
}

// gap notes what is wrong with the file.
func (s *salvager) gap(why error) {
	if len(s.got.Gaps) < maxProblems {
		s.got.Gaps = append(s.got.Gaps, why)
	}
}

// takeBlock takes over a block that could be unpacked.
func (s *salvager) takeBlock(b *Block, wrong error) error {
	if b.data != nil && b.isAppendix() {
		appendix := *b // the records are read twice
		s.out.takeAppendix(&appendix)
		return s.file.takeAppendix(b)
	}
	if wrong != nil {
		s.gap(wrong)
		s.lostRecords += uint64(s.lost)
		if s.strict {
			s.got.Lost += b.headSize() + int64(len(b.raw))
			return nil
		}
	}
	if b.data == nil {
		return nil
	}
	before := s.out.stat.Flows
	var err error
	if s.file.head.Layout == layout2 && wrong == nil {
		err = s.out.copyBlock(s.dec, b)
	} else {
		for s.dec.Next(b) && err == nil {
			err = s.out.AppendExtra(s.dec.Record(), s.dec.Extra())
		}
		err = errors.Join(err, s.out.Flush())
	}
	if got := s.out.stat.Flows - before; got > 0 || wrong == nil {
		s.got.Blocks++
		s.got.Flows += got
		s.flows += s.standFor
	}
	return err
}

// copyBlock writes a block as it is and counts what it holds.
func (w *Writer) copyBlock(dec *Decoder, b *Block) error {
	var head [blockHeadSize]byte
	le.PutUint32(head[0:], b.Records)
	le.PutUint32(head[4:], uint32(len(b.raw)))
	le.PutUint16(head[8:], blockNormal)
	if err := w.takeIn(dec, b); err != nil {
		return err
	}
	if err := w.writeAt(head[:], w.off); err != nil {
		return err
	}
	if err := w.writeAt(b.raw, w.off+blockHeadSize); err != nil {
		return err
	}
	w.off += blockHeadSize + int64(len(b.raw))
	w.blocks++
	w.kept.copyFrom(&w.state)
	return nil
}
