package flowmetric

import (
	"sync/atomic"
	"time"
)

// maxAhead is how far timestamps run ahead of the wall clock at most. Metrics may be older by
// more: those of a set that has waited for its template.
const maxAhead = int64(time.Minute)

// restartTime is how long after a restart metrics may still come whose time of receipt
// is of the clock before.
const restartTime = int64(10 * time.Second)

// rising is a clock that gives no time twice.
type rising struct {
	wall      func() time.Time
	latest    atomic.Int64  // the last time that was given away, in nanoseconds since 1970
	restarted atomic.Int64  // when it was set back, by the wall clock, likewise
	restarts  atomic.Uint64 // how often
}

// process is shared by the whole process, so that two inputs that write the same series
// do not collide either.
var process = rising{wall: time.Now}

// Timestamp returns the time for the metric of a flow that was received at the
// given time: that time, or, when it or a later one has been given away already,
// one nanosecond after the last. So no two metrics share a timestamp, not even
// when the clock is set back; then the timestamps run ahead of it until it has
// caught up. Where that would be more than a minute they begin anew at the wall clock:
// see ClockRestarts.
func Timestamp(received time.Time) time.Time { return process.timestamp(received) }

// ClockRestarts returns how often timestamps have begun anew because the clock had been
// ahead and was set back by more than a minute.
func ClockRestarts() uint64 { return process.restarts.Load() }

// timestamp does what Timestamp says.
func (c *rising) timestamp(received time.Time) time.Time {
	t := received.UnixNano()
	for {
		last := c.latest.Load()
		at, restart := t, false
		if last-t > maxAhead || t-last > maxAhead {
			at, restart = c.check(t, last)
		}
		next := at
		if !restart {
			next = max(at, last+1)
		}
		if c.latest.CompareAndSwap(last, next) {
			if restart {
				c.restarts.Add(1)
			}
			return time.Unix(0, next)
		}
	}
}

// check looks at the wall clock, as a time of receipt is far from the latest timestamp.
// With restart the latest one does not count.
func (c *rising) check(t, last int64) (at int64, restart bool) {
	wall := c.wall().UnixNano()
	if restart = last-t > maxAhead && last-wall > maxAhead; restart {
		c.restarted.Store(wall)
	}
	since := wall - c.restarted.Load()
	if t-wall > maxAhead && since >= 0 && since < restartTime {
		t = wall
	}
	return t, restart
}
