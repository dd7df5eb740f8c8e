package rollup

import (
	"math/bits"
	"time"
)

// spread adds a flow to the windows that it covers. What lies before the oldest that is
// open is in that, and what lies in the future in the newest.
func (r *rollup) spread(key []uint64, v *value) {
	oldest, newest := r.windows[0], r.windows[len(r.windows)-1]
	if v.last < oldest.since {
		r.counts.Late++
	}
	of := func(ms uint64) int {
		for i := len(r.windows) - 1; i > 0; i-- {
			if ms >= r.windows[i].since {
				return i
			}
		}
		return 0
	}
	last := of(v.last)
	if v.last <= v.first || time.Duration(v.last-v.first)*time.Millisecond <= r.Interval || oldest == newest {
		r.windows[last].addFlow(r.windows[last].cell(key, v), v)
		return
	}
	rest := *v
	for i := of(v.first); i < last; i++ {
		part := v.until(r.windows[i].until)
		part.less(v, &rest)
		rest.subtract(&part)
		part.flows, part.first = 0, r.since(i, v)
		part.last = r.windows[i].until - 1
		r.windows[i].addPart(key, &part)
	}
	rest.first = r.since(last, v)
	w := r.windows[last]
	own := w.table.Own(w.addPart(key, &rest))
	own[ownLargest], own[ownSmallest] = max(own[ownLargest], v.scaledBytes), max(own[ownSmallest], ^v.scaledBytes)
}

// since returns when the part of a flow begins that is in an open window.
func (r *rollup) since(i int, v *value) uint64 {
	if i == 0 {
		return v.first
	}
	return max(v.first, r.windows[i].since)
}

// until returns the counters of a flow up to a time, in proportion.
func (v *value) until(ms uint64) value {
	part := *v
	if ms >= v.last {
		return part
	}
	scale := func(n uint64) uint64 {
		high, low := bits.Mul64(n, ms-v.first)
		q, _ := bits.Div64(high, low, v.last-v.first) // high is below: ms is before last
		return q
	}
	part.packets, part.bytes = scale(v.packets), scale(v.bytes)
	part.scaledPackets, part.scaledBytes = scale(v.scaledPackets), scale(v.scaledBytes)
	return part
}

// less takes off what has been given away of whole before rest.
func (v *value) less(whole, rest *value) {
	v.packets -= whole.packets - rest.packets
	v.bytes -= whole.bytes - rest.bytes
	v.scaledPackets -= whole.scaledPackets - rest.scaledPackets
	v.scaledBytes -= whole.scaledBytes - rest.scaledBytes
}

// subtract takes the counters of a part off.
func (v *value) subtract(part *value) {
	v.packets -= part.packets
	v.bytes -= part.bytes
	v.scaledPackets -= part.scaledPackets
	v.scaledBytes -= part.scaledBytes
}
