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
	Begin("a")
	Leave("a", a)
	Begin("a")
	if a.stopped != 1 || Take("a") != nil {
		t.Error("a second reload does not stop what the first has left")
	}
	End()
}
