package query

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// Write writes the flows of the input into a new file of layout 2, with their
// exporters, samplers and names: what nfdump's -w does. The ident is that of the
// first file unless opt has one. Files of all layouts are read, and all elements
// written that opt allows.
//
// The file must not exist. It is removed again when it cannot be written; damage in
// a file that is read is an error too, but what could be read is in the new file.
func (in Input) Write(ctx context.Context, path string, opt nffile.Options) (Totals, error) {
	return in.create(ctx, path, opt, in.copyTo)
}

// WriteRows writes what a listing makes of the flows into a new file, as Write does: rows
// are flows with all that their first flow has, and the sums. Samplers and names are not
// copied.
func (in Input) WriteRows(ctx context.Context, l Listing, path string, opt nffile.Options) (Totals, error) {
	l.Aggregation.Whole = true
	return in.create(ctx, path, opt, func(ctx context.Context, w *nffile.Writer) (Totals, error, error) {
		var failed error
		totals, readErr := in.Rows(ctx, l, func(f *Flow) error {
			f.told.restore(f.Record)
			failed = w.AppendExtra(f.Record, f.Extra)
			return failed
		})
		return totals, readErr, failed
	})
}

// create makes a new file of what write writes into it, which returns what was wrong with
// the files that are read, and why it could not write.
func (in Input) create(ctx context.Context, path string, opt nffile.Options,
	write func(context.Context, *nffile.Writer) (Totals, error, error)) (Totals, error) {
	if opt.Ident == "" && len(in.Files) > 0 {
		if f, err := nffile.OpenFile(in.Files[0]); err == nil { // reading says what is wrong
			if nffile.CheckIdent(f.Ident()) == nil {
				opt.Ident = f.Ident()
			}
			f.Close()
		}
	}
	w, err := nffile.Create(path, opt)
	if err != nil {
		return Totals{}, err
	}
	totals, readErr, err := write(ctx, w)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return totals, errors.Join(fmt.Errorf("writing %s: %w", path, err), w.Abandon(), os.Remove(path))
	}
	return totals, readErr
}

// copyTo copies all flows into a file.
func (in Input) copyTo(ctx context.Context, w *nffile.Writer) (totals Totals, readErr, err error) {
	c := copier{Copier: nffile.NewCopier(w), w: w, whole: in.Window.isZero() && in.Filter == nil && in.Limit == 0,
		samplers: map[nffile.Sampler]bool{}, names: map[nffile.Name]bool{}}
	totals, readErr = in.each(ctx, &c)
	return totals, readErr, c.err
}

// copier is the cursor that writes what a query reads.
type copier struct {
	*nffile.Copier
	w        *nffile.Writer
	whole    bool // all flows are copied: the counts of datagrams belong to them
	samplers map[nffile.Sampler]bool
	names    map[nffile.Name]bool
	err      error
}

func (c *copier) sums() (first, last, flows, packets, bytes uint64) {
	f := c.Flow()
	return f.First, f.Last, f.Flows, f.Packets + f.RevPackets, f.Bytes + f.RevBytes
}

func (c *copier) decoded() *nffile.Decoder {
	if !c.Decode() {
		return nil
	}
	return c.Decoder()
}

// use copies a flow.
func (c *copier) use() error {
	c.err = c.Copy()
	return c.err
}

// end copies what a file has besides flows, once.
func (c *copier) end() error {
	d := c.Decoder()
	defer d.Reset()
	for _, s := range d.Samplers() {
		if !c.samplers[s] && c.err == nil {
			c.samplers[s] = true
			c.err = c.w.Sampler(s)
		}
	}
	var names []nffile.Name
	for _, n := range d.Names() {
		if !c.names[n] {
			c.names[n] = true
			names = append(names, n)
		}
	}
	if c.err == nil {
		c.err = c.w.Names(names)
	}
	for i, s := range d.ExporterStats() {
		if c.whole && c.err == nil {
			c.w.Datagrams(d.Exporters()[i], s.Datagrams, s.Failures)
		}
	}
	return c.err
}
