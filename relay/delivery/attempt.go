package delivery

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/maillog"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// attempt is one mail being worked on. What is not said otherwise belongs to its worker.
type attempt struct {
	entry *entry
	mail  *queue.Mail
	from  address.Address
	next  time.Time // when it is tried again, once that is known

	// Guarded by Sender.mu.
	host      *host     // that is asked
	since     time.Time // when that began
	connected bool      // it is past the login there
	slow      bool      // its place is another's
	hanging   bool      // it counts among host.hanging
	reserved  *host     // that it is to probe
	slot      *host     // that keeps a connection for it
	done      bool
}

// recipient is one that waits, with its index in the envelope.
type recipient struct {
	index int
	address.Address
}

// attempt tries to deliver one mail.
func (s *Sender) attempt(ctx context.Context, a *attempt) {
	e := a.entry
	s.mu.Lock()
	e.work = a
	s.mu.Unlock()
	var err error
	a.mail, err = s.opts.Queue.Load(e.id)
	if errors.Is(err, queue.ErrCorrupt) {
		if err := s.opts.Queue.SetAside(e.id, err); err != nil {
			s.opts.Monitor.Errorf("mail %s: %v", e.id, err)
		}
		s.forget(e)
		return
	}
	if err != nil {
		s.opts.Monitor.LimitedWarnf("load", "mail %s: %v", e.id, err)
		s.putBack(e, nil, s.nextTry(e))
		return
	}
	open, refused := s.recheck(a)
	s.settle(a, refused)
	var deferred []queue.Result
	for _, group := range s.groups(open) {
		final, later := s.deliver(ctx, a, group)
		s.settle(a, final)
		deferred = append(deferred, later...)
	}
	s.finishAttempt(a, deferred)
}

// groups parts recipients by destination, in the order of the envelope.
func (s *Sender) groups(open []recipient) [][]recipient {
	if !s.parted {
		if len(open) == 0 {
			return nil
		}
		return [][]recipient{open}
	}
	var all [][]recipient
	at := map[string]int{}
	for _, r := range open {
		key := s.keyOf(r.Address)
		i, seen := at[key]
		if !seen {
			i = len(all)
			at[key] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], r)
	}
	return all
}

// recheck puts sender and recipients through grammar and policy once more, as they
// will be on the wire, and looks for line ends that are none.
func (s *Sender) recheck(a *attempt) (open []recipient, refused []queue.Result) {
	mail := a.mail
	states := mail.States()
	from, fromErr := address.ParseReverse(mail.From)
	a.from = from
	if hasBare(mail.Body) {
		fromErr = errors.Join(fromErr, errors.New("the message has a bare CR or LF"))
	}
	for i, to := range mail.To {
		if states[i].Final() {
			continue
		}
		rcpt, err := address.Parse(to)
		if err == nil && s.opts.Allow != nil {
			err = s.opts.Allow(&mail.Envelope, rcpt)
		}
		if err = errors.Join(fromErr, err); err != nil {
			refused = append(refused, queue.Result{
				Recipient: i, State: queue.Undeliverable, Time: time.Now().UTC(),
				Status: "5.7.1", Text: printable(err.Error()),
			})
			continue
		}
		open = append(open, recipient{i, rcpt})
	}
	return open, refused
}

// hasBare tells whether a CR stands without LF or a LF without CR.
func hasBare(b []byte) bool {
	pairs := bytes.Count(b, []byte("\r\n"))
	return bytes.Count(b, []byte{'\r'}) != pairs || bytes.Count(b, []byte{'\n'}) != pairs
}

// deliver gives a mail to the recipients of one destination. It gives no results when
// none of the servers could be asked, so that nothing was learnt about this mail.
func (s *Sender) deliver(ctx context.Context, a *attempt, open []recipient) (final, deferred []queue.Result) {
	s.mu.Lock()
	d := s.destination(s.destinationOf(open))
	d.attempts++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		d.attempts--
		s.mu.Unlock()
	}()
	refusal, ok := s.route(ctx, d)
	switch {
	case !ok:
		return nil, nil
	case refusal != nil:
		for _, r := range open {
			result := toResult(d.domain, r.index, &answer{step: "RCPT", reply: refusal}, queue.Undeliverable)
			s.tellResult(a, &result, maillog.Peer{Name: d.domain})
			final = append(final, result)
		}
		return final, nil
	}
	return s.tryHosts(ctx, a, d, open)
}

// tryHosts asks a destination's servers in their order, each for those recipients that
// the one before did not take or refuse for good.
func (s *Sender) tryHosts(
	ctx context.Context, a *attempt, d *destination, open []recipient,
) (final, deferred []queue.Result) {
	asked := map[*host]bool{}
	var stuck []queue.Result     // another server would make it two mails
	var lines []*maillog.Attempt // of those put off, until it is known what follows
	defer func() {
		if len(lines) > 0 {
			s.tellDeferred(lines, s.dueAfter(a))
		}
	}()
	for len(open) > 0 {
		h := s.acquire(a, d, asked)
		if h == nil {
			break
		}
		s.settle(a, final) // the next server may take long: what is done is done
		s.tellDeferred(lines, time.Time{})
		final, lines, asked[h] = nil, nil, true
		patience := greetingTimeout
		if s.others(a, d, asked) {
			patience = otherTimeout
		}
		begun := time.Now()
		out := s.sendTo(ctx, a, h, open, patience)
		if ctx.Err() != nil && out.fault != faultNone { // we broke it
			s.abandon(a)
			break
		}
		s.release(a, &out)
		took := time.Since(begun)
		if out.fault == faultHost && !out.answered() {
			s.tellUnreached(a, h, open, out.err, took)
			continue
		}
		deferred = deferred[:0]
		var left []recipient
		for i, r := range open {
			v := judge(&out.answers[i], h.direct)
			result := toResult(h.name(), r.index, &out.answers[i], v.state)
			result.Passed = v.state == queue.Delivered && out.notifies
			if line := s.tellAttempt(a, h, &out, &result, took); line != nil {
				lines = append(lines, line)
			}
			switch {
			case v.state.Final():
				final = append(final, result)
			case out.afterDot && out.answers[i].err != nil:
				stuck = append(stuck, result)
			default:
				deferred, left = append(deferred, result), append(left, r)
				s.warnOfRoute(a, h, v, &out.answers[i])
			}
		}
		open = left
	}
	return final, append(deferred, stuck...)
}

// warnOfRoute raises the alarm when a server refuses this relay, or its sender.
func (s *Sender) warnOfRoute(a *attempt, h *host, v verdict, answer *answer) {
	if !v.route {
		if answer.step == "MAIL" && answer.reply != nil {
			s.opts.Monitor.Count(monitor.HostErrors, "mail")
		}
		return
	}
	reason, what := "relay", "this relay"
	if answer.step == "MAIL" {
		reason, what = "mail", "the sender"
	}
	s.opts.Monitor.Count(monitor.HostErrors, reason)
	s.opts.Monitor.LimitedErrorf(reason+" "+h.name(), "%s refuses %s at %s of mail %s: %d %s %q; the mail waits",
		h.title(), what, answer.step, a.mail.ID, answer.reply.code, answer.reply.status, answer.reply.text())
}

// sendTo gives a mail to a place on this machine, or to one server, on a connection at
// hand or a new one. A connection at hand may have been closed by the server meanwhile,
// or have had all the mails that the server wants on one: what is not answered for good
// there is tried once more on a fresh one. When the server wants fewer recipients at a
// time, the others follow in the next transaction.
func (s *Sender) sendTo(ctx context.Context, a *attempt, h *host, open []recipient, patience time.Duration) outcome {
	to := make([]address.Address, len(open))
	pending := make([]int, len(open)) // indices into open
	for i, r := range open {
		to[i], pending[i] = r.Address, i
	}
	if h.local() {
		return h.store(a.mail, to)
	}
	all := outcome{answers: make([]answer, len(open))}
	var rest []int
	for reuse := true; ; {
		c, fresh, err := s.connection(ctx, a, h, patience, reuse)
		if err != nil {
			all.fault, all.err = faultHost, err
			for _, i := range pending {
				if all.answers[i].reply == nil {
					all.answers[i] = answer{step: "connect", err: err}
				}
			}
			return all
		}
		out := s.transact(ctx, a, h, c, to, pending)
		for n, i := range pending {
			all.answers[i] = out.answers[n]
		}
		all.fault, all.err, all.afterDot = out.fault, out.err, out.afterDot
		all.tls, all.notifies = out.tls, out.notifies
		if ctx.Err() != nil || out.afterDot {
			return all
		}
		reuse = fresh // what an old one has not brought is tried on a fresh one, once
		var half []int
		pending, half = again(&out, pending, fresh, h.direct)
		if rest = append(rest, half...); len(pending) == 0 {
			pending, rest = rest, nil
		}
		if len(pending) == 0 {
			return all
		}
	}
}

// again gives the recipients for which the same server is asked once more at once, and
// those that follow in a transaction of their own.
func again(out *outcome, pending []int, fresh, direct bool) (now, then []int) {
	progress, whole := false, true
	for n, i := range pending {
		v := judge(&out.answers[n], direct)
		progress = progress || v.state.Final()
		whole = whole && v.fewer && out.answers[n].step != "RCPT"
		if v.state == queue.Deferred && (!fresh || v.fewer && out.fault == faultNone) {
			now = append(now, i)
		}
	}
	switch {
	case !fresh, progress:
		return now, nil
	case whole && len(now) > 1: // of all of them, none was taken
		return now[:len(now)/2], now[len(now)/2:]
	}
	return nil, nil
}

// connection gives a fresh connection, or one at hand when it may be reused.
func (s *Sender) connection(
	ctx context.Context, a *attempt, h *host, patience time.Duration, reuse bool,
) (c *client, fresh bool, err error) {
	if reuse {
		if c := s.takeClient(h); c != nil {
			s.setConnected(a)
			return c, c.mails == 0, nil
		}
	}
	c, err = s.dialer.connect(ctx, h, patience)
	if err != nil {
		return nil, true, err
	}
	s.setConnected(a)
	if h.testing && c.doubt != nil {
		s.opts.Monitor.Count(monitor.HostErrors, "mta-sts testing")
		s.opts.Monitor.LimitedWarnf("sts testing "+h.name(),
			"%s: its MTA-STS policy, in testing mode, is not met: %v", h.title(), c.doubt)
	}
	return c, true, nil
}

// setConnected says that an attempt is past the login.
func (s *Sender) setConnected(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.connected = true
	if a.hanging {
		a.hanging = false
		a.host.hanging--
		s.notify()
	}
}

// transact sends a mail to some of its recipients and keeps the connection if it is good
// for more.
func (s *Sender) transact(
	ctx context.Context, a *attempt, h *host, c *client, to []address.Address, pending []int,
) outcome {
	some := make([]address.Address, len(pending))
	for n, i := range pending {
		some[n] = to[i]
	}
	stop := context.AfterFunc(ctx, func() {
		if !c.pastDot.Load() {
			c.conn.Close()
		}
	})
	stopLast := context.AfterFunc(s.last, func() { c.conn.Close() })
	fresh := c.mails == 0
	c.late = func() {
		s.opts.Monitor.Warnf("%s has not answered the end of mail %s for %s; "+
			"it is not sent again while the connection lives, at most %s",
			h.title(), a.mail.ID, dotTimeout, dotTimeout+lateTimeout)
	}
	out := c.send(a.from, some, a.mail)
	stop()
	stopLast()
	later := false // somebody was put off
	for i := range out.answers {
		answer := &out.answers[i]
		later = later || judge(answer, h.direct).state == queue.Deferred
		if answer.code() == 421 { // RFC 5321 section 3.8: it goes away
			out.fault, out.err = faultMail, &stepError{step: answer.step, reply: answer.reply}
		}
	}
	switch {
	case out.fault != faultNone:
		c.conn.Close()
	case c.broken, c.mails >= s.opts.HostMails, ctx.Err() != nil, later && !fresh:
		c.quit()
	default:
		s.put(h, c)
	}
	return out
}
