package collector

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// total compares a counter of an exporter with what was received, from the first
// time that the exporter tells it. What was sent before is not known.
type total struct {
	known    bool
	last     uint64 // the exporter's count, latest
	base     uint64 // the exporter's count when the comparison began
	received uint64 // ours at that time
	sent     uint64 // of comparisons that a restart of the exporter has ended
	lost     uint64
}

// takeCount compares a count of the exporter while ours is have, and returns how much
// the exporter has sent since the first one, and how much of that is missing.
func (t *total) takeCount(count, have uint64) (sent, lost uint64) {
	if !t.known || count < t.last {
		if t.known { // a restart: what was counted until then stays
			t.sent += t.last - t.base
			t.lost += missing(t.last-t.base, have-t.received)
		}
		t.known, t.base, t.received = true, count, have
	}
	t.last = count
	return t.sent + count - t.base, t.lost + missing(count-t.base, have-t.received)
}

// missing returns how much less than sent was received.
func missing(sent, received uint64) uint64 { return sent - min(sent, received) }

// compare takes the exporter's own totals (RFC 5102, section 5.2) from an option record. In IPFIX they are
// those of the exporting process, so of all its domains, unless the record's scope
// is a domain; in NetFlow v9 those of the domain (RFC 3954, section 8).
func (d *Decoder) compare(m *message, o *flow.OptionRecord) {
	dom, s := m.dom, &m.dom.stats
	datagrams, flows := s.Datagrams, s.Flows
	known := dom.exporter.known
	whole := o.Version == flow.IPFIX && !m.stream
	for i := range o.Scope {
		if e := &o.Scope[i]; e.PEN == 0 && e.ID == ie.ObservationDomainId {
			whole = false
		}
	}
	for i := range o.Fields {
		e := &o.Fields[i]
		if e.PEN != 0 || len(e.Value) == 0 || len(e.Value) > 8 {
			continue
		}
		if whole && (e.ID == ie.ExportedMessageTotalCount || e.ID == ie.ExportedFlowRecordTotalCount) {
			datagrams, flows = known.datagrams.Load(), known.flows.Load()+uint64(m.flows)
		}
		switch e.ID {
		case ie.ExportedMessageTotalCount:
			s.ExporterDatagrams, s.ExporterDatagramsLost = dom.messages.takeCount(wire.Uint(e.Value), datagrams)
		case ie.ExportedFlowRecordTotalCount:
			s.ExporterFlows, s.ExporterFlowsLost = dom.records.takeCount(wire.Uint(e.Value), flows)
		case ie.NotSentFlowTotalCount:
			s.ExporterFlowsUnsent = wire.Uint(e.Value)
		}
	}
}
