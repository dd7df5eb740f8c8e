// Package query reads flows out of nfdump files and trees of them, lists them and
// counts them up.
//
// All is one scan (see scan.go): the blocks of the files, of their flows those of a window
// that match a filter, and something that uses them. Each and List hand them out in
// order, Rows sorts them or sums them up by an Aggregation, as nfdump's -O, -a, -A and -b
// do, Top ranks the values of elements as -s does, Write puts them into a new file.
//
// Damage in a file does not end a query: the damaged part is passed over, counted in
// Totals.Skipped, and reported as an error when all is read. Neither is what has been
// found lost when the context ends: it is handed out, with the context's error.
package query

import (
	"context"
	"errors"
	"net/netip"
	"runtime"

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

	// Rest is what has no row: with a bound of the memory, flows with a key that came when
	// there was no more room, over all tables. The result is approximate then.
	Rest Rest
}

// Rest are the sums of flows that have no row.
type Rest struct{ Flows, Packets, Bytes uint64 }

// addFlows counts a flow record from first to last.
func (t *Totals) addFlows(first, last, flows, packets, bytes uint64) {
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

// ErrStop, returned by the function given to Each, List or Rows, ends the query without
// an error.
var ErrStop = errors.New("stop")

// Input is what a query reads: files, and of their flows those in a window that match a
// filter. Without a filter all do.
type Input struct {
	Files  []string
	Window Window
	Filter *nffilter.Filter
	Limit  uint64 // how many flows at most, the first of those that match; 0 is all

	// Memory bounds the rows of aggregations and statistics and the flows that are sorted,
	// in bytes; 0 is no bound. What it means for a result, Totals.Rest and ErrMemory tell.
	Memory int64

	// Omit tells which blocks of a file hold no flow that matches, how many flow records
	// they have, and how many flows these stand for. They are not read. nil is none.
	Omit func(*nffile.File) (places []nffile.Place, records, flows uint64)

	// Country returns the country of an address in two letters, "" where it is not known, for
	// the filter and what counts by countries. nil knows none. It is called by several
	// goroutines.
	Country func(netip.Addr) string

	// AS returns the number of the autonomous system of an address, 0 where it is not known,
	// for flows that do not tell it: for the filter, for what is counted, and for the flows
	// and rows that List, Rows and Table.Each hand out, but in files that are written. nil
	// leaves flows as they are. It is called by several goroutines.
	AS func(netip.Addr) uint32

	// Progress is called with the bytes that are read, of so many, from time to time and by
	// one goroutine at a time. nil does nothing.
	Progress func(done, total int64)
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

// workers is how many goroutines a query without order uses; one where the first flows
// are wanted, or the filter asks for the number of a flow.
func (in Input) workers() int {
	if in.Limit > 0 || in.Filter != nil && in.Filter.NeedsOrder() {
		return 1
	}
	return min(runtime.GOMAXPROCS(0), maxShelves)
}
