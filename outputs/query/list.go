package query

import (
	"context"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Flow is what List hands out: a flow as a file has it, or the row of an aggregation,
// which is one too: the Record then has the keys and the sums, Flows is how many flows
// they are of, First and Last the time from the begin of the first to the end of the
// last, TCPFlags those that any of them has. A format that prints the one prints the other.
type Flow struct {
	*flow.Record
	Extra  *nffile.Extra // what only files have; never nil
	Ident  string        // of the file, or of the first
	SysID  uint32        // the number of the exporter in the file, 0 without
	Number uint64        // of the record among those read, from 1: those that do not match count; 0 of a row

	// Of rows with the keys srcgeo and dstgeo: two letters, "" where it is not known.
	SrcCountry, DstCountry string

	// Of rows: which of the addresses that are none of their keys are IPv6 in their first
	// flow. They are printed as "::" then.
	Empty6 flow.Set

	told toldSystems // of rows: what they have in files that are written

	// Of flows that files have; rows have none.
	File     int           // which file of those that are read, from 0
	Names    []nffile.Name // that the file has of interfaces, VRFs and applications
	Elements uint64        // of the record in the file, bit 1<<id
	Size     int           // of the record in the file, bytes
}

// List calls fn for the flows of the input, as Each does.
func (in Input) List(ctx context.Context, fn func(*Flow) error) (Totals, error) {
	l := &flowLister{lister: lister{Decoder: nffile.NewDecoder()}}
	f := Flow{Record: l.Record(), Extra: l.Extra()}
	systems := newSystems(in.AS)
	l.fn = func(r *flow.Record) error {
		if systems != nil { // the record is the Decoder's, which sets what comes with the next flow alone
			defer systems.fill(r).restore(r)
		}
		f.Ident, f.SysID, f.Number = l.Ident(), l.SysID(), l.number
		f.File, f.Names, f.Elements, f.Size = l.file, l.Names(), l.Elements(), l.Size()
		return fn(&f)
	}
	return in.each(ctx, l)
}

// flowLister is a lister that counts records and files.
type flowLister struct {
	lister
	sieve  *nffile.Sieve
	number uint64
	file   int
}

func (l *flowLister) Sift(s *nffile.Sieve) {
	l.sieve = s
	l.lister.Sift(s)
}

func (l *flowLister) Next(b *nffile.Block) bool {
	before := l.passed()
	more := l.lister.Next(b)
	if l.number += l.passed() - before; more {
		l.number++
	}
	return more
}

// passed returns how many records have been passed over.
func (l *flowLister) passed() uint64 {
	if l.sieve == nil {
		return 0
	}
	return l.sieve.Passed
}

func (l *flowLister) end() error {
	l.file++
	return l.lister.end()
}
