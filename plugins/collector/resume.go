package collector

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// SetKey says what template a set needs: the id, and whose it is.
type SetKey struct {
	Exporter netip.AddrPort
	Version  flow.Version
	Domain   uint32
	Template uint16
}

// key returns the key of a set of the message.
func (m *message) key(id uint16) SetKey {
	return SetKey{netip.AddrPortFrom(m.addr, m.port), m.dom.key.version, m.dom.key.domain, id}
}

// datagram returns a datagram with the header of the message and one of its sets.
func (m *message) datagram(set ipfix.Set) Datagram {
	b := make([]byte, 0, len(m.header)+4+len(set.Body))
	b = append(b, m.header...)
	b = binary.BigEndian.AppendUint16(b, set.ID)
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(set.Body)))
	b = append(b, set.Body...)
	if m.dom.key.version == flow.IPFIX {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	}
	return Datagram{Exporter: netip.AddrPortFrom(m.addr, m.port), Received: m.received.Time(), Payload: b,
		Policy: m.policy}
}

// Knows says whether a set of this key, received at that time, can be decoded now.
func (d *Decoder) Knows(k SetKey, received time.Time) bool {
	m := message{addr: k.Exporter.Addr().Unmap(), port: k.Exporter.Port(), received: flow.TimeOf(received),
		now: d.shared.clock(), late: true, past: true}
	if c := d.look(m.addr); c != nil {
		m.policy = c.Policy
	}
	if m.dom = d.domains[d.key(&m, k.Version, k.Domain)]; m.dom == nil {
		return false
	}
	return d.template(&m, k.Template) != nil
}

// Resume decodes a datagram that Handler.Missing got, once its template is known.
// It was counted when it came: now only its records are, and that its sets were
// resumed. It says nothing about the present: not about sequence numbers nor clocks.
func (d *Decoder) Resume(dg Datagram, h Handler) error {
	d.message = message{late: true, past: true, handler: h, base: &d.own.rec.Base}
	return d.decode(&d.message, dg)
}

// Key returns what the first set of a datagram of Handler.Missing needs; false when
// it is no such datagram.
func Key(dg Datagram) (SetKey, bool) {
	k := SetKey{Exporter: dg.Exporter, Version: version(dg.Payload)}
	head := 0
	switch k.Version {
	case flow.V9:
		head = netflow.V9HeaderLen
	case flow.IPFIX:
		head = ipfix.HeaderLen
	default:
		return k, false
	}
	if len(dg.Payload) < head+4 {
		return k, false
	}
	k.Domain = binary.BigEndian.Uint32(dg.Payload[head-4:]) // the last field of either header
	k.Template = binary.BigEndian.Uint16(dg.Payload[head:])
	return k, k.Template >= ipfix.FirstTemplate
}
