package collector

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
)

// outCounters makes the counters behind the device those of the other direction, where
// they are that. It says whether it has.
func (dom *domain) outCounters(r *flow.Record) bool {
	if !r.Has(flow.OutBytes) && !r.Has(flow.OutPackets) || !r.Has(flow.Bytes) && !r.Has(flow.Packets) {
		return false
	}
	mode := flow.OutLearned
	if c := dom.exporter.config; c != nil {
		mode = c.OutCounters
	}
	switch mode {
	case flow.OutIgnore:
		r.OutBytes, r.OutPackets = 0, 0
		r.Present = r.Present.Without(flow.SetOf(flow.OutBytes, flow.OutPackets))
		return false
	case flow.OutSame:
		return false
	case flow.OutLearned:
		if differ(r) {
			dom.outReverse.Store(true)
		}
		if !dom.outReverse.Load() {
			return false
		}
	}
	if r.RevBytes|r.RevPackets != 0 {
		return false
	}
	if sentNothing(r) {
		r.Bytes, r.Packets = 0, 0
	}
	r.RevBytes, r.RevPackets = r.OutBytes, r.OutPackets
	r.Present.Add(flow.RevBytes)
	r.Present.Add(flow.RevPackets)
	return true
}

// differ says whether a record counts other packets behind the device than before it:
// more of them, as fewer may have been dropped, and bytes alone may differ by headers.
func differ(r *flow.Record) bool {
	if r.OutBytes|r.OutPackets == 0 || sentNothing(r) {
		return false
	}
	if r.Has(flow.OutPackets) && r.Has(flow.Packets) {
		return r.OutPackets > r.Packets
	}
	return r.OutBytes/2 > r.Bytes
}

// sentNothing says whether the counters before the device were 0, for which the decoder
// has taken those behind it.
func sentNothing(r *flow.Record) bool {
	for i := range r.Extra {
		e := &r.Extra[i]
		if e.PEN == 0 && (e.ID == ie.PacketDeltaCount || e.ID == ie.OctetDeltaCount) && len(e.Value) == 1 &&
			e.Value[0] == 0 {
			return true
		}
	}
	return false
}
