package web

import (
	"math"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Flows that are told of as ingress and as egress, or by a second exporter, are twice in the
// sums, and the list of exporters says how many are.
func TestDoubledFlows(t *testing.T) {
	dir := t.TempDir()
	start := time.Now().Unix()/slotSeconds*slotSeconds - slotSeconds
	name := "nfcapd." + time.Unix(start, 0).UTC().Format("200601021504")
	w, err := nffile.Create(filepath.Join(dir, name), nffile.Options{})
	must(t, err)
	add := func(exporter string, port, direction int) {
		r := flow.Record{Version: flow.IPFIX, Src: netip.MustParseAddr("192.0.2.1"),
			Dst:     netip.MustParseAddr("192.0.2.2"),
			SrcPort: uint16(port), DstPort: 443, Proto: 6, Packets: 1, Bytes: 100,
			First: flow.Milli(uint64(start) * 1000),
			Last:  flow.Milli(uint64(start) * 1000), Exporter: netip.MustParseAddr(exporter)}
		r.Present = flow.SetOf(flow.Src, flow.Dst, flow.SrcPort, flow.DstPort, flow.Proto, flow.Packets, flow.Bytes,
			flow.FirstSeen, flow.LastSeen)
		if direction >= 0 {
			r.Direction = uint8(direction)
			r.Present.Add(flow.Direction)
		}
		must(t, w.Append(&r))
	}
	for i := range 100 {
		add("198.51.100.1", 1000+i, 0)
		if i < 40 {
			add("198.51.100.1", 1000+i, 1) // left by another interface
		} else {
			add("198.51.100.1", 1000+i, 0) // a long one, told of twice
		}
		add("198.51.100.2", 2000+i, -1)
		if i < 10 {
			add("198.51.100.1", 2000+i, 0) // seen by the other router too
		}
	}
	must(t, w.Close())
	_, h := serve(t, dir, Options{})
	list := ask[Exporters](t, h, "exporters").Exporters
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	for _, e := range list {
		want := map[string]float64{"198.51.100.1": 0.4, "198.51.100.2": 0.1}[e.Address.String()]
		if math.Abs(e.Doubled-want) > 1e-9 {
			t.Errorf("%s: %g of its flows are there twice, want %g", e.Address, e.Doubled, want)
		}
	}
}
