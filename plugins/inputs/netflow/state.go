package netflow

import (
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/collector"
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
func (n *NetFlow) restore() {
	if n.StateFile == "" {
		return
	}
	err := collector.ReadKnown(n.StateFile, func(dg collector.Datagram) error {
		w := n.workers[n.shard(&dg)]
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.decoder.Decode(dg, collector.Handler{})
	})
	if err != nil {
		n.stateErrors.Add(1)
		n.Log.Warnf("state_file: %v; exporters are learned anew from there on", err)
	}
}

// known returns what the decoder knows of the exporters.
func (n *NetFlow) known() []collector.Datagram {
	var list []collector.Datagram
	for _, w := range n.workers {
		w.mu.Lock()
		w.decoder.Known(func(dg collector.Datagram) { list = append(list, dg) })
		w.mu.Unlock()
	}
	return list
}

// repeat sends what was known at the start, when the revision was saved, and then once
// a minute saves what is known and sends it again, until done is closed. What is
// learned anew is saved sooner.
func (n *NetFlow) repeat(done <-chan struct{}, restored []collector.Datagram, saved uint64) {
	n.resend(restored)
	next := time.Now()
	look, tick := time.NewTicker(saveInterval), time.NewTicker(knownInterval)
	defer look.Stop()
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-look.C:
			revision := n.revision()
			if n.StateFile == "" || revision == saved || now.Before(next) {
				continue
			}
			n.save(n.known())
			saved, next = revision, now.Add(saveRest*time.Since(now))
		case <-tick.C:
			n.tell()
		}
	}
}

// tell saves what is known and sends it again.
func (n *NetFlow) tell() {
	list := n.known()
	n.save(list)
	n.resend(list)
}

// revision changes with what is known of the exporters.
func (n *NetFlow) revision() (sum uint64) {
	for _, w := range n.workers {
		w.mu.Lock()
		sum += w.decoder.Revision()
		w.mu.Unlock()
	}
	return sum
}

// save writes the state file, where there is one. It tells of the first failure in a
// row.
func (n *NetFlow) save(list []collector.Datagram) {
	if n.StateFile == "" {
		return
	}
	err := collector.SaveKnown(n.StateFile, list)
	if err != nil {
		n.stateErrors.Add(1)
	}
	switch failed := n.stateFailing; {
	case err != nil && !failed:
		n.Log.Errorf("state_file %s cannot be written, templates are lost at the next restart: %v (further failures are only counted)", n.StateFile, err)
	case err == nil && failed:
		n.Log.Infof("state_file %s is written again", n.StateFile)
	}
	n.stateFailing = err != nil
}

// resend emits datagrams, where datagrams are wanted.
func (n *NetFlow) resend(list []collector.Datagram) {
	if !n.wants.datagrams {
		return
	}
	now := time.Now()
	metrics := make([]telegraf.Metric, 0, len(list))
	builder := flowmetric.DatagramBuilder{Bytes: n.DatagramBytes}
	for _, dg := range list {
		dg.Received = now
		metrics = append(metrics, builder.Metric(dg))
	}
	for _, m := range metrics {
		n.acc.AddMetric(m)
	}
}
