package query

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Element is what flows are counted by: the element of nfdump's -s.
type Element uint8

// The elements. The "any" kinds (IP, Port, AS, If, VLAN) count a flow for its
// source and for its destination.
const (
	SrcIP Element = iota
	DstIP
	IP
	SrcPort
	DstPort
	Port
	Proto
	SrcAS
	DstAS
	AS
	InIf
	OutIf
	If
	SrcVLAN
	DstVLAN
	VLAN
	TOS
	SrcTOS
	DstTOS
	Flags
	Dir
	Router
	NextHop
	BGPNextHop
	NextAS
	PrevAS
	SrcMask
	DstMask
	numElements
)

// elements are their names in nfdump, their titles, and the fields whose values they
// are: two for the "any" kinds.
var elements = [numElements]struct {
	name, title string
	fields      []flow.Field
}{
	SrcIP:      {"srcip", "Src IP Addr", []flow.Field{flow.Src}},
	DstIP:      {"dstip", "Dst IP Addr", []flow.Field{flow.Dst}},
	IP:         {"ip", "IP Addr", []flow.Field{flow.Src, flow.Dst}},
	SrcPort:    {"srcport", "Src Port", []flow.Field{flow.SrcPort}},
	DstPort:    {"dstport", "Dst Port", []flow.Field{flow.DstPort}},
	Port:       {"port", "Port", []flow.Field{flow.SrcPort, flow.DstPort}},
	Proto:      {"proto", "Protocol", []flow.Field{flow.Proto}},
	SrcAS:      {"srcas", "Src AS", []flow.Field{flow.SrcAS}},
	DstAS:      {"dstas", "Dst AS", []flow.Field{flow.DstAS}},
	AS:         {"as", "AS", []flow.Field{flow.SrcAS, flow.DstAS}},
	InIf:       {"inif", "Input If", []flow.Field{flow.Input}},
	OutIf:      {"outif", "Output If", []flow.Field{flow.Output}},
	If:         {"if", "In/Out If", []flow.Field{flow.Input, flow.Output}},
	SrcVLAN:    {"srcvlan", "Src Vlan", []flow.Field{flow.SrcVLAN}},
	DstVLAN:    {"dstvlan", "Dst Vlan", []flow.Field{flow.DstVLAN}},
	VLAN:       {"vlan", "Vlan", []flow.Field{flow.SrcVLAN, flow.DstVLAN}},
	TOS:        {"tos", "Tos", []flow.Field{flow.SrcTOS}},
	SrcTOS:     {"srctos", "Tos", []flow.Field{flow.SrcTOS}},
	DstTOS:     {"dsttos", "Dst Tos", []flow.Field{flow.DstTOS}},
	Flags:      {"flags", "TCP Flags", []flow.Field{flow.TCPFlags}},
	Dir:        {"dir", "Dir", []flow.Field{flow.Direction}},
	Router:     {"router", "Router IP", []flow.Field{flow.Router}},
	NextHop:    {"nhip", "Nexthop IP", []flow.Field{flow.NextHop}},
	BGPNextHop: {"nhbip", "Nexthop BGP IP", []flow.Field{flow.BGPNextHop}},
	NextAS:     {"nextas", "Next AS", []flow.Field{flow.NextAS}},
	PrevAS:     {"prevas", "Prev AS", []flow.Field{flow.PrevAS}},
	SrcMask:    {"srcmask", "Src Mask", []flow.Field{flow.SrcMask}},
	DstMask:    {"dstmask", "Dst Mask", []flow.Field{flow.DstMask}},
}

// String returns the name that nfdump's -s knows the element by.
func (e Element) String() string {
	if e < numElements {
		return elements[e].name
	}
	return "unknown"
}

// Title returns the heading of the element in nfdump's tables.
func (e Element) Title() string {
	if e < numElements {
		return elements[e].title
	}
	return ""
}

// Elements returns the names of all elements.
func Elements() []string {
	names := make([]string, numElements)
	for e := range elements {
		names[e] = elements[e].name
	}
	return names
}

// Order is what a table is sorted by.
type Order uint8

// The orders, in the order in which nfdump prints the tables of several. "In" is
// the direction of the flow, "out" the reverse where one record reports both.
// Those without a direction are sums, but ByFlows goes with the counters of in.
const (
	ByFlows Order = iota
	ByPackets
	ByInPackets
	ByOutPackets
	ByBytes
	ByInBytes
	ByOutBytes
	ByPPS
	ByInPPS
	ByOutPPS
	ByBPS
	ByInBPS
	ByOutBPS
	ByBPP
	ByInBPP
	ByOutBPP
	numOrders
)

var orderNames = [numOrders]string{"flows", "packets", "ipkg", "opkg", "bytes", "ibyte", "obyte",
	"pps", "ipps", "opps", "bps", "ibps", "obps", "bpp", "ibpp", "obpp"}

// String returns nfdump's name of the order.
func (o Order) String() string {
	if o < numOrders {
		return orderNames[o]
	}
	return "unknown"
}

// Stat is one statistic: what nfdump's -s takes.
type Stat struct {
	Element   Element
	ByProto   bool // a row for each protocol
	Ascending bool // least first
	Orders    []Order
}

// ParseStat reads a statistic as nfdump's -s has it:
// element[:p][:a|:d][/order…], as in "srcip:p/bytes/flows". The order is flows
// when none is given. Several orders come out in nfdump's sequence.
func ParseStat(s string) (Stat, error) {
	head, rest, _ := strings.Cut(s, "/")
	parts := strings.Split(head, ":")
	i := slices.Index(Elements(), parts[0])
	if i < 0 {
		return Stat{}, fmt.Errorf("unknown element %q in statistic %q: expected one of %s", parts[0], s,
			strings.Join(Elements(), " "))
	}
	stat := Stat{Element: Element(i)}
	for _, option := range parts[1:] {
		switch option {
		case "p":
			stat.ByProto = true
		case "a":
			stat.Ascending = true
		case "d":
			stat.Ascending = false
		default:
			return Stat{}, fmt.Errorf("unknown option %q in statistic %q: expected p, a or d", option, s)
		}
	}
	if rest == "" {
		stat.Orders = []Order{ByFlows}
		return stat, nil
	}
	for name := range strings.SplitSeq(rest, "/") {
		name, asc := strings.CutSuffix(name, ":a")
		if !asc {
			name, _ = strings.CutSuffix(name, ":d")
		}
		stat.Ascending = stat.Ascending || asc
		o := slices.Index(orderNames[:], name)
		if o < 0 {
			return Stat{}, fmt.Errorf("unknown order %q in statistic %q: expected one of %s", name, s,
				strings.Join(orderNames[:], " "))
		}
		if !slices.Contains(stat.Orders, Order(o)) {
			stat.Orders = append(stat.Orders, Order(o))
		}
	}
	slices.Sort(stat.Orders)
	return stat, nil
}

// Key is the value of an element in a row, with the protocol where rows are split
// by it.
type Key struct {
	value flow.Value
	proto uint8
	Known bool // the protocol is part of the key
}

// Proto returns the protocol of the row, false when it is for any.
func (k Key) Proto() (uint8, bool) { return k.proto, k.Known }

// Number returns the value of an element that is a number.
func (k Key) Number() uint64 { return k.value.Lo }

// Addr returns the value of an element that is an address.
func (k Key) Addr() netip.Addr { return k.value.Addr() }

// kind is what the values of e are.
func (e Element) kind() flow.Kind { return elements[e].fields[0].Describe().Kind }

// IsAddr says whether the values of e are addresses.
func (e Element) IsAddr() bool { return e.kind() == flow.KindAddress }

// IsFlags says whether the values of e are TCP flags.
func (e Element) IsFlags() bool { return e.kind() == flow.KindFlags }
