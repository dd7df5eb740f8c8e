package report

import (
	"io"
	"math/bits"
	"net/netip"
	"strconv"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// raw prints all that is known of a flow, a line for each value.
type raw struct {
	output
	newer  bool // as nfdump 1.7.8
	strict bool // with the errors of nfdump 1.7.1
	width  int  // of a value
	names  names
	b      []byte
}

func openRaw(w io.Writer, opt Options) (Printer, error) {
	r := &raw{output: newOutput(w, opt), newer: opt.Compat == Nfdump178, strict: opt.Compat == Nfdump171, width: 18}
	if r.newer {
		r.width++
	}
	return r, nil
}

// Begin prints nothing.
func (r *raw) Begin() error { return nil }

// End prints the summary, which nfdump 1.7.8 does not here.
func (r *raw) End(t *query.Totals, u Usage) error {
	r.opt.Quiet = r.opt.Quiet || r.newer
	return r.summary(t, u)
}

// key appends the name of a value.
func (r *raw) key(name string) {
	r.b = append(appendLeft(append(r.b, "  "...), name, 12), " ="...)
}

// line appends a value that is text, and what stands behind it.
func (r *raw) line(name, value, behind string) {
	r.key(name)
	r.b = append(append(appendRightText(r.b, value, r.width), behind...), '\n')
}

// fixed appends a value behind so many blanks in nfdump 1.7.1.
func (r *raw) fixed(name string, blanks int, value string) {
	r.key(name)
	r.b = append(append(appendSpaces(r.b, blanks+r.width-18), value...), '\n')
}

// uint appends a number, and what stands behind it. One with more digits than are meant
// for it reaches beyond the others.
func (r *raw) uint(name string, v uint64, digits int, behind string) {
	r.key(name)
	r.b = append(append(appendUint(appendSpaces(r.b, r.width-digits), v, digits), behind...), '\n')
}

// hex appends a byte in hexadecimal, and what stands behind it.
func (r *raw) hex(name string, v uint8, behind string) {
	r.line(name, "0x"+string(appendHex(nil, uint64(v), 2)), behind)
}

// time appends a time as milliseconds and as text.
func (r *raw) time(name string, t flow.Time) {
	r.key(name)
	r.b = append(appendUint(r.b, t.Milli(), r.width), " ["...)
	if t == 0 {
		r.b = append(r.b, "<unknown>.000"...)
	} else {
		r.b = r.clock.time(r.b, t.Milli())
	}
	r.b = append(r.b, "]\n"...)
}

// addr appends an address.
func (r *raw) addr(name string, a netip.Addr, behind string) {
	r.key(name)
	opt := Options{LongIPv6: true}
	r.b = opt.appendAddr(appendSpaces(r.b, r.width-16), a, 16)
	r.b = append(append(r.b, behind...), '\n')
}

// Flow prints a flow.
func (r *raw) Flow(q *query.Flow) error {
	f := row{q}
	r.b = append(r.buf, "\nFlow Record: \n"...)
	r.head(f)
	r.generic(f)
	r.path(f)
	r.layer2(f)
	r.events(f)
	r.more(f)
	return r.write(r.b)
}

// head appends what the record is.
func (r *raw) head(f row) {
	r.uint("RecordCount", f.Number, 5, "")
	if r.newer {
		r.line("Ident", string(appendText(nil, f.Ident)), "")
	}
	flags, kind, sampled := uint8(0), "NETFLOW", "Unsampled"
	switch {
	case f.Event:
		flags, kind = 1, "EVENT"
	case f.Version&0x80 != 0:
		kind = "SFLOW"
	case f.Version&0x40 != 0:
		kind = "PCAP"
	}
	if !f.Event {
		kind += " v" + strconv.Itoa(int(f.Version&0x0f))
	}
	if f.Extra.Sampled {
		flags, sampled = flags|2, "Sampled"
	}
	r.hex("Flags", flags, " "+kind+", "+sampled)
	var list []byte
	for left := f.Elements; left != 0; left &= left - 1 {
		list = append(strconv.AppendInt(list, int64(bits.TrailingZeros64(left)), 10), ' ')
	}
	r.uint("Elements", uint64(bits.OnesCount64(f.Elements)), 5, ": "+string(list))
	r.uint("size", uint64(f.Size), 5, "")
	r.uint("engine type", uint64(f.EngineType), 5, "")
	r.uint("engine ID", uint64(f.EngineID), 5, "")
	r.uint("export sysid", uint64(f.SysID), 5, "")
}

// generic appends times, protocol, ports, counters and addresses.
func (r *raw) generic(f row) {
	if r.newer && f.First == 0 {
		r.time("Event time", f.EventTime)
	} else {
		r.time("first", f.First)
		r.time("last", f.Last)
	}
	r.time("received at", f.Received)
	r.uint("proto", uint64(f.Proto), 3, " "+r.protoText(f.Proto))
	r.hex("tcp flags", f.tcpFlags(), " "+string(appendFlags(nil, f.tcpFlags())))
	if f.isICMP() {
		r.key("ICMP")
		r.b = append(appendUint(appendSpaces(r.b, r.width-4), uint64(f.ICMP>>8), 2), '.')
		n := len(r.b)
		r.b = append(appendLeftFrom(appendUint(r.b, uint64(f.ICMP&0xff), 0), n, 2), " type.code\n"...)
	} else {
		r.uint("src port", uint64(f.SrcPort), 5, "")
		r.uint("dst port", uint64(f.DstPort), 5, "")
		r.uint("src tos", uint64(f.SrcTOS), 3, "")
		if r.newer {
			r.uint("fwd status", uint64(f.FwdStatus), 3, "")
		}
	}
	r.uint("in packets", f.Packets, 10, "")
	r.uint("in bytes", f.Bytes, 10, "")
	if f.tunnelled() {
		r.uint("tun proto", uint64(f.TunProto), 3, " "+r.protoText(f.TunProto))
		r.addr("tun src addr", f.TunSrc, "")
		r.addr("tun dst addr", f.TunDst, "")
	}
	r.addr("src addr", f.Src, "")
	r.addr("dst addr", f.Dst, "")
}

// protoText returns the name of a protocol, or its number, which nfdump 1.7.1 fills up.
func (r *raw) protoText(proto uint8) string {
	if r.strict && proto > lastProto {
		return string(appendLeft(nil, protoText(proto), 5))
	}
	return protoText(proto)
}

// mask appends a mask and the network that it makes.
func (r *raw) mask(name string, a netip.Addr, bits uint8) {
	var text []byte
	if bits > 0 {
		text = appendPlainAddr(nil, network(a, bits))
	}
	r.uint(name, uint64(bits), 5, " "+string(text)+"/"+strconv.Itoa(int(bits)))
}

// path appends interfaces, masks, VLANs and autonomous systems.
func (r *raw) path(f row) {
	if f.Has(flow.Input) {
		r.uint("input", uint64(f.Input), 8, r.ifName(f, f.Input))
		r.uint("output", uint64(f.Output), 8, r.ifName(f, f.Output))
		r.mask("src mask", f.Src, f.SrcMask)
		r.mask("dst mask", f.Dst, f.DstMask)
		if !r.newer {
			r.uint("fwd status", uint64(f.FwdStatus), 3, "")
		}
		dstTOS := f.DstTOS
		if r.strict {
			dstTOS = f.SrcTOS // an error of nfdump's
		}
		r.uint("dst tos", uint64(dstTOS), 3, "")
		r.uint("direction", uint64(f.Direction), 3, "")
		r.hex("biFlow Dir", f.BiflowDir, " "+biflowName(f.BiflowDir))
		r.hex("end reason", f.EndReason, " "+endName(f.EndReason))
	}
	if f.Has(flow.Flows) && f.Has(flow.RevBytes) {
		r.uint("out packets", f.RevPackets, 10, "")
		r.uint("out bytes", f.RevBytes, 10, "")
		r.uint("aggr flows", f.Flows, 10, "")
	}
	if f.Has(flow.SrcVLAN) {
		r.uint("src vlan", uint64(f.SrcVLAN), 5, "")
		r.uint("dst vlan", uint64(f.DstVLAN), 5, "")
	}
	if f.Has(flow.SrcAS) {
		r.uint("src as", uint64(f.SrcAS), 5, "")
		r.uint("dst as", uint64(f.DstAS), 5, "")
	}
}

// ifName returns the name of an interface behind a blank.
func (r *raw) ifName(f row, number uint32) string {
	if name := r.names.of(f, nffile.InterfaceName, number); name != "" {
		return " " + string(appendText(nil, name))
	}
	return ""
}

// layer2 appends next hops, the exporter, labels and hardware addresses.
func (r *raw) layer2(f row) {
	if f.Has(flow.BGPNextHop) {
		r.addr("bgp next hop", f.BGPNextHop, "")
	}
	if f.Has(flow.NextHop) {
		r.addr("ip next hop", f.NextHop, "")
	}
	if a := f.router(); a.IsValid() {
		r.addr("ip exporter", a, "")
	}
	if f.Has(flow.MPLS) {
		for i, v := range f.MPLS {
			if v != 0 {
				r.line("MPLS Lbl "+string(appendUint(nil, uint64(i+1), 2)), string(appendLabel(nil, v, 0)), "")
			}
		}
	}
	if f.Has(flow.InSrcMAC) {
		r.line("in src mac", string(appendMAC(nil, f.InSrcMAC)), "")
		r.line("out dst mac", string(appendMAC(nil, f.OutDstMAC)), "")
		r.line("in dst mac", string(appendMAC(nil, f.InDstMAC)), "")
		r.line("out src mac", string(appendMAC(nil, f.OutSrcMAC)), "")
	}
	if f.Has(flow.NextAS) {
		r.uint("bgp next as", uint64(f.NextAS), 5, "")
		r.uint("bgp prev as", uint64(f.PrevAS), 5, "")
	}
	if f.Extra.Has&nffile.HasDelays != 0 {
		for i, name := range [...]string{"cli latency", "srv latency", "app latency"} {
			r.line(name, string(appendMilliseconds(nil, f.latencies()[i])), " ms")
		}
	}
}

// events appends what firewalls and address translators tell.
func (r *raw) events(f row) {
	if f.Has(flow.FwEvent) {
		r.uint("connect ID", f.FlowID, 10, "")
		r.uint("fw event", uint64(f.FwEvent), 5, ": "+firewallEvent(f.FwEvent))
		r.uint("fw ext event", uint64(f.FwXEvent), 5, ": "+extendedEventText(f.FwXEvent))
		r.time("Event time", f.EventTime)
	}
	if f.Has(flow.XlateSrc) {
		r.addr("src xlt ip", f.XlateSrc, "")
		r.addr("dst xlt ip", f.XlateDst, "")
	}
	if f.Has(flow.XlateSPort) {
		r.uint("src xlt port", uint64(f.XlateSPort), 5, "")
		r.uint("dst xlt port", uint64(f.XlateDPort), 5, "")
	}
	if f.Has(flow.IngressACL) {
		r.fixed("Ingress ACL", 7, string(appendACL(nil, f.IngressACL, r.opt.Compat)))
		r.fixed("Egress ACL", 7, string(appendACL(nil, f.EgressACL, r.opt.Compat)))
	}
	if f.Has(flow.User) {
		r.fixed("username", 7, string(appendText(nil, f.User)))
	}
	if f.Has(flow.NATEvent) {
		_, long := natEvent(f.NATEvent)
		if r.strict {
			long = olderEvent(f.NATEvent)
		}
		r.uint("nat event", uint64(f.NATEvent), 5, ": "+long)
		if r.newer {
			r.uint("nat pool ID", uint64(f.NATPool), 5, "")
		} else {
			r.time("Event time", f.EventTime)
		}
	}
	if f.Has(flow.PortBlock) {
		for i, name := range [...]string{"pblock start", "pblock end", "pblock step", "pblock size"} {
			r.uint(name, uint64(f.PortBlock[i]), 5, "")
		}
	}
}

// vrfName returns the name of a VRF behind a blank.
func (r *raw) vrfName(f row, number uint32) string {
	if name := r.names.of(f, nffile.VRFName, number); name != "" {
		return " " + string(appendText(nil, name))
	}
	return ""
}

// more appends all else.
func (r *raw) more(f row) {
	if f.Has(flow.AppID) {
		name := r.names.app(f)
		if name == "" {
			name = "<no info>"
		}
		r.fixed("app ID", 13, string(appendAppID(nil, f.AppID))+": "+string(appendText(nil, name)))
	}
	if f.Extra.Has&nffile.HasLabel != 0 {
		r.line("Label", string(appendText(nil, f.Extra.Label)), "")
	}
	if r.newer {
		r.observation(f)
	}
	if f.Extra.Has&nffile.HasPayload != 0 {
		r.payload("in payload", f.Extra.InPayload)
	}
	if f.Extra.Has&nffile.HasOutPayload != 0 {
		r.payload("out payload", f.Extra.OutPayload)
	}
	if !r.newer {
		r.observation(f)
	}
	if f.hasPF() {
		r.line("pflog ifname", string(appendText(nil, f.Extra.PF.Interface)), "")
		r.line("pflog action", nameOf(pfActions[:], f.Extra.PF.Action), "")
		r.uint("pflog reason", uint64(f.Extra.PF.Reason), 5, "/"+nameOf(pfReasons[:], f.Extra.PF.Reason))
		r.line("pflog direct", f.pfWay(), "")
		r.uint("pflog rulenr", uint64(f.Extra.PF.Rule), 5, "")
	}
	if f.Has(flow.MinTTL) {
		r.uint("min TTL", uint64(f.MinTTL), 5, "")
		r.uint("max TTL", uint64(f.MaxTTL), 5, "")
	}
}

// observation appends where the flow was seen.
func (r *raw) observation(f row) {
	if f.Has(flow.ObservationPoint) {
		blanks := 9
		if r.newer {
			blanks = 11
		}
		r.fixed("obs domainID", blanks, "0x"+string(appendHex(nil, uint64(f.observationDomain()), 5)))
		r.fixed("obs pointID", 6, "0x"+string(appendHex(nil, f.ObservationPoint, 10)))
	}
	if f.Has(flow.IngressVRF) {
		r.uint("ingress VRF", uint64(f.IngressVRF), 10, r.vrfName(f, f.IngressVRF))
		r.uint("egress VRF", uint64(f.EgressVRF), 10, r.vrfName(f, f.EgressVRF))
	}
}

// payload appends the first bytes of a flow, as text where they are, and in hexadecimal.
func (r *raw) payload(name string, payload []byte) {
	r.uint(name, uint64(len(payload)), 10, "")
	payload = payload[:min(len(payload), maxPayload)]
	if isText(payload) {
		r.b = append(append(r.b, payload...), '\n')
	}
	r.b = appendDump(r.b, payload, r.newer)
}

// biflowName returns the name of element 239's values.
func biflowName(v uint8) string {
	names := [...]string{"", "initiator", "reverseInitiator", "perimeter"}
	if int(v) < len(names) {
		return names[v]
	}
	return "undef"
}

// endName returns the name of element 136's values.
func endName(v uint8) string {
	names := [...]string{"", "idle timeout", "active timeout", "end of Flow detected", "forced end",
		"lack of resources"}
	if int(v) < len(names) {
		return names[v]
	}
	return "undef"
}
