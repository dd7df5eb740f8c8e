package query

import (
	"cmp"
	"context"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

var be = binary.BigEndian

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
	all := make([]counter, workers())
	var wg sync.WaitGroup
	for i := range all {
		c := &all[i]
		wg.Go(func() { c.run(ctx, src, stats) })
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
			tables = append(tables, Table{Stat: s, Order: o, N: n, Rows: sum.groups[i].top(o, n, s.Ascending)})
		}
	}
	return tables, sum.totals, err
}

// counter is what one goroutine counts.
type counter struct {
	groups []group
	totals Totals
}

// run counts the flows of blocks until there are no more.
func (c *counter) run(ctx context.Context, src *source, stats []Stat) {
	c.groups = make([]group, len(stats))
	dec := nffile.NewDecoder()
	var fields flow.Set
	for i, s := range stats {
		c.groups[i].init()
		f := s.fields()
		fields[0] |= f[0]
		fields[1] |= f[1]
	}
	dec.Only(fields)
	var b nffile.Block
	for src.next(ctx, &b) {
		err := b.Unpack()
		if err == nil {
			c.count(dec, &b, stats, src.limit)
			err = dec.Err()
		}
		if err != nil {
			src.damaged(err)
		}
	}
}

// count counts the flows of one block.
func (c *counter) count(dec *nffile.Decoder, b *nffile.Block, stats []Stat, limit Window) {
	c.totals.BytesRead += uint64(b.Size())
	all := limit.isZero()
	for dec.Next(b) {
		r := dec.Record()
		c.totals.Read++
		if !all && !limit.has(r) {
			continue
		}
		c.totals.add(r)
		for i := range stats {
			s := &stats[i]
			var k, second Key
			if s.ByProto || s.Element == Proto {
				k.proto, k.Known = r.Proto, true
				second.proto, second.Known = r.Proto, true
			}
			n := s.Element.keys(r, &k, &second)
			c.groups[i].count(k, r)
			if n == 2 {
				c.groups[i].count(second, r)
			}
		}
	}
	for i := range c.groups {
		c.groups[i].flush()
	}
}

// merge adds what another goroutine counted.
func (c *counter) merge(o *counter) {
	c.totals.merge(&o.totals)
	for i := range c.groups {
		for j := range o.groups[i].rows {
			r := &o.groups[i].rows[j]
			c.groups[i].row(r.Key).merge(r)
		}
	}
}

// add counts a flow.
func (r *Row) add(f *flow.Record) {
	first, last := f.First.Milli(), f.Last.Milli()
	if r.Flows == 0 && r.Last == 0 || first < r.First {
		r.First = first
	}
	r.Last = max(r.Last, last)
	r.Flows += flowsOf(f)
	r.InPackets += f.Packets
	r.InBytes += f.Bytes
	r.OutPackets += f.RevPackets
	r.OutBytes += f.RevBytes
}

// merge adds the sums of o.
func (r *Row) merge(o *Row) {
	if r.Flows == 0 && r.Last == 0 || o.First < r.First {
		r.First = o.First
	}
	r.Last = max(r.Last, o.Last)
	r.Flows += o.Flows
	r.InPackets += o.InPackets
	r.InBytes += o.InBytes
	r.OutPackets += o.OutPackets
	r.OutBytes += o.OutBytes
}

// group is a hash table of rows. The index holds positions in rows, plus one; its
// size is a power of two and at least twice the number of rows. The hash is
// seeded: addresses in flows can be chosen by an attacker.
type group struct {
	rows  []Row
	index []uint32
	seed  uint64

	waiting []Row // flows to be counted, with their keys
	touched uint64
}

// Tables of more than largeTable rows do not fit into a processor's cache. Then
// flows wait until there are maxWaiting of them: looked up together, their cache
// misses overlap.
const (
	largeTable = 2048
	maxWaiting = 64
)

// count counts a flow with key k, at the latest with the next flush.
func (g *group) count(k Key, r *flow.Record) {
	if len(g.rows) < largeTable {
		g.row(k).add(r)
		return
	}
	g.waiting = append(g.waiting, Row{Key: k})
	g.waiting[len(g.waiting)-1].add(r)
	if len(g.waiting) == maxWaiting {
		g.flush()
	}
}

// flush counts the flows that wait.
func (g *group) flush() {
	var at [maxWaiting]uint32
	for i := range g.waiting {
		at[i] = g.index[g.slot(&g.waiting[i].Key)]
	}
	var touched uint64
	for i := range g.waiting {
		if at[i] != 0 {
			touched ^= g.rows[at[i]-1].lo
		}
	}
	g.touched = touched // the loads above must not be optimised away
	for i := range g.waiting {
		g.row(g.waiting[i].Key).merge(&g.waiting[i])
	}
	g.waiting = g.waiting[:0]
}

func (g *group) init() {
	g.index = make([]uint32, 1024)
	g.waiting = make([]Row, 0, maxWaiting)
	g.seed = rand.Uint64()
}

// slot returns where the search for k begins.
func (g *group) slot(k *Key) int {
	hi, lo := bits.Mul64(k.hi^g.seed, k.lo^uint64(k.proto)<<56^0x9E3779B97F4A7C15)
	hi, lo = bits.Mul64(hi^lo^k.lo, g.seed|1)
	return int((hi ^ lo) & uint64(len(g.index)-1))
}

// row returns the row of k, a new one when there is none. It is valid until the
// next call.
func (g *group) row(k Key) *Row {
	mask := len(g.index) - 1
	i := g.slot(&k)
	for ; g.index[i] != 0; i = (i + 1) & mask {
		if r := &g.rows[g.index[i]-1]; r.lo == k.lo && r.hi == k.hi && r.proto == k.proto {
			return r
		}
	}
	g.rows = append(g.rows, Row{Key: k})
	g.index[i] = uint32(len(g.rows))
	if 2*len(g.rows) > len(g.index) {
		g.grow()
	}
	return &g.rows[len(g.rows)-1]
}

// grow doubles the index.
func (g *group) grow() {
	g.index = make([]uint32, 2*len(g.index))
	mask := len(g.index) - 1
	for n := range g.rows {
		i := g.slot(&g.rows[n].Key)
		for g.index[i] != 0 {
			i = (i + 1) & mask
		}
		g.index[i] = uint32(n + 1)
	}
}

// top returns the first n rows in an order, all when n is 0.
func (g *group) top(o Order, n int, ascending bool) []Row {
	type ranked struct {
		value uint64
		row   *Row
	}
	compare := func(a, b ranked) int {
		c := cmp.Compare(b.value, a.value)
		if ascending {
			c = -c
		}
		if c == 0 {
			c = compareKeys(&a.row.Key, &b.row.Key)
		}
		return c
	}
	if n <= 0 || n > len(g.rows) {
		n = len(g.rows)
	}
	// The first n are kept, unsorted beyond twice that, and cut back when full.
	best := make([]ranked, 0, 2*n)
	for i := range g.rows {
		best = append(best, ranked{g.rows[i].value(o), &g.rows[i]})
		if len(best) == cap(best) && len(best) > n {
			slices.SortFunc(best, compare)
			best = best[:n]
		}
	}
	slices.SortFunc(best, compare)
	rows := make([]Row, 0, n)
	for _, b := range best[:min(n, len(best))] {
		rows = append(rows, *b.row)
	}
	return rows
}

// compareKeys orders keys by value, then by protocol.
func compareKeys(a, b *Key) int {
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo), cmp.Compare(a.proto, b.proto))
}
