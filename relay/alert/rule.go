package alert

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
)

// Rule is what an administrator writes.
type Rule struct {
	// Name is unique among the rules; state is kept under it.
	Name string
	// Where selects samples; empty selects all.
	Where string
	// ID is the template of what has a level; default "{{ .Name }}:{{ .Group }}".
	ID string
	// Message is the template of the mail's text, its first line the subject;
	// default "{{ .ID }} is {{ .Level }}".
	Message string
	// Crit, Warn and Info are the levels' conditions, at least one of them.
	Crit, Warn, Info string
	// CritReset, WarnReset and InfoReset must hold before a level is left
	// downwards; empty: it may be left at once.
	CritReset, WarnReset, InfoReset string
	// From and To are the mail's addresses.
	From string
	To   []string
	// StaleAfter is how long an id that is not OK may be silent before its alert
	// ends; 0: ten times the longest gap between its metrics, at least 5 minutes.
	StaleAfter time.Duration
	// MaxMails are told by a mail of their own in Options.DigestInterval; what is
	// beyond comes in a digest. 0: 10; below zero: all.
	MaxMails int
}

const (
	defaultID      = "{{ .Name }}:{{ .Group }}"
	defaultMessage = "{{ .ID }} is {{ .Level }}"

	maxIDSize      = 1 << 10  // octets of an id
	maxMessageSize = 64 << 10 // octets of a message

	defaultMaxMails = 10
)

// rule is a Rule made ready.
type rule struct {
	name        string
	where       *expression
	id, message *textTemplate
	levels      [Critical + 1]*expression
	resets      [Critical + 1]*expression
	value       string // the field that .Value shows
	from        address.Address
	to          []address.Address
	staleAfter  time.Duration
	maxMails    int

	source Rule
	seen   watch
}

func newRule(r Rule) (*rule, error) {
	out := &rule{name: r.Name, staleAfter: r.StaleAfter, maxMails: cmp.Or(r.MaxMails, defaultMaxMails), source: r}
	if r.Name == "" {
		return nil, errors.New("name is empty: expected one that no other alert has")
	}
	var err error
	for _, e := range []struct {
		option, text string
		to           **expression
	}{
		{"where", r.Where, &out.where},
		{"crit", r.Crit, &out.levels[Critical]}, {"crit_reset", r.CritReset, &out.resets[Critical]},
		{"warn", r.Warn, &out.levels[Warning]}, {"warn_reset", r.WarnReset, &out.resets[Warning]},
		{"info", r.Info, &out.levels[Info]}, {"info_reset", r.InfoReset, &out.resets[Info]},
	} {
		if *e.to, err = compile(e.option, e.text); err != nil {
			return nil, err
		}
	}
	if err := out.checkLevels(); err != nil {
		return nil, err
	}
	if out.id, err = parseTemplate("id", r.ID, defaultID); err != nil {
		return nil, err
	}
	if out.message, err = parseTemplate("message", r.Message, defaultMessage); err != nil {
		return nil, err
	}
	if out.from, err = address.ParseConfigured(r.From); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	for _, s := range r.To {
		a, err := address.ParseConfigured(s)
		if err != nil {
			return nil, fmt.Errorf("to: %w", err)
		}
		out.to = append(out.to, a)
	}
	switch {
	case len(out.to) == 0:
		return nil, errors.New("to is empty: expected at least one address")
	case r.StaleAfter < 0:
		return nil, fmt.Errorf("stale_after is %s: expected a time above zero", r.StaleAfter)
	}
	return out, nil
}

func (r *rule) checkLevels() error {
	any := false
	for level := Critical; level > OK; level-- {
		if r.levels[level] == nil {
			if r.resets[level] != nil {
				return fmt.Errorf("a reset for %s without its condition", level)
			}
			continue
		}
		any = true
		if r.value == "" && len(r.levels[level].fields) > 0 {
			r.value = r.levels[level].fields[0]
		}
	}
	if !any {
		return errors.New("crit, warn and info are all empty: expected at least one condition")
	}
	return nil
}

// idData is what an id template sees.
type idData struct {
	Name  string
	Group string
	Tags  map[string]string
}

// messageData is what a message template sees.
type messageData struct {
	idData
	ID       string
	Level    string
	Peak     string // the worst since OK was left
	Previous string
	Fields   map[string]any
	Value    any           // of the first field that the conditions refer to
	Time     time.Time     // of the sample
	Duration time.Duration // since OK was left
	Stale    bool          // the alert ends because no metric has come

	silence time.Duration // of a stale id
}

// nextLevel gives the level of a sample after the current one: the highest that
// holds at or above it; else the current one while its reset does not hold; else
// the highest that holds below; else OK.
func (r *rule) nextLevel(current Level, vars map[string]any) (Level, error) {
	for level := Critical; level > OK && level >= current; level-- {
		if holds, err := r.levels[level].holds(vars); holds || err != nil {
			return level, err
		}
	}
	if reset := r.resets[current]; reset != nil {
		if holds, err := reset.holds(vars); !holds || err != nil {
			return current, err
		}
	}
	for level := current - 1; level > OK; level-- {
		if holds, err := r.levels[level].holds(vars); holds || err != nil {
			return level, err
		}
	}
	return OK, nil
}
