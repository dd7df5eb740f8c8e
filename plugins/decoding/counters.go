package decoding

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// Gather adds a metric netflow_exporter for each observation domain that may be a series.
func (p *Pool) Gather(acc telegraf.Accumulator, now time.Time) {
	for _, s := range p.Exporters() {
		if s.Unlisted {
			continue
		}
		acc.AddFields(flowmetric.ExporterMeasurement, exporterFields(&s), exporterTags(&s), now)
	}
}

// Count sets the fields of netflow_exporter that are those of all exporters together.
func (p *Pool) Count(fields map[string]any) {
	var forgotten, refused, over, panics, unlisted uint64
	for _, w := range p.workers {
		w.mu.Lock()
		forgotten, refused, panics = forgotten+w.decoder.Forgotten(), refused+w.decoder.Refused(),
			panics+w.panics.Load()
		over += w.decoder.OverMost()
		unlisted += w.decoder.Unlisted()
		w.mu.Unlock()
	}
	fields["domains_forgotten"], fields["refused"], fields["internal_errors"] = forgotten, refused, panics
	fields["clock_restarts"] = flowmetric.ClockRestarts()
	fields["over_max_exporters"], fields["domains_unlisted"] = over, unlisted
	fields["state_errors"] = p.stateErrors.Load()
	fields["output_flows_lost"], fields["output_datagrams_lost"] = p.flowsLost.Load(), p.datagramsLost.Load()
	fields["workers"], fields["queue_full"] = uint64(len(p.workers)), uint64(0)
	if queues := p.queues; queues != nil {
		fields["queue_full"] = queues.Full()
	}
	p.countRollups(fields)
	if p.opt.VCenter != nil {
		p.opt.VCenter.count(fields)
	}
	if p.opt.Enrichment != nil {
		p.opt.Enrichment.count(fields)
	}
}

// Exporters returns a copy of all counters, sorted.
func (p *Pool) Exporters() []collector.ExporterStats {
	var list []collector.ExporterStats
	for _, w := range p.workers {
		w.mu.Lock()
		w.decoder.Exporters(func(s *collector.ExporterStats) { list = append(list, *s) })
		w.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b collector.ExporterStats) int {
		return cmp.Or(a.Exporter.Compare(b.Exporter), cmp.Compare(a.Version, b.Version),
			cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Port, b.Port))
	})
	return list
}

// exporterTags returns the tags of netflow_exporter for one domain.
func exporterTags(s *collector.ExporterStats) map[string]string {
	tags := map[string]string{
		"source":  s.Exporter.String(),
		"version": s.Version.String(),
		"domain":  strconv.FormatUint(uint64(s.Domain), 10),
	}
	if s.Port != 0 {
		tags["port"] = strconv.FormatUint(uint64(s.Port), 10)
	}
	if s.Stream {
		tags["transport"] = "tcp"
	}
	return tags
}

// exporterFields returns the fields of netflow_exporter for one domain.
func exporterFields(s *collector.ExporterStats) map[string]interface{} {
	return map[string]interface{}{
		"datagrams":               s.Datagrams,
		"bytes":                   s.Bytes,
		"flows":                   s.Flows,
		"uncounted":               s.Uncounted,
		"options":                 s.Options,
		"counters":                s.Counters,
		"templates":               s.Templates,
		"sequence_gaps":           s.SequenceGaps,
		"sequence_lost":           s.SequenceLost,
		"sequence_unsure":         s.SequenceUnsure,
		"sequence_late":           s.SequenceLate,
		"sequence_restarts":       s.SequenceRestarts,
		"exporter_datagrams":      s.ExporterDatagrams,
		"exporter_datagrams_lost": s.ExporterDatagramsLost,
		"exporter_flows":          s.ExporterFlows,
		"exporter_flows_lost":     s.ExporterFlowsLost,
		"exporter_flows_unsent":   s.ExporterFlowsUnsent,
		"sets_without_template":   s.SetsWithoutTemplate,
		"sets_resumed":            s.SetsResumed,
		"sets_expired":            s.SetsExpired,
		"sets_waiting":            uint64(s.SetsWaiting),
		"decode_errors":           s.DecodeErrors,
		"unsupported":             s.Unsupported,
		"sampling_refused":        s.SamplingRefused,
		"unknown_formats":         s.UnknownFormats,
		"time_repairs":            s.TimeRepairs,
		"templates_known":         uint64(s.TemplatesKnown),
		"sampling_rate":           uint64(s.SamplingRate),
		"clock_skew_ms":           int64(s.ClockSkew) / int64(time.Millisecond),
		"counted_since":           int64(s.Since) / int64(time.Second),
	}
}
