// Package dsn writes delivery status notifications: multipart/report messages that
// tell a sender which recipients of a mail have failed (RFC 3464 in the form of RFC
// 6522). The original's header comes along, its body does not. It decides nothing:
// whether a notification may be sent is the caller's matter; one is never due for
// the null sender.
package dsn

import (
	"bytes"
	"fmt"
	"time"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// maxHeader is how much of the original's header is returned, in octets.
const maxHeader = 64 << 10

// Failed builds the notification for the failed recipients of mail, to its sender.
// hostname is ours, id the notification's own mail id. Lines end with CRLF; the
// text is 7-bit unless the original's header is not.
func Failed(mail *queue.Mail, hostname, id string, now time.Time) []byte {
	boundary := "=_" + id
	var b bytes.Buffer
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, format, args...)
		b.WriteString("\r\n")
	}
	date := now.Format("Mon, 02 Jan 2006 15:04:05 -0700")
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
	line("Your message, accepted on %s,", mail.Received.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	line("could not be delivered to these recipients:")
	line("")
	failed := failures(mail)
	for _, r := range failed {
		line("  <%s>", mail.To[r.Recipient])
		line("    %s", reason(r))
	}
	line("")
	line("--%s", boundary)
	line("Content-Type: message/delivery-status")
	line("")
	line("Reporting-MTA: dns; %s", hostname)
	line("Arrival-Date: %s", mail.Received.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	for _, r := range failed {
		line("")
		line("Final-Recipient: rfc822; %s", mail.To[r.Recipient])
		line("Action: failed")
		line("Status: %s", status(r))
		if r.Code != 0 {
			line("Remote-MTA: dns; %s", r.Host)
			line("Diagnostic-Code: smtp; %d %s %s", r.Code, status(r), r.Text)
		}
		line("Last-Attempt-Date: %s", r.Time.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
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

// failures gives the last result of each recipient that failed for good.
func failures(mail *queue.Mail) []queue.Result {
	last := make([]queue.Result, len(mail.To))
	for _, r := range mail.Results {
		last[r.Recipient] = r
	}
	failed := last[:0]
	for _, r := range last {
		if r.State == queue.Undeliverable {
			failed = append(failed, r)
		}
	}
	return failed
}

func reason(r queue.Result) string {
	if r.Code == 0 {
		return r.Text
	}
	return fmt.Sprintf("%s answered: %d %s %s", r.Host, r.Code, r.Status, r.Text)
}

// status is the enhanced status code; one is required (RFC 3464 section 2.3.4).
func status(r queue.Result) string {
	if r.Status != "" && r.Status[0] == '5' || r.Status == "4.4.7" {
		return r.Status
	}
	return "5.0.0"
}

// header gives whole lines of a message's header.
func header(message []byte) []byte {
	if i := bytes.Index(message, []byte("\r\n\r\n")); i >= 0 {
		message = message[:i+2]
	}
	if len(message) > maxHeader {
		message = message[:bytes.LastIndexByte(message[:maxHeader], '\n')+1]
	}
	return message
}
