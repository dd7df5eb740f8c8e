package delivery

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// place is a smarthost as configured. A name stands for all of its addresses: each is a
// host with a state of its own, and they are tried in the order in which the system
// gives them (RFC 5321 section 5.1). All is guarded by Sender.mu.
type place struct {
	Smarthost
	port    uint16
	hosts   []*host // nil of KindMX, and of a name not looked up yet
	known   map[netip.Addr]*host
	found   time.Time // when the name was looked up
	looking bool
	lookups lookupState
}

// placeTimeout bounds the look-up of a smarthost's name.
const placeTimeout = 20 * time.Second

// newPlace makes a place; a name is looked up when the first mail needs it.
func (s *Sender) newPlace(w *way, h Smarthost) *place {
	p := &place{Smarthost: h, known: map[netip.Addr]*host{}}
	if h.Kind == KindMX {
		port, _ := strconv.ParseUint(strings.TrimPrefix(h.Addr, ":"), 10, 16) // ParseSmarthost has
		w.mx, w.mxPort = true, uint16(port)
		return p
	}
	_, port, _ := net.SplitHostPort(h.Addr)
	if n, err := net.LookupPort("tcp", port); err == nil && !h.local() {
		p.port = uint16(n)
	}
	if _, err := netip.ParseAddr(h.Host); err == nil || h.local() {
		p.hosts = []*host{{Smarthost: h, tls: cmp.Or(h.TLS, s.opts.TLS), limit: s.opts.HostConnections}}
	}
	return p
}

// named tells whether a place is a name that is looked up.
func (p *place) named() bool { return p.port != 0 && (len(p.hosts) == 0 || len(p.known) > 0) }

// lookUpPlaces makes sure that the addresses of all names of a way were asked for within the
// last minute. Known ones are asked again beside the work.
func (s *Sender) lookUpPlaces(ctx context.Context, w *way) {
	var now, later []*place
	s.mu.Lock()
	at := time.Now()
	for _, p := range w.places {
		if !p.named() || p.looking || at.Sub(p.found) < routeFor || at.Before(p.lookups.until) {
			continue
		}
		p.looking = true
		if len(p.hosts) == 0 {
			now = append(now, p)
		} else {
			later = append(later, p)
		}
	}
	s.mu.Unlock()
	for _, p := range later {
		s.workers.Go(func() { s.lookUp(ctx, p) })
	}
	var all sync.WaitGroup
	for _, p := range now {
		all.Go(func() { s.lookUp(ctx, p) })
	}
	all.Wait()
}

// lookUp asks for the addresses of a name. What was known stays when there is no answer.
func (s *Sender) lookUp(ctx context.Context, p *place) {
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	addrs, err := s.opts.LookupHost(ctx, p.Host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("the name has no address")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.looking = false
	defer s.notify()
	now := time.Now()
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return
		}
		p.lookups.fail(cause(err), now)
		s.opts.Monitor.Count(monitor.HostErrors, "dns")
		s.opts.Monitor.LimitedWarnf("dns "+p.Host, "smarthost %s: looking up the name: %v; tried again in %s",
			p.Addr, p.lookups.err, p.lookups.until.Sub(now).Round(time.Second))
		return
	}
	p.found, p.lookups, p.hosts = now, lookupState{}, nil
	for _, addr := range addrs[:min(len(addrs), maxAddresses)] {
		p.hosts = append(p.hosts, s.hostAt(p, addr.Unmap(), len(addrs) > 1))
	}
	for addr, h := range p.known {
		if h.active+h.slow+len(h.idle) == 0 && len(p.known) > maxAddresses {
			delete(p.known, addr)
		}
	}
	for _, d := range s.destinations {
		d.hosts = s.hostsOf(d)
	}
}

// hostAt gives the state of a place's server at an address. The caller holds mu.
func (s *Sender) hostAt(p *place, addr netip.Addr, several bool) *host {
	h := p.known[addr]
	if h == nil {
		h = &host{Smarthost: p.Smarthost, tls: cmp.Or(p.TLS, s.opts.TLS), limit: s.opts.HostConnections}
		h.Addr = netip.AddrPortFrom(addr, p.port).String()
		p.known[addr] = h
	}
	h.several = several
	return h
}

// hostsOf gives a destination's servers in their order: those of all places, the domain's
// own in the place of KindMX. The caller holds mu.
func (s *Sender) hostsOf(d *destination) []*host {
	if d.way == nil { // several, each with its own
		return nil
	}
	var all []*host
	for _, p := range d.way.places {
		if p.Kind == KindMX {
			all = append(all, d.exchangers...)
		} else {
			all = append(all, p.hosts...)
		}
	}
	return all
}
