package alert

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// tick lets the time pass second by second.
func (d *desk) tick(length time.Duration) {
	d.t.Helper()
	for range length / time.Second {
		time.Sleep(time.Second)
		if err := d.engine.Tick(time.Now()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// now makes a sample of this moment.
func now(host string, value any) Sample {
	return Sample{Name: "m", Tags: map[string]string{"host": host}, Fields: map[string]any{"v": value},
		Time: time.Now()}
}

func (d *desk) words() string {
	var out []string
	for _, m := range d.mails {
		out = append(out, m.Change.word())
	}
	return strings.Join(out, " ")
}

// An alert ends when its series falls silent: after stale_after, or after what fits
// the interval of its metrics.
func TestSilenceEndsAnAlert(t *testing.T) {
	for _, tt := range []struct {
		name     string
		after    time.Duration // of the rule
		interval time.Duration
		metrics  int
		silent   time.Duration // for so long nothing happens
	}{
		{"the rule's", 90 * time.Second, time.Minute, 3, 89 * time.Second},
		{"ten times the interval", 0, time.Minute, 3, 10*time.Minute - time.Second},
		{"five minutes at least", 0, 10 * time.Second, 9, 5*time.Minute - time.Second},
		{"many at a time", 0, 0, 50, time.Hour - time.Second},
		{"one metric only", 0, time.Minute, 1, time.Hour - time.Second},
		{"an hourly metric", 0, time.Hour, 2, 10*time.Hour - time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, "", testRule(func(r *Rule) {
					r.StaleAfter = tt.after
					r.Message = "{{ .ID }} is {{ .Level }} at {{ bytes .Value }} on {{ .Tags.host }}, was {{ " +
						".Previous }}, {{ .Stale }}"
				}))
				for i := range tt.metrics {
					if i > 0 {
						time.Sleep(tt.interval)
					}
					d.apply(now("a", int64(90+i)))
				}
				last := time.Now()
				d.tick(tt.silent)
				if got := d.words(); got != "CRITICAL" {
					t.Fatalf("after %s: %q", tt.silent, got)
				}
				d.tick(2 * time.Second)
				if got := d.words(); got != "CRITICAL STALE" || d.freed != 2 {
					t.Fatalf("after %s: %q, %d released", tt.silent+2*time.Second, got, d.freed)
				}
				title, body := textOf(t, d.mails[1])
				if !strings.HasPrefix(title, "m:host=a is STALE at ") ||
					!strings.HasSuffix(title, " B on a, was CRITICAL, true") {
					t.Errorf("subject %q", title)
				}
				body = strings.Join(strings.Fields(strings.ReplaceAll(body, "=\r\n", "")), " ")
				if want := "the last one was of " + last.UTC().Format(time.RFC3339) +
					". Whether it is still CRITICAL is not known"; !strings.Contains(body, want) {
					t.Errorf("the mail lacks %q:\n%s", want, body)
				}
				d.tick(3 * time.Hour)
				d.apply(now("a", 1.0)) // it is OK already
				d.apply(now("a", 99.0))
				if got := d.words(); got != "CRITICAL STALE CRITICAL" {
					t.Errorf("when it comes back: %q", got)
				}
			})
		})
	}
}

// A series that goes on is not stale, whether its level changes or not, and one that
// its rule does not select any more is.
func TestWhatIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "", testRule(func(r *Rule) { r.Where, r.StaleAfter = "has(fields.v)", time.Minute }))
		d.apply(now("a", 90.0), now("b", 90.0))
		for range 20 {
			d.tick(30 * time.Second)
			silent := now("b", nil)
			silent.Fields = map[string]any{"other": 1.0}
			d.apply(now("a", 95.0), silent)
		}
		if got := d.words(); got != "CRITICAL CRITICAL STALE" || d.mails[2].Change.ID != "m:host=b" {
			t.Errorf("got %q", got)
		}
	})
}

// A restart neither ends an alert nor keeps it for ever, and the mail still knows
// the series.
func TestSilenceOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := filepath.Join(t.TempDir(), "alert.state")
		rule := testRule(func(r *Rule) {
			r.StaleAfter, r.Message = 10*time.Minute, "{{ .Tags.host }} of {{ .Name }}: {{ .Level }}"
		})
		d := newDesk(t, state, rule)
		d.apply(now("a", 90.0))
		time.Sleep(24 * time.Hour) // the agent is down
		d = newDesk(t, state, rule)
		d.tick(9 * time.Minute)
		if got := d.words(); got != "" {
			t.Fatalf("nine minutes after the start: %q", got)
		}
		d.tick(2 * time.Minute)
		if got := d.words(); got != "STALE" {
			t.Fatalf("eleven minutes after the start: %q", got)
		}
		if title, _ := textOf(t, d.mails[0]); title != "a of m: STALE" {
			t.Errorf("subject %q", title)
		}
		d = newDesk(t, state, rule)
		d.tick(time.Hour)
		if got := d.words(); got != "" {
			t.Errorf("it is told again after a restart: %q", got)
		}
	})
}

// The end of an alert that cannot be stored is tried again.
func TestSilenceWhileTheSpoolIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "", testRule(func(r *Rule) { r.StaleAfter = time.Minute }))
		d.apply(now("a", 90.0))
		time.Sleep(2 * time.Minute)
		d.fail = errFull
		for range 20 { // more often than the limit of mails
			if err := d.engine.Tick(time.Now()); err == nil {
				t.Fatal("no error although nothing is stored")
			}
		}
		d.fail = nil
		d.tick(time.Second)
		if got := d.words(); got != "CRITICAL STALE" {
			t.Errorf("got %q", got)
		}
	})
}
