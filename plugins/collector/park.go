package collector

import (
	"bytes"
	"slices"
)

// parkedBytes bounds the datagrams that a parked listener keeps; what comes beyond that
// waits in the kernel, which counts what it drops.
const parkedBytes = 64 << 20

// give calls handle, unless the listener is parked.
func (l *Listener) give(list []Datagram) {
	l.gate.Lock()
	defer l.gate.Unlock()
	l.handle(list)
}

// Park takes the handler away. When it returns the handler has returned for the last
// time. What comes from then on is kept, in memory, until Adopt.
func (l *Listener) Park() {
	l.adopting.Wait() // it may not have begun
	l.gate.Lock()
	defer l.gate.Unlock()
	if l.parked == nil {
		l.parked = make(chan struct{})
		l.handle = l.keep
	}
}

// keep keeps copies of datagrams. The gate is held.
func (l *Listener) keep(list []Datagram) {
	for i, dg := range list {
		if l.keptBytes >= parkedBytes {
			parked := l.parked
			l.gate.Unlock()
			<-parked
			l.gate.Lock()
			l.handle(list[i:])
			return
		}
		dg.Payload = bytes.Clone(dg.Payload)
		l.kept = append(l.kept, dg)
		l.keptBytes += len(dg.Payload) + datagramOverhead
	}
}

// Adopt gives a parked listener a handler, which gets first what was kept, from a
// goroutine of the listener's. readBuffer is ListenerOptions.ReadBuffer. It returns at
// once. The address stays.
func (l *Listener) Adopt(readBuffer int, handle func([]Datagram)) {
	readBuffer, _ = ReadBufferFor(readBuffer)
	if readBuffer != l.opt.ReadBuffer {
		l.opt.ReadBuffer = readBuffer
		l.mu.Lock()
		l.granted = l.socket.setReadBuffer(readBuffer)
		l.mu.Unlock()
	}
	l.adopting.Add(1)
	l.wg.Go(func() {
		defer l.adopting.Done()
		l.unpark(handle)
	})
}

// unpark ends the parking: handle gets what was kept, and from then on what comes.
func (l *Listener) unpark(handle func([]Datagram)) {
	l.gate.Lock()
	defer l.gate.Unlock()
	if l.parked == nil {
		return
	}
	for list := range slices.Chunk(l.kept, batchSize) {
		handle(list)
	}
	l.kept, l.keptBytes = nil, 0
	l.handle = handle
	close(l.parked)
	l.parked = nil
}

// discard is a handler.
func discard([]Datagram) {}

// give calls handle. While the listener is parked it waits, and what the exporters send
// waits in their connections.
func (l *StreamListener) give(list []Datagram) {
	l.gate.RLock()
	defer l.gate.RUnlock()
	l.handle(list)
}

// Park takes the handler away. When it returns the handler has returned for the last
// time. The connections stay, and wait until Adopt.
func (l *StreamListener) Park() {
	l.gate.Lock() // until Adopt or Stop
	l.parked = true
}

// Adopt gives a parked listener a handler, and options, of which the address stays. The
// connections that are open keep what they have agreed on.
func (l *StreamListener) Adopt(o StreamOptions, handle func([]Datagram)) {
	o.setDefaults()
	l.opt.Store(&o)
	l.unpark(handle)
}

// unpark ends the parking.
func (l *StreamListener) unpark(handle func([]Datagram)) {
	if l.parked {
		l.parked, l.handle = false, handle
		l.gate.Unlock()
	}
}
