package query

import (
	"context"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/aggregate"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Row is one row of a table: the sums over all flows with one value.
type Row struct {
	Key
	First, Last          uint64 // milliseconds since 1970
	Flows                uint64
	InPackets, InBytes   uint64 // of the flow's direction
	OutPackets, OutBytes uint64 // of the reverse
}

// Duration returns the milliseconds from First to Last.
func (r *Row) Duration() uint64 { return r.Last - min(r.First, r.Last) }

// Counters returns the packets and bytes that go with an order, as nfdump prints
// them: of one direction, or the sum.
func (r *Row) Counters(o Order) (packets, bytes uint64) {
	switch o {
	case ByFlows, ByInPackets, ByInBytes, ByInPPS, ByInBPS, ByInBPP:
		return r.InPackets, r.InBytes
	case ByOutPackets, ByOutBytes, ByOutPPS, ByOutBPS, ByOutBPP:
		return r.OutPackets, r.OutBytes
	}
	return r.InPackets + r.OutPackets, r.InBytes + r.OutBytes
}

// value returns what an order sorts by.
func (r *Row) value(o Order) uint64 {
	packets, bytes := r.Counters(o)
	switch o {
	case ByFlows:
		return r.Flows
	case ByPackets, ByInPackets, ByOutPackets:
		return packets
	case ByBytes, ByInBytes, ByOutBytes:
		return bytes
	case ByPPS, ByInPPS, ByOutPPS:
		return PerSecond(packets, r.Duration())
	case ByBPS, ByInBPS, ByOutBPS:
		return PerSecond(8*bytes, r.Duration())
	}
	return PerPacket(bytes, packets)
}

// PerSecond returns v per second over ms milliseconds, rounded down, 0 when ms is.
func PerSecond(v, ms uint64) uint64 {
	if ms == 0 {
		return 0
	}
	hi, lo := bits.Mul64(v, 1000)
	if hi >= ms {
		return ^uint64(0)
	}
	q, _ := bits.Div64(hi, lo, ms)
	return q
}

// PerPacket returns bytes per packet, rounded down, 0 without packets.
func PerPacket(bytes, packets uint64) uint64 {
	if packets == 0 {
		return 0
	}
	return bytes / packets
}

// Table is the result of one statistic in one order.
type Table struct {
	Stat  Stat
	Order Order
	N     int // rows asked for, 0 is all
	Rows  []Row
}

// Top is Input.Top for all flows of the files.
func Top(ctx context.Context, files []string, stats []Stat, n int) ([]Table, Totals, error) {
	return Input{Files: files}.Top(ctx, stats, n)
}

// Top counts all flows of the input by the elements of stats and returns a table
// for each statistic and order, with the first n rows, all when n is 0. Sums are
// exact. Rows of equal value come in the order of their keys.
//
// Files are read with as many goroutines as there are processors. The error joins
// what was wrong with files; the tables hold all that could be read.
func (in Input) Top(ctx context.Context, stats []Stat, n int) ([]Table, Totals, error) {
	src := &source{files: in.Files, limit: in.Window}
	all := make([]counter, in.workers())
	var seen atomic.Uint64
	var wg sync.WaitGroup
	for i := range all {
		c := &all[i]
		c.init(stats)
		m := in.newMatcher(&seen)
		wg.Go(func() { c.run(ctx, src, stats, m) })
	}
	wg.Wait()
	sum := &all[0]
	for i := 1; i < len(all); i++ {
		sum.merge(&all[i])
	}
	err := src.finish(ctx, &sum.totals)
	var tables []Table
	for i, s := range stats {
		for _, o := range s.Orders {
			tables = append(tables, Table{Stat: s, Order: o, N: n, Rows: top(sum.groups[i], o, n, s.Ascending)})
		}
	}
	return tables, sum.totals, err
}

// counter is what one goroutine counts. Flows wait until there are aggregate.Batch of
// them: looked up together, their cache misses overlap.
type counter struct {
	fields  []flow.Field // that the flows have values of
	flows   [aggregate.Batch]nffile.Brief
	columns [][]int            // of each statistic: the values that are its keys
	groups  []*aggregate.Table // of each statistic
	totals  Totals
}

// init prepares for statistics.
func (c *counter) init(stats []Stat) {
	c.groups, c.columns = make([]*aggregate.Table, len(stats)), make([][]int, len(stats))
	for i, s := range stats {
		c.groups[i] = aggregate.New(0)
		for _, f := range elements[s.Element].fields {
			column := slices.Index(c.fields, f)
			if column < 0 {
				column = len(c.fields)
				c.fields = append(c.fields, f)
			}
			c.columns[i] = append(c.columns[i], column)
		}
	}
}

// run counts the flows of blocks until there are no more.
func (c *counter) run(ctx context.Context, src *source, stats []Stat, m *matcher) {
	x := nffile.NewExtractor(c.fields, m.fields())
	if m != nil {
		x.Keep = m.matches
		if m.filter.NeedsContext() {
			x.ReadAll()
		}
	}
	x.From, x.To = src.limit.From, src.limit.To
	for i := range c.flows {
		c.flows[i] = x.NewBrief()
	}
	var b nffile.Block
	for src.next(ctx, &b) {
		records, flows := c.totals.Records+x.Passed, c.totals.Flows+x.PassedFlows
		err := b.Unpack()
		if err == nil {
			c.block(x, &b, stats)
			err = x.Err()
		}
		if err != nil {
			src.damaged(err)
		}
		src.counted(&b, c.totals.Records+x.Passed-records, c.totals.Flows+x.PassedFlows-flows)
	}
	c.totals.Read = c.totals.Records + x.Passed
}

// block counts the flows of one block.
func (c *counter) block(x *nffile.Extractor, b *nffile.Block, stats []Stat) {
	c.totals.BytesRead += uint64(b.Size())
	n := 0
	for x.Next(b, &c.flows[n]) {
		f := &c.flows[n]
		c.totals.add(f.First, f.Last, f.Flows, f.Packets+f.RevPackets, f.Bytes+f.RevBytes)
		if n++; n == aggregate.Batch {
			c.count(n, stats)
			n = 0
		}
	}
	c.count(n, stats)
}

// count counts the first n flows.
func (c *counter) count(n int, stats []Stat) {
	for i := range stats {
		byProto := stats[i].ByProto || stats[i].Element == Proto
		for _, column := range c.columns[i] {
			count(c.groups[i], c.flows[:n], column, byProto)
		}
	}
}

// merge adds what another goroutine counted.
func (c *counter) merge(o *counter) {
	c.totals.merge(&o.totals)
	for i := range c.groups {
		c.groups[i].Merge(o.groups[i])
	}
}
