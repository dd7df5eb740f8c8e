// Package dsn writes delivery status notifications: multipart/report messages that
// tell a sender which recipients of a mail have failed (RFC 3464 in the form of RFC
// 6522). The original's header comes along, its body does not. It decides nothing:
// whether a notification may be sent is the caller's matter; one is never due for
// the null sender.
package dsn

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/message"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// maxHeader is how much of the original's header is returned, in octets.
const maxHeader = 64 << 10

// Failed builds the notification for these failed recipients of mail, to its sender.
// hostname is ours, id the notification's own mail id. Lines end with CRLF; the
// text is 7-bit unless the original's header is not.
func Failed(mail *queue.Mail, failed []queue.Result, hostname, id string, now time.Time) []byte {
	boundary := "=_" + id
	var b bytes.Buffer
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, format, args...)
		b.WriteString("\r\n")
	}
	date := message.Date(now)
	line("Date: %s", date)
	line("From: Mail Delivery System <postmaster@%s>", hostname)
	line("To: <%s>", mail.From)
	line("Subject: Undelivered mail returned to sender")
	line("Message-ID: <%s@%s>", id, hostname)
	line("Auto-Submitted: auto-replied")
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status;")
	line("\tboundary=\"%s\"", boundary)
	line("")
	line("--%s", boundary)
	line("Content-Type: text/plain; charset=us-ascii")
	line("")
	line("This is the mail relay at %s.", hostname)
	line("")
	line("Your message, accepted on %s,", message.Date(mail.Received))
	line("could not be delivered to these recipients:")
	line("")
	for _, r := range failed {
		line("  <%s>", mail.To[r.Recipient])
		line("    %s", fold(reason(r), "    "))
	}
	if waiting(mail) {
		line("")
		line("It was delivered to, or is still tried for, the other recipients.")
	}
	line("")
	line("--%s", boundary)
	line("Content-Type: message/delivery-status")
	line("")
	line("Reporting-MTA: dns; %s", hostname)
	line("Arrival-Date: %s", message.Date(mail.Received))
	for _, r := range failed {
		line("")
		line("Final-Recipient: rfc822; %s", mail.To[r.Recipient])
		line("Action: failed")
		line("Status: %s", status(r))
		if r.Code != 0 {
			line("Remote-MTA: dns; %s", remoteMTA(r.Host))
			line("Diagnostic-Code: smtp; %s", diagnostic(r))
		}
		line("Last-Attempt-Date: %s", message.Date(r.Time))
	}
	line("")
	line("--%s", boundary)
	line("Content-Type: text/rfc822-headers")
	line("")
	b.Write(header(mail.Body))
	line("")
	line("--%s--", boundary)
	return b.Bytes()
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
	if r.Code == 0 || r.Status == expired {
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

// status is the enhanced status code; one is required (RFC 3464 section 2.3.4).
func status(r queue.Result) string {
	if r.Status != "" && r.Status[0] == '5' || r.Status == expired {
		return r.Status
	}
	return "5.0.0"
}

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
