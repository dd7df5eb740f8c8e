package collector

import (
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// CountMode says which flows of an exporter are counted. The others are decoded,
// and counted as Uncounted, but not given to the handler.
type CountMode uint8

// The count modes.
const (
	CountAll CountMode = iota

	// CountIngress and CountEgress count the flows that were seen coming in or
	// going out, and those that do not say.
	CountIngress
	CountEgress

	// CountDelivered counts what a VMware virtual switch has delivered, once:
	// flows from an uplink or a VM to a VM (specs/flow-protocols.md, VMware), and
	// flows that do not say.
	CountDelivered
)

// counts says whether r is counted.
func (c CountMode) counts(r *flow.Record) bool {
	switch c {
	case CountIngress:
		return !r.Has(flow.Direction) || r.Direction == 0
	case CountEgress:
		return !r.Has(flow.Direction) || r.Direction == 1
	case CountDelivered:
		return !r.Has(flow.EgressAttr) || r.EgressAttr == attrVM && (r.IngressAttr == attrUplink || r.IngressAttr == attrVM)
	}
	return true
}

// The values of VMware's elements 888 and 890.
const (
	attrUplink = 1
	attrVM     = 2
)

// ExporterConfig is what a user says of the exporters of a network.
type ExporterConfig struct {
	Prefix     netip.Prefix
	Name       string
	Rate       uint32 // one packet in so many; 0 is not configured
	Override   bool   // Rate beats what the exporter says, else it is for want of that
	Count      CountMode
	Refuse     bool              // drop its datagrams
	Interfaces map[uint32]string // names by SNMP index

	// SeparatePorts makes every source port of the address an exporter of its own:
	// VMware's hosts behind one "switch IP" share address and domain.
	SeparatePorts bool
}

// config returns the configuration of an exporter, that of the longest prefix, or
// nil.
func (d *Decoder) config(addr netip.Addr) *ExporterConfig {
	addr = addr.WithZone("")
	for i := range d.opt.Exporters {
		if c := &d.opt.Exporters[i]; c.Prefix.Contains(addr) {
			return c
		}
	}
	return nil
}

// refuses says whether the datagrams of an exporter are to be dropped.
func (d *Decoder) refuses(addr netip.Addr) bool {
	if len(d.opt.Exporters) == 0 {
		return d.opt.RefuseUnknown
	}
	if dom := d.newest; dom != nil && dom.key.addr == addr {
		return false // it was not refused before
	}
	return !d.Allows(addr)
}

// sortExporters puts the longest prefixes first.
func sortExporters(list []ExporterConfig) []ExporterConfig {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b ExporterConfig) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	return list
}

// Allows says whether the datagrams of an exporter are taken. It may be called from
// any goroutine.
func (d *Decoder) Allows(addr netip.Addr) bool {
	c := d.config(addr)
	return c == nil && !d.opt.RefuseUnknown || c != nil && !c.Refuse
}
