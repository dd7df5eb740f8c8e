package collector

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// message is what is known of the datagram at hand.
type message struct {
	addr     netip.Addr
	port     uint16
	agent    netip.Addr // of sFlow
	received flow.Time
	now      flow.Time // by the registry's clock
	size     int
	header   []byte // of v9 and IPFIX
	resent   bool   // not the exporter's own
	stream   bool   // over TCP or TLS
	policy   flow.Policy
	late     bool // decoded before, but for its template: see Resume
	past     bool // one of the two: nothing about the exporter's present
	handler  Handler

	dom       *domain
	base      *flow.Record // what its records share
	sflow     sflow.Header
	sequence  uint32
	announced uint32 // number of records, as the header of NetFlow v5 or v7 has it
	flows     uint32 // data records decoded
	options   uint32 // option records decoded
	templates uint32 // template records
	unsure    bool   // sets were not decoded, so the number of records is unknown
}

// version reads the protocol version off a datagram; 0 is none that is known.
// sFlow has a version of four bytes.
func version(b []byte) flow.Version {
	if len(b) < 4 {
		return 0
	}
	switch v := binary.BigEndian.Uint16(b); v {
	case 1, 5, 7, 9, 10:
		return flow.Version(v)
	case 0:
		if binary.BigEndian.Uint16(b[2:]) == 5 {
			return flow.SFlow
		}
	}
	return 0
}

// begin finds the domain of a datagram, counts it, and prepares what its records share.
// exported is the time of its header, 0 where it has none.
func (d *Decoder) begin(m *message, v flow.Version, id uint32, exported flow.Time) *flow.Record {
	dom := d.domain(d.key(m, v, id))
	m.dom, dom.heard = dom, m.now
	if !dom.judged {
		dom.judged, dom.unlisted = true, !d.list(dom, m.now)
	}
	m.flows, m.options, m.templates, m.unsure = 0, 0, 0, false
	d.adopt(m)
	if !m.past {
		m.count(exported)
	}
	if exported == 0 {
		exported = m.received
	}
	dom.exported = exported
	*m.base = flow.Record{
		Exporter:     m.addr,
		ExporterPort: m.port,
		Domain:       dom.key.domain,
		Version:      dom.key.version,
		Exported:     exported,
		Received:     m.received,
	}
	return m.base
}

// count counts a datagram of its domain.
func (m *message) count(exported flow.Time) {
	s := &m.dom.stats
	if s.Datagrams == 0 {
		s.Since = m.received
	}
	s.Datagrams++
	s.Bytes += uint64(m.size)
	s.LastReceived = m.received
	if exported != 0 {
		s.ClockSkew = m.received - exported
	}
	m.dom.exporter.known.datagrams.Add(1)
}

// unsupported counts a datagram of a protocol that is not decoded.
func (d *Decoder) unsupported(m *message, v flow.Version, b []byte) error {
	first := d.domains[d.key(m, v, 0)] == nil
	d.begin(m, v, 0, 0)
	m.dom.stats.Unsupported++
	head := b[:min(len(b), 4)]
	if first {
		d.log.say(m.now, "datagrams of %s are not decoded: expected NetFlow, IPFIX or sFlow v5 as configured, "+
			"got version %s (bytes %q)", m.addr, v, head)
	}
	return fmt.Errorf("datagram of %s: expected a supported protocol, got version %s (bytes %q)",
		netip.AddrPortFrom(m.addr, m.port), v, head)
}

// fail counts an error of the datagram at hand.
func (d *Decoder) fail(m *message, err error) {
	m.dom.stats.DecodeErrors++
	if d.err == nil {
		d.err = err
	}
	if !m.dom.complained {
		m.dom.complained = true
		d.log.say(m.now, "%s, %s domain %d: %v (further errors are only counted)", m.addr, m.dom.key.version,
			m.dom.key.domain, err)
	}
}
