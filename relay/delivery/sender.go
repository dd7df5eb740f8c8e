package delivery

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// Sender delivers. It is inert until Start.
type Sender struct {
	opts    Options
	dialer  dialer
	ways    []*way   // the last one takes all recipients
	places  []*place // of all ways
	parted  bool     // there may be several destinations
	started time.Time
	cancel  context.CancelFunc // breaks attempts off that are not past the final dot
	last    context.Context    // its end breaks these off too
	kill    context.CancelFunc // ends last
	tidy    context.CancelFunc // ends sweep
	workers sync.WaitGroup

	mu           sync.Mutex // guards what follows, the destinations and the hosts
	ended        bool       // no further mail is begun
	destinations map[string]*destination
	dropAt       int // number of destinations at which unused ones are dropped
	exchangers   map[exchanger]*host
	plain        int // mails worked on that are not critical, but for slow ones
	slow         int // attempts that gave their place to another
	known        map[string]*entry
	wake         chan struct{} // closed and replaced when something became possible
}

// New makes a Sender.
func New(opts Options) *Sender {
	opts.setDefaults()
	s := &Sender{
		opts: opts,
		dialer: dialer{
			hostname: opts.Hostname, tls: opts.TLSConfig, dial: opts.Dial,
			credentials: opts.Credentials, authInClear: opts.AuthInClear,
		},
		known: map[string]*entry{}, wake: make(chan struct{}),
		destinations: map[string]*destination{}, dropAt: minDestinations, exchangers: map[exchanger]*host{},
	}
	s.addWays()
	if s.opts.Parallel == 0 {
		s.opts.Parallel = opts.HostConnections
		if s.parted {
			s.opts.Parallel = max(opts.HostConnections, defaultDirectParallel)
		}
	}
	return s
}

// Start begins to deliver, until Stop or the end of ctx, which breaks attempts off.
func (s *Sender) Start(ctx context.Context) {
	s.last, s.kill = context.WithCancel(context.WithoutCancel(ctx))
	ctx, s.cancel = context.WithCancel(ctx)
	s.started = time.Now()
	for range s.opts.Parallel + 1 { // one is kept free for critical mails
		s.workers.Go(func() { s.work(ctx) })
	}
	var sweeping context.Context
	sweeping, s.tidy = context.WithCancel(ctx)
	s.workers.Go(func() { s.sweep(sweeping) })
}

// Stop begins no further mail, gives those under way 3 s, and 20 s to those that wait
// for the answer to the final dot, so that none is broken off between the smarthost's
// answer and our note of it, and waits. Mails stay in the queue. It may be called twice,
// or without Start.
func (s *Sender) Stop() {
	s.mu.Lock()
	s.ended = true
	s.notify()
	s.mu.Unlock()
	if s.cancel == nil {
		return
	}
	s.tidy()
	grace, last := time.AfterFunc(stopGrace, s.cancel), time.AfterFunc(dotGrace, s.kill)
	s.workers.Wait()
	grace.Stop()
	last.Stop()
	s.cancel()
	s.kill()
	for _, c := range s.takeIdle(time.Now().Add(idleConnection)) {
		c.quit()
	}
}

// takeIdle gives the connections that nobody has used since then.
func (s *Sender) takeIdle(before time.Time) []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	var old []*client
	for _, h := range s.allHosts() {
		old = append(old, h.takeIdle(before)...)
	}
	return old
}

// allHosts gives every server that has a state. The caller holds mu.
func (s *Sender) allHosts() []*host {
	var all []*host
	for _, p := range s.places {
		if p.named() {
			for _, h := range p.known {
				all = append(all, h)
			}
		} else {
			all = append(all, p.hosts...)
		}
	}
	for _, h := range s.exchangers {
		all = append(all, h)
	}
	return all
}

// notify wakes the workers. The caller holds mu.
func (s *Sender) notify() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// work takes one mail after the other, until the end, or until another worker has taken
// its place because a mail took long.
func (s *Sender) work(ctx context.Context) {
	for {
		a := s.next(ctx)
		if a == nil {
			return
		}
		timer := time.AfterFunc(slowAfter, func() { s.giveWay(ctx, a) })
		s.attempt(ctx, a)
		timer.Stop()
		if s.finish(a) {
			return
		}
	}
}

// giveWay lets another mail go in the place of one that takes long.
func (s *Sender) giveWay(ctx context.Context, a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.done || s.ended || s.slow >= maxSlow {
		return
	}
	a.slow = true
	s.slow++
	if !a.entry.critical {
		s.plain--
	}
	if h := a.host; h != nil {
		h.active--
		h.slow++
		if !a.connected {
			a.hanging = true
			h.hanging++
		}
	}
	s.workers.Go(func() { s.work(ctx) })
	s.notify()
}

// finish ends an attempt and tells whether it gave its place to another.
func (s *Sender) finish(a *attempt) (gaveWay bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.done = true
	if a.slot != nil {
		a.dropSlot()
		s.notify()
	}
	if a.reserved != nil && a.reserved.prober == a {
		a.reserved.prober = nil
		s.notify()
	}
	switch {
	case a.slow:
		s.slow--
	case !a.entry.critical:
		s.plain--
	}
	return a.slow
}

// next waits for a mail that is due while its destination may be tried; nil at the
// end.
func (s *Sender) next(ctx context.Context) *attempt {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.mu.Lock()
		if s.ended || ctx.Err() != nil {
			s.mu.Unlock()
			return nil
		}
		a, wait := s.pick(time.Now())
		wake := s.wake
		s.mu.Unlock()
		if a != nil {
			return a
		}
		timer.Reset(max(wait, time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-timer.C:
		}
	}
}

// sweep gives up mails that have waited for too long for any server, and closes idle
// connections.
func (s *Sender) sweep(ctx context.Context) {
	ticker := time.NewTicker(min(sweepInterval, s.opts.ExpireAfter, cmp.Or(s.opts.DelayAfter, sweepInterval)))
	idle := time.NewTicker(idleConnection / 2)
	defer ticker.Stop()
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			for _, c := range s.takeIdle(time.Now().Add(-idleConnection / 2)) {
				c.quit()
			}
		case <-ticker.C:
			for _, a := range s.takeStranded() {
				s.attempt(ctx, a)
			}
			s.tellDelays()
			s.mu.Lock()
			s.dropUnused()
			s.mu.Unlock()
		}
	}
}
