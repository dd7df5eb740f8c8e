package alert

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"text/template"
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
}

const (
	defaultID      = "{{ .Name }}:{{ .Group }}"
	defaultMessage = "{{ .ID }} is {{ .Level }}"

	maxIDSize      = 1 << 10  // octets of an id
	maxMessageSize = 64 << 10 // octets of a message
)

// rule is a Rule made ready.
type rule struct {
	name        string
	where       *expression
	id, message *template.Template
	levels      [Critical + 1]*expression
	resets      [Critical + 1]*expression
	value       string // the field that .Value shows
	from        address.Address
	to          []address.Address
}

func newRule(r Rule) (*rule, error) {
	out := &rule{name: r.Name}
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
	if len(out.to) == 0 {
		return nil, errors.New("to is empty: expected at least one address")
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

// parseTemplate parses a template and tries it, so that a name that does not exist
// shows at once. Other errors may depend on the data and show when it comes.
func parseTemplate(option, text, standard string) (*template.Template, error) {
	if text == "" {
		text = standard
	}
	t, err := template.New(option).Option("missingkey=zero").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	var data any = idData{}
	if option == "message" {
		data = messageData{}
	}
	if _, err := render(t, data, maxMessageSize); err != nil && strings.Contains(err.Error(), "can't evaluate field") {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	return t, nil
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
}

var errTooLong = errors.New("the text is too long")

// render runs a template into at most limit octets.
func render(t *template.Template, data any, limit int) (string, error) {
	w := &limitedBuffer{limit: limit}
	if err := t.Execute(w, data); err != nil {
		return "", err
	}
	return strings.ToValidUTF8(w.String(), "?"), nil
}

type limitedBuffer struct {
	bytes.Buffer
	limit int
}

// Write implements io.Writer.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.limit {
		return 0, fmt.Errorf("%w: over %d octets", errTooLong, b.limit)
	}
	return b.Buffer.Write(p)
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
