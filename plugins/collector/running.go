package collector

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// maxRunning bounds the flows of one decoder whose running totals are followed, in each
// of two generations: about 16 MiB.
const maxRunning = 65536

// runningKey names a flow whose totals are followed. A flow that begins anew has another
// start.
type runningKey struct {
	dom              *domain
	src, dst         netip.Addr
	srcPort, dstPort uint16
	proto            uint8
	input            uint32
	first            flow.Time
}

// count is what a flow had counted when it was reported last.
type count struct{ bytes, packets uint64 }

// running makes differences of counters that count since a flow began (elements 85 and
// 86 of IANA's): some exporters report a long flow again and again, each time with all
// that it had so far. The flows that were idle longest go first.
type running struct {
	young, old map[runningKey]count
	dropped    bool // flows were forgotten
}

// difference makes the counters of a flow with running totals those since its last report.
// A flow that is seen for the first time has counted nothing before. It cannot be told
// apart from one that was forgotten: where an exporter is known to report flows again and
// some were, the flow is marked as a Total, and so is one without a start.
func (t *running) difference(dom *domain, r *flow.Record) {
	r.Total = false
	if !r.Has(flow.FirstSeen) {
		r.Total = true
		return
	}
	key := runningKey{dom, r.Src, r.Dst, r.SrcPort, r.DstPort, r.Proto, r.Input, r.First}
	now := count{r.Bytes, r.Packets}
	before, known := t.young[key]
	if !known {
		before, known = t.old[key]
	}
	if !known && dom.again && t.dropped {
		r.Total = true
	}
	t.keep(key, count{max(now.bytes, before.bytes), max(now.packets, before.packets)})
	if !known {
		return
	}
	dom.again = true
	// A report that comes late has nothing that a later one had not.
	r.Bytes, r.Packets = now.bytes-min(now.bytes, before.bytes), now.packets-min(now.packets, before.packets)
}

// keep keeps what a flow has counted.
func (t *running) keep(key runningKey, c count) {
	if len(t.young) >= maxRunning {
		t.dropped = t.dropped || len(t.old) > 0
		t.old, t.young = t.young, nil
	}
	if t.young == nil {
		t.young = map[runningKey]count{}
	}
	t.young[key] = c
}
