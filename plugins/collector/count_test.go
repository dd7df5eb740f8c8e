package collector

import (
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestCountingIsDecoding decodes the same datagrams with a handler for flows and
// without: the counters of the exporters must be the same.
func TestCountingIsDecoding(t *testing.T) {
	for _, s := range streams(t) {
		var stats [2]ExporterStats
		for i, h := range []Handler{{Flow: func(*flow.Record) {}}, {}} {
			d := NewDecoder(Options{})
			for _, b := range [][]byte{s.templates, s.data, s.data} {
				if b == nil {
					continue
				}
				if err := d.Decode(datagram(b), h); err != nil {
					t.Fatal(err)
				}
			}
			d.Exporters(func(s *ExporterStats) { stats[i] = *s })
		}
		if stats[0] != stats[1] || stats[0].Flows == 0 {
			t.Errorf("%s: decoded\n%+v\ncounted\n%+v", s.name, stats[0], stats[1])
		}
	}
}
