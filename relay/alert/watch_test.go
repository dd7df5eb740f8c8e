package alert

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// A person is told a rule's levels, last changes, values minute by minute, and the numbers
// that its conditions compare these with.
func TestWatched(t *testing.T) {
	d := newDesk(t, "", testRule(func(r *Rule) {
		r.Crit, r.Warn = `fields.v > 80.0 && tags.host != "x"`, `fields["v"] >= 50 || 7 < fields.other`
	}), testRule(func(r *Rule) { r.Name, r.Crit = "quiet", "fields.none > 1" }))
	d.apply(sample(0, 10), sample(30, 60), sample(61, 90), sample(200, 55), sample(190, 999), sample(259, 55))
	w := d.engine.Watched()
	if len(w) != 2 || w[0].Rule.Name != "r" || w[0].Field != "v" || w[1].Rule.Name != "quiet" || len(w[1].Values) != 0 {
		t.Fatalf("%+v", w)
	}
	if got := fmt.Sprint(w[0].Bounds); got != "[{CRITICAL 80} {WARNING 50}]" {
		t.Errorf("bounds %s", got)
	}
	var minutes []string
	for _, v := range w[0].Values {
		minutes = append(minutes, fmt.Sprintf("%d:%g-%g", v.Minute.Unix()/60, v.Least, v.Most))
	}
	if got := fmt.Sprint(minutes); got != "[0:10-60 1:90-90 3:55-999 4:55-55]" {
		t.Errorf("values %s", got)
	}
	if len(w[0].Active) != 1 || w[0].Active[0].Level != Warning || w[0].Active[0].Peak != Critical {
		t.Errorf("active %+v", w[0].Active)
	}
	var levels []string
	for _, c := range w[0].Events {
		levels = append(levels, c.Level.String())
	}
	if got := fmt.Sprint(levels); got != "[WARNING CRITICAL WARNING CRITICAL WARNING]" {
		t.Errorf("events, the newest first: %s", got)
	}
}

// What is kept of a rule is bounded.
func TestWatchIsBounded(t *testing.T) {
	var w watch
	for i := range 1000 {
		w.value(math.Inf(1), time.Unix(int64(i)*60, 0)) // no number that can be drawn
		w.value(float64(i), time.Unix(int64(i)*60, 0))
		w.event(Change{Seq: uint64(i)})
	}
	if len(w.values) != keptMinutes || w.values[0].Most != 1000-keptMinutes {
		t.Errorf("%d minutes from %v", len(w.values), w.values[0])
	}
	if len(w.events) != keptEvents || w.events[0].Seq != 1000-keptEvents {
		t.Errorf("%d events from %d", len(w.events), w.events[0].Seq)
	}
}
