package delivery

import (
	"container/heap"
	"time"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// entry is a waiting mail, guarded by Sender.mu while nobody works on it.
type entry struct {
	id          string
	received    time.Time
	patience    time.Time // from when on its age counts: received, or a person's retry
	due         time.Time
	attempts    int
	critical    bool
	delayKnown  bool   // the sender knows of the delay
	held        bool   // it waits until somebody lets it go
	again       bool   // a person wants it tried again, behind the attempt that is made now
	destination string // whose lanes it waits in
	index       int    // in its lane, -1 while it is worked on or held
	work        *attempt
}

// Add says that a mail is in the queue and due now.
func (s *Sender) Add(env *queue.Envelope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[env.ID]; ok {
		return
	}
	now := time.Now() // on the monotonic clock from here on: the other one may jump
	received := now.Add(-max(0, now.Sub(env.Received)))
	e := &entry{
		id: env.ID, received: received, patience: received, due: now, index: -1,
		critical: env.Critical, held: s.opts.Queue.IsHeld(env.ID), destination: s.domainOf(env),
	}
	s.known[env.ID] = e
	s.push(e)
	s.notify()
}

// Waiting gives the number of mails not delivered yet.
func (s *Sender) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known)
}

// lane gives the lane of an entry. The caller holds mu.
func (s *Sender) lane(e *entry) *entryHeap {
	lanes := &s.destination(e.destination).lanes
	if e.critical {
		return &lanes[0]
	}
	return &lanes[1]
}

// push makes an entry wait in its lane. The caller holds mu.
func (s *Sender) push(e *entry) {
	if !e.held {
		heap.Push(s.lane(e), e)
	}
}

// putBack makes an entry wait, for these recipients, until due.
func (s *Sender) putBack(e *entry, open []recipient, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open != nil {
		e.destination = s.destinationOf(open)
	}
	if e.again {
		due, e.again = time.Now(), false
	}
	e.work, e.due = nil, due
	s.push(e)
	s.notify()
}

// nextTry counts an attempt and says when the next one is due.
func (s *Sender) nextTry(e *entry) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.attempts++
	return time.Now().Add(backoff(e.attempts))
}

func (s *Sender) forget(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, e.id)
}

// entryHeap orders entries by when they are due, then by age.
type entryHeap []*entry

func (h entryHeap) Len() int { return len(h) }

func (h entryHeap) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].id < h[j].id
}

func (h entryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *entryHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = -1
	return e
}
