package collector_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// A Decoder takes datagrams of all protocols and calls the handler with each flow. What
// it gets is valid until it returns: here it is printed at once.
func ExampleDecoder() {
	datagram := []byte{
		// NetFlow v5, one flow
		0, 5, 0, 1, 0, 0, 0x27, 0x10, 0x69, 0x57, 0x33, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		192, 0, 2, 1, 198, 51, 100, 2, 10, 0, 0, 1, 0, 3, 0, 4, // addresses, next hop, interfaces
		0, 0, 0, 5, 0, 0, 2, 88, 0, 0, 0x1f, 0x40, 0, 0, 0x23, 0x28, // packets, octets, from 8 s to 9 s of uptime
		// ports, flags, protocol, TOS, AS, masks
		0x9c, 0x41, 1, 0xbb, 0, 0x1b, 6, 0, 0xfb, 0xf0, 0xfb, 0xf1, 24, 16, 0, 0,
	}
	decoder := collector.NewDecoder(collector.Options{})
	handler := collector.Handler{Flow: func(r *flow.Record) {
		fmt.Printf("%s: %s to %s, protocol %d, %d bytes in %d packets\n", r.Version,
			netip.AddrPortFrom(r.Src, r.SrcPort), netip.AddrPortFrom(r.Dst, r.DstPort), r.Proto, r.Bytes, r.Packets)
		fmt.Printf("from %s for %s\n", r.First.Time().Format(time.RFC3339), r.Last.Time().Sub(r.First.Time()))
	}}
	err := decoder.Decode(collector.Datagram{
		Exporter: netip.MustParseAddrPort("192.0.2.254:2055"),
		Received: time.Unix(0x69573320, 0),
		Payload:  datagram,
	}, handler)
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// NetFlowV5: 192.0.2.1:40001 to 198.51.100.2:443, protocol 6, 600 bytes in 5 packets
	// from 2026-01-02T02:53:18Z for 1s
}
