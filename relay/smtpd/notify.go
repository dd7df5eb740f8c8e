package smtpd

import (
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// Bounds of RFC 3461 sections 4.2 and 4.4, in octets.
const (
	maxEnvelopeID = 100
	maxOriginal   = 500
)

// asked is what a client wants to hear of its mail (RFC 3461).
type asked struct {
	ret, envelopeID string
	notify          map[string]queue.Notify // by recipient
}

// mailParam takes RET or ENVID of MAIL; it gives an answer to what is wrong.
func (a *asked) mailParam(key, value string) (problem string) {
	switch key {
	case "RET":
		if a.ret = strings.ToUpper(value); a.ret != "FULL" && a.ret != "HDRS" {
			return "501 5.5.4 RET must be FULL or HDRS"
		}
	case "ENVID":
		if a.envelopeID = value; !isXtext(value) || len(value) > maxEnvelopeID {
			return "501 5.5.4 ENVID must be xtext of at most 100 octets"
		}
	}
	return ""
}

// recipientParams reads the parameters of RCPT; it gives an answer to what is wrong.
func recipientParams(params []string) (n queue.Notify, problem string) {
	seen := map[string]bool{}
	for _, param := range params {
		key, value, _ := strings.Cut(param, "=")
		key = strings.ToUpper(key)
		if seen[key] {
			return n, "501 5.5.4 a parameter is given twice"
		}
		seen[key] = true
		switch key {
		case "NOTIFY":
			if n.On = strings.ToUpper(value); !isNotify(n.On) {
				return n, "501 5.5.4 NOTIFY must be NEVER, or of SUCCESS, FAILURE and DELAY"
			}
		case "ORCPT":
			kind, original, _ := strings.Cut(value, ";")
			n.Original = strings.ToLower(kind) + ";" + original
			if strings.ToLower(kind) != "rfc822" || !isXtext(original) || len(value) > maxOriginal {
				return n, "501 5.5.4 ORCPT must be rfc822; and an address as xtext, at most 500 octets"
			}
		default:
			return n, "555 5.5.4 RCPT parameter not supported"
		}
	}
	return n, ""
}

// isNotify tells whether a value is one of NOTIFY.
func isNotify(value string) bool {
	if value == "NEVER" {
		return true
	}
	words := strings.Split(value, ",")
	for i, word := range words {
		if word != "SUCCESS" && word != "FAILURE" && word != "DELAY" || slices.Contains(words[:i], word) {
			return false
		}
	}
	return true
}

// of gives what is asked of those recipients that were accepted; nil: nothing.
func (a *asked) of(recipients []string) map[string]queue.Notify {
	var notify map[string]queue.Notify
	for _, to := range recipients {
		if n, ok := a.notify[to]; ok {
			if notify == nil {
				notify = map[string]queue.Notify{}
			}
			notify[to] = n
		}
	}
	return notify
}
