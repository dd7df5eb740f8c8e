package collector

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// maxRunning bounds the flows of one decoder whose running totals are followed, in each
// of two generations: about 20 MiB each.
const maxRunning = 65536

// runningKey names a flow whose totals are followed. A flow that begins anew has another
// start; one that is seen in two places is reported by each.
type runningKey struct {
	dom              *domain
	src, dst         netip.Addr
	srcPort, dstPort uint16
	proto, direction uint8
	vlan             uint16
	input, vrf       uint32
	point, id        uint64
	first            flow.Time
}

// counts are the counters of a flow, in the order of ipfix.Counters.
type counts [len(ipfix.Counters)]uint64

// running makes differences of counters that count since a flow began (elements 85 and
// 86, and their kind): some exporters report a long flow again and again, each time with
// all that it had so far. The flows that were idle longest go first.
type running struct {
	young, old map[runningKey]counts
	dropped    bool // flows were forgotten
}

// difference makes the counters of a flow that are running totals those since its last
// report. A flow that is seen for the first time has counted nothing before. It cannot be
// told apart from one that was forgotten: where an exporter is known to report flows again
// and some were, these counters are left out and the flow is marked as a Total, and so is
// one without a start.
func (t *running) difference(dom *domain, r *flow.Record, totals flow.Set) {
	r.Total = false
	if !r.Has(flow.FirstSeen) {
		leaveOut(r, totals)
		return
	}
	key := runningKey{dom, r.Src, r.Dst, r.SrcPort, r.DstPort, r.Proto, r.Direction, r.SrcVLAN, r.Input, r.IngressVRF,
		r.ObservationPoint, r.FlowID, r.First}
	before, known := t.young[key]
	if !known {
		before, known = t.old[key]
	}
	last := before
	for i, f := range ipfix.Counters {
		if !totals.Has(f) {
			continue
		}
		now := r.Number(f)
		last[i] = max(now, before[i])
		if known { // A report that comes late has nothing that a later one had not.
			r.SetNumber(f, now-min(now, before[i]))
		}
	}
	if !known && dom.again && t.dropped {
		leaveOut(r, totals)
	}
	dom.again = dom.again || known
	t.keep(key, last)
}

// leaveOut takes counters out of a flow, which their elements still have.
func leaveOut(r *flow.Record, totals flow.Set) {
	r.Total = true
	for _, f := range ipfix.Counters {
		if totals.Has(f) {
			r.SetNumber(f, 0)
		}
	}
	r.Present = r.Present.Without(totals)
}

// keep keeps what a flow has counted.
func (t *running) keep(key runningKey, c counts) {
	if len(t.young) >= maxRunning {
		t.dropped = t.dropped || len(t.old) > 0
		t.old, t.young = t.young, nil
	}
	if t.young == nil {
		t.young = map[runningKey]counts{}
	}
	t.young[key] = c
}
