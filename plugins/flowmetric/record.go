package flowmetric

import (
	"encoding/binary"
	"math/bits"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// recordFields writes the fields of flow.Record that the flow has, as the table has
// them, and what follows from them.
func (b *Builder) recordFields(r *flow.Record) {
	for word, left := range r.Present {
		for ; left != 0; left &= left - 1 {
			f := flow.Field(64*word + bits.TrailingZeros64(left))
			switch d := &recordFields[f]; {
			case d.kind == kindNone:
			case b.lines.open && b.writeRecordField(f, d.kind, r):
			default:
				b.recordField(f, d, r)
			}
		}
	}
	if r.Total {
		b.addField("count_kind", "total")
	}
	b.uint("sampling_rate", r.Rate())
	b.addField("sampling_source", rateSources[r.SamplingSource&7])
}

// recordField writes one field.
func (b *Builder) recordField(f flow.Field, d *stockField, r *flow.Record) {
	switch d.kind {
	case kindUint:
		b.uint(d.name, r.Number(f))
	case kindIP:
		b.addValue(d.name, address(r.Addr(f)))
	case kindMAC:
		b.addValue(d.name, b.cache.mac(r.Octets(f)))
	case kindString:
		b.addValue(d.name, b.cache.valid(r.Octets(f)))
	case kindProto:
		b.addField(d.name, protocolNames[uint8(r.Number(f))])
	case kindHex:
		b.hexField(f, d.name, r)
	case kindTCPFlags:
		if r.Has(flow.TCPFlagsWide) {
			b.addValue(d.name, b.cache.tcp2(r.TCPFlags))
		} else {
			b.addField(d.name, b.cache.tcp1(uint8(r.TCPFlags)))
		}
	case kindFragmentFlags:
		b.addValue(d.name, b.cache.flagsOf(uint8(r.Number(f)), fragmentLetters))
	case kindByte0:
		b.uint(d.name, r.Number(f)>>8)
	default:
		b.addField(d.name, enumOf(d.kind, uint8(r.Number(f))))
	}
	b.derived(f, r)
}

// hexField writes a field in hex: octets, a stack of labels, or a number in as many bytes
// as the field has.
func (b *Builder) hexField(f flow.Field, name string, r *flow.Record) {
	switch d := f.Describe(); {
	case f == flow.MPLS:
		for i, label := range r.MPLS[:min(int(r.MPLSDepth), len(r.MPLS))] {
			b.scratch = [16]byte{byte(label >> 16), byte(label >> 8), byte(label)}
			b.addValue(mplsNames[i], b.cache.hex(b.scratch[:3]))
		}
	case d.Size == 1:
		b.addField(name, b.cache.hex1(uint8(r.Number(f))))
	case d.Kind == flow.KindNumber || d.Kind == flow.KindFlags:
		v := binary.BigEndian.AppendUint64(b.scratch[:0], r.Number(f))
		b.addValue(name, b.cache.hex(v[8-d.Size:]))
	default:
		b.addValue(name, b.cache.hex(r.Octets(f)))
	}
}

var mplsNames = [10]string{"mpls_label_1", "mpls_label_2", "mpls_label_3", "mpls_label_4", "mpls_label_5",
	"mpls_label_6", "mpls_label_7", "mpls_label_8", "mpls_label_9", "mpls_label_10"}

// derived writes what follows from a field besides its value.
func (b *Builder) derived(f flow.Field, r *flow.Record) {
	switch f {
	case flow.ICMP:
		b.uint("icmp_code", uint64(r.ICMP&0xff))
	case flow.Bytes:
		b.uint("scaled_bytes", r.Scale(r.Bytes))
	case flow.Packets:
		b.uint("scaled_packets", r.Scale(r.Packets))
	case flow.FwdStatus:
		b.addField("fwd_reason", enumOf(kindFwdReason, r.FwdStatus))
	case flow.SegmentID:
		if vni := r.SegmentID & 0xffffff; vni != 0 {
			b.uint("vni", vni)
		}
	case flow.IngressAttr:
		b.role("ingress_role", r.IngressAttr)
	case flow.EgressAttr:
		b.role("egress_role", r.EgressAttr)
	}
}

// rateSources are the names of the sources of a rate, as values.
var rateSources = [8]any{
	flow.RateUnknown: "unknown", flow.RateHeader: "header", flow.RateDomain: "domain", flow.RateSelector: "selector",
	flow.RateRecord: "record", flow.RateConfig: "config",
	flow.RateVCenter: "vcenter",
}

// role writes what a port of a VMware virtual switch is for (elements 888, 890).
func (b *Builder) role(name string, attr uint16) {
	switch attr {
	case 1:
		b.addField(name, "uplink")
	case 2:
		b.addField(name, "vm")
	case 3:
		b.addField(name, "vxlan")
	default:
		b.addField(name, "unknown")
	}
}
