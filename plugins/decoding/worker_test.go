package decoding

import (
	"fmt"
	"slices"
	"strings"
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

// lineTaker is an accumulator that takes lines.
type lineTaker struct {
	decodingtest.Accumulator
	text  []byte
	count int
}

func (*lineTaker) LineTags() (map[string]string, bool) { return nil, true }

func (a *lineTaker) AddLines(lines []byte, metrics int) {
	a.text, a.count = append(a.text, lines...), a.count+metrics
}

// TestLinesOfAllLanes: templates that come in between, several lanes and the pauses
// between them change neither which lines are written nor their order.
func TestLinesOfAllLanes(t *testing.T) {
	const flows = 6000
	parts := realistic(t, "v9", flows)
	run := func(hot func(part int) bool) []string {
		n, acc := newPool(t, nil), &lineTaker{}
		n.acc, n.lines = acc, acc
		w := n.workers[0]
		for i, some := range parts {
			w.since, w.ended = time.Now(), time.Now()
			if hot(i) {
				w.since = w.ended.Add(-2 * hotAfter)
			}
			w.receive(slices.Insert(slices.Clone(some), len(some)/2, parts[0]...)) // the templates again
		}
		n.Stop()
		lines := strings.Split(strings.TrimSpace(string(acc.text)), "\n")
		if len(lines) != acc.count {
			t.Errorf("%d lines, of %d metrics", len(lines), acc.count)
		}
		for i, line := range lines {
			lines[i] = line[:strings.LastIndexByte(line, ' ')] // without its time
		}
		return lines
	}
	want := run(func(int) bool { return false })
	if len(want) < flows {
		t.Fatalf("%d lines, want %d", len(want), flows)
	}
	for name, hot := range map[string]func(int) bool{
		"always":   func(int) bool { return true },
		"at times": func(part int) bool { return part%3 == 0 },
	} {
		if got := run(hot); !slices.Equal(got, want) {
			t.Errorf("%s: %d lines, want %d: some are missing, others, or in another order", name, len(got), len(want))
		}
	}
}
