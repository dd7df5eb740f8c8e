package collector

import (
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// ExporterConfig is what a user says of the exporters of a network.
type ExporterConfig struct {
	Prefix     netip.Prefix
	Name       string
	Refuse     bool              // drop its datagrams
	Interfaces map[uint32]string // names by SNMP index

	flow.Policy
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

// look returns the configuration of an exporter as config does; it remembers the last.
func (d *Decoder) look(addr netip.Addr) *ExporterConfig {
	if len(d.opt.Exporters) == 0 {
		return nil
	}
	if d.looked.addr != addr {
		d.looked.addr, d.looked.config = addr, d.config(addr)
	}
	return d.looked.config
}

// refuses says whether the datagrams of an exporter with a configuration are to be
// dropped.
func (d *Decoder) refuses(c *ExporterConfig) bool {
	return c == nil && d.opt.RefuseUnknown || c != nil && c.Refuse
}

// Screen says whether a datagram is one to pass on: not of an exporter that is refused
// or beyond Options.MaxExporters, nor, where only some protocols are wanted, of another one. It sets the
// datagram's policy to the one that the decoder follows: what its configuration says of the exporter, else
// what came with the datagram.
func (d *Decoder) Screen(dg *Datagram) bool {
	addr := dg.Exporter.Addr().Unmap()
	c := d.look(addr)
	if c != nil {
		dg.Policy = c.Policy
	}
	if d.refuses(c) || !d.seated(addr, d.shared.clock(), c) {
		return false
	}
	end := dg.Stream && len(dg.Payload) == 0
	return end || len(d.opt.Protocols) == 0 || slices.Contains(d.opt.Protocols, version(dg.Payload))
}

// adopt makes the policy that came with a datagram that of its exporter, where the
// configuration says nothing of it.
func (d *Decoder) adopt(m *message) {
	exp := m.dom.exporter
	if m.policy == exp.policy || exp.configured || m.past && m.policy == (flow.Policy{}) {
		return
	}
	d.settle() // what came before is of the policy before
	exp.policy, exp.config = m.policy, nil
	if m.policy != (flow.Policy{}) {
		exp.config = &ExporterConfig{Policy: m.policy}
	}
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
	return !d.refuses(d.config(addr))
}
