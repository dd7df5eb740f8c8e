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
	Number uint64        // of the flow in the list, from 1
}

// List calls fn for the flows of the input, as Each does.
func (in Input) List(ctx context.Context, fn func(*Flow) error) (Totals, error) {
	l := &lister{Decoder: nffile.NewDecoder()}
	f := Flow{Record: l.Record(), Extra: l.Extra()}
	l.fn = func(*flow.Record) error {
		f.Ident, f.SysID = l.Ident(), l.SysID()
		f.Number++
		return fn(&f)
	}
	return in.each(ctx, l)
}
