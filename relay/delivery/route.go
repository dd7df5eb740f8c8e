package delivery

import (
	"container/heap"
	"context"
	"errors"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// A destination is where mails go that have the same servers: one for all mails of a way
// that has smarthosts only; one for each domain with KindMX, and one for mails to
// several, which waits for none of them.
type destination struct {
	domain string // with KindMX, else the way's name, or several
	way    *way   // nil for several

	// Guarded by Sender.mu.
	lanes      [2]entryHeap // critical mails, and the others
	hosts      []*host      // in their order; nil: not known yet, or several
	exchangers []*host      // of them, the domain's own
	final      *reply       // the domain takes no mail: this is the answer
	routed     time.Time    // when exchangers and final were learnt
	routing    bool         // somebody asks the DNS now
	attempts   int          // under way
	lookups    lookupState
}

// lookupState is what the DNS has refused.
type lookupState struct {
	failures int
	since    time.Time // the first of them
	until    time.Time // it is not asked until then
	earned   time.Time // until, unless Retry has cut the wait short
	err      error     // of the last one
}

// fail notes a refusal.
func (l *lookupState) fail(err error, now time.Time) {
	if l.failures == 0 {
		l.since = now
	}
	if l.failures == 0 || !now.Before(l.earned) {
		l.failures++
		l.earned = now.Add(backoff(l.failures))
	}
	l.err, l.until = err, l.earned
}

const (
	longestWait = time.Hour // ends earlier by what happens: a mail taken, a host that is up again

	routeFor        = time.Minute // a route counts for so long
	minDestinations = 1024        // from here on, unused ones are dropped
)

// destinationOf gives the name of the destination of these recipients.
func (s *Sender) destinationOf(open []recipient) string {
	if !s.parted || len(open) == 0 {
		return ""
	}
	key := s.keyOf(open[0].Address)
	for _, r := range open[1:] {
		if s.keyOf(r.Address) != key {
			return several
		}
	}
	return key
}

// domainOf is destinationOf for an envelope.
func (s *Sender) domainOf(env *queue.Envelope) string {
	if !s.parted {
		return ""
	}
	var all []recipient
	for _, to := range env.To {
		if a, err := address.Parse(to); err == nil {
			all = append(all, recipient{Address: a})
		}
	}
	return s.destinationOf(all)
}

// destination gives one by its name. The caller holds mu.
func (s *Sender) destination(name string) *destination {
	d := s.destinations[name]
	if d == nil {
		if len(s.destinations) >= s.dropAt {
			s.dropUnused()
			s.dropAt = max(minDestinations, 2*len(s.destinations))
		}
		d = &destination{domain: name, way: s.wayTo(name)}
		d.hosts = s.hostsOf(d)
		s.destinations[name] = d
	}
	return d
}

// dropUnused forgets destinations that no mail waits for, and servers that no
// destination has. The caller holds mu.
func (s *Sender) dropUnused() {
	now := time.Now()
	inUse := map[*host]bool{}
	for name, d := range s.destinations {
		old := now.Sub(d.routed) > routeFor && !now.Before(d.lookups.until)
		if len(d.lanes[0])+len(d.lanes[1]) == 0 && d.attempts == 0 && !d.routing && old && name != "" {
			delete(s.destinations, name)
			continue
		}
		for _, h := range d.hosts {
			inUse[h] = true
		}
	}
	for key, h := range s.exchangers {
		recently := h.failures > 0 && now.Sub(h.until) < longestWait
		if !inUse[h] && h.active+h.slow == 0 && len(h.idle) == 0 && !recently {
			delete(s.exchangers, key)
		}
	}
}

// wait tells for how long d's mails cannot go; 0: one may be tried now. The caller holds
// mu.
func (s *Sender) wait(d *destination, now time.Time, e *entry) time.Duration {
	switch {
	case d.routing:
		return longestWait
	case now.Before(d.lookups.until):
		return d.lookups.until.Sub(now)
	case d.way == nil || d.way.mx && d.routed.IsZero():
		return 0
	case len(d.hosts) == 0:
		return d.way.waitForNames(now)
	}
	wait := longestWait
	for _, h := range d.hosts {
		paused := h.paused(now, nil, e.critical)
		switch {
		case paused > 0:
			wait = min(wait, paused)
		case !h.full():
			return 0
		case !e.critical:
			return longestWait
		}
	}
	return wait
}

// waitForNames is wait while no server is known. The caller holds mu.
func (w *way) waitForNames(now time.Time) time.Duration {
	wait := longestWait
	for _, p := range w.places {
		switch {
		case !p.named():
			return 0 // the servers of a domain, which are asked for
		case p.looking:
		case now.Before(p.lookups.until):
			wait = min(wait, p.lookups.until.Sub(now))
		default:
			return 0
		}
	}
	return wait
}

// reserve keeps the server that a mail will probe for it, and a connection for a critical
// one, so that what was picked first is not overtaken. The caller holds mu.
func (s *Sender) reserve(d *destination, now time.Time, a *attempt) {
	for _, h := range d.hosts {
		if h.full() || h.paused(now, a, a.entry.critical) > 0 {
			continue
		}
		if h.failures > 0 {
			h.prober, a.reserved = a, h
		}
		if a.entry.critical {
			h.active++
			a.slot = h
		}
		return
	}
}

// pick takes a mail that is due while its destination can be tried, critical ones
// first. Else it gives nil and the time after which to look again. The caller holds mu.
func (s *Sender) pick(now time.Time) (*attempt, time.Duration) {
	wait := longestWait
	for lane := range 2 {
		if lane == 1 && s.plain >= s.opts.Parallel {
			break
		}
		for _, d := range s.destinations {
			if len(d.lanes[lane]) == 0 {
				continue
			}
			until := d.lanes[lane][0].due.Sub(now)
			if until <= 0 {
				until = s.wait(d, now, d.lanes[lane][0])
			}
			if until <= 0 {
				s.plain += lane
				a := &attempt{entry: heap.Pop(&d.lanes[lane]).(*entry)}
				s.reserve(d, now, a)
				return a, 0
			}
			wait = min(wait, until)
		}
	}
	return nil, wait
}

// route makes sure that d's servers are known. final is the answer for a domain that
// takes no mail; ok is false when the mail must wait.
func (s *Sender) route(ctx context.Context, d *destination) (final *reply, ok bool) {
	s.lookUpPlaces(ctx, d.way)
	s.mu.Lock()
	now := time.Now()
	switch {
	case !d.way.mx, now.Sub(d.routed) < routeFor:
		defer s.mu.Unlock()
		return d.final, true
	case d.routing || now.Before(d.lookups.until):
		defer s.mu.Unlock()
		return nil, false
	}
	d.routing = true
	s.mu.Unlock()

	found, err := s.findExchangers(ctx, d.domain, d.way.mxPort)

	s.mu.Lock()
	defer s.mu.Unlock()
	d.routing = false
	s.notify()
	if ctx.Err() != nil {
		return nil, false
	}
	d.exchangers = nil
	for _, x := range found {
		d.exchangers = append(d.exchangers, s.exchanger(x))
	}
	d.hosts = s.hostsOf(d)
	var refused *finalError
	switch {
	case err == nil, len(d.hosts) > 0: // the other places are asked
		d.final, d.routed, d.lookups = nil, now, lookupState{}
		return nil, true
	case errors.As(err, &refused):
		d.final, d.routed, d.lookups = &refused.reply, now, lookupState{}
		return d.final, true
	}
	d.lookups.fail(err, time.Now())
	s.opts.Monitor.Count(monitor.HostErrors, "dns")
	s.opts.Monitor.LimitedWarnf("dns "+d.domain, "mail for %s: %v; tried again in %s",
		d.domain, err, time.Until(d.lookups.until).Round(time.Second))
	return nil, false
}

// exchanger gives the state of a domain's server, shared by all domains that have it.
// The caller holds mu.
func (s *Sender) exchanger(x exchanger) *host {
	h := s.exchangers[x]
	if h == nil {
		h = &host{
			Smarthost: Smarthost{Kind: KindSMTP, Host: x.name, Addr: x.addr.String()},
			direct:    true, tls: x.tls, testing: x.testing, limit: s.opts.HostConnections,
		}
		s.exchangers[x] = h
	}
	return h
}
