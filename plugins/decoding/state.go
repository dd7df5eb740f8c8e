package decoding

import (
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// knownInterval is how often what is known of the exporters is written to the
// state file and sent again as datagrams.
const knownInterval = time.Minute

// What is new is written to the state file within saveInterval, or, of a large file,
// after saveRest times as long as writing it takes.
const (
	saveInterval = time.Second
	saveRest     = 20
)

// restore reads the state file. What cannot be read is left out, with a warning: a
// damaged file must not keep the collector from its work.
func (p *Pool) restore() {
	if p.opt.StateFile == "" {
		return
	}
	err := collector.ReadKnown(p.opt.StateFile, func(dg collector.Datagram) error {
		if !p.opt.Relayed {
			dg.Policy = flow.Policy{}
		}
		w := p.workers[p.shard(&dg)]
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.decoder.Decode(dg, collector.Handler{})
	})
	if err != nil {
		p.stateErrors.Add(1)
		p.opt.Log.Warnf("state_file: %v; exporters are learned anew from there on", err)
	}
}

// known returns what the decoder knows of the exporters.
func (p *Pool) known() []collector.Datagram {
	var list []collector.Datagram
	for _, w := range p.workers {
		w.mu.Lock()
		w.decoder.Known(func(dg collector.Datagram) { list = append(list, dg) })
		w.mu.Unlock()
	}
	return list
}

// repeat sends what was known at the start, when the revision was saved, and then once
// a minute saves what is known and sends it again, until done is closed. What is
// learned anew is saved sooner.
func (p *Pool) repeat(done <-chan struct{}, restored []collector.Datagram, saved uint64) {
	p.resend(restored)
	next := time.Now()
	look, tick := time.NewTicker(saveInterval), time.NewTicker(knownInterval)
	defer look.Stop()
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-look.C:
			revision := p.revision()
			if p.opt.StateFile == "" || revision == saved || now.Before(next) {
				continue
			}
			p.save(p.known())
			saved, next = revision, now.Add(saveRest*time.Since(now))
		case <-tick.C:
			p.tell()
		}
	}
}

// tell saves what is known and sends it again.
func (p *Pool) tell() {
	list := p.known()
	p.save(list)
	p.resend(list)
}

// revision changes with what is known of the exporters.
func (p *Pool) revision() (sum uint64) {
	for _, w := range p.workers {
		w.mu.Lock()
		sum += w.decoder.Revision()
		w.mu.Unlock()
	}
	return sum
}

// save writes the state file, where there is one. It tells of the first failure in a
// row.
func (p *Pool) save(list []collector.Datagram) {
	if p.opt.StateFile == "" {
		return
	}
	err := collector.SaveKnown(p.opt.StateFile, list)
	if err != nil {
		p.stateErrors.Add(1)
	}
	switch failed := p.stateFailing; {
	case err != nil && !failed:
		p.opt.Log.Errorf("state_file %s cannot be written, templates are lost at the next restart: %v (further "+
			"failures are only counted)", p.opt.StateFile, err)
	case err == nil && failed:
		p.opt.Log.Infof("state_file %s is written again", p.opt.StateFile)
	}
	p.stateFailing = err != nil
}

// resend emits datagrams, where datagrams are wanted.
func (p *Pool) resend(list []collector.Datagram) {
	if !p.opt.Wants.Datagrams {
		return
	}
	now := time.Now()
	metrics := make([]telegraf.Metric, 0, len(list))
	builder := flowmetric.DatagramBuilder{Bytes: p.opt.DatagramBytes}
	for _, dg := range list {
		dg.Received = now
		metrics = append(metrics, builder.Metric(dg))
	}
	for _, m := range metrics {
		p.acc.AddMetric(m)
	}
}
