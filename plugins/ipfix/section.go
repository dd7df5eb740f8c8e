package ipfix

import (
	"encoding/binary"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/packet"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// The elements that carry the first bytes of a packet, and what is said of it
// (RFC 5477, section 8.5; Cisco's NetFlow-Lite; Juniper's inline monitoring).
const (
	layer2Section   = ie.Layer2packetSectionData
	frameSize       = ie.DataLinkFrameSize // bytes
	ipHeaderSection = ie.IpHeaderPacketSection
	frameSection    = ie.DataLinkFrameSection
	totalLength     = ie.IpTotalLength // bytes
)

// isSection says whether a field carries a packet.
func isSection(f FieldSpec) bool {
	return f.PEN == 0 && (f.ID == layer2Section || f.ID == ipHeaderSection || f.ID == frameSection)
}

// dissect fills r from the packet section among its elements. Such a record
// stands for one packet, unless it says otherwise.
func (d *RecordDecoder) dissect(r *flow.Record) {
	var head []byte
	protocol, size := uint32(0), uint64(0)
	for i := range r.Extra {
		e := &r.Extra[i]
		if e.PEN != 0 {
			continue
		}
		switch e.ID {
		case layer2Section, frameSection:
			head, protocol = e.Value, packet.ProtocolEthernet
		case ipHeaderSection:
			if head == nil && len(e.Value) > 0 {
				head, protocol = e.Value, packet.ProtocolIPv4
				if e.Value[0]>>4 == 6 {
					protocol = packet.ProtocolIPv6
				}
			}
		case frameSize:
			size = wire.Uint(e.Value)
		case totalLength:
			if size == 0 {
				size = wire.Uint(e.Value)
			}
		}
	}
	if len(head) == 0 {
		return
	}
	d.sample = flow.Sample{Kind: flow.SampleSection, Protocol: protocol, Headers: flow.HasFrame}
	r.Sample = &d.sample
	packet.Dissect(r, &d.sample, protocol, head)
	d.sample.FrameLength = uint32(min(size, 1<<32-1))
	if size == 0 {
		size = packetLength(&d.sample, head)
	}
	if !r.Has(flow.Packets) {
		r.Packets = 1
		r.Present.Add(flow.Packets)
	}
	if !r.Has(flow.Bytes) && size != 0 {
		r.Bytes = size
		r.Present.Add(flow.Bytes)
	}
}

// packetLength returns the bytes of a packet as its outermost IP header has them,
// with the headers of the link before it; 0 when there is none.
func packetLength(p *flow.Sample, head []byte) uint64 {
	link := 0
	if p.Protocol == packet.ProtocolEthernet {
		if link = packet.LinkLength(head); link == 0 {
			return 0
		}
	}
	if len(head) < link+6 {
		return 0
	}
	switch ip := head[link:]; ip[0] >> 4 {
	case 4:
		return uint64(link) + uint64(binary.BigEndian.Uint16(ip[2:]))
	case 6:
		return uint64(link) + 40 + uint64(binary.BigEndian.Uint16(ip[4:]))
	}
	return 0
}
