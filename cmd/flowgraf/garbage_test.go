package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
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

// After the first collection the usual rule holds; with GOGC nothing is changed.
func TestCollectLate(t *testing.T) {
	before := debug.SetGCPercent(70)
	limit := debug.SetMemoryLimit(-1)
	defer debug.SetGCPercent(before)
	defer debug.SetMemoryLimit(limit)
	t.Setenv("GOGC", "70")
	collectLate(300)
	if got := debug.SetGCPercent(70); got != 70 {
		t.Errorf("with GOGC set, GOGC became %d", got)
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	collectLate(300)
	if got := debug.SetMemoryLimit(-1); got != lateBytes {
		t.Errorf("garbage may be %d bytes before the first collection", got)
	}
	runtime.GC()
	for end := time.Now().Add(time.Minute); debug.SetMemoryLimit(-1) != math.MaxInt64; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the limit stays after a collection")
		}
	}
	if got := debug.SetGCPercent(70); got != 300 {
		t.Errorf("after a collection garbage may be %d percent", got)
	}
}
