package collector

import (
	"maps"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Inherit makes decoders, which have decoded nothing yet, go on where others have ended,
// whose options and number may be different: with what those know (see Known), with the
// numbers that come next from each exporter, and with their counters. Sets that wait for
// a template count as expired.
func Inherit(decoders, ended []*Decoder) {
	shard := func(dg Datagram) *Decoder { return decoders[decoders[0].Shard(&dg, len(decoders))] }
	for _, old := range ended {
		old.Known(func(dg Datagram) {
			if decoders[0].takes(version(dg.Payload)) {
				_ = shard(dg).Decode(dg, Handler{})
			}
		})
	}
	for _, old := range ended {
		for key, dom := range old.domains {
			decoders[decoders[0].shardOf(key, len(decoders))].inherit(dom)
		}
	}
}

// takes says whether a version is decoded.
func (d *Decoder) takes(v flow.Version) bool {
	return len(d.opt.Protocols) == 0 || slices.Contains(d.opt.Protocols, v)
}

// inherit goes on with a domain of another decoder, if its exporter is still wanted.
func (d *Decoder) inherit(old *domain) {
	key := old.key
	if d.refuses(d.config(key.addr)) || !d.takes(key.version) {
		return
	}
	c := d.config(key.addr)
	if separate := c != nil && c.SeparatePorts && !key.stream; separate != (key.port != 0) {
		return // other domains than before
	}
	if !d.seated(key.addr, d.shared.clock(), c) {
		return
	}
	dom := d.domain(key)
	dom.heard = d.shared.clock()
	dom.judged, dom.unlisted = true, !d.list(dom, dom.heard)
	templates := dom.stats.Templates
	dom.stats = old.stats
	dom.stats.Templates = max(templates, old.stats.Templates)
	dom.stats.SetsExpired += uint64(old.stats.SetsWaiting)
	dom.stats.SetsWaiting = 0
	dom.sequences = slices.Clone(old.sequences)
	dom.uptime, dom.exported, dom.sysUptime = old.uptime, old.exported, old.sysUptime
	dom.messages, dom.records = old.messages, old.records
	dom.missed, dom.complained = maps.Clone(old.missed), old.complained
	known, before := dom.exporter.known, old.exporter.known
	known.datagrams.Store(before.datagrams.Load())
	known.flows.Store(before.flows.Load())
}
