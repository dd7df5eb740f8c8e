package collector

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// seatTime is how long an address keeps its seat after its latest datagram, where
// others want it.
const seatTime = flow.Time(3600e9)

// seatStep is how exactly a seat's time is kept, and how often one is looked for at most.
const seatStep = flow.Time(1e9)

// seat is that an address is one of Options.MaxExporters, whose datagrams are decoded.
type seat struct {
	last atomic.Int64 // its latest datagram, about, by the registry's clock
	gone atomic.Bool  // another one has it
}

// use notes a datagram.
func (s *seat) use(now flow.Time) {
	if last := flow.Time(s.last.Load()); now-last >= seatStep {
		s.last.Store(int64(now))
	}
}

// seats are those of all decoders together. Addresses can be forged, and each makes
// series in a database that stay: so one that is new gets a seat only while there is one,
// and takes none away from an address that has been heard lately.
type seats struct {
	limit int // 0 is none

	mu       sync.Mutex
	byAddr   map[netip.Addr]*seat
	nextLook flow.Time     // none becomes free before
	freed    atomic.Uint64 // how many have been taken away
	warned   atomic.Bool   // that there are too few has been logged
}

// takeSeat returns the seat of an address, nil when there is none for it. One that is
// reserved gets one always.
func (s *seats) takeSeat(addr netip.Addr, now flow.Time, reserved bool) *seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.byAddr[addr]; known != nil {
		known.use(now)
		return known
	}
	if len(s.byAddr) >= s.limit && !reserved {
		if s.free(now); len(s.byAddr) >= s.limit {
			return nil
		}
	}
	if s.byAddr == nil {
		s.byAddr = map[netip.Addr]*seat{}
	}
	one := &seat{}
	one.last.Store(int64(now))
	s.byAddr[addr] = one
	return one
}

// free takes the seats away whose addresses have been silent for seatTime.
func (s *seats) free(now flow.Time) {
	if now < s.nextLook {
		return
	}
	first := now
	for addr, one := range s.byAddr {
		last := flow.Time(one.last.Load())
		if now-last < seatTime {
			first = min(first, last)
			continue
		}
		one.gone.Store(true)
		delete(s.byAddr, addr)
		s.freed.Add(1)
	}
	s.nextLook = max(first+seatTime, now+seatStep)
}

// seated says whether the datagrams of an address are decoded.
func (d *Decoder) seated(addr netip.Addr, now flow.Time, config *ExporterConfig) bool {
	all := &d.shared.seats
	if all.limit <= 0 {
		return true
	}
	if d.sat.addr != addr || d.sat.seat == nil || d.sat.seat.gone.Load() {
		one := (*seat)(nil)
		if a := d.accounts[addr]; a != nil && a.seat != nil && !a.seat.gone.Load() {
			one = a.seat
		} else {
			one = all.takeSeat(addr, now, config != nil && config.Prefix.IsSingleIP())
		}
		if one == nil {
			return false
		}
		d.sat.addr, d.sat.seat = addr, one
	}
	d.sat.seat.use(now)
	return true
}

// unseated counts a datagram of an address that has no seat, and tells of the first,
// however many lines there are just then.
func (d *Decoder) unseated(m *message) {
	d.overMost++
	if d.opt.Log == nil || !d.shared.seats.warned.CompareAndSwap(false, true) {
		return
	}
	d.opt.Log("%s: there is no place for one more exporter: %d addresses have sent datagrams within an hour "+
		"(max_exporters); its datagrams, and those of "+
		"further ones, are dropped and counted in over_max_exporters: refuse those that are forged, raise "+
		"max_exporters, or name the address in the table of exporters",
		m.addr, d.shared.seats.limit)
}

// clearSeats forgets the addresses that have lost their seats.
func (d *Decoder) clearSeats() {
	freed := d.shared.seats.freed.Load()
	if freed == d.cleared {
		return
	}
	d.cleared = freed
	for _, a := range d.accounts {
		if a.seat == nil || !a.seat.gone.Load() {
			continue
		}
		for a.domains.Len() > 0 {
			d.forget(a.domains.Front().Value.(*domain))
		}
	}
}

// OverMost returns how many datagrams have been dropped as their address was beyond
// Options.MaxExporters.
func (d *Decoder) OverMost() uint64 { return d.overMost }
