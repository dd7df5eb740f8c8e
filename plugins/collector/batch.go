package collector

import (
	"net/netip"
	"runtime/debug"
	"sync"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// parallelBytes is for how many bytes of records it is worth to wake a goroutine.
const parallelBytes = 16 << 10

// Batch decodes many datagrams of a Decoder with several goroutines, also where all
// are of one observation domain. The result is what Decode gives for one datagram
// after the other: what a datagram changes, templates, options and the clock, is taken
// in one after the other, in Add; and all data records that come between two such
// changes are decoded at once, in Run at the latest.
type Batch struct {
	d        *Decoder
	lanes    []*lane
	joined   func()
	panicked func(exporter netip.AddrPort, records []byte, p any, stack []byte)

	alone   bool // the first lane does all
	least   int  // bytes of records for a lane
	wg      sync.WaitGroup
	works   []work
	records int        // in works, about
	ended   []*message // datagrams whose works are all in works
	used    []*pending // not free before the end of Run
	free    []*pending
}

// pending is a datagram whose records are not decoded yet.
type pending struct {
	message
	record flow.Record
}

// BatchOptions configures a Batch.
type BatchOptions struct {
	// Handlers get the records, each in a goroutine of its own: the first of them what
	// comes first, and so on; options all go to the first. They have no Missing.
	Handlers []Handler

	// Joined is called, while no handler is, after each time that records have been
	// given to the handlers: what is added up by then comes before what comes later.
	Joined func()

	// Panicked is called, by any of the goroutines, when decoding records panics, which
	// is a defect of this package. They are lost, the others are not.
	Panicked func(exporter netip.AddrPort, records []byte, p any, stack []byte)
}

// NewBatch returns a Batch for a decoder. While it is used the Decoder is.
func (d *Decoder) NewBatch(o BatchOptions) *Batch {
	b := &Batch{d: d, joined: o.Joined, panicked: o.Panicked, least: parallelBytes}
	for _, h := range o.Handlers {
		l := newLane(&d.opt)
		l.handler = h
		b.lanes = append(b.lanes, l)
	}
	return b
}

// Spread says whether all goroutines decode, as they do at first, or the first alone:
// to wake the others costs CPU time, which is well spent where datagrams come faster than
// one goroutine decodes them. It may be called between Run and Add.
func (b *Batch) Spread(all bool) { b.alone = !all }

// Add puts a datagram into the batch, whose payload must be valid until Run returns. Its
// error is that of Decode, but for errors in data records, which are only counted and logged.
func (b *Batch) Add(dg Datagram) error {
	p := b.message()
	p.resent, p.past, p.handler, p.base = dg.Resent, dg.Resent, b.lanes[0].handler, &p.record
	b.d.batch = b
	defer func() { b.d.batch = nil }()
	return b.d.decode(&p.message, dg)
}

// message returns memory for a datagram, all zero.
func (b *Batch) message() *pending {
	var p *pending
	if n := len(b.free); n > 0 {
		p, b.free = b.free[n-1], b.free[:n-1]
	} else {
		p = new(pending)
	}
	b.used = append(b.used, p)
	return p
}

// Records returns about how many records wait for Run.
func (b *Batch) Records() int { return b.records }

// Run decodes the records that are left.
func (b *Batch) Run() {
	b.settle()
	for _, p := range b.used {
		p.message = message{} // it points to a domain, which may be forgotten, and to the datagram
	}
	b.free, b.used = append(b.free, b.used...), b.used[:0]
}

// settle decodes the records that wait in the batch at hand.
func (d *Decoder) settle() {
	if d.batch != nil {
		d.batch.settle()
	}
}

// settle decodes the records that wait, and then counts what came of them, in
// order.
func (b *Batch) settle() {
	if len(b.works) > 0 {
		b.do()
		b.joined()
	}
	err := b.d.err // of the datagram at hand, which none of these is
	for i := range b.works {
		b.d.takeWork(&b.works[i])
	}
	for _, m := range b.ended {
		b.d.checkSequence(m)
	}
	b.d.err = err
	clear(b.works)
	clear(b.ended)
	b.works, b.ended, b.records = b.works[:0], b.ended[:0], 0
}

// do divides the works among the lanes: each has a run of them, of about as many
// bytes.
func (b *Batch) do() {
	total := 0
	for i := range b.works {
		total += len(b.works[i].body)
	}
	lanes := b.lanes[:max(1, min(len(b.lanes), total/b.least))]
	if b.alone {
		lanes = b.lanes[:1]
	}
	from, done := 0, 0
	for i, l := range lanes {
		to := from
		for ; to < len(b.works) && (done < total*(i+1)/len(lanes) || i == len(lanes)-1); to++ {
			done += len(b.works[to].body)
		}
		part := b.works[from:to]
		from = to
		if i < len(lanes)-1 {
			b.wg.Go(func() { b.runWork(l, part) })
		} else {
			b.runWork(l, part)
		}
	}
	b.wg.Wait()
}

// runWork decodes works one after the other.
func (b *Batch) runWork(l *lane, works []work) {
	for i := range works {
		b.guard(l, &works[i])
	}
}

// guard decodes the records of w. A panic costs these records only.
func (b *Batch) guard(l *lane, w *work) {
	defer func() {
		if p := recover(); p != nil {
			w.unsure = true
			b.panicked(netip.AddrPortFrom(w.m.addr, w.m.port), w.body, p, debug.Stack())
		}
	}()
	l.do(w)
}
