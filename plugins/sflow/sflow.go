// Package sflow decodes and encodes sFlow version 5 datagrams
// (https://sflow.org/sflow_version_5.txt): flow samples, expanded samples,
// discarded packets and counter samples. It also dissects the packet headers
// that samples carry, for sFlow and for the packet sections of IPFIX.
//
// Like ipfix it keeps no state between datagrams, decodes into reused records
// without allocation, and never panics on what a peer sends: every count in a
// datagram is bounded by its bytes. Samples and records of unknown formats are
// skipped by their length.
//
// To add a counter record, add its line to counterFormats; to add a flow record,
// a case to Decoder.record and a place in flow.Sample.
package sflow

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// Version is the version in the first four bytes of a datagram.
const Version = 5

// The formats of samples, of enterprise 0.
const (
	FlowSample            = 1
	CounterSample         = 2
	ExpandedFlowSample    = 3
	ExpandedCounterSample = 4
	DiscardedPacket       = 5
)

// ErrAddress says that an address has an unknown type.
var ErrAddress = errors.New("unknown type of address")

// Header is the header of a datagram.
type Header struct {
	Agent    netip.Addr // address by which the agent calls itself
	SubAgent uint32
	Sequence uint32 // datagrams of the sub-agent before this one
	Uptime   uint32 // milliseconds since the agent started
	Samples  uint32 // as the datagram claims
}

// ParseHeader reads the header of a datagram and returns the samples behind it.
func ParseHeader(b []byte) (Header, Samples, error) {
	r := wire.NewReader(b)
	if v := r.Uint32(); v != Version && r.Err() == nil {
		return Header{}, Samples{}, fmt.Errorf("sflow: header: expected version %d, got %d", Version, v)
	}
	var h Header
	var err error
	if h.Agent, err = address(&r); err != nil {
		return Header{}, Samples{}, fmt.Errorf("sflow: address of the agent: %w", err)
	}
	h.SubAgent, h.Sequence, h.Uptime, h.Samples = r.Uint32(), r.Uint32(), r.Uint32(), r.Uint32()
	if err := r.Err(); err != nil {
		return Header{}, Samples{}, fmt.Errorf("sflow: header: %w", err)
	}
	return h, Samples{r: wire.NewReader(r.Rest()), left: h.Samples}, nil
}

// address reads an address: its type and 4 or 16 bytes; type 0 is none.
func address(r *wire.Reader) (netip.Addr, error) {
	switch kind := r.Uint32(); kind {
	case 0:
		return netip.Addr{}, r.Err()
	case 1:
		if b := r.Bytes(4); b != nil {
			return netip.AddrFrom4([4]byte(b)), nil
		}
	case 2:
		if b := r.Bytes(16); b != nil {
			return netip.AddrFrom16([16]byte(b)), nil
		}
	default:
		return netip.Addr{}, fmt.Errorf("%w: expected 1 (IPv4) or 2 (IPv6), got %d", ErrAddress, kind)
	}
	return netip.Addr{}, r.Err()
}

// opaque reads bytes behind their length, padded to 4.
func opaque(r *wire.Reader) []byte {
	n := r.Uint32()
	if n > uint32(r.Len()) {
		r.Skip(r.Len() + 1)
		return nil
	}
	b := r.Bytes(int(n))
	r.Skip(min(int(-n&3), r.Len()))
	return b
}

// Sample is one sample, or one record in it: enterprise<<12 | format, and body.
type Sample struct {
	Format uint32
	Body   []byte
}

// Samples walks over the samples of a datagram, or over the records of a sample.
// The zero value has none.
type Samples struct {
	r    wire.Reader
	left uint32
	err  error
}

// Next returns the next sample. The walk ends after as many as were announced,
// or at one that does not fit the bytes: then Err says so.
func (s *Samples) Next() (Sample, bool) {
	if s.left == 0 || s.err != nil {
		return Sample{}, false
	}
	s.left--
	format, n := s.r.Uint32(), s.r.Uint32()
	if n > uint32(s.r.Len()) {
		n = uint32(s.r.Len()) + 1
	}
	body := s.r.Bytes(int(n))
	if err := s.r.Err(); err != nil {
		s.err = fmt.Errorf("sflow: sample of format %d: %w", format, err)
		return Sample{}, false
	}
	return Sample{Format: format, Body: body}, true
}

// Err returns why the walk ended early, or nil.
func (s *Samples) Err() error { return s.err }

// Decoder decodes samples into reused records. The zero value is ready. It is not
// safe for concurrent use.
type Decoder struct {
	sample   flow.Sample
	counters [64]flow.Counter
}

// Flow decodes a sample of format FlowSample, ExpandedFlowSample or
// DiscardedPacket into r, of which all but Extra's memory is replaced, starting
// from base. Bytes and Packets are those of the one packet; SamplingRate scales
// them. r.Sample is valid until the next call.
func (d *Decoder) Flow(r, base *flow.Record, h *Header, s Sample) error {
	extra := r.Extra[:0]
	*r = *base
	r.Extra = extra
	d.sample = flow.Sample{Agent: h.Agent, SubAgent: h.SubAgent, Uptime: h.Uptime}
	r.Sample = &d.sample
	r.Sequence, r.SysUptime = h.Sequence, h.Uptime
	r.First, r.Last = r.Received, r.Received
	b := wire.NewReader(s.Body)
	count := d.head(r, &b, s.Format)
	if err := b.Err(); err != nil {
		return fmt.Errorf("sflow: sample of format %d: %w", s.Format, err)
	}
	r.Packets = 1
	r.Present.Add(flow.Packets)
	records := Samples{r: wire.NewReader(b.Rest()), left: count}
	var failed error
	for {
		rec, ok := records.Next()
		if !ok {
			break
		}
		if err := d.record(r, rec); err != nil && failed == nil {
			failed = fmt.Errorf("sflow: flow record of format %d: %w", rec.Format, err)
		}
	}
	if r.IPVersion == 0 && r.Src.IsValid() {
		r.IPVersion = 6
		if r.Src.Is4() {
			r.IPVersion = 4
		}
	}
	if failed == nil {
		failed = records.Err()
	}
	return failed
}

// head reads a sample up to its records, of which it returns the number.
func (d *Decoder) head(r *flow.Record, b *wire.Reader, format uint32) uint32 {
	p := &d.sample
	var in, out uint32
	inFormat := uint8(0)
	p.Sequence = b.Uint32()
	if format == FlowSample {
		source := b.Uint32()
		p.SourceType, p.Source = uint8(source>>24), source&0xffffff
		p.Interval, p.Pool, p.Drops = b.Uint32(), b.Uint32(), b.Uint32()
		in, out = b.Uint32(), b.Uint32()
		inFormat, p.OutFormat = uint8(in>>30), uint8(out>>30)
		in, out = in&0x3fffffff, out&0x3fffffff
	} else {
		p.SourceType, p.Source = uint8(b.Uint32()), b.Uint32()
		if format == ExpandedFlowSample {
			p.Interval, p.Pool, p.Drops = b.Uint32(), b.Uint32(), b.Uint32()
			inFormat, in = uint8(b.Uint32()), b.Uint32()
			p.OutFormat, out = uint8(b.Uint32()), b.Uint32()
		} else {
			p.Kind = flow.SampleDiscarded
			p.Drops, in, out, p.Reason = b.Uint32(), b.Uint32(), b.Uint32(), b.Uint32()
		}
	}
	if inFormat == 0 {
		r.Input = in
		r.Present.Add(flow.Input)
	}
	switch {
	case p.OutFormat == 0:
		r.Output = out
		r.Present.Add(flow.Output)
	case p.OutFormat == 1:
		p.Reason = out
	}
	if p.OutFormat == 1 || p.Kind == flow.SampleDiscarded {
		r.FwdStatus = 2 << 6 // dropped, RFC 7270, section 4.12
		r.Present.Add(flow.FwdStatus)
	}
	r.Direction = 1
	if p.Source == in {
		r.Direction = 0
	}
	r.Present.Add(flow.Direction)
	if p.Interval != 0 {
		r.SamplingRate, r.SamplingSource = p.Interval, flow.RateRecord
		r.Present.Add(flow.SamplingRate)
	}
	return b.Uint32()
}

// record decodes one flow record of a sample.
func (d *Decoder) record(r *flow.Record, rec Sample) error {
	b := wire.NewReader(rec.Body)
	p := &d.sample
	switch rec.Format {
	case 1:
		return d.header(r, &b)
	case 2:
		p.Extended |= flow.HasEthernetSample
		p.EthLength = b.Uint32()
		d.length(r, p.EthLength)
		setMAC(r, &b)
		p.EtherType = uint16(b.Uint32())
	case 3, 4:
		return d.packet(r, &b, rec.Format == 4)
	case 1001:
		p.Extended |= flow.HasSwitch
		p.SrcVLAN, p.SrcPriority, p.DstVLAN, p.DstPriority = b.Uint32(), b.Uint32(), b.Uint32(), b.Uint32()
		r.SrcVLAN, r.DstVLAN = uint16(p.SrcVLAN), uint16(p.DstVLAN)
		r.Present.Add(flow.SrcVLAN)
		r.Present.Add(flow.DstVLAN)
	case 1002:
		p.Extended |= flow.HasRouter
		hop, err := address(&b)
		if err != nil {
			return err
		}
		r.NextHop, r.SrcMask, r.DstMask = hop, uint8(b.Uint32()), uint8(b.Uint32())
		r.Present.Add(flow.SrcMask)
		r.Present.Add(flow.DstMask)
		have(r, flow.NextHop, hop)
	case 1003:
		return d.gateway(r, &b)
	case 1004:
		b.Uint32() // character set
		r.User = opaque(&b)
		r.Present.Add(flow.User)
	case 1007:
		return d.nat(r, &b)
	case 1029, 1030:
		p.VNI = b.Uint32()
		p.Headers |= flow.HasVNI
		r.SegmentID = uint64(p.VNI)
		r.Present.Add(flow.SegmentID)
	case 1036:
		p.Extended |= flow.HasQueue
		p.Queue = b.Uint32()
	case 1037:
		p.Extended |= flow.HasACL
		p.ACL, p.ACLName, p.ACLDirection = b.Uint32(), opaque(&b), b.Uint32()
		if p.ACLDirection == 1 || p.ACLDirection == 2 {
			r.Direction = uint8(p.ACLDirection - 1)
		}
	case 1038:
		p.Extended |= flow.HasFunction
		p.Function = opaque(&b)
	}
	return b.Err()
}

// length makes n the bytes of the flow, unless a better figure is there.
func (d *Decoder) length(r *flow.Record, n uint32) {
	if r.Bytes == 0 {
		r.Bytes = uint64(n)
		r.Present.Add(flow.Bytes)
	}
}

// header decodes a sampled header: the first bytes of the packet.
func (d *Decoder) header(r *flow.Record, b *wire.Reader) error {
	p := &d.sample
	p.Protocol, p.FrameLength = b.Uint32(), b.Uint32()
	b.Uint32() // bytes removed from the packet before counting, such as a checksum
	head := opaque(b)
	if err := b.Err(); err != nil {
		return err
	}
	r.Bytes = uint64(p.FrameLength)
	r.Present.Add(flow.Bytes)
	p.Headers |= flow.HasFrame
	Dissect(r, p, p.Protocol, head)
	return nil
}

// packet decodes IP header fields that the agent has taken apart itself.
func (d *Decoder) packet(r *flow.Record, b *wire.Reader, v6 bool) error {
	n := 4
	d.sample.Extended |= flow.HasIPv4Sample
	if v6 {
		n = 16
		d.sample.Extended = d.sample.Extended&^flow.HasIPv4Sample | flow.HasIPv6Sample
	}
	length, proto := b.Uint32(), b.Uint32()
	src, dst := b.Bytes(n), b.Bytes(n)
	srcPort, dstPort, flags, tos := b.Uint32(), b.Uint32(), b.Uint32(), b.Uint32()
	if err := b.Err(); err != nil {
		return err
	}
	d.length(r, length)
	d.sample.IPLength = uint16(min(length, 0xffff))
	r.Src, _ = netip.AddrFromSlice(src)
	r.Dst, _ = netip.AddrFromSlice(dst)
	r.Proto, r.SrcPort, r.DstPort = uint8(proto), uint16(srcPort), uint16(dstPort)
	r.TCPFlags, r.SrcTOS = uint16(uint8(flags)), uint8(tos)
	for _, f := range [...]flow.Field{flow.Src, flow.Dst, flow.Proto, flow.SrcPort, flow.DstPort, flow.TCPFlags, flow.SrcTOS} {
		r.Present.Add(f)
	}
	return nil
}

// setMAC reads source and destination, of 6 bytes padded to 8 each.
func setMAC(r *flow.Record, b *wire.Reader) {
	src, dst := b.Bytes(8), b.Bytes(8)
	if src == nil || dst == nil {
		return
	}
	r.InSrcMAC, r.OutDstMAC = [6]byte(src), [6]byte(dst)
	r.Present.Add(flow.InSrcMAC)
	r.Present.Add(flow.OutDstMAC)
}

// gateway decodes BGP's view of the flow.
func (d *Decoder) gateway(r *flow.Record, b *wire.Reader) error {
	p := &d.sample
	p.Extended |= flow.HasGateway
	hop, err := address(b)
	if err != nil {
		return err
	}
	p.GatewayVersion = 1
	if hop.Is6() {
		p.GatewayVersion = 2
	}
	p.AS, r.SrcAS, r.PrevAS = b.Uint32(), b.Uint32(), b.Uint32()
	r.BGPNextHop = hop
	if !r.NextHop.IsValid() {
		r.NextHop = hop
		have(r, flow.NextHop, hop)
	}
	have(r, flow.BGPNextHop, hop)
	first := true
	for segments := b.Uint32(); segments > 0 && b.Err() == nil; segments-- {
		kind, n := b.Uint32(), b.Uint32()
		for ; n > 0 && b.Err() == nil; n-- {
			as := b.Uint32()
			if first {
				r.NextAS, p.ASPathType, first = as, kind, false
			}
			r.DstAS = as
			p.ASPathLength++
		}
	}
	n := b.Uint32()
	if n > uint32(b.Len())/4 {
		b.Skip(b.Len() + 1)
	}
	p.Communities = b.Bytes(4 * int(n&0xffff))
	p.LocalPref = b.Uint32()
	if err := b.Err(); err != nil {
		return err
	}
	for _, f := range [...]flow.Field{flow.SrcAS, flow.DstAS, flow.PrevAS, flow.NextAS} {
		r.Present.Add(f)
	}
	return nil
}

// nat decodes translated addresses.
func (d *Decoder) nat(r *flow.Record, b *wire.Reader) error {
	src, err := address(b)
	if err != nil {
		return err
	}
	dst, err := address(b)
	if err != nil {
		return err
	}
	r.XlateSrc, r.XlateDst = src, dst
	have(r, flow.XlateSrc, src)
	have(r, flow.XlateDst, dst)
	return nil
}

// have says that an address was sent, unless it is none.
func have(r *flow.Record, f flow.Field, a netip.Addr) {
	if a.IsValid() {
		r.Present.Add(f)
	}
}
