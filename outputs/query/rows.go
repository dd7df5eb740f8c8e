package query

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"sync"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// ErrMemory says that flows which are to be sorted, and all listed, do not fit into the
// memory that Input.Memory allows; those that do are handed out.
var ErrMemory = errors.New("there is no more memory for flows to be sorted, later ones are left out: " +
	"list fewer, by a filter, a window or a number of rows, or allow more memory")

// Listing says how flows are listed that are not just listed as they are: summed up, or
// sorted, or both.
type Listing struct {
	Aggregation Aggregation      // without keys: each flow by itself
	Sort        *Sort            // nil: in the order in which they were read, rows that of their first flow
	N           int              // the first so many, 0 is all
	Post        *nffilter.Filter // what is listed must match this too, sums included; nil is all
}

// Rows calls fn for what the listing makes of the flows of the input, as Each does for the
// flows themselves. Totals are of the flows, not of the rows. When the context ends, fn gets
// what has been read until then, and the context's error is returned.
func (in Input) Rows(ctx context.Context, l Listing, fn func(*Flow) error) (Totals, error) {
	r := &request{aggregation: l.Aggregation, sort: l.Sort, n: l.N}
	if l.Post != nil {
		r.n = 0
	}
	sum, totals, err := in.count(ctx, nil, r)
	rows := sum.kinds[0]
	var failed error
	if rows.groups != nil {
		failed = rows.groups.each(l.Sort, l.N, l.Post, fn)
	} else {
		failed = rows.sorted.each(l.N, l.Post, fn)
	}
	if failed != nil {
		if errors.Is(failed, ErrStop) {
			failed = nil
		}
		return totals, failed
	}
	return totals, err
}

// shelves keep flows whole: each goroutine has one, and in the end all are together.
type shelves struct {
	own    *nffile.Shelf
	number uint64
	all    []*nffile.Shelf
}

// A reference to a flow on shelves has the number of the shelf above these bits.
const shelfBits = 56

// maxShelves is how many there may be.
const maxShelves = 1 << (64 - shelfBits)

// begin makes s the shelf of goroutine n.
func (s *shelves) begin(n int) {
	s.number, s.own = uint64(n), nffile.NewShelf()
	s.all = []*nffile.Shelf{s.own}
}

// put keeps flow i of a batch and returns a reference to it.
func (s *shelves) put(b *batch, i int) uint64 {
	return s.own.Put(b.decoder, b.block, b.records[i]) | s.number<<shelfBits
}

// get makes f the flow that is kept.
func (s *shelves) get(ref uint64, f *Flow) {
	r, x, origin := s.all[ref>>shelfBits].Get(ref & (1<<shelfBits - 1))
	*f.Record, *f.Extra = *r, *x
	f.Ident, f.SysID = origin.Ident, origin.SysID
}

// entry is a row or a flow to be sorted.
type entry struct {
	value uint64 // by which
	place uint64 // of those that are equal the least is first
	ref   uint64
}

// compare orders two entries.
func (s *Sort) compare(a, b *entry) int {
	switch {
	case s == nil || a.value == b.value:
		return cmp.Compare(a.place, b.place)
	case (a.value < b.value) == s.Ascending:
		return -1
	}
	return 1
}

// ordered returns the first n entries in an order, all when n is 0 or more may be asked for.
func ordered(entries []entry, s *Sort, n int, more bool) iter.Seq[entry] {
	compare := func(a, b entry) int { return s.compare(&a, &b) }
	if n > 0 && !more {
		entries = firstOf(slices.Values(entries), n, compare)
		return slices.Values(entries)
	}
	var wg sync.WaitGroup
	parts := slices.Collect(slices.Chunk(entries, max(1, len(entries)/runtime.GOMAXPROCS(0)+1)))
	for _, part := range parts {
		wg.Go(func() { slices.SortFunc(part, compare) })
	}
	wg.Wait()
	return func(yield func(entry) bool) {
		for {
			best := -1
			for i, part := range parts {
				if len(part) > 0 && (best < 0 || s.compare(&part[0], &parts[best][0]) < 0) {
					best = i
				}
			}
			if best < 0 || !yield(parts[best][0]) {
				return
			}
			parts[best] = parts[best][1:]
		}
	}
}

// firstOf returns the first n of all in an order. They are kept unsorted up to twice that,
// and cut back then: what comes behind them is passed over from there on.
func firstOf[T any](all iter.Seq[T], n int, compare func(a, b T) int) []T {
	var best []T
	full := false
	for next := range all {
		if full && compare(next, best[n-1]) > 0 {
			continue
		}
		if best = append(best, next); len(best) == 2*n {
			slices.SortFunc(best, compare)
			best, full = best[:n], true
		}
	}
	slices.SortFunc(best, compare)
	return best[:min(n, len(best))]
}

// sorted keeps flows to be sorted: all of them, or the first n.
type sorted struct {
	sort    *Sort
	n       int
	memory  int64
	full    bool
	entries []entry
	cut     bool // entries have been cut back to n: what comes behind them is passed over
	systems *systems
	shelves
}

func newSorted(r *request, memory int) *sorted {
	return &sorted{sort: r.sort, n: r.n, memory: int64(memory)}
}

// addBatch keeps the flows of a batch.
func (s *sorted) addBatch(b *batch) {
	for i := range b.n {
		f := &b.flows[i]
		e := entry{place: b.place(i)}
		if s.sort != nil {
			row := Row{First: f.First, Last: f.Last, Flows: f.Flows, InPackets: f.Packets, InBytes: f.Bytes,
				OutPackets: f.RevPackets, OutBytes: f.RevBytes}
			e.value = row.value(s.sort.By)
		}
		if s.cut && s.sort.compare(&e, &s.entries[s.n-1]) > 0 {
			continue
		}
		e.ref = s.put(b, i)
		if s.entries = append(s.entries, e); s.n > 0 && len(s.entries) >= 2*s.n {
			s.entries = firstOf(slices.Values(s.entries), s.n, func(a, b entry) int { return s.sort.compare(&a, &b) })
			s.cut = true
		}
	}
	s.full = s.memory > 0 && s.own.Size()+int64(len(s.entries))*entrySize > s.memory
}

// entrySize is what an entry takes in memory, in bytes.
const entrySize = 24

// merge adds the flows of another goroutine.
func (s *sorted) merge(o *sorted) {
	s.entries = append(s.entries, o.entries...)
	s.all = append(s.all, o.all...)
	s.full = s.full || o.full
}

// each calls fn for the flows: the first n that post matches.
func (s *sorted) each(n int, post *nffilter.Filter, fn func(*Flow) error) error {
	return handOut(ordered(s.entries, s.sort, n, post != nil), s.get, s.systems, n, post, fn)
}

// handOut calls fn for the first n entries that post matches, all when n is 0, as get
// makes flows of them, with what systems knows.
func handOut(entries iter.Seq[entry], get func(ref uint64, f *Flow), systems *systems, n int,
	post *nffilter.Filter, fn func(*Flow) error) error {
	f := Flow{Record: new(flow.Record), Extra: new(nffile.Extra)}
	for e := range entries {
		get(e.ref, &f)
		f.told = systems.fill(f.Record)
		if post != nil && !post.Match(f.Record, &nffilter.Context{Ident: f.Ident, SysID: f.SysID}) {
			continue
		}
		if err := fn(&f); err != nil {
			return err
		}
		if n--; n == 0 {
			return nil
		}
	}
	return nil
}
