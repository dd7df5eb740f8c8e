package collector

import (
	"cmp"
	"slices"
)

// announced is what has been told of one rate.
type announced struct {
	rate   uint32 // the latest
	trust  int8   // announcements that are still needed before it is believed
	rises  uint8  // in a row
	steady uint8  // announcements of the same, in a row
	turn   uint64 // of the domain, when it was told last

	by []templateRate // of a connection: what each options template has told, the latest last
}

// templateRate is the rate that records of an options template tell; 0 is that there is none.
type templateRate struct {
	id   uint16
	rate uint32
}

const (
	wantedTrust = 3 // equal announcements in a row, of an exporter that told nonsense
	manyRises   = 3 // as of a counter
	longSteady  = 8 // announcements after which a change is a change
	maxBy       = 4 // options templates by which a connection tells one rate
)

// teller is a source port of a domain that tells rates.
type teller struct {
	port      uint16
	turn      uint64 // of the domain, when it told one last
	announced map[limit]announced
	rates     rates // that are believed
}

// announcedSize is about what an announced rate takes in memory, in bytes, for its port
// and for all ports.
const announcedSize = 400

// teller returns what a source port has told, nil when it has told no rate.
func (dom *domain) teller(port uint16) *teller {
	for i := range dom.tellers {
		if dom.tellers[i].port == port {
			return &dom.tellers[i]
		}
	}
	return nil
}

// addTeller adds a source port; the one that was silent longest goes.
func (d *Decoder) addTeller(dom *domain, port uint16) *teller {
	t := teller{port: port, announced: map[limit]announced{}}
	if len(dom.tellers) < maxPorts {
		dom.tellers = append(dom.tellers, t)
		return &dom.tellers[len(dom.tellers)-1]
	}
	oldest := slices.MinFunc(dom.tellers, func(a, b teller) int { return cmp.Compare(a.turn, b.turn) })
	d.endTeller(dom, oldest.port)
	dom.tellers = append(dom.tellers, t)
	return &dom.tellers[len(dom.tellers)-1]
}

// endTeller forgets what a source port has told.
func (d *Decoder) endTeller(dom *domain, port uint16) {
	at := slices.IndexFunc(dom.tellers, func(t teller) bool { return t.port == port })
	if at < 0 {
		return
	}
	d.grow(dom, -announcedSize*len(dom.tellers[at].announced))
	dom.tellers = slices.Delete(dom.tellers, at, at+1)
	dom.contradicted = dom.contradicted && len(dom.tellers) > 1
}

// learnRate takes a rate as far as it is to be believed. As long as no port has told one
// again, it is judged by what the other ports have told before: an exporter may take a
// new one for each datagram. The rate is of a record of an options template.
func (d *Decoder) learnRate(m *message, s *sampler, template uint16) {
	dom := m.dom
	latest, known := dom.announced[s.limit]
	if !known && len(dom.announced) >= maxSamplers {
		return
	}
	t := dom.teller(m.port)
	if t == nil {
		t = d.addTeller(dom, m.port)
	}
	before, again := t.announced[s.limit]
	a := before
	if again {
		dom.tellersStay = dom.tellersStay || !m.past
	} else {
		if !dom.tellersStay {
			a = latest
		}
		d.grow(dom, announcedSize)
		d.shrink(dom)
	}
	rate, valid := s.rate()
	applied, doubtful := believe(rate, d.opt.MaxRate, dom.key.version)
	if !valid || doubtful && applied == 0 {
		a = announced{trust: wantedTrust}
	} else {
		a.announce(applied)
	}
	if doubtful || a.trust > 0 {
		d.doubtRate(m, 1, rate, applied)
	}
	if a.trust > 0 {
		applied = 0
	}
	dom.turns++
	a.turn, t.turn = dom.turns, dom.turns
	if a.by = before.by; m.stream {
		a.tell(templateRate{template, applied})
	}
	t.announced[s.limit] = a
	repeated := again && a.rate == before.rate && a.trust == before.trust
	if !repeated {
		t.rates.set(s.limit, applied)
		dom.exporter.known.setPortRate(m.port, s.limit, applied)
	}
	d.compareRates(m, t, s.limit, before.turn)
	if repeated && m.past {
		return // it is not the exporter that says it again
	}
	if dom.announced == nil {
		dom.announced = map[limit]announced{}
	}
	dom.announced[s.limit] = a
	if !known || a.rate != latest.rate || a.trust != latest.trust {
		dom.rates.set(s.limit, applied)
		dom.exporter.known.setRate(s.limit, applied, dom.key.domain)
	}
}

// compareRates notes that another source port tells another rate than t, and warns when t
// has told it before that, on turn before, and again now: these are several exporters
// behind one address, and not one that came back on another port.
func (d *Decoder) compareRates(m *message, t *teller, l limit, before uint64) {
	dom := m.dom
	a := t.announced[l]
	for i := range dom.tellers {
		o := &dom.tellers[i]
		other, too := o.announced[l]
		if o.port == t.port || !too || other.rate == a.rate || other.trust > 0 || a.trust > 0 {
			continue
		}
		dom.contradicted = true
		if exp := dom.exporter; before != 0 && other.turn > before && !exp.severalSeen && !m.past && !m.stream {
			exp.severalSeen = true
			d.log.say(m.now, "%s, domain %d: source ports %d and %d tell different sampling rates, 1 in %d and 1 "+
				"in %d: the flows of each port "+
				"take its own; these are several exporters behind one address, set ports = \"separate\" for it to "+
				"tell them apart in everything",
				m.addr, dom.key.domain, t.port, o.port, max(a.rate, 1), max(other.rate, 1))
		}
	}
}

// announce takes an announcement. Numbers that rise and rise are no rate.
func (a *announced) announce(rate uint32) {
	switch {
	case a.trust > 0 && a.rate == rate:
		a.trust--
	case a.trust > 0:
		a.rate, a.trust = rate, wantedTrust
	case rate == a.rate:
		if a.steady++; a.steady >= longSteady {
			a.rises, a.steady = 0, 0
		}
	case rate > a.rate && a.rate > 1:
		a.rate, a.steady = rate, 0
		if a.rises++; a.rises >= manyRises {
			a.rises, a.trust = 0, wantedTrust
		}
	default:
		a.rate, a.steady, a.rises = rate, 0, 0
	}
}

// tell notes what an options template tells, as the latest.
func (a *announced) tell(by templateRate) {
	a.by = slices.DeleteFunc(a.by, func(b templateRate) bool { return b.id == by.id })
	if len(a.by) >= maxBy {
		a.by = slices.Delete(a.by, 0, 1)
	}
	a.by = append(a.by, by)
}

// anyTemplate stands for all options templates of a connection.
const anyTemplate = 0

// endRates ends the rates that a connection has told by records of an options template
// that is no more (RFC 7011, section 8.1), unless another template of it, or another
// connection of the exporter, tells them too.
func (d *Decoder) endRates(dom *domain, port, template uint16) {
	t := dom.teller(port)
	if t == nil {
		return
	}
	for l, a := range t.announced {
		before := len(a.by)
		a.by = slices.DeleteFunc(a.by, func(b templateRate) bool { return template == anyTemplate || b.id == template })
		if len(a.by) == before {
			continue
		}
		rate := uint32(0)
		if last := len(a.by) - 1; last >= 0 {
			rate = a.by[last].rate
			t.announced[l] = announced{rate: rate, turn: a.turn, by: a.by}
		} else {
			delete(t.announced, l)
			d.grow(dom, -announcedSize)
		}
		t.rates.set(l, rate)
		dom.exporter.known.setPortRate(port, l, rate)
		dom.latestRate(l)
	}
}

// latestRate makes the rate of a domain the latest that any of its source ports tells.
func (dom *domain) latestRate(l limit) {
	latest, known := announced{}, false
	for i := range dom.tellers {
		if a, tells := dom.tellers[i].announced[l]; tells && a.turn >= latest.turn {
			latest, known = a, true
		}
	}
	rate := latest.rate
	if latest.trust > 0 {
		rate = 0
	}
	if known {
		dom.announced[l] = latest
	} else {
		delete(dom.announced, l)
	}
	dom.rates.set(l, rate)
	dom.exporter.known.setRate(l, rate, dom.key.domain)
}
