// Package flowmetric turns flows into Telegraf's metrics, and datagram metrics
// back into datagrams. It is the one place that knows their names.
//
// The measurement netflow has the names and types of Telegraf's stock
// inputs.netflow (v1.37), taken from stock.csv: what flow.Record holds without
// loss is written from there, everything else from Record.Extra, an unknown
// element as type_<id> or type_<pen>_<id> in hex. New fields are added, none is
// renamed. Two of the stock plugin's names meet new ones: flow_start and flow_end,
// there the seconds of elements 150 and 151, are always milliseconds here.
//
// A Builder keeps values it has written before, so that a flow costs few
// allocations: it is made once per goroutine.
//
// To add a name, add its line to stock.csv and run go generate; for a new kind of
// value add it in value.go as well.
package flowmetric

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

//go:generate go run ./generate

// The measurements.
const (
	Measurement         = "netflow"
	OptionsMeasurement  = "netflow_options"
	ExporterMeasurement = "netflow_exporter"
	DatagramMeasurement = "netflow_datagram"
	EventMeasurement    = "netflow_event"
	CounterMeasurement  = "netflow_counters"
)

// latest is the last timestamp that Timestamp gave away, in nanoseconds since
// 1970. It is shared by the whole process, so that two inputs that write the same
// series do not collide either.
var latest atomic.Int64

// Timestamp returns the time for the metric of a flow that was received at the
// given time: that time, or, when it or a later one has been given away already,
// one nanosecond after the last. So no two metrics share a timestamp, not even
// when the clock is set back; then the timestamps run ahead of it until it has
// caught up.
func Timestamp(received time.Time) time.Time {
	t := received.UnixNano()
	for {
		last := latest.Load()
		next := max(t, last+1)
		if latest.CompareAndSwap(last, next) {
			return time.Unix(0, next)
		}
	}
}

// Options configures a Builder. The zero value is the stock plugin's metric.
type Options struct {
	// FlowTags names the fields that become tags. Numbers are written in decimal.
	FlowTags []string

	// PEN names vendors' elements.
	PEN PEN

	// ExtraFields names elements that become fields, or tags, under their IANA
	// name: "applicationName", "6876/virtualObsID", "95", "type_4711".
	ExtraFields []string

	// Stock writes everything into netflow, as the stock plugin does: events of
	// firewalls and address translators, discarded packets, and sFlow's counters.
	// Without it they have measurements of their own, so that the sums over
	// netflow are those of the traffic.
	Stock bool
}

// Builder makes metrics. It is not safe for concurrent use.
type Builder struct {
	tags   []string
	pen    PEN
	stock  bool
	extra  []extraField
	last   counterKey       // of the counter sample that was written last
	fields []telegraf.Field // of the metric at hand
	moved  []telegraf.Tag   // of these, what becomes a tag
	cache  cache
	names  map[elementKey]stockField // of elements outside the stock table

	scratch [16]byte
}

// elementKey is an element as a map key.
type elementKey struct {
	pen uint32
	id  uint16
	v9  bool
}

// maxNames bounds Builder.names: elements are numbered by whoever sends.
const maxNames = 8192

// NewBuilder returns a Builder. A flow tag that no field can have is an error.
func NewBuilder(o Options) (*Builder, error) {
	extra, err := extraFields(o.ExtraFields)
	if err != nil {
		return nil, err
	}
	named := func(name string) bool {
		return slices.ContainsFunc(extra, func(x extraField) bool { return x.name == name })
	}
	for _, name := range o.FlowTags {
		if !fieldName(name, o.PEN) && !added(name) && !named(name) {
			return nil, fmt.Errorf("flow_tags: expected the name of a field of netflow, got %q", name)
		}
	}
	return &Builder{tags: slices.Clone(o.FlowTags), pen: o.PEN, stock: o.Stock, extra: extra, names: map[elementKey]stockField{}}, nil
}

// add appends a field to the metric at hand. nil is no value.
func (b *Builder) add(name string, value any) {
	if value != nil {
		b.fields = append(b.fields, telegraf.Field{Key: name, Value: value})
	}
}

// set is add for a name that may be there already.
func (b *Builder) set(name string, value any) {
	if value == nil {
		return
	}
	for i := range b.fields {
		if b.fields[i].Key == name {
			b.fields[i].Value = value
			return
		}
	}
	b.add(name, value)
}

// uint appends a number.
func (b *Builder) uint(name string, v uint64) {
	b.fields = append(b.fields, telegraf.Field{Key: name, Value: b.cache.uint(v)})
}

// Flow returns the metric of a flow. It keeps nothing of r.
func (b *Builder) Flow(r *flow.Record, at time.Time) telegraf.Metric {
	b.fields = b.fields[:0]
	b.uint("flow_start", r.First.Milli())
	b.uint("flow_end", r.Last.Milli())
	b.endpoints(r)
	b.counters(r)
	b.forwarding(r)
	if r.Version != flow.V5 {
		b.layer2(r)
		b.events(r)
	} else {
		b.version5(r)
	}
	if r.Domain != 0 && r.Version != flow.SFlow {
		b.uint("domain", uint64(r.Domain))
	}
	if r.Sample != nil {
		b.sample(r)
	}
	for i := range r.Extra {
		b.element(&r.Extra[i], r.Version == flow.V9)
	}
	if r.Names != nil {
		b.joined(r.Names)
	}
	for i := range b.extra {
		b.extraField(&b.extra[i], r)
	}
	name := Measurement
	if !b.stock && IsEvent(r) {
		name = EventMeasurement
	}
	return b.finish(name, r.Exporter, r.Version, at, b.tags)
}

// IsEvent says whether a record tells of an event rather than of traffic: a state
// change of a firewall (NSEL), an address translation (NEL), or a packet that was
// discarded. Firewalls that add the last event to flows they count still send
// flows.
func IsEvent(r *flow.Record) bool {
	if r.Sample != nil && r.Sample.Kind == flow.SampleDiscarded {
		return true
	}
	return (r.Has(flow.FwEvent) || r.Has(flow.NATEvent)) && (r.Event || r.Has(flow.EventTime) || r.Has(flow.FwXEvent))
}

// finish makes the metric of the fields at hand; those named in tags become tags.
func (b *Builder) finish(name string, exporter netip.Addr, v flow.Version, at time.Time, tags []string) *Metric {
	b.moved = b.moved[:0]
	for _, tag := range tags {
		i := slices.IndexFunc(b.fields, func(f telegraf.Field) bool { return f.Key == tag })
		if i < 0 {
			continue
		}
		if text := tagValue(b.fields[i].Value); text != "" {
			b.moved = append(b.moved, telegraf.Tag{Key: tag, Value: text})
		}
		b.fields[i] = b.fields[len(b.fields)-1]
		b.fields = b.fields[:len(b.fields)-1]
	}
	m := newMetric(b.fields)
	m.Measurement, m.At, m.Kind = name, at, telegraf.Untyped
	source, _ := b.cache.addr(exporter).(string)
	m.setTags(source, v.String())
	for _, tag := range b.moved {
		m.AddTag(tag.Key, tag.Value)
	}
	return m
}

// tagValue returns a field's value as text.
func tagValue(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case uint64:
		return strconv.FormatUint(v, 10)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return fmt.Sprint(v)
}

// endpoints writes who talked to whom.
func (b *Builder) endpoints(r *flow.Record) {
	c, has := &b.cache, r.Present.Has
	if has(flow.Src) {
		b.add("src", c.addr(r.Src))
	}
	if has(flow.Dst) {
		b.add("dst", c.addr(r.Dst))
	}
	if has(flow.SrcPort) {
		b.uint("src_port", uint64(r.SrcPort))
	}
	if has(flow.DstPort) {
		b.uint("dst_port", uint64(r.DstPort))
	}
	if has(flow.Proto) {
		b.add("protocol", protocolNames[r.Proto])
	}
	if has(flow.TCPFlags) {
		if has(flow.TCPFlagsWide) {
			b.add("tcp_flags", flagsOf(uint8(r.TCPFlags>>8), "********")+flagsOf(uint8(r.TCPFlags), "CEUAPRSF"))
		} else {
			b.add("tcp_flags", c.tcp1(uint8(r.TCPFlags)))
		}
	}
	if has(flow.SrcTOS) {
		b.add("src_tos", c.hex1(r.SrcTOS))
	}
	if has(flow.DstTOS) {
		b.add("dst_tos", c.hex1(r.DstTOS))
	}
	if has(flow.ICMP) {
		b.uint("icmp_type", uint64(r.ICMP>>8))
		b.uint("icmp_code", uint64(r.ICMP&0xff))
	}
	if has(flow.IPVersion) {
		b.add("ip_version", enumOf(kindIPVersion, r.IPVersion))
	}
}

// counters writes what was counted, and how it was sampled.
func (b *Builder) counters(r *flow.Record) {
	has := r.Present.Has
	if has(flow.Bytes) {
		b.uint("in_bytes", r.Bytes)
	}
	if has(flow.Packets) {
		b.uint("in_packets", r.Packets)
	}
	if has(flow.RevBytes) {
		b.uint("rev_bytes", r.RevBytes)
	}
	if has(flow.RevPackets) {
		b.uint("rev_packets", r.RevPackets)
	}
	if has(flow.OutBytes) {
		b.uint("out_bytes", r.OutBytes)
	}
	if has(flow.OutPackets) {
		b.uint("out_packets", r.OutPackets)
	}
	if has(flow.Flows) {
		b.uint("flows", r.Flows)
	}
	b.uint("sampling_rate", r.Rate())
	b.add("sampling_source", rateSources[r.SamplingSource&7])
	if has(flow.Bytes) {
		b.uint("scaled_bytes", r.Scale(r.Bytes))
	}
	if has(flow.Packets) {
		b.uint("scaled_packets", r.Scale(r.Packets))
	}
	if has(flow.SamplerID) {
		b.uint("flow_sampler_id", r.SamplerID)
	}
}

// rateSources are the names of the sources of a rate, as values.
var rateSources = [8]any{
	flow.RateUnknown: "unknown", flow.RateHeader: "header", flow.RateDomain: "domain", flow.RateSelector: "selector",
	flow.RateRecord: "record", flow.RateConfig: "config",
	flow.RateVCenter: "vcenter",
}

// forwarding writes where the flow went.
func (b *Builder) forwarding(r *flow.Record) {
	c, has := &b.cache, r.Present.Has
	if has(flow.Input) {
		b.uint("in_snmp", uint64(r.Input))
	}
	if has(flow.Output) {
		b.uint("out_snmp", uint64(r.Output))
	}
	if has(flow.SrcMask) {
		b.uint("src_mask", uint64(r.SrcMask))
	}
	if has(flow.DstMask) {
		b.uint("dst_mask", uint64(r.DstMask))
	}
	if has(flow.SrcAS) {
		b.uint("bgp_src_as", uint64(r.SrcAS))
	}
	if has(flow.DstAS) {
		b.uint("bgp_dst_as", uint64(r.DstAS))
	}
	if has(flow.NextHop) {
		b.add("next_hop", c.addr(r.NextHop))
	}
	if has(flow.EngineType) {
		b.add("engine_type", enumOf(kindEngineType, r.EngineType))
	}
	if has(flow.EngineID) {
		b.add("engine_id", c.hex1(r.EngineID))
	}
	if r.Version == flow.V5 {
		return
	}
	if has(flow.NextAS) {
		b.uint("bgp_next_as", uint64(r.NextAS))
	}
	if has(flow.PrevAS) {
		b.uint("bgp_prev_as", uint64(r.PrevAS))
	}
	if has(flow.BGPNextHop) {
		b.add("bgp_next_hop", c.addr(r.BGPNextHop))
	}
	if has(flow.Direction) {
		b.add("direction", enumOf(kindDirection, r.Direction))
	}
	if has(flow.FwdStatus) {
		b.add("fwd_status", fwdStatuses[r.FwdStatus>>6])
		b.add("fwd_reason", enumOf(kindFwdReason, r.FwdStatus))
	}
	if has(flow.EndReason) {
		b.add("flow_end_reason", enumOf(kindFlowEndReason, r.EndReason))
	}
	if has(flow.BiflowDir) {
		b.add("biflow_direction", enumOf(kindBiflowDirection, r.BiflowDir))
	}
	if has(flow.MinTTL) {
		b.uint("min_ttl", uint64(r.MinTTL))
	}
	if has(flow.MaxTTL) {
		b.uint("max_ttl", uint64(r.MaxTTL))
	}
	if has(flow.FragFlags) {
		b.add("fragment_flags", fragmentFlags(r.FragFlags))
	}
}

// layer2 writes what lies below and beside IP.
func (b *Builder) layer2(r *flow.Record) {
	has := r.Present.Has
	if has(flow.FlowID) {
		b.uint("flow_id", r.FlowID)
	}
	if has(flow.IngressVRF) {
		b.uint("in_vrf_id", uint64(r.IngressVRF))
	}
	if has(flow.EgressVRF) {
		b.uint("out_vrf_id", uint64(r.EgressVRF))
	}
	if has(flow.SrcVLAN) {
		b.uint("vlan_src", uint64(r.SrcVLAN))
	}
	if has(flow.DstVLAN) {
		b.uint("vlan_dst", uint64(r.DstVLAN))
	}
	if has(flow.InSrcMAC) {
		b.add("in_src_mac", macString(r.InSrcMAC[:]))
	}
	if has(flow.OutDstMAC) {
		b.add("out_dst_mac", macString(r.OutDstMAC[:]))
	}
	if has(flow.InDstMAC) {
		b.add("in_dst_mac", macString(r.InDstMAC[:]))
	}
	if has(flow.OutSrcMAC) {
		b.add("out_src_mac", macString(r.OutSrcMAC[:]))
	}
	if has(flow.MPLS) {
		for i, label := range r.MPLS[:min(int(r.MPLSDepth), len(r.MPLS))] {
			b.add(mplsNames[i], hexString([]byte{byte(label >> 16), byte(label >> 8), byte(label)}))
		}
	}
	if has(flow.ObservationPoint) {
		b.uint("observation_point_id", r.ObservationPoint)
	}
	if has(flow.SegmentID) {
		b.uint("l2_segment_id", r.SegmentID)
		if vni := r.SegmentID & 0xffffff; vni != 0 {
			b.uint("vni", vni)
		}
	}
	if has(flow.IngressAttr) {
		b.uint("ingress_interface_attr", uint64(r.IngressAttr))
		b.role("ingress_role", r.IngressAttr)
	}
	if has(flow.EgressAttr) {
		b.uint("egress_interface_attr", uint64(r.EgressAttr))
		b.role("egress_role", r.EgressAttr)
	}
	if has(flow.TunSrc) {
		b.add("tunnel_src", b.cache.addr(r.TunSrc))
	}
	if has(flow.TunDst) {
		b.add("tunnel_dst", b.cache.addr(r.TunDst))
	}
	if has(flow.TunProto) {
		b.add("tunnel_protocol", protocolNames[r.TunProto])
	}
}

// role writes what a port of a VMware virtual switch is for (elements 888, 890).
func (b *Builder) role(name string, attr uint16) {
	switch attr {
	case 1:
		b.add(name, "uplink")
	case 2:
		b.add(name, "vm")
	case 3:
		b.add(name, "vxlan")
	default:
		b.add(name, "unknown")
	}
}

var mplsNames = [10]string{"mpls_label_1", "mpls_label_2", "mpls_label_3", "mpls_label_4", "mpls_label_5",
	"mpls_label_6", "mpls_label_7", "mpls_label_8", "mpls_label_9", "mpls_label_10"}

// events writes what firewalls and address translators tell, and the user and
// application.
func (b *Builder) events(r *flow.Record) {
	c, has := &b.cache, r.Present.Has
	if has(flow.FwEvent) {
		b.add("fw_event", enumOf(kindFwEvent, r.FwEvent))
	}
	if has(flow.FwXEvent) {
		b.add("fw_event_ext", hexString([]byte{byte(r.FwXEvent >> 8), byte(r.FwXEvent)}))
	}
	if has(flow.NATEvent) {
		b.uint("nat_event", uint64(r.NATEvent))
	}
	if has(flow.NATPool) {
		b.uint("nat_pool_id", uint64(r.NATPool))
	}
	if has(flow.XlateSrc) {
		b.add("xlat_src", c.addr(r.XlateSrc))
	}
	if has(flow.XlateDst) {
		b.add("xlat_dst", c.addr(r.XlateDst))
	}
	if has(flow.XlateSPort) {
		b.uint("xlat_src_port", uint64(r.XlateSPort))
	}
	if has(flow.XlateDPort) {
		b.uint("xlat_dst_port", uint64(r.XlateDPort))
	}
	if has(flow.IngressACL) {
		b.add("in_acl_id", hexString(r.IngressACL[:]))
	}
	if has(flow.EgressACL) {
		b.add("out_acl_id", hexString(r.EgressACL[:]))
	}
	if has(flow.User) {
		b.add("username", c.text(r.User))
	}
	if has(flow.AppID) {
		b.add("app_id", hexString(r.AppID))
	}
}

// version5 writes what the stock plugin takes from the header of NetFlow v5.
func (b *Builder) version5(r *flow.Record) {
	b.uint("flows", uint64(r.HeaderCount))
	b.uint("sys_uptime", uint64(r.SysUptime))
	b.uint("seq_number", uint64(r.Sequence))
	b.uint("sampling_interval", uint64(r.HeaderRate))
}

// element writes an element that flow.Record has no field for, or whose exact
// value is another than the field's.
func (b *Builder) element(e *flow.Element, v9 bool) {
	if e.PEN == 0 && e.ID < stockEnd {
		for i := range stockTable[e.ID] {
			f := &stockTable[e.ID][i]
			switch {
			case f.name == "":
				if i == 0 && f.kind != kindNone {
					return
				}
			case e.ID == 150 || e.ID == 151:
				// flow_start and flow_end have it in milliseconds
			case inRecord(e.ID):
				b.set(f.name, b.cache.value(f.kind, e.Value))
			default:
				b.add(f.name, b.cache.value(f.kind, e.Value))
			}
		}
		if stockTable[e.ID][0].name != "" || ignored(e.ID) {
			return
		}
	}
	f := b.field(e.PEN, e.ID, v9)
	b.add(f.name, b.cache.value(f.kind, e.Value))
	if e.PEN == ie.VMwarePEN && !b.stock {
		if el, ok := ie.Lookup(e.PEN, e.ID); ok && el.Name != f.name {
			b.set(el.Name, b.cache.value(kindOf(el), e.Value))
		}
	}
}

// stockEnd is the first id beyond the table.
const stockEnd = uint16(len(stockTable))

// ignored are the elements that the stock plugin leaves out: the session scope,
// which must be ignored, and structured data.
func ignored(id uint16) bool { return id == 267 || id >= 291 && id <= 293 }

// inRecord says whether an element has a field of its own in flow.Record, which
// its bytes in Extra then correct.
func inRecord(id uint16) bool {
	switch {
	case id >= 1 && id <= 18, id >= 27 && id <= 33, id >= 38 && id <= 39, id == 48, id >= 52 && id <= 63,
		id >= 70 && id <= 81, id == 89, id == 95, id == 128, id == 129, id == 136, id == 138, id == 139, id == 148,
		id >= 176 && id <= 179, id == 197, id >= 225 && id <= 228, id >= 230 && id <= 239 && id != 231 && id != 232,
		id >= 281 && id <= 283, id == 351, id == 371:
		return true
	}
	return false
}

// field returns name and kind of an element outside the stock table: one that a
// file names, else a number.
func (b *Builder) field(pen uint32, id uint16, v9 bool) stockField {
	key := elementKey{pen, id, v9}
	if f, ok := b.names[key]; ok {
		return f
	}
	f := b.pen.name(pen, id, v9)
	if len(b.names) < maxNames {
		b.names[key] = f
	}
	return f
}

// reverseBit marks elements of the other direction in some exporters' numbers
// (RFC 5103, section 6.2, in vendors' spaces).
const reverseBit = 0x4000

// Option returns the metric of an option record: netflow_options. NetFlow v9's scope
// types are scope_system, scope_interface and so on. The stock plugin takes them for
// field types, which names a system in_bytes and an interface in_packets: Stock adds
// that.
func (b *Builder) Option(o *flow.OptionRecord, at time.Time) telegraf.Metric {
	b.fields = b.fields[:0]
	v9 := o.Version == flow.V9
	for i := range o.Scope {
		e := &o.Scope[i]
		scope := v9 && int(e.ID) < len(scopeNames)
		if !scope || b.stock {
			b.optionElement(e, v9)
		}
		if scope && len(e.Value) > 0 && len(e.Value) <= 8 {
			b.uint(scopeNames[e.ID], wire.Uint(e.Value))
		}
	}
	for i := range o.Fields {
		b.optionElement(&o.Fields[i], v9)
	}
	return b.finish(OptionsMeasurement, o.Exporter, o.Version, at, nil)
}

// scopeNames are NetFlow v9's scope types (RFC 3954, section 6.1).
var scopeNames = [...]string{"scope", "scope_system", "scope_interface", "scope_linecard", "scope_cache", "scope_template"}

// optionElement writes one element of an option record.
func (b *Builder) optionElement(e *flow.Element, v9 bool) {
	fields := [2]stockField{}
	if e.PEN == 0 && !ignored(e.ID) {
		fields = lookup(e.ID)
	} else if e.PEN == 0 {
		return
	}
	if fields[0].name == "" {
		fields[0] = b.field(e.PEN, e.ID, v9)
	}
	for _, f := range fields {
		if f.name != "" {
			b.set(f.name, b.cache.value(f.kind, e.Value))
		}
	}
}

// fieldName says whether a field of netflow can have the name.
func fieldName(name string, pen PEN) bool {
	switch name {
	case "":
		return false
	case "flow_start", "flow_end", "domain", "sampling_rate", "icmp_code", "fwd_reason", "sys_uptime", "seq_number", "sampling_interval":
		return true
	}
	if _, ok := flow.FieldByName(name); ok {
		return true
	}
	for id := range stockTable {
		for _, f := range stockTable[id] {
			if f.name == name {
				return true
			}
		}
	}
	if numbered(name) {
		return true
	}
	for _, f := range pen.elements {
		if f.name == name || "rev_"+f.name == name {
			return true
		}
	}
	return false
}

// reverse says whether an element of the given number is another one's reverse.
func reverse(pen uint32, id uint16, v9 bool) bool {
	return !v9 && id&reverseBit != 0 && pen != ie.ReversePEN
}
