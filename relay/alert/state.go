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

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/storage"
)

const (
	stateVersion = 1
	maxState     = 256 << 20 // octets of a state file that is read
)

// stateFile is the form of levels and digests on disk.
type stateFile struct {
	Version int                `json:"version"`
	Seq     uint64             `json:"seq"` // of the newest change it knows
	Active  []Change           `json:"alight"`
	Digests map[string]*digest `json:"digests,omitempty"` // by recipient
}

// Recover reads the state file and completes it from the changes of the mails that
// wait in the spool. It is called before Apply. A damaged state file is set aside,
// logged and counted, and the levels start from the waiting mails.
func (e *Engine) Recover(waiting []Change) error {
	clear(e.active)
	clear(e.digests)
	e.seq = 0
	state, err := e.load()
	if err != nil {
		return fmt.Errorf("alert state: %w", err)
	}
	now := time.Now()
	e.seq = state.Seq
	for _, c := range state.Active {
		e.restore(c, now)
	}
	for to, d := range state.Digests {
		e.restoreDigest(to, d)
	}
	waiting = slices.Clone(waiting)
	slices.SortFunc(waiting, func(a, b Change) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, c := range waiting {
		switch {
		case c.Digest != "": // a mail has it already
			if d := e.digests[c.Digest]; d != nil && d.Seq <= c.Seq {
				delete(e.digests, c.Digest)
			}
		case c.Seq > e.seq:
			e.restore(c, now)
			e.seq = c.Seq
			if r := e.rule(c.Rule); r != nil {
				e.hold(&c, r.from.String(), c.Held, now)
			}
		}
	}
	return nil
}

// load reads the state file; one that cannot be understood is set aside.
func (e *Engine) load() (state stateFile, err error) {
	b, err := storage.ReadFile(e.opts.StateFile, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return stateFile{}, nil
	}
	if err != nil {
		return stateFile{}, err
	}
	err = json.Unmarshal(b, &state)
	if err == nil && state.Version == stateVersion {
		return state, nil
	}
	aside := e.opts.StateFile + ".corrupt"
	e.opts.Monitor.Count(monitor.Corrupt, "alert state")
	e.opts.Monitor.Errorf("alert state %s is damaged (%v); set aside as %s", e.opts.StateFile, err, aside)
	return stateFile{}, os.Rename(e.opts.StateFile, aside)
}

// restore takes a change over as it was decided earlier.
func (e *Engine) restore(c Change, now time.Time) {
	k := key{c.Rule, c.ID}
	switch {
	case e.rule(c.Rule) == nil:
		e.opts.Monitor.Infof("alert state: %q of alert %q is forgotten: there is no such alert any more", c.ID, c.Rule)
	case c.Level <= OK || c.Level > Critical:
		delete(e.active, k)
	default:
		s := e.active[k]
		if s == nil {
			s = &status{heardAt: now, restored: true}
			e.active[k] = s
		}
		s.level, s.peak, s.since, s.name, s.tags = c.Level, max(c.Level, min(c.Peak, Critical)), c.Since, c.Name, c.Tags
		if c.Time.After(s.last) {
			s.last = c.Time
		}
	}
}

// restoreDigest takes over what a recipient has not been told.
func (e *Engine) restoreDigest(to string, d *digest) {
	isRecipient := func(r *rule) bool {
		return slices.ContainsFunc(r.to, func(a address.Address) bool { return a.String() == to })
	}
	if d == nil || !slices.ContainsFunc(e.rules, isRecipient) {
		e.opts.Monitor.Warnf("alert state: the digest for %q is dropped: no alert goes there any more", to)
		return
	}
	if d.Counts == nil {
		d.Counts = tally{}
	}
	if d.Unlisted == nil {
		d.Unlisted = tally{}
	}
	e.digests[to] = d
}

// save replaces the state file.
func (e *Engine) save() error {
	state := stateFile{Version: stateVersion, Seq: e.seq, Active: make([]Change, 0, len(e.active)), Digests: e.digests}
	for k, s := range e.active {
		state.Active = append(state.Active, Change{
			Rule: k.rule, ID: k.id, Level: s.level, Peak: s.peak, Since: s.since, Time: s.last, Name: s.name,
			Tags: s.tags,
		})
	}
	slices.SortFunc(state.Active, func(a, b Change) int {
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
