package alert

import (
	"slices"
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	var b bucket
	now := time.Unix(1000, 0)
	take := func(after time.Duration) (n int) {
		now = now.Add(after)
		for b.takeToken(now, 5, time.Minute) {
			n++
		}
		return n
	}
	for i, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 5}, {0, 0}, {12 * time.Second, 1}, {30 * time.Second, 2}, {time.Hour, 5}, {-time.Hour, 0}} {
		if got := take(tt.after); got != tt.want {
			t.Errorf("step %d: %d after %s, want %d", i, got, tt.after, tt.want)
		}
	}
	for range 1000 {
		if !b.takeToken(now, -1, time.Minute) {
			t.Fatal("a limit below zero is one")
		}
	}
}

// A recipient that has had enough does not keep others from their mail, and a rule
// that has does not take what recipients have left.
func TestSplit(t *testing.T) {
	compile := func(name string, most int, to ...string) *rule {
		r, err := newRule(testRule(func(r *Rule) { r.Name, r.MaxMails, r.To = name, most, to }))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	l := newLimits(3, time.Minute)
	now := time.Unix(1000, 0)
	flood, other := compile("flood", 2, "a@example.com"), compile("other", 100, "a@example.com", "b@example.com")
	for i, tt := range []struct {
		rule         *rule
		direct, held []string
	}{
		{flood, []string{"a@example.com"}, nil},
		{flood, []string{"a@example.com"}, nil},
		{flood, nil, []string{"a@example.com"}},
		{other, []string{"a@example.com", "b@example.com"}, nil},
		{other, []string{"b@example.com"}, []string{"a@example.com"}},
	} {
		direct, held := l.split(tt.rule, now)
		if !slices.Equal(direct, tt.direct) || !slices.Equal(held, tt.held) {
			t.Errorf("step %d: %q and %q, want %q and %q", i, direct, held, tt.direct, tt.held)
		}
	}
	direct, _ := l.split(other, now)
	l.giveBack(other, direct)
	if again, _ := l.split(other, now); !slices.Equal(again, direct) {
		t.Errorf("given back %q, got %q", direct, again)
	}
}
