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
		if !dom.learnOut(r) {
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

// learnOut learns from a record whether its exporter counts the other direction behind the
// device, and returns what it knows: once a record cannot be about the same packets, or
// while more records count fewer of them than as many. A device that drops packets counts
// fewer of them in a few records.
func (dom *domain) learnOut(r *flow.Record) bool {
	if r.OutBytes|r.OutPackets == 0 || sentNothing(r) {
		return dom.outReverse.Load() || dom.outFewer.Load() > 0
	}
	if cannotBeTheSame(r) && !dom.outReverse.Load() {
		dom.outReverse.Store(true)
	}
	if dom.outReverse.Load() {
		return true
	}
	balance := dom.outFewer.Load()
	switch fewer := countsFewer(r); {
	case fewer && balance < outRecords:
		balance = dom.outFewer.Add(1)
	case !fewer && balance > -outRecords:
		balance = dom.outFewer.Add(-1)
	}
	return balance > 0
}

// outRecords is how many records of one kind outFewer remembers.
const outRecords = 64

// maxEncapsulation is how many bytes a device adds to a packet at most, in bytes.
const maxEncapsulation = 128

// cannotBeTheSame says whether a record counts more packets behind the device than before
// it, or more bytes than headers of tunnels explain.
func cannotBeTheSame(r *flow.Record) bool {
	if !r.Has(flow.OutPackets) || !r.Has(flow.Packets) {
		return r.OutBytes/2 > r.Bytes
	}
	if r.OutPackets > r.Packets {
		return true
	}
	return r.Has(flow.OutBytes) && r.Has(flow.Bytes) && r.OutBytes > r.Bytes &&
		(r.OutBytes-r.Bytes)/maxEncapsulation > r.OutPackets
}

// countsFewer says whether a record counts fewer packets behind the device than before it.
func countsFewer(r *flow.Record) bool {
	if !r.Has(flow.OutPackets) || !r.Has(flow.Packets) {
		return r.OutBytes < r.Bytes/2
	}
	return r.OutPackets < r.Packets
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
