package collector

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// fixed is a version with records of a fixed layout.
type fixed struct {
	version        flow.Version
	header, record int // lengths in bytes
	parse          func([]byte) (netflow.V5Header, []byte, error)
	base           func(*flow.Record, netflow.V5Header)
	decode         func(r *flow.Record, b []byte)
}

var (
	fixedV1 = fixed{flow.V1, netflow.V1HeaderLen, netflow.V1RecordLen, netflow.ParseV1Header, netflow.V1Base,
		netflow.DecodeV1}
	fixedV5 = fixed{flow.V5, netflow.V5HeaderLen, netflow.V5RecordLen, netflow.ParseV5Header, netflow.V5Base,
		netflow.DecodeV5}
	fixedV7 = fixed{flow.V7, netflow.V7HeaderLen, netflow.V7RecordLen, netflow.ParseV7Header, netflow.V7Base,
		netflow.DecodeV7}
)

// fixed decodes a datagram of NetFlow v1, v5 or v7.
func (d *Decoder) fixed(m *message, f *fixed, b []byte) {
	head, records, err := f.parse(b)
	if len(b) < f.header {
		d.begin(m, 0, 0, 0)
		d.fail(m, err)
		return
	}
	base := d.begin(m, f.version, head.Domain(), head.ExportTime())
	if err != nil {
		d.fail(m, err)
	}
	f.base(base, head)
	if base.Exported == 0 {
		base.Exported = m.received
	}
	d.assign(work{m: m, fixed: f, body: records})
	m.sequence, m.announced = head.Sequence, uint32(head.Count)
	d.end(m)
}

// sflow decodes an sFlow datagram. The domain is the sub-agent.
func (d *Decoder) sflow(m *message, b []byte) {
	head, samples, err := sflow.ParseHeader(b)
	if err != nil {
		d.begin(m, 0, 0, 0)
		d.fail(m, err)
		return
	}
	m.agent, m.sflow, m.sequence = head.Agent, head, head.Sequence
	d.begin(m, flow.SFlow, head.SubAgent, 0)
	d.assign(work{m: m, packets: samples, body: b})
	d.end(m)
}

// v9 decodes a NetFlow v9 datagram.
func (d *Decoder) v9(m *message, b []byte) {
	head, sets, err := netflow.ParseV9Header(b)
	if err != nil {
		d.begin(m, 0, 0, 0)
		d.fail(m, err)
		return
	}
	m.header = b[:netflow.V9HeaderLen]
	base := d.begin(m, flow.V9, head.SourceID, head.ExportTime())
	base.Sequence, base.SysUptime = head.Sequence, head.SysUptime
	switch now := m.dom.uptime; {
	case m.late: // what waited has the clock of its own datagram
		m.dom.uptime.Set(base.Exported, head.SysUptime)
		defer func() { m.dom.uptime = now }()
	case !m.resent || !now.Known():
		m.dom.uptime.Set(base.Exported, head.SysUptime)
		m.dom.sysUptime = head.SysUptime
	}
	m.sequence = head.Sequence
	d.sets(m, sets)
	d.end(m)
}

// ipfix decodes an IPFIX message.
func (d *Decoder) ipfix(m *message, b []byte) {
	head, sets, err := ipfix.ParseHeader(b)
	if len(b) < ipfix.HeaderLen {
		d.begin(m, 0, 0, 0)
		d.fail(m, err)
		return
	}
	m.header = b[:ipfix.HeaderLen]
	d.begin(m, flow.IPFIX, head.Domain, head.ExportTime()).Sequence = head.Sequence
	if err != nil {
		d.fail(m, err)
	}
	m.sequence = head.Sequence
	d.sets(m, sets)
	d.end(m)
}
