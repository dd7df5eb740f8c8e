package ipfix

import (
	"slices"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// The most frequent operations in their most frequent lengths, executed in the
// loop itself (see RecordDecoder.run).
const (
	fastSrc4 = lastSlow + iota
	fastDst4
	fastSrc16
	fastDst16
	fastNextHop4
	fastSrcPort
	fastDstPort
	fastProto
	fastTCPFlags1
	fastTCPFlags2
	fastSrcTOS
	fastBytes4
	fastBytes8
	fastPackets4
	fastPackets8
	fastInput2
	fastInput4
	fastOutput2
	fastOutput4
	fastSrcAS4
	fastDstAS4
	fastSrcMask
	fastDstMask
	fastFirst8
	fastLast8
	fastFirstUptime
	fastLastUptime
	fastDirection
	fastEndReason
	fastIPVersion
	fastMaxTTL
	fastSegmentID8
	fastIngressAttr
	fastEgressAttr

	// Several of them at once: fields that templates mostly have together.
	fuseFlow4  // addresses, ports, protocol
	fuseFlow16 // the same of IPv6
	fuseRoute  // interfaces, AS numbers, masks
	fuseBits   // TCP flags of a byte, class of service
	fuseCounters8
	fuseCounters4
	fuseInterfaces4
	fuseTimes8
	fuseUptimes
	fuseReason // direction and reason of the end
	fuseAttrs
)

// fastOps are the operations that have a fast form, by field and length.
var fastOps = [...]struct {
	op    op
	field flow.Field
	n     int
	fast  op
}{
	{opAddr, flow.Src, 4, fastSrc4},
	{opAddr, flow.Src, 16, fastSrc16},
	{opAddr, flow.Dst, 4, fastDst4},
	{opAddr, flow.Dst, 16, fastDst16},
	{opAddr, flow.NextHop, 4, fastNextHop4},
	{opNumber, flow.SrcPort, 2, fastSrcPort},
	{opNumber, flow.DstPort, 2, fastDstPort},
	{opNumber, flow.Proto, 1, fastProto},
	{opTCPFlags, flow.TCPFlags, 1, fastTCPFlags1},
	{opTCPFlags, flow.TCPFlags, 2, fastTCPFlags2},
	{opNumber, flow.SrcTOS, 1, fastSrcTOS},
	{opNumber, flow.Bytes, 4, fastBytes4},
	{opNumber, flow.Bytes, 8, fastBytes8},
	{opNumber, flow.Packets, 4, fastPackets4},
	{opNumber, flow.Packets, 8, fastPackets8},
	{opNumber, flow.Input, 2, fastInput2},
	{opNumber, flow.Input, 4, fastInput4},
	{opNumber, flow.Output, 2, fastOutput2},
	{opNumber, flow.Output, 4, fastOutput4},
	{opNumber, flow.SrcAS, 4, fastSrcAS4},
	{opNumber, flow.DstAS, 4, fastDstAS4},
	{opNumber, flow.SrcMask, 1, fastSrcMask},
	{opNumber, flow.DstMask, 1, fastDstMask},
	{opMilliseconds, flow.FirstSeen, 8, fastFirst8},
	{opMilliseconds, flow.LastSeen, 8, fastLast8},
	{opUptime, flow.FirstSeen, 4, fastFirstUptime},
	{opUptime, flow.LastSeen, 4, fastLastUptime},
	{opNumber, flow.Direction, 1, fastDirection},
	{opNumber, flow.EndReason, 1, fastEndReason},
	{opNumber, flow.IPVersion, 1, fastIPVersion},
	{opNumber, flow.MaxTTL, 1, fastMaxTTL},
	{opNumber, flow.SegmentID, 8, fastSegmentID8},
	{opNumber, flow.IngressAttr, 2, fastIngressAttr},
	{opNumber, flow.EgressAttr, 2, fastEgressAttr},
}

// fast returns the operation that does the same as o for a field of n bytes, in
// the loop itself where there is one.
func fast(o op, field flow.Field, n int) op {
	for _, f := range fastOps {
		if f.op == o && f.field == field && f.n == n {
			return f.fast
		}
	}
	return o
}

// fusions are the operations that are executed as one, the larger groups first.
var fusions = [...]struct {
	op    op
	parts []op
}{
	{fuseFlow4, []op{fastSrc4, fastDst4, fastSrcPort, fastDstPort, fastProto}},
	{fuseFlow16, []op{fastSrc16, fastDst16, fastSrcPort, fastDstPort, fastProto}},
	{fuseRoute, []op{fastInput4, fastOutput4, fastSrcAS4, fastDstAS4, fastSrcMask, fastDstMask}},
	{fuseBits, []op{fastTCPFlags1, fastSrcTOS}},
	{fuseCounters8, []op{fastBytes8, fastPackets8}},
	{fuseCounters4, []op{fastBytes4, fastPackets4}},
	{fuseInterfaces4, []op{fastInput4, fastOutput4}},
	{fuseTimes8, []op{fastFirst8, fastLast8}},
	{fuseUptimes, []op{fastFirstUptime, fastLastUptime}},
	{fuseReason, []op{fastDirection, fastEndReason}},
	{fuseAttrs, []op{fastIngressAttr, fastEgressAttr}},
}

// onlyFused are the operations that are in the loop together or not at all, with what is
// done by the table of fields in their place: hardly a template has only one of the two.
var onlyFused = map[op]op{
	fastFirst8:      opMilliseconds,
	fastLast8:       opMilliseconds,
	fastFirstUptime: opUptime,
	fastLastUptime:  opUptime,
}

// fuse returns steps that do the same in fewer turns of the loop. Those that look at
// what is there come last, and stay in their order; all others set a place of their own,
// whatever was there.
func fuse(steps []step) []step {
	var fused, fast, slow, orElse []step
	for _, s := range steps {
		switch {
		case s.op >= lastSlow:
			fast = append(fast, s)
		case s.op.isElse():
			orElse = append(orElse, s)
		default:
			slow = append(slow, s)
		}
	}
	for _, f := range fusions {
		one := step{op: f.op}
		found := 0
		for i, part := range f.parts {
			at := slices.IndexFunc(fast, func(s step) bool { return s.op == part })
			if at < 0 {
				break
			}
			found++
			if i == 0 {
				one.off = fast[at].off
			} else {
				one.more[i-1] = fast[at].off
			}
		}
		if found < len(f.parts) {
			continue
		}
		fused = append(fused, one)
		fast = slices.DeleteFunc(fast, func(s step) bool { return slices.Contains(f.parts, s.op) })
	}
	for i := range fast {
		if o, ok := onlyFused[fast[i].op]; ok {
			fast[i].op = o
		}
	}
	return slices.Concat(fused, fast, slow, orElse)
}
