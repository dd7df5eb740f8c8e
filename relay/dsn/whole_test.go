package dsn

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// received and now are those of the notifications below.
var (
	received = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	now      = time.Date(2026, 2, 3, 8, 9, 10, 0, time.FixedZone("", 3600))
)

// head is the header of a notification with a subject, and its part for people up to what
// it says about the recipients.
func head(subject, what string) string {
	return `Date: Tue, 03 Feb 2026 08:09:10 +0100
From: Mail Delivery System <postmaster@relay.example.com>
To: <a@example.com>
Subject: ` + subject + `
Message-ID: <n-1@relay.example.com>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="=_n-1"

--=_n-1
Content-Type: text/plain; charset=us-ascii

This is the mail relay at relay.example.com.

Your message, accepted on Tue, 03 Feb 2026 04:05:06 +0000,
` + what + `

`
}

// The notifications of the three kinds as a whole, as RFC 3464 and RFC 6522 want them: a
// line that is missing or elsewhere is one that mail programs do not find.
func TestWholeNotifications(t *testing.T) {
	mail := &queue.Mail{
		Envelope: queue.Envelope{ID: "m-1", From: "a@example.com", To: []string{"one@example.net", "two@example.net"},
			Received: received, EnvelopeID: "QQ+2B1", Notify: map[string]queue.Notify{
				"one@example.net": {Original: "rfc822;first+2Bone@example.org"}}},
		Body: []byte("Subject: hello\r\nFrom: a@example.com\r\n\r\nbody\r\n"),
	}
	for name, c := range map[string]struct {
		kind    Kind
		full    bool
		results []queue.Result
		want    string
	}{
		"failed, of two": {Failed, true, []queue.Result{{Recipient: 0, State: queue.Undeliverable, Time: received,
			Host: "mx.example.net[192.0.2.7]:25", Code: 550, Status: "5.1.1", Text: "no such user",
			Said: "550-5.1.1 no such user\n550 5.1.1 go away"}},
			head("Undelivered mail returned to sender", "could not be delivered to these recipients:") +
				`  <one@example.net>
    mx.example.net[192.0.2.7]:25 answered: 550-5.1.1 no such user 550 5.1.1 go away

It was delivered to, or is still tried for, the other recipients.

--=_n-1
Content-Type: message/delivery-status

Original-Envelope-Id: QQ+1
Reporting-MTA: dns; relay.example.com
Arrival-Date: Tue, 03 Feb 2026 04:05:06 +0000

Original-Recipient: rfc822; first+one@example.org
Final-Recipient: rfc822; one@example.net
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.net
Diagnostic-Code: smtp; 550-5.1.1 no such user
 550 5.1.1 go away
Last-Attempt-Date: Tue, 03 Feb 2026 04:05:06 +0000

--=_n-1
Content-Type: message/rfc822

Subject: hello
From: a@example.com

body

--=_n-1--
`},
		"delayed, no server": {Delayed, false, []queue.Result{{Recipient: 1, State: queue.Deferred, Time: received}},
			head("Delayed mail, still being tried", "could not be delivered yet to these recipients:") +
				`  <two@example.net>
    no server could be reached so far

It is tried until Tue, 03 Feb 2026 10:09:10 +0100. You need not do anything.

--=_n-1
Content-Type: message/delivery-status

Original-Envelope-Id: QQ+1
Reporting-MTA: dns; relay.example.com
Arrival-Date: Tue, 03 Feb 2026 04:05:06 +0000

Final-Recipient: rfc822; two@example.net
Action: delayed
Status: 4.0.0
Will-Retry-Until: Tue, 03 Feb 2026 10:09:10 +0100

--=_n-1
Content-Type: text/rfc822-headers

Subject: hello
From: a@example.com

--=_n-1--
`},
		"reached, both ways": {Reached, true, []queue.Result{
			{Recipient: 0, State: queue.Delivered, Time: received, Host: "file:///var/mail/one", Text: "in the file"},
			{Recipient: 1, State: queue.Delivered, Time: received, Host: "192.0.2.7:25", Code: 250, Status: "2.6.0",
				Text: "queued"}},
			head("Mail delivered", "was delivered to these recipients, or handed to the next server:") +
				`  <one@example.net>
    in the file
  <two@example.net>
    192.0.2.7:25 answered: 250 2.6.0 queued

--=_n-1
Content-Type: message/delivery-status

Original-Envelope-Id: QQ+1
Reporting-MTA: dns; relay.example.com
Arrival-Date: Tue, 03 Feb 2026 04:05:06 +0000

Original-Recipient: rfc822; first+one@example.org
Final-Recipient: rfc822; one@example.net
Action: delivered
Status: 2.0.0
Last-Attempt-Date: Tue, 03 Feb 2026 04:05:06 +0000

Final-Recipient: rfc822; two@example.net
Action: relayed
Status: 2.6.0
Remote-MTA: dns; [192.0.2.7]
Diagnostic-Code: smtp; 250 2.6.0 queued
Last-Attempt-Date: Tue, 03 Feb 2026 04:05:06 +0000

--=_n-1
Content-Type: text/rfc822-headers

Subject: hello
From: a@example.com

--=_n-1--
`},
	} {
		mail.Results, mail.Return = c.results, ""
		if c.full {
			mail.Return = "FULL"
		}
		r := Report{Kind: c.kind, Mail: mail, Results: c.results, Hostname: "relay.example.com", ID: "n-1", Now: now,
			Until: now.Add(2 * time.Hour)}
		got := strings.ReplaceAll(string(r.Message()), "\r\n", "\n")
		if got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// The status is of the class that the kind asks for (RFC 3464, section 2.3.4), but for the
// one that says that the time was up.
func TestClassesOfStatus(t *testing.T) {
	for _, c := range []struct {
		kind   Kind
		status string
		want   string
	}{
		{Failed, "5.7.1", "5.7.1"}, {Failed, "4.2.2", "5.0.0"}, {Failed, "", "5.0.0"}, {Failed, "4.4.7", "4.4.7"},
		{Delayed, "4.2.2", "4.2.2"}, {Delayed, "5.1.1", "4.0.0"}, {Delayed, "", "4.0.0"},
		{Reached, "2.1.5", "2.1.5"}, {Reached, "", "2.0.0"}, {Reached, "4.4.7", "2.0.0"},
	} {
		if got := (&Report{Kind: c.kind}).status(queue.Result{Status: c.status}); got != c.want {
			t.Errorf("%d with %q: %q, want %q", c.kind, c.status, got, c.want)
		}
	}
}

// xtext as RFC 3461, section 4, has it; what would end the line or is none is left out.
func TestXtext(t *testing.T) {
	for in, want := range map[string]string{"": "", "plain": "plain", "a+2Bb": "a+b", "a+3Db": "a=b", "+41+42": "AB",
		"a+0D+0ABcc: x": "aBcc: x", "a+zz": "", "a+4": "a+4", "a+": "a+", "caf\xc3\xa9": "caf", "+7F+7E": "~",
		"+20x": " x"} {
		if got := decode(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// Servers have the form of RFC 3464, section 2.3.5: a name, else an address as in SMTP
// (RFC 5321, section 4.1.3), without the port.
func TestNamesOfServers(t *testing.T) {
	for in, want := range map[string]string{"mx.example.com[192.0.2.1]:25": "mx.example.com",
		"mx.example.com:587": "mx.example.com", "mx.example.com": "mx.example.com", "192.0.2.1:25": "[192.0.2.1]",
		"192.0.2.1": "[192.0.2.1]", "[2001:db8::1]:25": "[IPv6:2001:db8::1]", "2001:db8::1": "[IPv6:2001:db8::1]"} {
		if got := remoteMTA(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// Long lines are folded below what every server takes, at spaces where there are some,
// and nothing of them is lost.
func TestLongReasons(t *testing.T) {
	for _, line := range []string{"", "short", strings.Repeat("x", 900), strings.Repeat("x", 901),
		strings.Repeat("x", 2000), strings.Repeat("word ", 700) + "end", " " + strings.Repeat("x", 950),
		strings.Repeat("x", 899) + " y", strings.Repeat("x", 900) + " y"} {
		got := fold(line, "\t")
		for part := range strings.SplitSeq(got, "\r\n") {
			if len(part) > 901 || part == "\t" {
				t.Errorf("a line of %d octets of %d", len(part), len(line))
			}
		}
		if back := strings.ReplaceAll(got, "\r\n\t", ""); strings.ReplaceAll(back, " ", "") !=
			strings.ReplaceAll(line, " ", "") {
			t.Errorf("%d octets are %d without the folding", len(line), len(back))
		}
		if len(line) <= 900 && got != line {
			t.Errorf("%d octets are folded", len(line))
		}
	}
}

// Of the original's header whole lines are returned, 64 KiB at most; of a mail over 1 MiB
// not the body, whatever the sender asked for.
func TestHowMuchIsReturned(t *testing.T) {
	line := []byte("X: " + strings.Repeat("y", 97) + "\r\n") // 102 octets
	long := bytes.Repeat(line, 2000)
	for what, c := range map[string]struct {
		body []byte
		want int
	}{
		"a header": {append(bytes.Repeat(line, 3), "\r\nbody"...), 3 * 102}, "no body": {line, 102},
		"a long header": {append(bytes.Clone(long), "\r\nbody"...), 65536 / 102 * 102},
		"one long line": {bytes.Repeat([]byte("z"), 70000), 0}, "nothing": {nil, 0},
	} {
		if got := header(c.body); len(got) != c.want || !bytes.HasPrefix(c.body, got) {
			t.Errorf("%s: %d octets are returned, want %d", what, len(got), c.want)
		}
	}
	for size, whole := range map[int]bool{1 << 20: true, 1<<20 + 1: false} {
		body := append([]byte("Subject: x\r\n\r\n"), bytes.Repeat([]byte("b"), size)...)[:size]
		mail := &queue.Mail{Envelope: queue.Envelope{From: "a@b", To: []string{"c@d"}, Return: "FULL"}, Body: body}
		got := (&Report{Mail: mail, Results: []queue.Result{{}}, ID: "1", Hostname: "h"}).Message()
		if bytes.Contains(got, body) != whole {
			t.Errorf("a mail of %d octets is returned whole: %v", size, !whole)
		}
	}
}
