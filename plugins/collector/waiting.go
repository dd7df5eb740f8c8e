package collector

import (
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// The bounds of the sets that wait for their template
// (specs/flow-protocols.md, Templates).
const (
	waitTime     = flow.Time(60e9)
	waitExporter = 256 << 10 // bytes
	waitAll      = 16 << 20  // bytes
	waitOverhead = 1024      // bytes that a set takes besides its own
)

// waiting is a data set whose template is not known yet, with what is needed to
// decode it later as if it came now.
type waiting struct {
	dom  *domain // nil when it waits no longer
	id   uint16
	port uint16
	base flow.Record
	body []byte
}

func (w *waiting) size() int { return len(w.body) + waitOverhead }

// wait keeps a set until its template comes.
func (d *Decoder) wait(m *message, set ipfix.Set) {
	d.expire(m.received)
	size := len(set.Body) + waitOverhead
	exp := m.dom.exporter
	if size > waitExporter {
		m.dom.stats.SetsExpired++
		return
	}
	for exp.waiting+size > waitExporter || d.waitingBytes+size > d.waitAll {
		if own := exp.waiting+size > waitExporter; own && len(m.dom.waiting) > 0 {
			d.endWait(m.dom.waiting[0], true)
		} else if !d.dropWaiting(exp, own) {
			m.dom.stats.SetsExpired++
			return
		}
	}
	w := &waiting{dom: m.dom, id: set.ID, port: m.port, base: *m.base, body: slices.Clone(set.Body)}
	w.base.Extra = nil
	d.compact()
	d.queue = append(d.queue, w)
	m.dom.waiting = append(m.dom.waiting, w)
	exp.waiting += size
	d.waitingBytes += size
	m.dom.stats.SetsWaiting++
}

// expire drops the sets that have waited too long.
func (d *Decoder) expire(now flow.Time) {
	n := 0
	for ; n < len(d.queue); n++ {
		w := d.queue[n]
		if w.dom != nil && now-w.base.Received <= waitTime {
			break
		}
		d.endWait(w, true)
		d.queue[n] = nil
	}
	d.queue = d.queue[n:]
}

// compact takes out of the queue what waits no longer, once that is most of it.
func (d *Decoder) compact() {
	if len(d.queue) < 1024 || len(d.queue) < 2*(d.waitingBytes/waitOverhead) {
		return
	}
	d.queue = slices.DeleteFunc(d.queue, func(w *waiting) bool { return w.dom == nil })
}

// dropWaiting drops the oldest set, of the exporter only or of all.
func (d *Decoder) dropWaiting(exp *exporter, own bool) bool {
	for _, w := range d.queue {
		if w.dom != nil && (!own || w.dom.exporter == exp) {
			d.endWait(w, true)
			return true
		}
	}
	return false
}

// endWait takes a set out of the accounts.
func (d *Decoder) endWait(w *waiting, expired bool) {
	dom := w.dom
	if dom == nil {
		return
	}
	w.dom = nil
	dom.exporter.waiting -= w.size()
	d.waitingBytes -= w.size()
	dom.stats.SetsWaiting--
	if expired {
		dom.stats.SetsExpired++
	}
	if i := slices.Index(dom.waiting, w); i >= 0 {
		dom.waiting = slices.Delete(dom.waiting, i, i+1)
	}
	w.body = nil
}

// resume decodes the sets that have waited for a template, with the time of
// their own receipt.
func (d *Decoder) resume(m *message, id uint16) {
	if len(m.dom.waiting) == 0 {
		return
	}
	d.expire(m.received)
	batch, base := d.batch, d.own.rec.Base
	d.batch = nil
	for _, w := range slices.Clone(m.dom.waiting) {
		then := *m
		then.port, then.received, then.flows, then.options, then.resent = w.port, w.base.Received, 0, 0, false
		if w.id != id || w.dom == nil || d.template(&then, id) == nil {
			continue
		}
		body := w.body
		d.endWait(w, false)
		m.dom.stats.SetsResumed++
		then.base = &w.base
		d.dataSet(&then, ipfix.Set{ID: id, Body: body})
		m.dom.exporter.known.flows.Add(uint64(then.flows))
		if batch != nil {
			batch.joined() // all of them together could be too many for who gets the records
		}
	}
	d.batch, d.own.rec.Base = batch, base
}
