package collector

import (
	"sync/atomic"
	"time"
)

// loadInterval is how often a listener looks at what comes in and what is dropped.
const loadInterval = time.Second

// datagramOverhead is about what the kernel charges to the receive buffer for a
// datagram besides its bytes.
const datagramOverhead = 768

// load is what comes in at a listener. The reader counts, others may read.
type load struct {
	warned bool // of drops

	// Of the interval at hand; of the reader only.
	since, last      time.Time
	datagrams, bytes int
	longest          time.Duration

	// Of the busiest interval.
	rate, speed atomic.Uint64 // datagrams and bytes per second
	pause       atomic.Int64  // the longest time from one read to the next, nanoseconds
}

// addBatch counts datagrams that have been handled, and says whether an interval has
// ended.
func (l *load) addBatch(list []Datagram, now time.Time) bool {
	if l.since.IsZero() {
		l.since, l.last = now, now
	}
	l.datagrams += len(list)
	for i := range list {
		l.bytes += len(list[i].Payload)
	}
	l.longest = max(l.longest, now.Sub(l.last))
	l.last = now
	took := now.Sub(l.since)
	if took < loadInterval {
		return false
	}
	if rate := uint64(float64(l.datagrams) / took.Seconds()); rate >= l.rate.Load() {
		l.rate.Store(rate)
		l.speed.Store(uint64(float64(l.bytes) / took.Seconds()))
		l.pause.Store(int64(l.longest))
	}
	l.since, l.datagrams, l.bytes, l.longest = now, 0, 0, 0
	return true
}

// warnOfDrops says, once, that the system has dropped datagrams, and what helps.
func (l *Listener) warnOfDrops() {
	rate, speed := l.load.rate.Load(), l.load.speed.Load()
	pause := time.Duration(l.load.pause.Load())
	need := bufferFor(l.granted, rate, speed, pause)
	l.opt.Warn("%s: the system has dropped %d datagrams, as the receive buffer of %d bytes was full: set "+
		"read_buffer_size = \"%dMiB\" and %s. "+
		"Received are up to %d datagrams (%d bytes) a second, with pauses up to %s. If drops go on, the machine is "+
		"too slow for what the exporters send: "+
		"let them sample, or give it more processors (kernel_drops of netflow_exporter counts on)",
		l.opt.Address, l.drops, l.granted, need>>20, readBufferAdvice(need), rate, speed, pause.Round(time.Millisecond))
}

// bufferFor returns a size of the receive buffer in bytes, whole MiB, that bridges
// twice the pause at the rate; it is at least twice what there is.
func bufferFor(granted int, rate, speed uint64, pause time.Duration) int {
	const most = 1 << 30
	need := 2 * pause.Seconds() * (float64(speed) + float64(rate)*datagramOverhead)
	size := max(int(min(need, most)), min(2*granted, most))
	return (size + 1<<20 - 1) &^ (1<<20 - 1)
}
