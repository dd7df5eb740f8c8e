package query

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Element is what flows are counted by: the element of nfdump's -s.
type Element uint8

// The elements. The "any" kinds (IP, Port, AS, If, VLAN, Mask, the MACs without one of
// two words, XlateIP, XlatePort) count a flow for each of their values. Record is not one
// of a flow's values but the flow itself, summed up by the keys of an Aggregation.
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
	Mask
	InSrcMAC
	OutDstMAC
	InDstMAC
	OutSrcMAC
	SrcMAC
	DstMAC
	InMAC
	OutMAC
	MAC
	MPLS1
	MPLS2
	MPLS3
	MPLS4
	MPLS5
	MPLS6
	MPLS7
	MPLS8
	MPLS9
	MPLS10
	ClientLatency
	ServerLatency
	AppLatency
	NBAR
	ObservationDomain
	ObservationPoint
	SysID
	Event
	XEvent
	NATEvent
	InACL
	InACE
	InXACE
	OutACL
	OutACE
	OutXACE
	IngressVRF
	EgressVRF
	XlateSrcIP
	XlateDstIP
	XlateIP
	XlateSrcPort
	XlateDstPort
	XlatePort
	TunProto
	EtherType
	MinTTL
	MaxTTL
	SrcCountry
	DstCountry
	Country
	Record
	numElements
)

// columns returns the columns of fields.
func columns(fields ...flow.Field) []nffile.Column {
	list := make([]nffile.Column, len(fields))
	for i, f := range fields {
		list[i] = nffile.Column(f)
	}
	return list
}

// macs are those of both ends, before and behind the exporter.
var macs = columns(flow.InSrcMAC, flow.OutDstMAC, flow.InDstMAC, flow.OutSrcMAC)

// elements are their names in nfdump, of which the first is the usual one, their titles,
// and the columns whose values they are.
var elements = [numElements]struct {
	names   []string
	title   string
	columns []nffile.Column
}{
	SrcIP:             {[]string{"srcip"}, "Src IP Addr", columns(flow.Src)},
	DstIP:             {[]string{"dstip"}, "Dst IP Addr", columns(flow.Dst)},
	IP:                {[]string{"ip"}, "IP Addr", columns(flow.Src, flow.Dst)},
	SrcPort:           {[]string{"srcport"}, "Src Port", columns(flow.SrcPort)},
	DstPort:           {[]string{"dstport"}, "Dst Port", columns(flow.DstPort)},
	Port:              {[]string{"port"}, "Port", columns(flow.SrcPort, flow.DstPort)},
	Proto:             {[]string{"proto"}, "Protocol", columns(flow.Proto)},
	SrcAS:             {[]string{"srcas", "srcasn"}, "Src AS", columns(flow.SrcAS)},
	DstAS:             {[]string{"dstas", "dstasn"}, "Dst AS", columns(flow.DstAS)},
	AS:                {[]string{"as", "asn"}, "AS", columns(flow.SrcAS, flow.DstAS)},
	InIf:              {[]string{"inif"}, "Input If", columns(flow.Input)},
	OutIf:             {[]string{"outif"}, "Output If", columns(flow.Output)},
	If:                {[]string{"if"}, "In/Out If", columns(flow.Input, flow.Output)},
	SrcVLAN:           {[]string{"srcvlan"}, "Src Vlan", columns(flow.SrcVLAN)},
	DstVLAN:           {[]string{"dstvlan"}, "Dst Vlan", columns(flow.DstVLAN)},
	VLAN:              {[]string{"vlan"}, "Vlan", columns(flow.SrcVLAN, flow.DstVLAN)},
	TOS:               {[]string{"tos"}, "Tos", columns(flow.SrcTOS)},
	SrcTOS:            {[]string{"srctos"}, "Tos", columns(flow.SrcTOS)},
	DstTOS:            {[]string{"dsttos"}, "Dst Tos", columns(flow.DstTOS)},
	Flags:             {[]string{"flags"}, "TCP Flags", columns(flow.TCPFlags)},
	Dir:               {[]string{"dir"}, "Dir", columns(flow.Direction)},
	Router:            {[]string{"router"}, "Router IP", []nffile.Column{nffile.Router}},
	NextHop:           {[]string{"nhip"}, "Nexthop IP", columns(flow.NextHop)},
	BGPNextHop:        {[]string{"nhbip"}, "Nexthop BGP IP", columns(flow.BGPNextHop)},
	NextAS:            {[]string{"nextas"}, "Next AS", columns(flow.NextAS)},
	PrevAS:            {[]string{"prevas"}, "Prev AS", columns(flow.PrevAS)},
	SrcMask:           {[]string{"srcmask"}, "Src Mask", columns(flow.SrcMask)},
	DstMask:           {[]string{"dstmask"}, "Dst Mask", columns(flow.DstMask)},
	Mask:              {[]string{"mask"}, "Mask", columns(flow.SrcMask, flow.DstMask)},
	InSrcMAC:          {[]string{"insrcmac"}, "In Src Mac", columns(flow.InSrcMAC)},
	OutDstMAC:         {[]string{"outdstmac"}, "Out Dst Mac", columns(flow.OutDstMAC)},
	InDstMAC:          {[]string{"indstmac"}, "In Dst Mac", columns(flow.InDstMAC)},
	OutSrcMAC:         {[]string{"outsrcmac"}, "Out Src Mac", columns(flow.OutSrcMAC)},
	SrcMAC:            {[]string{"srcmac"}, "Src Mac", columns(flow.InSrcMAC, flow.OutSrcMAC)},
	DstMAC:            {[]string{"dstmac"}, "Dst Mac", columns(flow.InDstMAC, flow.OutDstMAC)},
	InMAC:             {[]string{"inmac"}, "In Mac", columns(flow.InSrcMAC, flow.InDstMAC)},
	OutMAC:            {[]string{"outmac"}, "Out Mac", columns(flow.OutSrcMAC, flow.OutDstMAC)},
	MAC:               {[]string{"mac"}, "Mac Addr", macs},
	MPLS1:             {[]string{"mpls1"}, " MPLS lab 1", []nffile.Column{nffile.MPLSLabel}},
	MPLS2:             {[]string{"mpls2"}, " MPLS lab 2", []nffile.Column{nffile.MPLSLabel + 1}},
	MPLS3:             {[]string{"mpls3"}, " MPLS lab 3", []nffile.Column{nffile.MPLSLabel + 2}},
	MPLS4:             {[]string{"mpls4"}, " MPLS lab 4", []nffile.Column{nffile.MPLSLabel + 3}},
	MPLS5:             {[]string{"mpls5"}, " MPLS lab 5", []nffile.Column{nffile.MPLSLabel + 4}},
	MPLS6:             {[]string{"mpls6"}, " MPLS lab 6", []nffile.Column{nffile.MPLSLabel + 5}},
	MPLS7:             {[]string{"mpls7"}, " MPLS lab 7", []nffile.Column{nffile.MPLSLabel + 6}},
	MPLS8:             {[]string{"mpls8"}, " MPLS lab 8", []nffile.Column{nffile.MPLSLabel + 7}},
	MPLS9:             {[]string{"mpls9"}, " MPLS lab 9", []nffile.Column{nffile.MPLSLabel + 8}},
	MPLS10:            {[]string{"mpls10"}, "MPLS lab 10", []nffile.Column{nffile.MPLSLabel + 9}},
	ClientLatency:     {[]string{"cl"}, "Client Latency", []nffile.Column{nffile.ClientDelay}},
	ServerLatency:     {[]string{"sl"}, "Server Latency", []nffile.Column{nffile.ServerDelay}},
	AppLatency:        {[]string{"al"}, "  Appl Latency", []nffile.Column{nffile.AppDelay}},
	NBAR:              {[]string{"nbar"}, "nbar", []nffile.Column{nffile.Application}},
	ObservationDomain: {[]string{"odid"}, "obs domainID", []nffile.Column{nffile.ObservationDomain}},
	ObservationPoint:  {[]string{"opid"}, " obs PointID", columns(flow.ObservationPoint)},
	SysID:             {[]string{"sysid"}, "Sys ID", []nffile.Column{nffile.SysID}},
	Event:             {[]string{"event"}, " Event", columns(flow.FwEvent)},
	XEvent:            {[]string{"xevent"}, "X-Event", columns(flow.FwXEvent)},
	NATEvent:          {[]string{"nevent", "nat"}, " NAT Event", columns(flow.NATEvent)},
	InACL:             {[]string{"iacl"}, "Ingress ACL", []nffile.Column{nffile.InACL}},
	InACE:             {[]string{"iace"}, "Ingress ACE", []nffile.Column{nffile.InACL + 1}},
	InXACE:            {[]string{"ixace"}, "Ingress xACE", []nffile.Column{nffile.InACL + 2}},
	OutACL:            {[]string{"eacl"}, "Egress ACL", []nffile.Column{nffile.OutACL}},
	OutACE:            {[]string{"eace"}, "Egress ACE", []nffile.Column{nffile.OutACL + 1}},
	OutXACE:           {[]string{"exace"}, "Egress xACE", []nffile.Column{nffile.OutACL + 2}},
	IngressVRF:        {[]string{"ivrf", "vrf"}, " I-vrf-ID", columns(flow.IngressVRF)},
	EgressVRF:         {[]string{"evrf"}, " E-vrf-ID", columns(flow.EgressVRF)},
	XlateSrcIP:        {[]string{"xsrcip", "nsrcip", "natsrcip"}, "X-Src IP Addr", columns(flow.XlateSrc)},
	XlateDstIP:        {[]string{"xdstip", "ndstip", "natdstip"}, "X-Dst IP Addr", columns(flow.XlateDst)},
	XlateIP:           {[]string{"natip"}, "X-IP Addr", columns(flow.XlateSrc, flow.XlateDst)},
	XlateSrcPort:      {[]string{"xsrcport", "nsrcport", "natsrcport"}, " X-Src Port", columns(flow.XlateSPort)},
	XlateDstPort:      {[]string{"xdstport", "ndstport", "natdstport"}, " X-Dst Port", columns(flow.XlateDPort)},
	XlatePort:         {[]string{"natport"}, "X-Port", columns(flow.XlateSPort, flow.XlateDPort)},
	TunProto:          {[]string{"tunproto"}, "Tun Proto", columns(flow.TunProto)},
	EtherType:         {[]string{"ethertype"}, "Ether Type", []nffile.Column{nffile.EtherType}},
	MinTTL:            {[]string{"minttl"}, "Min TTL", columns(flow.MinTTL)},
	MaxTTL:            {[]string{"maxttl"}, "Max TTL", columns(flow.MaxTTL)},
	SrcCountry:        {[]string{"srcgeo"}, "Src Geo", columns(flow.Src)},
	DstCountry:        {[]string{"dstgeo"}, "Dst Geo", columns(flow.Dst)},
	Country:           {[]string{"geo"}, "Geo", columns(flow.Src, flow.Dst)},
	Record:            {[]string{"record"}, "flows", nil},
}

// refused are elements of nfdump that flowgraf does not know, and why.
var refused = map[string]string{
	"tz":  "needs a geo data base, which flowgraf does not read",
	"ja3": "needs the first bytes of connections taken apart, which flowgraf does not do",
	"ja4": "needs the first bytes of connections taken apart, which flowgraf does not do",
}

// ParseElement returns the element of a name.
func ParseElement(name string) (Element, error) {
	for e := range elements {
		if slices.Contains(elements[e].names, name) {
			return Element(e), nil
		}
	}
	for word, why := range refused {
		if strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(name, "s"), "src"), "dst") == word {
			return 0, fmt.Errorf("element %s %s", name, why)
		}
	}
	return 0, fmt.Errorf("unknown element %q: expected one of %s", name, strings.Join(Elements(), " "))
}

// String returns the name that nfdump's -s knows the element by.
func (e Element) String() string {
	if e < numElements {
		return elements[e].names[0]
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
		names[e] = elements[e].names[0]
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
	numStatOrders

	// Those of lists and of -s record only. The first two begin with the least.
	ByFirst    = numStatOrders
	ByLast     = numStatOrders + 1
	ByDuration = numStatOrders + 2
	numOrders  = numStatOrders + 3
)

var orderNames = [numOrders]string{"flows", "packets", "ipkg", "opkg", "bytes", "ibyte", "obyte",
	"pps", "ipps", "opps", "bps", "ibps", "obps", "bpp", "ibpp", "obpp", "tstart", "tend", "duration"}

// orderAliases are the names of nfdump 1.7.8.
var orderAliases = map[string]Order{"ipackets": ByInPackets, "opackets": ByOutPackets, "ibytes": ByInBytes,
	"obytes": ByOutBytes}

// String returns nfdump's name of the order.
func (o Order) String() string {
	if o < numOrders {
		return orderNames[o]
	}
	return "unknown"
}

// orderOf returns the order of a name, of the first n.
func orderOf(name string, n Order) (Order, error) {
	if o, ok := orderAliases[name]; ok {
		return o, nil
	}
	o := slices.Index(orderNames[:n], name)
	if o < 0 {
		return 0, fmt.Errorf("unknown order %q: expected one of %s", name, strings.Join(orderNames[:n], " "))
	}
	return Order(o), nil
}

// Sort is an order with its direction.
type Sort struct {
	By        Order
	Ascending bool // least first
}

// ParseSort reads an order as nfdump's -O has it, with ":a" or ":d" behind it. Without,
// times begin with the least, all others with the most.
func ParseSort(text string) (Sort, error) {
	name, direction, given := strings.Cut(text, ":")
	by, err := orderOf(name, numOrders)
	if err != nil {
		return Sort{}, err
	}
	s := Sort{by, by == ByFirst || by == ByLast}
	switch {
	case given && direction == "a":
		s.Ascending = true
	case given && direction == "d":
		s.Ascending = false
	case given:
		return Sort{}, fmt.Errorf("order %q: expected :a for the least first, or :d for the most", text)
	}
	return s, nil
}

// Stat is one statistic: what nfdump's -s takes.
type Stat struct {
	Element   Element
	ByProto   bool // a row for each protocol
	Ascending bool // least first
	Orders    []Order
	Rows      Aggregation // of Record: what its rows are; those of Connections without keys

	Packets, Bytes Limit // what a row must have, not of Record
}

// ParseStat reads a statistic as nfdump's -s has it:
// element[:p][:a|:d][/order…], as in "srcip:p/bytes/flows". The order is flows
// when none is given. Several orders come out in nfdump's sequence.
func ParseStat(s string) (Stat, error) {
	head, rest, _ := strings.Cut(s, "/")
	parts := strings.Split(head, ":")
	e, err := ParseElement(parts[0])
	if err != nil {
		return Stat{}, fmt.Errorf("statistic %q: %w", s, err)
	}
	stat, orders := Stat{Element: e}, numStatOrders
	if e == Record {
		orders = numOrders
	}
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
		o, err := orderOf(name, orders)
		if err != nil {
			return Stat{}, fmt.Errorf("statistic %q: %w", s, err)
		}
		if !slices.Contains(stat.Orders, o) {
			stat.Orders = append(stat.Orders, o)
		}
	}
	slices.Sort(stat.Orders)
	return stat, nil
}

// Kind is how the values of an element are written.
type Kind uint8

// The kinds.
const (
	KindNumber   Kind = iota
	KindAddress       // of IPv4 or IPv6
	KindFlags         // of TCP
	KindMAC           // 48 bits
	KindMPLS          // label<<4 | exp<<1 | bottom of stack
	KindLatency       // microseconds
	KindNBAR          // engine<<24 | selector
	KindHex           // a number whose digits somebody has chosen
	KindEvent         // of a firewall
	KindNATEvent      // of a translator of addresses
	KindCountry       // two letters
)

// Kind returns how the values of e are written.
func (e Element) Kind() Kind {
	switch {
	case e >= MPLS1 && e <= MPLS10:
		return KindMPLS
	case e >= InSrcMAC && e <= MAC:
		return KindMAC
	case e >= InACL && e <= OutXACE:
		return KindHex
	}
	switch e {
	case Flags:
		return KindFlags
	case ClientLatency, ServerLatency, AppLatency:
		return KindLatency
	case NBAR:
		return KindNBAR
	case ObservationDomain, ObservationPoint, EtherType:
		return KindHex
	case Event:
		return KindEvent
	case NATEvent:
		return KindNATEvent
	case SrcCountry, DstCountry, Country:
		return KindCountry
	}
	if columns := elements[e].columns; len(columns) > 0 && columns[0].IsAddr() {
		return KindAddress
	}
	return KindNumber
}

// IsAddr says whether the values of e are addresses.
func (e Element) IsAddr() bool { return e.Kind() == KindAddress }

// IsFlags says whether the values of e are TCP flags.
func (e Element) IsFlags() bool { return e.Kind() == KindFlags }
