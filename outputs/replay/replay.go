// Package replay sends flows of nfdump files, and datagrams of pcap files, to a
// collector again.
//
// Flows go out in the version in which they were received, or in one that is asked for,
// with every field that the file holds and the version can carry, and with their own
// times. Who sent them stays who he was where the machine may send from his address;
// else his address becomes the observation domain, so that exporters stay apart.
// Datagrams go out byte for byte.
package replay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/exporter"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Identity is how the collector is told who an exporter was.
type Identity uint8

// The identities.
const (
	Keep   Identity = iota // by his address where that can be sent from, else as Domain does
	Domain                 // by the observation domain: see DomainOf
	Own                    // not at all: all is sent from this machine, with the domains as they were
)

// Options say where to and how.
type Options struct {
	To       netip.AddrPort
	Version  flow.Version // V5, V9 or IPFIX; 0 is that in which a flow was received, or which carries it
	Identity Identity
	From     netip.Addr // to send from with Own and Domain; the zero value is any
	Buffer   int        // send buffer to ask for in bytes, 0 is the system's
	Pace     Pace

	Warn func(format string, args ...any) // gets what a user should know; nil is silence
}

// Totals are what has been sent.
type Totals struct {
	Flows     uint64 `json:"flows"`
	Packets   uint64 `json:"packets"` // of the flows, without those of the other direction
	Bytes     uint64 `json:"bytes"`
	Datagrams uint64 `json:"datagrams"`
	Sent      uint64 `json:"bytes_sent"` // of the datagrams
	Exporters int    `json:"exporters"`

	Dropped   uint64            `json:"flows_dropped"`   // that the version has no place for
	Estimated uint64            `json:"flows_estimated"` // from samples: sent as the estimates
	Lost      map[string]uint64 `json:"fields_lost"`     // flows whose field, by its name, the version does not carry
}

// The bounds of a Sender: open sockets, and exporters whose state is kept.
const (
	maxRoutes    = 512
	maxExporters = 8192
)

// Sender sends flows and datagrams. It is not safe for concurrent use.
type Sender struct {
	opt     Options
	pace    pacer
	routes  map[netip.AddrPort]*route // by exporter
	own     *route                    // of this machine
	streams map[stream]*exporter.Resender
	last    stream // whose flow was the last one
	cur     *exporter.Resender
	seen    map[netip.Addr]bool
	rec     flow.Record
	extra   elements
	totals  Totals
	toldOwn bool
	err     error // of sending, the first
}

// stream is an observation domain.
type stream struct {
	exporter netip.Addr
	version  flow.Version
	domain   uint32
}

// route is a socket to the collector.
type route struct {
	conn *net.UDPConn
	kept bool // it sends from the exporter's address
}

// NewSender returns a Sender. It opens a socket, and others as exporters come.
func NewSender(o Options) (*Sender, error) {
	if o.Warn == nil {
		o.Warn = func(string, ...any) {}
	}
	s := &Sender{opt: o, pace: pacer{Pace: o.Pace}, routes: map[netip.AddrPort]*route{},
		streams: map[stream]*exporter.Resender{}, seen: map[netip.Addr]bool{}}
	s.totals.Lost = map[string]uint64{}
	conn, err := dial(o.From, 0, o.To, false)
	if err != nil {
		return nil, err
	}
	s.own = &route{conn: conn}
	return s, s.setBuffer(conn)
}

// setBuffer asks for a send buffer.
func (s *Sender) setBuffer(conn *net.UDPConn) error {
	if s.opt.Buffer <= 0 {
		return nil
	}
	return conn.SetWriteBuffer(s.opt.Buffer)
}

// Totals returns what has been sent so far. Flows that wait for a datagram are in it.
func (s *Sender) Totals() Totals {
	t := s.totals
	t.Lost, t.Exporters = maps.Clone(t.Lost), len(s.seen)
	return t
}

// Flow sends a flow, with what a file has of it besides, which may be nil: at its time,
// and with others that fit into a datagram. The end of ctx is an error.
func (s *Sender) Flow(ctx context.Context, r *flow.Record, x *nffile.Extra) error {
	if err := s.pace.wait(ctx, arrival(r), s.Flush); err != nil {
		return err
	}
	s.rec = *r
	version := s.prepare(r, x)
	e, err := s.resender(version)
	if err != nil {
		return err
	}
	dropped := s.totals.Dropped
	if err := e.Add(&s.rec); err != nil {
		return err
	}
	if s.totals.Dropped == dropped {
		s.totals.Flows++
		s.totals.Packets += r.Packets
		s.totals.Bytes += r.Bytes
		if x != nil && x.Sampled {
			s.totals.Estimated++
		}
	}
	s.seen[r.Exporter] = true
	return nil
}

// arrival is when a flow came in, as far as that is known.
func arrival(r *flow.Record) flow.Time {
	if r.Received > 0 {
		return r.Received
	}
	return max(r.Last, r.EventTime)
}

// prepare chooses the version for the flow at hand, and gives it the elements for what
// its record has no fields for.
func (s *Sender) prepare(r *flow.Record, x *nffile.Extra) flow.Version {
	build := func(v flow.Version) {
		s.rec.Extra = r.Extra
		if x != nil && x.Has != 0 {
			s.rec.Extra = append(s.extra.of(v, x), r.Extra...)
		}
	}
	if v := s.opt.Version; v != 0 {
		build(v)
		s.tellExtra(v, x)
		return v
	}
	prefer := []flow.Version{flow.IPFIX, flow.V9}
	switch r.Version {
	case flow.V1, flow.V5, flow.V7:
		prefer = []flow.Version{flow.V5, flow.IPFIX, flow.V9}
	case flow.V9:
		prefer = []flow.Version{flow.V9, flow.IPFIX}
	}
	for _, v := range prefer {
		build(v)
		if exporter.Carries(v, &s.rec) && s.extra.lost(v, x) == "" && !(v == flow.V5 && x != nil && x.Has != 0) {
			return v
		}
	}
	v := prefer[len(prefer)-2]
	build(v)
	s.tellExtra(v, x)
	return v
}

// tellExtra counts what of a file's flow has no elements.
func (s *Sender) tellExtra(v flow.Version, x *nffile.Extra) {
	if name := s.extra.lost(v, x); name != "" {
		s.totals.Lost[name]++
	}
}

// resender returns the one of the flow at hand's observation domain.
func (s *Sender) resender(v flow.Version) (*exporter.Resender, error) {
	to := stream{s.rec.Exporter, v, s.rec.Domain}
	if s.cur != nil && to == s.last {
		return s.cur, nil
	}
	e := s.streams[to]
	if e == nil {
		if len(s.streams) == maxExporters {
			if err := s.Flush(); err != nil {
				return nil, err
			}
			clear(s.streams)
		}
		// The route may have been closed meanwhile for want of sockets: it is looked up.
		from := netip.AddrPortFrom(to.exporter, 0)
		rt, err := s.route(from)
		if err != nil {
			return nil, err
		}
		domain := to.domain
		if !rt.kept && s.opt.Identity != Own && to.exporter.IsValid() {
			domain = DomainOf(to.exporter)
		}
		e = exporter.NewResender(v, domain, func(b []byte) error {
			rt, err := s.route(from)
			if err != nil {
				return err
			}
			return s.write(rt, b)
		}, s.lost)
		s.streams[to] = e
	}
	s.last, s.cur = to, e
	return e, nil
}

// lost counts what the version does not carry of a flow.
func (s *Sender) lost(field string, _ *flow.Record) {
	if field == "" {
		s.totals.Dropped++
		return
	}
	s.totals.Lost[field]++
}

// DomainOf returns the observation domain that stands for an exporter whose address
// cannot be sent from: an IPv4 address as a number, so that 192.0.2.1 is 3221225985, and
// of an IPv6 address its hash (FNV-1a, 32 bits).
func DomainOf(a netip.Addr) uint32 {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return binary.BigEndian.Uint32(b[:])
	}
	h := fnv.New32a()
	b := a.As16()
	h.Write(b[:])
	return h.Sum32()
}

// route returns the socket for an exporter: one of his own where he can be sent for.
func (s *Sender) route(from netip.AddrPort) (*route, error) {
	if rt := s.routes[from]; rt != nil {
		return rt, nil
	}
	if len(s.routes) == maxRoutes {
		s.closeRoutes()
	}
	rt := s.own
	if s.opt.Identity == Keep && from.Addr().IsValid() {
		conn, err := s.dialAs(from)
		if err == nil {
			rt = &route{conn: conn, kept: true}
			err = s.setBuffer(conn)
		}
		if err != nil {
			s.tellDomain(from.Addr(), err)
		}
	}
	s.routes[from] = rt
	return rt, nil
}

// dialAs opens a socket that sends from an exporter's address, and from his port where
// that is free.
func (s *Sender) dialAs(from netip.AddrPort) (*net.UDPConn, error) {
	addr := from.Addr()
	if addr.Is4() != s.opt.To.Addr().Unmap().Is4() {
		return nil, fmt.Errorf("the collector's address is of the other IP version")
	}
	var errs []error
	for _, foreign := range []bool{false, true} {
		for _, port := range slices.Compact([]uint16{from.Port(), 0}) {
			conn, err := dial(addr, port, s.opt.To, foreign)
			if err == nil {
				return conn, nil
			}
			errs = append(errs, err)
		}
	}
	return nil, errs[len(errs)-1]
}

// tellDomain says once that exporters are told apart by their domains.
func (s *Sender) tellDomain(addr netip.Addr, why error) {
	if s.toldOwn {
		return
	}
	s.toldOwn = true
	s.opt.Warn("cannot send from %s (%v): it becomes the observation domain %d, and likewise others", addr, why,
		DomainOf(addr))
}

// Datagram sends a datagram as it is, at its time.
func (s *Sender) Datagram(ctx context.Context, dg flow.Datagram) error {
	if err := s.pace.wait(ctx, flow.TimeOf(dg.Received), nil); err != nil {
		return err
	}
	rt, err := s.route(dg.Exporter)
	if err != nil {
		return err
	}
	s.seen[dg.Exporter.Addr()] = true
	return s.write(rt, dg.Payload)
}

// write sends a datagram.
func (s *Sender) write(rt *route, b []byte) error {
	if _, err := rt.conn.Write(b); err != nil {
		s.err = fmt.Errorf("sending to %s: %w (is a collector listening there?)", s.opt.To, err)
		return s.err
	}
	s.totals.Datagrams++
	s.totals.Sent += uint64(len(b))
	s.pace.sent()
	return nil
}

// Err returns why sending failed, nil when it did not.
func (s *Sender) Err() error { return s.err }

// Flush sends the flows that wait for their datagrams to be full.
func (s *Sender) Flush() error {
	for _, e := range s.streams {
		if err := e.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the sockets. What has not been flushed is not sent.
func (s *Sender) Close() error {
	s.closeRoutes()
	return s.own.conn.Close()
}

func (s *Sender) closeRoutes() {
	var errs []error
	for _, rt := range s.routes {
		if rt != s.own {
			errs = append(errs, rt.conn.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		s.opt.Warn("%v", err)
	}
	clear(s.routes)
}
