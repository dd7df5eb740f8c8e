package nffilter

import (
	"bytes"
	"regexp"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// testOp is what a test does.
type testOp uint8

const (
	opTrue testOp = iota
	opNumber
	opNumberIn
	opAddressIn
	opMAC
	opText
	opContains
	opRegexp
	opFlagsAll // all flags of value are set
	opFlagsAny // one of them is
	opInPortBlock
)

type comparison uint8

const (
	_ comparison = iota
	equal
	unequal
	less
	greater
	lessOrEqual
	greaterOrEqual
)

const flowProto = operand(flow.Proto)

// test is one comparison, and in a program where to go on: the number of a test, or
// matched or failed.
type test struct {
	op        testOp
	compare   comparison
	operand   operand
	index     uint8
	yes, no   int32
	value     uint64
	list      []uint64 // sorted
	addresses *addressSet
	text      []byte
	re        *regexp.Regexp
}

// Where a program ends.
const (
	matched int32 = -1
	failed  int32 = -2
)

// noContext is what a flow has of which no Context is given.
var noContext Context

// Match says whether a flow matches. c may be nil.
func (f *Filter) Match(r *flow.Record, c *Context) bool {
	if c == nil {
		c = &noContext
	}
	pc := int32(0)
	for pc >= 0 {
		t := &f.tests[pc]
		if t.matches(r, c) {
			pc = t.yes
		} else {
			pc = t.no
		}
	}
	return pc == matched
}

// matches says whether a flow passes the test.
func (t *test) matches(r *flow.Record, c *Context) bool {
	switch t.op {
	case opTrue:
		return true
	case opNumber:
		v, ok := number(t.operand, t.index, r, c)
		return ok && t.compare.holds(v, t.value)
	case opNumberIn:
		v, ok := number(t.operand, t.index, r, c)
		if !ok {
			return false
		}
		_, ok = slices.BinarySearch(t.list, v)
		return ok
	case opAddressIn:
		return t.addresses.has(r.Addr(flow.Field(t.operand)))
	case opFlagsAll:
		return uint64(r.TCPFlags)&t.value == t.value
	case opFlagsAny:
		return uint64(r.TCPFlags)&t.value != 0
	case opMAC:
		return r.Has(flow.Field(t.operand)) && r.Number(flow.Field(t.operand)) == t.value
	}
	return t.matchesText(r, c)
}

// matchesText is matches for the rarer tests.
func (t *test) matchesText(r *flow.Record, c *Context) bool {
	switch t.op {
	case opText:
		return text(t.operand, r, c) == string(t.text)
	case opContains:
		return bytes.Contains(payload(t.operand, c), t.text)
	case opRegexp:
		p := payload(t.operand, c)
		return len(p) > 0 && t.re.Match(p)
	case opInPortBlock:
		port, ok := number(t.operand, 0, r, c)
		first, last := uint64(r.PortBlock[0]), uint64(r.PortBlock[1])
		return ok && r.Has(flow.PortBlock) && last != 0 && port >= first && port <= last
	}
	return false
}

func payload(o operand, c *Context) []byte {
	if o == opOutPayload {
		return c.OutPayload
	}
	return c.Payload
}

// holds says whether a stands to b as c says.
func (c comparison) holds(a, b uint64) bool {
	switch c {
	case equal:
		return a == b
	case less:
		return a < b
	case greater:
		return a > b
	case lessOrEqual:
		return a <= b
	case greaterOrEqual:
		return a >= b
	}
	return a != b
}

// compile lays the tests out in the order in which they are made: each goes on with the
// next that can still change the answer.
func (f *Filter) compile() {
	f.emit(f.root, matched, failed)
	slices.Reverse(f.tests)
	last := int32(len(f.tests) - 1)
	for i := range f.tests {
		t := &f.tests[i]
		if t.yes >= 0 {
			t.yes = last - t.yes
		}
		if t.no >= 0 {
			t.no = last - t.no
		}
		f.readValue(t)
	}
}

// emit appends the tests of a node, the last first, and returns where it begins.
func (f *Filter) emit(n *node, yes, no int32) int32 {
	switch n.op {
	case isNot:
		return f.emit(n.nodes[0], no, yes)
	case isAnd:
		for _, part := range slices.Backward(n.nodes) {
			yes = f.emit(part, yes, no)
		}
		return yes
	case isOr:
		for _, part := range slices.Backward(n.nodes) {
			no = f.emit(part, yes, no)
		}
		return no
	}
	t := n.test
	t.yes, t.no = yes, no
	f.tests = append(f.tests, t)
	return int32(len(f.tests) - 1)
}

// operandFields are the fields that operands read that are not fields.
var operandFields = map[operand][]flow.Field{
	opDuration:       {flow.FirstSeen, flow.LastSeen},
	opBPS:            {flow.Bytes, flow.FirstSeen, flow.LastSeen},
	opPPS:            {flow.Packets, flow.FirstSeen, flow.LastSeen},
	opBPP:            {flow.Bytes, flow.Packets},
	opScaledBytes:    {flow.Bytes, flow.SamplingRate},
	opScaledPackets:  {flow.Packets, flow.SamplingRate},
	opICMPType:       {flow.ICMP, flow.DstPort, flow.Proto},
	opICMPCode:       {flow.ICMP, flow.DstPort, flow.Proto},
	opFirst:          {flow.FirstSeen, flow.EventTime},
	opLast:           {flow.LastSeen, flow.EventTime},
	opPortBlockStart: {flow.PortBlock}, opPortBlockEnd: {flow.PortBlock},
	opPortBlockStep: {flow.PortBlock}, opPortBlockSize: {flow.PortBlock},
	opIngressACL: {flow.IngressACL}, opEgressACL: {flow.EgressACL},
	opMPLSLabel: {flow.MPLS}, opMPLSExp: {flow.MPLS}, opMPLSBottom: {flow.MPLS},
	opDomain: {flow.ObservationPoint}, opSrcCountry: {flow.Src}, opDstCountry: {flow.Dst},
}

// readValue notes what a test reads.
func (f *Filter) readValue(t *test) {
	switch {
	case t.op == opTrue:
		return
	case t.op == opInPortBlock:
		f.fields.Add(flow.PortBlock)
	}
	if t.operand < operand(flow.NumFields) {
		f.fields.Add(flow.Field(t.operand))
	}
	fields := operandFields[t.operand]
	for _, field := range fields {
		f.fields.Add(field)
	}
	derived := t.operand >= operand(flow.NumFields) && t.operand < opCount
	f.beyond = f.beyond || derived && len(fields) == 0
	f.needs = f.needs || t.operand >= opCount
}
