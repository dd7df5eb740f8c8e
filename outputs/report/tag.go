package report

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// column appends the text of one tag.
type column func(t *Text, b []byte, f row) []byte

// tag is one of the tags of fmt:, without its percent sign.
type tag struct {
	name   string
	csv    string // heading of the column in csv:, as nfdump 1.7.8 has it
	header string // heading of the column in text
	newer  string // the heading since nfdump 1.7.8, where it is another one
	addr   bool   // the heading is 23 columns wider with long IPv6 addresses
	append column

	since178 bool // nfdump 1.7.1 lacks it
}

// tags are nfdump's tags: those of 1.7.1, of 1.7.8, and those that only one of them has.
var tags = [...]tag{
	// Times.
	{"ts", "firstSeen", "Date first seen        ", "", false, first, false},
	{"tfs", "firstSeen", "Date first seen        ", "", false, first, false},
	{"tsr", "firstSeenRaw", "Date first seen (raw)    ", "First seen raw", false, firstRaw, false},
	{"tsg", "firstSeenGMT", "Date first seen GMT    ", "", false, firstGMT, true},
	{"te", "lastSeen", "Date last seen         ", "", false, last, false},
	{"ter", "lastSeenRaw", "Date last seen (raw)     ", "Last seen raw ", false, lastRaw, false},
	{"teg", "lastSeenGMT", "Date last seen GMT     ", "", false, lastGMT, true},
	{"tr", "flowReceived", "Date flow received     ", "", false, received, false},
	{"trr", "flowReceivedRaw", "Date flow received (raw)  ", "Received raw  ", false, receivedRaw, false},
	{"trg", "flowReceivedGMT", "Date flow received GMT ", "", false, receivedGMT, true},
	{"td", "duration", "    Duration    ", "Duration        ", false, duration, false},
	{"tds", "duration", "    Duration    ", "Duration        ", false, durationSeconds, false},

	// Who.
	{"pr", "proto", "Proto", "", false, protocol, false},
	{"sa", "srcAddr", "     Src IP Addr", "", true, address(flow.Src), false},
	{"da", "dstAddr", "     Dst IP Addr", "", true, address(flow.Dst), false},
	{"sap", "srcAddrPort", "     Src IP Addr:Port ", "", true, endpoint(flow.Src, flow.SrcPort, false), false},
	{"dap", "dstAddrPort", "     Dst IP Addr:Port ", "", true, endpoint(flow.Dst, flow.DstPort, false), false},
	{"gsa", "srcGeoAddr", "     Src IP Addr(..)", "", true, geoAddress(flow.Src), false},
	{"gda", "dstGeoAddr", "     Dst IP Addr(..)", "", true, geoAddress(flow.Dst), false},
	{"gsap", "srcGeoAddrPort", "     Src IP Addr(..):Port ", "", true, endpoint(flow.Src, flow.SrcPort, true), false},
	{"gdap", "dstGeoAddrPort", "     Dst IP Addr(..):Port ", "", true, endpoint(flow.Dst, flow.DstPort, true), false},
	{"sn", "srcNet", "        Src Network", "", true, networkOf(flow.Src, flow.SrcMask), false},
	{"dn", "dstNet", "        Dst Network", "", true, networkOf(flow.Dst, flow.DstMask), false},
	{"sp", "srcPort", "Src Pt", "", false, number(flow.SrcPort, 6), false},
	{"dp", "dstPort", "Dst Pt", "", false, dstPort, false},
	{"it", "icmpType", "ICMP-T", "", false, icmpType, false},
	{"ic", "icmpCode", "ICMP-C", "", false, icmpCode, false},
	{"nh", "nextIP", "     Next-hop IP", "", true, address(flow.NextHop), false},
	{"nhb", "bgpNextIP", " BGP next-hop IP", "", true, address(flow.BGPNextHop), false},
	{"ra", "routerIP", "       Router IP", "", true, address(flow.Router), false},
	{"gra", "routerGeoIP", "       Router IP(..)", "", true, geoAddress(flow.Router), true},
	{"sas", "srcAS", "Src AS", "", false, number(flow.SrcAS, 6), false},
	{"das", "dstAS", "Dst AS", "", false, number(flow.DstAS, 6), false},
	{"nas", "nextAS", "Next AS", "", false, number(flow.NextAS, 7), false},
	{"pas", "prevAS", "Prev AS", "", false, number(flow.PrevAS, 7), false},
	{"in", "input", " Input", "", false, number(flow.Input, 6), false},
	{"out", "output", "Output", "", false, number(flow.Output, 6), false},
	{"inam", "inIfName", " Input interface name", "", false, name(nffile.InterfaceName, flow.Input), false},
	{"onam", "outIfName", "Output interface name", "", false, name(nffile.InterfaceName, flow.Output), false},
	{"smk", "srcMask", "SMask", "", false, number(flow.SrcMask, 5), false},
	{"dmk", "dstMask", "DMask", "", false, number(flow.DstMask, 5), false},
	{"svln", "srcVlan", "SVlan", "", false, number(flow.SrcVLAN, 5), false},
	{"dvln", "dstVlan", "DVlan", "", false, number(flow.DstVLAN, 5), false},
	{"ismc", "inSrcMac", "  In src MAC Addr", "", false, mac(flow.InSrcMAC), false},
	{"odmc", "outDstMac", " Out dst MAC Addr", "", false, mac(flow.OutDstMAC), false},
	{"idmc", "inDstMac", "  In dst MAC Addr", "", false, mac(flow.InDstMAC), false},
	{"osmc", "outSrcMac", " Out src MAC Addr", "", false, mac(flow.OutSrcMAC), false},
	{"mpls1", "mplsLabel1", " MPLS lbl 1 ", "", false, label(0), false},
	{"mpls2", "mplsLabel2", " MPLS lbl 2 ", "", false, label(1), false},
	{"mpls3", "mplsLabel3", " MPLS lbl 3 ", "", false, label(2), false},
	{"mpls4", "mplsLabel4", " MPLS lbl 4 ", "", false, label(3), false},
	{"mpls5", "mplsLabel5", " MPLS lbl 5 ", "", false, label(4), false},
	{"mpls6", "mplsLabel6", " MPLS lbl 6 ", "", false, label(5), false},
	{"mpls7", "mplsLabel7", " MPLS lbl 7 ", "", false, label(6), false},
	{"mpls8", "mplsLabel8", " MPLS lbl 8 ", "", false, label(7), false},
	{"mpls9", "mplsLabel9", " MPLS lbl 9 ", "", false, label(8), false},
	{"mpls10", "mplsLabel10", " MPLS lbl 10", "", false, label(9), false},
	{"mpls", "mplsLabel1-10", "                                               MPLS labels 1-10" +
		"                                                                   ", "", false, labels, false},
	{"sc", "srcGeo", "SC", "", false, country(flow.Src), false},
	{"dc", "dstGeo", "DC", "", false, country(flow.Dst), false},
	{"stz", "srcTz", "STz", "", false, zone, true},
	{"dtz", "dstTz", "DTz", "", false, zone, true},
	{"sloc", "srcLocation", "Src IP location info", "", false, location, false},
	{"dloc", "dstLocation", "Src IP location info", "Dst IP location info", false, location, false},
	{"sasn", "srcOrg", "Src AS organisation", "", false, organisation, true},
	{"dasn", "dstOrg", "Dst AS organisation", "", false, organisation, true},
	{"stor", "srcTor", "STor", "", false, tor, true},
	{"dtor", "dstTor", "DTor", "", false, tor, true},

	// What.
	{"pkt", "packets", " Packets", "", false, counter(flow.Packets), false},
	{"ipkt", "inPackets", "  In Pkt", "", false, counter(flow.Packets), false},
	{"opkt", "outPackets", " Out Pkt", "", false, counter(flow.RevPackets), false},
	{"byt", "bytes", "   Bytes", "", false, counter(flow.Bytes), false},
	{"ibyt", "inBytes", " In Byte", "", false, counter(flow.Bytes), false},
	{"obyt", "outBytes", "Out Byte", "", false, counter(flow.RevBytes), false},
	{"fl", "flows", "Flows", "", false, flowCount, false},
	{"flg", "flags", "   Flags", "", false, flags, false},
	{"tos", "tos", "Tos", " Tos", false, tos, false},
	{"stos", "srcTos", "STos", "", false, number(flow.SrcTOS, 4), false},
	{"dtos", "dstTos", "DTos", "", false, number(flow.DstTOS, 4), false},
	{"dir", "direction", "Dir", "", false, direction, false},
	{"fwd", "fwdStatus", "Fwd", "", false, number(flow.FwdStatus, 3), false},
	{"bfd", "biDirection", "Bfd", "", false, number(flow.BiflowDir, 3), false},
	{"end", "endReason", "End", "", false, number(flow.EndReason, 3), false},
	{"bps", "bps", "     bps", "", false, bitsPerSecond, false},
	{"pps", "pps", "     pps", "", false, packetsPerSecond, false},
	{"bpp", "bpp", "   Bpp", "", false, bytesPerPacket, false},
	{"ttl", "TTL", "TTL", "", false, number(flow.MinTTL, 3), true},
	{"minttl", "minTTL", "minTTL", "", false, number(flow.MinTTL, 6), true},
	{"maxttl", "maxTTL", "maxTTL", "", false, number(flow.MaxTTL, 6), true},
	{"frag", "Frag", "Frag", "", false, fragment, true},

	// The record.
	{"cnt", "count", "Count", "", false, count, false},
	{"nfv", "version", "Ver", "", false, version, false},
	{"eng", "engine", " engine", "", false, engine, false},
	{"exp", "exporterID", "Exp ID", "", false, exporterID, false},
	{"idt", "ident", "Ident", "", false, ident, true},
	{"lbl", "label", "           label", "", false, flowLabel, false},
	{"n", "", "", "", false, newLine, false},

	// Events of firewalls and address translators.
	{"nfc", "connectionID", "   Conn-ID", "", false, connection, false},
	{"tevt", "eventTime", "Event time             ", "", false, eventTime, false},
	{"msec", "eventTime", "   Event Time", "", false, number(flow.EventTime, 13), false},
	{"evt", "event", " Event", "   Event", false, event, false},
	{"nevt", "event", " Event", "   Event", false, event, false},
	{"xevt", "xEvent", " XEvent", "", false, extendedEvent, false},
	{"sgt", "sgt", "  SGT  ", "", false, securityGroup, false},
	{"iacl", "ingressACL", "Ingress ACL                     ", "", false, ingressACL, false},
	{"eacl", "egressACL", "Egress ACL                      ", "", false, egressACL, false},
	{"xsa", "srcXIP", "   X-late Src IP", "", false, address(flow.XlateSrc), false},
	{"xda", "dstXIP", "   X-late Dst IP", "", false, address(flow.XlateDst), false},
	{"xsp", "srcXPort", "XsPort", "", false, number(flow.XlateSPort, 6), false},
	{"xdp", "dstXPort", "XdPort", "", false, number(flow.XlateDPort, 6), false},
	{"xsap", "srcXIPPort", "   X-Src IP Addr:Port ", "", true, endpoint(flow.XlateSrc, flow.XlateSPort, false), false},
	{"xdap", "dstXIPPort", "   X-Dst IP Addr:Port ", "", true, endpoint(flow.XlateDst, flow.XlateDPort, false), false},
	{"nsa", "srcXIP", "   X-late Src IP", "", false, address(flow.XlateSrc), false},
	{"nda", "dstXIP", "   X-late Dst IP", "", false, address(flow.XlateDst), false},
	{"nsp", "srcXPort", "XsPort", "", false, number(flow.XlateSPort, 6), false},
	{"ndp", "dstXPort", "XdPort", "", false, number(flow.XlateDPort, 6), false},
	{"nsap", "srcXIPPort", "   X-Src IP Addr:Port ", "", true, endpoint(flow.XlateSrc, flow.XlateSPort, false), false},
	{"ndap", "dstXIPPort", "   X-Dst IP Addr:Port ", "", true, endpoint(flow.XlateDst, flow.XlateDPort, false), false},
	{"uname", "nselUser", "UserName", "", false, user, false},
	{"pbstart", "pbStart", "Pb-Start", "", false, portBlock(0), false},
	{"pbend", "pbEnd", "Pb-End", "", false, portBlock(1), false},
	{"pbstep", "pbStep", "Pb-Step", "", false, portBlock(2), false},
	{"pbsize", "pbSize", "Pb-Size", "", false, portBlock(3), false},

	// What else a file keeps.
	{"cl", "clientLatency", "C Latency", "", false, clientLatency, false},
	{"sl", "serverLatency", "S latency", "", false, serverLatency, false},
	{"al", "appLatency", "A latency", "", false, appLatency, false},
	{"nbid", "nbarID", "nbar ID", "", false, appID, false},
	{"nbnam", "nbarName", "nbar name", "", false, appName, false},
	{"odid", "obsDomainID", "obsDomainID", "", false, observationDomain, false},
	{"opid", "obsPointID", "  obsPointID", "", false, observationPoint, false},
	{"vrf", "ingressVrfID", "  I-VRF-ID", "", false, number(flow.IngressVRF, 10), false},
	{"ivrf", "ingressVrfID", "  I-VRF-ID", "", false, number(flow.IngressVRF, 10), false},
	{"ivrfnam", "ingressVrfName", "  I-VRF-Name", "", false, name(nffile.VRFName, flow.IngressVRF), false},
	{"evrf", "egressVrfID", "  E-VRF-ID", "", false, number(flow.EgressVRF, 10), false},
	{"evrfnam", "egressVrfName", "  E-VRF-Name", "", false, name(nffile.VRFName, flow.EgressVRF), false},
	{"ipl", "inPayload", "", "Input Payload", false, inPayload, false},
	{"opl", "outPayload", "", "Output Payload", false, outPayload, false},
	{"ja3", "ja3", "                             ja3", "                                   ja3", false, ja3, false},
	{"ja4", "ja4", "                                   ja4", "", false, ja4, true},
	{"sni", "sniName", "sni name", "", false, sni, false},
	{"tls", "tlsVersion", "TLS ver", "", false, tlsVersion, true},
	{"pfifn", "pfInterface", "interface", "", false, pfInterface, true},
	{"pfact", "pfAction", "action", "", false, pfAction, true},
	{"pfrea", "pfReason", "reason", "", false, pfReason, true},
	{"pfdir", "pfDirection", "dir", "", false, pfDirection, true},
	{"pfrule", "pfRule", "rule", "", false, pfRule, true},
	{"flid", "flowID", "               flowID", "", false, flowID, true},
	{"isid", "inSrvID", " inSrvID", "", false, nokiaIn, true},
	{"osid", "outSrvID", "outSrvID", "", false, nokiaOut, true},
	{"nats", "natString", "nat string", "", false, nokiaText, true},
}

// number is a column of a number, right-justified.
func number(field flow.Field, width int) column {
	return func(_ *Text, b []byte, f row) []byte { return appendUint(b, f.Record.Number(field), width) }
}

// counter is a column of a counter, scaled.
func counter(field flow.Field) column {
	switch field {
	case flow.Packets:
		return func(t *Text, b []byte, f row) []byte { return t.opt.appendCount(b, f.Packets, 8) }
	case flow.Bytes:
		return func(t *Text, b []byte, f row) []byte { return t.opt.appendCount(b, f.Bytes, 8) }
	}
	return func(t *Text, b []byte, f row) []byte { return t.opt.appendCount(b, f.Record.Number(field), 8) }
}

// address is a column of an address.
func address(field flow.Field) column {
	return func(t *Text, b []byte, f row) []byte { return t.opt.appendAddr(b, f.end(field), t.width) }
}

// end returns an address. One that a sum does not know is of the family that its first flow
// has, or of that of the other end, as nfdump has it: "::" for IPv6.
func (f row) end(field flow.Field) netip.Addr {
	a := f.Addr(field)
	if !a.IsValid() && (f.Empty6.Has(field) ||
		(field == flow.Src || field == flow.Dst) && (f.Src.Is6() || f.Dst.Is6())) {
		return netip.IPv6Unspecified()
	}
	return a
}

// geoAddress is a column of an address with its country.
func geoAddress(field flow.Field) column {
	return func(t *Text, b []byte, f row) []byte {
		a := f.end(field)
		b = append(t.opt.appendAddr(b, a, t.width), '(')
		return append(t.appendCountry(b, a), ')')
	}
}

// endpoint is a column of an address and its port.
func endpoint(addr, port flow.Field, geo bool) column {
	return func(t *Text, b []byte, f row) []byte {
		a := f.end(addr)
		b = t.opt.appendAddr(b, a, t.width)
		if geo {
			b = append(t.appendCountry(append(b, '('), a), ')')
		}
		b = appendSeparator(b, a)
		n := len(b)
		if port == flow.DstPort {
			b = f.appendDstPort(b)
		} else {
			b = appendUint(b, f.Record.Number(port), 0)
		}
		return appendLeftFrom(b, n, 5)
	}
}

// networkOf is a column of the network of an address.
func networkOf(addr, mask flow.Field) column {
	return func(t *Text, b []byte, f row) []byte {
		bits := uint8(f.Record.Number(mask))
		b = append(t.opt.appendAddr(b, network(f.end(addr), bits), t.width), '/')
		n := len(b)
		return appendLeftFrom(appendUint(b, uint64(bits), 0), n, 2)
	}
}

// mac is a column of a hardware address.
func mac(field flow.Field) column {
	return func(_ *Text, b []byte, f row) []byte { return appendMAC(b, [6]byte(f.Octets(field))) }
}

// label is a column of one MPLS label.
func label(i uint8) column {
	return func(_ *Text, b []byte, f row) []byte { return appendLabel(b, f.MPLS[i], 8) }
}

// appendLabel appends an MPLS label, its class and whether it is the last one.
func appendLabel(b []byte, v uint32, width int) []byte {
	b = append(appendUint(b, uint64(v>>4), width), '-')
	return append(b, byte('0'+v&15>>1), '-', byte('0'+v&1))
}

// portBlock is a column of a block of ports.
func portBlock(i int) column {
	return func(_ *Text, b []byte, f row) []byte { return appendUint(b, uint64(f.PortBlock[i]), 7) }
}

// name is a column of the name that a file has for a number.
func name(kind nffile.NameKind, field flow.Field) column {
	return func(t *Text, b []byte, f row) []byte {
		n := uint32(f.Record.Number(field))
		return appendText(b, t.names.of(f, kind, n))
	}
}

// appendDstPort appends the destination port, of ICMP the type and code.
func (f row) appendDstPort(b []byte) []byte {
	if !f.isICMP() {
		return appendUint(b, uint64(f.DstPort), 0)
	}
	b = append(appendUint(b, uint64(f.DstPort>>8), 0), '.')
	return appendUint(b, uint64(f.DstPort&0xff), 0)
}
