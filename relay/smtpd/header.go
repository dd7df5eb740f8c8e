package smtpd

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/message"
)

// maxReceived is a limit that RFC 5321 section 6.3 asks for, at least 100; alert mail has
// short ways.
const maxReceived = 30

// traceInfo is what the Received field of RFC 5321 section 4.4 tells.
type traceInfo struct {
	helo     string
	client   netip.Addr
	hostname string
	id       string
	instance string
	now      time.Time
	protocol string // RFC 3848
}

// editHeader checks a message's header and gives the message with a Received field
// in front, Date and Message-ID added when absent, Bcc removed, and lines that are too
// long folded. All other octets stay. Lines of m end with CRLF.
func editHeader(m []byte, trace *traceInfo) ([]byte, *smtp.SMTPError) {
	if bytes.IndexByte(m, 0) >= 0 {
		return nil, reply(554, smtp.EnhancedCode{5, 6, 0}, "message has a NUL")
	}
	head, rest := message.Split(m)
	found, refusal := checkHeader(head, trace)
	if refusal != nil {
		return nil, refusal
	}
	out := make([]byte, 0, len(m)+512)
	out = append(out, trace.received()...)
	if !found.date {
		out = fmt.Appendf(out, "Date: %s\r\n", message.Date(trace.now))
	}
	if !found.id {
		out = fmt.Appendf(out, "Message-ID: <%s@%s>\r\n", trace.id, trace.hostname)
	}
	for field := range message.Fields(head) {
		if !message.Is(field, "bcc", "resent-bcc") {
			out = message.Fold(out, field)
		}
	}
	return append(out, rest...), nil
}

// found is what a header has.
type found struct{ date, id bool }

// checkHeader refuses a header that must not be passed on.
func checkHeader(head []byte, trace *traceInfo) (f found, refusal *smtp.SMTPError) {
	from, received := 0, 0
	own := []byte(" id " + trace.instance + "-")
	for field := range message.Fields(head) {
		switch {
		case message.Is(field, "date"):
			f.date = true
		case message.Is(field, "message-id"):
			f.id = true
		case message.Is(field, "from"):
			from++
		case message.Is(field, "received"):
			received++
			if trace.instance != "" && bytes.Contains(field, own) {
				return f, reply(554, smtp.EnhancedCode{5, 4, 6}, "mail loop: this relay has had this message before")
			}
		}
	}
	switch {
	case received > maxReceived:
		return f, reply(554, smtp.EnhancedCode{5, 4, 6}, "mail loop: more than %d Received fields", maxReceived)
	case from > 1:
		return f, reply(554, smtp.EnhancedCode{5, 6, 0}, "message has more than one From field")
	}
	return f, nil
}

// received makes our trace field. What the client said of itself appears only when
// it is a plain name.
func (t traceInfo) received() string {
	helo := "unknown"
	if name, err := address.ParseDomain(t.helo); err == nil {
		helo = name
	}
	client := t.client.String()
	if t.client.Is6() {
		client = "IPv6:" + client
	}
	return fmt.Sprintf("Received: from %s ([%s])\r\n\tby %s (flowgraf) with %s id %s;\r\n\t%s\r\n",
		helo, client, t.hostname, t.protocol, t.id, message.Date(t.now))
}

// isUrgent tells whether a field of the header asks for a fast way: X-Priority of 1 or 2,
// Importance high (RFC 4021), or Priority urgent (RFC 2156).
func isUrgent(m []byte) bool {
	head, _ := message.Split(m)
	for field := range message.Fields(head) {
		value := message.Value(field)
		switch {
		case message.Is(field, "x-priority"):
			if bytes.HasPrefix(value, []byte("1")) || bytes.HasPrefix(value, []byte("2")) {
				return true
			}
		case message.Is(field, "importance") && strings.EqualFold(string(value), "high"),
			message.Is(field, "priority") && strings.EqualFold(string(value), "urgent"):
			return true
		}
	}
	return false
}
