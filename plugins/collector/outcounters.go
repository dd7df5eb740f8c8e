package collector

import (
	"fmt"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
)

// OutCounters says what an exporter counts in elements 23 and 24, which are by their
// definition the same packets behind the device.
type OutCounters uint8

// What is counted.
const (
	OutLearned OutCounters = iota // the other direction once more packets went out than came in, else the same
	OutReverse                    // the other direction: nProbe, Cisco's Meraki MX
	OutSame                       // the same packets: FortiGate
	OutIgnore                     // nothing that is to be kept
)

// outNames are the names of the configuration.
var outNames = [...]string{OutLearned: "auto", OutReverse: "reverse", OutSame: "same", OutIgnore: "ignore"}

// ParseOutCounters reads a name; "" is "auto".
func ParseOutCounters(name string) (OutCounters, error) {
	for o, known := range outNames {
		if name == known || name == "" {
			return OutCounters(o), nil
		}
	}
	return 0, fmt.Errorf("out_counters: expected 'auto', 'reverse', 'same' or 'ignore', got %q", name)
}

// outCounters makes the counters behind the device those of the other direction, where
// they are that. It says whether it has.
func (dom *domain) outCounters(r *flow.Record) bool {
	if !r.Has(flow.OutBytes) && !r.Has(flow.OutPackets) || !r.Has(flow.Bytes) && !r.Has(flow.Packets) {
		return false
	}
	mode := OutLearned
	if c := dom.exporter.config; c != nil {
		mode = c.Out
	}
	switch mode {
	case OutIgnore:
		r.OutBytes, r.OutPackets = 0, 0
		r.Present = r.Present.Without(flow.SetOf(flow.OutBytes, flow.OutPackets))
		return false
	case OutSame:
		return false
	case OutLearned:
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
