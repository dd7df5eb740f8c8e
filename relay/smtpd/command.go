package smtpd

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/maillog"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// command looks at one line. It passes a canonical command on to the library, or
// answers, or ends the session.
func (c *conn) command(line []byte) {
	if end := c.checkLine(line); end != nil {
		c.err = end
		return
	}
	text := string(line[:len(line)-2])
	verb, arg, _ := strings.Cut(text, " ")
	verb = strings.ToUpper(verb)
	c.step, c.path = verb, ""
	c.countIdle(verb)
	if problem := c.overCaps(verb); problem != "" {
		c.count("commands")
		if verb == "MAIL" {
			c.err = c.leave(problem)
		} else {
			c.err = c.end(problem)
		}
		return
	}
	if !isASCII(line) && verb != "MAIL" && verb != "RCPT" { // addresses have an answer of their own
		c.step = "command"
		c.refuse("500 5.5.2 commands must be printable ASCII", "syntax")
		return
	}
	switch verb {
	case "EHLO", "HELO":
		c.hello(verb, strings.TrimSpace(arg))
	case "MAIL":
		c.mail(line, arg)
	case "RCPT":
		c.rcpt(arg)
	case "DATA":
		c.data(arg)
	case "BDAT":
		c.bdat(arg)
	case "RSET", "NOOP", "QUIT":
		c.pass(verb, verb)
	case "VRFY":
		c.out.WriteString("252 2.5.0 will take mail for allowed domains\r\n")
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE":
		c.err = c.refuseEnd("554 5.5.1 this is SMTP, not HTTP", "syntax")
	case "AUTH":
		c.auth(strings.TrimSpace(arg))
	case "STARTTLS":
		c.starttls(strings.TrimSpace(arg))
	case "EXPN", "HELP", "SEND", "SOML", "SAML", "TURN", "ETRN":
		c.refuse("502 5.5.1 "+verb+" is not offered", "command")
	default:
		c.refuse("500 5.5.2 unknown command", "syntax")
	}
}

// countIdle counts commands that lead to no mail. Those of a transaction are not among
// them, nor is an RSET behind a recipient: refused recipients end no session.
func (c *conn) countIdle(verb string) {
	switch verb {
	case "MAIL", "RCPT", "DATA", "BDAT":
	case "RSET":
		if !c.trans.offered {
			c.idle++
		}
	default:
		c.idle++
	}
}

// overCaps tells what a session does too often, "" when nothing.
func (c *conn) overCaps(verb string) string {
	switch {
	case c.idle > maxIdle:
		return "421 4.7.0 too many commands without a mail"
	case c.errors > 2*maxErrors, c.errors > maxErrors && (verb == "MAIL" || !c.trans.open):
		return "421 4.7.0 too many errors"
	}
	return ""
}

// checkLine refuses, for good, lines that another server could split elsewhere.
func (c *conn) checkLine(line []byte) error {
	if len(line) > maxCommandLine {
		return c.refuseEnd("500 5.5.2 line too long", "syntax")
	}
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return c.refuseEnd("500 5.5.2 lines must end with CRLF", "bare line feed")
	}
	for _, b := range text {
		if (b < 0x20 && b != '\t') || b == 0x7f {
			return c.refuseEnd("500 5.5.2 commands must be printable ASCII", "syntax")
		}
	}
	return nil
}

// isASCII tells whether a checked line has no octet above 127.
func isASCII(line []byte) bool {
	return !slices.ContainsFunc(line, func(b byte) bool { return b >= 0x80 })
}

// pass gives the library a command, whose reply replied will see.
func (c *conn) pass(verb, line string) {
	c.verb = verb
	c.pending = []byte(line + "\r\n")
}

// refuse answers a command that the library does not see. What is wrong with an address
// or a limit is no error of the client's program, and does not end its session.
func (c *conn) refuse(reply, reason string) {
	switch reason {
	case "syntax", "command", "sequence", "helo", "authentication":
		c.errors++
	}
	c.srv.options().Monitor.Count(monitor.Refused, reason)
	c.logRefusal(reply)
	c.out.WriteString(reply + "\r\n")
}

// logRefusal tells what was refused.
func (c *conn) logRefusal(answer string) {
	r := &maillog.Refusal{Step: c.step, Client: c.peer(), Answer: answer}
	switch c.step {
	case "EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "AUTH", "STARTTLS":
	default: // what a client says instead of a command may be a secret
		r.Step = "command"
	}
	if c.trans.open || c.step == "MAIL" {
		r.From, r.To = c.from, c.path
	}
	c.srv.logRefusal(c.remote, r)
}

// peer is the client as the log names it.
func (c *conn) peer() maillog.Peer { return maillog.Peer{Name: c.helo, Addr: c.remote.String()} }

// refuseEnd is refuse with the end of the session.
func (c *conn) refuseEnd(reply, reason string) error {
	c.srv.options().Monitor.Count(monitor.Refused, reason)
	c.logRefusal(reply)
	return c.end(reply)
}

func (c *conn) hello(verb, name string) {
	if name == "" || strings.ContainsAny(name, " \t") {
		c.refuse("501 5.5.4 expected "+verb+" and one name", "syntax")
		return
	}
	if !c.srv.options().Helo.allows(name) {
		c.helo = name
		c.refuse("550 5.7.1 expected "+verb+" with the name of your host", "helo")
		return
	}
	c.helo = name
	c.pass(verb, verb+" "+name)
}

// allows tells whether a client may give this name, one word.
func (r HeloRule) allows(name string) bool {
	if r == HeloAny || r == "" {
		return true
	}
	if literal, ok := strings.CutPrefix(name, "["); ok {
		literal, closed := strings.CutSuffix(literal, "]")
		if v6, ok := strings.CutPrefix(literal, "IPv6:"); ok {
			literal = v6
		}
		_, err := netip.ParseAddr(literal)
		return closed && err == nil
	}
	domain, err := address.ParseDomain(name)
	return err == nil && (r == HeloName || strings.Contains(domain, "."))
}

func (c *conn) mail(line []byte, arg string) {
	switch {
	case !c.greeted:
		c.refuse("503 5.5.1 EHLO first", "sequence")
		return
	case c.mode == StartTLS && !c.encrypted:
		c.refuse("530 5.7.0 STARTTLS first", "authentication")
		return
	case c.srv.options().RequireAuth && c.user == "":
		c.refuse("530 5.7.0 AUTH first", "authentication")
		return
	case c.trans.open && c.trans.failed:
		// A client that had a recipient refused and goes on without RSET: end that
		// transaction in the library too, then look at this line again.
		c.held = bytes.Clone(line)
		c.swallow = true
		c.trans = transaction{}
		c.pass("", "RSET")
		return
	case c.trans.open:
		c.trans.failed, c.trans.poisoned = true, true
		c.refuse("503 5.5.1 MAIL inside a transaction, which is ended now", "sequence")
		return
	}
	path, params, problem := splitPath(arg, "FROM:")
	c.from = path
	if problem != "" {
		c.refuse(problem, "syntax")
		return
	}
	from, err := address.ParseReverse(path)
	if err != nil {
		c.badAddress("sender")
		return
	}
	if c.srv.options().Senders != nil && !c.srv.options().Senders.Contains(from) {
		c.refuse("550 5.7.1 no mail is taken from this sender: not in sender_domains", "sender")
		return
	}
	if c.srv.options().DeniedSenders.Contains(from) {
		c.refuse("550 5.7.1 no mail is taken from this sender: in denied_senders", "sender")
		return
	}
	body, problem, reason := c.mailParams(params)
	if problem != "" {
		c.refuse(problem, reason)
		return
	}
	if !c.srv.limiter.message(c.remote) {
		c.tooMany("mails", c.srv.options().Limits.Messages, "message rate")
		return
	}
	c.pass("MAIL", fmt.Sprintf("MAIL FROM:<%s>%s", from, body))
}

// mailParams checks the parameters of MAIL and gives those for the library.
func (c *conn) mailParams(params []string) (pass, problem, reason string) {
	seen := map[string]bool{}
	c.asked = asked{}
	for _, param := range params {
		key, value, _ := strings.Cut(param, "=")
		key = strings.ToUpper(key)
		if seen[key] {
			return "", "501 5.5.4 a parameter is given twice", "syntax"
		}
		seen[key] = true
		switch key {
		case "SIZE":
			if value == "" || strings.Trim(value, "0123456789") != "" || len(value) > 20 {
				return "", "501 5.5.4 SIZE must be a number of at most 20 digits", "syntax"
			}
			size, err := strconv.ParseUint(value, 10, 63)
			if err != nil || int64(size) > c.srv.options().MaxMessageSize {
				return "", fmt.Sprintf("552 5.3.4 message too big, the limit is %d octets",
					c.srv.options().MaxMessageSize), "size"
			}
		case "BODY":
			value = strings.ToUpper(value)
			if value != "7BIT" && value != "8BITMIME" {
				return "", "501 5.5.4 BODY must be 7BIT or 8BITMIME", "syntax"
			}
			pass = " BODY=" + value
		case "RET", "ENVID":
			if problem := c.asked.mailParam(key, value); problem != "" {
				return "", problem, "syntax"
			}
		case "AUTH": // RFC 4954 section 5: who submitted it; nobody is trusted to tell
			if !c.mayAuth() {
				return "", "555 5.5.4 MAIL parameter not supported", "syntax"
			}
			if !isXtext(value) {
				return "", "501 5.5.4 AUTH must be <> or an address as xtext", "syntax"
			}
		default:
			return "", "555 5.5.4 MAIL parameter not supported", "syntax"
		}
	}
	return pass, "", ""
}

// isXtext tells whether a value is not empty and in the form of RFC 3461 section 4.
func isXtext(s string) bool {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			if _, err := strconv.ParseUint(s[min(i+1, len(s)):min(i+3, len(s))], 16, 8); err != nil || i+3 > len(s) {
				return false
			}
			i += 2
		case s[i] < '!' || s[i] > '~' || s[i] == '=':
			return false
		}
	}
	return s != ""
}

func (c *conn) rcpt(arg string) {
	if !c.inTransaction() {
		return
	}
	c.trans.offered = true
	path, params, problem := splitPath(arg, "TO:")
	c.path = path
	if problem != "" {
		c.trans.failed = true
		c.refuse(problem, "syntax")
		return
	}
	to, err := address.Parse(path)
	if err != nil {
		c.trans.failed = true
		c.badAddress("recipient")
		return
	}
	notify, problem := recipientParams(params)
	if problem != "" {
		c.trans.failed = true
		c.refuse(problem, "syntax")
		return
	}
	if !c.srv.limiter.recipient(c.remote) {
		c.trans.failed = true
		c.tooMany("recipients", c.srv.options().Limits.Recipients, "recipient rate")
		return
	}
	if notify != (queue.Notify{}) {
		if c.asked.notify == nil {
			c.asked.notify = map[string]queue.Notify{}
		}
		c.asked.notify[to.String()] = notify
	}
	c.pass("RCPT", fmt.Sprintf("RCPT TO:<%s>", to))
}

// tooMany puts a client off that is over a limit a minute.
func (c *conn) tooMany(what string, limit int, reason string) {
	c.refuse(fmt.Sprintf("450 4.7.1 more than %d %s a minute from %s, try again later", limit, what, c.remote), reason)
}

func (c *conn) badAddress(whose string) {
	c.refuse("553 5.1.3 "+whose+" address not accepted: only plain local-part@domain is", "address")
}

// splitPath takes "FROM:<path> parameters" apart; keyword holds the colon.
func splitPath(arg, keyword string) (path string, params []string, problem string) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", nil, "501 5.5.4 expected " + keyword + "<address>"
	}
	rest, ok := strings.CutPrefix(strings.TrimLeft(arg[len(keyword):], " "), "<")
	if !ok {
		return "", nil, "553 5.1.3 expected the address in angle brackets"
	}
	path, rest, ok = strings.Cut(rest, ">")
	if !ok || (rest != "" && rest[0] != ' ') {
		return "", nil, "553 5.1.3 expected one address in angle brackets"
	}
	return path, strings.Fields(rest), ""
}

// inTransaction refuses a command that needs a transaction in good order.
func (c *conn) inTransaction() bool {
	switch {
	case !c.trans.open:
		c.refuse("503 5.5.1 MAIL first", "sequence")
	case c.trans.poisoned || c.trans.chunking:
		c.refuse("503 5.5.1 not now: finish or reset this transaction", "sequence")
	default:
		return true
	}
	return false
}

func (c *conn) data(arg string) {
	if arg != "" {
		c.refuse("501 5.5.4 DATA takes no argument", "syntax")
		return
	}
	if !c.inTransaction() {
		return
	}
	if c.trans.accepted == 0 {
		c.trans.failed = true
		c.refuse("554 5.5.1 no valid recipients", "recipients")
		return
	}
	c.pass("DATA", "DATA")
}

// bdat reads RFC 3030's command. The chunk follows whatever the answer is.
func (c *conn) bdat(arg string) {
	fields := strings.Fields(arg)
	last := len(fields) == 2 && strings.EqualFold(fields[1], "LAST")
	var size uint64
	err := io.ErrUnexpectedEOF
	if len(fields) == 1 || last {
		size, err = strconv.ParseUint(fields[0], 10, 31)
	}
	if err != nil || strings.HasPrefix(fields[0], "+") {
		c.err = c.refuseEnd("501 5.5.4 expected BDAT, a size below 2 GiB, and LAST or nothing", "syntax")
		return
	}
	if !c.trans.open || c.trans.poisoned || c.trans.accepted == 0 {
		if int64(size) > c.srv.options().MaxMessageSize {
			c.err = c.refuseEnd("552 5.3.4 chunk too big", "size")
			return
		}
		if err := c.discard(int64(size)); err != nil {
			c.err = err
			return
		}
		c.refuse("503 5.5.1 MAIL and an accepted RCPT first", "sequence")
		return
	}
	c.chunk, c.chunkLast = int64(size), last
	c.wait(time.Now().Add(c.srv.options().DataTimeout), true)
	line := "BDAT " + strconv.FormatUint(size, 10)
	if last {
		line += " LAST"
	}
	c.pass("BDAT", line)
}

// replied follows the library's last line of a reply.
func (c *conn) replied(code int, line string) {
	verb, good := c.verb, code/100 == 2
	if code == 354 {
		return
	}
	c.verb = ""
	if !good && verb != "" {
		c.logRefusal(line)
	}
	switch verb {
	case "EHLO", "HELO":
		c.greeted = c.greeted || good
		if good {
			c.trans = transaction{}
		} else {
			c.errors++
		}
	case "RSET":
		c.trans = transaction{}
	case "MAIL":
		if good {
			c.trans, c.mailed = transaction{open: true, began: time.Now()}, true
		}
	case "RCPT":
		if good {
			c.trans.accepted++
		} else {
			c.trans.failed = true
		}
	case "DATA":
		c.ended(good)
	case "BDAT":
		if good && !c.chunkLast {
			c.trans.chunking = true
			return
		}
		c.ended(good)
	}
}

// ended is called when a message was accepted or refused.
func (c *conn) ended(good bool) {
	c.trans = transaction{}
	if good {
		c.idle, c.errors = 0, 0
	}
}
