package delivery

import (
	"container/heap"
	"fmt"
	"time"

	"github.com/flowgraf/flowgraf/relay/queue"
)

const (
	// expiredStatus is "delivery time expired" (RFC 3463).
	expiredStatus = "4.4.7"
	// stranded is how many times ExpireAfter a mail waits when no server can be reached.
	stranded = 4
	// startupGrace is how long mails that were old at the start are tried.
	startupGrace = 15 * time.Minute
)

// old tells whether a mail has been tried for times ExpireAfter. Age alone expires
// nothing: this is asked only after an attempt.
func (s *Sender) old(e *entry, times time.Duration) bool {
	now := time.Now()
	s.mu.Lock()
	patience := e.patience
	s.mu.Unlock()
	return now.Sub(patience) > times*s.opts.ExpireAfter && now.Sub(s.started) > min(startupGrace, s.opts.ExpireAfter)
}

// giveUp gives final results for the recipients that still wait, when the mail is old
// enough: an attempt at a server that is there has just failed, or none has been there
// for several times as long.
func (s *Sender) giveUp(a *attempt, open []recipient, deferred []queue.Result) []queue.Result {
	if !s.old(a.entry, 1) || (len(deferred) < len(open) && !s.old(a.entry, stranded)) {
		return nil
	}
	last := a.mail.Last()
	for _, r := range deferred {
		last[r.Recipient] = r
	}
	asked := map[int]bool{}
	for _, r := range deferred {
		asked[r.Recipient] = true
	}
	var results []queue.Result
	for _, rcpt := range open {
		r := last[rcpt.index]
		why := "the last answer was " + describe(&r)
		switch {
		case !asked[rcpt.index]:
			why = s.unreached(a.entry)
			if r.Text != "" {
				why += "; before that, at " + r.Time.Format(time.RFC1123Z) + ", " + describe(&r)
			} else {
				r = queue.Result{}
			}
		case r.Code == 0:
			why = "the last attempt ended with " + describe(&r)
		}
		r.Recipient, r.State, r.Time, r.Status = rcpt.index, queue.Undeliverable, time.Now().UTC(), expiredStatus
		r.Text = printable(fmt.Sprintf("not delivered within %s: %s", time.Since(a.entry.received).Round(time.Second),
			why))
		results = append(results, r)
	}
	return results
}

// describe tells a result in words.
func describe(r *queue.Result) string {
	if r.Code == 0 {
		return fmt.Sprintf("%s: %s", r.Host, r.Text)
	}
	return fmt.Sprintf("%s: %d %q", r.Host, r.Code, r.Text)
}

// unreached says why no server can be asked.
func (s *Sender) unreached(e *entry) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	why := "no server could be reached"
	for _, w := range s.waits(e, time.Now()) {
		why += "; " + w.Host
		if !w.Since.IsZero() {
			why += " since " + w.Since.Format(time.RFC1123Z)
		}
		why += ": " + w.Why
	}
	return why
}

// takeStranded takes the mails that no server was there for, for several times
// ExpireAfter, so that they can be given up.
func (s *Sender) takeStranded() []*attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.started) <= min(startupGrace, s.opts.ExpireAfter) {
		return nil
	}
	var old []*attempt
	for _, e := range s.known {
		if e.index >= 0 && now.Sub(e.patience) > stranded*s.opts.ExpireAfter &&
			s.wait(s.destination(e.destination), now, e) > 0 {
			old = append(old, &attempt{entry: e})
		}
	}
	for _, a := range old {
		heap.Remove(s.lane(a.entry), a.entry.index)
	}
	return old
}
