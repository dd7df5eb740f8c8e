package collector

import (
	"sync"
	"sync/atomic"
)

// The bounds of what waits for a worker.
const (
	parcelBytes = 256 << 10 // of payload in a parcel, more than any datagram
	parcelCount = 256       // datagrams in a parcel
	queueLength = 8         // parcels of a worker
)

// parcel is datagrams on the way to a worker, with a copy of their payload.
type parcel struct {
	list []Datagram
	buf  []byte // never grows, as the payloads of list are in it
}

// Workers hands datagrams to several goroutines. What one of them gets it gets in
// the order of Dispatch, so the templates and the data of an observation domain
// keep theirs. A worker's queue is bounded: Dispatch waits while it is full, and
// the datagrams wait in the kernel.
type Workers struct {
	shard  func(*Datagram) int
	queues []chan *parcel
	spare  chan *parcel
	full   atomic.Uint64
	wg     sync.WaitGroup
	stop   sync.Once

	mu   sync.Mutex
	open []*parcel // being filled, by worker
}

// NewWorkers starts n goroutines; the i-th calls handle(i, …) for the datagrams for
// which shard returns i. The slice and the payloads are valid until handle returns.
func NewWorkers(n int, shard func(*Datagram) int, handle func(worker int, list []Datagram)) *Workers {
	w := &Workers{shard: shard, queues: make([]chan *parcel, n), open: make([]*parcel, n),
		spare: make(chan *parcel, n*(queueLength+2))}
	for i := range w.queues {
		w.queues[i] = make(chan *parcel, queueLength)
		w.wg.Go(func() {
			for p := range w.queues[i] {
				handle(i, p.list)
				w.recycle(p)
			}
		})
	}
	return w
}

// parcel returns an empty parcel.
func (w *Workers) parcel() *parcel {
	select {
	case p := <-w.spare:
		return p
	default:
		return &parcel{buf: make([]byte, 0, parcelBytes)}
	}
}

// recycle takes back a parcel.
func (w *Workers) recycle(p *parcel) {
	clear(p.list)
	p.list, p.buf = p.list[:0], p.buf[:0]
	select {
	case w.spare <- p:
	default:
	}
}

// Dispatch hands datagrams to their workers; the end of a stream goes to all. It
// keeps nothing of list. It may be called from several goroutines.
func (w *Workers) Dispatch(list []Datagram) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range list {
		if dg := &list[i]; dg.Stream && len(dg.Payload) == 0 {
			for worker := range w.open {
				w.addDatagram(worker, dg)
			}
		} else {
			w.addDatagram(w.shard(dg), dg)
		}
	}
	for worker := range w.open {
		w.send(worker)
	}
}

// addDatagram puts a datagram into the open parcel of a worker.
func (w *Workers) addDatagram(worker int, dg *Datagram) {
	if p := w.open[worker]; p != nil && (len(p.list) == parcelCount || len(p.buf)+len(dg.Payload) > cap(p.buf)) {
		w.send(worker)
	}
	p := w.open[worker]
	if p == nil {
		p = w.parcel()
		w.open[worker] = p
	}
	at := len(p.buf)
	p.buf = append(p.buf, dg.Payload...)
	own := *dg
	own.Payload = p.buf[at:len(p.buf):len(p.buf)]
	p.list = append(p.list, own)
}

// send gives the open parcel to its worker.
func (w *Workers) send(worker int) {
	p := w.open[worker]
	if p == nil {
		return
	}
	w.open[worker] = nil
	select {
	case w.queues[worker] <- p:
	default:
		w.full.Add(1)
		w.queues[worker] <- p
	}
}

// Full returns how often a worker's queue was full, so that receiving had to wait
// for it.
func (w *Workers) Full() uint64 { return w.full.Load() }

// Stop waits until all that was dispatched is handled. Dispatch must not be called
// any more; Stop may be.
func (w *Workers) Stop() {
	w.stop.Do(func() {
		for _, q := range w.queues {
			close(q)
		}
	})
	w.wg.Wait()
}
