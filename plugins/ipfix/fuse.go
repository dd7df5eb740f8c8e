package ipfix

import "slices"

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

// fastOps are, by operation, the lengths for which there is a fast one.
var fastOps = [lastSlow][2]struct {
	n  uint8
	op op
}{
	opSrc:         {{4, fastSrc4}, {16, fastSrc16}},
	opDst:         {{4, fastDst4}, {16, fastDst16}},
	opNextHop:     {{4, fastNextHop4}},
	opSrcPort:     {{2, fastSrcPort}},
	opDstPort:     {{2, fastDstPort}},
	opProto:       {{1, fastProto}},
	opTCPFlags:    {{1, fastTCPFlags1}, {2, fastTCPFlags2}},
	opSrcTOS:      {{1, fastSrcTOS}},
	opBytes:       {{4, fastBytes4}, {8, fastBytes8}},
	opPackets:     {{4, fastPackets4}, {8, fastPackets8}},
	opInput:       {{2, fastInput2}, {4, fastInput4}},
	opOutput:      {{2, fastOutput2}, {4, fastOutput4}},
	opSrcAS:       {{4, fastSrcAS4}},
	opDstAS:       {{4, fastDstAS4}},
	opSrcMask:     {{1, fastSrcMask}},
	opDstMask:     {{1, fastDstMask}},
	opFirst:       {{8, fastFirst8}},
	opLast:        {{8, fastLast8}},
	opFirstUptime: {{4, fastFirstUptime}},
	opLastUptime:  {{4, fastLastUptime}},
	opDirection:   {{1, fastDirection}},
	opEndReason:   {{1, fastEndReason}},
	opIPVersion:   {{1, fastIPVersion}},
	opMaxTTL:      {{1, fastMaxTTL}},
	opSegmentID:   {{8, fastSegmentID8}},
	opIngressAttr: {{2, fastIngressAttr}},
	opEgressAttr:  {{2, fastEgressAttr}},
}

// fast returns the operation that does the same as o for a field of n bytes, in
// the loop itself where there is one.
func fast(o op, n int) op {
	for _, f := range fastOps[o] {
		if int(f.n) == n && n > 0 {
			return f.op
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

// fuse returns steps that do the same in fewer turns of the loop. Fast operations
// come first: each sets a place of its own, whatever was there, so that only the
// slow ones, which may look at it, must stay behind them and in their order.
func fuse(steps []step) []step {
	var fused, fast, slow []step
	for _, s := range steps {
		if s.op < lastSlow {
			slow = append(slow, s)
		} else {
			fast = append(fast, s)
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
	return append(append(fused, fast...), slow...)
}
