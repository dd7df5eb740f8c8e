package query

import (
	"cmp"
	"net/netip"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/aggregate"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// values counts flows by the values of an element.
type values struct {
	table   *aggregate.Table
	columns []int      // of the batch, that have the values
	address bool       // the values are addresses: two words of a key
	country *countries // the values are those of the addresses; nil of other elements
	systems *systems   // of values that the flows do not tell, nil of other elements
	ends    []int      // columns of the addresses whose systems the values are
	proto   bool       // the protocol is a part of the key, behind it
	words   int
	stat    *Stat

	keys  [3 * aggregate.Batch]uint64
	cells [aggregate.Batch]aggregate.Cell
}

// newValues prepares for a statistic, whose columns it adds to those that are read.
func (in Input) newValues(s *Stat, columns *[]nffile.Column, memory int) *values {
	v := &values{address: s.Element.IsAddr(), proto: s.ByProto || s.Element == Proto, words: 1, stat: s}
	for _, c := range elements[s.Element].columns {
		v.columns = append(v.columns, columnIn(columns, c))
		if end, ok := endOf(c); ok && in.AS != nil {
			v.systems = newSystems(in.AS)
			v.ends = append(v.ends, columnIn(columns, end))
		}
	}
	if v.address {
		v.words++
	}
	if s.Element.Kind() == KindCountry {
		v.country = newCountries(in.Country)
	}
	if v.proto {
		v.words++
	}
	o := aggregate.Options{Words: v.words}
	o.Bound = boundOf(memory, o, 0)
	v.table = aggregate.New(o)
	return v
}

// addBatch counts the flows of a batch.
func (v *values) addBatch(b *batch) {
	cells := &v.cells
	flows := b.flows[:b.n]
	keys := v.keys[:len(flows)*v.words]
	for k, column := range v.columns {
		for i := range flows {
			f, key := &flows[i], keys[i*v.words:(i+1)*v.words]
			if v.address {
				key[0], key = f.Values[column].Hi, key[1:]
			}
			switch key[0] = f.Values[column].Lo; {
			case v.country != nil:
				key[0] = v.country.number(f.Values[column])
			case v.systems != nil:
				key[0] = v.systems.number(f.Values[column], f.Values[v.ends[k]])
			}
			if v.proto {
				key[1] = uint64(f.Proto)
			}
		}
		v.table.Locate(keys, cells[:len(flows)])
		for i, c := range cells[:len(flows)] {
			f := &flows[i]
			c.Add(f.First, f.Last, f.Flows, f.Packets, f.Bytes)
			if f.RevPackets|f.RevBytes != 0 {
				v.table.AddReverse(c, keys[i*v.words:(i+1)*v.words], f.RevPackets, f.RevBytes)
			}
		}
	}
}

// row returns a row of the table.
func (v *values) row(ref aggregate.Ref) Row {
	r := v.table.Row(ref)
	row := Row{First: r.First, Last: r.Last, Flows: r.Flows, InPackets: r.Packets, InBytes: r.Bytes,
		OutPackets: r.RevPackets, OutBytes: r.RevBytes}
	if v.address {
		row.Key.value.Hi, r.Key = r.Key[0], r.Key[1:]
	}
	row.Key.value.Lo = r.Key[0]
	if v.proto {
		row.proto, row.Known = uint8(r.Key[1]), true
	}
	return row
}

// top returns the first n rows in an order, all when n is 0.
func (v *values) top(o Order, n int, ascending bool) []Row {
	type ranked struct {
		value uint64
		row   aggregate.Ref
	}
	compare := func(a, b ranked) int {
		c := cmp.Compare(b.value, a.value)
		if ascending {
			c = -c
		}
		if c == 0 {
			c = v.table.Compare(a.row, b.row)
		}
		return c
	}
	if n <= 0 || n > v.table.Len() {
		n = v.table.Len()
	}
	all := func(yield func(ranked) bool) {
		for ref := range v.table.Rows() {
			r := v.row(ref)
			if packets, bytes := r.Counters(o); !v.stat.Packets.has(packets) || !v.stat.Bytes.has(bytes) {
				continue
			}
			if !yield(ranked{r.value(o), ref}) {
				return
			}
		}
	}
	best := firstOf(all, max(n, 1), compare)
	rows := make([]Row, 0, n)
	for _, b := range best {
		rows = append(rows, v.row(b.row))
	}
	return rows
}

// Key is the value of an element in a row, with the protocol where rows are split
// by it.
type Key struct {
	value flow.Value
	proto uint8
	Known bool // the protocol is part of the key
}

// Proto returns the protocol of the row, false when it is for any.
func (k Key) Proto() (uint8, bool) { return k.proto, k.Known }

// Number returns the value of an element that is a number.
func (k Key) Number() uint64 { return k.value.Lo }

// Country returns the value of an element that is a country, "" where it is not known.
func (k Key) Country() string { return countryOf(k.value.Lo) }

// Addr returns the value of an element that is an address.
func (k Key) Addr() netip.Addr { return k.value.Addr() }
