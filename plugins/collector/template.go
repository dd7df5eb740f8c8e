package collector

import (
	"fmt"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// templateIdle is how long a template lives over UDP without being used or
// sent again. FortiGate refreshes as rarely as once a day
// (RFC 3954, section 9; RFC 7011, section 8).
const templateIdle = flow.Time(24 * 3600 * 1e9)

// entry is a template as one source port of an exporter defined it.
type entry struct {
	port uint16
	used flow.Time // receipt of what it was used for last
	at   flow.Time // the same by the registry's clock
	own  bool      // the port itself sends data of it, in other datagrams than that with the template
	t    *ipfix.Template
}

// templateReader is what the readers of v9 and IPFIX have in common.
type templateReader interface {
	Next() (id uint16, fields []ipfix.FieldSpec, ok bool)
	Err() error
	Scratch() []ipfix.FieldSpec
}

// define learns the templates of one set.
func (d *Decoder) define(m *message, body []byte, options bool) {
	var r templateReader
	if m.dom.key.version == flow.V9 {
		v9 := netflow.NewV9TemplateReader(body, options, d.scratch)
		r = &v9
	} else {
		ten := ipfix.NewTemplateReader(body, options, d.scratch)
		r = &ten
	}
	for {
		id, fields, ok := r.Next()
		if !ok {
			break
		}
		m.templates++
		d.defineOne(m, id, fields, options)
	}
	d.scratch = r.Scratch()
	if err := r.Err(); err != nil {
		d.fail(m, err)
	}
}

// defineOne learns one template. Over UDP a withdrawal is ignored, as RFC 7011,
// section 8.4, wants. An invalid template makes its id unknown: what comes
// under it has a layout that is not the old one.
func (d *Decoder) defineOne(m *message, id uint16, fields []ipfix.FieldSpec, options bool) {
	if len(fields) == 0 && m.dom.key.version == flow.IPFIX {
		if m.stream {
			d.withdraw(m, id, options)
		}
		return
	}
	dom := m.dom
	known := dom.templates[id]
	at := slices.IndexFunc(known, func(e entry) bool { return e.port == m.port })
	if at >= 0 && known[at].t.Options() == options && known[at].t.Equal(fields) {
		known[at].used, known[at].at = m.received, m.now
		d.contradict(m, known, at)
		return
	}
	d.settle() // see drop
	t, err := compile(known, dom.key.version, id, fields, options)
	if err != nil {
		d.fail(m, err)
	}
	if at >= 0 {
		tells := m.stream && known[at].t.Options()
		if d.drop(dom, id, at); tells {
			d.endRates(dom, m.port, id)
		}
	}
	if err == nil {
		d.insert(dom, entry{port: m.port, used: m.received, at: m.now, t: t})
		if m.resent && !dom.isProven {
			d.prove(dom)
		}
		d.resume(m, id)
	}
}

// compile returns the template of the given fields: that of another port, where
// it has the same, else a new one.
func compile(known []entry, v flow.Version, id uint16, fields []ipfix.FieldSpec, options bool) (*ipfix.Template,
	error) {
	for _, e := range known {
		if e.t.Options() == options && e.t.Equal(fields) {
			return e.t, nil
		}
	}
	if options {
		return ipfix.NewOptionsTemplate(id, fields)
	}
	if v == flow.V9 {
		return ipfix.NewV9Template(id, fields)
	}
	return ipfix.NewTemplate(id, fields)
}

// contradict notes that a port still uses its own template while another port
// has defined the id differently since: these are two exporters behind one
// address, and not one that came back on another port.
func (d *Decoder) contradict(m *message, list []entry, at int) {
	exp := m.dom.exporter
	if at == 0 || exp.needPort || m.stream || list[0].t == list[at].t {
		return
	}
	d.settle() // see drop
	exp.needPort = true
	d.log.say(m.now, "%s, domain %d: source ports %d and %d define template %d differently: each port keeps its "+
		"own templates; "+
		"these are several exporters behind one address, set ports = \"separate\" for it to tell them apart in "+
		"everything",
		m.addr, m.dom.key.domain, list[at].port, list[0].port, list[0].t.ID)
}

// insert adds a template as the newest of its id, within the bounds.
func (d *Decoder) insert(dom *domain, e entry) {
	d.revision++
	if dom.templates == nil {
		dom.templates = map[uint16][]entry{}
	}
	id := e.t.ID
	clear(dom.recent[:])
	if n := len(dom.templates[id]); n >= dom.maxPorts() {
		d.drop(dom, id, n-1)
	}
	for dom.entries >= d.maxTemplates(dom) {
		d.dropIdle(dom)
	}
	dom.templates[id] = slices.Insert(dom.templates[id], 0, e)
	dom.entries++
	dom.stats.Templates++
	if !e.t.Options() && namesSampler(e.t) {
		dom.exporter.known.namesSamplers.Store(true)
	}
	d.grow(dom, e.t.Size())
	d.shrink(dom)
}

// namesSampler says whether the flows of a template name their sampler.
func namesSampler(t *ipfix.Template) bool {
	return slices.ContainsFunc(t.Fields, func(f ipfix.FieldSpec) bool {
		return f.PEN == 0 && (f.ID == ie.SamplerId || f.ID == ie.SelectorId)
	})
}

// drop removes entry at of an id. What was received before is decoded before: records
// inside structured data are of the templates at their time.
func (d *Decoder) drop(dom *domain, id uint16, at int) {
	d.settle()
	clear(dom.recent[:])
	list := dom.templates[id]
	size := list[at].t.Size()
	d.grow(dom, -size)
	dom.entries--
	if list[at].t.Options() {
		d.forgetOptions(dom, id, list[at].port)
	}
	if len(list) == 1 {
		delete(dom.templates, id)
		return
	}
	dom.templates[id] = slices.Delete(list, at, at+1)
}

// dropIdle removes the template that was idle longest of a few taken at random:
// with a thousand templates and a peer that sends ever more, a full search for
// each would be the attack.
func (d *Decoder) dropIdle(dom *domain) {
	const sample = 16
	var id uint16
	var at, seen int
	var used flow.Time
	for i, list := range dom.templates {
		last := len(list) - 1
		if seen == 0 || list[last].at < used {
			id, at, used = i, last, list[last].at
		}
		if seen++; seen == sample {
			break
		}
	}
	if seen > 0 {
		d.drop(dom, id, at)
	}
}

// template finds the template of a data set: that of the source port, else the
// newest of the domain, unless the exporter's ports contradict each other. It
// returns nil when there is none.
func (d *Decoder) template(m *message, id uint16) *ipfix.Template {
	recent := &m.dom.recent[id&3]
	if recent.id != id || recent.list == nil {
		recent.id, recent.list = id, m.dom.templates[id]
	}
	list := recent.list
	at := -1
	for i := range list {
		if list[i].port == m.port {
			at = i
			break
		}
	}
	if at < 0 {
		if len(list) == 0 || m.dom.exporter.needPort || m.stream {
			return nil
		}
		if at = 0; list[0].own && !d.mayBorrow(m, id) {
			return nil
		}
	} else if m.templates == 0 && !m.past {
		list[at].own = true
	}
	e := &list[at]
	if m.now-e.at > templateIdle && !m.stream {
		d.drop(m.dom, id, at)
		return d.template(m, id) // of another port
	}
	e.used, e.at = max(e.used, m.received), m.now
	d.contradict(m, list, at)
	return e.t
}

// borrowGrace is how long a source port's data wait for a template of its own, where the
// port that has sent one of the id uses it itself: these may be two exporters behind one
// address.
const borrowGrace = flow.Time(30e9)

// borrower is a source port that has sent data of which only another port has sent the
// template.
type borrower struct {
	port  uint16
	since flow.Time
	over  bool // the grace
}

// mayBorrow says whether the data of the message's port may be decoded by the template of
// another port. What has waited is decoded when they may at last.
func (d *Decoder) mayBorrow(m *message, id uint16) bool {
	dom := m.dom
	at := slices.IndexFunc(dom.borrowers, func(b borrower) bool { return b.port == m.port })
	if at < 0 {
		if !m.past {
			if len(dom.borrowers) >= maxPorts {
				dom.borrowers = slices.Delete(dom.borrowers, 0, 1)
			}
			dom.borrowers = append(dom.borrowers, borrower{port: m.port, since: m.now})
		}
		return false
	}
	b := &dom.borrowers[at]
	if !b.over && !m.past && m.now-b.since > borrowGrace {
		b.over = true
		d.revision++
		d.settle()
		d.resume(m, id)
	}
	return b.over
}

// inner are the templates that records inside structured data may be of: those of
// the datagram at hand.
type inner struct {
	dom  *domain
	port uint16
}

// Nested finds a template as Decoder.template does.
func (n *inner) Nested(id uint16) *ipfix.Template {
	list := n.dom.templates[id]
	for i := range list {
		if list[i].port == n.port {
			return list[i].t
		}
	}
	if len(list) == 0 || n.dom.exporter.needPort || n.dom.key.stream {
		return nil
	}
	return list[0].t
}

// maxMissed bounds the template ids of a domain that are remembered as logged.
const maxMissed = 64

// missing counts a data set without a template, and lets it wait for it.
func (d *Decoder) missing(m *message, set ipfix.Set) {
	id := set.ID
	m.unsure = true
	if d.opt.TemplatesOnly {
		return
	}
	if m.late {
		return
	}
	m.dom.stats.SetsWithoutTemplate++
	if m.handler.Missing == nil {
		d.wait(m, set)
	} else {
		m.handler.Missing(m.key(set.ID), m.datagram(set))
	}
	if m.dom.missed[id] || len(m.dom.missed) >= maxMissed {
		return
	}
	if m.dom.missed == nil {
		m.dom.missed = map[uint16]bool{}
	}
	m.dom.missed[id] = true
	d.log.say(m.now, "%s, %s domain %d: no template %d yet: its sets wait up to %.0f min until the exporter "+
		"sends it",
		m.addr, m.dom.key.version, m.dom.key.domain, id, d.opt.WaitTime.Minutes())
}

// logLimiter lets a few lines through: ten at once, then one in six seconds.
type logLimiter struct {
	print      func(format string, args ...any)
	tokens     flow.Time
	at         flow.Time
	suppressed uint64
}

const (
	logEvery = flow.Time(6e9)
	logBurst = 10
)

// say prints a line, or counts it.
func (l *logLimiter) say(now flow.Time, format string, args ...any) {
	if l.print == nil {
		return
	}
	if l.at == 0 {
		l.tokens = logBurst * logEvery
	} else if now > l.at {
		l.tokens = min(l.tokens+now-l.at, logBurst*logEvery)
	}
	l.at = max(l.at, now, 1)
	if l.tokens < logEvery {
		l.suppressed++
		return
	}
	l.tokens -= logEvery
	text := fmt.Sprintf(format, args...)
	if l.suppressed > 0 {
		text += fmt.Sprintf(" (%d lines before this one were left out)", l.suppressed)
		l.suppressed = 0
	}
	l.print("%s", text)
}
