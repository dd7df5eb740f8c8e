package query

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestSystemsOfNoAddress: where there is no address, no system is asked for, in brief and in
// full; what a flow tells stays.
func TestSystemsOfNoAddress(t *testing.T) {
	s := newSystems(func(netip.Addr) uint32 { return 64500 })
	for _, c := range []struct {
		src        netip.Addr
		told, want uint32
	}{
		{netip.Addr{}, 0, 0}, {netip.IPv4Unspecified(), 0, 0}, {netip.IPv6Unspecified(), 0, 0},
		{netip.MustParseAddr("192.0.2.1"), 0, 64500}, {netip.MustParseAddr("2001:db8::1"), 0, 64500},
		{netip.MustParseAddr("192.0.2.1"), 7, 7}, {netip.Addr{}, 7, 7},
	} {
		if got := s.number(flow.Value{Lo: uint64(c.told)}, flow.ValueOf(c.src)); got != uint64(c.want) {
			t.Errorf("in brief %s, which tells %d, is of %d, expected %d", c.src, c.told, got, c.want)
		}
		r := flow.Record{Src: c.src, SrcAS: c.told}
		told := s.fill(&r)
		if r.SrcAS != c.want || r.Has(flow.SrcAS) != (c.want != c.told) {
			t.Errorf("%s, which tells %d, is of %d, %v", c.src, c.told, r.SrcAS, r.Present)
		}
		if told.restore(&r); r.SrcAS != c.told || r.Has(flow.SrcAS) {
			t.Errorf("%s tells %d, %v afterwards, expected %d", c.src, r.SrcAS, r.Present, c.told)
		}
	}
}
