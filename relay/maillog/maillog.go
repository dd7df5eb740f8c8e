// Package maillog writes one log line for each step of a mail's way, at the default
// level, in the manner of exim's mainlog: the id first, then a sign of two characters,
// then words of the form K=value. An administrator follows a mail by its id, and finds
// it by sender, recipient, client or server:
//
//	ID <= sender H=name [address] P=esmtps A=user S=octets M=<id@host> for r1 r2 C="250 …" T=0.004s
//	ID => recipient F=<sender> H=host [address] X=TLS S=octets C="250 …" QT=1.2s DT=0.3s
//	ID == recipient F=<sender> H=host [address] C="451 …" QT=… DT=… N=<time of the next try>
//	ID ** recipient F=<sender> H=host [address] C="550 …" QT=… DT=…
//	ID <= <> R=<id of the mail that failed> S=octets for r1
//	ID completed QT=1.2s
//	refused RCPT H=name [address] F=<sender> T=<recipient> C="550 …"
//
// M is the header's Message-ID, unless it is one of ours, which holds the id. QT is the
// time since the mail was taken, DT that of the attempt, both in seconds.
// What a peer has said stands in quotes, without control characters, and is cut at a
// bound. The package knows no protocol and decides nothing; secrets are never given to
// it.
package maillog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

const (
	maxText       = 400 // octets of an answer or a name that are told
	maxRecipients = 100 // that one line tells
)

// Peer is the other side of a connection. What is not known is left empty.
type Peer struct {
	// Name is what it calls itself or what we call it, Addr its address, with a port
	// where one helps.
	Name, Addr string
}

// Arrival is a mail that was taken.
type Arrival struct {
	ID, From string
	To       []string
	// Client is who brought it; a mail of our own has none.
	Client Peer
	// Protocol is RFC 3848's word, User the login's name.
	Protocol, User string
	// Size is in octets.
	Size int
	// MessageID is the header's, "" without one. One that holds ID is ours, and not told.
	MessageID string
	// Answer is ours.
	Answer string
	// Took is the time from MAIL to the answer.
	Took time.Duration
}

// Arrived tells that a mail was taken.
func Arrived(mon *monitor.Monitor, a *Arrival) {
	var l line
	l.mail(a.ID, "<=", sender(a.From))
	l.peer(a.Client)
	l.word("P", a.Protocol)
	l.text("A", a.User)
	l.size(a.Size)
	if !strings.Contains(a.MessageID, a.ID) {
		l.word("M", a.MessageID)
	}
	l.recipients(a.To)
	l.text("C", a.Answer)
	l.seconds("T", a.Took)
	l.log(mon)
}

// Refusal is a client, a command or a mail that was not taken.
type Refusal struct {
	// Step is the command that was refused, "connection" or "message".
	Step   string
	Client Peer
	// From and To are those of the transaction, as far as they are known; To is the
	// recipient that was refused, when it was one.
	From, To string
	// Answer is ours; empty when none was given.
	Answer string
	// Untold is the number of this client's refusals before that were not logged because
	// there were too many.
	Untold int
}

// Refused tells that something was not taken.
func Refused(mon *monitor.Monitor, r *Refusal) {
	var l line
	l.WriteString("refused " + clean(r.Step))
	l.peer(r.Client)
	if r.From != "" {
		l.path("F", r.From)
	}
	if r.To != "" {
		l.path("T", r.To)
	}
	l.text("C", r.Answer)
	if r.Untold > 0 {
		fmt.Fprintf(&l, " (and %d refusals of this client before)", r.Untold)
	}
	l.log(mon)
}

// Attempt is what became of one recipient when its mail was offered to a server.
type Attempt struct {
	ID, From, To string
	// Server is who was asked; empty when nobody was.
	Server Peer
	// TLS is the version of an encrypted connection.
	TLS  string
	Size int
	// Answer is the server's, with its code, or the error that there was instead.
	Answer string
	// Waited is the time since the mail was taken, Took that of the attempt.
	Waited, Took time.Duration
	// Next is when the mail is tried again; zero when it is not, or not known.
	Next time.Time
}

// Delivered tells that a server has taken the mail for a recipient.
func Delivered(mon *monitor.Monitor, a *Attempt) { attempt(mon, "=>", a) }

// Deferred tells that a recipient has to wait.
func Deferred(mon *monitor.Monitor, a *Attempt) { attempt(mon, "==", a) }

// Failed tells that a recipient has failed for good.
func Failed(mon *monitor.Monitor, a *Attempt) { attempt(mon, "**", a) }

func attempt(mon *monitor.Monitor, sign string, a *Attempt) {
	var l line
	l.mail(a.ID, sign, clean(a.To))
	l.path("F", a.From)
	l.peer(a.Server)
	l.word("X", a.TLS)
	l.size(a.Size)
	l.text("C", a.Answer)
	l.seconds("QT", a.Waited)
	l.seconds("DT", a.Took)
	if !a.Next.IsZero() {
		l.word("N", a.Next.Format(time.RFC3339))
	}
	l.log(mon)
}

// Bounce is a notification (RFC 3464) that was queued.
type Bounce struct {
	ID string
	// About is the id of the mail that failed.
	About string
	To    []string
	Size  int
}

// Bounced tells that a notification was queued.
func Bounced(mon *monitor.Monitor, b *Bounce) {
	var l line
	l.mail(b.ID, "<=", sender(""))
	l.word("R", b.About)
	l.size(b.Size)
	l.recipients(b.To)
	l.log(mon)
}

// Completed tells that nothing is left to do for a mail that was taken so long ago.
func Completed(mon *monitor.Monitor, id string, waited time.Duration) {
	var l line
	l.WriteString(clean(id) + " completed")
	l.seconds("QT", waited)
	l.log(mon)
}

// line is a log line being made.
type line struct{ strings.Builder }

func (l *line) log(mon *monitor.Monitor) { mon.Infof("%s", l.String()) }

func (l *line) mail(id, sign, who string) { l.WriteString(clean(id) + " " + sign + " " + who) }

// word adds a value that needs no quotes, nothing when it is empty.
func (l *line) word(key, value string) {
	if value != "" {
		l.WriteString(" " + key + "=" + clean(value))
	}
}

// text adds a peer's words, nothing when they are empty.
func (l *line) text(key, value string) {
	if value != "" {
		l.WriteString(" " + key + "=" + strconv.QuoteToASCII(cut(value)))
	}
}

func (l *line) path(key, addr string) { l.WriteString(" " + key + "=<" + clean(addr) + ">") }

func (l *line) peer(p Peer) {
	l.word("H", p.Name)
	if p.Addr != "" {
		l.WriteString(" [" + clean(p.Addr) + "]")
	}
}

func (l *line) size(n int) {
	if n > 0 {
		l.word("S", strconv.Itoa(n))
	}
}

func (l *line) seconds(key string, d time.Duration) {
	if d > 0 {
		l.WriteString(fmt.Sprintf(" %s=%.3fs", key, d.Seconds()))
	}
}

func (l *line) recipients(to []string) {
	l.WriteString(" for")
	for i, addr := range to {
		if i == maxRecipients {
			fmt.Fprintf(l, " (and %d more)", len(to)-i)
			return
		}
		l.WriteString(" " + clean(addr))
	}
}

func sender(from string) string {
	if from == "" {
		return "<>"
	}
	return clean(from)
}

func cut(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "…"
	}
	return s
}

// clean makes a value fit to stand without quotes: one word of printable ASCII.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == '"' {
			return '?'
		}
		return r
	}, s[:min(len(s), maxText)])
}
