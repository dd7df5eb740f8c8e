package query

import (
	"context"
	"sync/atomic"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// Stat counts the records of the input into a statistics record, as the writer of a file does:
// each is one flow, also where it stands for several. Failures of the sequence are not in
// records. The error joins what was wrong with the files.
func (in Input) Stat(ctx context.Context) (nffile.Stat, Totals, error) {
	counters := make([]*recordCounter, in.workers())
	users := make([]user, len(counters))
	var seen atomic.Uint64
	for i := range counters {
		counters[i] = &recordCounter{x: in.newExtractor(nil, in.newMatcher(&seen)), limit: in.Limit}
		users[i] = counters[i]
	}
	totals, err := in.scan(ctx, pause{}, users...)
	var stat nffile.Stat
	for _, t := range counters {
		stat.Add(t.stat)
	}
	if totals.Records > 0 {
		stat.First = totals.First // of flows that began in 1970 too, which Add takes for none
	}
	return stat, totals, err
}

// recordCounter is the user that counts records into a statistics record.
type recordCounter struct {
	x      *nffile.Extractor
	stat   nffile.Stat
	limit  uint64
	totals Totals
}

func (t *recordCounter) sums() *Totals { return &t.totals }
func (t *recordCounter) end() error    { return nil }

// use counts the records of a block.
func (t *recordCounter) use(b *nffile.Block, _ uint64) (records, flows uint64, damage, err error) {
	sum := &t.totals
	records, flows = sum.Records+t.x.Passed, sum.Flows+t.x.PassedFlows
	sum.BytesRead += uint64(b.Size())
	for f := t.x.NewBrief(); err == nil && t.x.Next(b, &f); {
		sum.addFlows(f.First, f.Last, f.Flows, f.Packets+f.RevPackets, f.Bytes+f.RevBytes)
		t.stat.AddBrief(&f)
		if sum.Records == t.limit {
			err = ErrStop
		}
	}
	sum.Read = sum.Records + t.x.Passed
	return sum.Read - records, sum.Flows + t.x.PassedFlows - flows, t.x.Err(), err
}
