package monitor

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// safeLines is a log that several goroutines write to.
type safeLines struct {
	mu   sync.Mutex
	list lines
}

func (l *safeLines) Errorf(f string, a ...any) { l.add("E "+f, a) }
func (l *safeLines) Warnf(f string, a ...any)  { l.add("W "+f, a) }
func (l *safeLines) Infof(f string, a ...any)  { l.add("I "+f, a) }
func (l *safeLines) Debugf(f string, a ...any) { l.add("D "+f, a) }

func (l *safeLines) add(f string, a []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, fmt.Sprintf(f, a...))
}

// Whoever counts, and whoever asks meanwhile: no count is lost, and the hook hears of each.
func TestNoCountIsLost(t *testing.T) {
	var mu sync.Mutex
	hooked := map[string]int64{}
	m := New(nil, func(e Event, reason string, n int64) {
		mu.Lock()
		defer mu.Unlock()
		hooked[string(e)+" "+reason] += n
	})
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 500 {
				m.Count(Refused, fmt.Sprint("reason ", i%5))
				m.Add(AcceptedBytes, "", int64(worker))
				m.Count(Accepted, "")
				m.Total(Refused)
				m.Get(Accepted, "")
			}
		})
	}
	all.Wait()
	for reason := range 5 {
		if got := m.Get(Refused, fmt.Sprint("reason ", reason)); got != 800 {
			t.Errorf("reason %d: %d, want 800", reason, got)
		}
	}
	if m.Total(Refused) != 4000 || m.Total(Accepted) != 4000 || m.Total(AcceptedBytes) != 500*28 || m.Total(Bounced) != 0 {
		t.Errorf("%d refused, %d accepted, %d octets", m.Total(Refused), m.Total(Accepted), m.Total(AcceptedBytes))
	}
	if hooked["refused reason 3"] != 800 || hooked["accepted "] != 4000 || hooked["accepted_bytes "] != 500*28 {
		t.Errorf("the hook has heard %v", hooked)
	}
}

// Of lines that are limited each is either logged or told as left out, however many write.
func TestNoLineIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &safeLines{}
		m := New(log, nil)
		const rounds, workers, each = 4, 5, 30
		for range rounds {
			var all sync.WaitGroup
			for range workers {
				all.Go(func() {
					for range each {
						m.LimitedErrorf("disk", "the disk is full")
					}
				})
			}
			all.Wait()
			time.Sleep(logEvery)
		}
		m.LimitedErrorf("disk", "the disk is full")
		told := 0
		for _, line := range log.list {
			n := 0
			if _, more, ok := strings.Cut(line, " (and "); ok {
				if _, err := fmt.Sscanf(more, "%d more like this)", &n); err != nil {
					t.Errorf("%q: %v", line, err)
				}
			}
			if !strings.HasPrefix(line, "E the disk is full") {
				t.Errorf("%q", line)
			}
			told += 1 + n
		}
		if want := rounds*workers*each + 1; told != want || len(log.list) != rounds+1 {
			t.Errorf("%d lines tell of %d, want %d of %d", len(log.list), told, rounds+1, want)
		}
	})
}

// A key is quiet for a minute behind its last line, not behind the first, and no other key
// with it.
func TestMinutesOfKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &safeLines{}
		m := New(log, nil)
		for _, step := range []struct {
			after time.Duration
			key   string
			lines int // in all
		}{{0, "a", 1}, {logEvery - 1, "a", 1}, {0, "b", 2}, {1, "a", 3}, {logEvery - 1, "a", 3}, {0, "b", 4}, {1, "a", 5},
			{0, "a", 5}, {10 * logEvery, "a", 6}} {
			time.Sleep(step.after)
			if m.LimitedWarnf(step.key, "%s", step.key); len(log.list) != step.lines {
				t.Errorf("%+v: %d lines: %q", step, len(log.list), log.list)
			}
		}
	})
}

// Lines have their level, and where a monitor is redirected they and the counts go elsewhere,
// while what was counted stays.
func TestLinesAndCountsGoElsewhere(t *testing.T) {
	first, second := &safeLines{}, &safeLines{}
	var hooks []string
	hook := func(name string) func(Event, string, int64) {
		return func(e Event, reason string, n int64) {
			if n != 0 {
				hooks = append(hooks, fmt.Sprint(name, " ", e, " ", n))
			}
		}
	}
	a, b := New(first, hook("a")), New(second, hook("b"))
	say := func(m *Monitor) {
		m.Errorf("%d", 1)
		m.Warnf("%d", 2)
		m.Infof("%d", 3)
		m.Debugf("%d", 4)
	}
	say(a)
	a.Add(Failed, "x", 2)
	a.Redirect(b)
	say(a)
	a.Add(Failed, "x", 3)
	a.Redirect(nil)
	(*Monitor)(nil).Redirect(b)
	const want = "[E 1 W 2 I 3 D 4]"
	if fmt.Sprint(first.list) != want || fmt.Sprint(second.list) != want ||
		fmt.Sprint(hooks) != "[a failed 2 b failed 3]" {
		t.Errorf("%q, %q, %q", first.list, second.list, hooks)
	}
	if a.Get(Failed, "x") != 5 || b.Get(Failed, "x") != 0 {
		t.Errorf("%d and %d", a.Get(Failed, "x"), b.Get(Failed, "x"))
	}
	a.Redirect(New(nil, nil)) // nowhere
	say(a)
	a.LimitedErrorf("k", "x")
	a.Count(Failed, "x")
	if len(first.list)+len(second.list) != 8 || len(hooks) != 2 || a.Total(Failed) != 6 {
		t.Errorf("%q, %q, %q, %d", first.list, second.list, hooks, a.Total(Failed))
	}
}

// A reason becomes labels: of what is put off the host and the code, else the reason alone.
func TestLabelsOfReasons(t *testing.T) {
	for _, c := range []struct {
		event  Event
		reason string
		want   map[string]string
	}{
		{Deferred, "mx.example.com:25 451", map[string]string{"host": "mx.example.com:25", "code": "451"}},
		{Deferred, "mx.example.com 0 x", map[string]string{"host": "mx.example.com", "code": "0 x"}},
		{Deferred, "mx.example.com", map[string]string{"host": "mx.example.com", "code": ""}},
		{Deferred, "", map[string]string{"host": "", "code": ""}},
		{Refused, "not allowed", map[string]string{"reason": "not allowed"}},
		{Refused, "", nil}, {Accepted, "", nil},
	} {
		if got := c.event.Labels(c.reason); !maps.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s %q: %v, want %v", c.event, c.reason, got, c.want)
		}
	}
}
