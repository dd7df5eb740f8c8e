package query

import (
	"cmp"
	"iter"
	"slices"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/aggregate"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// The words of a row that are the group's own.
const (
	// ownPlace is that of the first flow, above ownPlaceBits. Below are its nffile.SixSet,
	// and bit 0, which is set where it goes from the key's destination to its source.
	ownPlace = iota

	// ownMore is where its first flow is on a shelf; or the bits of its source's network,
	// and from bit 8 its destination's.
	ownMore
)

// ownPlaceBits are those of the first word below the place.
const ownPlaceBits = 1 + nffile.SixBits

// groups sums flows up by the keys of an Aggregation.
type groups struct {
	aggregation *Aggregation
	table       *aggregate.Table
	plan        []keyPlan
	words       int // of a key
	numbers     int // the first of them that has numbers
	nets        bool
	masks       [2]int // columns of the bits of networks
	country     *countries
	systems     *systems // nil where flows are as they are

	shelves
	series *series // the sums are by slots too; nil without
	keys   [aggregate.Batch * maxWords]uint64
	turned [aggregate.Batch]bool
	cells  [aggregate.Batch]aggregate.Cell
}

// maxWords bounds the words of a key: an address has two.
const maxWords = 2 * maxKeys

// keyPlan says where a key is, in what is read and in a table.
type keyPlan struct {
	column  nffile.Column
	value   int // of the batch
	word    int
	address bool
	country bool // the number is that of the address's country
	system  bool // it is that of an autonomous system
	end     int  // of the batch, the address of which that is
	shift   uint // of a number in its word

	// Of an address: what of it counts.
	mask4, mask6 flow.Value
	fold4, fold6 bool // all of the family are the same
	bits         int  // as many as this value of the batch says, where net is set
	net          bool
}

// bitsOf are the bits of a number.
func (p *keyPlan) bitsOf() int {
	if p.country {
		return countryBits
	}
	return p.column.Bits()
}

// newGroups prepares for an aggregation, whose columns it adds to those that are read.
func (in Input) newGroups(a *Aggregation, columns *[]nffile.Column, memory int) *groups {
	g := planGroups(a, columns)
	g.country.of = in.Country
	if g.systems = newSystems(in.AS); g.systems != nil {
		g.planSystems(columns)
	}
	g.makeTable(memory)
	return g
}

// planGroups says where the keys of an aggregation are, and adds its columns.
func planGroups(a *Aggregation, columns *[]nffile.Column) *groups {
	g := &groups{aggregation: a, country: newCountries(nil)}
	for i := range a.Keys {
		g.planKey(&a.Keys[i], columns)
	}
	used := 64 // bits of the last word
	for i := range g.plan {
		p := &g.plan[i]
		if !p.address {
			continue
		}
		p.word = g.words
		g.words += 2
	}
	g.numbers = g.words
	for i := range g.plan {
		p := &g.plan[i]
		if p.address {
			continue
		}
		if used+p.bitsOf() > 64 {
			g.words, used = g.words+1, 0
		}
		p.word, p.shift = g.words-1, uint(used)
		used += p.bitsOf()
	}
	if g.nets {
		g.masks = [2]int{columnIn(columns, nffile.Column(flow.SrcMask)), columnIn(columns, nffile.Column(flow.DstMask))}
	}
	return g
}

// planSystems says where the addresses are whose systems are keys.
func (g *groups) planSystems(columns *[]nffile.Column) {
	for i := range g.plan {
		p := &g.plan[i]
		var end nffile.Column
		if end, p.system = endOf(p.column); p.system {
			p.end = columnIn(columns, end)
		}
	}
}

// makeTable makes the table of the groups.
func (g *groups) makeTable(memory int) {
	o := aggregate.Options{Words: g.words, Own: ownMore, Joined: joinFirst}
	more := 0
	if g.aggregation.Whole || g.nets {
		o.Own++
	}
	if g.aggregation.Whole {
		more = flowSize
	}
	if g.series != nil {
		g.series.list = o.Own
		o.Own += ownList
		o.Joined = g.series.join
	}
	o.Bound = boundOf(memory, o, more)
	g.table = aggregate.New(o)
}

// flowSize is about what a flow on a shelf takes, in bytes.
const flowSize = 200

// planKey adds a key, or to that of the same column the length for the other family.
func (g *groups) planKey(k *AggregationKey, columns *[]nffile.Column) {
	i := slices.IndexFunc(g.plan, func(p keyPlan) bool { return p.column == k.Column && p.country == k.Country })
	if i < 0 {
		i = len(g.plan)
		p := keyPlan{column: k.Column, value: columnIn(columns, k.Column), country: k.Country, net: k.Net,
			address: k.Column.IsAddr() && !k.Country}
		p.mask4, p.mask6 = flow.Mask4(32), flow.Mask6(128)
		p.fold4, p.fold6 = k.Family == 6, k.Family == 4
		g.plan = append(g.plan, p)
	}
	p := &g.plan[i]
	switch {
	case k.Net:
		g.nets = true
		field := flow.SrcMask
		if k.Column == nffile.Column(flow.Dst) {
			field = flow.DstMask
		}
		p.bits = columnIn(columns, nffile.Column(field))
	case k.Family == 4:
		p.mask4, p.fold4 = flow.Mask4(int(k.Bits)), false
		if g.aggregation.Mapped && p.fold6 {
			p.mask6, p.fold6 = flow.Mask6(96+int(k.Bits)), false
		}
	case k.Family == 6:
		p.mask6, p.fold6 = flow.Mask6(int(k.Bits)), false
		if g.aggregation.Mapped && p.fold4 {
			p.mask4, p.fold4 = flow.Mask4(int(k.Bits)-96), false
		}
	}
}

// joinFirst makes the place of the earlier flow that of a row that two tables had.
func joinFirst(into, from []uint64) {
	if into[ownPlace] == 0 || from[ownPlace] < into[ownPlace] {
		copy(into, from)
	}
}

// key writes the key of a flow.
func (g *groups) key(f *nffile.Brief, key []uint64) {
	clear(key[g.numbers:])
	for i := range g.plan {
		p := &g.plan[i]
		v := f.Values[p.value]
		switch {
		case p.country:
			v.Lo = g.country.number(v)
		case p.system:
			v.Lo = g.systems.number(v, f.Values[p.end])
		}
		if !p.address {
			key[p.word] |= v.Lo << p.shift
			continue
		}
		v = p.cut(v, f)
		key[p.word], key[p.word+1] = v.Hi, v.Lo
	}
}

// cut returns what of an address counts.
func (p *keyPlan) cut(v flow.Value, f *nffile.Brief) flow.Value {
	mask, is4 := p.mask6, v.Hi == 0 && v.Lo>>32 == 0xffff
	switch {
	case is4 && p.fold4:
		return flow.Value{Lo: flow.Mapped4}
	case !is4 && p.fold6:
		return flow.Value{}
	case p.net && f.Values[p.bits].Lo == 0: // the flow does not say
	case p.net && is4:
		mask = flow.Mask4(int(f.Values[p.bits].Lo))
	case p.net:
		mask = flow.Mask6(int(f.Values[p.bits].Lo))
	case is4:
		mask = p.mask4
	}
	return flow.Value{Hi: v.Hi & mask.Hi, Lo: v.Lo & mask.Lo}
}

// turn makes the key of a connection that of both of its directions, and says whether
// it has turned it.
func turn(key []uint64) bool {
	const portBits, ports = 16, 1<<16 - 1
	proto, src, dst := uint8(key[4]), key[4]>>8&ports, key[4]>>(8+portBits)&ports
	if proto != 6 && proto != 17 {
		return false
	}
	if cmp.Or(slices.Compare(key[:2], key[2:4]), cmp.Compare(src, dst)) <= 0 {
		return false
	}
	key[0], key[1], key[2], key[3] = key[2], key[3], key[0], key[1]
	key[4] = uint64(proto) | dst<<8 | src<<(8+portBits)
	return true
}

// addBatch counts the flows of a batch.
func (g *groups) addBatch(b *batch) {
	if g.series != nil {
		g.series.count(b)
		return
	}
	n, w := b.n, g.words
	keys, cells := g.keys[:n*w], g.cells[:n]
	for i := range n {
		key := keys[i*w : (i+1)*w]
		g.key(&b.flows[i], key)
		g.turned[i] = g.aggregation.Bidirectional && turn(key)
	}
	g.table.Locate(keys, cells)
	for i, c := range cells {
		f := &b.flows[i]
		if c.IsNew() {
			g.note(c, b, i)
		}
		packets, bytes, revPackets, revBytes := f.Packets, f.Bytes, f.RevPackets, f.RevBytes
		if g.turned[i] {
			packets, bytes, revPackets, revBytes = revPackets, revBytes, packets, bytes
			c.AddReverseFlags(f.TCPFlags)
		} else {
			c.AddFlags(f.TCPFlags)
		}
		c.Add(f.First, f.Last, f.Flows, packets, bytes)
		if revPackets|revBytes != 0 {
			g.table.AddReverse(c, keys[i*w:(i+1)*w], revPackets, revBytes)
		}
	}
}

// note keeps what only the first flow of a row tells.
func (g *groups) note(c aggregate.Cell, b *batch, i int) {
	own := g.table.Own(c)
	own[ownPlace] = b.place(i)<<ownPlaceBits | uint64(b.flows[i].Six)<<1
	if g.turned[i] {
		own[ownPlace]++
	}
	if g.aggregation.Whole {
		own[ownMore] = g.put(b, i)
	} else if g.nets {
		f := &b.flows[i]
		own[ownMore] = f.Values[g.masks[0]].Lo | f.Values[g.masks[1]].Lo<<8
	}
}

// merge adds what another goroutine has counted.
func (g *groups) merge(o *groups) {
	if g.series != nil {
		g.series.merge(o.series)
		return
	}
	g.table.Merge(o.table)
	g.all = append(g.all, o.all...)
}

// each calls fn for the rows: the first n that post matches, all when n is 0, in an order,
// or without one in that in which their first flows were read.
func (g *groups) each(s *Sort, n int, post *nffilter.Filter, fn func(*Flow) error) error {
	var entries []entry
	if n > 0 && post == nil { // no memory for the others
		entries = firstOf(g.entries(s), n, func(a, b entry) int { return s.compare(&a, &b) })
	} else {
		entries = slices.AppendSeq(make([]entry, 0, g.table.Len()), g.entries(s))
	}
	get := func(ref uint64, f *Flow) { g.flow(aggregate.Ref(ref), f) }
	systems := g.systems
	if !g.aggregation.Whole { // addresses may be masked, and what AS the flows tell is not known
		systems = nil
	}
	return handOut(ordered(entries, s, n, post != nil), get, systems, n, post, fn)
}

// entries returns what sorts the rows, of which each has one.
func (g *groups) entries(s *Sort) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		for ref := range g.table.Rows() {
			r := g.table.Row(ref)
			e := entry{place: r.Own[ownPlace], ref: uint64(ref)}
			if s != nil {
				e.value = g.value(&r, s.By)
			}
			if !yield(e) {
				return
			}
		}
	}
}

// value returns what a row is sorted by.
func (g *groups) value(r *aggregate.Row, by Order) uint64 {
	row := Row{First: r.First, Last: r.Last, Flows: r.Flows, InPackets: r.Packets, InBytes: r.Bytes,
		OutPackets: r.RevPackets, OutBytes: r.RevBytes}
	if r.Own[ownPlace]&1 != 0 {
		row.InPackets, row.InBytes, row.OutPackets, row.OutBytes = row.OutPackets, row.OutBytes, row.InPackets,
			row.InBytes
	}
	return row.value(by)
}

// flow makes f the flow of a row.
func (g *groups) flow(ref aggregate.Ref, f *Flow) {
	row := g.table.Row(ref)
	r := f.Record
	turned := row.Own[ownPlace]&1 != 0
	if g.aggregation.Whole {
		g.get(row.Own[ownMore], f)
	} else {
		r.Reset()
		*f.Extra = nffile.Extra{}
		f.Empty6 = nffile.SixSet(row.Own[ownPlace] >> 1 & (1<<nffile.SixBits - 1)).Fields()
		if g.nets {
			r.SrcMask, r.DstMask = uint8(row.Own[ownMore]), uint8(row.Own[ownMore]>>8)
		}
	}
	if !g.aggregation.Bidirectional {
		g.setKeys(row.Key, f)
	}
	r.First, r.Last, r.Flows = flow.Milli(row.First), flow.Milli(row.Last), row.Flows
	r.Packets, r.Bytes, r.RevPackets, r.RevBytes = row.Packets, row.Bytes, row.RevPackets, row.RevBytes
	flags := row.Flags
	if turned {
		r.Packets, r.Bytes, r.RevPackets, r.RevBytes = r.RevPackets, r.RevBytes, r.Packets, r.Bytes
		flags = row.RevFlags
	}
	if g.aggregation.Whole {
		r.TCPFlags = uint16(flags)
	}
	r.Present = r.Present.Union(sumFields)
	if g.aggregation.Client && fromServer(r) {
		r.Turn()
	}
}

// sumFields are the fields that every row has.
var sumFields = flow.SetOf(flow.FirstSeen, flow.LastSeen, flow.Flows, flow.Packets, flow.Bytes, flow.RevPackets,
	flow.RevBytes)

// fromServer says whether a connection goes from the port of a service, for nfdump's -B: the
// source's is of a lower kind than the destination's.
func fromServer(r *flow.Record) bool {
	return (r.Proto == 6 || r.Proto == 17) && portKind(r.SrcPort) < portKind(r.DstPort)
}

// portKind returns the kind of a port: of the system (RFC 6335, section 6), of a service that
// is registered, one that Linux takes for clients, or a dynamic one, which nobody can register.
func portKind(port uint16) int {
	const registered, clients, dynamic = 1024, 32768, 49152 // where each begins
	switch {
	case port < registered:
		return 0
	case port < clients:
		return 1
	case port < dynamic:
		return 2
	}
	return 3
}

// setKeys sets what the keys of a row say.
func (g *groups) setKeys(key []uint64, f *Flow) {
	for i := range g.plan {
		p := &g.plan[i]
		v := flow.Value{Lo: key[p.word] >> p.shift & (1<<p.bitsOf() - 1)}
		switch {
		case p.address:
			v = flow.Value{Hi: key[p.word], Lo: key[p.word+1]}
		case p.country && p.column == nffile.Column(flow.Src):
			f.SrcCountry = countryOf(v.Lo)
			continue
		case p.country:
			f.DstCountry = countryOf(v.Lo)
			continue
		}
		p.column.Set(f.Record, f.Extra, v)
	}
}
