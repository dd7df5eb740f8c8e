package delivery

import (
	"container/heap"
	"time"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// maxDelayed is how many mails are looked at in one go: none is tried meanwhile.
const maxDelayed = 500

// tellDelays tells senders that their mails wait for longer than Options.DelayAfter.
func (s *Sender) tellDelays() {
	if s.opts.DelayAfter == 0 || s.opts.Delayed == nil {
		return
	}
	for _, e := range s.takeDelayed() {
		s.tellDelay(e)
		s.putBack(e, nil, e.due)
	}
}

// takeDelayed takes the mails out of their lanes whose senders may have to be told.
func (s *Sender) takeDelayed() []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var old []*entry
	for _, e := range s.known {
		if len(old) == maxDelayed {
			break
		}
		if e.index >= 0 && !e.delayKnown && now.Sub(e.received) > s.opts.DelayAfter {
			e.delayKnown = true
			heap.Remove(s.lane(e), e.index)
			old = append(old, e)
		}
	}
	return old
}

// tellDelay tells of one mail, unless it was told before a restart. Nobody works on it.
func (s *Sender) tellDelay(e *entry) {
	mail, err := s.opts.Queue.Load(e.id)
	if err != nil {
		return // told when it is tried
	}
	knows := map[int]bool{}
	for _, r := range mail.Results {
		knows[r.Recipient] = knows[r.Recipient] || r.State == queue.Deferred && r.Told
	}
	var waiting []queue.Result
	for i, r := range mail.Last() {
		if r.State.Final() || knows[i] || !mail.Notify[mail.To[i]].Wants("DELAY") {
			continue
		}
		r.Recipient, r.State, r.Told = i, queue.Deferred, true
		waiting = append(waiting, r)
	}
	if len(waiting) == 0 {
		return
	}
	if err := s.opts.Delayed(mail, waiting, e.patience.Add(s.opts.ExpireAfter)); err != nil {
		s.opts.Monitor.Errorf("mail %s: notifying %q of the delay: %v", mail.ID, mail.From, err)
		return
	}
	if err := s.opts.Queue.Record(mail.ID, waiting); err != nil {
		s.opts.Monitor.LimitedWarnf("spool", "mail %s: %v", mail.ID, err)
	}
}
