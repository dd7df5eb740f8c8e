package decoding

import (
	"testing"

	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
)

// TestTotalsInMetrics: the sums of what running totals have become are those of the
// traffic, and a flow that cannot be followed is in no sum, in no direction.
func TestTotalsInMetrics(t *testing.T) {
	p := newPool(t, func(o *Options) { o.Decoder.SplitBiflows = true })
	sum, left := uint64(0), 0
	for _, m := range p.Decode(decodingtest.AllReceived(decodingtest.Totals(t))) {
		bytes, counted := m.GetField("in_bytes")
		reverse, both := m.GetField("rev_bytes")
		_, scaled := m.GetField("scaled_bytes")
		if kind, marked := m.GetField("count_kind"); marked {
			left++
			total, _ := m.GetField("in_total_bytes")
			if kind != "total" || counted || both || scaled || total != uint64(1000) {
				t.Errorf("a flow that is left out of sums: %v", m.Fields())
			}
		} else if both && reverse != uint64(0) {
			t.Errorf("a flow of one direction: %v", m.Fields())
		} else {
			sum += bytes.(uint64)
		}
	}
	if sum != 1100 || left != 1 {
		t.Errorf("%d bytes, and %d flows left out; want 1100 and 1", sum, left)
	}
}
