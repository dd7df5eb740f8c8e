package alert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// plan is a rule about whole numbers, said twice: as conditions, and as plain Go.
type plan struct {
	at    [Critical + 1]int // a level's condition is v >= at; 0: it has none
	leave [Critical + 1]int // its reset is v < leave; 0: it has none
}

// next is the sentence of the README: the highest level whose condition holds at or above
// the current one; else the current one while its reset is given and false; else the
// highest that holds below; else OK.
func (p *plan) next(current Level, v int) Level {
	holding := OK
	for level := Info; level <= Critical; level++ {
		if p.at[level] > 0 && v >= p.at[level] {
			holding = level
		}
	}
	switch {
	case holding > OK && holding >= current:
		return holding
	case p.leave[current] > 0 && v >= p.leave[current]:
		return current
	}
	below := OK
	for level := Info; level < current; level++ {
		if p.at[level] > 0 && v >= p.at[level] {
			below = level
		}
	}
	return below
}

func (p *plan) rule(t *testing.T) *rule {
	t.Helper()
	condition := func(sign string, limit int) string {
		if limit == 0 {
			return ""
		}
		return fmt.Sprintf("fields.v %s %d", sign, limit)
	}
	r, err := newRule(Rule{Name: "r", From: "f@example.com", To: []string{"t@example.com"},
		Info: condition(">=", p.at[Info]), Warn: condition(">=", p.at[Warning]), Crit: condition(">=", p.at[Critical]),
		InfoReset: condition("<", p.leave[Info]), WarnReset: condition("<", p.leave[Warning]),
		CritReset: condition("<", p.leave[Critical])})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEveryStep compares each step from each level by each value with the sentence, for
// rules with and without each level and each reset, also with levels in an odd order.
func TestEveryStep(t *testing.T) {
	steps := 0
	for _, at := range [][3]int{{2, 4, 6}, {0, 4, 6}, {2, 0, 6}, {2, 4, 0}, {6, 4, 2}, {0, 0, 4}, {4, 4, 4}} {
		for resets := range 8 {
			p := &plan{}
			for i, limit := range at {
				p.at[i+1] = limit
				if limit > 0 && resets>>i&1 == 1 {
					p.leave[i+1] = max(1, limit-2)
				}
			}
			r := p.rule(t)
			for current := OK; current <= Critical; current++ {
				for v := range 9 {
					s := sample(0, int64(v))
					got, err := r.nextLevel(current, s.vars())
					if want := p.next(current, v); err != nil || got != want {
						t.Errorf("levels from %v, resets below %v: %s with %d becomes %s, %v, want %s", p.at, p.leave,
							current, v,
							got, err, want)
					}
					steps++
				}
			}
		}
	}
	if steps != 7*8*4*9 {
		t.Errorf("%d steps were tried", steps)
	}
}

// TestMailsFollowLevels: whatever the values, a mail is sent for each change of level of
// each id and for nothing else, with the level before, the worst level and the time.
func TestMailsFollowLevels(t *testing.T) {
	p := &plan{at: [4]int{0, 2, 4, 6}, leave: [4]int{0, 0, 3, 5}}
	d := newDesk(t, "", Rule{Name: "r", From: "f@example.com", To: []string{"t@example.com"}, MaxMails: -1,
		ID: "{{ .Tags.host }}", Info: "fields.v >= 2", Warn: "fields.v >= 4", Crit: "fields.v >= 6",
		WarnReset: "fields.v < 3", CritReset: "fields.v < 5",
		Message: "{{ .ID }} {{ .Previous }} {{ .Level }} {{ .Peak }} {{ .Value }}"})
	d.engine.limits = newLimits(-1, time.Minute)
	current, worst := map[string]Level{}, map[string]Level{}
	var want []string
	x := uint32(1)
	for second := range 400 {
		x = x*1664525 + 1013904223
		host, v := fmt.Sprint("h", x>>16%3), int(x>>24%8)
		s := sample(second, int64(v))
		s.Tags = map[string]string{"host": host}
		d.apply(s)
		next := p.next(current[host], v)
		if next == current[host] {
			continue
		}
		worst[host] = max(worst[host], next)
		want = append(want, fmt.Sprintf("%s %s %s %s %d", host, current[host], next, worst[host], v))
		if current[host] = next; next == OK {
			worst[host] = OK
		}
	}
	var got []string
	for _, m := range d.mails {
		got = append(got, m.Change.Text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("told is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(want) < 100 || d.freed != len(want) {
		t.Errorf("%d changes, %d mails let go", len(want), d.freed)
	}
}
