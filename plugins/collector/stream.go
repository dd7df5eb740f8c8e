package collector

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// withdraw drops a template that the exporter has withdrawn over its connection;
// the id of the set itself means all of its kind (RFC 7011, section 8.1).
func (d *Decoder) withdraw(m *message, id uint16, options bool) {
	if id >= ipfix.FirstTemplate {
		d.withdrawOne(m.dom, id, m.port, options)
		return
	}
	if id == ipfix.TemplateSet && !options || id == ipfix.OptionsTemplateSet && options {
		for known := range m.dom.templates {
			d.withdrawOne(m.dom, known, m.port, options)
		}
	}
}

// withdrawOne drops a port's template, where it is of the kind.
func (d *Decoder) withdrawOne(dom *domain, id, port uint16, options bool) {
	at := slices.IndexFunc(dom.templates[id], func(e entry) bool { return e.port == port && e.t.Options() == options })
	if at < 0 {
		return
	}
	if d.drop(dom, id, at); options {
		d.endRates(dom, port, id)
	}
}

// endStream drops what belongs to a connection: its templates and the rates that it has
// told by them, its sequence numbers, and the sets that still wait for a template.
func (d *Decoder) endStream(from netip.AddrPort) {
	exp := d.exporters[exporterKey{addr: from.Addr(), version: flow.IPFIX}]
	if exp == nil || exp.streams == 0 {
		return
	}
	port := from.Port()
	for e := d.accounts[from.Addr()].domains.Front(); e != nil; e = e.Next() { // no other address's
		dom := e.Value.(*domain)
		if !dom.key.stream {
			continue
		}
		for id := range dom.templates {
			d.withdrawOne(dom, id, port, false)
			d.withdrawOne(dom, id, port, true)
		}
		dom.sequences = slices.DeleteFunc(dom.sequences, func(s sequence) bool { return s.port == port })
		d.endWaits(dom, int(port))
		d.endRates(dom, port, anyTemplate)
		d.endTeller(dom, port)
	}
}

// Shard returns which of n decoders gets a datagram: all datagrams of an exporter's
// observation domain go to the same one. It may be called from any goroutine. The
// end of a stream concerns them all.
func (d *Decoder) Shard(dg *Datagram, n int) int {
	if n <= 1 {
		return 0
	}
	m := message{addr: dg.Exporter.Addr().Unmap(), port: dg.Exporter.Port(), stream: dg.Stream}
	m.policy = dg.Policy
	if c := d.config(m.addr); c != nil {
		m.policy = c.Policy
	}
	v := version(dg.Payload)
	key := d.key(&m, v, peekDomain(v, dg.Payload))
	return d.shardOf(key, n)
}

// shardOf returns which of n decoders has a domain.
func (*Decoder) shardOf(key domainKey, n int) int {
	addr := key.addr.As16()
	h := binary.BigEndian.Uint64(addr[:8]) ^ binary.BigEndian.Uint64(addr[8:])*0x9e3779b97f4a7c15
	h ^= (uint64(key.domain)<<24 | uint64(key.version)<<16 | uint64(key.port)) * 0xff51afd7ed558ccd
	h ^= h >> 32
	h *= 0xc4ceb9fe1a85ec53
	return int((h >> 33) % uint64(n))
}

// Origin returns the protocol version and the observation domain of a datagram, as its
// header has them; 0 is none.
func Origin(dg *Datagram) (flow.Version, uint32) {
	v := version(dg.Payload)
	return v, peekDomain(v, dg.Payload)
}

// peekDomain reads the observation domain off a datagram, 0 when it has none.
func peekDomain(v flow.Version, b []byte) uint32 {
	at := 0
	switch v {
	case flow.V5:
		if len(b) >= 22 {
			return uint32(binary.BigEndian.Uint16(b[20:]))
		}
	case flow.V9:
		at = 16
	case flow.IPFIX:
		at = 12
	case flow.SFlow: // the sub-agent, behind the agent's address
		at = 12
		if len(b) >= 8 && b[7] == 2 {
			at = 24
		}
	}
	if at == 0 || len(b) < at+4 {
		return 0
	}
	return binary.BigEndian.Uint32(b[at:])
}
