package collector

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The sizes of a socket's receive buffer in bytes that a listener asks for where no other is
// set, and that it warns of then when it gets less. The usual default of Linux holds 92
// datagrams.
const (
	DefaultReadBuffer = 64 << 20
	FairReadBuffer    = 16 << 20
)

// ReadBufferFor returns how many bytes of receive buffer are asked for where an option says
// size, and how many are enough not to warn of: where none is set, 0 or less, a fair part.
func ReadBufferFor(size int) (asked, enough int) {
	if size <= 0 {
		return DefaultReadBuffer, FairReadBuffer
	}
	return size, size
}

// maxDatagram is more than a UDP payload can have, in bytes.
const maxDatagram = 64 << 10

// A wake-up costs as much as twenty datagrams, on a virtual machine as a hundred, so while
// datagrams come in a row the reader lets them gather in the kernel: for as long as the
// receive buffer holds flow export of 2.5 Gbit/s, and not at all when that is less than
// gatherLeast. It reads when by what has come gatherHeld bytes are held or an eighth of the
// buffer, but not before gatherFirst, when nothing has come, and after gatherLong. A look at
// the buffer costs less than to wake all that works on datagrams.
const (
	gatherLeast = time.Millisecond
	gatherFirst = 50 * time.Millisecond
	gatherLong  = 400 * time.Millisecond
	gatherSpeed = 2.5e9 / 8 // bytes per second
	gatherHeld  = 4 << 20   // with the kernel's bookkeeping; more is not in the processor's cache
	gatherShare = 8
)

// gatherWait returns how long datagrams may gather in a receive buffer that has room for so
// many bytes.
func gatherWait(buffer int) time.Duration {
	wait := min(time.Duration(float64(buffer)/gatherSpeed*float64(time.Second)), gatherLong)
	if wait < gatherLeast {
		return 0
	}
	return wait
}

// drainLimit bounds how long Stop lets the reader hand over what the kernel
// holds.
const drainLimit = 2 * time.Second

// ListenerOptions configures a Listener.
type ListenerOptions struct {
	// Address is where to listen: "udp://:2055" is IPv4 and IPv6, udp4:// and
	// udp6:// are one of them.
	Address string

	// ReadBuffer is the receive buffer to ask for in bytes; 0 is
	// DefaultReadBuffer.
	ReadBuffer int

	// Warn gets a line when the system grants less than asked for, and when
	// reading fails. nil is silence.
	Warn func(format string, args ...any)
}

// Listener receives datagrams on one UDP socket. NewListener opens nothing; Start
// does, and Stop ends it.
type Listener struct {
	opt      ListenerOptions
	enough   int     // bytes of receive buffer
	socket   *socket // nil before Start
	local    netip.AddrPort
	wg       sync.WaitGroup
	granted  int
	errs     atomic.Uint64
	stop     atomic.Int64  // when Stop was called, in nanoseconds since 1970; 0 before
	stopped  chan struct{} // closed then
	reported atomic.Uint32 // drops as SO_RXQ_OVFL reported them last

	gate      sync.Mutex     // held while handle runs
	adopting  sync.WaitGroup // handlers that Adopt has been given and that have not begun
	handle    func([]Datagram)
	parked    chan struct{} // nil when it is not; closed when it ends
	kept      []Datagram    // while it is parked
	keptBytes int

	mu        sync.Mutex
	closed    bool
	drops     uint64
	lastDrops uint32
	load      load
}

// NewListener returns a listener that is not yet open.
func NewListener(o ListenerOptions) *Listener {
	asked, enough := ReadBufferFor(o.ReadBuffer)
	o.ReadBuffer = asked
	if o.Warn == nil {
		o.Warn = func(string, ...any) {}
	}
	return &Listener{opt: o, enough: enough, stopped: make(chan struct{})}
}

// ParseAddress splits an address as in ListenerOptions or StreamOptions into network
// and host, without asking the network.
func ParseAddress(address string) (network, host string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", "", fmt.Errorf("invalid service address %q: %w", address, err)
	}
	switch u.Scheme {
	case "udp", "udp4", "udp6", "tcp", "tcp4", "tcp6":
	default:
		return "", "", fmt.Errorf("invalid scheme %q in service address %q, should be 'udp', 'udp4', 'udp6', 'tcp', "+
			"'tcp4' or 'tcp6'", u.Scheme, address)
	}
	_, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		return "", "", fmt.Errorf("invalid service address %q: expected host:port: %w", address, err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", fmt.Errorf("invalid service address %q: expected a port from 0 to 65535, got %q", address, port)
	}
	return u.Scheme, u.Host, nil
}

// Start opens the socket and calls handle for the datagrams that came in, at
// least one at a time, from one goroutine, until Stop. The slice and the
// payloads are valid until handle returns.
func (l *Listener) Start(handle func([]Datagram)) error {
	network, host, err := ParseAddress(l.opt.Address)
	if err != nil {
		return err
	}
	addr, err := net.ResolveUDPAddr(network, host)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", l.opt.Address, err)
	}
	conn, err := net.ListenUDP(network, addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", l.opt.Address, err)
	}
	l.local = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s, err := newSocket(conn)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", l.opt.Address, err)
	}
	r, err := newBatchReader(s)
	if err != nil {
		s.close()
		return fmt.Errorf("listen on %s: %w", l.opt.Address, err)
	}
	l.socket = s
	l.granted = s.setReadBuffer(l.opt.ReadBuffer)
	if l.granted < l.enough {
		l.opt.Warn("the receive buffer of %s has %d bytes instead of %d, so bursts may be dropped: %s",
			l.opt.Address, l.granted, l.opt.ReadBuffer, readBufferAdvice(l.opt.ReadBuffer))
	}
	l.handle = handle
	l.wg.Go(func() { l.readDatagrams(r) })
	return nil
}

// readDatagrams receives until the socket is closed, or until it is empty after Stop.
func (l *Listener) readDatagrams(r *batchReader) {
	pause, gather := time.Duration(0), gatherFirst
	last := time.Now()
	for {
		if l.stop.Load() != 0 {
			l.drain(r)
			return
		}
		list, err := r.readBatch()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue // Stop
		case err != nil:
			if l.errs.Add(1) == 1 {
				l.opt.Warn("reading from %s: %v (further errors are only counted)", l.opt.Address, err)
			}
			pause = min(max(2*pause, time.Millisecond), time.Second)
			time.Sleep(pause)
			continue
		}
		pause = 0
		if r.drops != 0 {
			l.reported.Store(r.drops)
		}
		l.give(list)
		now := time.Now()
		if l.load.addBatch(list, now) {
			l.Drops()
		}
		busy := now.Sub(last) < min(gatherFirst, gatherWait(l.ReadBuffer())) // who has adopted it may want another
		last = now
		switch {
		case !busy:
			gather = gatherFirst
		case len(list) < batchSize:
			gather = l.gather(gather)
			last = time.Now()
		}
	}
}

// gather lets datagrams gather in the receive buffer, and returns for how long they may the
// next time, by what has come. At first it waits for so long, if the buffer is large enough.
func (l *Listener) gather(first time.Duration) (next time.Duration) {
	wait := min(first, gatherWait(l.ReadBuffer()))
	next = gatherFirst
	for gathered := time.Duration(0); wait > 0; {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.stopped:
			timer.Stop()
			return next
		}
		gathered += wait
		held, size := l.socket.held()
		wait, next = furtherWait(held, size, gathered)
	}
	return next
}

// furtherWait returns how long datagrams may gather on, in a buffer of which so many bytes
// are held, both with the kernel's bookkeeping, 0 when they are to be read; and how long they
// may gather by this rate, at least gatherFirst.
func furtherWait(held, size int, gathered time.Duration) (wait, whole time.Duration) {
	if held == 0 {
		return 0, gatherFirst
	}
	most := float64(min(gatherHeld, size/gatherShare))
	whole = time.Duration(min(float64(gathered)*most/float64(held), float64(gatherLong)))
	wait = min(gatherWait((size-held)/2), whole-gathered) // half is for the bookkeeping
	if wait < gatherLeast {
		wait = 0
	}
	return wait, max(whole, gatherFirst)
}

// drain hands over what the kernel holds after Stop.
func (l *Listener) drain(r *batchReader) {
	until := time.Unix(0, l.stop.Load()).Add(drainLimit)
	for {
		list := r.pending()
		if len(list) == 0 {
			return
		}
		l.give(list)
		if time.Now().After(until) {
			return
		}
	}
}

// Stop hands over what the kernel has received so far, for at most two seconds,
// closes the socket, and waits until handle has returned for the last time. It
// may be called more than once, and without Start. What a parked listener has kept is
// discarded.
func (l *Listener) Stop() {
	if l.socket == nil {
		return
	}
	if l.stop.CompareAndSwap(0, time.Now().UnixNano()) {
		close(l.stopped)
		l.adopting.Wait() // who has adopted it gets what was kept
		l.unpark(discard)
		l.socket.interrupt()
		l.wg.Wait()
		l.Drops()
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.socket.close()
	}
	l.wg.Wait()
}

// Addr returns the address of the socket, the zero value before Start.
func (l *Listener) Addr() netip.AddrPort { return l.local }

// ReadBuffer returns the size of the receive buffer that the system granted, in
// bytes.
func (l *Listener) ReadBuffer() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.granted
}

// ReadErrors returns how often reading has failed.
func (l *Listener) ReadErrors() uint64 { return l.errs.Load() }

// Drops returns how many datagrams the system has dropped because the receive
// buffer was full, since Start. It is 0 where the system does not tell. Linux
// tells at once (SO_MEMINFO); kernels before 4.12 tell with the next datagram
// (SO_RXQ_OVFL).
func (l *Listener) Drops() uint64 {
	if l.socket == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.drops
	}
	now, ok := l.socket.drops()
	if !ok {
		now = l.reported.Load()
	}
	l.drops += uint64(now - l.lastDrops)
	l.lastDrops = now
	if l.drops > 0 && !l.load.warned {
		l.load.warned = true
		l.warnOfDrops()
	}
	return l.drops
}
