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
	// Due is when it is tried next, unless all smarthosts are paused.
	Due      time.Time
	Attempts int
	Critical bool
	Held     bool
	// Busy means that it is being delivered.
	Busy bool
}

// List gives the waiting mails, oldest first.
func (s *Sender) List() []Status {
	s.mu.Lock()
	all := make([]Status, 0, len(s.known))
	for _, e := range s.known {
		all = append(all, Status{
			ID: e.id, Received: e.received, Due: e.due, Attempts: e.attempts,
			Critical: e.critical, Held: e.held, Busy: e.index < 0 && !e.held,
		})
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
// smarthosts.
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
	if e.index >= 0 {
		heap.Fix(s.lane(e), e.index)
	} else if e.held {
		e.held = false
		s.push(e)
	}
	s.notify()
	return nil
}

// endPauses makes all servers and the DNS worth a try. The caller holds mu.
func (s *Sender) endPauses() {
	for _, h := range s.places {
		h.until = time.Time{}
	}
	for _, h := range s.exchangers {
		h.until = time.Time{}
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
	s.conclude(e, mail, results)
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
