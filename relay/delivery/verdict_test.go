package delivery

import (
	"testing"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// Answers of the mail servers in use, and what an administrator would make of them.
func TestJudge(t *testing.T) {
	const (
		delivered = "delivered"
		waits     = "waits"
		fewer     = "fewer"
		route     = "route"
		fails     = "fails"
	)
	for _, tt := range []struct{ step, answer, want string }{
		{"dot", "250 2.0.0 queued as 12345", delivered},
		{"RCPT", "450 4.2.0 <x@example.com>: Recipient address rejected: Greylisted", waits},
		{"RCPT", "452 4.2.2 The email account is over quota", waits},
		{"RCPT", "452 4.5.3 Too many recipients", fewer},
		{"RCPT", "552 Too many recipients", fewer},
		{"RCPT", "552 5.2.2 Mailbox full", fails},
		{"RCPT", "552 mailbox full", fails},
		{"RCPT", "552 5.3.4 Message size exceeds fixed limit", fails},
		{"MAIL", "552 5.3.4 Message size exceeds fixed limit", fails},
		{"MAIL", "552 Message exceeds maximum fixed size", fails},
		{"dot", "552 5.3.4 Message too big", fails},
		{"MAIL", "550 5.7.1 sender refused", route},
		{"MAIL", "530 5.7.0 Must issue a STARTTLS command first", route},
		// the relay
		{"RCPT", "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", route},
		{"RCPT", "530 5.7.0 Authentication required", route},
		{"RCPT", "530 5.7.57 Client not authenticated to send mail", route},
		{"RCPT", "550 relay not permitted", route},
		{"RCPT", "550 5.7.1 Relaying denied", route},
		{"RCPT", "550 5.7.1 Unable to relay for x@example.com", route},
		{"RCPT", "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", route},
		{"RCPT", "554 5.7.1 <x@example.com>: Relay access denied", route},
		{"RCPT", "550 5.7.64 TenantAttribution; Relay Access Denied", route},
		{"RCPT", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", route},
		{"RCPT", "554 5.7.1 <h[192.0.2.1]>: Client host rejected: Access denied", route},
		{"RCPT", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", route},
		{"RCPT", "554 5.7.1 <localhost>: Helo command rejected: Access denied", route},
		{"RCPT", "550 5.7.25 reverse DNS validation failed", route},
		{"RCPT", "550 5.7.1 Access denied", route},
		{"RCPT", "503 5.5.1 Error: authentication required", route},
		{"DATA", "554 5.7.1 Relay access denied", route},
		{"DATA", "554 5.7.1 Access denied", route},
		{"DATA", "530 5.7.0 Authentication required", route},
		{"dot", "550 relay not permitted", route},
		{"RCPT", "550 relaying to <x@example.com> prohibited by administrator", route},
		{"RCPT", "550 relaying mail to example.net is not allowed", route},
		{"RCPT", "550 Relay from 192.0.2.1 denied", route},
		{"RCPT", "550 SMTP AUTH is required", route},
		{"RCPT", "550 AUTH first", route},
		{"RCPT", "550 You must authenticate to use this server", route},
		{"RCPT", "550 we do not relay", route},
		// words of an address are not the server's
		{"RCPT", "550 5.7.1 <no.relay@ehlo.example.com>: Recipient address rejected: blocked", fails},
		// the mail
		{"RCPT", "550 5.1.1 <x@example.com>: Recipient address rejected: User unknown in relay recipient table", fails},
		{"RCPT", "550 <x@example.com>: User unknown in relay recipient table", fails},
		{"RCPT", "550 5.1.1 no such user", fails},
		{"RCPT", "550 5.1.1 <relay-denied@example.com> unknown", fails},
		{"RCPT", "550 no such user here", fails},
		{"RCPT", "550 the relay knows no such user", fails},
		{"RCPT", "550 message from this author rejected", fails},
		{"RCPT", "551 user not local", fails},
		{"RCPT", "554 5.7.1 <x@example.com>: Recipient address rejected: Access denied", fails},
		{"RCPT", "554 5.7.1 <a@example.com>: Sender address rejected: Access denied", fails},
		{"RCPT", "550 5.7.1 You are not a member of this list", fails},
		{"RCPT", "550 5.7.60 Client does not have permissions to send as this sender", fails},
		{"dot", "554 5.4.6 mail loop: this relay has had this message before", fails},
		{"dot", "550 5.7.1 Message rejected as spam", fails},
		{"dot", "554 5.7.1 no", fails},
		{"dot", "550 5.7.26 Unauthenticated email is not accepted due to the domain's DMARC policy", fails},
		{"DATA", "554 5.5.1 no valid recipients", fails},
	} {
		code := int(tt.answer[0]-'0')*100 + int(tt.answer[1]-'0')*10 + int(tt.answer[2]-'0')
		r := &reply{code: code}
		r.addLine(tt.answer[:4], tt.answer[4:])
		v := judge(&answer{step: tt.step, reply: r}, false)
		got := waits
		switch {
		case v.state == queue.Delivered:
			got = delivered
		case v.state == queue.Undeliverable:
			got = fails
		case v.route:
			got = route
		case v.fewer:
			got = fewer
		}
		if got != tt.want {
			t.Errorf("%s: %q: %s, want %s", tt.step, tt.answer, got, tt.want)
		}
	}
}

// A domain's own servers decide about its recipients; what is about our name or about TLS
// waits all the same.
func TestJudgeDirect(t *testing.T) {
	for text, want := range map[string]queue.State{
		"554 5.7.1 <x@example.com>: Relay access denied":                            queue.Undeliverable,
		"550 5.7.1 Access denied":                                                   queue.Undeliverable,
		"504 5.5.2 <localhost>: Helo command rejected: need a fully-qualified name": queue.Deferred,
		"530 5.7.0 Must issue a STARTTLS command first":                             queue.Deferred,
	} {
		r := &reply{code: int(text[0]-'0')*100 + int(text[1]-'0')*10 + int(text[2]-'0')}
		r.addLine(text[:4], text[4:])
		if v := judge(&answer{step: "RCPT", reply: r}, true); v.state != want {
			t.Errorf("%q: %s, want %s", text, v.state, want)
		}
	}
}
