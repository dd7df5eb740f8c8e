package alert

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Watched is what an Engine knows of a rule, for a person who looks at it.
type Watched struct {
	Rule   Rule
	Field  string   // whose values are kept: the first one that the conditions refer to
	Active []Change // what is not OK, by id; Time is that of the last change or metric
	Events []Change // the last changes of level since the start, the newest first
	Values []Value  // of the last hours, in order, each minute with metrics once
	Bounds []Bound  // that the conditions compare the field with
}

// Value is what a field had in a minute, of all ids of a rule.
type Value struct {
	Minute      time.Time
	Least, Most float64
}

// Bound is a number that a level's condition compares the field with.
type Bound struct {
	Level Level
	Value float64
}

// How much of a rule is kept.
const (
	keptEvents  = 20
	keptMinutes = 240
	maxActive   = 1000 // series listed for one rule
)

// watch is what is kept of a rule: values is a ring of minutes.
type watch struct {
	events []Change
	values []Value
}

// event keeps a change of level.
func (w *watch) event(c Change) {
	if len(w.events) == keptEvents {
		w.events = slices.Delete(w.events, 0, 1)
	}
	w.events = append(w.events, c)
}

// value keeps what a sample has. One that is older than the minute of the last does not
// count.
func (w *watch) value(v any, at time.Time) {
	x, ok := numberOf(v)
	if !ok || math.IsNaN(x) || math.IsInf(x, 0) {
		return
	}
	minute := at.Truncate(time.Minute)
	if n := len(w.values); n > 0 {
		last := &w.values[n-1]
		if order := minute.Compare(last.Minute); order <= 0 {
			if order == 0 {
				last.Least, last.Most = min(last.Least, x), max(last.Most, x)
			}
			return
		}
		if n == keptMinutes {
			w.values = slices.Delete(w.values, 0, 1)
		}
	}
	w.values = append(w.values, Value{minute, x, x})
}

// Watched tells of all rules, in their order. It is not called at the same time as other
// methods.
func (e *Engine) Watched() []Watched {
	list := make([]Watched, len(e.rules))
	for i, r := range e.rules {
		w := Watched{Rule: r.source, Field: r.value, Values: slices.Clone(r.seen.values),
			Events: slices.Clone(r.seen.events)}
		slices.Reverse(w.Events)
		for level := Critical; level > OK; level-- {
			if r.levels[level] == nil {
				continue
			}
			for _, b := range r.levels[level].bounds {
				if b.field == r.value {
					w.Bounds = append(w.Bounds, Bound{level, b.value})
				}
			}
		}
		list[i] = w
	}
	for k, s := range e.active {
		i := slices.IndexFunc(e.rules, func(r *rule) bool { return r.name == k.rule })
		if i >= 0 && len(list[i].Active) < maxActive {
			list[i].Active = append(list[i].Active, Change{Rule: k.rule, ID: k.id, Level: s.level, Peak: s.peak,
				Since: s.since, Time: s.last, Name: s.name, Tags: s.tags})
		}
	}
	for i := range list {
		slices.SortFunc(list[i].Active, func(a, b Change) int {
			return cmp.Or(cmp.Compare(b.Level, a.Level), cmp.Compare(a.ID, b.ID))
		})
	}
	return list
}
