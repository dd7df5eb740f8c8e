package flowmetric

import (
	"testing"
	"time"
)

// TestTimestampsAfterAStep: a clock that was three hours ahead for a moment does not put
// the points of three hours behind that moment; a small step back does not repeat a time.
func TestTimestampsAfterAStep(t *testing.T) {
	start := time.Unix(1767323045, 0)
	wall := start
	c := rising{wall: func() time.Time { return wall }}
	seen := map[int64]bool{}
	give := func(received time.Time) time.Time {
		t.Helper()
		got := c.timestamp(received)
		if seen[got.UnixNano()] {
			t.Errorf("%v is given twice", got)
		}
		seen[got.UnixNano()] = true
		return got
	}
	if got := give(wall); !got.Equal(wall) {
		t.Errorf("got %v, want %v", got, wall)
	}
	wall = start.Add(3 * time.Hour)
	ahead := wall
	if got := give(wall); !got.Equal(wall) {
		t.Errorf("ahead: got %v, want %v", got, wall)
	}
	wall = start.Add(time.Second)
	for i := range 100 {
		received := wall
		if i%3 == 2 {
			received = ahead // before the step back, in another goroutine
		}
		if got := give(received); got.Sub(wall) > time.Millisecond || got.Before(wall) {
			t.Fatalf("after the step back: got %v, want about %v", got, wall)
		}
		wall = wall.Add(time.Millisecond)
	}
	if n := c.restarts.Load(); n != 1 {
		t.Errorf("%d restarts, want 1", n)
	}
	before := give(wall)
	for range 3 {
		wall = wall.Add(-15 * time.Second)
		if got := give(wall); got.Sub(before) > time.Microsecond || !got.After(before) {
			t.Errorf("a small step back: got %v, want just after %v", got, before)
		}
	}
	for range 3 { // from a store, in any order
		give(wall.Add(-time.Hour))
		give(wall.Add(-2 * time.Hour))
	}
	if n := c.restarts.Load(); n != 1 {
		t.Errorf("%d restarts, want 1", n)
	}
}
