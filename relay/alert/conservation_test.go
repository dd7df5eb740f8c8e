package alert

import (
	"errors"
	"fmt"
	"mime"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// storm is an engine under random metrics, with what should have been told.
type storm struct {
	*desk
	state string
	rules []Rule
	x     uint32

	level   map[string]Level // by rule and host
	changes map[string]int   // by recipient
}

// random gives a number below n.
func (s *storm) random(n int) int {
	s.x = s.x*1664525 + 1013904223
	return int(s.x>>8) % n
}

// metrics gives some samples and notes which changes they make.
func (s *storm) metrics() []Sample {
	batch := make([]Sample, 1+s.random(8))
	for i := range batch {
		host, v := fmt.Sprint("h", s.random(12)), s.random(10)
		batch[i] = Sample{Name: "m", Tags: map[string]string{"host": host}, Fields: map[string]any{"v": int64(v)},
			Time: time.Now()}
		for _, r := range s.rules {
			limit := map[string]int{"low": 5, "high": 8}[r.Name]
			level, k := OK, r.Name+" "+host
			if v >= limit {
				level = Critical
			}
			if level == s.level[k] {
				continue
			}
			s.level[k] = level
			for _, to := range r.To {
				s.changes[to]++
			}
		}
	}
	return batch
}

// restart makes a new engine of the state file and of the mails, all of which still wait.
func (s *storm) restart() {
	waiting := make([]Change, len(s.mails))
	for i, m := range s.mails {
		waiting[i] = m.Change
	}
	e, err := New(s.engine.opts)
	if err == nil {
		err = e.Recover(waiting)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.engine = e
}

// told counts what each recipient was told, one by one and in digests.
func (s *storm) mailed() map[string]int {
	sum := map[string]int{}
	for _, m := range s.mails {
		if m.Change.Digest == "" {
			for _, to := range m.To {
				sum[to]++
			}
			continue
		}
		subject, _ := textOf(s.t, m)
		subject, err := new(mime.WordDecoder).DecodeHeader(subject)
		n := 0
		if _, scanErr := fmt.Sscanf(subject, "Digest of %d alert", &n); err != nil || scanErr != nil || len(m.To) != 1 {
			s.t.Fatalf("a digest for %q with the subject %q", m.To, subject)
		}
		sum[m.To[0]] += n
	}
	return sum
}

// TestNothingIsLostOrToldTwice: every change is told every recipient of its rule exactly
// once, by a mail or as one of a digest, whatever the rates, while the spool is full at
// times and the process starts anew.
func TestNothingIsLostOrToldTwice(t *testing.T) {
	for seed := range uint32(3) {
		synctest.Test(t, func(t *testing.T) {
			rules := []Rule{
				{Name: "low", Crit: "fields.v >= 5", From: "f@example.com", To: []string{"a@example.com",
					"b@example.com"},
					MaxMails: 4, ID: "{{ .Tags.host }}", StaleAfter: 1000 * time.Hour},
				{Name: "high", Crit: "fields.v >= 8", From: "f@example.com", To: []string{"b@example.com",
					"c@example.com"},
					MaxMails: 7, ID: "{{ .Tags.host }}", StaleAfter: 1000 * time.Hour},
			}
			s := &storm{rules: rules, x: seed, level: map[string]Level{}, changes: map[string]int{},
				state: filepath.Join(t.TempDir(), "alert.state")}
			s.desk = newDesk(t, s.state, rules...)
			restarts, failures := 0, 0
			for range 200 {
				time.Sleep(time.Duration(s.random(20)) * time.Second)
				batch := s.metrics()
				for len(batch) > 0 { // as Telegraf does: what had no effect comes again
					s.fail = nil
					if s.random(5) == 0 {
						s.fail = errors.New("no space")
					}
					done, err := s.engine.Apply(batch)
					if (err != nil) != (done < len(batch)) || err != nil && s.fail == nil {
						t.Fatalf("%d of %d samples, %v", done, len(batch), err)
					}
					if err != nil {
						failures++
					}
					batch = batch[done:]
				}
				if err := s.engine.Tick(time.Now()); err != nil && s.fail == nil {
					t.Fatal(err)
				}
				if s.random(25) == 0 {
					s.restart()
					restarts++
				}
			}
			s.fail = nil
			for range 3 { // the last digests
				time.Sleep(4 * time.Minute)
				if err := s.engine.Tick(time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			told, digests := s.mailed(), 0
			for _, m := range s.mails {
				if m.Change.Digest != "" {
					digests++
				}
			}
			for to, n := range s.changes {
				if told[to] != n {
					t.Errorf("seed %d: %s is told %d of %d changes", seed, to, told[to], n)
				}
			}
			if restarts == 0 || failures == 0 || digests < 5 || len(s.mails)-digests < 20 {
				t.Errorf("seed %d: %d restarts, %d failures, %d digests of %d mails: too few to show anything", seed,
					restarts,
					failures, digests, len(s.mails))
			}
		})
	}
}
