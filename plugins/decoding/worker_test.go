package decoding

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
)

// TestWorkerThatDoesNotKeepUp: where datagrams come without a pause, all processors
// decode and metrics are added beside it; they are the same, in the same order, also
// after a pause, and all are there once the plugin has stopped.
func TestWorkerThatDoesNotKeepUp(t *testing.T) {
	list := decodingtest.AllReceived(decodingtest.Datagrams(t, 20000))
	run := func(hot func(part int) bool) (lines []string) {
		n := newPool(t, nil)
		acc := &decodingtest.Accumulator{}
		n.acc = acc
		w := n.workers[0]
		part := 0
		for some := range slices.Chunk(list, 64) {
			w.since, w.ended = time.Now(), time.Now()
			if hot(part) {
				w.since = w.ended.Add(-2 * hotAfter)
			}
			w.receive(some)
			part++
		}
		n.Stop()
		for _, m := range acc.List() {
			lines = append(lines, fmt.Sprint(m.Tags(), m.Fields()))
		}
		return lines
	}
	want := run(func(int) bool { return false })
	if len(want) != 20000 {
		t.Fatalf("%d flows, want 20000", len(want))
	}
	for name, hot := range map[string]func(int) bool{
		"always":   func(int) bool { return true },
		"at times": func(part int) bool { return part%5 < 3 },
	} {
		if got := run(hot); !slices.Equal(got, want) {
			t.Errorf("%s: %d flows, want %d: some are missing, others, or in another order", name, len(got), len(want))
		}
	}
}
