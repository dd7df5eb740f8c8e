package alert

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// staleLevel stands for a level where an alert has ended because nothing is known
// any more.
const staleLevel = "STALE"

// How long an id may be silent when its rule does not say.
const (
	staleGaps  = 10              // longest gaps between its metrics
	staleLeast = 5 * time.Minute // whatever the gaps are
	staleFirst = time.Hour       // when one metric only has come
)

// patience is how long a silent id stays what it is.
func (r *rule) patience(s *status) time.Duration {
	switch {
	case r.staleAfter > 0:
		return r.staleAfter
	case s.gap == 0:
		return staleFirst
	}
	return max(staleLeast, staleGaps*s.gap)
}

// heard notes that a metric of an id has come. The gap is the longer one of those by
// the clock and by the metrics' own times: some come many at a time.
func (s *status) heard(sample *Sample, now time.Time) {
	if !s.restored {
		s.gap = max(s.gap, now.Sub(s.heardAt), sample.Time.Sub(s.last))
	}
	if sample.Time.After(s.last) {
		s.last = sample.Time
	}
	s.name, s.tags, s.fields, s.heardAt, s.restored = sample.Name, sample.Tags, sample.Fields, now, false
}

// endStale ends the alerts of ids that have been silent for too long.
func (e *Engine) endStale(now time.Time, releases []func()) ([]func(), error) {
	var silent []key
	for k, s := range e.active {
		if r := e.rule(k.rule); r != nil && now.Sub(s.heardAt) >= r.patience(s) {
			silent = append(silent, k)
		}
	}
	slices.SortFunc(silent, func(a, b key) int {
		return cmp.Or(strings.Compare(a.rule, b.rule), strings.Compare(a.id, b.id))
	})
	for _, k := range silent {
		r, s := e.rule(k.rule), e.active[k]
		change := &Change{
			Rule: k.rule, ID: k.id, Level: OK, Peak: s.peak, Since: s.since, Time: now, Seq: e.seq + 1, Stale: true,
			Name: s.name, Tags: s.tags,
		}
		sample := Sample{Name: s.name, Tags: s.tags}
		data := &messageData{
			idData: idData{Name: s.name, Group: sample.group(), Tags: s.tags}, ID: k.id, Level: staleLevel,
			Peak:     s.peak.String(),
			Previous: s.level.String(), Fields: s.fields, Value: s.fields[r.value], Time: s.last,
			Duration: max(0, s.last.Sub(s.since)), Stale: true, silence: now.Sub(s.heardAt),
		}
		var err error
		if releases, err = e.tell(r, change, data, now, releases); err != nil {
			return releases, err
		}
	}
	return releases, nil
}

func (e *Engine) rule(name string) *rule {
	i := slices.IndexFunc(e.rules, func(r *rule) bool { return r.name == name })
	if i < 0 {
		return nil
	}
	return e.rules[i]
}
