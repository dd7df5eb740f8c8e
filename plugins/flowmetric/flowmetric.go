// Package flowmetric turns flows into Telegraf's metrics, and datagram metrics
// back into datagrams. It is the one place that knows their names.
//
// The measurement netflow has the names and types of Telegraf's stock
// inputs.netflow (v1.37), taken from stock.csv: what flow.Record holds without
// loss is written from there, everything else from Record.Extra, an unknown
// element as type_<id> or type_<pen>_<id> in hex. New fields are added, none is
// renamed. Two of the stock plugin's names meet new ones: flow_start and flow_end,
// there the seconds of elements 150 and 151, are always milliseconds here. And
// exporter_original_ip (403, 404), there a number, is an address: one of IPv6 fits no
// number.
//
// A Builder takes memory for several metrics at a time, so that a flow costs few
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
	"github.com/flowgraf/flowgraf/plugins/line"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

//go:generate go run ./generate

// The measurements.
const (
	Measurement         = "netflow"
	OptionsMeasurement  = "netflow_options"
	ExporterMeasurement = "netflow_exporter"
	QualityMeasurement  = "netflow_quality"
	DatagramMeasurement = "netflow_datagram"
	EventMeasurement    = "netflow_event"
	CounterMeasurement  = "netflow_counters"
)

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

	// Lost counts the metrics of flows that Telegraf's outputs lose (see
	// Metric.Reject); nil counts nothing.
	Lost *atomic.Uint64
}

// Builder makes metrics. It is not safe for concurrent use.
type Builder struct {
	tags         []string
	pen          PEN
	stock        bool
	lost         *atomic.Uint64
	extra        []extraField
	sampleMetric *Metric // of the counter sample at hand, with the stock plugin's measurements
	fields       []field // of the metric at hand
	moved        []field // what was one of these and becomes a tag
	lines        lineText
	leads        *[flow.NumFields]lead
	lineTags     []lineTag
	plain        bool // the names of all fields: see plainNames
	cache        cache
	names        map[elementKey]stockField // of elements outside the stock table

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
	b := &Builder{tags: slices.Clone(o.FlowTags), pen: o.PEN, stock: o.Stock, lost: o.Lost, extra: extra,
		plain: o.plainNames(extra), leads: fieldLeads(), names: map[elementKey]stockField{}}
	b.SetLineTags(nil)
	return b, nil
}

// Flow returns the metric of a flow. It keeps nothing of r.
func (b *Builder) Flow(r *flow.Record, at time.Time) telegraf.Metric {
	b.begin()
	b.flow(r)
	m := b.finish(b.measurement(r), r.Exporter, r.Version, at, b.tags)
	m.lost = b.lost
	return m
}

// measurement returns the measurement of a flow.
func (b *Builder) measurement(r *flow.Record) string {
	if !b.stock && IsEvent(r) {
		return EventMeasurement
	}
	return Measurement
}

// flow makes the fields of a flow those of the metric at hand, or of the line.
func (b *Builder) flow(r *flow.Record) {
	b.uint("flow_start", r.First.Milli())
	b.uint("flow_end", r.Last.Milli())
	b.recordFields(r)
	if r.Version == flow.V5 {
		b.version5(r)
	}
	if r.Domain != 0 && r.Version != flow.SFlow {
		b.uint("domain", uint64(r.Domain))
	}
	if r.Sample != nil {
		b.sample(r)
	}
	b.elements(r)
	if r.Names != nil {
		b.joined(r.Names)
	}
	for i := range b.extra {
		b.extraField(&b.extra[i], r)
	}
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
	b.move(tags)
	m, fields := b.cache.memory.metric(len(b.fields) - len(b.moved))
	n := 0
	for i := range b.fields {
		if f := &b.fields[i]; f.form != formNone {
			fields[n] = telegraf.Field{Key: f.name, Value: b.cache.box(&f.value)}
			n++
		}
	}
	m.Measurement, m.At, m.Kind = name, at, telegraf.Untyped
	m.setTags(b.cache.addr(exporter), v.String())
	for i := range b.moved {
		if text := line.Tag(tagValue(b.cache.box(&b.moved[i].value))); text != "" {
			m.AddTag(b.moved[i].name, text)
		}
	}
	return m
}

// move takes the fields that become tags out of the metric at hand: they have no value
// there any more.
func (b *Builder) move(tags []string) {
	b.moved = b.moved[:0]
	for _, tag := range tags {
		if i := b.find(tag); i >= 0 && b.fields[i].form != formNone {
			b.moved = append(b.moved, b.fields[i])
			b.fields[i].value = value{}
		}
	}
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

// version5 writes what the stock plugin takes from the header of NetFlow v5.
func (b *Builder) version5(r *flow.Record) {
	b.uint("flows", uint64(r.HeaderCount))
	b.uint("sys_uptime", uint64(r.SysUptime))
	b.uint("seq_number", uint64(r.Sequence))
	b.uint("sampling_interval", uint64(r.HeaderRate))
}

// stockEnd is the first id beyond the table.
const stockEnd = uint16(len(stockTable))

// ignored are the elements that the stock plugin leaves out: the session scope,
// which must be ignored, and structured data.
func ignored(id uint16) bool { return id == ie.SessionScope || isList(id) }

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
// that, and leaves out the tag domain.
func (b *Builder) Option(o *flow.OptionRecord, at time.Time) telegraf.Metric {
	b.begin()
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
	m := b.finish(OptionsMeasurement, o.Exporter, o.Version, at, nil)
	if !b.stock {
		m.AddTag("domain", strconv.FormatUint(uint64(o.Domain), 10))
	}
	return m
}

// scopeNames are NetFlow v9's scope types (RFC 3954, section 6.1).
var scopeNames = [...]string{"scope", "scope_system", "scope_interface", "scope_linecard", "scope_cache",
	"scope_template"}

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
			b.choose(f.name, b.cache.of(f.kind, e.Value))
		}
	}
}

// fieldName says whether a field of netflow can have the name.
func fieldName(name string, pen PEN) bool {
	switch name {
	case "":
		return false
	case "domain", "sys_uptime", "seq_number":
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
