package handover

import "testing"

// estate counts how often it was stopped.
type estate struct{ stopped int }

func (e *estate) Stop() { e.stopped++ }

// TestHandover: what is expected can be left and taken once; what nobody takes is
// stopped at the end, once; outside of a reload nothing can be left.
func TestHandover(t *testing.T) {
	a, b := &estate{}, &estate{}
	if Expected("a") || Leave("a", a) {
		t.Error("something can be left without a reload")
	}
	Begin("a", "b")
	if !Expected("a") || Expected("c") || Leave("c", a) {
		t.Error("what is expected is not what was announced")
	}
	if !Leave("a", a) || Leave("a", b) || !Leave("b", b) {
		t.Error("each name can be left exactly once")
	}
	if Take("a") != a || Take("a") != nil || Take("c") != nil {
		t.Error("a is taken once")
	}
	End()
	End()
	if a.stopped != 0 || b.stopped != 1 || Expected("b") || Take("b") != nil {
		t.Errorf("a was stopped %d times, want 0; b %d times, want once", a.stopped, b.stopped)
	}
	Begin("a", "b")
	Leave("a", a)
	Leave("b", b)
	Begin("a")
	if a.stopped != 0 || b.stopped != 2 {
		t.Error("a second reload stops what nobody had time to take, or keeps what it does not expect")
	}
	if Leave("a", b) || Take("a") != a {
		t.Error("what the first reload has left is not there in the second")
	}
	if !Leave("a", a) || Take("a") != a || Leave("a", a) {
		t.Error("who has taken it late can leave it again, once")
	}
	End()
}
