package ipfix

import (
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
)

// op is what a step does with the bytes of an element.
type op uint8

const (
	opNone op = iota // nothing, or only the copy to Extra

	// The value becomes that of the step's field. Where a template has several elements for one
	// field, as both families of an address, all but one only count where the field is zero so far.
	opNumber
	opNumberElse
	opAddr
	opAddrElse
	opOctets
	opOctetsElse
	opHigh // the upper byte
	opLow
	opItem
	opInner // of the flow inside a tunnel

	// Fields with a rule of their own.
	opTCPFlags
	opRate

	// Times, by the form that they have.
	opSeconds
	opMilliseconds
	opNTP
	opBefore
	opUptime
	opBoot // the start of the exporter
	opDuration
	opDurationMicro
	lastSlow
)

// noField is the field of ops that set none, or not always.
const noField = flow.Field(flow.NumFields)

// formOps are the ops of the forms that have one of their own.
var formOps = [...]op{
	flow.FormHigh: opHigh, flow.FormLow: opLow, flow.FormItem: opItem, flow.FormInner: opInner,
	flow.FormSeconds: opSeconds, flow.FormMilliseconds: opMilliseconds, flow.FormNTP: opNTP,
	flow.FormBefore: opBefore, flow.FormUptime: opUptime,
}

// opOf returns the op by which an element fills a field.
func opOf(u *flow.Use) op {
	if o := formOps[u.Form]; o != opNone {
		return o
	}
	switch u.Field {
	case flow.TCPFlags:
		return opTCPFlags
	case flow.SamplingRate:
		return opRate
	case flow.ICMP: // by whichever element the flow has
		return opNumberElse
	}
	switch u.Field.Describe().Kind {
	case flow.KindAddress:
		return opAddr
	case flow.KindMAC, flow.KindText, flow.KindOctets:
		return opOctets
	}
	return opNumber
}

// orElse returns the op for a further element of a field.
func (o op) orElse() op {
	switch o {
	case opNumber, opAddr, opOctets:
		return o + 1
	}
	return o
}

// isElse says whether o counts only where its field is zero so far.
func (o op) isElse() bool { return o == opNumberElse || o == opAddrElse || o == opOctetsElse }

// clocks are the elements of times that are no field's: the exporter's start, and how
// long a flow took, which tells the end that is not told otherwise.
var clocks = [...]struct {
	id uint16
	op op
}{
	{ie.SystemInitTimeMilliseconds, opBoot},
	{ie.FlowDurationMilliseconds, opDuration},
	{ie.FlowDurationMicroseconds, opDurationMicro},
}

// fit says whether n bytes can be the value of an element that is used so, and whether
// nothing of them is lost.
func fit(u *flow.Use, n int) (ok, lossless bool) {
	d := u.Field.Describe()
	size := int(d.Size)
	switch d.Kind {
	case flow.KindAddress:
		return n == 4 || n == 16, true
	case flow.KindMAC, flow.KindLabel:
		return n == size, true
	case flow.KindText, flow.KindOctets:
		return size == 0 || n == size, true
	}
	if u.Form == flow.FormHigh || u.Form == flow.FormLow {
		size = 1
	}
	return n >= 1 && n <= 8, n <= size || u.Field == noField
}

// fits says whether a field of a template can be the value of an element that is used
// so, or may be, where its length varies.
func (f FieldSpec) fits(u *flow.Use) bool {
	ok, _ := fit(u, int(f.Length))
	return ok || f.Length == Variable
}

// move is what the template says of one operation on one field. One field may
// have several.
type move struct {
	use   flow.Use
	op    op
	nth   uint8 // of the same element in the template
	extra bool  // copy the field to Extra
}

// step is one operation on the bytes of a record, as the loop executes it.
type step struct {
	op    op
	n     uint8 // length of the field in bytes
	field flow.Field
	index uint8     // of an item
	off   uint16    // of the field in the record
	more  [5]uint16 // offsets of the other fields of a fused operation
}

// maxStep is the longest field that a step can work on; longer ones only go to
// Extra.
const maxStep = 255

// keep is a field of a record that goes to Extra.
type keep struct {
	pen      uint32
	id       uint16
	off, end uint16
	nth      uint8
}

// segment is a run of fields of fixed size, and one of variable size behind it.
// Offsets count from the start of the segment.
type segment struct {
	steps []step
	keeps []keep
	size  int    // of the fields of fixed size, in bytes
	tail  []move // of the field of variable size; none in the last segment
}

// plan is what a template is compiled to.
type plan struct {
	totals   flow.Set // the counters that count from the begin of the flow
	segments []segment
	present  flow.Set // of the fields of fixed size
	uptime   bool     // first or last count from the start of the exporter
	boot     bool     // the start of the exporter is told
	hasICMP  bool
	tunnel   bool     // a flow inside another: see tunnel.go
	once     flow.Set // of tunnel: the inner header's that come once
	event    bool     // state changes of a firewall or an address translator
	section  bool     // first bytes of a packet (see section.go)
	lists    bool     // structured data (see lists.go)
	selects  bool     // how the flow was selected

	// steady says that a record of the template sets the same fields as the one
	// before it, so that Next need not start from Base.
	steady bool
}

// place is where an element's value goes: a field, or an item of it.
type place struct {
	field flow.Field
	index uint8
	inner bool // of the flow inside a tunnel
}

// placeOf returns where an element goes that is used so.
func placeOf(u *flow.Use) place { return place{u.Field, u.Index, u.Form == flow.FormInner} }

// compiler is the state of one compilation.
type compiler struct {
	fields []FieldSpec
	v9     bool          // they are of NetFlow v9
	nth    []int         // of each field: how many of the same element stand before it
	inner  []bool        // of each field: it is of the flow inside a tunnel
	mains  map[place]int // the field of the template that fills a place, whatever was there
}

// key is an element as a map key.
func key(pen uint32, id uint16) uint64 { return uint64(pen)<<16 | uint64(id) }

// newCompiler returns a compiler for the fields of a template.
func newCompiler(fields []FieldSpec, v9 bool) *compiler {
	c := &compiler{fields: fields, v9: v9, nth: make([]int, len(fields)), mains: map[place]int{}}
	seen := make(map[uint64]int, len(fields))
	for i, f := range fields {
		c.nth[i] = seen[key(f.PEN, f.ID)]
		seen[key(f.PEN, f.ID)]++
	}
	c.inner = innerFields(fields, c.nth)
	for i := range fields {
		c.main(i)
	}
	return c
}

// compile turns fields into steps. Padding is left out.
func compile(fields []FieldSpec, v9 bool) plan {
	c := newCompiler(fields, v9)
	moves := make([][]move, len(fields))
	var p plan
	for i, f := range fields {
		if f.PEN == 0 && f.ID == ie.PaddingOctets {
			continue
		}
		p.section = p.section || isSection(f)
		p.lists = p.lists || isList(f)
		p.selects = p.selects || selects(f)
		moves[i] = c.moves(i)
		for _, m := range moves[i] {
			p.note(&m)
		}
	}
	if p.hasICMP {
		keepDstPort(moves)
	}
	p.once = c.sentOnce()
	p.totals = c.totals()
	p.divide(fields, moves)
	p.steady = !p.section && !p.tunnel && !p.lists && p.steadyTails()
	return p
}

// uses returns the fields of a record that a field of the template fills. Of an element
// that comes again only a label, which is that below, or one of the inner flow fills any.
func (c *compiler) uses(i int) []flow.Use {
	uses := flow.Uses(c.fields[i].PEN, c.fields[i].ID)
	switch {
	case c.inner[i]:
		u := uses[0]
		u.Form, u.Keep = flow.FormInner, false
		return []flow.Use{u}
	case len(uses) == 1 && uses[0].Form == flow.FormV9 && !c.v9:
		return nil
	case c.nth[i] == 0:
		return uses
	case len(uses) == 1 && uses[0].Field == flow.MPLS:
		u := uses[0]
		u.Index += uint8(min(c.nth[i], 100))
		if int(u.Index) < len(flow.Record{}.MPLS) {
			return []flow.Use{u}
		}
	}
	return nil
}

// main notes for which places a field of the template is the main one: of fields that
// only one element can fill, the preferred one there is; of all others the first whose
// bytes the field tells wholly, else the first.
func (c *compiler) main(i int) {
	for _, u := range c.uses(i) {
		if !c.fields[i].fits(&u) {
			continue
		}
		at := placeOf(&u)
		if before, taken := c.mains[at]; !taken || c.better(&u, before, at) {
			c.mains[at] = i
		}
	}
}

// Counters are the fields that count a flow's packets and octets.
var Counters = [...]flow.Field{flow.Bytes, flow.Packets, flow.RevBytes, flow.RevPackets, flow.OutBytes, flow.OutPackets}

// totals returns the counters that are running totals.
func (c *compiler) totals() (set flow.Set) {
	for _, f := range Counters {
		if i, ok := c.mains[place{field: f}]; ok && isTotal(c.fields[i]) {
			set.Add(f)
		}
	}
	return set
}

// isTotal says whether an element counts from the begin of a flow.
func isTotal(f FieldSpec) bool {
	switch f.PEN {
	case 0, ie.ReversePEN:
		switch f.ID {
		case ie.OctetTotalCount, ie.PacketTotalCount, ie.PostOctetTotalCount, ie.PostPacketTotalCount,
			ie.Layer2OctetTotalCount, ie.Layer2FrameTotalCount:
			return true
		}
	case ie.CERTPEN:
		return f.ID == ie.CERTReverseOctetTotalCount || f.ID == ie.CERTReversePacketTotalCount
	}
	return false
}

// better says whether an element is rather the main one of a place than the field of
// the template that was so far.
func (c *compiler) better(u *flow.Use, before int, at place) bool {
	uses := c.uses(before)
	old := &uses[slices.IndexFunc(uses, func(u flow.Use) bool { return placeOf(&u) == at })]
	if u.Field.Describe().One {
		return u.Rank < old.Rank
	}
	return old.Keep && !u.Keep
}

// moves returns the moves for one field, at least one. The last one says
// whether the field goes to Extra.
func (c *compiler) moves(i int) []move {
	f := c.fields[i]
	var list []move
	extra := true
	nth := uint8(min(c.nth[i], 255))
	add := func(u *flow.Use, o op) {
		if f.fits(u) {
			extra = extra && u.Keep
			list = append(list, move{use: *u, op: o, nth: nth})
		}
	}
	for _, u := range c.uses(i) {
		o := opOf(&u)
		main, taken := c.mains[placeOf(&u)]
		switch {
		case !taken || main == i:
		case u.Field.Describe().One:
			continue
		default:
			o = o.orElse()
		}
		add(&u, o)
	}
	for _, clock := range clocks {
		if f.PEN == 0 && f.ID == clock.id && nth == 0 {
			add(&flow.Use{ID: f.ID, Field: noField, Keep: true}, clock.op)
		}
	}
	if len(list) == 0 {
		list = append(list, move{use: flow.Use{PEN: f.PEN, ID: f.ID, Field: noField}, nth: nth})
	}
	list[len(list)-1].extra = extra
	return list
}

// note keeps what the whole plan must know of a move.
func (p *plan) note(m *move) {
	switch {
	case m.op == opUptime:
		p.uptime = true
	case m.op == opBoot:
		p.boot = true
	case m.op == opInner && m.use.Field.Describe().Kind == flow.KindAddress:
		p.tunnel = true
	case m.use.Field == flow.ICMP:
		p.hasICMP = true
	case m.use.Field == flow.FwEvent || m.use.Field == flow.NATEvent:
		p.event = true
	}
}

// keepDstPort keeps the destination port as sent: in the record, ICMP's type and
// code take its place.
func keepDstPort(moves [][]move) {
	for _, list := range moves {
		for i := range list {
			if list[i].use.Field == flow.DstPort && list[i].op == opNumber {
				list[i].extra = true
			}
		}
	}
}

// steadyTails says whether what fields of variable size set does not depend on
// their size: they go to Extra, or are octets.
func (p *plan) steadyTails() bool {
	for i := range p.segments {
		for _, m := range p.segments[i].tail {
			if m.op != opNone && !m.anySize() {
				return false
			}
		}
	}
	return true
}

// anySize says whether a field of any size fits a move, as none does where there are
// no bytes.
func (m *move) anySize() bool {
	return (m.op == opOctets || m.op == opOctetsElse) && m.use.Field.Describe().Size == 0
}

// present returns the field that a move makes present; times are so by their values.
func (m *move) present() flow.Field {
	switch {
	case m.op == opInner, m.use.Field == flow.FirstSeen, m.use.Field == flow.LastSeen:
		return noField
	}
	return m.use.Field
}

// divide lays the fields out in segments.
func (p *plan) divide(fields []FieldSpec, moves [][]move) {
	var s segment
	for i, f := range fields {
		if f.Length == Variable {
			s.tail = moves[i]
			if s.tail == nil {
				s.tail = []move{}
			}
			p.segments = append(p.segments, s)
			s = segment{}
			continue
		}
		for _, m := range moves[i] {
			s.place(&m, s.size, int(f.Length), &p.present)
		}
		s.size += int(f.Length)
	}
	p.segments = append(p.segments, s)
	for i := range p.segments {
		p.segments[i].steps = fuse(p.segments[i].steps)
	}
}

// place appends what one move does with a field of n bytes at off.
func (s *segment) place(m *move, off, n int, present *flow.Set) {
	fits, lossless := fit(&m.use, n)
	lossless = lossless || m.op == opInner
	if m.op != opNone && fits && n <= maxStep {
		o := fast(m.op, m.use.Field, n)
		s.steps = append(s.steps, step{op: o, n: uint8(n), field: m.use.Field, index: m.use.Index, off: uint16(off)})
		if f := m.present(); f != noField {
			present.Add(f)
		}
	} else if m.op != opNone {
		lossless = false
	}
	if m.extra || m.op != opNone && !lossless {
		s.keeps = append(s.keeps, keep{pen: m.use.PEN, id: m.use.ID, off: uint16(off), end: uint16(off + n),
			nth: m.nth})
	}
}
