package exporter_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/exporter"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// An exporter makes flows and the datagrams that carry them: here a collector's decoder
// gets these at once, without a network.
func Example() {
	e, err := exporter.New(exporter.Options{Protocol: "ipfix", Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Now()
	datagrams := [][]byte{e.Templates(nil, now)}
	var sent exporter.Totals
	for recs := e.Flows(100, now); len(recs) > 0; {
		b, n := e.Data(nil, now, recs)
		for i := range recs[:n] {
			sent.Add(&recs[i])
		}
		datagrams = append(datagrams, b)
		recs = recs[n:]
	}
	var got exporter.Totals
	d := collector.NewDecoder(collector.Options{})
	for _, b := range datagrams {
		from := netip.MustParseAddrPort("192.0.2.1:2055")
		err := d.Decode(collector.Datagram{Exporter: from, Received: now, Payload: b},
			collector.Handler{Flow: func(r *flow.Record) { got.Add(r) }})
		if err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(got.Flows, "flows;", "as sent:", got.Bytes == sent.Bytes && got.Packets == sent.Packets)
	// Output: 100 flows; as sent: true
}
