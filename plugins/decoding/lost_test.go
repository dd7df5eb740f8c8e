package decoding

import (
	"net/netip"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/models"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
)

// nowhere is an output that is never written to: its buffer fills.
type nowhere struct{}

func (nowhere) SampleConfig() string          { return "" }
func (nowhere) Connect() error                { return nil }
func (nowhere) Close() error                  { return nil }
func (nowhere) Write([]telegraf.Metric) error { return nil }

// TestLossInTelegrafsBufferIsCounted gives more metrics to two of Telegraf's own outputs
// than their buffers hold: what those drop, of the metrics and of their copies, is in
// netflow_exporter.
func TestLossInTelegrafsBufferIsCounted(t *testing.T) {
	const limit, rounds = 10, 40
	p := newPool(t, func(o *Options) { o.Wants.Datagrams = true })
	var list []collector.Datagram
	for _, payload := range decodingtest.Datagrams(t, 1) {
		list = append(list, collector.Datagram{Exporter: netip.MustParseAddrPort("192.0.2.1:2055"),
			Received: time.Unix(1767323045, 0), Payload: payload})
	}
	metrics := p.workers[0].decodeAll(list)
	added := map[string]int{}
	for _, m := range metrics {
		added[m.Name()]++
	}
	for range 2 {
		out, err := models.NewRunningOutput(nowhere{}, &models.OutputConfig{Name: "nowhere"}, 5, limit)
		if err != nil {
			t.Fatal(err)
		}
		for range rounds {
			for _, m := range metrics {
				out.AddMetric(m) // a copy
			}
		}
	}
	fields := map[string]any{}
	p.Count(fields)
	flows, datagrams := fields["output_flows_lost"].(uint64), fields["output_datagrams_lost"].(uint64)
	if all := 2 * rounds * len(metrics); flows+datagrams != uint64(all-2*limit) || flows == 0 || datagrams == 0 {
		t.Errorf("%d times %v are added to two buffers of %d: %d flows and %d datagrams are lost", rounds, added, limit,
			flows, datagrams)
	}
}
