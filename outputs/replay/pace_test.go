package replay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestPace: how long a hundred flows take that came in over 99 seconds, and how often
// what waits is sent on the way.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		name    string
		pace    Pace
		want    time.Duration
		flushes int
	}{
		{"as fast as possible", Pace{}, 0, 0},
		{"original", Pace{Speed: 1}, 99 * time.Second, 99},
		{"twenty times as fast", Pace{Speed: 20}, 99 * time.Second / 20, 0},
		{"at a rate", Pace{Rate: 50}, 99 * time.Second / 50, 0},
		{"at a slow rate", Pace{Rate: 2}, 99 * time.Second / 2, 99},
		{"with a delay", Pace{Delay: 10 * time.Microsecond}, 990 * time.Microsecond, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, started, flushes := pacer{Pace: c.pace}, time.Now(), 0
			for i := range 100 {
				err := p.wait(t.Context(), sentAt+flow.Time(i)*1e9, func() error {
					flushes++
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				p.sent()
			}
			if took := time.Since(started).Round(time.Microsecond); took != c.want || flushes != c.flushes {
				t.Errorf("%s: %s and %d flushes, expected %s and %d", c.name, took, flushes, c.want, c.flushes)
			}
		})
	}
}

// A clock that was set back while flows came in makes no pause, and no haste behind it.
func TestPaceOfAClockThatWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, started := pacer{Pace: Pace{Speed: 1}}, time.Now()
		for _, second := range []int{0, 10, 4, 5, 12} {
			if err := p.wait(t.Context(), sentAt+flow.Time(second)*1e9, nil); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(started); took != 12*time.Second {
			t.Errorf("it took %s, expected 12 s", took)
		}
	})
}

// The end of a run ends a pause.
func TestPaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p := pacer{Pace: Pace{Speed: 1}}
		p.wait(ctx, sentAt, nil)
		if err := p.wait(ctx, sentAt+1e12, nil); err == nil {
			t.Error("a pause of a quarter of an hour did not end")
		}
	})
}
