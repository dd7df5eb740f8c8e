package relay

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/dsn"
	"github.com/flowgraf/flowgraf/relay/maillog"
	"github.com/flowgraf/flowgraf/relay/message"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// bounce queues a notification for recipients that failed, when one is due and allowed.
func (r *Relay) bounce(mail *queue.Mail, failed []queue.Result) error {
	return r.notify(&dsn.Report{Kind: dsn.Failed, Mail: mail, Results: r.wanted(mail, failed, "FAILURE")})
}

// reached queues a notification for recipients that have the mail.
func (r *Relay) reached(mail *queue.Mail, reached []queue.Result) error {
	return r.notify(&dsn.Report{Kind: dsn.Reached, Mail: mail, Results: reached})
}

// delayed queues a notification for recipients that still wait, unless a program has sent
// the mail that did not ask for it.
func (r *Relay) delayed(mail *queue.Mail, waiting []queue.Result, until time.Time) error {
	var wanted []queue.Result
	automatic := isAutomatic(mail.Body)
	for _, result := range waiting {
		if !automatic || strings.Contains(mail.Notify[mail.To[result.Recipient]].On, "DELAY") {
			wanted = append(wanted, result)
		}
	}
	if len(wanted) > 0 && !r.warnings.mayWarn(mail.From, time.Now()) {
		r.opts.Monitor.Count(monitor.BouncesWithheld, "rate")
		return nil
	}
	return r.notify(&dsn.Report{Kind: dsn.Delayed, Mail: mail, Results: wanted, Until: until})
}

// A sender is warned of so many delays an hour: when a smarthost is down, one hears of it,
// and not once for each mail.
const (
	maxWarnings    = 10
	warningsFor    = time.Hour
	maxWarnedKnown = 10_000 // senders; then all are forgotten
)

// warnings counts what each sender was told of delays.
type warnings struct {
	sync.Mutex
	since time.Time
	sent  map[string]int
}

// mayWarn tells whether a sender may be warned once more.
func (w *warnings) mayWarn(sender string, now time.Time) bool {
	w.Lock()
	defer w.Unlock()
	if w.sent == nil || len(w.sent) >= maxWarnedKnown || now.Sub(w.since) >= warningsFor {
		w.sent, w.since = map[string]int{}, now
	}
	w.sent[sender]++
	return w.sent[sender] <= maxWarnings
}

// isAutomatic tells of mail from lists and programs (RFC 2919, RFC 3834), whose senders are
// not warned.
func isAutomatic(m []byte) bool {
	head, _ := message.Split(m)
	for field := range message.Fields(head) {
		value := strings.ToLower(string(message.Value(field)))
		switch {
		case message.Is(field, "list-id", "list-post", "list-unsubscribe"),
			message.Is(field, "auto-submitted") && strings.HasPrefix(value, "auto-"),
			message.Is(field, "precedence") && (value == "bulk" || value == "list" || value == "junk"):
			return true
		}
	}
	return false
}

// wanted leaves out recipients of whose failure or delay the sender does not want to hear.
func (r *Relay) wanted(mail *queue.Mail, results []queue.Result, event string) []queue.Result {
	var wanted []queue.Result
	for _, result := range results {
		if to := mail.To[result.Recipient]; mail.Notify[to].Wants(event) {
			wanted = append(wanted, result)
		} else if to == r.archiveCopy {
			r.opts.Monitor.LimitedErrorf("archive copy", "mail %s: the archive copy for %q has failed: %s",
				mail.ID, to, result.Text)
		}
	}
	return wanted
}

// notify queues a notification, when one is due and allowed.
func (r *Relay) notify(report *dsn.Report) error {
	mail := report.Mail
	if len(report.Results) == 0 {
		return nil
	}
	from, err := address.ParseReverse(mail.From)
	if mail.Origin != queue.OriginSMTP || err != nil || from.IsNull() {
		r.opts.Monitor.Count(monitor.BouncesWithheld, "sender")
		return nil
	}
	if r.policy == nil || (!r.policy.AllowRecipient(from) && !r.known(from)) {
		r.opts.Monitor.Count(monitor.BouncesWithheld, "policy")
		r.opts.Monitor.LimitedWarnf("bounce",
			"mail %s has failed, or waits; its sender %q is not told: that domain is not in relay_domains", mail.ID,
			mail.From)
		return nil
	}
	report.Hostname, report.ID, report.Now = r.opts.Hostname, r.queue.NewID(), time.Now()
	env := &queue.Envelope{
		ID: report.ID, To: []string{from.String()}, Received: report.Now.UTC(), Origin: queue.OriginDSN,
		Notify: map[string]queue.Notify{from.String(): {On: "NEVER"}}, // RFC 3461 section 7.1
	}
	body := r.prepare(env, report.Message())
	if err := r.queue.Add(env, body); err != nil {
		return err
	}
	maillog.Bounced(r.opts.Monitor, &maillog.Bounce{ID: env.ID, About: mail.ID, To: env.To, Size: len(body)})
	r.opts.Monitor.Count(monitor.Bounced, "")
	r.sender.Add(env)
	return nil
}

// expand replaces the aliases among a mail's recipients. What its sender wants to hear of
// an alias counts for those that it leads to.
func (r *Relay) expand(env *queue.Envelope) {
	given := env.Notify
	if given == nil {
		env.To = r.rules.Expand(env.To)
		return
	}
	var all []string
	env.Notify = map[string]queue.Notify{}
	for _, to := range env.To {
		n, asked := given[to]
		for _, target := range r.rules.Expand([]string{to}) {
			if target != to && n.Original == "" {
				n.Original = "rfc822;" + encodeXtext(to)
			}
			if _, has := env.Notify[target]; asked && !has {
				env.Notify[target] = n
			}
			all = append(all, target)
		}
	}
	env.To = r.rules.Expand(all) // each once
}

// encodeXtext writes RFC 3461 section 4.
func encodeXtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c == '+' || c == '=' || c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// addArchiveCopy adds the recipient who gets a copy of all mail. Its failure is no matter
// of the sender's.
func (r *Relay) addArchiveCopy(env *queue.Envelope) {
	if r.archiveCopy == "" {
		return
	}
	for _, to := range env.To {
		if to == r.archiveCopy {
			return
		}
	}
	env.To = append(env.To, r.archiveCopy)
	if env.Notify == nil {
		env.Notify = map[string]queue.Notify{}
	}
	env.Notify[r.archiveCopy] = queue.Notify{On: "NEVER"}
}
