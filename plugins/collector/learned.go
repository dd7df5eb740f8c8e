package collector

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// LearnedTemplate is a template that an exporter has sent.
type LearnedTemplate struct {
	Exporter netip.Addr
	Version  flow.Version
	Domain   uint32
	ID       uint16
	Fields   int
	Options  bool      // of option records, not of flows
	Used     flow.Time // receipt of what it described last
}

// Templates appends the templates of all exporters, sorted. Of one that several ports have sent
// it is that which was used last.
func (d *Decoder) Templates(list []LearnedTemplate) []LearnedTemplate {
	for key, dom := range d.domains {
		for id, entries := range dom.templates {
			if len(entries) == 0 {
				continue
			}
			last := slices.MaxFunc(entries, func(a, b entry) int { return cmp.Compare(a.used, b.used) })
			list = append(list, LearnedTemplate{Exporter: key.addr, Version: key.version, Domain: key.domain, ID: id,
				Fields: len(last.t.Fields), Options: last.t.Options(), Used: last.used})
		}
	}
	slices.SortFunc(list, func(a, b LearnedTemplate) int {
		return cmp.Or(a.Exporter.Compare(b.Exporter), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Domain, b.Domain),
			cmp.Compare(a.ID, b.ID))
	})
	return list
}
