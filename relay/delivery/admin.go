package delivery

import (
	"container/heap"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// ErrUnknown is wrapped when no waiting mail has an id.
var ErrUnknown = errors.New("no such mail waits")

// ErrBusy is wrapped when a mail is being delivered at this moment.
var ErrBusy = errors.New("the mail is being delivered at this moment, try again")

// Status is how a waiting mail stands.
type Status struct {
	ID       string
	Received time.Time
	// Due is when it is tried next, at the earliest; zero when something must happen
	// first, such as the end of another mail's attempt.
	Due      time.Time
	Attempts int
	Critical bool
	Held     bool
	// Busy means that it is being delivered; Asking is the server that is asked, since
	// then.
	Busy   bool
	Asking string
	Since  time.Time
	// Waits say which servers keep it waiting.
	Waits []Wait
}

// Wait is a server that cannot be asked now, or the look-up of servers.
type Wait struct {
	// Host is the server, or the name that is looked up; Why is what it answered last,
	// or the error there was.
	Host, Why string
	// Since is when it began, zero when that is not known; Until is when it is asked
	// again, zero when it waits for something to happen.
	Since, Until time.Time
}

// List gives the waiting mails, oldest first.
func (s *Sender) List() []Status {
	s.mu.Lock()
	all := make([]Status, 0, len(s.known))
	now := time.Now()
	for _, e := range s.known {
		all = append(all, s.status(e, now))
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b Status) int {
		if c := a.Received.Compare(b.Received); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}

// status tells how one mail stands. The caller holds mu.
func (s *Sender) status(e *entry, now time.Time) Status {
	st := Status{
		ID: e.id, Received: e.received, Due: e.due, Attempts: e.attempts,
		Critical: e.critical, Held: e.held, Busy: e.index < 0 && !e.held,
	}
	if st.Busy {
		if e.work != nil && e.work.host != nil {
			st.Asking, st.Since = e.work.host.name(), e.work.since
		}
		return st
	}
	if e.held {
		return st
	}
	st.Waits = s.waits(e, now)
	switch wait := s.wait(s.destination(e.destination), now, e); {
	case wait >= longestWait && !st.Due.After(now):
		st.Due = time.Time{}
	case wait > 0 && wait < longestWait && st.Due.Before(now.Add(wait)):
		st.Due = now.Add(wait)
	}
	return st
}

// waits gives what keeps a mail's destination from being asked. The caller holds mu.
func (s *Sender) waits(e *entry, now time.Time) []Wait {
	var all []Wait
	d := s.destination(e.destination)
	places := s.places
	if d.way != nil {
		places = d.way.places
	}
	for _, p := range places {
		if p.lookups.err != nil {
			all = append(all, p.lookups.wait(p.Host))
		}
	}
	if d.lookups.err != nil {
		all = append(all, d.lookups.wait(d.domain))
	}
	for _, h := range d.hosts {
		if w, ok := h.wait(now); ok {
			all = append(all, w)
		}
	}
	return all
}

// wait tells of a look-up that has failed.
func (l *lookupState) wait(name string) Wait {
	return Wait{Host: name, Why: printable(l.err.Error()), Since: l.since, Until: l.until}
}

// Oldest gives the age of the mail that waits longest, 0 when none does.
func (s *Sender) Oldest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var oldest time.Duration
	for _, e := range s.known {
		oldest = max(oldest, now.Sub(e.received))
	}
	return oldest
}

// Retry makes a mail due now, lets it go if it is held, and ends the pauses of
// smarthosts. It is always tried, once more when an attempt is being made, and from now on
// it has the whole time again in which it may be put off.
func (s *Sender) Retry(id string) error {
	if err := s.opts.Queue.SetHeld(id, false); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.known[id]
	if e == nil {
		return fmt.Errorf("mail %s: %w", id, ErrUnknown)
	}
	s.endPauses()
	e.due = time.Now()
	e.patience = e.due
	switch {
	case e.index >= 0:
		heap.Fix(s.lane(e), e.index)
	case e.work != nil:
		e.held, e.again = false, true
	case e.held:
		e.held = false
		s.push(e)
	}
	s.notify()
	return nil
}

// endPauses makes all servers and the DNS worth a try. The caller holds mu.
func (s *Sender) endPauses() {
	for _, h := range s.allHosts() {
		h.endPause()
	}
	for _, p := range s.places {
		p.lookups.until = time.Time{}
	}
	for _, d := range s.destinations {
		d.lookups.until = time.Time{}
	}
}

// Hold keeps a mail until Retry, over restarts too. It does not expire meanwhile.
func (s *Sender) Hold(id string) error {
	e, err := s.takeOut(id)
	if err != nil {
		return err
	}
	err = s.opts.Queue.SetHeld(id, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.held = err == nil
	s.push(e)
	return err
}

// Drop removes a mail from the queue without a word to anybody.
func (s *Sender) Drop(id string) error {
	e, err := s.takeOut(id)
	if err != nil {
		return err
	}
	if err := s.opts.Queue.Remove(id); err != nil {
		s.giveBack(e)
		return err
	}
	s.forget(e)
	return nil
}

// Bounce fails all recipients that a mail still waits for, as a smarthost's 5xx does.
func (s *Sender) Bounce(id string) error {
	e, err := s.takeOut(id)
	if err != nil {
		return err
	}
	mail, err := s.opts.Queue.Load(id)
	if err != nil {
		s.giveBack(e)
		return err
	}
	var results []queue.Result
	for i, state := range mail.States() {
		if !state.Final() {
			results = append(results, queue.Result{
				Recipient: i, State: queue.Undeliverable, Time: time.Now().UTC(), Status: "5.0.0",
				Text: "returned by the administrator of the relay",
			})
		}
	}
	a := &attempt{entry: e, mail: mail}
	s.settle(a, results)
	s.finishAttempt(a, nil)
	return nil
}

// takeOut takes a waiting mail out of its lane, so that no worker has it.
func (s *Sender) takeOut(id string) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.known[id]
	switch {
	case e == nil:
		return nil, fmt.Errorf("mail %s: %w", id, ErrUnknown)
	case e.index >= 0:
		heap.Remove(s.lane(e), e.index)
	case !e.held:
		return nil, fmt.Errorf("mail %s: %w", id, ErrBusy)
	}
	e.held = false
	return e, nil
}

// giveBack undoes takeOut.
func (s *Sender) giveBack(e *entry) {
	held := s.opts.Queue.IsHeld(e.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.held = held
	s.push(e)
	s.notify()
}
