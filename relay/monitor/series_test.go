package monitor

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Series have the labels that dashboards group by: host and code of what was put off, the
// reason of all else, none without one.
func TestLabelsOfSeries(t *testing.T) {
	for _, c := range []struct {
		event  Event
		reason string
		want   map[string]string
	}{
		{Deferred, "mx.example.com:25 450", map[string]string{"host": "mx.example.com:25", "code": "450"}},
		{Deferred, "mx.example.com:25 0", map[string]string{"host": "mx.example.com:25", "code": "0"}},
		{Deferred, "mx.example.com:25", map[string]string{"host": "mx.example.com:25", "code": ""}},
		{Refused, "network", map[string]string{"reason": "network"}},
		{Refused, "a b", map[string]string{"reason": "a b"}},
		{Accepted, "", nil},
	} {
		if got := c.event.Labels(c.reason); !maps.Equal(got, c.want) {
			t.Errorf("%s %q has the labels %v, want %v", c.event, c.reason, got, c.want)
		}
	}
}

// A counter that has not happened yet is there with 0, so that a rate has its first
// value: an alert on bounces must see the first one.
func TestCountersBeginWithZero(t *testing.T) {
	first := map[Event]int64{}
	m := New(nil, func(e Event, reason string, n int64) {
		if reason != "" || n != 0 {
			t.Errorf("%s %q begins with %d", e, reason, n)
		}
		first[e]++
	})
	for _, e := range []Event{Accepted, AcceptedBytes, Connections, Delivered, LatencyMS, PutOff, Bounced} {
		if first[e] != 1 || m.Get(e, "") != 0 || m.Total(e) != 0 {
			t.Errorf("%s is told %d times, and is %d", e, first[e], m.Total(e))
		}
	}
}

// Lines go where they belong, with their level; after Redirect those of the old go to the
// new one, counts too: the plugin of a reloaded configuration has another logger.
func TestRedirect(t *testing.T) {
	var before, after lines
	counted := map[string]int64{}
	m := New(&before, nil)
	other := New(&after, func(e Event, reason string, n int64) { counted[string(e)+reason] += n })
	logAll := func() {
		m.Errorf("e %d", 1)
		m.Warnf("w %d", 2)
		m.Infof("i %d", 3)
		m.Debugf("d %d", 4)
		m.LimitedErrorf(fmt.Sprint(len(after)), "l %d", 5)
	}
	logAll()
	m.Redirect(nil)
	m.Count(Refused, "x")
	m.Redirect(other)
	logAll()
	m.Add(Refused, "x", 4)
	const want = "[E e 1 W w 2 I i 3 D d 4 E l 5]"
	if fmt.Sprint(before) != want || fmt.Sprint(after) != want {
		t.Errorf("before %v, after %v, want %s each", before, after, want)
	}
	if counted["refusedx"] != 4 || m.Get(Refused, "x") != 5 || m.Get(Refused, "y") != 0 {
		t.Errorf("counted %v; together %d", counted, m.Get(Refused, "x"))
	}
	var none *Monitor
	none.Redirect(other)
	none.LimitedErrorf("k", "x")
	none.Warnf("x")
	none.Infof("x")
	none.Debugf("x")
	New(nil, nil).LimitedErrorf("k", "x")
	if fmt.Sprint(after) != want {
		t.Errorf("nobody's lines: %v", after)
	}
}

// A minute is a minute: the line that comes just before its end is left out and counted,
// the one at its end is written with the number, and the count begins anew.
func TestAMinuteOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		m := New(&log, nil)
		for _, wait := range []time.Duration{0, time.Minute - 1, 1, time.Minute, 30 * time.Second, 30 * time.Second} {
			time.Sleep(wait)
			m.LimitedErrorf("a", "x")
		}
		const want = "[E x E x (and 1 more like this) E x E x (and 1 more like this)]"
		if got := fmt.Sprint(log); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// Counters of many goroutines at once add up.
func TestCountsOfManyGoroutines(t *testing.T) {
	m := New(nil, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 500 {
				m.Count(Refused, fmt.Sprint(i%4))
				m.Add(LatencyMS, "", 3)
			}
		})
	}
	wg.Wait()
	if m.Total(Refused) != 4000 || m.Get(Refused, "3") != 1000 || m.Total(LatencyMS) != 12000 {
		t.Errorf("%d, %d and %d", m.Total(Refused), m.Get(Refused, "3"), m.Total(LatencyMS))
	}
}
