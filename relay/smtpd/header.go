package smtpd

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/flowgraf/flowgraf/relay/address"
)

const (
	maxReceived = 30  // RFC 5321 section 6.3 asks for a limit, at least 100; alert mail has short ways
	maxLine     = 998 // octets without CRLF, RFC 5322 section 2.1.1
)

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
// in front, Date and Message-ID added when absent, and Bcc removed. All other
// octets stay. Lines of message end with CRLF.
func editHeader(message []byte, trace traceInfo) ([]byte, *smtp.SMTPError) {
	if bytes.IndexByte(message, 0) >= 0 {
		return nil, reply(554, smtp.EnhancedCode{5, 6, 0}, "message has a NUL")
	}
	head, rest := splitHeader(message)
	out := make([]byte, 0, len(message)+512)
	out = append(out, trace.received()...)
	var kept [][]byte
	seen := map[string]int{}
	for len(head) > 0 {
		field := nextField(head)
		head = head[len(field):]
		name := fieldName(field)
		seen[name]++
		for line := range bytes.SplitSeq(bytes.TrimSuffix(field, []byte("\r\n")), []byte("\r\n")) {
			if len(line) > maxLine {
				return nil, reply(554, smtp.EnhancedCode{5, 6, 0}, "header line over %d octets", maxLine)
			}
		}
		switch {
		case name == "received" && trace.instance != "" && bytes.Contains(field, []byte(" id "+trace.instance+"-")):
			return nil, reply(554, smtp.EnhancedCode{5, 4, 6}, "mail loop: this relay has had this message before")
		case name == "bcc" || name == "resent-bcc":
			continue
		}
		kept = append(kept, field)
	}
	switch {
	case seen["received"] > maxReceived:
		return nil, reply(554, smtp.EnhancedCode{5, 4, 6}, "mail loop: more than %d Received fields", maxReceived)
	case seen["from"] > 1:
		return nil, reply(554, smtp.EnhancedCode{5, 6, 0}, "message has more than one From field")
	}
	if seen["date"] == 0 {
		out = fmt.Appendf(out, "Date: %s\r\n", trace.now.Format(dateFormat))
	}
	if seen["message-id"] == 0 {
		out = fmt.Appendf(out, "Message-ID: <%s@%s>\r\n", trace.id, trace.hostname)
	}
	for _, field := range kept {
		out = append(out, field...)
	}
	return append(out, rest...), nil
}

// dateFormat is RFC 5322 section 3.3.
const dateFormat = "Mon, 02 Jan 2006 15:04:05 -0700"

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
		helo, client, t.hostname, t.protocol, t.id, t.now.Format(dateFormat))
}

// urgent tells whether a field asks for a fast way: X-Priority of 1 or 2, Importance
// high (RFC 4021), or Priority urgent (RFC 2156).
func urgent(name string, field []byte) bool {
	_, value, _ := bytes.Cut(field, []byte(":"))
	text := strings.ToLower(strings.TrimSpace(string(value)))
	switch name {
	case "x-priority":
		return strings.HasPrefix(text, "1") || strings.HasPrefix(text, "2")
	case "importance":
		return text == "high"
	case "priority":
		return text == "urgent"
	}
	return false
}

// isUrgent tells whether a message's header has a field that is urgent.
func isUrgent(message []byte) bool {
	head, _ := splitHeader(message)
	for len(head) > 0 {
		field := nextField(head)
		head = head[len(field):]
		if urgent(fieldName(field), field) {
			return true
		}
	}
	return false
}

// splitHeader parts a message into its header fields and the rest, which begins
// with the empty line. A message whose first lines are not header fields gets that
// line where the fields end.
func splitHeader(message []byte) (head, rest []byte) {
	n := 0
	for n < len(message) {
		if bytes.HasPrefix(message[n:], []byte("\r\n")) {
			return message[:n], message[n:]
		}
		field := nextField(message[n:])
		if fieldName(field) == "" {
			break
		}
		n += len(field)
	}
	return message[:n], append([]byte("\r\n"), message[n:]...)
}

// nextField gives the field at the start of head with its folded lines.
func nextField(head []byte) []byte {
	n := 0
	for {
		i := bytes.Index(head[n:], []byte("\r\n"))
		if i < 0 {
			return head
		}
		n += i + 2
		if n >= len(head) || (head[n] != ' ' && head[n] != '\t') {
			return head[:n]
		}
	}
}

// fieldName gives a field's name in lower case, "" when it has none (RFC 5322
// section 3.6.8; spaces before the colon are the obsolete form of section 4.5).
func fieldName(field []byte) string {
	name, _, found := bytes.Cut(field, []byte(":"))
	if !found {
		return ""
	}
	name = bytes.TrimRight(name, " \t")
	for _, b := range name {
		if b <= ' ' || b >= 0x7f {
			return ""
		}
	}
	return strings.ToLower(string(name))
}
