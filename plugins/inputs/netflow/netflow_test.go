package netflow

import (
	"testing"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/logger"

	"github.com/flowgraf/flowgraf/plugins/collector"
)

// newPlugin returns an initialised plugin on a free port of the loopback.
func newPlugin(t testing.TB, change func(*NetFlow)) *NetFlow {
	t.Helper()
	n := &NetFlow{ServiceAddress: "udp://127.0.0.1:0", Workers: 1, Log: logger.New("inputs", "netflow", "")}
	if change != nil {
		change(n)
	}
	if err := n.Init(); err != nil {
		t.Fatal(err)
	}
	return n
}

// decodeAll returns the metrics of datagrams.
func (n *NetFlow) decodeAll(list []collector.Datagram) []telegraf.Metric { return n.pool.Decode(list) }
