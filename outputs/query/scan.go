package query

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// user is what one goroutine of a scan does with the flows.
type user interface {
	// use uses the flows of an unpacked block, whose number tells how many came before it.
	// It returns how many records the block has and how many flows they stand for, the
	// damage in it, and an error that ends the scan.
	use(b *nffile.Block, serial uint64) (records, flows uint64, damage, err error)

	// end is called behind each file, where one user gets all blocks in order.
	end() error

	sums() *Totals
}

// pause is what is done about every so often, while no user has a block: only where there
// are several users. Without a function it is nothing.
type pause struct {
	every time.Duration
	fn    func(Totals) // is given the sums so far
}

// scan lets users have all blocks of the input, each one of them: one user in order,
// several as they come. It returns the sums of all, and what was wrong with the files; or
// the error of a user, where ErrStop is none.
func (in Input) scan(ctx context.Context, p pause, users ...user) (Totals, error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	src := &source{files: in.Files, limit: in.Window, omit: in.Omit, progress: newProgress(in.Files, in.Progress)}
	var err error
	if len(users) == 1 {
		err = src.inOrder(inner, users[0])
	} else {
		var took time.Duration // by the last pause
		for more := true; more; {
			src.pauseIn(p, took)
			err = src.anyOrder(inner, cancel, users)
			if more = err == nil && inner.Err() == nil && src.more(); more {
				began := time.Now()
				p.fn(sumsOf(users))
				took = time.Since(began)
			}
		}
	}
	totals := sumsOf(users)
	if err != nil {
		src.finish(context.Background(), &totals)
		if errors.Is(err, ErrStop) {
			err = nil
		}
		return totals, err
	}
	return totals, src.finish(ctx, &totals)
}

// sumsOf returns the sums of all users.
func sumsOf(users []user) Totals {
	totals := *users[0].sums()
	for _, u := range users[1:] {
		totals.merge(u.sums())
	}
	return totals
}

// anyOrder lets several users read, unpack and use blocks, each in a goroutine of its own.
func (s *source) anyOrder(ctx context.Context, cancel func(), users []user) error {
	var wg sync.WaitGroup
	failures := make([]error, len(users))
	for i, u := range users {
		wg.Go(func() {
			var b nffile.Block
			for serial, ok := s.next(ctx, &b); ok; serial, ok = s.next(ctx, &b) {
				if failures[i] = s.give(&b, b.Unpack(), serial, u); failures[i] != nil {
					cancel()
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

// give lets a user use a block that has been unpacked, or has not been because of damage.
func (s *source) give(b *nffile.Block, damage error, serial uint64, u user) (err error) {
	var records, flows uint64
	if damage == nil {
		records, flows, damage, err = u.use(b, serial)
	}
	if damage != nil {
		s.damaged(b, serial, damage)
	}
	if err == nil {
		s.counted(b, records, flows)
	}
	return err
}

// aheadBlocks is how many blocks are unpacked ahead of a user that gets them in order, by as
// many goroutines as there are processors, at most.
const aheadBlocks = 4

// unpacked is a block on its way to the user.
type unpacked struct {
	block  *nffile.Block
	serial uint64
	damage error         // once ready is closed
	ready  chan struct{} // it has been unpacked
}

// sifting is a user that leaves it to a Sieve which records it does not need to see; each
// call returns another one.
type sifting interface{ newSieve() *nffile.Sieve }

// inOrder lets one user use all blocks, which other goroutines read, unpack and sift.
func (s *source) inOrder(ctx context.Context, u user) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	line := &queue{
		source: s, blocks: make(chan *unpacked, aheadBlocks), free: make(chan *nffile.Block, aheadBlocks),
	}
	line.unpack(ctx, u)
	defer func() {
		cancel()
		for range line.blocks { // until the goroutines have ended
		}
	}()
	path := ""
	for next := range line.blocks {
		<-next.ready
		if next.block.Path() != path {
			if err := u.end(); err != nil {
				return err
			}
			path = next.block.Path()
		}
		if err := s.give(next.block, next.damage, next.serial, u); err != nil {
			return err
		}
		line.free <- next.block
	}
	return u.end()
}

// queue has blocks in the order in which they are read, while they are unpacked.
type queue struct {
	source *source
	blocks chan *unpacked     // has room for all there are
	free   chan *nffile.Block // that have been used, likewise

	mu   sync.Mutex
	made int // blocks
}

// unpack starts the goroutines that fill the queue for a user, and close it behind the last
// block or when the context ends.
func (q *queue) unpack(ctx context.Context, u user) {
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), aheadBlocks) {
		var sieve *nffile.Sieve
		if by, ok := u.(sifting); ok {
			sieve = by.newSieve()
		}
		wg.Go(func() {
			for next := q.next(ctx); next != nil; next = q.next(ctx) {
				if next.damage = next.block.Unpack(); next.damage == nil {
					sieve.Sift(next.block)
				}
				close(next.ready)
			}
		})
	}
	go func() {
		wg.Wait()
		close(q.blocks)
	}()
}

// next reads the next block and puts it into the queue. It returns nil after the last, and
// when the context has ended.
func (q *queue) next(ctx context.Context) *unpacked {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.freeBlock(ctx)
	if b == nil {
		return nil
	}
	serial, ok := q.source.next(ctx, b)
	if !ok {
		q.free <- b // for the other goroutines, to see the end as well
		return nil
	}
	next := &unpacked{block: b, serial: serial, ready: make(chan struct{})}
	q.blocks <- next
	return next
}

// freeBlock returns a block that has been used, or a new one while less than aheadBlocks
// have been made: the memory of each is some megabytes, which few blocks of many files do
// not need. It returns nil when the context has ended.
func (q *queue) freeBlock(ctx context.Context) *nffile.Block {
	select {
	case b := <-q.free:
		return b
	default:
	}
	if q.made < aheadBlocks {
		q.made++
		return new(nffile.Block)
	}
	select {
	case b := <-q.free:
		return b
	case <-ctx.Done():
		return nil
	}
}

// cursor steps through the flows of blocks and does something with them.
type cursor interface {
	Next(*nffile.Block) bool // steps to the next flow of a block
	Err() error              // what was wrong with the block

	sums() (first, last, flows, packets, bytes uint64) // of the flow
	decoded() *nffile.Decoder                          // has the flow, nil when it is damaged
	use() error                                        // does it, for the flow
	end() error                                        // is called behind each file
	Sift(*nffile.Sieve)                                // Next passes over flows that it does not keep
}

// stepper is the user of a cursor.
type stepper struct {
	cursor
	window  Window
	matcher *matcher
	sieve   *nffile.Sieve // of the matcher, nil without
	limit   uint64
	totals  Totals
}

func (s *stepper) sums() *Totals { return &s.totals }

// newSieve returns another Sieve of the filter.
func (s *stepper) newSieve() *nffile.Sieve { return s.matcher.sieve() }

func (s *stepper) use(b *nffile.Block, _ uint64) (records, flows uint64, damage, err error) {
	t := &s.totals
	t.BytesRead += uint64(b.Size())
	for err == nil && s.Next(b) {
		first, last, n, packets, bytes := s.cursor.sums()
		records++
		flows += n
		if !s.window.has(first, last) || s.matcher != nil && !s.matcher.matches(s.decoded()) {
			continue
		}
		t.addFlows(first, last, n, packets, bytes)
		if err = s.cursor.use(); err == nil && t.Records == s.limit {
			err = ErrStop
		}
	}
	if s.sieve != nil {
		records += s.sieve.Passed
		flows += s.sieve.PassedFlows
		s.sieve.Passed, s.sieve.PassedFlows = 0, 0
	}
	t.Read += records
	if err == nil {
		damage = s.Err()
	}
	return records, flows, damage, err
}

// each lets a cursor step through all flows of the input, in order.
func (in Input) each(ctx context.Context, c cursor) (Totals, error) {
	m := in.newMatcher(new(atomic.Uint64))
	s := &stepper{cursor: c, window: in.Window, matcher: m, sieve: m.sieve(), limit: in.Limit}
	c.Sift(s.sieve)
	return in.scan(ctx, pause{}, s)
}

// progress tells how much has been read. nil does nothing.
type progress struct {
	done, total int64
	tell        func(done, total int64)
}

// newProgress returns the progress over files, nil where nobody wants to know.
func newProgress(files []string, tell func(done, total int64)) *progress {
	if tell == nil {
		return nil
	}
	p := &progress{tell: tell}
	for _, path := range files {
		if info, err := os.Stat(path); err == nil { // opening says what is wrong
			p.total += info.Size()
		}
	}
	return p
}

// addBytes says that so many bytes more are done.
func (p *progress) addBytes(n int64) {
	if p != nil {
		p.done = min(p.done+n, p.total)
		p.tell(p.done, p.total)
	}
}

// maxProblems is how many of the problems with files a query reports.
const maxProblems = 20

// source hands out the blocks of files, one after the other, to any number of
// goroutines.
type source struct {
	mu       sync.Mutex
	files    []string
	limit    Window
	omit     func(*nffile.File) (places []nffile.Place, records, flows uint64)
	progress *progress
	opened   int       // files, or tried to
	serial   uint64    // of the block that was read last
	until    time.Time // no blocks are read from then on, until it is set anew; zero is never
	cur      *nffile.File
	tallies  map[*nffile.File]*tally
	totals   Totals // window and damage only
	problems []problem
}

// problem is an error with a file.
type problem struct {
	file  int    // its number
	place uint64 // in the file: twice the serial number of a block, and 1 behind it
	err   error
}

// atEnd is the place of what is known of a file when all of it has been read.
const atEnd = math.MaxUint64

// tally is what has been read of a file, to be compared with its statistics.
type tally struct {
	records, flows uint64
	file           int  // its number
	blocks         int  // that have been handed out and are not counted yet
	ended          bool // no more blocks come
}

// next reads the next block, still packed, and gives it a number. It returns false after
// the last.
func (s *source) next(ctx context.Context, b *nffile.Block) (serial uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil && (s.until.IsZero() || time.Now().Before(s.until)) {
		if s.cur == nil && !s.open() {
			if len(s.files) == 0 {
				return 0, false
			}
			continue
		}
		err := s.cur.ReadBlock(b)
		if err == nil {
			s.tallies[s.cur].blocks++
			s.progress.addBytes(int64(b.Packed()))
			s.serial++
			return s.serial, true
		}
		if !errors.Is(err, io.EOF) {
			s.totals.Skipped++
			s.problem(s.opened, 2*s.serial+1, err)
			if errors.As(err, new(*nffile.FormatError)) {
				continue // with the next sound block
			}
		}
		s.tallies[s.cur].ended = true
		s.compare(s.cur)
		s.cur.Close()
		s.cur = nil
	}
	return 0, false
}

// leastPause is how long blocks are read before a pause, at least, and pauseShare how many
// times as long as the last pause took: that of millions of rows takes seconds.
const (
	leastPause = 50 * time.Millisecond
	pauseShare = 5
)

// pauseIn lets blocks be read until it is time for p; the last one took so long.
func (s *source) pauseIn(p pause, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.fn != nil {
		s.until = time.Now().Add(max(p.every, leastPause, pauseShare*took))
	}
}

// more says whether there may be blocks that have not been read.
func (s *source) more() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur != nil || len(s.files) > 0
}

// open opens the next file, and says whether there is one to read: not one that cannot be
// opened, nor one whose statistics say that it has no flows of the window.
func (s *source) open() bool {
	if len(s.files) == 0 {
		return false
	}
	f, err := nffile.OpenFile(s.files[0])
	s.files = s.files[1:]
	s.opened++
	if err != nil {
		s.problem(s.opened, 0, err)
		return false
	}
	if !s.limit.overlaps(f) {
		s.progress.addBytes(f.Size())
		f.Close()
		return false
	}
	for _, damage := range f.Damage() {
		s.problem(s.opened, 0, damage)
	}
	s.totals.window(f)
	s.cur = f
	if s.tallies == nil {
		s.tallies = map[*nffile.File]*tally{}
	}
	s.tallies[f] = &tally{file: s.opened}
	s.passOver(f)
	return true
}

// passOver lets blocks of a file be that hold nothing of what is looked for. They count as
// read, so that the sums are those of all blocks.
func (s *source) passOver(f *nffile.File) {
	if s.omit == nil {
		return
	}
	places, records, flows := s.omit(f)
	f.Omit(places)
	s.totals.Read += records
	t := s.tallies[f]
	t.records += records
	t.flows += flows
	for _, place := range places {
		s.progress.addBytes(place.Size)
	}
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
		s.problem(t.file, atEnd, err)
	}
	delete(s.tallies, f)
}

// problem notes an error at a place in a file; the lock is held.
func (s *source) problem(file int, place uint64, err error) {
	if len(s.problems) < maxProblems {
		s.problems = append(s.problems, problem{file, place, err})
	}
}

// damaged notes a block that could not be read to its end.
func (s *source) damaged(b *nffile.Block, serial uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.totals.Skipped++
	s.problem(s.tallies[b.File()].file, 2*serial, err)
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
	t.Read += s.totals.Read
	t.WindowFirst, t.WindowLast, t.HasWindow = max(s.totals.WindowFirst, s.limit.From), s.totals.WindowLast,
		s.totals.HasWindow
	if s.limit.To > 0 {
		t.WindowLast = min(t.WindowLast, s.limit.To)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.joined()
}

// joined returns the problems as one error, in the order of the files: where several
// goroutines have met them, that is not the one in which they were noted. The lock is held.
func (s *source) joined() error {
	slices.SortStableFunc(s.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.place, b.place))
	})
	var errs []error
	for _, p := range s.problems {
		errs = append(errs, p.err)
	}
	if len(errs) == maxProblems {
		errs = append(errs, errors.New("more problems are not shown"))
	}
	return errors.Join(errs...)
}
