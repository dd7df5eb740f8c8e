// Package dsn writes delivery status notifications: multipart/report messages that
// tell a sender what became of recipients of a mail (RFC 3464 in the form of RFC 6522):
// that they have failed, are delayed, or were reached. The original's header comes along;
// of a failed one the whole message, when the sender has asked for it (RFC 3461 section
// 4.3). It decides nothing: whether a notification may be sent is the caller's matter; one
// is never due for the null sender.
package dsn

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/message"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// maxHeader is how much of the original's header is returned, maxReturned how long a
// message may be that is returned whole, both in octets.
const (
	maxHeader   = 64 << 10
	maxReturned = 1 << 20
)

// Kind is what a notification is about.
type Kind int

// The kinds. Reached recipients have their mail: it is in a place on this machine, or a
// server has taken it that sends no notifications itself.
const (
	Failed Kind = iota
	Delayed
	Reached
)

// Report is a notification to be written.
type Report struct {
	Kind Kind
	Mail *queue.Mail
	// Results are those of the recipients that it is about.
	Results []queue.Result
	// Hostname is ours, ID the notification's own mail id.
	Hostname, ID string
	// Now is its date, Until when a delayed mail is given up.
	Now, Until time.Time
}

// words are the subject and the first sentence of each kind.
var words = [...]struct{ subject, what string }{
	Failed:  {"Undelivered mail returned to sender", "could not be delivered to these recipients:"},
	Delayed: {"Delayed mail, still being tried", "could not be delivered yet to these recipients:"},
	Reached: {"Mail delivered", "was delivered to these recipients, or handed to the next server:"},
}

// Message gives the notification. Lines end with CRLF; the text is 7-bit unless what is
// returned of the original is not.
func (r *Report) Message() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, format, args...)
		b.WriteString("\r\n")
	}
	boundary := "=_" + r.ID
	line("Date: %s", message.Date(r.Now))
	line("From: Mail Delivery System <postmaster@%s>", r.Hostname)
	line("To: <%s>", r.Mail.From)
	line("Subject: %s", words[r.Kind].subject)
	line("Message-ID: <%s@%s>", r.ID, r.Hostname)
	line("Auto-Submitted: auto-replied")
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status;")
	line("\tboundary=\"%s\"", boundary)
	line("")
	line("--%s", boundary)
	line("Content-Type: text/plain; charset=us-ascii")
	line("")
	r.text(line)
	line("")
	line("--%s", boundary)
	line("Content-Type: message/delivery-status")
	line("")
	r.fields(line)
	line("")
	line("--%s", boundary)
	if r.Kind == Failed && r.Mail.Return == "FULL" && len(r.Mail.Body) <= maxReturned {
		line("Content-Type: message/rfc822")
		line("")
		b.Write(r.Mail.Body)
	} else {
		line("Content-Type: text/rfc822-headers")
		line("")
		b.Write(header(r.Mail.Body))
	}
	line("")
	line("--%s--", boundary)
	return b.Bytes()
}

// text is for people.
func (r *Report) text(line func(format string, args ...any)) {
	line("This is the mail relay at %s.", r.Hostname)
	line("")
	line("Your message, accepted on %s,", message.Date(r.Mail.Received))
	line("%s", words[r.Kind].what)
	line("")
	for _, result := range r.Results {
		line("  <%s>", r.Mail.To[result.Recipient])
		line("    %s", fold(reason(result), "    "))
	}
	switch {
	case r.Kind == Delayed:
		line("")
		line("It is tried until %s. You need not do anything.", message.Date(r.Until))
	case r.Kind == Failed && waiting(r.Mail):
		line("")
		line("It was delivered to, or is still tried for, the other recipients.")
	}
}

// fields are those of message/delivery-status (RFC 3464 section 2).
func (r *Report) fields(line func(format string, args ...any)) {
	if id := decode(r.Mail.EnvelopeID); id != "" {
		line("Original-Envelope-Id: %s", id)
	}
	line("Reporting-MTA: dns; %s", r.Hostname)
	line("Arrival-Date: %s", message.Date(r.Mail.Received))
	for _, result := range r.Results {
		to := r.Mail.To[result.Recipient]
		line("")
		if kind, original, ok := strings.Cut(r.Mail.Notify[to].Original, ";"); ok {
			line("Original-Recipient: %s; %s", kind, decode(original))
		}
		line("Final-Recipient: rfc822; %s", to)
		line("Action: %s", r.action(result))
		line("Status: %s", r.status(result))
		if result.Code != 0 && !stored(result) {
			line("Remote-MTA: dns; %s", remoteMTA(result.Host))
			line("Diagnostic-Code: smtp; %s", diagnostic(result))
		}
		if result.Host != "" || r.Kind == Failed {
			line("Last-Attempt-Date: %s", message.Date(result.Time))
		}
		if r.Kind == Delayed {
			line("Will-Retry-Until: %s", message.Date(r.Until))
		}
	}
}

// stored tells that a mail has gone into a place on this machine, whose name is a URL.
func stored(r queue.Result) bool { return strings.Contains(r.Host, "://") }

func (r *Report) action(result queue.Result) string {
	switch {
	case r.Kind == Failed:
		return "failed"
	case r.Kind == Delayed:
		return "delayed"
	case stored(result):
		return "delivered"
	}
	return "relayed"
}

// status gives the enhanced status code, of the class that the kind asks for; one is
// required (RFC 3464 section 2.3.4).
func (r *Report) status(result queue.Result) string {
	class := map[Kind]string{Failed: "5", Delayed: "4", Reached: "2"}[r.Kind]
	if strings.HasPrefix(result.Status, class) || r.Kind == Failed && result.Status == expired {
		return result.Status
	}
	return class + ".0.0"
}

// decode reads xtext (RFC 3461 section 4); what is not printable ASCII is left out.
func decode(xtext string) string {
	var b strings.Builder
	for i := 0; i < len(xtext); i++ {
		c := xtext[i]
		if c == '+' && i+2 < len(xtext) {
			n, err := strconv.ParseUint(xtext[i+1:i+3], 16, 8)
			if err != nil {
				return ""
			}
			c, i = byte(n), i+2
		}
		if c >= ' ' && c < 0x7f {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// waiting tells whether other recipients have not failed.
func waiting(mail *queue.Mail) bool {
	for _, state := range mail.States() {
		if state != queue.Undeliverable {
			return true
		}
	}
	return false
}

// reason tells people why; a text of ours says it all.
func reason(r queue.Result) string {
	switch {
	case r.Text == "" && r.Code == 0:
		return "no server could be reached so far"
	case r.Code == 0 || r.Status == expired || stored(r):
		return r.Text
	}
	return fmt.Sprintf("%s answered: %s", r.Host, strings.ReplaceAll(said(r), "\n", " "))
}

// said is the reply as the server said it.
func said(r queue.Result) string {
	if r.Said != "" {
		return r.Said
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", r.Code, strings.TrimSpace(r.Status+" "+r.Text)))
}

// diagnostic is the reply as the value of a header field: each of its lines on a line of
// its own, folded where it is long (RFC 5322 section 2.2.3).
func diagnostic(r queue.Result) string {
	lines := strings.Split(said(r), "\n")
	for i, line := range lines {
		lines[i] = fold(line, "\t")
	}
	return strings.Join(lines, "\r\n ")
}

// maxLine is the length of a line in octets from which it is folded.
const maxLine = 900

// fold breaks a long line, at spaces where there are some.
func fold(line, indent string) string {
	var b strings.Builder
	for len(line) > maxLine {
		at := strings.LastIndexByte(line[:maxLine], ' ')
		if at <= 0 {
			at = maxLine
		}
		b.WriteString(line[:at] + "\r\n" + indent)
		line = strings.TrimLeft(line[at:], " ")
	}
	return b.String() + line
}

// remoteMTA is a server's name without its port and its address; an address where it has
// no name.
func remoteMTA(host string) string {
	if name, _, ok := strings.Cut(host, "["); ok && name != "" {
		return name
	}
	name := host
	if bare, _, err := net.SplitHostPort(host); err == nil {
		name = bare
	}
	switch addr, err := netip.ParseAddr(name); {
	case err != nil:
		return name
	case addr.Is4():
		return "[" + name + "]"
	}
	return "[IPv6:" + name + "]"
}

// expired is "delivery time expired" (RFC 3463).
const expired = "4.4.7"

// header gives whole lines of a message's header.
func header(m []byte) []byte {
	if i := bytes.Index(m, []byte("\r\n\r\n")); i >= 0 {
		m = m[:i+2]
	}
	if len(m) > maxHeader {
		m = m[:bytes.LastIndexByte(m[:maxHeader], '\n')+1]
	}
	return m
}
