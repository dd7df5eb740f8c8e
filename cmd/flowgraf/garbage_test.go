package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

// TestGarbageRoom: there is room for garbage, unless the user has said how much there
// may be.
func TestGarbageRoom(t *testing.T) {
	for _, c := range []struct {
		gogc, limit string
		want        int
	}{{"", "", garbageBytes}, {"200", "", 0}, {"off", "1GiB", 0}, {"", "160MiB", 0}} {
		t.Setenv("GOGC", c.gogc)
		t.Setenv("GOMEMLIMIT", c.limit)
		if got := len(garbageRoom()); got != c.want {
			t.Errorf("GOGC=%q GOMEMLIMIT=%q: room for %d bytes, want %d", c.gogc, c.limit, got, c.want)
		}
	}
}

// After the first collection the usual rule holds; with GOGC nothing is changed. What other
// tests have put off may come to its end at any time, with the same rule.
func TestCollectLate(t *testing.T) {
	before, limit := debug.SetGCPercent(70), debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetGCPercent(before)
	defer debug.SetMemoryLimit(limit)
	memory := func() int64 { return debug.SetMemoryLimit(-1) }
	t.Setenv("GOGC", "70")
	t.Setenv("GOMEMLIMIT", "")
	if collectLate(dumpGCPercent); memory() == lateBytes {
		t.Error("put off though GOGC is set")
	}
	t.Setenv("GOGC", "")
	waitUntil(t, "a late first collection", func() bool {
		collectLate(dumpGCPercent)
		return memory() == lateBytes
	})
	runtime.GC()
	waitUntil(t, "the end of the limit", func() bool { return memory() == math.MaxInt64 })
	waitUntil(t, "the usual rule", func() bool {
		percent := debug.SetGCPercent(70)
		debug.SetGCPercent(percent)
		return percent == dumpGCPercent
	})
}
