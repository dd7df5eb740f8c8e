package collector

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TableKind says what an entry of an exporter's option tables is about.
type TableKind uint8

// The kinds of entries.
const (
	SamplerRate   TableKind = iota // Rate by sampler or selector id
	GeneralRate                    // Rate of all that names no sampler
	InterfaceName                  // Name by SNMP's index
	VRFName                        // Name by VRF id
	AppName                        // Name by application id, as a number of four bytes
)

// TableEntry is one line of the option tables of an observation domain.
type TableEntry struct {
	Exporter netip.Addr
	Version  flow.Version
	Domain   uint32
	Kind     TableKind
	ID       uint64
	Name     string // at most 255 bytes, valid UTF-8
	Rate     uint32 // one packet in how many
}

// Tables appends what the option records of all exporters have told, sorted.
func (d *Decoder) Tables(list []TableEntry) []TableEntry {
	for key, dom := range d.domains {
		e := TableEntry{Exporter: key.addr, Version: key.version, Domain: key.domain}
		if dom.rates.general != 0 {
			e.Kind, e.Rate = GeneralRate, dom.rates.general
			list = append(list, e)
		}
		for id, rate := range dom.rates.byID {
			e.Kind, e.ID, e.Rate = SamplerRate, id, rate
			list = append(list, e)
		}
		e.Rate = 0
		for k, name := range dom.names {
			switch k.kind {
			case nameInterface:
				e.Kind = InterfaceName
			case nameVRF:
				e.Kind = VRFName
			case nameApp:
				e.Kind = AppName
			default:
				continue
			}
			e.ID, e.Name = k.id, name
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b TableEntry) int {
		return cmp.Or(a.Exporter.Compare(b.Exporter), cmp.Compare(a.Version, b.Version),
			cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.ID, b.ID))
	})
	return list
}
