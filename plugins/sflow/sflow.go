// Package sflow decodes and encodes sFlow version 5 datagrams
// (https://sflow.org/sflow_version_5.txt): flow samples, expanded samples,
// discarded packets and counter samples. What samples carry of packets is read by
// package packet.
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
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/packet"
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
	if len(b) < 4 {
		return Header{}, Samples{}, fmt.Errorf("sflow: header: %w", short(b, 4))
	}
	if v := word(b, 0); v != Version {
		return Header{}, Samples{}, fmt.Errorf("sflow: header: expected version %d, got %d", Version, v)
	}
	agent, b, err := address(b[4:])
	if err != nil {
		return Header{}, Samples{}, fmt.Errorf("sflow: address of the agent: %w", err)
	}
	if len(b) < 16 {
		return Header{}, Samples{}, fmt.Errorf("sflow: header: %w", short(b, 16))
	}
	h := Header{Agent: agent, SubAgent: word(b, 0), Sequence: word(b, 1), Uptime: word(b, 2), Samples: word(b, 3)}
	return h, Samples{b: b[16:], left: h.Samples}, nil
}

// word returns the i-th word of b.
func word(b []byte, i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }

// short says that b has fewer bytes than are wanted of it.
func short(b []byte, want uint64) error {
	return fmt.Errorf("%w: expected at least %d bytes, got %d", wire.ErrShort, want, len(b))
}

// address reads an address, its type and 4 or 16 bytes, and returns what is behind
// it. Type 0 is none.
func address(b []byte) (netip.Addr, []byte, error) {
	if len(b) < 4 {
		return netip.Addr{}, nil, short(b, 4)
	}
	switch kind := word(b, 0); kind {
	case 0:
		return netip.Addr{}, b[4:], nil
	case 1:
		if len(b) < 8 {
			return netip.Addr{}, nil, short(b, 8)
		}
		return netip.AddrFrom4([4]byte(b[4:])), b[8:], nil
	case 2:
		if len(b) < 20 {
			return netip.Addr{}, nil, short(b, 20)
		}
		return netip.AddrFrom16([16]byte(b[4:])), b[20:], nil
	default:
		return netip.Addr{}, nil, fmt.Errorf("%w: expected 1 (IPv4) or 2 (IPv6), got %d", ErrAddress, kind)
	}
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
	b    []byte
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
	one, rest, ok := cut(s.b)
	if !ok {
		s.err = fmt.Errorf("sflow: sample %w", uncut(s.b))
		return Sample{}, false
	}
	s.b = rest
	return one, true
}

// cut returns the sample at the start of b and what is behind it.
func cut(b []byte) (one Sample, rest []byte, ok bool) {
	if len(b) < 8 {
		return one, nil, false
	}
	end := 8 + uint64(word(b, 1))
	if end > uint64(len(b)) {
		return one, nil, false
	}
	return Sample{Format: word(b, 0), Body: b[8:end:end]}, b[end:], true
}

// uncut says why cut found no sample.
func uncut(b []byte) error {
	if len(b) < 8 {
		return fmt.Errorf("without a head: %w", short(b, 8))
	}
	return fmt.Errorf("of format %d: %w", word(b, 0), short(b, 8+uint64(word(b, 1))))
}

// Err returns why the walk ended early, or nil.
func (s *Samples) Err() error { return s.err }

// Decoder decodes samples into reused records. The zero value is ready. It is not
// safe for concurrent use.
type Decoder struct {
	// Skipped counts the records of samples that had a format which is not known, over
	// all calls.
	Skipped uint64

	sample   flow.Sample
	counters [64]flow.Counter
}

// Flow decodes a sample of format FlowSample, ExpandedFlowSample or
// DiscardedPacket into r, of which all but Extra's memory is replaced, starting
// from base. Bytes and Packets are those of the one packet; SamplingRate scales
// them. r.Sample is valid until the next call.
func (d *Decoder) Flow(r, base *flow.Record, h *Header, s Sample) error {
	extra, p := r.Extra[:0], &d.sample
	*r = *base
	r.Extra = extra
	*p = flow.Sample{} // in place: with fields it would be made elsewhere and copied
	p.Agent, p.SubAgent, p.Uptime = h.Agent, h.SubAgent, h.Uptime
	r.Sample = p
	r.Sequence, r.SysUptime = h.Sequence, h.Uptime
	r.First, r.Last = base.Received, base.Received
	size := headSize(s.Format)
	if len(s.Body) < size {
		return fmt.Errorf("sflow: sample of format %d: %w", s.Format, short(s.Body, uint64(size)))
	}
	count := d.head(r, s.Format, s.Body[:size])
	r.Packets = 1
	r.Present.Add(flow.Packets)
	var failed error
	for b := s.Body[size:]; count > 0; count-- {
		one, rest, ok := cut(b)
		if !ok {
			if failed == nil {
				failed = fmt.Errorf("sflow: flow record %w", uncut(b))
			}
			break
		}
		b = rest
		if err := d.record(r, one); err != nil && failed == nil {
			failed = fmt.Errorf("sflow: flow record of format %d: %w", one.Format, err)
		}
	}
	if r.IPVersion == 0 && r.Src.IsValid() {
		r.IPVersion = 6
		if r.Src.Is4() {
			r.IPVersion = 4
		}
	}
	return failed
}

// headSize returns the bytes of a sample before its records.
func headSize(format uint32) int {
	if format == ExpandedFlowSample {
		return 44
	}
	return 32
}

// head reads b, which is a sample up to its records, and returns their number.
func (d *Decoder) head(r *flow.Record, format uint32, b []byte) uint32 {
	p := &d.sample
	var in, out uint32
	var inFormat uint8
	switch format {
	case FlowSample:
		b = b[:32]
		p.SourceType, p.Source = b[4], word(b, 1)&0xffffff
		p.Interval, p.Pool, p.Drops = word(b, 2), word(b, 3), word(b, 4)
		in, out = word(b, 5)&0x3fffffff, word(b, 6)&0x3fffffff
		inFormat, p.OutFormat = b[20]>>6, b[24]>>6
	case ExpandedFlowSample:
		b = b[:44]
		p.SourceType, p.Source = b[7], word(b, 2)
		p.Interval, p.Pool, p.Drops = word(b, 3), word(b, 4), word(b, 5)
		inFormat, in = uint8(min(word(b, 6), 0xff)), word(b, 7)
		p.OutFormat, out = uint8(min(word(b, 8), 0xff)), word(b, 9)
	default:
		b = b[:32]
		p.Kind = flow.SampleDiscarded
		p.SourceType, p.Source = b[7], word(b, 2)
		p.Drops, in, out, p.Reason = word(b, 3), word(b, 4), word(b, 5), word(b, 6)
	}
	p.Sequence = word(b, 0)
	d.interfaces(r, in, out, inFormat)
	if p.Interval != 0 {
		r.SamplingRate, r.SamplingSource = p.Interval, flow.RateRecord
		r.Present.Add(flow.SamplingRate)
	}
	return word(b, len(b)/4-1)
}

// internal stands for the agent itself, as source or destination of a packet; there are
// agents that write it as -1 where the encoding has 32 bits for an interface.
const (
	internal         = 0x3fffffff
	internalExpanded = 0xffffffff
)

// isInternal says whether an interface is the agent itself.
func isInternal(index uint32) bool { return index == internal || index == internalExpanded }

// interfaces sets where the packet came in and where it left or was dropped. The agent
// itself is no interface: the number stays 0, as nothing that was sent.
func (d *Decoder) interfaces(r *flow.Record, in, out uint32, inFormat uint8) {
	p := &d.sample
	if inFormat == 0 && !isInternal(in) {
		r.Input = in
		r.Present.Add(flow.Input)
	}
	switch {
	case p.OutFormat == 0 && isInternal(out):
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
}

// record decodes one flow record of a sample.
func (d *Decoder) record(r *flow.Record, rec Sample) error {
	switch rec.Format { // those that many samples have, or that have addresses
	case 1:
		return d.header(r, rec.Body)
	case 1001:
		return d.vlans(r, rec.Body)
	case 1002:
		return d.router(r, rec.Body)
	case 1003:
		return d.gateway(r, rec.Body)
	case 1007:
		return d.nat(r, rec.Body)
	}
	b := wire.NewReader(rec.Body)
	p := &d.sample
	switch rec.Format {
	case 2:
		p.Extended |= flow.HasEthernetSample
		p.EthLength = b.Uint32()
		d.length(r, p.EthLength)
		setMAC(r, &b, len(rec.Body))
		p.EtherType = uint16(b.Uint32())
	case 3, 4:
		return d.packet(r, &b, rec.Format == 4)
	case 1004:
		b.Uint32() // character set
		r.User = opaque(&b)
		r.Present.Add(flow.User)
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
	default:
		d.Skipped++
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
func (d *Decoder) header(r *flow.Record, b []byte) error {
	if len(b) < 16 {
		return short(b, 16)
	}
	p := &d.sample
	p.Protocol, p.FrameLength = word(b, 0), word(b, 1)
	// Between: bytes removed from the packet before counting, such as a checksum.
	n := word(b, 3)
	head := b[16:]
	if uint64(n) > uint64(len(head)) {
		return short(b, 16+uint64(n))
	}
	r.Bytes = uint64(p.FrameLength)
	r.Present.Add(flow.Bytes)
	p.Headers |= flow.HasFrame
	packet.Dissect(r, p, p.Protocol, head[:n:n])
	return nil
}

// vlans decodes what a switch says of the packet's VLANs.
func (d *Decoder) vlans(r *flow.Record, b []byte) error {
	if len(b) < 16 {
		return short(b, 16)
	}
	p := &d.sample
	p.Extended |= flow.HasSwitch
	p.SrcVLAN, p.SrcPriority, p.DstVLAN, p.DstPriority = word(b, 0), word(b, 1), word(b, 2), word(b, 3)
	r.SrcVLAN, r.DstVLAN = uint16(p.SrcVLAN), uint16(p.DstVLAN)
	r.Present.Add(flow.SrcVLAN)
	r.Present.Add(flow.DstVLAN)
	return nil
}

// router decodes the route that the packet took.
func (d *Decoder) router(r *flow.Record, b []byte) error {
	d.sample.Extended |= flow.HasRouter
	hop, b, err := address(b)
	if err != nil {
		return err
	}
	if len(b) < 8 {
		return short(b, 8)
	}
	r.NextHop, r.SrcMask, r.DstMask = hop, b[3], b[7]
	r.Present.Add(flow.SrcMask)
	r.Present.Add(flow.DstMask)
	have(r, flow.NextHop, hop)
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
	r.Present.Add(flow.Src)
	r.Present.Add(flow.Dst)
	r.Present.Add(flow.Proto)
	r.Present.Add(flow.SrcPort)
	r.Present.Add(flow.DstPort)
	r.Present.Add(flow.TCPFlags)
	r.Present.Add(flow.SrcTOS)
	return nil
}

// XDR pads the addresses of an Ethernet frame to 8 bytes each, which makes a record of
// 24; there are agents that do not pad.
const (
	unpaddedMACs = 20 // of the record: length, addresses, type
	macLen       = 6
	macLenXDR    = 8
)

// setMAC reads source and destination from a record of size bytes.
func setMAC(r *flow.Record, b *wire.Reader, size int) {
	n := macLenXDR
	if size == unpaddedMACs {
		n = macLen
	}
	src, dst := b.Bytes(n), b.Bytes(n)
	if src == nil || dst == nil {
		return
	}
	r.InSrcMAC, r.OutDstMAC = [6]byte(src), [6]byte(dst)
	r.Present.Add(flow.InSrcMAC)
	r.Present.Add(flow.OutDstMAC)
}

// gateway decodes BGP's view of the flow.
func (d *Decoder) gateway(r *flow.Record, b []byte) error {
	p := &d.sample
	p.Extended |= flow.HasGateway
	hop, b, err := address(b)
	if err != nil {
		return err
	}
	p.GatewayVersion = 1
	if hop.Is6() {
		p.GatewayVersion = 2
	}
	r.BGPNextHop = hop
	have(r, flow.BGPNextHop, hop)
	if !r.NextHop.IsValid() {
		r.NextHop = hop
		have(r, flow.NextHop, hop)
	}
	if len(b) < 16 {
		return short(b, 16)
	}
	p.AS, r.SrcAS, r.PrevAS = word(b, 0), word(b, 1), word(b, 2)
	if b, err = d.path(r, b[16:], word(b, 3)); err != nil {
		return err
	}
	communities, b, err := words(b)
	if err != nil {
		return err
	}
	if len(b) < 4 {
		return short(b, 4)
	}
	p.Communities, p.LocalPref = communities, word(b, 0)
	r.Present.Add(flow.SrcAS)
	r.Present.Add(flow.DstAS)
	r.Present.Add(flow.PrevAS)
	r.Present.Add(flow.NextAS)
	return nil
}

// path reads the segments of an AS path and returns what is behind them.
func (d *Decoder) path(r *flow.Record, b []byte, segments uint32) ([]byte, error) {
	p := &d.sample
	p.ASPathLength = 0
	for ; segments > 0; segments-- {
		if len(b) < 4 {
			return nil, short(b, 4)
		}
		kind := word(b, 0)
		list, rest, err := words(b[4:])
		if err != nil {
			return nil, err
		}
		b = rest
		if len(list) == 0 {
			continue
		}
		if p.ASPathLength == 0 {
			r.NextAS, p.ASPathType = word(list, 0), kind
		}
		r.DstAS = word(list, len(list)/4-1)
		p.ASPathLength += uint32(len(list) / 4)
	}
	return b, nil
}

// words reads words behind their number, and returns their bytes and what is
// behind them.
func words(b []byte) (list, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, short(b, 4)
	}
	end := 4 + 4*uint64(word(b, 0))
	if end > uint64(len(b)) {
		return nil, nil, short(b, end)
	}
	return b[4:end:end], b[end:], nil
}

// nat decodes translated addresses.
func (d *Decoder) nat(r *flow.Record, b []byte) error {
	src, b, err := address(b)
	if err != nil {
		return err
	}
	dst, _, err := address(b)
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
