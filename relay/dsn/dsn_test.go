package dsn

import (
	"bufio"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// RFC 3464 and RFC 6522: a report has three parts, and one group of fields for each
// failed recipient, none for the others.
func TestFailed(t *testing.T) {
	when := time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)
	m := &queue.Mail{
		Envelope: queue.Envelope{ID: "0-1", From: "a@example.com", To: []string{"ok@b", "bad@b", "old@b"},
			Received: when},
		Results: []queue.Result{
			{Recipient: 1, State: queue.Deferred, Code: 450, Text: "later"},
			{Recipient: 0, State: queue.Delivered, Code: 250},
			{Recipient: 1, State: queue.Undeliverable, Time: when, Host: "h:25", Code: 550, Status: "5.1.1",
				Text: "no such user"},
			{Recipient: 2, State: queue.Undeliverable, Time: when, Status: "4.4.7", Text: "not delivered within 24h"},
		},
		Body: []byte("Subject: original\r\nFrom: x\r\n\r\nbody that stays\r\n"),
	}
	text := string((&Report{Mail: m, Results: []queue.Result{m.Results[2], m.Results[3]},
		Hostname: "relay.example.com", ID: "0-2", Now: when}).Message())
	if bare := strings.ReplaceAll(text, "\r\n", ""); strings.ContainsAny(bare, "\r\n") {
		t.Errorf("bare CR or LF in %q", text)
	}
	msg, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("%q %v %v", kind, params, err)
	}
	if msg.Header.Get("To") != "<a@example.com>" || msg.Header.Get("Auto-Submitted") != "auto-replied" {
		t.Errorf("header %v", msg.Header)
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	var kinds, bodies []string
	for {
		p, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(p)
		kinds, bodies = append(kinds, p.Header.Get("Content-Type")), append(bodies, string(b))
	}
	if got := strings.Join(kinds,
		"|"); got != "text/plain; charset=us-ascii|message/delivery-status|text/rfc822-headers" {
		t.Fatalf("parts %s", got)
	}
	if strings.Contains(bodies[0], "ok@b") || !strings.Contains(bodies[0], "bad@b") {
		t.Errorf("text %q", bodies[0])
	}
	r := textproto.NewReader(bufio.NewReader(strings.NewReader(bodies[1] + "\r\n\r\n")))
	for i, want := range []map[string]string{
		{"Reporting-Mta": "dns; relay.example.com"},
		{"Final-Recipient": "rfc822; bad@b", "Action": "failed", "Status": "5.1.1",
			"Diagnostic-Code": "smtp; 550 5.1.1 no such user", "Remote-Mta": "dns; h"},
		{"Final-Recipient": "rfc822; old@b", "Action": "failed", "Status": "4.4.7", "Diagnostic-Code": ""},
	} {
		group, err := r.ReadMIMEHeader()
		if err != nil {
			t.Fatalf("group %d: %v", i, err)
		}
		for key, value := range want {
			if group.Get(key) != value {
				t.Errorf("group %d: %s is %q, want %q", i, key, group.Get(key), value)
			}
		}
	}
	if bodies[2] != "Subject: original\r\nFrom: x\r\n" {
		t.Errorf("returned header %q", bodies[2])
	}
}

// The diagnostic is what the server said, line by line, and long lines are folded so that
// unfolding gives them back; the server stands without its port.
func TestDiagnostic(t *testing.T) {
	long := "550 " + strings.Repeat("word ", 300) + "end"
	for _, tt := range []struct{ host, said, mta, diagnostic string }{
		{"mx.example.com[192.0.2.1]:25", "550-5.1.1 no such user\n550 5.1.1 ask the postmaster", "dns; mx.example.com",
			"smtp; 550-5.1.1 no such user 550 5.1.1 ask the postmaster"},
		{"192.0.2.1:25", "550 no", "dns; [192.0.2.1]", "smtp; 550 no"},
		{"[2001:db8::1]:2525", "550 no", "dns; [IPv6:2001:db8::1]", "smtp; 550 no"},
		{"mx.example.com:587", long, "dns; mx.example.com", "smtp; " + long},
	} {
		m := &queue.Mail{
			Envelope: queue.Envelope{From: "a@example.com", To: []string{"bad@b"}}, Body: []byte("Subject: x\r\n\r\n"),
			Results: []queue.Result{{State: queue.Undeliverable, Host: tt.host, Code: 550, Said: tt.said}},
		}
		text := string((&Report{Mail: m, Results: m.Results, Hostname: "relay.example.com", ID: "0-2",
			Now: time.Now()}).Message())
		for line := range strings.SplitSeq(text, "\r\n") {
			if len(line) > 998 {
				t.Errorf("a line of %d octets", len(line))
			}
		}
		_, fields, _ := strings.Cut(text, "Content-Type: message/delivery-status\r\n\r\n")
		r := textproto.NewReader(bufio.NewReader(strings.NewReader(fields)))
		r.ReadMIMEHeader()
		group, err := r.ReadMIMEHeader()
		if err != nil {
			t.Fatal(err)
		}
		if group.Get("Remote-MTA") != tt.mta || group.Get("Diagnostic-Code") != tt.diagnostic {
			t.Errorf("Remote-MTA %q, Diagnostic-Code %q", group.Get("Remote-MTA"), group.Get("Diagnostic-Code"))
		}
	}
}

// Of an expired mail the last answer is told, with its code.
func TestExpired(t *testing.T) {
	m := &queue.Mail{
		Envelope: queue.Envelope{From: "a@example.com", To: []string{"x@b", "ok@b"}},
		Body:     []byte("Subject: x\r\n\r\n"),
		Results: []queue.Result{{
			State: queue.Undeliverable, Host: "mx.example.com:25", Code: 451, Status: "4.4.7", Said: "451 4.3.0 later",
			Text: "not delivered within 24h0m0s: the last answer was later",
		}},
	}
	text := string((&Report{Mail: m, Results: m.Results, Hostname: "relay.example.com", ID: "0-2",
		Now: time.Now()}).Message())
	for _, want := range []string{
		"    not delivered within 24h0m0s: the last answer was later\r\n", "Status: 4.4.7\r\n",
		"Diagnostic-Code: smtp; 451 4.3.0 later\r\n", "Remote-MTA: dns; mx.example.com\r\n",
		"the other recipients.\r\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in it:\n%s", want, text)
		}
	}
}

// What notifications of delays and deliveries say, with the sender's own words (RFC 3461 section 6.3).
func TestKinds(t *testing.T) {
	when := time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)
	m := &queue.Mail{
		Envelope: queue.Envelope{From: "a@example.com", To: []string{"x@b", "y@b"}, Received: when, Return: "FULL",
			EnvelopeID: "QQ+2B1", Notify: map[string]queue.Notify{"x@b": {Original: "rfc822;first+2Bone@b"}}},
		Body: []byte("Subject: x\r\n\r\nthe text\r\n"),
	}
	answered := queue.Result{Time: when, Host: "mx.b:25", Code: 250, Status: "2.1.5", Text: "taken",
		Said: "250 2.1.5 taken"}
	kept := queue.Result{Recipient: 1, Time: when, Host: "mbox:///var/mail/y", Code: 250, Status: "2.0.0",
		Text: "stored in /var/mail/y"}
	later := queue.Result{Time: when, Host: "mx.b:25", Code: 451, Status: "4.7.1", Text: "later",
		Said: "451 4.7.1 later"}
	failed := queue.Result{Time: when, Host: "mx.b:25", Code: 550, Status: "5.1.1", Text: "no", Said: "550 5.1.1 no"}
	common := []string{"Original-Envelope-Id: QQ+1\r\n", "Original-Recipient: rfc822; first+one@b\r\n"}
	for _, tt := range []struct {
		kind    Kind
		results []queue.Result
		want    []string
		without string
	}{
		{Reached, []queue.Result{answered, kept}, []string{"Subject: Mail delivered\r\n",
			"Action: relayed\r\nStatus: 2.1.5\r\n",
			"Action: delivered\r\nStatus: 2.0.0\r\n", "Remote-MTA: dns; mx.b\r\n", "text/rfc822-headers"}, "the text"},
		{Delayed, []queue.Result{later, {Recipient: 1}}, []string{"Subject: Delayed mail",
			"Action: delayed\r\nStatus: 4.7.1\r\n",
			"Action: delayed\r\nStatus: 4.0.0\r\n", "Will-Retry-Until: Tue, 03 Jan 2006 15:04:05 +0000\r\n",
			"no server could be reached so far\r\n"}, "the text"},
		{Failed, []queue.Result{failed}, []string{"Action: failed\r\nStatus: 5.1.1\r\n",
			"Content-Type: message/rfc822\r\n\r\n" +
				"Subject: x\r\n\r\nthe text\r\n"}, "text/rfc822-headers"},
	} {
		r := &Report{Kind: tt.kind, Mail: m, Results: tt.results, Hostname: "relay.example.com", ID: "0-2", Now: when,
			Until: when.Add(24 * time.Hour)}
		text := string(r.Message())
		for _, want := range append(tt.want, common...) {
			if !strings.Contains(text, want) {
				t.Errorf("kind %d: %q is not in it:\n%s", tt.kind, want, text)
			}
		}
		if strings.Contains(text, tt.without) {
			t.Errorf("kind %d: %q is in it:\n%s", tt.kind, tt.without, text)
		}
	}
}
