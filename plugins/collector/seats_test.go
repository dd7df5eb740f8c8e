package collector

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestSeats: an address keeps its seat while it is heard, a further one gets a seat when
// another has been silent for an hour, and one that the configuration names has one
// always; over all decoders together.
func TestSeats(t *testing.T) {
	named := netip.MustParseAddr("198.51.100.9")
	var lines []string
	decoders := NewDecoders(3, Options{MaxExporters: 4,
		Exporters: []ExporterConfig{{Prefix: netip.PrefixFrom(named, 32)},
			{Prefix: netip.MustParsePrefix("10.0.0.0/8")}},
		Log: func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }})
	data := streams(t)[0].data
	now := received
	pass(decoders[0], &now)
	send := func(addr netip.Addr) bool {
		t.Helper()
		flows := 0
		dg := Datagram{Exporter: netip.AddrPortFrom(addr, 2055), Received: now, Payload: data}
		d := decoders[decoders[0].Shard(&dg, len(decoders))]
		if err := d.Decode(dg, Handler{Flow: func(*flow.Record) { flows++ }}); err != nil {
			t.Fatal(err)
		}
		if passed := d.Screen(&dg); passed != (flows > 0) {
			t.Errorf("%s: %d flows, passed on %t", addr, flows, passed)
		}
		return flows > 0
	}
	over := func() (n uint64) {
		for _, d := range decoders {
			n += d.OverMost()
		}
		return n
	}
	all := func(from, to int, want bool, when string) {
		t.Helper()
		for i := from; i < to; i++ {
			if got := send(address(i).Addr()); got != want {
				t.Errorf("%s: address %d is decoded: %t", when, i, got)
			}
		}
	}
	all(0, 4, true, "while there is room")
	all(4, 100, false, "beyond the bound")
	if over() != 96 || len(lines) != 1 || !strings.Contains(lines[0], "max_exporters") {
		t.Errorf("%d datagrams counted, told %q", over(), lines)
	}
	if !send(named) {
		t.Error("an address that the configuration names has no seat")
	}
	for range 4 {
		now = now.Add(50 * time.Minute)
		all(0, 2, true, "an address that is heard")
	}
	all(50, 52, true, "after a silence of others") // of 2, 3, and the named one
	all(2, 4, false, "an address that was silent, once others have its seat")
	if !send(named) {
		t.Error("an address that the configuration names has lost its seat")
	}
	known := map[netip.Addr]bool{}
	for _, d := range decoders {
		d.Exporters(func(s *ExporterStats) { known[s.Exporter] = true })
	}
	if len(known) != 5 || known[address(2).Addr()] || !known[address(1).Addr()] {
		t.Errorf("counters of %v", known)
	}
}
