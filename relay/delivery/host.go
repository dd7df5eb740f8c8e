package delivery

import (
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// host is a next server, or a place on this machine, and its state, guarded by
// Sender.mu.
type host struct {
	Smarthost
	direct   bool      // a domain's own server
	tls      TLSMode   // of its connections
	testing  bool      // an MTA-STS policy wants to hear of unverified connections
	limit    int       // connections at a time
	active   int       // of them
	failures int       // since it last worked
	until    time.Time // it is paused until then
	probing  bool      // one connection is out to see whether it works again
	idle     []idleClient
}

type idleClient struct {
	*client
	since time.Time
}

// paused tells for how long h may not be asked; 0: not at all. While somebody probes
// it, the answer is an hour: the probe's end is news.
func (h *host) paused(now time.Time) time.Duration {
	switch {
	case h.failures == 0:
		return 0
	case h.probing:
		return forNews
	}
	return max(0, h.until.Sub(now))
}

// full tells whether all of its connections are in use.
func (h *host) full() bool { return h.active >= h.limit }

// acquire gives the first server of d that may be asked and is not in asked; nil when
// there is none, or when it is busy. A critical mail goes past busy ones.
func (s *Sender) acquire(d *destination, asked map[*host]bool, critical bool) *host {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, h := range d.hosts {
		switch {
		case asked[h] || h.paused(now) > 0 || (h.full() && critical):
			continue
		case h.full():
			return nil
		}
		h.probing = h.failures > 0
		h.active++
		return h
	}
	return nil
}

// release says how it went with a server: nil when it works.
func (s *Sender) release(h *host, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.probing = false
	h.active--
	s.notify()
	if err == nil {
		if h.failures > 0 {
			s.opts.Monitor.Infof("%s works again; %d mails wait", h.title(), len(s.known))
		}
		h.failures, h.until = 0, time.Time{}
		return
	}
	now := time.Now()
	if h.failures > 0 && now.Before(h.until) {
		return // another connection has paused it already
	}
	h.failures++
	pause := backoff(h.failures)
	h.until = now.Add(pause)
	s.opts.Monitor.Count(monitor.HostErrors, "connection")
	s.opts.Monitor.Errorf("%s: %v; paused for %s, %d mails wait", h.title(), err, pause.Round(time.Second), len(s.known))
}

// abandon ends the use of a server of which nothing was learnt.
func (s *Sender) abandon(h *host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.probing = false
	h.active--
	s.notify()
}

// take gives an idle connection, nil when there is none.
func (h *host) take(mu *sync.Mutex) *client {
	mu.Lock()
	defer mu.Unlock()
	if len(h.idle) == 0 {
		return nil
	}
	c := h.idle[len(h.idle)-1]
	h.idle = h.idle[:len(h.idle)-1]
	return c.client
}

func (h *host) put(mu *sync.Mutex, c *client) {
	mu.Lock()
	defer mu.Unlock()
	h.idle = append(h.idle, idleClient{c, time.Now()})
}

// takeIdle gives the connections that nobody has used since then. The caller holds
// mu.
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
