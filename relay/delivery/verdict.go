package delivery

import (
	"regexp"
	"strings"
	"sync"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// verdict is what an answer means for a recipient.
type verdict struct {
	state queue.State
	// route means that the refusal is about this relay, not about the mail: the next
	// server is asked, and an alarm raised.
	route bool
	// fewer means that the server wants fewer recipients at a time.
	fewer bool
}

// judge says what an answer means. direct is for a domain's own servers, which decide
// about their own recipients for good.
//
// A 5xx is for good when it is about the mail: a recipient, the sender's right to write
// to that recipient, the message. It is about the route when it is about this relay: not
// allowed to relay, not logged in, no TLS, its name in EHLO, its address. Then every mail
// would meet it, and a person must set something right: the mail waits, as an
// administrator of exim or Postfix would want it.
func judge(a *answer, direct bool) verdict {
	code, status, text := a.code(), "", ""
	if a.reply != nil {
		status, text = a.reply.status, a.reply.text()
	}
	switch {
	case code/100 == 2:
		return verdict{state: queue.Delivered}
	case a.step != "MAIL" && wantsFewer(a.step, code, status, text):
		return verdict{state: queue.Deferred, fewer: true}
	case code/100 != 5:
		return verdict{state: queue.Deferred}
	case a.step == "MAIL" && (direct || code == 552 || isSize(status)):
		return verdict{state: queue.Undeliverable}
	case a.step == "MAIL", aboutRelay(a.step, code, status, text, direct):
		return verdict{state: queue.Deferred, route: true}
	}
	return verdict{state: queue.Undeliverable}
}

// isSize tells whether a status is about the size of the mail.
func isSize(status string) bool { return status == "5.3.4" || status == "5.2.3" }

// wantsFewer tells whether an answer means too many recipients. 452 is the code for it,
// and 552 that of older servers, which must be taken for 452 (RFC 5321 section
// 4.5.3.1.10) unless it is about a mailbox or the mail.
func wantsFewer(step string, code int, status, text string) bool {
	if status == "5.5.3" || status == "4.5.3" || strings.Contains(strings.ToLower(text), "too many recipients") {
		return code/100 == 4 || code/100 == 5
	}
	if step != "RCPT" {
		return false
	}
	return (code == 552 && status == "" && !sizeWords().MatchString(text)) || (code == 452 && status == "")
}

// Codes that are never about a recipient: a parameter, here the name in EHLO, a bad
// sequence of commands, and those of AUTH and STARTTLS.
var relayCodes = map[int]bool{503: true, 504: true, 530: true, 534: true, 535: true, 538: true}

// Enhanced status codes (RFC 3463, 4954, 7372, and those of Exchange) about whoever
// connects.
var relayStatus = map[string]bool{
	"5.5.4": true, "5.7.3": true, "5.7.8": true, "5.7.9": true, "5.7.10": true, "5.7.11": true, "5.7.12": true,
	"5.7.13": true, "5.7.14": true, "5.7.25": true, "5.7.54": true, "5.7.57": true, "5.7.64": true,
}

// words returns an expression that is compiled when it is asked for first: each command of
// the binary would wait for it otherwise.
func words(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

var (
	// ofTheMail are the statuses about addresses, mailboxes, loops and content.
	ofTheMail = words(`^5\.[1246]\.`)
	sizeWords = words(`(?i)size|too (big|large)|quota|mailbox|storage|full|space`)
	brackets  = words(`<[^>]*>`)

	// relayWords name whoever connects.
	relayWords = words(`(?i)\brelay(ing)? (access |is |was |mail )*` +
		`(denied|not|prohibited|refused|rejected|forbidden|disallowed)` +
		`|(unable|not (allowed|permitted|authori[sz]ed)|cannot|can't|do(es)? not|don't|refuse\w*|will not|won't|no)` +
		` (to |for )?relay` +
		`|\brelay(ing)?( mail| messages?)? +(to|for|from|through|via)\b[^;]{0,100}\b` +
		`(denied|prohibited|refused|rejected|forbidden|disallowed|not (allowed|permitted|authori[sz]ed))` +
		`|rcpthosts|\b(helo|ehlo)\b|client host|reverse dns|\bptr\b` +
		`|dnsbl|\brbl\b|spamhaus|black ?list|block ?list|your (ip|host|server|network)|starttls` +
		`|\bauth(enticat(ion|e))? (is )?(required|first|needed)` +
		`|must (first )?authenticate|not authenticated|log ?in first`)
	// mailWords name what is of one mail.
	mailWords = words(`(?i)sender|from|recipient|user|mailbox|address|account|list|group|member|post` +
		`|content|message|e-?mail|spam|virus|malware|attachment|dmarc|spf|dkim|policy|quota|size|header|subject|` +
		`url|domain`)
)

// aboutRelay tells whether a 5xx to RCPT, DATA or the message is about this relay. The
// code and the status decide when they can. 5.7.1 says only that something is not
// allowed: its words tell what. When they name neither, at RCPT or DATA, the relay is
// meant, and the mail waits: a refusal that comes late costs less than a lost mail.
func aboutRelay(step string, code int, status, text string, direct bool) bool {
	if relayCodes[code] && step != "dot" {
		return true
	}
	if direct || ofTheMail().MatchString(status) || isSize(status) {
		return false
	}
	text = brackets().ReplaceAllString(text, "")
	switch {
	case relayStatus[status] && step != "dot":
		return true
	case strings.Contains(strings.ToLower(text), "recipient table"): // Postfix's relay recipients
		return false
	case relayWords().MatchString(text):
		return true
	}
	return (status == "5.7.1" || status == "5.7.0") && step != "dot" && !mailWords().MatchString(text)
}
