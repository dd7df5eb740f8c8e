package exporter

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// Resender encodes flows that were received before as their exporter, one observation
// domain of it, would send them: with every field that they have and the version can
// carry, and with their times. A datagram's own time of export is when its latest flow
// was received, so that nothing in it seems old.
//
// Templates are made of what comes, sent before their first use and, all of them, again
// every so many flows and seconds. It is not safe for concurrent use.
type Resender struct {
	version flow.Version
	send    func(datagram []byte) error
	lost    func(field string, r *flow.Record)

	nine  netflow.V9Encoder
	ten   ipfix.Encoder
	five  netflow.V5Header
	began bool

	layouts map[string]*layout // by what a flow has: see keyOf
	byID    []*layout
	key     []byte
	used    *layout // of the flow before, whose key is usedKey
	usedKey []byte

	pending []flow.Record // that wait for the datagram to be full
	of      []*layout     // of each
	bytes   []byte        // behind the slices of pending
	buf     []byte

	sinceAll int // flows since all templates were sent
	allAt    time.Time
}

// layout is a template, and what it leaves out.
type layout struct {
	template *ipfix.Template
	isSent   bool
	without  []string // elements of the flow that the version has no place for
}

// The bounds of a Resender: how many templates an observation domain has before all are
// forgotten, after how many flows and what time all templates are sent again, and how
// many flows wait for a datagram.
const (
	maxLayouts    = 512
	templateFlows = 4096
	templateEvery = 5 * time.Second
	maxPending    = 64
)

// largestDatagram is how large a datagram becomes for a flow that fits into none of the
// usual size.
const largestDatagram = 60000

// NewResender returns a Resender for an observation domain, in NetFlow v5, v9 or IPFIX:
// of v5 it is the engine's type and id. Send gets each datagram, valid until it returns.
// Lost is told what a flow has that the version cannot carry, by its name in metrics;
// "" is the flow itself. It may be nil.
func NewResender(v flow.Version, domain uint32, send func([]byte) error,
	lost func(field string, r *flow.Record)) *Resender {
	if lost == nil {
		lost = func(string, *flow.Record) {}
	}
	e := &Resender{version: v, send: send, lost: lost, layouts: map[string]*layout{}}
	e.nine.SourceID, e.ten.Domain = domain, domain
	e.five.EngineType, e.five.EngineID = uint8(domain>>8), uint8(domain)
	return e
}

// Carries says whether a version carries all that a flow has: of fields that are zero
// nothing is lost.
func Carries(v flow.Version, r *flow.Record) bool {
	if notCarried(v, r) != (flow.Set{}) || v == flow.V5 && (!fitsV5(r) || cutByV5(r) < flow.NumFields) {
		return false
	}
	for i := range r.Extra {
		if _, needed, possible := extraElement(v, &r.Extra[i]); needed && !possible {
			return false
		}
	}
	return true
}

// Add takes a flow into the datagram at hand, and copies it. What is complete is sent.
func (e *Resender) Add(r *flow.Record) error {
	if e.version == flow.V5 && !fitsV5(r) {
		e.lost("", r)
		return nil
	}
	var l *layout
	if e.version != flow.V5 {
		var err error
		if l, err = e.layoutOf(r); err != nil {
			return err
		}
		for _, name := range l.without {
			e.lost(name, r)
		}
	}
	if lost := notCarried(e.version, r); lost != (flow.Set{}) {
		eachField(lost, func(f flow.Field) { e.lost(f.Name(), r) })
	}
	e.keep(r)
	e.of = append(e.of, l)
	full := maxPending
	if e.version == flow.V5 {
		full = netflow.V5MaxCount
	}
	if len(e.pending) < full {
		return nil
	}
	return e.Flush()
}

// keep copies a flow.
func (e *Resender) keep(r *flow.Record) {
	n := len(e.pending)
	e.pending = slices.Grow(e.pending, 1)[:n+1]
	p := &e.pending[n]
	extra := p.Extra[:0]
	*p = *r
	p.Names, p.Sample, p.Nested = nil, nil, nil
	p.User, p.AppID = e.copyOf(r.User), e.copyOf(r.AppID)
	for _, x := range r.Extra {
		x.Value = e.copyOf(x.Value)
		extra = append(extra, x)
	}
	p.Extra = extra
}

func (e *Resender) copyOf(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	n := len(e.bytes)
	e.bytes = append(e.bytes, b...)
	return e.bytes[n:len(e.bytes):len(e.bytes)]
}

// Flush sends what waits.
func (e *Resender) Flush() error {
	left, of := e.pending, e.of
	if len(left) == 0 {
		return nil
	}
	e.pending, e.of, e.bytes = e.pending[:0], e.of[:0], e.bytes[:0]
	if e.version == flow.V5 {
		return e.sendV5(left)
	}
	if e.sinceAll += len(left); e.sinceAll >= templateFlows || time.Since(e.allAt) >= templateEvery {
		if err := e.sendTemplates(exportTime(left)); err != nil {
			return err
		}
	}
	for len(left) > 0 {
		n, err := e.message(left, of)
		if err != nil {
			return err
		}
		left, of = left[n:], of[n:]
	}
	return nil
}

// exportTime returns when flows were sent: not before they ended, or were received.
func exportTime(recs []flow.Record) (t flow.Time) {
	for i := range recs {
		r := &recs[i]
		t = max(t, r.Last, r.EventTime, min(r.Received, r.Last+longest))
	}
	return (t + 1e9 - 1) / 1e9 * 1e9 // whole seconds: those of the header
}

// longest bounds how long after its end a flow may have been received.
const longest = flow.Time(30 * 24 * time.Hour)

// message sends a datagram with as many flows as fit, and returns how many these are. Of
// a flow that fits into none, the caller is told.
func (e *Resender) message(recs []flow.Record, of []*layout) (int, error) {
	for _, limit := range [...]int{ipfix.DefaultLimit, largestDatagram} {
		e.begin(exportTime(recs), limit)
		n := e.fill(recs, of)
		if n > 0 {
			return n, e.send(e.end())
		}
	}
	e.lost("", &recs[0])
	return 1, nil
}

// fill adds sets for runs of flows of the same template.
func (e *Resender) fill(recs []flow.Record, of []*layout) (done int) {
	w := e.writer()
	for done < len(recs) {
		l, n := of[done], 1
		for done+n < len(recs) && of[done+n] == l {
			n++
		}
		if !l.isSent {
			if done > 0 && w.Len()+12+8*len(l.template.Fields) > w.Limit {
				break
			}
			e.addTemplates(l.template)
			l.isSent = true
		}
		added := w.AddData(l.template, recs[done:done+n])
		done += added
		if added < n {
			break
		}
	}
	return done
}

// sendTemplates sends all templates.
func (e *Resender) sendTemplates(at flow.Time) error {
	e.sinceAll, e.allAt = 0, time.Now()
	for left := e.byID; len(left) > 0; {
		e.begin(at, ipfix.DefaultLimit)
		n := 0
		for n < len(left) && (n == 0 || e.writer().Len()+12+8*len(left[n].template.Fields) < ipfix.DefaultLimit) {
			e.addTemplates(left[n].template)
			left[n].isSent = true
			n++
		}
		left = left[n:]
		if err := e.send(e.end()); err != nil {
			return err
		}
	}
	return nil
}

// writer returns what both versions have in common.
func (e *Resender) writer() *ipfix.SetWriter {
	if e.version == flow.V9 {
		return &e.nine.SetWriter
	}
	return &e.ten.SetWriter
}

func (e *Resender) begin(at flow.Time, limit int) {
	w := e.writer()
	if !e.began {
		e.began, w.Boot = true, at-flow.Time(24*time.Hour)
	}
	w.Limit = limit
	if e.version == flow.V9 {
		e.nine.Begin(e.buf[:0], at)
	} else {
		e.ten.Begin(e.buf[:0], at)
	}
}

func (e *Resender) addTemplates(t *ipfix.Template) {
	if e.version == flow.V9 {
		e.nine.AddTemplates(t)
	} else {
		e.ten.AddTemplates(t)
	}
}

func (e *Resender) end() []byte {
	if e.version == flow.V9 {
		e.buf = e.nine.End()
	} else {
		e.buf = e.ten.End()
	}
	return e.buf
}

// layoutOf returns the template for a flow.
func (e *Resender) layoutOf(r *flow.Record) (*layout, error) {
	e.key = keyOf(e.key[:0], r)
	if e.used != nil && bytes.Equal(e.key, e.usedKey) {
		return e.used, nil
	}
	l := e.layouts[string(e.key)]
	if l == nil {
		if len(e.byID) == maxLayouts {
			if err := e.Flush(); err != nil {
				return nil, err
			}
			clear(e.layouts)
			e.byID = e.byID[:0]
		}
		var err error
		if l, err = e.newLayout(r); err != nil {
			return nil, err
		}
		e.layouts[string(e.key)] = l
		e.byID = append(e.byID, l)
	}
	e.used, e.usedKey = l, append(e.usedKey[:0], e.key...)
	return l, nil
}

// keyOf appends what the template of a flow depends on.
func keyOf(dst []byte, r *flow.Record) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(le.AppendUint64(dst, r.Present[0]), r.Present[1])
	families := byte(0)
	for i, a := range [...]bool{r.Src.Is6(), r.Dst.Is6(), r.NextHop.Is6(), r.BGPNextHop.Is6(), r.XlateSrc.Is6(),
		r.XlateDst.Is6(), r.TunSrc.Is6(), r.TunDst.Is6()} {
		if a {
			families |= 1 << i
		}
	}
	valid := byte(0)
	for i, a := range [...]bool{r.Src.IsValid(), r.Dst.IsValid(), r.NextHop.IsValid(), r.BGPNextHop.IsValid(),
		r.XlateSrc.IsValid(), r.XlateDst.IsValid(), r.TunSrc.IsValid(), r.TunDst.IsValid()} {
		if a {
			valid |= 1 << i
		}
	}
	flags := byte(0)
	for i, a := range [...]bool{r.Proto == protoICMPv6, r.TCPFlags > math.MaxUint8, r.EngineType|r.EngineID != 0,
		r.FlowID > math.MaxUint32, r.IPVersion != 0} {
		if a {
			flags |= 1 << i
		}
	}
	dst = append(dst, families, valid, flags, r.MPLSDepth)
	dst = le.AppendUint32(dst, uint32(len(r.AppID)))
	for i := range r.Extra {
		x := &r.Extra[i]
		dst = le.AppendUint32(le.AppendUint32(dst, x.PEN), uint32(x.ID)|uint32(x.Nth)<<16)
		dst = le.AppendUint32(dst, uint32(len(x.Value)))
	}
	return dst
}

// newLayout makes the template for flows like r.
func (e *Resender) newLayout(r *flow.Record) (*layout, error) {
	l := &layout{}
	specs := elementsOf(e.version, r)
	for i := range r.Extra {
		x := &r.Extra[i]
		spec, needed, possible := extraElement(e.version, x)
		same := func(f ipfix.FieldSpec) bool { return f.PEN == x.PEN && f.ID == x.ID }
		switch {
		case !needed || x.Nth == 0 && slices.ContainsFunc(specs, same):
		case !possible:
			l.without = append(l.without, nameOf(x))
		default:
			specs = append(specs, spec)
		}
	}
	if len(specs) == 0 { // which no template may be
		specs = append(specs, ipfix.FieldSpec{ID: ie.FlowStartMilliseconds, Length: 8})
	}
	var err error
	id := uint16(256 + len(e.byID))
	if e.version == flow.V9 {
		l.template, err = ipfix.NewV9Template(id, specs)
	} else {
		l.template, err = ipfix.NewTemplate(id, specs)
	}
	return l, err
}

// nameOf names an element that does not travel.
func nameOf(x *flow.Element) string {
	return "element " + strconv.FormatUint(uint64(x.PEN), 10) + "/" + strconv.FormatUint(uint64(x.ID), 10)
}

// inV5 are the fields of version 5's records, and what needs no place in them.
var inV5 = specials.Union(flow.SetOf(flow.Src, flow.Dst, flow.NextHop, flow.Input, flow.Output, flow.Packets,
	flow.Bytes, flow.FirstSeen, flow.LastSeen, flow.SrcPort, flow.DstPort, flow.Proto, flow.SrcTOS, flow.SrcAS,
	flow.DstAS, flow.SrcMask, flow.DstMask)).Without(flow.SetOf(flow.MPLS, flow.AppID, flow.PortBlock))

// fitsV5 says whether version 5 has a place for a flow at all.
func fitsV5(r *flow.Record) bool { return !r.Src.Is6() && !r.Dst.Is6() && !r.Event }

// cutByV5 returns a field whose value is too large for version 5, flow.NumFields when
// there is none.
func cutByV5(r *flow.Record) int {
	switch {
	case r.Bytes > math.MaxUint32:
		return int(flow.Bytes)
	case r.Packets > math.MaxUint32:
		return int(flow.Packets)
	case r.Input > math.MaxUint16:
		return int(flow.Input)
	case r.Output > math.MaxUint16:
		return int(flow.Output)
	case r.SrcAS > math.MaxUint16:
		return int(flow.SrcAS)
	case r.DstAS > math.MaxUint16:
		return int(flow.DstAS)
	case r.TCPFlags > math.MaxUint8:
		return int(flow.TCPFlags)
	case r.NextHop.Is6():
		return int(flow.NextHop)
	case r.Last-r.First > longestV5:
		return int(flow.FirstSeen)
	}
	return flow.NumFields
}

// longestV5 is how long after an exporter's start version 5, whose times are 32 bits of
// milliseconds since then, can tell a time for sure.
const longestV5 = flow.Time(49 * 24 * time.Hour)

// sendV5 sends flows in datagrams of version 5: one, but for flows that are further apart
// than the times of one can tell.
func (e *Resender) sendV5(recs []flow.Record) error {
	for len(recs) > 0 {
		n, first, at := 0, recs[0].First, flow.Time(0)
		for ; n < len(recs); n++ {
			r := &recs[n]
			from, to := min(first, r.First), max(at, r.Last, min(r.Received, r.Last+longest))
			if n > 0 && to-from > longestV5 {
				break
			}
			first, at = from, to
		}
		if err := e.sendDatagramV5(recs[:n], first, at); err != nil {
			return err
		}
		recs = recs[n:]
	}
	return nil
}

// sendDatagramV5 sends a datagram of version 5, of flows of which the earliest began at first,
// as it is sent at a time. Where that is too long after the start of the exporter, or before
// it, he has started anew.
func (e *Resender) sendDatagramV5(recs []flow.Record, first, at flow.Time) error {
	for i := range recs {
		if n := cutByV5(&recs[i]); n < flow.NumFields {
			e.lost(flow.Field(n).Name(), &recs[i])
		}
	}
	if boot := &e.writer().Boot; !e.began || first < *boot || at-*boot > longestV5 {
		e.began = true
		*boot = first - min(first, flow.Time(24*time.Hour))
	}
	h := &e.five
	at = (at + 1e6 - 1) / 1e6 * 1e6 // whole milliseconds: those of the times
	h.SysUptime = uint32((at - e.writer().Boot) / 1e6)
	h.Seconds, h.Nanos = uint32(at/1e9), uint32(at%1e9)
	e.buf = netflow.AppendV5(e.buf[:0], *h, recs)
	h.Sequence += uint32(len(recs))
	return e.send(e.buf)
}
