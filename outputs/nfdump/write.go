package nfdump

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/waitlog"
	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// writing is one Write.
type writing struct {
	p       *Nfdump
	out     archive.GroupBatch
	handler collector.Handler
	late    collector.Handler // of sets that have waited
	failed  error             // the first of writing

	datagrams, refused, flows, waited, resumed, expired int64
}

// Write implements telegraf.Output. Metrics other than netflow_datagram, and those
// that are malformed, are counted and dropped: to come again would not help them.
func (p *Nfdump) Write(metrics []telegraf.Metric) error {
	if err := p.reopen(); err != nil {
		return err
	}
	if p.archive == nil {
		return p.writeRaw(metrics)
	}
	b := p.newWriting()
	err := p.archive.Write(func(out archive.GroupBatch) error {
		b.out = out
		return b.write(metrics)
	})
	p.endPcap(err == nil)
	p.endWaiting(err == nil)
	if p.decoder.Revision() != p.saved && time.Since(p.savedAt) >= stateInterval {
		p.saveState()
	}
	if err != nil {
		// The datagrams come again; what they add to the counters, they add once.
		p.takeCounters()
		return fmt.Errorf("nothing of %d metrics is in the files, they stay in the buffer: %w%s", len(metrics), err,
			advice(err))
	}
	p.counted, p.spare = p.spare, p.counted
	b.report()
	return nil
}

func (p *Nfdump) newWriting() *writing {
	b := &writing{p: p}
	b.handler.Flow, b.late.Flow = b.flow, b.flow
	if p.waiting != nil {
		b.handler.Missing = b.missing
	}
	return b
}

// write decodes metrics into the archive.
func (b *writing) write(metrics []telegraf.Metric) error {
	p := b.p
	p.keepWaiting()
	b.expire()
	if p.resume {
		b.resume(netip.Addr{})
	}
	known := p.decoder.Revision()
	for _, m := range metrics {
		dg, ok := p.datagram(m)
		if !ok {
			continue
		}
		if !p.decoder.Screen(&dg) {
			b.refused++
			continue
		}
		b.datagrams++
		if p.pcap != nil {
			p.pcap.Add(dg)
		}
		p.decoder.Decode(dg, b.handler) // what it could not decode, it counts and logs
		if now := p.decoder.Revision(); now != known {
			known = now
			b.resume(dg.Exporter.Addr())
		}
		if b.failed != nil {
			return b.failed
		}
	}
	p.count(b.out)
	if p.tables.takeChanges(p.decoder); p.tables.version > 0 {
		if err := b.out.Tables(p.tables.version, p.tables.write); err != nil {
			return err
		}
	}
	if p.waiting != nil {
		if err := p.waiting.Prepare(); err != nil {
			return err
		}
	}
	if p.pcap != nil {
		return p.pcap.Prepare()
	}
	return nil
}

// flow writes a flow.
func (b *writing) flow(r *flow.Record) {
	discarded := r.Sample != nil && r.Sample.Kind == flow.SampleDiscarded // sent no traffic on
	if b.failed == nil && !discarded {
		b.failed = b.out.Append(r)
		b.flows++
	}
}

// missing lets a set wait for its template.
func (b *writing) missing(key collector.SetKey, dg collector.Datagram) {
	b.waited++
	if !b.p.waiting.Add(key, dg) {
		b.expired++
	}
}

// expire ends the waiting of sets that have waited long enough, whatever was done to the
// machine's clock meanwhile.
func (b *writing) expire() {
	if b.p.waiting == nil {
		return
	}
	now := time.Now()
	for s := range b.p.waiting.All() {
		if now.Sub(s.Since) <= time.Duration(b.p.TemplateWait) {
			return // those behind it came later
		}
		b.p.waiting.Finish(s)
		b.expired++
	}
}

// resume decodes the sets of an exporter, or with the zero address of all, whose
// template is known by now.
func (b *writing) resume(exporter netip.Addr) {
	w := b.p.waiting
	if w == nil || exporter.IsValid() && !w.Waits(exporter) {
		return
	}
	for s := range w.All() {
		if exporter.IsValid() && s.Key.Exporter.Addr() != exporter || !b.p.decoder.Knows(s.Key, s.Received()) {
			continue
		}
		if b.failed = b.decodeLate(s); b.failed != nil {
			return
		}
		w.Finish(s)
		b.resumed++
	}
}

// decodeLate decodes a set that has waited.
func (b *writing) decodeLate(s *waitlog.Set) error {
	dg, err := b.p.waiting.Datagram(s)
	if err != nil {
		return err
	}
	if s.Waiting() { // it was acknowledged in an earlier Write
		at, err := b.out.Position(s.Key.Exporter.Addr(), flow.TimeOf(dg.Received))
		if err == nil {
			err = b.p.waiting.Undo(at)
		}
		if err != nil {
			return err
		}
	}
	b.p.decoder.Resume(dg, b.late) // what it could not decode, it counts and logs
	return b.failed
}

// report adds to the internal metrics.
func (b *writing) report() {
	s := &b.p.stats
	if s.flows == nil {
		return
	}
	s.datagrams.Incr(b.datagrams)
	s.refused.Incr(b.refused)
	s.flows.Incr(b.flows)
	s.waited.Incr(b.waited)
	s.resumed.Incr(b.resumed)
	s.expired.Incr(b.expired)
	if b.p.waiting != nil {
		s.waiting.Set(int64(b.p.waiting.Len()))
	}
	b.p.reportCommand()
}

// datagram returns the datagram of a metric, false when it has none.
func (p *Nfdump) datagram(m telegraf.Metric) (collector.Datagram, bool) {
	if m.Name() != flowmetric.DatagramMeasurement {
		if !p.toldOther {
			p.toldOther = true
			p.warnf("metrics %q are ignored, only %q is used: set namepass = [%q] for this output",
				m.Name(), flowmetric.DatagramMeasurement, flowmetric.DatagramMeasurement)
		}
		if p.stats.ignored != nil {
			p.stats.ignored.Incr(1)
		}
		return collector.Datagram{}, false
	}
	dg, err := p.parser.Parse(m)
	if err != nil {
		if !p.toldBad {
			p.toldBad = true
			p.errorf("a metric is dropped, further ones are only counted: %v", err)
		}
		if p.stats.malformed != nil {
			p.stats.malformed.Incr(1)
		}
		return collector.Datagram{}, false
	}
	return dg, true
}
