package alert

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// Options configure an Engine.
type Options struct {
	// Rules are evaluated in their order for every sample.
	Rules []Rule
	// Hostname is the right side of Message-IDs.
	Hostname string
	// StateFile keeps the levels; it is replaced atomically.
	StateFile string
	// Hold puts a mail on stable storage, not delivering it before release is
	// called or the process starts anew.
	Hold func(mail *Mail) (release func(), err error)
	// MaxIDs bounds the ids that are not OK at a time, over all rules; default
	// 100,000. Changes of further ids are ignored, counted and logged.
	MaxIDs int
	// Monitor counts and logs; may be nil.
	Monitor *monitor.Monitor
}

const (
	defaultMaxIDs = 100_000
	stateVersion  = 1
)

// Engine evaluates rules. Its methods must not be called at the same time.
type Engine struct {
	opts  Options
	rules []*rule
	// alight has what is not OK; what is not in it is OK.
	alight map[key]status
	seq    uint64 // of the newest change
	dirty  bool   // the state file is older than alight
}

type key struct{ rule, id string }

// status is the level of an id that is not OK.
type status struct {
	level, peak Level
	since       time.Time // when OK was left
}

// New compiles the rules without touching the disk. The error names rule and
// option.
func New(opts Options) (*Engine, error) {
	if opts.MaxIDs == 0 {
		opts.MaxIDs = defaultMaxIDs
	}
	e := &Engine{opts: opts, alight: map[key]status{}}
	names := map[string]bool{}
	for i, r := range opts.Rules {
		compiled, err := newRule(r)
		if err != nil {
			return nil, fmt.Errorf("alert %d %q: %w", i+1, r.Name, err)
		}
		if names[r.Name] {
			return nil, fmt.Errorf("alert %d %q: name is used twice: expected one that no other alert has", i+1, r.Name)
		}
		names[r.Name] = true
		e.rules = append(e.rules, compiled)
	}
	return e, nil
}

// stateFile is the form of the levels on disk.
type stateFile struct {
	Version int      `json:"version"`
	Seq     uint64   `json:"seq"` // of the newest change it knows
	Alight  []Change `json:"alight"`
}

// maxState is the size in octets of a state file that is read.
const maxState = 256 << 20

// Recover reads the state file and completes it from the changes of the mails that
// wait in the spool. It is called before Apply. A damaged state file is set aside,
// logged and counted, and the levels start from the waiting mails.
func (e *Engine) Recover(waiting []Change) error {
	clear(e.alight)
	e.seq = 0
	b, err := storage.ReadFile(e.opts.StateFile, maxState)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("alert state: %w", err)
	}
	if err == nil {
		var state stateFile
		if err := json.Unmarshal(b, &state); err != nil || state.Version != stateVersion {
			aside := e.opts.StateFile + ".corrupt"
			e.opts.Monitor.Count(monitor.Corrupt, "alert state")
			e.opts.Monitor.Errorf("alert state %s is damaged (%v); set aside as %s", e.opts.StateFile, err, aside)
			if err := os.Rename(e.opts.StateFile, aside); err != nil {
				return fmt.Errorf("alert state: %w", err)
			}
			state = stateFile{}
		}
		e.seq = state.Seq
		for _, c := range state.Alight {
			e.restore(c)
		}
	}
	waiting = slices.Clone(waiting)
	slices.SortFunc(waiting, func(a, b Change) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, c := range waiting {
		if c.Seq > e.seq {
			e.restore(c)
			e.seq = c.Seq
		}
	}
	return nil
}

// restore takes a change over as it was decided earlier.
func (e *Engine) restore(c Change) {
	k := key{c.Rule, c.ID}
	switch {
	case !slices.ContainsFunc(e.rules, func(r *rule) bool { return r.name == c.Rule }):
		e.opts.Monitor.Infof("alert state: %q of alert %q is forgotten: there is no such alert any more", c.ID, c.Rule)
	case c.Level <= OK || c.Level > Critical:
		delete(e.alight, k)
	default:
		e.alight[k] = status{c.Level, max(c.Level, min(c.Peak, Critical)), c.Since}
	}
}

// save replaces the state file.
func (e *Engine) save() error {
	state := stateFile{Version: stateVersion, Seq: e.seq, Alight: make([]Change, 0, len(e.alight))}
	for k, s := range e.alight {
		state.Alight = append(state.Alight, Change{Rule: k.rule, ID: k.id, Level: s.level, Peak: s.peak, Since: s.since})
	}
	slices.SortFunc(state.Alight, func(a, b Change) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.ID, b.ID))
	})
	b, err := json.MarshalIndent(state, "", " ")
	if err != nil {
		return fmt.Errorf("alert state: %w", err)
	}
	if err := storage.WriteFile(e.opts.StateFile, append(b, '\n')); err != nil {
		return fmt.Errorf("alert state: %w", err)
	}
	return nil
}

// Apply evaluates the rules for samples, in their order. When it returns, the mails
// of all changes are on stable storage. done is how many samples have had their
// effect: all of them without an error; with one, those from done on should be
// applied again later.
func (e *Engine) Apply(samples []Sample) (done int, err error) {
	var releases []func()
	before := e.seq
	for done = range samples {
		if releases, err = e.applyOne(&samples[done], releases); err != nil {
			break
		}
	}
	if err == nil {
		done = len(samples)
	}
	if e.seq != before || e.dirty {
		saveErr := e.save()
		e.dirty = saveErr != nil
		if saveErr != nil { // the mails go nevertheless; the next Apply saves again
			e.opts.Monitor.Count(monitor.SpoolErrors, "alert state")
			e.opts.Monitor.Errorf("%v; after a crash now, changes of level may be told again", saveErr)
		}
	}
	for _, release := range releases {
		release()
	}
	return done, err
}

// applyOne runs one sample through all rules.
func (e *Engine) applyOne(s *Sample, releases []func()) ([]func(), error) {
	vars := s.vars()
	for _, r := range e.rules {
		change, data, err := e.evaluate(r, s, vars)
		switch {
		case errors.Is(err, errNoValue):
			e.opts.Monitor.Count(monitor.AlertNoValue, r.name)
			continue
		case err != nil:
			e.opts.Monitor.Count(monitor.AlertErrors, r.name)
			e.opts.Monitor.LimitedWarnf("alert "+r.name, "alert %q on metric %q: %v", r.name, s.Name, err)
			continue
		case change == nil:
			continue
		}
		mail, err := r.compose(*change, data, e.opts.Hostname, time.Now())
		if err != nil {
			e.opts.Monitor.Count(monitor.AlertErrors, r.name)
			e.opts.Monitor.LimitedWarnf("alert "+r.name, "%v", err)
			continue
		}
		release, err := e.opts.Hold(mail)
		if err != nil {
			return releases, fmt.Errorf("alert %q: storing the mail for %q: %w", r.name, change.ID, err)
		}
		releases = append(releases, release)
		e.seq = change.Seq
		e.restore(*change)
		e.opts.Monitor.Count(monitor.AlertMails, change.Level.String())
		e.opts.Monitor.Infof("alert %q: %q is %s", r.name, change.ID, change.Level)
	}
	return releases, nil
}

// evaluate decides whether a sample changes the level of its id; a nil change means
// that it does not.
func (e *Engine) evaluate(r *rule, s *Sample, vars map[string]any) (*Change, *messageData, error) {
	if r.where != nil {
		if selected, err := r.where.holds(vars); !selected || err != nil {
			return nil, nil, err
		}
	}
	ids := idData{Name: s.Name, Group: s.group(), Tags: s.Tags}
	id, err := render(r.id, ids, maxIDSize)
	if err != nil {
		return nil, nil, fmt.Errorf("id: %w", err)
	}
	k := key{r.name, id}
	current, known := e.alight[k]
	level, err := r.nextLevel(current.level, vars)
	if err != nil || level == current.level {
		return nil, nil, err
	}
	if !known {
		if len(e.alight) >= e.opts.MaxIDs {
			e.opts.Monitor.Count(monitor.AlertIDsExceeded, r.name)
			e.opts.Monitor.LimitedWarnf("alert ids", "alert %q: %q is %s, not told: %d ids are not OK, the most that are kept; make the id template coarser",
				r.name, id, level, e.opts.MaxIDs)
			return nil, nil, nil
		}
		current.since = s.Time
	}
	change := &Change{
		Rule: r.name, ID: id, Level: level, Peak: max(current.peak, level),
		Since: current.since, Time: s.Time, Seq: e.seq + 1,
	}
	return change, &messageData{
		idData: ids, ID: id, Level: level.String(), Peak: change.Peak.String(), Previous: current.level.String(),
		Fields: s.Fields, Value: s.Fields[r.value], Time: s.Time, Duration: max(0, s.Time.Sub(current.since)),
	}, nil
}
