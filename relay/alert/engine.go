package alert

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
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
	// RecipientMails are what one recipient gets in DigestInterval as mails of their
	// own, from all rules; what is beyond comes in a digest. 0: 30; below zero: all.
	RecipientMails int
	// DigestInterval is the time of Rule.MaxMails and RecipientMails, and the least
	// one between two digests of a recipient; default 5 minutes.
	DigestInterval time.Duration
	// Monitor counts and logs; may be nil.
	Monitor *monitor.Monitor
}

const defaultMaxIDs = 100_000

// Engine evaluates rules. Its methods must not be called at the same time.
type Engine struct {
	opts  Options
	rules []*rule
	// active has what is not OK; what is not in it is OK.
	active map[key]*status
	// digests has what recipients will be told together, lastDigest when they were.
	digests    map[string]*digest
	lastDigest map[string]time.Time
	limits     *limits
	seq        uint64 // of the newest change
	dirty      bool   // the state file is older than active and digests
}

type key struct{ rule, id string }

// status is the level of an id that is not OK.
type status struct {
	level, peak Level
	since       time.Time // when OK was left

	// Of the last metric: its parts, its time, and when it came by the clock.
	name     string
	tags     map[string]string
	fields   map[string]any
	last     time.Time
	heardAt  time.Time
	restored bool          // heardAt is that of a start
	gap      time.Duration // the longest between two metrics
}

// New compiles the rules without touching the disk. The error names rule and option
// of all that is wrong.
func New(opts Options) (*Engine, error) {
	opts.MaxIDs = cmp.Or(opts.MaxIDs, defaultMaxIDs)
	opts.DigestInterval = cmp.Or(opts.DigestInterval, defaultDigestInterval)
	opts.RecipientMails = cmp.Or(opts.RecipientMails, defaultRecipientMails)
	e := &Engine{
		opts: opts, active: map[key]*status{}, digests: map[string]*digest{}, lastDigest: map[string]time.Time{},
		limits: newLimits(opts.RecipientMails, opts.DigestInterval),
	}
	var errs []error
	if opts.DigestInterval < 0 {
		errs = append(errs, fmt.Errorf("digest_interval is %s: expected a time above zero", opts.DigestInterval))
	}
	names := map[string]bool{}
	for i, r := range opts.Rules {
		compiled, err := newRule(r)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("alert %d %q: %w", i+1, r.Name, err))
		case names[r.Name]:
			errs = append(errs, fmt.Errorf("alert %d %q: name is used twice: expected one that no other alert has", i+1,
				r.Name))
		default:
			names[r.Name] = true
			e.rules = append(e.rules, compiled)
		}
	}
	return e, errors.Join(errs...)
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
	e.settle(before, releases)
	return done, err
}

// Tick ends the alerts of ids that have been silent for too long and sends the
// digests that are due. It is called about once a second. After an error it may be
// called again: what has been stored is not stored again.
func (e *Engine) Tick(now time.Time) error {
	before := e.seq
	releases, err := e.endStale(now, nil)
	if err == nil {
		releases, err = e.sendDigests(now, releases)
	}
	e.settle(before, releases)
	return err
}

// settle saves the state when it has changed and lets the mails go.
func (e *Engine) settle(before uint64, releases []func()) {
	if e.seq != before || e.dirty {
		saveErr := e.save()
		e.dirty = saveErr != nil
		if saveErr != nil { // the mails go nevertheless; the next Apply saves again
			e.opts.Monitor.Count(monitor.SpoolErrors, "alert state")
			e.opts.Monitor.LimitedWarnf("alert state", "%v; after a crash now, changes of level may be told again",
				saveErr)
		}
	}
	for _, release := range releases {
		release()
	}
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
		if releases, err = e.tell(r, change, data, time.Now(), releases); err != nil {
			return releases, err
		}
		if status := e.active[key{r.name, change.ID}]; status != nil {
			status.heard(s, time.Now())
		}
	}
	return releases, nil
}

// tell stores the mail of a change, or puts it into the digests of those who have
// had many mails, and makes it the level of its id.
func (e *Engine) tell(r *rule, change *Change, data *messageData, now time.Time, releases []func()) ([]func(), error) {
	text := r.text(data)
	change.Text = subject(text)
	direct, held := e.limits.split(r, now)
	change.Held = held
	if len(direct) > 0 {
		mail, err := r.compose(*change, data, text, direct, e.opts.Hostname, now)
		if err != nil {
			e.opts.Monitor.Count(monitor.AlertErrors, r.name)
			e.opts.Monitor.LimitedWarnf("alert "+r.name, "%v", err)
			return releases, nil
		}
		release, err := e.opts.Hold(mail)
		if err != nil {
			e.limits.giveBack(r, direct)
			return releases, fmt.Errorf("alert %q: storing the mail for %q: %w", r.name, change.ID, err)
		}
		releases = append(releases, release)
		e.opts.Monitor.Count(monitor.AlertMails, change.word())
		e.opts.Monitor.Infof("alert %q: %q is %s", r.name, change.ID, change.word())
	}
	r.seen.event(*change)
	e.hold(change, r.from.String(), held, now)
	e.seq = change.Seq
	e.restore(*change, now)
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
	if r.value != "" {
		r.seen.value(s.Fields[r.value], s.Time)
	}
	ids := idData{Name: s.Name, Group: s.group(), Tags: s.Tags}
	id, err := r.id.render(ids, maxIDSize)
	if err != nil {
		return nil, nil, fmt.Errorf("id: %w", err)
	}
	k := key{r.name, id}
	known := e.active[k]
	current := status{since: s.Time}
	if known != nil {
		current = *known
	}
	level, err := r.nextLevel(current.level, vars)
	if err != nil {
		return nil, nil, err
	}
	if level == current.level {
		if known != nil {
			known.heard(s, time.Now())
		}
		return nil, nil, nil
	}
	if known == nil && len(e.active) >= e.opts.MaxIDs {
		e.opts.Monitor.Count(monitor.AlertIDsExceeded, r.name)
		e.opts.Monitor.LimitedWarnf("alert ids",
			"alert %q: %q is %s, not told: %d ids are not OK, the most that are kept; make the id template coarser",
			r.name, id, level, e.opts.MaxIDs)
		return nil, nil, nil
	}
	change := &Change{
		Rule: r.name, ID: id, Level: level, Peak: max(current.peak, level),
		Since: current.since, Time: s.Time, Seq: e.seq + 1, Name: s.Name, Tags: s.Tags,
	}
	return change, &messageData{
		idData: ids, ID: id, Level: level.String(), Peak: change.Peak.String(), Previous: current.level.String(),
		Fields: s.Fields, Value: s.Fields[r.value], Time: s.Time, Duration: max(0, s.Time.Sub(current.since)),
	}, nil
}
