package main

import "testing"

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
