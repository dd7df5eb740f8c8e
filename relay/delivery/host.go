package delivery

import (
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// host is a smarthost and its state, guarded by Sender.mu.
type host struct {
	Smarthost
	failures int       // since it last worked
	until    time.Time // it is paused until then
	probing  bool      // one connection is out to see whether it works again
	idle     []idleClient
}

type idleClient struct {
	*client
	since time.Time
}

// usable tells whether h may be asked now.
func (h *host) usable(now time.Time) bool {
	return h.failures == 0 || (!h.probing && !now.Before(h.until))
}

// untilHost is how long no smarthost may be asked; 0 when one may. The caller
// holds mu.
func (s *Sender) untilHost(now time.Time) time.Duration {
	wait := time.Hour
	for _, h := range s.hosts {
		switch {
		case h.usable(now):
			return 0
		case !h.probing:
			wait = min(wait, h.until.Sub(now))
		}
	}
	return wait
}

// acquire gives the first smarthost that may be asked and is not in asked.
func (s *Sender) acquire(asked map[*host]bool) *host {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, h := range s.hosts {
		if !asked[h] && h.usable(now) {
			h.probing = h.failures > 0
			return h
		}
	}
	return nil
}

// release says how it went with a smarthost: nil when it works.
func (s *Sender) release(h *host, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.probing = false
	if err == nil {
		if h.failures > 0 {
			s.notify()
			s.opts.Monitor.Infof("smarthost %s works again; %d mails wait", h.Addr, len(s.known))
		}
		h.failures, h.until = 0, time.Time{}
		return
	}
	s.notify()
	now := time.Now()
	if h.failures > 0 && now.Before(h.until) {
		return // another connection has paused it already
	}
	h.failures++
	pause := backoff(h.failures)
	h.until = now.Add(pause)
	s.opts.Monitor.Count(monitor.HostErrors, "connection")
	s.opts.Monitor.Errorf("smarthost %s: %v; paused for %s, %d mails wait", h.Addr, err, pause.Round(time.Second), len(s.known))
}

// abandon ends the use of a smarthost of which nothing was learnt.
func (s *Sender) abandon(h *host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.probing = false
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

// takeIdle gives the connections that nobody used for a while.
func (h *host) takeIdle(mu *sync.Mutex) []*client {
	mu.Lock()
	defer mu.Unlock()
	var old []*client
	kept := h.idle[:0]
	for _, c := range h.idle {
		if time.Since(c.since) > idleConnection/2 {
			old = append(old, c.client)
		} else {
			kept = append(kept, c)
		}
	}
	clear(h.idle[len(kept):])
	h.idle = kept
	return old
}

func (h *host) takeAll(mu *sync.Mutex) []*client {
	mu.Lock()
	defer mu.Unlock()
	var all []*client
	for _, c := range h.idle {
		all = append(all, c.client)
	}
	h.idle = nil
	return all
}
