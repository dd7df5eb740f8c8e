package rollup

import (
	"slices"
	"time"
)

// Start opens the first windows. It is called before flows are added, and again after
// windows have been closed with Finish.
func (s *Set) Start(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rollups {
		if len(r.windows) == 0 {
			r.open(now.Round(0)) // the wall clock alone counts
		}
	}
}

// Next returns when the next window closes.
func (s *Set) Next() (at time.Time) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.rollups {
		if len(r.windows) == 0 {
			continue
		}
		if end := r.windows[0].end.Add(r.Spread); at.IsZero() || end.Before(at) {
			at = end
		}
		if end := r.windows[len(r.windows)-1].end; end.Before(at) {
			at = end
		}
	}
	return at
}

// Close closes the windows that are over and opens the next, and gives the points of the
// former. A point is valid until yield returns.
func (s *Set) Close(now time.Time, yield func(*Point)) { s.close(now, false, yield) }

// Finish closes all windows and gives their points. Start opens new ones.
func (s *Set) Finish(now time.Time, yield func(*Point)) { s.close(now, true, yield) }

// close closes windows.
func (s *Set) close(now time.Time, all bool, yield func(*Point)) {
	now = now.Round(0)
	s.closing.Lock()
	defer s.closing.Unlock()
	var closed []*window
	s.mu.Lock()
	for _, r := range s.rollups {
		closed = append(closed, r.advance(now, all)...)
	}
	s.mu.Unlock()
	for _, w := range closed {
		w.tell(s, now, yield)
		w.texts.forget(w.number)
	}
}

// advance returns the windows that are over, and opens those that have begun.
func (r *rollup) advance(now time.Time, all bool) (closed []*window) {
	if len(r.windows) == 0 {
		return nil
	}
	first, newest := r.windows[0], r.windows[len(r.windows)-1]
	back := now.Before(newest.begin.Add(-r.Interval)) // the clock was set
	jumped := back || now.Sub(newest.end) > r.Interval*maxOpen
	if back {
		r.set++
	}
	for len(r.windows) > 0 && (all || jumped || !now.Before(first.end.Add(r.Spread))) {
		closed = append(closed, first)
		r.windows = slices.Delete(r.windows, 0, 1)
		if len(r.windows) > 0 {
			first = r.windows[0]
		}
	}
	switch {
	case all:
		return closed
	case jumped:
		r.open(now)
		return closed
	}
	for end := newest.end; !end.After(now); end = end.Add(r.Interval) {
		if !end.Add(r.Interval + r.Spread).After(now) {
			continue // it would be over already
		}
		r.open(end)
	}
	return closed
}

// open opens a window.
func (r *rollup) open(begin time.Time) {
	r.round++
	r.windows = append(r.windows, r.newWindow(begin))
}

// idle is how long Run sleeps at most: the clock may be set meanwhile.
const idle = 5 * time.Second

// Run closes windows when they are over, until done is closed.
func (s *Set) Run(done <-chan struct{}, yield func(*Point)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-timer.C:
		}
		s.Close(time.Now(), yield)
		timer.Reset(max(time.Millisecond, min(idle, time.Until(s.Next()))))
	}
}
