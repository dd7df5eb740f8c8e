package delivery

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/maillog"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// toResult translates an answer.
func toResult(host string, index int, a *answer, state queue.State) queue.Result {
	r := queue.Result{Recipient: index, State: state, Time: time.Now().UTC(), Host: host}
	if a.reply == nil {
		r.Text = printable(fmt.Sprint(a.err))
		return r
	}
	r.Code, r.Status, r.Text = a.reply.code, a.reply.status, a.reply.text()
	if state != queue.Delivered {
		r.Said = a.reply.verbatim()
	}
	return r
}

// settle records final results while other recipients still wait, and tells the sender of
// failures.
func (s *Sender) settle(a *attempt, results []queue.Result) {
	if len(results) == 0 {
		return
	}
	a.mail.Results = append(a.mail.Results, results...)
	s.count(a, results)
	s.tellReached(a, results)
	more := len(stillOpen(a.mail)) > 0
	if !more && !hasFailed(a.mail) {
		return // finishAttempt drops the mail, which says all
	}
	if err := s.opts.Queue.Record(a.mail.ID, results); err != nil {
		s.warnOfSpool(a, err)
		return
	}
	s.tellSender(a, untold(a.mail), more)
}

// tellReached has a notification made of recipients that have the mail, when the sender has
// asked to hear of that and the next server does not tell.
func (s *Sender) tellReached(a *attempt, results []queue.Result) {
	var reached []queue.Result
	for _, r := range results {
		if r.State == queue.Delivered && !r.Passed && a.mail.Notify[a.mail.To[r.Recipient]].Wants("SUCCESS") {
			reached = append(reached, r)
		}
	}
	if len(reached) == 0 || s.opts.Reached == nil {
		return
	}
	if err := s.opts.Reached(a.mail, reached); err != nil {
		s.opts.Monitor.Errorf("mail %s: notifying %q of the delivery: %v", a.mail.ID, a.mail.From, err)
	}
}

// warnOfSpool says that the spool does not take a result: what is delivered may be
// delivered again, but nothing is lost.
func (s *Sender) warnOfSpool(a *attempt, err error) {
	s.opts.Monitor.LimitedWarnf("spool", "mail %s: %v", a.entry.id, err)
}

// tellSender has a notification made of recipients that have failed, and notes that when
// the mail lives on.
func (s *Sender) tellSender(a *attempt, failed []queue.Result, more bool) {
	if len(failed) == 0 {
		return
	}
	if s.opts.Failed != nil {
		if err := s.opts.Failed(a.mail, failed); err != nil {
			s.opts.Monitor.Errorf("mail %s: notifying %q of the failure: %v", a.mail.ID, a.mail.From, err)
			return
		}
	}
	for i := range failed {
		failed[i].Told = true
	}
	a.mail.Results = append(a.mail.Results, failed...)
	if more {
		if err := s.opts.Queue.Record(a.mail.ID, failed); err != nil {
			s.warnOfSpool(a, err)
		}
	}
}

// untold gives the failures that the sender has not been told of.
func untold(mail *queue.Mail) []queue.Result {
	var failed []queue.Result
	for _, r := range mail.Last() {
		if r.State == queue.Undeliverable && !r.Told {
			failed = append(failed, r)
		}
	}
	return failed
}

func hasFailed(mail *queue.Mail) bool {
	for _, state := range mail.States() {
		if state == queue.Undeliverable {
			return true
		}
	}
	return false
}

// finishAttempt records who was put off and decides what becomes of the mail. Without any
// result nothing was learnt about it, and it is not put off, unless it goes to several
// destinations.
func (s *Sender) finishAttempt(a *attempt, deferred []queue.Result) {
	e, mail := a.entry, a.mail
	open := stillOpen(mail)
	if len(open) == 0 {
		s.complete(a)
		return
	}
	if given := s.giveUp(a, open, deferred); len(given) > 0 {
		s.settle(a, given)
		s.complete(a)
		return
	}
	if failed := untold(mail); len(failed) > 0 { // after a kill, or a full disk
		s.tellSender(a, failed, true)
	}
	switch {
	case len(deferred) > 0:
		mail.Results = append(mail.Results, deferred...)
		s.count(a, deferred)
		s.opts.Monitor.Count(monitor.PutOff, "")
		if err := s.opts.Queue.Record(mail.ID, deferred); err != nil {
			s.warnOfSpool(a, err)
		}
		s.putBack(e, open, s.dueAfter(a))
	case s.destinationOf(open) == several:
		s.putBack(e, open, s.nextTry(e))
	default:
		s.putBack(e, open, e.due)
	}
}

// dueAfter says, once for an attempt, when the next one is due.
func (s *Sender) dueAfter(a *attempt) time.Time {
	if a.next.IsZero() {
		a.next = s.nextTry(a.entry)
	}
	return a.next
}

// complete takes a mail whose recipients all have final results out of the queue.
func (s *Sender) complete(a *attempt) {
	var err error
	if hasFailed(a.mail) {
		s.tellSender(a, untold(a.mail), false)
		err = s.opts.Queue.Fail(a.mail.ID)
	} else {
		err = s.opts.Queue.Remove(a.mail.ID)
	}
	if err != nil {
		s.warnOfSpool(a, err)
		if hasFailed(a.mail) {
			s.putBack(a.entry, nil, s.nextTry(a.entry))
			return
		}
	}
	maillog.Completed(s.opts.Monitor, a.mail.ID, s.waited(a))
	s.forget(a.entry)
}

// stillOpen gives the recipients without a final result.
func stillOpen(mail *queue.Mail) []recipient {
	var open []recipient
	states := mail.States()
	for i, to := range mail.To {
		if states[i].Final() {
			continue
		}
		a, err := address.Parse(to)
		if err != nil {
			a = address.Address{}
		}
		open = append(open, recipient{i, a})
	}
	return open
}

// waited is the time since a mail was taken.
func (s *Sender) waited(a *attempt) time.Duration { return time.Since(a.entry.received) }

// count counts results; the log has them from tellAttempt.
func (s *Sender) count(a *attempt, results []queue.Result) {
	for _, r := range results {
		switch r.State {
		case queue.Delivered:
			s.opts.Monitor.Count(monitor.Delivered, "")
			s.opts.Monitor.Add(monitor.LatencyMS, "", max(0, time.Since(a.mail.Received).Milliseconds()))
		case queue.Undeliverable:
			s.opts.Monitor.Count(monitor.Failed, a.mail.Origin)
			if r.Host == "" || r.Status == expiredStatus { // no server's answer
				s.tellResult(a, &r, maillog.Peer{})
			}
		default:
			s.opts.Monitor.Count(monitor.Deferred, fmt.Sprintf("%s %d", r.Host, r.Code))
		}
	}
}

// tellAttempt logs what a server has answered for one recipient. When it is put off, it
// gives the line back, for tellDeferred.
func (s *Sender) tellAttempt(a *attempt, h *host, out *outcome, r *queue.Result, took time.Duration) *maillog.Attempt {
	line := s.line(a, r)
	line.Server, line.TLS, line.Took = h.peer(), out.tls, took
	switch r.State {
	case queue.Delivered:
		maillog.Delivered(s.opts.Monitor, line)
	case queue.Undeliverable:
		maillog.Failed(s.opts.Monitor, line)
	default:
		return line
	}
	return nil
}

// tellDeferred logs who was put off, and until when; a zero next means that another
// server is asked at once.
func (s *Sender) tellDeferred(lines []*maillog.Attempt, next time.Time) {
	for _, line := range lines {
		line.Next = next
		maillog.Deferred(s.opts.Monitor, line)
	}
}

// tellResult logs a failure that no server has answered.
func (s *Sender) tellResult(a *attempt, r *queue.Result, server maillog.Peer) {
	line := s.line(a, r)
	line.Server, line.Answer = server, r.Text
	maillog.Failed(s.opts.Monitor, line)
}

// tellUnreached logs that a server could not be asked.
func (s *Sender) tellUnreached(a *attempt, h *host, open []recipient, err error, took time.Duration) {
	for _, r := range open {
		line := s.line(a, &queue.Result{Recipient: r.index, Text: printable(err.Error())})
		line.Server, line.Took = h.peer(), took
		maillog.Deferred(s.opts.Monitor, line)
	}
}

// line is what all lines about a recipient have.
func (s *Sender) line(a *attempt, r *queue.Result) *maillog.Attempt {
	text := r.Text
	if r.Code != 0 {
		text = strings.ReplaceAll(r.Said, "\n", " / ")
		if text == "" {
			text = strings.TrimSpace(fmt.Sprintf("%d %s", r.Code, strings.TrimSpace(r.Status+" "+r.Text)))
		}
	}
	return &maillog.Attempt{
		ID: a.mail.ID, From: a.mail.From, To: a.mail.To[r.Recipient], Size: len(a.mail.Body),
		Answer: text, Waited: s.waited(a),
	}
}

// peer names a server in the log.
func (h *host) peer() maillog.Peer {
	if _, err := netip.ParseAddrPort(h.Addr); err != nil || h.Host == "" {
		return maillog.Peer{Name: h.Addr}
	}
	return maillog.Peer{Name: h.Host, Addr: h.Addr}
}
