package monitor

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

type lines []string

func (l *lines) Errorf(f string, a ...any) { *l = append(*l, "E "+fmt.Sprintf(f, a...)) }
func (l *lines) Warnf(f string, a ...any)  { *l = append(*l, "W "+fmt.Sprintf(f, a...)) }
func (l *lines) Infof(f string, a ...any)  { *l = append(*l, "I "+fmt.Sprintf(f, a...)) }
func (l *lines) Debugf(f string, a ...any) { *l = append(*l, "D "+fmt.Sprintf(f, a...)) }

func TestLimitedWarnf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		m := New(&log, nil)
		for range 5 {
			m.LimitedWarnf("a", "first %d", 1)
		}
		m.LimitedWarnf("b", "other")
		time.Sleep(2 * time.Minute)
		m.LimitedWarnf("a", "first %d", 2)
		want := "[W first 1 W other W first 2 (and 4 more like this)]"
		if got := fmt.Sprint(log); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// The keys hold peers' addresses, so their number must be bounded.
func TestLimitedKeysAreBounded(t *testing.T) {
	m := New(&lines{}, nil)
	for i := range 3 * maxLimited {
		m.LimitedWarnf(fmt.Sprint(i), "x")
	}
	if len(m.limited) > maxLimited {
		t.Errorf("%d keys", len(m.limited))
	}
}

func TestCounts(t *testing.T) {
	var hooked int64
	m := New(nil, func(_ Event, _ string, n int64) { hooked += n })
	m.Count(Refused, "network")
	m.Add(Refused, "domain", 2)
	m.Count(Accepted, "")
	if m.Total(Refused) != 3 || m.Get(Refused, "domain") != 2 || hooked != 4 {
		t.Errorf("%d, %d, %d", m.Total(Refused), m.Get(Refused, "domain"), hooked)
	}
	var none *Monitor
	none.Count(Accepted, "")
	none.Errorf("x")
	none.LimitedWarnf("x", "y")
}

func TestMailsWait(t *testing.T) {
	for n, want := range map[int]string{0: "0 mails wait", 1: "1 mail waits", 2: "2 mails wait"} {
		if got := MailsWait(n); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
