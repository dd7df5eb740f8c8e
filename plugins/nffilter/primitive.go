package nffilter

import (
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// side is what stands before a primitive: src, dst, in, out, ingress, egress, scaled.
type side uint8

const (
	src side = 1 << iota
	dst
	in
	out
	ingress
	egress
	scaled
)

var sideNames = []struct {
	name string
	side side
}{{"src", src}, {"dst", dst}, {"in", in}, {"out", out}, {"ingress", ingress}, {"egress", egress}, {"scaled", scaled}}

// String returns the words of s.
func (s side) String() string {
	var words []string
	for _, n := range sideNames {
		if s&n.side != 0 {
			words = append(words, n.name)
		}
	}
	return strings.Join(words, " ")
}

// form is what follows a primitive.
type form uint8

const (
	aNumber    form = iota
	anAddress       // exact, or a network after a slash; or a list
	aNetwork        // with a length or a mask
	aMAC            // aa:bb:cc:dd:ee:ff
	aText           // a word, or text in quotes
	aCountry        // two letters
	aTime           // ISO 8601
	someFlags       // letters, or a number
	aPattern        // of a payload: text
	anExpr          // of a payload: a regular expression and its flags
	nothing         // the primitive is whole
	mplsAny         // a number, of any label
	aPortBlock      // nothing: the words end in "in pblock"
	absent          // nfdump knows it, a Filter does not
)

// choice is an operand of a primitive, and the sides that choose it.
type choice struct {
	side    side
	operand operand
	index   uint8
}

// primitive is one kind of test. Its words are followed by a comparison and a value.
type primitive struct {
	words   string
	form    form
	choices []choice
	max     uint64            // of a number
	compare bool              // < and > are allowed, not only =
	single  bool              // without a side the first choice counts, else any
	names   map[string]uint64 // words for numbers
	protos  []uint64          // that the flow must have
	valued  bool              // with no value behind them the words are another test's, and its value
}

func field(f flow.Field) []choice { return []choice{{0, operand(f), 0}} }
func derived(o operand) []choice  { return []choice{{0, o, 0}} }

func sides(a, b flow.Field) []choice {
	return []choice{{src, operand(a), 0}, {dst, operand(b), 0}}
}

func ways(a, b flow.Field) []choice {
	return []choice{{in, operand(a), 0}, {out, operand(b), 0}}
}

// acl returns the choices of one of the three numbers of an access list.
func acl(index uint8) []choice {
	return []choice{{ingress, opIngressACL, index}, {egress, opEgressACL, index}}
}

const (
	max8  = 1<<8 - 1
	max16 = 1<<16 - 1
	max20 = 1<<20 - 1
	max32 = 1<<32 - 1
	max64 = 1<<64 - 1
)

var (
	ofICMP = []uint64{1, 58}
	ofTCP  = []uint64{6}
)

// primitives are all of them, by their words. Where nfdump's releases have different
// words for the same, all are here. To add one: a row here, and an operand where no
// field has what it reads.
var primitives = slices.Concat(addresses, numbers, counters, forwarding, events, texts, mpls())

var addresses = []primitive{
	{words: "ip", form: anAddress, choices: sides(flow.Src, flow.Dst)},
	{words: "host", form: anAddress, choices: sides(flow.Src, flow.Dst)},
	{words: "net", form: aNetwork, choices: sides(flow.Src, flow.Dst)},
	{words: "next ip", form: anAddress, choices: field(flow.NextHop)},
	{words: "bgpnext ip", form: anAddress, choices: field(flow.BGPNextHop)},
	{words: "bgp next ip", form: anAddress, choices: field(flow.BGPNextHop)},
	{words: "router ip", form: anAddress, choices: field(flow.Router)},
	{words: "exporter ip", form: anAddress, choices: field(flow.Router)},
	{words: "xip", form: anAddress, choices: sides(flow.XlateSrc, flow.XlateDst)},
	{words: "nip", form: anAddress, choices: sides(flow.XlateSrc, flow.XlateDst)},
	{words: "nat ip", form: anAddress, choices: sides(flow.XlateSrc, flow.XlateDst)},
	{words: "xnet", form: aNetwork, choices: sides(flow.XlateSrc, flow.XlateDst)},
	{words: "nat net", form: aNetwork, choices: sides(flow.XlateSrc, flow.XlateDst)},
	{words: "tunip", form: anAddress, choices: sides(flow.TunSrc, flow.TunDst)},
	{words: "tun ip", form: anAddress, choices: sides(flow.TunSrc, flow.TunDst)},
	{words: "mac", form: aMAC, choices: []choice{
		{in | src, operand(flow.InSrcMAC), 0}, {out | dst, operand(flow.OutDstMAC), 0},
		{in | dst, operand(flow.InDstMAC), 0}, {out | src, operand(flow.OutSrcMAC), 0}}},
}

// countries are those of the addresses, which Record.Names tell.
var countries = []choice{{src, opSrcCountry, 0}, {dst, opDstCountry, 0}}

var numbers = []primitive{
	{words: "any", form: nothing},
	{words: "ipv4", form: nothing, choices: field(flow.IPVersion), max: 4},
	{words: "ipv6", form: nothing, choices: field(flow.IPVersion), max: 6},
	{words: "inet", form: nothing, choices: field(flow.IPVersion), max: 4},
	{words: "inet6", form: nothing, choices: field(flow.IPVersion), max: 6},
	{words: "proto", choices: field(flow.Proto), max: max8, compare: true, names: protocols},
	{words: "tun proto", choices: field(flow.TunProto), max: max8, compare: true, names: protocols},
	{words: "port", choices: sides(flow.SrcPort, flow.DstPort), max: max16, compare: true},
	{words: "port in pblock", form: aPortBlock, choices: sides(flow.SrcPort, flow.DstPort)},
	{words: "port in nat pblock", form: aPortBlock, choices: sides(flow.SrcPort, flow.DstPort)},
	{words: "icmp-type", choices: derived(opICMPType), max: max8, compare: true, protos: ofICMP},
	{words: "icmp type", choices: derived(opICMPType), max: max8, compare: true, protos: ofICMP},
	{words: "icmp-code", choices: derived(opICMPCode), max: max8, compare: true, protos: ofICMP},
	{words: "icmp code", choices: derived(opICMPCode), max: max8, compare: true, protos: ofICMP},
	{words: "flags", form: someFlags, choices: field(flow.TCPFlags), max: max8, compare: true, protos: ofTCP},
	{words: "tos", choices: sides(flow.SrcTOS, flow.DstTOS), max: max8, compare: true, single: true},
	{words: "vlan", choices: sides(flow.SrcVLAN, flow.DstVLAN), max: max16},
	{words: "mask", choices: sides(flow.SrcMask, flow.DstMask), max: max8},
	{words: "ttl", choices: []choice{{0, operand(flow.MinTTL), 0}, {0, operand(flow.MaxTTL), 0}}, max: max8,
		compare: true},
	{words: "min ttl", choices: field(flow.MinTTL), max: max8, compare: true},
	{words: "max ttl", choices: field(flow.MaxTTL), max: max8, compare: true},
	{words: "ethertype", choices: derived(opEtherType), max: max16},
	{words: "geo", form: aCountry, choices: countries},
	{words: "country", form: aCountry, choices: countries},
	{words: "flowlabel", choices: derived(opFlowLabel), max: max20},
}

var counters = []primitive{
	{words: "packets", choices: []choice{{in, operand(flow.Packets), 0}, {out, operand(flow.RevPackets), 0},
		{scaled, opScaledPackets, 0}}, max: max64, compare: true, single: true},
	{words: "bytes", choices: []choice{{in, operand(flow.Bytes), 0}, {out, operand(flow.RevBytes), 0},
		{scaled, opScaledBytes, 0}}, max: max64, compare: true, single: true},
	{words: "flows", choices: field(flow.Flows), max: max64, compare: true},
	{words: "bps", choices: derived(opBPS), max: max64, compare: true},
	{words: "pps", choices: derived(opPPS), max: max64, compare: true},
	{words: "bpp", choices: derived(opBPP), max: max64, compare: true},
	{words: "duration", choices: derived(opDuration), max: max64, compare: true},
	{words: "first seen", form: aTime, choices: derived(opFirst), compare: true},
	{words: "last seen", form: aTime, choices: derived(opLast), compare: true},
	{words: "count", choices: derived(opCount), max: max64, compare: true},
	{words: "client latency", choices: derived(opClientLatency), max: max64, compare: true},
	{words: "server latency", choices: derived(opServerLatency), max: max64, compare: true},
	{words: "app latency", choices: derived(opAppLatency), max: max64, compare: true},
}

var forwarding = []primitive{
	{words: "if", choices: ways(flow.Input, flow.Output), max: max32},
	{words: "as", choices: sides(flow.SrcAS, flow.DstAS), max: max32, compare: true},
	{words: "next as", choices: field(flow.NextAS), max: max32, compare: true},
	{words: "prev as", choices: field(flow.PrevAS), max: max32, compare: true},
	{words: "previous as", choices: field(flow.PrevAS), max: max32, compare: true},
	{words: "fwdstat", choices: field(flow.FwdStatus), max: max8, compare: true, names: forwardingStates},
	{words: "flowdir", choices: field(flow.Direction), max: 1, names: directions},
	{words: "dir", choices: field(flow.Direction), max: 1, names: directions},
	{words: "engine-type", choices: field(flow.EngineType), max: max8, compare: true},
	{words: "engine type", choices: field(flow.EngineType), max: max8, compare: true},
	{words: "engine-id", choices: field(flow.EngineID), max: max8, compare: true},
	{words: "engine id", choices: field(flow.EngineID), max: max8, compare: true},
	{words: "sysid", choices: derived(opSysID), max: max32},
	{words: "exporter id", choices: derived(opSysID), max: max32},
	{words: "exporter sysid", choices: derived(opSysID), max: max32},
	{words: "nfversion", choices: derived(opVersion), max: max8, compare: true},
	{words: "observation domain id", choices: derived(opDomain), max: max32, compare: true},
	{words: "observation point id", choices: field(flow.ObservationPoint), max: max64, compare: true},
	{words: "vrf", choices: []choice{{ingress, operand(flow.IngressVRF), 0}, {egress, operand(flow.EgressVRF), 0}},
		max: max32, compare: true},
	{words: "acl", choices: acl(0), max: max32, compare: true},
	{words: "ace", choices: acl(1), max: max32, compare: true},
	{words: "xace", choices: acl(2), max: max32, compare: true},
}

var events = []primitive{
	{words: "asa event", choices: field(flow.FwEvent), max: max8, compare: true, names: firewallEvents},
	{words: "asa event denied", choices: field(flow.FwXEvent), max: max16, names: denials, valued: true},
	{words: "asa denied", choices: field(flow.FwXEvent), max: max16, names: denials},
	{words: "asa xevent", choices: field(flow.FwXEvent), max: max16, compare: true},
	{words: "asa user", form: aText, choices: field(flow.User)},
	{words: "nat event", choices: field(flow.NATEvent), max: max8, compare: true, names: natEvents},
	{words: "xport", choices: sides(flow.XlateSPort, flow.XlateDPort), max: max16, compare: true},
	{words: "nport", choices: sides(flow.XlateSPort, flow.XlateDPort), max: max16, compare: true},
	{words: "nat port", choices: sides(flow.XlateSPort, flow.XlateDPort), max: max16, compare: true},
	{words: "pblock start", choices: derived(opPortBlockStart), max: max16, compare: true},
	{words: "pblock end", choices: derived(opPortBlockEnd), max: max16, compare: true},
	{words: "pblock step", choices: derived(opPortBlockStep), max: max16, compare: true},
	{words: "pblock size", choices: derived(opPortBlockSize), max: max16, compare: true},
	{words: "nat pblock start", choices: derived(opPortBlockStart), max: max16, compare: true},
	{words: "nat pblock end", choices: derived(opPortBlockEnd), max: max16, compare: true},
	{words: "nat pblock step", choices: derived(opPortBlockStep), max: max16, compare: true},
	{words: "nat pblock size", choices: derived(opPortBlockSize), max: max16, compare: true},
}

var texts = []primitive{
	{words: "ident", form: aText, choices: derived(opIdent)},
	{words: "payload content", form: aPattern, choices: []choice{{in, opPayload, 0}, {out, opOutPayload, 0}}},
	{words: "payload regex", form: anExpr, choices: []choice{{in, opPayload, 0}, {out, opOutPayload, 0}}},
	{words: "payload ja3", form: absent},
	{words: "payload ja4", form: absent},
	{words: "payload dns", form: absent},
	{words: "payload ssl", form: absent},
	{words: "payload tls", form: absent},
	{words: "pf action", form: absent},
	{words: "pf reason", form: absent},
	{words: "pf rule", form: absent},
	{words: "pf dir", form: absent},
	{words: "pf interface", form: absent},
	{words: "host tor", form: absent},
	{words: "exporter name", form: aText, choices: derived(opExporterName)},
	{words: "vm", form: aText, choices: []choice{{src, opInputVM, 0}, {dst, opOutputVM, 0}}},
	{words: "portgroup", form: aText, choices: []choice{{src, opInputPortgroup, 0}, {dst, opOutputPortgroup, 0}}},
	{words: "esxi host", form: aText, choices: derived(opESXiHost)},
	{words: "if name", form: aText, choices: []choice{{in, opInputName, 0}, {out, opOutputName, 0}}},
	{words: "app", form: aText, choices: derived(opAppName)},
	{words: "user", form: aText, choices: []choice{{0, operand(flow.User), 0}, {0, opUserName, 0}}},
}

// mpls returns the primitives of the label stack. Labels are numbered from 1, the top.
func mpls() []primitive {
	list := []primitive{
		{words: "mpls any", form: mplsAny, max: max20, compare: true},
		{words: "mpls eos", choices: derived(opMPLSBottom), max: max20, compare: true},
	}
	for i := range uint8(10) {
		n := string('1' + rune(i))
		if i == 9 {
			n = "10"
		}
		list = append(list,
			primitive{words: "mpls label" + n, choices: []choice{{0, opMPLSLabel, i}}, max: max20, compare: true},
			primitive{words: "mpls exp" + n, choices: []choice{{0, opMPLSExp, i}}, max: 7, compare: true})
	}
	return list
}

// ofField returns the primitive of a field by its name in metrics, nil when it is none
// or its value cannot be compared. What a user sees in InfluxDB can be asked for so.
func ofField(name string) *primitive {
	f, ok := flow.FieldByName(name)
	if !ok || f == flow.Src || f == flow.Dst { // "src" and "dst" are sides
		return nil
	}
	p := &primitive{words: name, choices: field(f), compare: true}
	switch d := f.Describe(); d.Kind {
	case flow.KindNumber, flow.KindFlags:
		p.max = 1<<(8*uint64(d.Size)-1)<<1 - 1
		if f == flow.Proto {
			p.names = protocols
		}
	case flow.KindAddress:
		p.form = anAddress
	case flow.KindMAC:
		p.form = aMAC
	case flow.KindText:
		p.form = aText
	default:
		return nil
	}
	return p
}
