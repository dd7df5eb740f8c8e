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

// restore reads the state file. What cannot be read is left out, with a warning: a
// damaged file must not keep the collector from its work.
func (n *NetFlow) restore() {
	if n.StateFile == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.decoder.LoadKnown(n.StateFile); err != nil {
		n.Log.Warnf("state_file: %v; exporters are learned anew from there on", err)
	}
}

// known returns what the decoder knows of the exporters.
func (n *NetFlow) known() []collector.Datagram {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []collector.Datagram
	n.decoder.Known(func(dg collector.Datagram) { list = append(list, dg) })
	return list
}

// repeat sends what was known at the start, and then once a minute saves what is
// known and sends it again, until done is closed.
func (n *NetFlow) repeat(done <-chan struct{}, restored []collector.Datagram) {
	n.resend(restored)
	tick := time.NewTicker(knownInterval)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			n.tell()
		}
	}
}

// tell saves what is known and sends it again.
func (n *NetFlow) tell() {
	list := n.known()
	if n.StateFile != "" {
		if err := collector.SaveKnown(n.StateFile, list); err != nil {
			n.Log.Errorf("state_file %s cannot be written, templates are lost at the next restart: %v", n.StateFile, err)
		}
	}
	n.resend(list)
}

// resend emits datagrams, where datagrams are wanted.
func (n *NetFlow) resend(list []collector.Datagram) {
	if !n.wants.datagrams {
		return
	}
	now := time.Now()
	metrics := make([]telegraf.Metric, 0, len(list))
	var builder flowmetric.DatagramBuilder
	for _, dg := range list {
		dg.Received = now
		metrics = append(metrics, builder.Metric(dg))
	}
	for _, m := range metrics {
		n.acc.AddMetric(m)
	}
}
