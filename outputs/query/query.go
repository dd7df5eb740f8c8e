// Package query reads flows out of nfdump files and trees of them, lists them and
// counts them up.
//
// Each lists the flows of files in order, Top aggregates over one
// element as nfdump's -s does, over all of them: the first n are exact. Damage in
// a file does not end a query: the damaged part is passed over, counted in
// Totals.Skipped, and reported as an error when all is read.
package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// Totals are the sums over the flows of a query, as nfdump's summary has them.
type Totals struct {
	Read    uint64 // flow records read
	Records uint64 // of them, those in the window of the query
	Flows   uint64 // flows they stand for
	Packets uint64 // both directions
	Bytes   uint64

	First, Last  uint64 // of the flows, milliseconds since 1970
	FirstTraffic uint64 // First without events, which have no beginning; 0 is none

	// What the statistics of the files say of their time; zero First with a file
	// of event records in nfcapd's way, HasWindow is false without statistics.
	WindowFirst, WindowLast uint64
	HasWindow               bool

	Skipped   int    // damaged blocks passed over
	BytesRead uint64 // of unpacked blocks
}

// add counts a flow record from first to last.
func (t *Totals) add(first, last, flows, packets, bytes uint64) {
	if t.Records == 0 || first < t.First {
		t.First = first
	}
	t.FirstTraffic = earlier(t.FirstTraffic, first)
	t.Last = max(t.Last, last)
	t.Records++
	t.Flows += flows
	t.Packets += packets
	t.Bytes += bytes
}

// earlier returns the smaller of two times, the other one when one is 0.
func earlier(a, b uint64) uint64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// merge adds the flows of o.
func (t *Totals) merge(o *Totals) {
	if o.Records > 0 && (t.Records == 0 || o.First < t.First) {
		t.First = o.First
	}
	t.FirstTraffic = earlier(t.FirstTraffic, o.FirstTraffic)
	t.Last = max(t.Last, o.Last)
	t.Read += o.Read
	t.Records += o.Records
	t.Flows += o.Flows
	t.Packets += o.Packets
	t.Bytes += o.Bytes
	t.Skipped += o.Skipped
	t.BytesRead += o.BytesRead
}

// window widens the time of the files by that of one.
func (t *Totals) window(f *nffile.File) {
	if !f.HasStat() {
		return
	}
	s := f.Stat()
	if !t.HasWindow || s.First < t.WindowFirst {
		t.WindowFirst = s.First
	}
	t.WindowLast = max(t.WindowLast, s.Last)
	t.HasWindow = true
}

// flowsOf returns how many flows a record stands for.
func flowsOf(r *flow.Record) uint64 {
	if r.Has(flow.Flows) {
		return r.Flows
	}
	return 1
}

// maxProblems is how many of the problems with files a query reports.
const maxProblems = 20

// source hands out the blocks of files, one after the other, to any number of
// goroutines.
type source struct {
	mu       sync.Mutex
	files    []string
	limit    Window
	cur      *nffile.File
	tallies  map[*nffile.File]*tally
	totals   Totals // window and damage only
	problems []error
}

// tally is what has been read of a file, to be compared with its statistics.
type tally struct {
	records, flows uint64
	blocks         int  // that have been handed out and are not counted yet
	ended          bool // no more blocks come
}

// next reads the next block, still packed. It returns false after the last.
func (s *source) next(ctx context.Context, b *nffile.Block) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil {
		if s.cur == nil {
			if len(s.files) == 0 {
				return false
			}
			f, err := nffile.OpenFile(s.files[0])
			s.files = s.files[1:]
			if err != nil {
				s.problem(err)
				continue
			}
			if !s.limit.overlaps(f) {
				f.Close()
				continue
			}
			for _, damage := range f.Damage() {
				s.problem(damage)
			}
			s.totals.window(f)
			s.cur = f
			if s.tallies == nil {
				s.tallies = map[*nffile.File]*tally{}
			}
			s.tallies[f] = new(tally)
		}
		err := s.cur.ReadBlock(b)
		if err == nil {
			s.tallies[s.cur].blocks++
			return true
		}
		if !errors.Is(err, io.EOF) {
			s.totals.Skipped++
			s.problem(err)
			if errors.As(err, new(*nffile.FormatError)) {
				continue // with the next sound block
			}
		}
		s.tallies[s.cur].ended = true
		s.compare(s.cur)
		s.cur.Close()
		s.cur = nil
	}
	return false
}

// counted says that a block has been read to its end, with so many flow records that
// stand for so many flows.
func (s *source) counted(b *nffile.Block, records, flows uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tallies[b.File()]
	t.records += records
	t.flows += flows
	t.blocks--
	s.compare(b.File())
}

// compare notes when a file of which everything has been read says that it has other
// flows. The lock is held.
func (s *source) compare(f *nffile.File) {
	t := s.tallies[f]
	if t.blocks > 0 || !t.ended {
		return
	}
	if err := f.CompareFlows(t.records, t.flows); err != nil {
		s.problem(err)
	}
	delete(s.tallies, f)
}

// problem notes an error with a file; the lock is held.
func (s *source) problem(err error) {
	if len(s.problems) < maxProblems {
		s.problems = append(s.problems, err)
	}
}

// damaged notes a block that could not be read to its end.
func (s *source) damaged(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.totals.Skipped++
	s.problem(err)
}

// finish closes what is open, and joins the totals and problems.
func (s *source) finish(ctx context.Context, t *Totals) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur != nil {
		s.cur.Close()
		s.cur = nil
	}
	t.Skipped += s.totals.Skipped
	t.WindowFirst, t.WindowLast, t.HasWindow = max(s.totals.WindowFirst, s.limit.From), s.totals.WindowLast,
		s.totals.HasWindow
	if s.limit.To > 0 {
		t.WindowLast = min(t.WindowLast, s.limit.To)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(s.problems) == maxProblems {
		s.problems = append(s.problems, fmt.Errorf("more problems are not shown"))
	}
	return errors.Join(s.problems...)
}

// aheadBlocks is how many blocks Each unpacks ahead of the flows it hands out.
const aheadBlocks = 4

// ErrStop, returned by the function given to Each, ends the query without an
// error.
var ErrStop = errors.New("stop")

// Input is what a query reads: files, and of their flows those in a window that match a
// filter. Without a filter all do.
type Input struct {
	Files  []string
	Window Window
	Filter *nffilter.Filter
}

// Each is Input.Each for all flows of the files.
func Each(ctx context.Context, files []string, fn func(*flow.Record) error) (Totals, error) {
	return Input{Files: files}.Each(ctx, fn)
}

// Each calls fn for every flow of the input, in order. The record is reused: it is
// valid, and may only be read, until fn returns. An error of fn ends the query
// and is returned, ErrStop ends it without one.
//
// The error otherwise joins what was wrong with the files; flows of other files
// and blocks have been handed out nevertheless.
func (in Input) Each(ctx context.Context, fn func(*flow.Record) error) (Totals, error) {
	return in.each(ctx, &lister{nffile.NewDecoder(), fn})
}

// cursor steps through the flows of blocks and does something with them.
type cursor interface {
	Next(*nffile.Block) bool // steps to the next flow of a block
	Err() error              // what was wrong with the block

	sums() (first, last, flows, packets, bytes uint64) // of the flow
	decoded() *nffile.Decoder                          // has the flow, nil when it is damaged
	use() error                                        // does it, for the flow
	end() error                                        // is called behind each file
}

// lister is the cursor that calls a function.
type lister struct {
	*nffile.Decoder
	fn func(*flow.Record) error
}

func (l *lister) sums() (first, last, flows, packets, bytes uint64) {
	r := l.Record()
	return r.First.Milli(), r.Last.Milli(), flowsOf(r), r.Packets + r.RevPackets, r.Bytes + r.RevBytes
}

func (l *lister) decoded() *nffile.Decoder { return l.Decoder }

func (l *lister) use() error { return l.fn(l.Record()) }

func (l *lister) end() error {
	l.Reset()
	return nil
}

// each uses all flows of the input, in order.
func (in Input) each(ctx context.Context, c cursor) (Totals, error) {
	ctx, cancel := context.WithCancel(ctx)
	src := &source{files: in.Files, limit: in.Window}
	blocks, free := unpackAhead(ctx, src)
	var totals Totals
	err := drain(blocks, free, &totals, src, c, in.newMatcher(new(atomic.Uint64)))
	stopped := err != nil
	if stopped {
		cancel()
		for range blocks { // until the goroutine has ended
		}
		if errors.Is(err, ErrStop) {
			err = nil
		}
		src.finish(context.Background(), &totals)
		return totals, err
	}
	err = src.finish(ctx, &totals)
	cancel()
	return totals, err
}

// unpackAhead reads and unpacks blocks in a goroutine of its own. Blocks go back
// through free. The goroutine ends, and closes blocks, at the end of the files and
// when ctx is done.
func unpackAhead(ctx context.Context, src *source) (blocks <-chan *nffile.Block, free chan<- *nffile.Block) {
	out, back := make(chan *nffile.Block, aheadBlocks), make(chan *nffile.Block, aheadBlocks)
	for range aheadBlocks {
		back <- new(nffile.Block)
	}
	go func() {
		defer close(out)
		for {
			var b *nffile.Block
			select {
			case b = <-back:
			case <-ctx.Done():
				return
			}
			if !src.next(ctx, b) {
				return
			}
			if err := b.Unpack(); err != nil {
				src.damaged(err)
				src.counted(b, 0, 0)
				back <- b
				continue
			}
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, back
}

// drain uses the flows of blocks.
func drain(blocks <-chan *nffile.Block, free chan<- *nffile.Block, t *Totals, src *source, c cursor,
	m *matcher) error {
	path := ""
	for b := range blocks {
		if b.Path() != path {
			if err := c.end(); err != nil {
				return err
			}
			path = b.Path()
		}
		t.BytesRead += uint64(b.Size())
		var records, stoodFor uint64
		for c.Next(b) {
			t.Read++
			first, last, flows, packets, bytes := c.sums()
			records++
			stoodFor += flows
			if !src.limit.has(first, last) || m != nil && !m.matches(c.decoded()) {
				continue
			}
			t.add(first, last, flows, packets, bytes)
			if err := c.use(); err != nil {
				return err
			}
		}
		if err := c.Err(); err != nil {
			src.damaged(err)
		}
		src.counted(b, records, stoodFor)
		free <- b
	}
	return c.end()
}

// workers is how many goroutines a query without order uses; one where the filter asks
// for the number of a flow.
func (in Input) workers() int {
	if in.Filter != nil && in.Filter.NeedsOrder() {
		return 1
	}
	return max(1, runtime.GOMAXPROCS(0))
}
