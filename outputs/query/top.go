package query

import (
	"context"
	"math/bits"
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
	case ByFirst:
		return r.First
	case ByLast:
		return r.Last
	case ByDuration:
		return r.Duration()
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
	N     int   // rows asked for, 0 is all
	Rows  []Row // of all elements but Record

	groups *groups // of Record
}

// Each calls fn for each row of a table of Record, as Input.Rows does.
func (t *Table) Each(fn func(*Flow) error) error {
	if t.groups == nil {
		return nil
	}
	sort := Sort{By: t.Order, Ascending: t.Stat.Ascending || t.Order == ByFirst || t.Order == ByLast}
	return t.groups.each(&sort, t.N, nil, fn)
}

// Top is Input.Top for all flows of the files.
func Top(ctx context.Context, files []string, stats []Stat, n int) ([]Table, Totals, error) {
	return Input{Files: files}.Top(ctx, stats, n)
}

// Top counts all flows of the input by the elements of stats and returns a table
// for each statistic and order, with the first n rows, all when n is 0. Rows of equal
// value come in the order of their keys. Sums are exact, unless Input.Memory does not
// suffice: see Totals.Rest.
//
// Files are read with as many goroutines as there are processors. The error joins
// what was wrong with files; the tables hold all that could be read.
func (in Input) Top(ctx context.Context, stats []Stat, n int) ([]Table, Totals, error) {
	sum, totals, err := in.count(ctx, stats, nil)
	return tablesOf(sum, stats, n), totals, err
}

// tablesOf returns the tables of what has been counted for statistics.
func tablesOf(sum *counter, stats []Stat, n int) []Table {
	var tables []Table
	for i, s := range stats {
		for _, o := range s.Orders {
			t := Table{Stat: s, Order: o, N: n}
			if s.Element == Record {
				t.groups = sum.kinds[i].groups
			} else {
				t.Rows = sum.kinds[i].values.top(o, n, s.Ascending)
			}
			tables = append(tables, t)
		}
	}
	return tables
}
