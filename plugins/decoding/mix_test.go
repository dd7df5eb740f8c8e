package decoding

import (
	"net/netip"
	"testing"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/exporter"
)

// sampleRollups are those of the sample configuration.
func sampleRollups() []Rollup {
	no := false
	return []Rollup{
		{Name: "interface", Tags: []string{"source", "in_snmp", "out_snmp", "in_interface", "out_interface"},
			Distinct: &no},
		{Name: "service", Tags: []string{"service"}, Top: 100},
		{Name: "src_net", Tags: []string{"src_net", "src_class"}, Top: 200},
		{Name: "dst_net", Tags: []string{"dst_net", "dst_class"}, Top: 200},
		{Name: "as", Tags: []string{"bgp_src_as", "bgp_dst_as"}, Top: 200, Distinct: &no},
		{Name: "portgroup", Tags: []string{"in_portgroup", "out_portgroup"}},
		{Name: "vm", Tags: []string{"in_vm", "out_vm"}, Top: 500},
	}
}

// realistic returns datagrams of the generator's realistic mix with n flows, in batches as
// they come at once.
func realistic(t testing.TB, protocol string, n int) [][]collector.Datagram {
	t.Helper()
	e, err := exporter.New(exporter.Options{Protocol: protocol, Mix: exporter.Realistic, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	from := netip.MustParseAddrPort("192.0.2.1:2055")
	of := func(payload []byte) collector.Datagram {
		return collector.Datagram{Exporter: from, Received: now, Payload: payload}
	}
	list := [][]collector.Datagram{{of(e.Templates(nil, now))}}
	var batch []collector.Datagram
	for n > 0 {
		recs := e.Flows(min(n, 100), now)
		for len(recs) > 0 {
			payload, took := e.Data(nil, now, recs)
			recs, n = recs[took:], n-took
			if batch = append(batch, of(payload)); len(batch) == 64 {
				list, batch = append(list, batch), nil
			}
		}
	}
	return append(list, batch)
}

// nothing is an accumulator that drops what it gets.
type nothing struct{ telegraf.Accumulator }

func (nothing) AddMetric(telegraf.Metric) {}

// BenchmarkRealisticMix decodes flows of the realistic mix into the roll-ups of the sample
// configuration, into nothing, and into a metric each.
func BenchmarkRealisticMix(b *testing.B) {
	const n = 200000
	for _, protocol := range []string{"v9", "ipfix", "v5"} {
		list := realistic(b, protocol, n)
		for name, some := range map[string][]Rollup{"roll-ups": sampleRollups(),
			"none": {{Name: "none", Filter: "proto 250"}}, "metrics": nil} {
			b.Run(protocol+" "+name, func(b *testing.B) {
				p := newPool(b, func(o *Options) {
					if o.Wants = (Wants{Flows: some == nil}); some != nil {
						withRollups(b, o, some...)
					}
				})
				p.Start(nothing{})
				defer p.Stop()
				b.ReportAllocs()
				for b.Loop() {
					for _, batch := range list {
						p.Receive(batch)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/flow")
			})
		}
	}
}
