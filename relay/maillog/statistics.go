package maillog

import (
	"cmp"
	"io"
	"slices"
	"strings"
	"time"
)

// Volume counts mails and octets.
type Volume struct {
	// Name is what they are of; empty for a total.
	Name   string `json:"name,omitempty"`
	Mails  int    `json:"mails"`
	Octets int64  `json:"octets"`
}

// Hour is what happened in one.
type Hour struct {
	// Start is its begin.
	Start     time.Time `json:"start"`
	Arrived   int       `json:"arrived"`
	Delivered int       `json:"delivered"`
	Deferred  int       `json:"deferred"`
	Failed    int       `json:"failed"`
	Refused   int       `json:"refused"`
}

// Share is how many mails were complete within a time.
type Share struct {
	// Within is the bound; zero for all that took longer.
	Within time.Duration `json:"within_ns"`
	Mails  int           `json:"mails"`
}

// Statistics sum a log up. Recipients count for themselves in everything that is about
// deliveries.
type Statistics struct {
	// First and Last are the times of the first and the last line.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Arrived are mails that were taken, with our own; Recipients whom they are for.
	Arrived    Volume `json:"arrived"`
	Recipients int    `json:"recipients"`
	// Delivered and Failed are recipients; Deferred are attempts that were put off, and
	// DeferredMails the mails that had one.
	Delivered     Volume `json:"delivered"`
	Failed        int    `json:"failed"`
	Deferred      int    `json:"deferred"`
	DeferredMails int    `json:"deferred_mails"`
	// Bounces are notifications that were queued, Refused what was not taken, with what the
	// log did not tell one by one. Completed are mails with nothing left to do.
	Bounces   int `json:"bounces"`
	Refused   int `json:"refused"`
	Completed int `json:"completed"`

	// The tables, the largest first. Clients and SenderDomains are of arrivals, Servers and
	// RecipientDomains of deliveries; Deferrals, Failures and Refusals are by server or step
	// and answer, each with its number in Mails.
	Clients          []Volume `json:"clients"`
	SenderDomains    []Volume `json:"sender_domains"`
	Servers          []Volume `json:"servers"`
	RecipientDomains []Volume `json:"recipient_domains"`
	Deferrals        []Volume `json:"deferrals"`
	Failures         []Volume `json:"failures"`
	Refusals         []Volume `json:"refusals"`
	Hours            []Hour   `json:"hours"`
	// QueueTimes are of complete mails, in rising order.
	QueueTimes []Share `json:"queue_times"`
}

// maxNames bounds each table: what else there is counts as Others.
const maxNames = 10_000

// Others is the name in a table of all that it has no room for.
const Others = "(others)"

// bounds are those of QueueTimes.
var bounds = []time.Duration{time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute,
	30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 0}

// Summary makes Statistics of a log. The zero value is ready.
type Summary struct {
	s        Statistics
	tables   [7]map[string]*Volume
	hours    map[time.Time]*Hour
	deferred map[string]bool
	within   [12]int
}

// The tables of a Summary.
const (
	byClient = iota
	bySender
	byServer
	byRecipient
	byDeferral
	byFailure
	byRefusal
)

// Read takes a log in. What is not of the mail log is passed over.
func (m *Summary) Read(r io.Reader) error {
	return eachLine(r, func(line string) error {
		if e, ours := Parse(line); ours {
			m.addEntry(&e)
		}
		return nil
	})
}

func (m *Summary) addEntry(e *Entry) {
	s := &m.s
	if !e.Time.IsZero() {
		if s.First.IsZero() || e.Time.Before(s.First) {
			s.First = e.Time
		}
		if e.Time.After(s.Last) {
			s.Last = e.Time
		}
	}
	m.addToHour(e)
	switch e.Step {
	case StepArrived, StepBounced:
		s.Arrived.addMail(e.Size)
		s.Recipients += len(e.To) + e.More
		if e.Step == StepBounced {
			s.Bounces++
		}
		m.count(byClient, host(e.Peer, "(local)"), e.Size)
		m.count(bySender, domain(e.From), e.Size)
	case StepDelivered:
		s.Delivered.addMail(e.Size)
		m.count(byServer, host(e.Peer, "(local)"), e.Size)
		m.count(byRecipient, domain(e.To[0]), e.Size)
	case StepDeferred:
		s.Deferred++
		if m.deferred == nil {
			m.deferred = map[string]bool{}
		}
		if !m.deferred[e.ID] {
			m.deferred[e.ID] = true
			s.DeferredMails++
		}
		m.count(byDeferral, host(e.Peer, "(no server)")+": "+e.Answer, 0)
	case StepFailed:
		s.Failed++
		m.count(byFailure, host(e.Peer, "(no server)")+": "+e.Answer, 0)
	case StepRefused:
		s.Refused += 1 + e.Untold
		m.count(byRefusal, e.Refused+": "+e.Answer, 0)
	case StepCompleted:
		s.Completed++
		delete(m.deferred, e.ID)
		at := slices.IndexFunc(bounds, func(b time.Duration) bool { return b == 0 || e.Waited < b })
		m.within[at]++
	}
}

func (v *Volume) addMail(octets int) {
	v.Mails++
	v.Octets += int64(octets)
}

// count counts in a table.
func (m *Summary) count(table int, name string, octets int) {
	if m.tables[table] == nil {
		m.tables[table] = map[string]*Volume{}
	}
	v := m.tables[table][name]
	if v == nil && len(m.tables[table]) >= maxNames {
		name = Others
		v = m.tables[table][name]
	}
	if v == nil {
		v = &Volume{Name: name}
		m.tables[table][name] = v
	}
	v.addMail(octets)
}

// addToHour counts in the hour of a line.
func (m *Summary) addToHour(e *Entry) {
	if e.Step == StepCompleted {
		return
	}
	if m.hours == nil {
		m.hours = map[time.Time]*Hour{}
	}
	t := e.Time
	if !t.IsZero() {
		t = t.UTC().Truncate(time.Hour)
	}
	h := m.hours[t]
	if h == nil {
		h = &Hour{Start: t}
		m.hours[t] = h
	}
	switch e.Step {
	case StepArrived, StepBounced:
		h.Arrived++
	case StepDelivered:
		h.Delivered++
	case StepDeferred:
		h.Deferred++
	case StepFailed:
		h.Failed++
	case StepRefused:
		h.Refused += 1 + e.Untold
	}
}

// Statistics gives what was counted.
func (m *Summary) Statistics() *Statistics {
	s := m.s
	for i, to := range []*[]Volume{&s.Clients, &s.SenderDomains, &s.Servers, &s.RecipientDomains, &s.Deferrals,
		&s.Failures, &s.Refusals} {
		*to = []Volume{}
		for _, v := range m.tables[i] {
			*to = append(*to, *v)
		}
		slices.SortFunc(*to, func(a, b Volume) int {
			return cmp.Or(b.Mails-a.Mails, cmp.Compare(b.Octets, a.Octets), strings.Compare(a.Name, b.Name))
		})
	}
	s.Hours = []Hour{}
	for _, h := range m.hours {
		s.Hours = append(s.Hours, *h)
	}
	slices.SortFunc(s.Hours, func(a, b Hour) int { return a.Start.Compare(b.Start) })
	s.QueueTimes = make([]Share, len(bounds))
	for i, b := range bounds {
		s.QueueTimes[i] = Share{Within: b, Mails: m.within[i]}
	}
	return &s
}

// host names a peer, or says that there is none.
func host(p Peer, none string) string {
	addr, _, _ := strings.Cut(p.Addr, "]")
	switch {
	case p.Name != "" && addr != "" && addr != p.Name:
		return p.Name + " [" + addr + "]"
	case p.Name != "":
		return p.Name
	case addr != "":
		return "[" + addr + "]"
	}
	return none
}

// domain gives an address's domain.
func domain(addr string) string {
	_, domain, found := strings.Cut(addr, "@")
	if !found {
		return "<>"
	}
	return strings.ToLower(domain)
}
