package flowmetric

import (
	"strconv"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/rollup"
)

// FieldText returns a function that gives the value of a field as a flow's metric has it
// as a tag. It is not safe for concurrent use.
func FieldText() func(r *flow.Record, f flow.Field) string {
	b := &Builder{}
	return func(r *flow.Record, f flow.Field) string {
		b.begin()
		if d := &recordFields[f]; d.kind != kindNone {
			b.recordField(f, d, r)
		}
		if len(b.fields) > 0 {
			return tagValue(b.cache.box(&b.fields[0].value))
		}
		return strconv.FormatUint(r.Number(f), 10)
	}
}

// Rollup returns the metric of a point of a roll-up. Its time is when the window began,
// and so much later.
func Rollup(p *rollup.Point, later time.Duration) telegraf.Metric {
	m := &Metric{Measurement: p.Name, At: p.Begin.Add(later), Kind: telegraf.Untyped}
	slab := make([]telegraf.Tag, len(p.Tags))
	for i, t := range p.Tags {
		slab[i] = telegraf.Tag{Key: t.Name, Value: t.Value}
	}
	m.TagPtrs = make([]*telegraf.Tag, 0, len(slab)+2)
	for i := range slab {
		m.AddTag(slab[i].Key, slab[i].Value)
	}
	fields := make([]telegraf.Field, 0, 18)
	add := func(name string, value any) { fields = append(fields, telegraf.Field{Key: name, Value: value}) }
	add("bytes", p.Bytes)
	add("packets", p.Packets)
	add("flows", p.Flows)
	add("scaled_bytes", p.ScaledBytes)
	add("scaled_packets", p.ScaledPackets)
	if seconds := p.End.Sub(p.Begin).Seconds(); seconds > 0 {
		add("bytes_per_second", float64(p.ScaledBytes)/seconds)
		add("packets_per_second", float64(p.ScaledPackets)/seconds)
		add("flows_per_second", float64(p.Flows)/seconds)
	}
	add("flow_start", p.First)
	add("flow_end", p.Last)
	if p.Sized {
		add("smallest_flow", p.Smallest)
		add("largest_flow", p.Largest)
	}
	if p.Distinct {
		add("distinct_src", p.Sources)
		add("distinct_dst", p.Destinations)
	}
	if p.Bounded && !p.Other {
		add("error_bound", p.Error)
	}
	if p.Other {
		add("series_folded", p.Folded)
	}
	m.setFields(fields)
	return m
}
