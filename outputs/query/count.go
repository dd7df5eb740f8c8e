package query

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/aggregate"
)

// batch are flows that wait until there are aggregate.Batch of them: looked up together,
// their cache misses overlap.
type batch struct {
	flows   [aggregate.Batch]nffile.Brief
	records [aggregate.Batch][]byte // as they are in the block
	n       int

	serial  uint64 // of the block
	block   *nffile.Block
	decoder *nffile.Decoder
}

// place tells how many flows came before flow i of the batch: a flow that was read earlier
// has a lower number, and none has 0.
func (b *batch) place(i int) uint64 { return b.serial<<placeBits | uint64(b.flows[i].Index) }

// placeBits are enough for the records of a block.
const placeBits = 26

// kind is one of the things that flows are counted for: a statistic or an aggregation.
type kind struct {
	values *values // of a statistic
	groups *groups // of an aggregation, or of the statistic Record
	sorted *sorted // of a sorted list
}

// counter is the user that counts flows, for several kinds in one pass.
type counter struct {
	x      *nffile.Extractor
	batch  batch
	kinds  []kind
	list   *sorted // of the kinds, if there is one
	whole  bool    // a kind keeps whole flows
	limit  uint64
	totals Totals
}

// request is a list of rows: an aggregation, or without keys the flows themselves.
// It may be a number of series instead.
type request struct {
	aggregation Aggregation
	sort        *Sort
	n           int

	series  []Series
	partial func(*counter, Totals) // is given what has been counted, every so often
	every   time.Duration
}

// count counts the flows of the input for statistics, or for one request, and returns a
// counter with the sums.
func (in Input) count(ctx context.Context, stats []Stat, r *request) (*counter, Totals, error) {
	counters := make([]*counter, in.workers())
	users := make([]user, len(counters))
	var seen atomic.Uint64
	for i := range counters {
		counters[i] = in.newCounter(stats, r, in.newMatcher(&seen), len(counters))
		users[i] = counters[i]
		counters[i].twin(counters[0], i)
	}
	sum := counters[0]
	join := func(totals *Totals) {
		for i := range sum.kinds {
			for _, c := range counters[1:] {
				sum.kinds[i].merge(&c.kinds[i])
			}
			sum.kinds[i].rest(&totals.Rest)
		}
	}
	var pause pause
	if r != nil && r.partial != nil {
		pause.every = r.every
		pause.fn = func(totals Totals) {
			join(&totals)
			for i, c := range counters[1:] {
				c.twin(sum, i+1)
			}
			r.partial(sum, totals)
		}
	}
	totals, err := in.scan(ctx, pause, users...)
	join(&totals)
	for _, c := range counters {
		if c.full() && err == nil {
			err = ErrMemory
		}
	}
	return sum, totals, err
}

// newCounter returns one of so many counters.
func (in Input) newCounter(stats []Stat, r *request, m *matcher, of int) *counter {
	c := &counter{limit: in.Limit}
	var columns []nffile.Column
	tables := len(stats)
	if r != nil {
		tables += len(r.series)
	}
	memory := int(in.Memory) / of / max(1, tables)
	for i := range stats {
		if stats[i].Element == Record {
			a := stats[i].Rows
			if len(a.Keys) == 0 {
				a = Connections()
			}
			c.kinds = append(c.kinds, kind{groups: in.newGroups(&a, &columns, memory)})
			continue
		}
		c.kinds = append(c.kinds, kind{values: in.newValues(&stats[i], &columns, memory)})
	}
	switch {
	case r == nil:
	case len(r.series) > 0 || r.partial != nil:
		for i := range r.series {
			c.kinds = append(c.kinds, kind{groups: newSeries(&r.series[i], &columns, memory).groups})
		}
	case len(r.aggregation.Keys) > 0:
		c.kinds = append(c.kinds, kind{groups: in.newGroups(&r.aggregation, &columns, memory)})
	default:
		c.list = newSorted(r, memory)
		c.list.systems = newSystems(in.AS)
		c.kinds = append(c.kinds, kind{sorted: c.list})
	}
	six := false
	for i := range c.kinds {
		k := &c.kinds[i]
		c.whole = c.whole || k.sorted != nil || k.groups != nil && k.groups.aggregation.Whole
		six = six || k.groups != nil && !k.groups.aggregation.Whole
	}
	c.x = in.newExtractor(columns, m)
	if six {
		c.x.ReadSix()
	}
	for i := range c.batch.flows {
		c.batch.flows[i] = c.x.NewBrief()
	}
	return c
}

// newExtractor returns one that passes over what the window and the filter do not want.
func (in Input) newExtractor(columns []nffile.Column, m *matcher) *nffile.Extractor {
	x := nffile.NewExtractor(columns, m.fields())
	if m != nil {
		x.Keep, x.Sieve = m.matches, m.sieve()
		if m.filter.NeedsContext() {
			x.ReadAll()
		}
	}
	x.From, x.To, x.Within = in.Window.From, in.Window.To, in.Window.Within
	return x
}

// twin makes the tables of c, which is counter number n, such that o's can be merged with
// them.
func (c *counter) twin(o *counter, n int) {
	for i := range c.kinds {
		k := &c.kinds[i]
		switch {
		case k.sorted != nil:
			k.sorted.begin(n)
		case k.groups != nil:
			k.groups.begin(n)
			k.groups.table = o.kinds[i].groups.table.Twin()
			if k.groups.series != nil {
				k.groups.series.reset()
			}
		default:
			k.values.table = o.kinds[i].values.table.Twin()
		}
	}
}

func (c *counter) sums() *Totals { return &c.totals }
func (c *counter) end() error    { return nil }

// use counts the flows of a block.
func (c *counter) use(b *nffile.Block, serial uint64) (records, flows uint64, damage, err error) {
	t := &c.totals
	records, flows = t.Records+c.x.Passed, t.Flows+c.x.PassedFlows
	t.BytesRead += uint64(b.Size())
	c.batch.serial, c.batch.block, c.batch.decoder, c.batch.n = serial, b, c.x.Decoder(), 0
	for err == nil && c.x.Next(b, &c.batch.flows[c.batch.n]) {
		f := &c.batch.flows[c.batch.n]
		t.addFlows(f.First, f.Last, f.Flows, f.Packets+f.RevPackets, f.Bytes+f.RevBytes)
		whole := true
		if c.whole {
			c.batch.records[c.batch.n], whole = c.x.Raw(b)
		}
		if c.batch.n++; c.batch.n == aggregate.Batch || !whole {
			c.flush()
		}
		if t.Records == c.limit || c.full() {
			err = ErrStop
		}
	}
	c.flush()
	t.Read = t.Records + c.x.Passed
	return t.Records + c.x.Passed - records, t.Flows + c.x.PassedFlows - flows, c.x.Err(), err
}

// flush counts the flows of the batch.
func (c *counter) flush() {
	for i := range c.kinds {
		switch k := &c.kinds[i]; {
		case k.values != nil:
			k.values.addBatch(&c.batch)
		case k.groups != nil:
			k.groups.addBatch(&c.batch)
		default:
			k.sorted.addBatch(&c.batch)
		}
	}
	c.batch.n = 0
}

// full says whether there is no memory for more of what cannot be summed up.
func (c *counter) full() bool { return c.list != nil && c.list.full }

// merge adds what another counter has.
func (k *kind) merge(o *kind) {
	switch {
	case k.values != nil:
		k.values.table.Merge(o.values.table)
	case k.groups != nil:
		k.groups.merge(o.groups)
	default:
		k.sorted.merge(o.sorted)
	}
}

// rest adds what has no row.
func (k *kind) rest(sum *Rest) {
	var r aggregate.Row
	some := false
	switch {
	case k.values != nil:
		r, some = k.values.table.Rest()
	case k.groups != nil:
		r, some = k.groups.table.Rest()
		if s := k.groups.series; s != nil && s.lost.Flows > 0 {
			r.Flows, r.Packets, r.Bytes = r.Flows+s.lost.Flows, r.Packets+s.lost.Packets, r.Bytes+s.lost.Bytes
			some = true
		}
	}
	if some {
		sum.Flows += r.Flows
		sum.Packets += r.Packets + r.RevPackets
		sum.Bytes += r.Bytes + r.RevBytes
	}
}

// columnIn returns where a column stands in columns, to which it is added when it is not there.
func columnIn(columns *[]nffile.Column, c nffile.Column) int {
	i := slices.Index(*columns, c)
	if i < 0 {
		i = len(*columns)
		*columns = append(*columns, c)
	}
	return i
}

// boundOf returns how many rows of a table have room in so many bytes, 0 for no bound.
func boundOf(memory int, o aggregate.Options, more int) int {
	if memory == 0 {
		return 0
	}
	return max(1, memory/(o.RowBytes()+more))
}
