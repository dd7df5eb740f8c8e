package delivery

import (
	"fmt"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// host is a next server at one address, or a place on this machine, and its state,
// guarded by Sender.mu.
type host struct {
	Smarthost
	direct  bool    // a domain's own server
	tls     TLSMode // of its connections
	testing bool    // an MTA-STS policy wants to hear of unverified connections
	several bool    // its name has other addresses too
	secrets secrets // that it was told
	limit   int     // connections at a time
	active  int     // of them
	slow    int     // connections beyond the limit, because they last long
	hanging int     // of these, those that have not got through the login
	idle    []idleClient

	failures int       // of connecting since it last worked
	since    time.Time // the first of them
	until    time.Time // it is paused until then
	earned   time.Time // until, unless Retry has cut the pause short
	prober   *attempt  // who sees whether it works again; nil: nobody
	lastErr  error     // of the last failure

	broken    map[string]bool // mails that broke the connection since one did not
	doubts    int             // pauses for that
	doubtTill time.Time       // mails that are not critical wait until then
}

type idleClient struct {
	*client
	since time.Time
}

const (
	// severalMails is how many different mails in a row must break their connections
	// until the server is in doubt. It is then paused for firstDoubt, twice as long with
	// each further mail, at most lastDoubt; critical mails do not wait for that.
	severalMails = 3
	firstDoubt   = 5 * time.Second
	lastDoubt    = time.Minute

	// maxHanging is how many connections may wait for a server's greeting for long
	// before critical mails wait too; the others wait for the first.
	maxHanging = 3
)

// paused tells for how long h may not be asked; 0: not at all. While somebody probes
// it, the answer is an hour: the probe's end is news.
func (h *host) paused(now time.Time, a *attempt, critical bool) time.Duration {
	switch {
	case h.probedBesides(a, critical), h.hanging > 0 && (!critical || h.hanging >= maxHanging):
		return longestWait
	case h.failures > 0:
		return max(0, h.until.Sub(now))
	case !critical:
		return max(0, h.doubtTill.Sub(now))
	}
	return 0
}

// probedBesides tells whether another attempt probes h. A critical mail does not wait for
// one that is not and takes long.
func (h *host) probedBesides(a *attempt, critical bool) bool {
	p := h.prober
	return p != nil && p != a && (!critical || p.entry.critical || !p.slow)
}

// full tells whether all of its connections are in use.
func (h *host) full() bool { return h.active >= h.limit }

// acquire gives the first server of d that may be asked and is not in asked; nil when
// there is none, or when it is busy. A critical mail goes past busy ones.
func (s *Sender) acquire(a *attempt, d *destination, asked map[*host]bool) *host {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, h := range d.hosts {
		switch {
		case asked[h] || h.paused(now, a, a.entry.critical) > 0 || (h.full() && h != a.slot && a.entry.critical):
			continue
		case h.full() && h != a.slot:
			return nil
		}
		a.dropSlot()
		if h.failures > 0 {
			h.prober = a
		}
		a.host, a.since = h, now
		if a.slow {
			h.slow++
		} else {
			h.active++
		}
		return h
	}
	return nil
}

// dropSlot gives the connection back that was kept for a mail when it was picked. The
// caller holds mu.
func (a *attempt) dropSlot() {
	if a.slot != nil {
		a.slot.active--
		a.slot = nil
	}
}

// others tells whether another server of d could be asked.
func (s *Sender) others(a *attempt, d *destination, asked map[*host]bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, h := range d.hosts {
		if !asked[h] && h.paused(now, a, a.entry.critical) == 0 {
			return true
		}
	}
	return false
}

// leave ends an attempt's use of its server. The caller holds mu.
func (s *Sender) leave(a *attempt) {
	h := a.host
	if h.prober == a {
		h.prober = nil
	}
	if a.slow {
		h.slow--
	} else {
		h.active--
	}
	if a.hanging {
		h.hanging--
	}
	a.host, a.hanging, a.connected = nil, false, false
	s.notify()
}

// abandon ends the use of a server of which nothing was learnt.
func (s *Sender) abandon(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(a)
}

// release says how it went with a server. Only what is its fault pauses it: connecting,
// greeting, EHLO, TLS and AUTH. What one mail provokes is that mail's matter; when it
// happens to several in a row, the server is in doubt.
func (s *Sender) release(a *attempt, out *outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := a.host
	s.leave(a)
	now := time.Now()
	if out.fault == faultHost {
		s.pause(h, out.err, now)
		return
	}
	if h.failures > 0 {
		s.opts.Monitor.Infof("%s works again after %s; %s",
			h.title(), now.Sub(h.since).Round(time.Second), monitor.MailsWait(len(s.known)))
	}
	h.failures, h.until, h.since = 0, time.Time{}, time.Time{}
	if out.fault == faultNone {
		h.broken, h.doubts, h.doubtTill, h.lastErr = nil, 0, time.Time{}, nil
		return
	}
	s.doubt(h, a.entry.id, out.err, now)
}

// pause says that a server cannot be used. The caller holds mu.
func (s *Sender) pause(h *host, err error, now time.Time) {
	h.lastErr = err
	if h.failures > 0 && now.Before(h.until) {
		return // another connection has paused it already
	}
	if h.failures == 0 {
		h.since = now
	}
	if h.failures == 0 || !now.Before(h.earned) {
		h.failures++
		h.earned = now.Add(backoff(h.failures))
	}
	h.until = h.earned
	pause := h.until.Sub(now)
	s.opts.Monitor.Count(monitor.HostErrors, "connection")
	const format = "%s: %v; paused for %s, %s"
	if h.several { // another address may do
		s.opts.Monitor.LimitedWarnf("pause "+h.name(), format, h.title(), err, pause.Round(time.Second),
			monitor.MailsWait(len(s.known)))
		return
	}
	s.opts.Monitor.Errorf(format, h.title(), err, pause.Round(time.Second), monitor.MailsWait(len(s.known)))
}

// doubt says that a connection broke within a mail. The caller holds mu.
func (s *Sender) doubt(h *host, id string, err error, now time.Time) {
	h.lastErr = err
	s.opts.Monitor.Count(monitor.HostErrors, "mail")
	if h.broken == nil {
		h.broken = map[string]bool{}
	}
	if h.broken[id] {
		return // nothing new about the server
	}
	h.broken[id] = true
	if len(h.broken) < severalMails || now.Before(h.doubtTill) {
		return
	}
	pause := min(firstDoubt<<min(h.doubts, 10), lastDoubt)
	h.doubts++
	h.doubtTill = now.Add(pause)
	s.opts.Monitor.Count(monitor.HostErrors, "connection")
	s.opts.Monitor.Errorf("%s: %v, and so for %d different mails in a row; paused for %s, %s",
		h.title(), err, len(h.broken), pause, monitor.MailsWait(len(s.known)))
}

// endPause makes a server worth a try. A failure before the pause's end pauses it for
// what is left: who asks often makes no mail wait longer. The caller holds mu.
func (h *host) endPause() { h.until, h.doubtTill = time.Time{}, time.Time{} }

// takeClient gives an idle connection, nil when there is none.
func (s *Sender) takeClient(h *host) *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(h.idle) == 0 {
		return nil
	}
	c := h.idle[len(h.idle)-1]
	h.idle = h.idle[:len(h.idle)-1]
	return c.client
}

func (s *Sender) put(h *host, c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.idle = append(h.idle, idleClient{c, time.Now()})
}

// takeIdle gives the connections that nobody has used since then. The caller holds
// Sender.mu.
func (h *host) takeIdle(before time.Time) []*client {
	var old []*client
	kept := h.idle[:0]
	for _, c := range h.idle {
		if c.since.Before(before) {
			old = append(old, c.client)
		} else {
			kept = append(kept, c)
		}
	}
	clear(h.idle[len(kept):])
	h.idle = kept
	return old
}

// title names a server in the log.
func (h *host) title() string {
	if h.direct {
		return "mail server " + h.name()
	}
	return "smarthost " + h.name()
}

// whyTLS says what asks for verified TLS.
func (h *host) whyTLS() string {
	if h.direct {
		return `an MTA-STS policy, or mx_tls, requires it`
	}
	return `smarthost_tls is "required"`
}

// wait says why h is not asked now, ok is false when it could be. The caller holds mu.
func (h *host) wait(now time.Time) (w Wait, ok bool) {
	w = Wait{Host: h.name(), Since: h.since}
	switch {
	case h.failures > 0:
		w.Until = h.until
	case now.Before(h.doubtTill):
		w.Until = h.doubtTill
	case h.hanging > 0:
		w.Why = "it has been waited for its greeting for long"
		return w, true
	default:
		return w, false
	}
	w.Why = fmt.Sprint(h.lastErr)
	return w, true
}
