package collector

import (
	"container/heap"
	"container/list"
	"slices"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// The bounds of the sets that wait for their template. Data may come before the template
// that describes them (RFC 7011, section 8): over UDP after each restart of a
// collector, until the exporter sends its templates again.
const (
	waitTime     = time.Minute
	waitExporter = 4 << 20  // bytes: of an exporter with 1,000 datagrams a second, three seconds
	waitAll      = 16 << 20 // bytes
	waitOverhead = 1024     // bytes that a set takes besides its own
)

// waiting is a data set whose template is not known yet, with what is needed to
// decode it later as if it came now.
type waiting struct {
	dom  *domain
	id   uint16
	port uint16
	base flow.Record
	body []byte
	at   flow.Time // when it came, by the registry's clock

	inAll, inExporter, inTemplate *list.Element
}

func (w *waiting) size() int { return len(w.body) + waitOverhead }

// waitingRoom holds the sets that wait, each in three lists in the order of receipt: of
// all, of its exporter, and of its template. Whatever is looked for is found without a
// walk, so that a set costs the same however many wait.
type waitingRoom struct {
	limit  int                 // bytes
	share  int                 // of these, bytes that one exporter may have
	bytes  int                 // of all
	all    list.List           // of *waiting
	greedy heaviest[*exporter] // those whose sets wait
}

// addSet takes a set in.
func (q *waitingRoom) addSet(w *waiting) {
	dom, exp := w.dom, w.dom.exporter
	if dom.waiting == nil {
		dom.waiting = map[uint16]*list.List{}
	}
	if dom.waiting[w.id] == nil {
		dom.waiting[w.id] = list.New()
	}
	w.inAll, w.inExporter, w.inTemplate = q.all.PushBack(w), exp.sets.PushBack(w), dom.waiting[w.id].PushBack(w)
	q.bytes += w.size()
	q.weigh(exp, w.size())
	dom.stats.SetsWaiting++
}

// remove takes a set out.
func (q *waitingRoom) remove(w *waiting) {
	dom, exp := w.dom, w.dom.exporter
	q.all.Remove(w.inAll)
	exp.sets.Remove(w.inExporter)
	if same := dom.waiting[w.id]; same.Len() > 1 {
		same.Remove(w.inTemplate)
	} else {
		delete(dom.waiting, w.id)
	}
	q.bytes -= w.size()
	q.weigh(exp, -w.size())
	dom.stats.SetsWaiting--
}

// weigh changes what the sets of an exporter take.
func (q *waitingRoom) weigh(exp *exporter, size int) {
	before := exp.waiting
	exp.waiting += size
	switch {
	case before == 0:
		heap.Push(&q.greedy, exp)
	case exp.waiting == 0:
		heap.Remove(&q.greedy, exp.place)
	default:
		heap.Fix(&q.greedy, exp.place)
	}
}

// oldest returns the set of a list that came first; nil when there is none.
func oldest(l *list.List) *waiting {
	if front := l.Front(); front != nil {
		return front.Value.(*waiting)
	}
	return nil
}

func (exp *exporter) weight() int { return exp.waiting }
func (exp *exporter) at() *int    { return &exp.place }

// wait keeps a set until its template comes. Where there is no room, the oldest set of
// the exporter goes that has most, which is this one when it is over its own bound.
func (d *Decoder) wait(m *message, set ipfix.Set) {
	d.expire(m.now)
	size := len(set.Body) + waitOverhead
	exp := m.dom.exporter
	if size > d.room.share {
		m.dom.stats.SetsExpired++
		return
	}
	for exp.waiting+size > d.room.share {
		d.endWait(oldest(&exp.sets), true)
	}
	for d.room.bytes+size > d.room.limit && len(d.room.greedy) > 0 {
		d.endWait(oldest(&d.room.greedy[0].sets), true)
	}
	w := &waiting{dom: m.dom, id: set.ID, port: m.port, base: *m.base, body: slices.Clone(set.Body), at: m.now}
	w.base.Extra = nil
	d.room.addSet(w)
}

// expire drops the sets that have waited too long.
func (d *Decoder) expire(now flow.Time) {
	for w := oldest(&d.room.all); w != nil && now-w.at > flow.Time(d.opt.WaitTime); w = oldest(&d.room.all) {
		d.endWait(w, true)
	}
}

// endWait takes a set out, as its template has come or it waits in vain.
func (d *Decoder) endWait(w *waiting, expired bool) {
	d.room.remove(w)
	if expired {
		w.dom.stats.SetsExpired++
	}
}

// endWaits ends the waiting of all sets of a domain that are of a source port, or of any
// when port is below 0.
func (d *Decoder) endWaits(dom *domain, port int) {
	for _, same := range dom.waiting {
		for e := same.Front(); e != nil; {
			w := e.Value.(*waiting)
			e = e.Next()
			if port < 0 || int(w.port) == port {
				d.endWait(w, true)
			}
		}
	}
}

// resume decodes the sets that have waited for a template, with the time of
// their own receipt.
func (d *Decoder) resume(m *message, id uint16) {
	if len(m.dom.waiting) == 0 {
		return
	}
	d.expire(m.now)
	same := m.dom.waiting[id]
	if same == nil {
		return
	}
	batch, base, clock := d.batch, d.own.rec.Base, m.dom.uptime
	d.batch = nil
	for e := same.Front(); e != nil; {
		w := e.Value.(*waiting)
		e = e.Next()
		then := *m
		then.port, then.received, then.flows, then.options, then.resent = w.port, w.base.Received, 0, 0, false
		if d.template(&then, id) == nil {
			continue
		}
		d.endWait(w, false)
		m.dom.stats.SetsResumed++
		then.base = &w.base
		if w.base.Version == flow.V9 { // the clock of its own datagram
			m.dom.uptime.Set(w.base.Exported, w.base.SysUptime)
		}
		d.dataSet(&then, ipfix.Set{ID: id, Body: w.body})
		m.dom.exporter.known.flows.Add(uint64(then.flows))
		if batch != nil {
			batch.joined() // all of them together could be too many for who gets the records
		}
	}
	if m.dom.key.version == flow.V9 {
		m.dom.uptime = clock
	}
	d.batch, d.own.rec.Base = batch, base
}
