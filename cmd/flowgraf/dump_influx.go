package main

import (
	"bufio"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/influxdata/telegraf/plugins/serializers/influx"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/outputs/report"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// influxLines prints flows as the line protocol of the metric that inputs.netflow makes
// of them, so that what an archive holds can be written into InfluxDB later on. Counters
// are those of the archive: estimates where packets were sampled.
type influxLines struct {
	w       *bufio.Writer
	builder *flowmetric.Builder
	lines   influx.Serializer
	last    map[source]time.Time
	record  flow.Record // a copy
	opt     report.Options
	names   flow.Names
}

// source is who two points must not share a time of: it is what their series begins with.
type source struct {
	exporter [16]byte
	version  flow.Version
}

// maxSources bounds the sources whose last time is known.
const maxSources = 1 << 16

// openInflux opens the format; behind its colon stand fields that become tags.
func openInflux(w io.Writer, rest string, opt report.Options) (report.Printer, error) {
	var tags []string
	for tag := range strings.SplitSeq(rest, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	builder, err := flowmetric.NewBuilder(flowmetric.Options{FlowTags: tags})
	if err != nil {
		return nil, err
	}
	p := &influxLines{w: bufio.NewWriterSize(w, 1<<16), builder: builder, last: map[source]time.Time{},
		opt: opt}
	return p, p.lines.Init()
}

// Begin prints nothing.
func (p *influxLines) Begin() error { return nil }

// Flow prints a flow.
func (p *influxLines) Flow(f *query.Flow) error {
	r := f.Record
	if !r.Exporter.IsValid() || p.opt.Country != nil {
		p.record = *r
		r = &p.record
		if p.opt.Country != nil {
			p.names.SrcCountry, p.names.DstCountry = p.opt.CountryOf(f, flow.Src), p.opt.CountryOf(f, flow.Dst)
			r.Names = &p.names
		}
		if !r.Exporter.IsValid() { // a file need not say
			r.Exporter = netip.IPv4Unspecified()
		}
	}
	line, err := p.lines.Serialize(p.builder.Flow(r, p.timestamp(r)))
	if err != nil {
		return err
	}
	_, err = p.w.Write(line)
	return err
}

// timestamp returns when a flow was received, or as many nanoseconds later as it takes for
// points of a source to differ.
func (p *influxLines) timestamp(r *flow.Record) time.Time {
	at := r.Received.Time()
	if r.Received == 0 { // of a sum
		at = r.Last.Time()
	}
	s := source{r.Exporter.As16(), r.Version}
	last := p.last[s]
	if at.Before(last.Add(1)) && last.Sub(at) < time.Millisecond {
		at = last.Add(1)
	}
	if len(p.last) >= maxSources {
		clear(p.last)
	}
	p.last[s] = at
	return at
}

// End writes out what is buffered.
func (p *influxLines) End(*query.Totals, report.Usage) error { return p.w.Flush() }
