package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// The file is read while it grows: a line that is torn is counted once, when it
// is whole.
func TestMetricsTailCountsWholeLinesOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "metrics")
	tail := &metricsTail{file: file}
	if err := tail.readMetrics(); err != nil {
		t.Fatal("a file that is not there yet: ", err)
	}
	text := "netflow,source=a in_bytes=1u 1\n" +
		"netflow,source=a in_bytes=2u,out=1u 2\n" +
		"netflow,source=a in_bytes_sum=3 3\n" +
		"netflow_exporter,source=a sequence_lost=3u,kernel_drops=0u 4\n" +
		"netflow_exporter,source=a xsequence_lost=9u,sequence_lost=4u 5\n" +
		"netflow_exporter,listener=x kernel_drops=2u 5\n"
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range text {
		if _, err := f.WriteString(text[i : i+1]); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			if err := tail.readMetrics(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tail.readMetrics(); err != nil {
		t.Fatal(err)
	}
	if tail.flows != 2 || len(tail.series) != 3 || tail.loss() != 6 {
		t.Errorf("flows %d, series %d, loss %d; want 2, 3, 6", tail.flows, len(tail.series), tail.loss())
	}
}

// Metrics come in batches: the rate is the mean of some seconds, and settles on what is sent.
func TestRateDoesNotJump(t *testing.T) {
	r := rateOver{window: 10 * time.Second}
	now := time.Unix(0, 0)
	for second := range 60 {
		count := uint64(second) / 2 * 2000 // 2,000 every other second
		rate := r.addCount(now.Add(time.Duration(second)*time.Second), count)
		if second > 10 && (rate < 900 || rate > 1100) {
			t.Errorf("second %d: %.0f/s, want about 1000", second, rate)
		}
	}
	if len(r.times) > 12 {
		t.Errorf("%d samples are kept", len(r.times))
	}
}

func TestSizeOf(t *testing.T) {
	for n, want := range map[float64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_960: "1.0 MB",
		94_912_345_678: "94.9 GB", 2e21: "2000.0 EB"} {
		if got := sizeOf(n); got != want {
			t.Errorf("%g: %q, want %q", n, got, want)
		}
	}
}

// A line longer than the terminal is wide is cut: it would take two rows, and the way
// back up to the first line would be too short.
func TestLiveLinesAreNoLongerThanTheTerminalIsWide(t *testing.T) {
	var out strings.Builder
	screen := &liveLines{out: &out, live: true, width: func() int { return 80 }}
	short, long := strings.Repeat("ü", 80), strings.Repeat("ü", 81)
	screen.show([]string{short, long})
	lines := strings.Split(strings.ReplaceAll(out.String(), "\r\x1b[K", ""), "\n")
	if lines[0] != short || utf8.RuneCountInString(lines[1]) != 80 || !strings.HasSuffix(lines[1], "ü…") {
		t.Errorf("shown %q", lines)
	}
	out.Reset()
	screen.width = func() int { return 0 }
	screen.show([]string{short, long})
	if !strings.HasPrefix(out.String(), "\x1b[2A") || !strings.Contains(out.String(), long) {
		t.Errorf("a width that is not known: shown %q", out.String())
	}
}
