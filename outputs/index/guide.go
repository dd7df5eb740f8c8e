package index

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// Guide tells which blocks of files need not be read for a filter. It may be used by
// several goroutines.
type Guide struct {
	filter   *nffilter.Filter
	from, to uint64
	warn     func(format string, args ...any)

	mu     sync.Mutex
	index  Index // whose memory is used again
	needed []bool
	warned int
	stats  Stats
}

// Stats are what a Guide has seen.
type Stats struct {
	Files   int // with an index that was used
	Without int // files that have none, or one of no use
	Blocks  int // of the files with one
	Omitted int // of these
}

// mostTold is how many indexes of no use are named.
const mostTold = 5

// NewGuide returns a Guide for a filter, and for flows from one time to another in
// milliseconds since 1970, where 0 means without a bound. Warn is called for indexes that are
// of no use, and may be nil. It returns nil where indexes cannot help: the filter asks for
// nothing that they have, or for the number of a flow among all.
func NewGuide(filter *nffilter.Filter, from, to uint64, warn func(format string, args ...any)) *Guide {
	if filter == nil || filter.NeedsOrder() || !filter.Selective() {
		return nil
	}
	if warn == nil {
		warn = func(string, ...any) {}
	}
	return &Guide{filter: filter, from: from, to: to, warn: warn}
}

// Omit returns which blocks of a file hold nothing that matches, and the flow records in
// them and the flows they stand for. It is all of them or, as the others may need what
// blocks hold besides flows, none that has such.
func (g *Guide) Omit(f *nffile.File) (places []nffile.Place, records, flows uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.NotIndexable() != "" {
		g.without(nil)
		return nil, 0, 0
	}
	x := &g.index
	err := x.open(f.Path(), func() (identity, error) { return identify(f.Raw()) })
	if err != nil {
		g.without(err)
		return nil, 0, 0
	}
	defer x.Close()
	needed := slices.Grow(g.needed[:0], len(x.entries))[:len(x.entries)]
	g.needed = needed
	all := true
	for i := range x.entries {
		if needed[i], err = g.needs(x, i); err != nil {
			g.without(err)
			return nil, 0, 0
		}
		all = all && !needed[i]
	}
	for i := range x.entries {
		if e := &x.entries[i]; !needed[i] && (all || !e.tables) {
			places = append(places, e.place)
			records += e.records
			flows += e.flows
		}
	}
	g.stats.Files++
	g.stats.Blocks += len(x.entries)
	g.stats.Omitted += len(places)
	return places, records, flows
}

// needs says whether a block may hold a flow that matches.
func (g *Guide) needs(x *Index, i int) (can bool, err error) {
	e := &x.entries[i]
	if e.records == 0 || g.to > 0 && e.first > g.to || e.last < g.from {
		return false, nil
	}
	var filters [numFilters]filter
	var read [numFilters]bool
	can = g.filter.CanMatch(func(k nffilter.Key) bool {
		kind := filterOf(k.Kind)
		if !read[kind] && err == nil {
			filters[kind], err = x.filter(i, kind)
			read[kind] = true
		}
		return err != nil || filters[kind].mayHave(hash(k))
	})
	return can, err
}

// without counts a file without an index, and tells of one that is of no use. The lock is
// held.
func (g *Guide) without(why error) {
	g.stats.Without++
	if why == nil || errors.Is(why, fs.ErrNotExist) || g.warned > mostTold {
		return
	}
	if g.warned++; g.warned > mostTold {
		g.warn("further indexes that are not used are not named")
		return
	}
	g.warn("%s", fmt.Sprintf("%v: not used; flowgraf index makes it anew", why))
}

// Stats returns what has been seen so far.
func (g *Guide) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stats
}
