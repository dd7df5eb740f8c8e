package query

import (
	"cmp"
	"slices"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/aggregate"
)

// count counts at most aggregate.Batch flows by their values in a column.
func count(t *aggregate.Table, flows []nffile.Brief, column int, byProto bool) {
	var keys [aggregate.Batch]aggregate.Key
	var cells [aggregate.Batch]*aggregate.Cell
	for i := range flows {
		keys[i].Value = flows[i].Values[column]
		if byProto {
			keys[i].Proto, keys[i].Known = flows[i].Proto, true
		}
	}
	t.Locate(keys[:len(flows)], cells[:len(flows)])
	for i, c := range cells[:len(flows)] {
		f := &flows[i]
		c.Add(f.First, f.Last, f.Flows, f.Packets, f.Bytes)
		if f.RevPackets|f.RevBytes != 0 {
			t.AddReverse(c, f.RevPackets, f.RevBytes)
		}
	}
}

// rowOf returns row i of a table.
func rowOf(t *aggregate.Table, i int) Row {
	r := t.Row(i)
	return Row{Key: Key{r.Value, r.Proto, r.Known}, First: r.First, Last: r.Last, Flows: r.Flows,
		InPackets: r.Packets, InBytes: r.Bytes, OutPackets: r.RevPackets, OutBytes: r.RevBytes}
}

// top returns the first n rows in an order, all when n is 0.
func top(t *aggregate.Table, o Order, n int, ascending bool) []Row {
	type ranked struct {
		value uint64
		row   int
	}
	compare := func(a, b ranked) int {
		c := cmp.Compare(b.value, a.value)
		if ascending {
			c = -c
		}
		if c == 0 {
			c = t.Compare(a.row, b.row)
		}
		return c
	}
	if n <= 0 || n > t.Len() {
		n = t.Len()
	}
	// The first n are kept, unsorted beyond twice that, and cut back when full: what
	// comes behind them then is passed over.
	best, full := make([]ranked, 0, 2*n), false
	for i := range t.Len() {
		r := rowOf(t, i)
		next := ranked{r.value(o), i}
		if full && compare(next, best[n-1]) > 0 {
			continue
		}
		best = append(best, next)
		if len(best) == 2*n {
			slices.SortFunc(best, compare)
			best, full = best[:n], true
		}
	}
	slices.SortFunc(best, compare)
	rows := make([]Row, 0, n)
	for _, b := range best[:min(n, len(best))] {
		rows = append(rows, rowOf(t, b.row))
	}
	return rows
}
