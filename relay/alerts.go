package relay

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/relay/alert"
	"github.com/flowgraf/flowgraf/relay/control"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// alertState is the name of the alerts' state in the spool.
const alertState = "alert.state"

// Rule is an alert rule, see package alert.
type Rule = alert.Rule

// Sample is what alert rules are asked about.
type Sample = alert.Sample

// alerts are the rules of a relay and what they have seen.
type alerts struct {
	sync.Mutex // one call of engine at a time
	engine     *alert.Engine
}

// configureAlerts compiles the rules.
func (r *Relay) configureAlerts() (err error) {
	if len(r.opts.Alerts) == 0 {
		return nil
	}
	r.alerts = &alerts{}
	r.alerts.engine, err = alert.New(alert.Options{
		Rules: r.opts.Alerts, Hostname: r.opts.Hostname, StateFile: r.spoolPath(alertState),
		Hold: r.holdAlert, Monitor: r.opts.Monitor,
		RecipientMails: r.opts.RecipientMails, DigestInterval: r.opts.DigestInterval,
	})
	return err
}

// Apply asks the alert rules about samples, in their order. When it returns, the mails
// that they have caused are on stable storage; it never waits for the network. done is how
// many samples have had their effect: all of them without an error; with one, those from
// done on should be applied again later.
func (r *Relay) Apply(samples []Sample) (done int, err error) {
	if r.alerts == nil {
		return len(samples), nil
	}
	r.alerts.Lock()
	defer r.alerts.Unlock()
	return r.alerts.engine.Apply(samples)
}

// Tick ends the alerts of ids that have fallen silent and sends digests that are due. It
// is called about once a second; what cannot be stored is tried again then.
func (r *Relay) Tick(now time.Time) {
	if r.alerts == nil {
		return
	}
	r.alerts.Lock()
	err := r.alerts.engine.Tick(now)
	r.alerts.Unlock()
	if err != nil {
		r.opts.Monitor.LimitedWarnf("alert tick", "%v; tried again", err)
	}
}

// holdAlert stores an alert mail in the spool; release lets it go.
func (r *Relay) holdAlert(mail *alert.Mail) (release func(), err error) {
	note, err := json.Marshal(mail.Change)
	if err != nil {
		return nil, err
	}
	env := &queue.Envelope{
		ID: r.NewID(), From: mail.From, To: mail.To, Received: time.Now().UTC(),
		Origin: queue.OriginAlert, Note: note, Critical: mail.Change.Level == alert.Critical,
	}
	if err := r.Hold(env, mail.Message); err != nil {
		return nil, err
	}
	return func() { r.Release(env) }, nil
}

// recoverAlerts completes the alerts' state from the mails that wait, before any is
// delivered.
func (r *Relay) recoverAlerts(waiting []queue.Envelope) error {
	var changes []alert.Change
	for _, env := range waiting {
		if env.Origin != queue.OriginAlert {
			continue
		}
		var c alert.Change
		if err := json.Unmarshal(env.Note, &c); err != nil {
			r.opts.Monitor.Warnf("mail %s: its change of level cannot be read: %v", env.ID, err)
			continue
		}
		changes = append(changes, c)
	}
	return r.alerts.engine.Recover(changes)
}

// tell tells a person of the rules.
func (a *alerts) tell() []control.Alert {
	if a == nil {
		return nil
	}
	a.Lock()
	watched := a.engine.Watched()
	a.Unlock()
	list := make([]control.Alert, len(watched))
	for i := range watched {
		w := &watched[i]
		out := control.Alert{Name: w.Rule.Name, Where: w.Rule.Where, Crit: w.Rule.Crit, Warn: w.Rule.Warn,
			Info: w.Rule.Info, To: w.Rule.To, Field: w.Field, Active: changes(w.Active), Events: changes(w.Events)}
		for _, v := range w.Values {
			out.Values = append(out.Values, control.Value{Minute: v.Minute.Unix(), Least: v.Least, Most: v.Most})
		}
		for _, b := range w.Bounds {
			out.Bounds = append(out.Bounds, control.Bound{Level: b.Level.String(), Value: b.Value})
		}
		list[i] = out
	}
	return list
}

// changes makes changes those of package control.
func changes(list []alert.Change) []control.Change {
	var out []control.Change
	for i := range list {
		c := &list[i]
		out = append(out, control.Change{ID: c.ID, Level: c.Level.String(), Peak: c.Peak.String(), Since: c.Since,
			Time: c.Time, Text: c.Text, Stale: c.Stale})
	}
	return out
}
