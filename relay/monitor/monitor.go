// Package monitor is how the parts of the relay say what happened: counters by
// event and reason, and log lines, repeated ones rate-limited.
package monitor

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Event is what is counted. All counters only grow.
type Event string

// The events. A reason, where one is named, says why.
const (
	Accepted         Event = "accepted"          // mails answered 250
	AcceptedBytes    Event = "accepted_bytes"    // their octets
	Refused          Event = "refused"           // connections, commands, mails refused, by reason
	Connections      Event = "connections"       // client connections taken
	Displaced        Event = "displaced"         // idle client connections ended to make room
	Stored           Event = "stored"            // mails written to the spool, by origin
	Delivered        Event = "delivered"         // recipients taken over by a smarthost
	PutOff           Event = "put_off"           // attempts after which a mail waits
	Deferred         Event = "deferred"          // recipients put off, by "host code", 0 without an answer
	LatencyMS        Event = "latency_ms"        // from acceptance to delivery, summed over Delivered
	Failed           Event = "failed"            // recipients failed for good, by reason
	HostErrors       Event = "smarthost_errors"  // a smarthost unusable or at fault
	Bounced          Event = "bounced"           // delivery status notifications queued
	BouncesWithheld  Event = "bounces_withheld"  // not sent because policy or a null sender forbids
	Corrupt          Event = "corrupt"           // spool files set aside
	SpoolErrors      Event = "spool_errors"      // failed writes to the spool
	AlertMails       Event = "alert_mails"       // alert mails queued, by level
	AlertNoValue     Event = "alert_no_value"    // metrics that lack a field a rule uses
	AlertHeld        Event = "alert_held"        // changes that a recipient is told in a digest, by alert
	AlertDigests     Event = "alert_digests"     // digests queued
	AlertErrors      Event = "alert_errors"      // evaluations that failed otherwise
	AlertIDsExceeded Event = "alert_ids_refused" // changes ignored because too many ids are active
)

// Logger takes log lines; a Telegraf logger is one.
type Logger interface {
	Errorf(format string, args ...any)
	Warnf(format string, args ...any)
	Infof(format string, args ...any)
	Debugf(format string, args ...any)
}

// Monitor counts and logs. A nil Monitor does nothing. It is safe for concurrent
// use.
type Monitor struct {
	to atomic.Pointer[target]

	mu      sync.Mutex
	counts  map[counterKey]int64
	limited map[string]*limit
}

// target is where lines and counts go.
type target struct {
	log  Logger // may be nil
	hook func(Event, string, int64)
}

type counterKey struct {
	event  Event
	reason string
}

type limit struct {
	last       time.Time
	suppressed int
}

// logEvery is the least time between two rate-limited lines of one key.
const logEvery = time.Minute

// maxLimited bounds the keys of rate-limited lines.
const maxLimited = 1000

// New makes a Monitor. log and hook may be nil; hook is called with every count, and with
// 0 for each event that has no reason, and must not block.
func New(log Logger, hook func(event Event, reason string, n int64)) *Monitor {
	m := &Monitor{counts: map[counterKey]int64{}, limited: map[string]*limit{}}
	m.to.Store(&target{log, hook})
	for _, event := range []Event{Accepted, AcceptedBytes, Connections, Delivered, LatencyMS, PutOff, Bounced} {
		m.Add(event, "", 0)
	}
	return m
}

// Labels takes a reason apart, as the labels of a series: "host" and "code" of Deferred, else
// "reason"; nil without one.
func (e Event) Labels(reason string) map[string]string {
	switch {
	case e == Deferred:
		host, code, _ := strings.Cut(reason, " ")
		return map[string]string{"host": host, "code": code}
	case reason == "":
		return nil
	}
	return map[string]string{"reason": reason}
}

// Redirect sends lines and counts to where they go from other. Both may be nil.
func (m *Monitor) Redirect(other *Monitor) {
	if m != nil && other != nil {
		m.to.Store(other.to.Load())
	}
}

// logger gives where lines go, nil when nowhere.
func (m *Monitor) logger() Logger {
	if m == nil {
		return nil
	}
	return m.to.Load().log
}

// Count adds one.
func (m *Monitor) Count(event Event, reason string) { m.Add(event, reason, 1) }

// Add adds n.
func (m *Monitor) Add(event Event, reason string, n int64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	m.counts[counterKey{event, reason}] += n
	m.mu.Unlock()
	if hook := m.to.Load().hook; hook != nil {
		hook(event, reason, n)
	}
}

// Total gives the sum of an event over its reasons.
func (m *Monitor) Total(event Event) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var sum int64
	for key, n := range m.counts {
		if key.event == event {
			sum += n
		}
	}
	return sum
}

// Get gives one counter.
func (m *Monitor) Get(event Event, reason string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[counterKey{event, reason}]
}

// Errorf logs an error.
func (m *Monitor) Errorf(format string, args ...any) {
	if log := m.logger(); log != nil {
		log.Errorf(format, args...)
	}
}

// Warnf logs a warning.
func (m *Monitor) Warnf(format string, args ...any) {
	if log := m.logger(); log != nil {
		log.Warnf(format, args...)
	}
}

// Infof logs an event of normal work.
func (m *Monitor) Infof(format string, args ...any) {
	if log := m.logger(); log != nil {
		log.Infof(format, args...)
	}
}

// Debugf logs a detail.
func (m *Monitor) Debugf(format string, args ...any) {
	if log := m.logger(); log != nil {
		log.Debugf(format, args...)
	}
}

// LimitedWarnf is Warnf at most once a minute per key; the next line then tells
// how many were left out.
func (m *Monitor) LimitedWarnf(key, format string, args ...any) {
	if log := m.logger(); log != nil {
		if format, args, ok := m.limit(key, format, args); ok {
			log.Warnf(format, args...)
		}
	}
}

// LimitedErrorf is Errorf limited as LimitedWarnf is.
func (m *Monitor) LimitedErrorf(key, format string, args ...any) {
	if log := m.logger(); log != nil {
		if format, args, ok := m.limit(key, format, args); ok {
			log.Errorf(format, args...)
		}
	}
}

// limit tells whether a line may be logged now, and what it says then.
func (m *Monitor) limit(key, format string, args []any) (string, []any, bool) {
	suppressed, ok := m.admit(key)
	if suppressed > 0 {
		return format + " (and %d more like this)", append(args, suppressed), ok
	}
	return format, args, ok
}

func (m *Monitor) admit(key string) (suppressed int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	l := m.limited[key]
	if l == nil {
		if len(m.limited) >= maxLimited {
			clear(m.limited)
		}
		m.limited[key] = &limit{last: now}
		return 0, true
	}
	if now.Sub(l.last) < logEvery {
		l.suppressed++
		return 0, false
	}
	suppressed, l.suppressed, l.last = l.suppressed, 0, now
	return suppressed, true
}

// MailsWait is how lines say that mails wait: "1 mail waits", "2 mails wait".
func MailsWait(n int) string {
	if n == 1 {
		return "1 mail waits"
	}
	return fmt.Sprint(n, " mails wait")
}
