package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// answer is what one recipient of a transaction got: a reply, or err for none.
type answer struct {
	step  string // at which it was given: MAIL, RCPT, DATA or dot
	reply *reply
	err   error
}

func (a *answer) code() int {
	if a.reply == nil {
		return 0
	}
	return a.reply.code
}

// fault says whose fault it is that a transaction did not come to its end.
type fault int

const (
	faultNone fault = iota // it did, whatever was answered
	faultMail              // the connection broke, or was ended by the server, within this mail
	faultHost              // there was no connection to speak of
)

// outcome is what an attempt at one server gave.
type outcome struct {
	answers  []answer // by recipient
	fault    fault
	err      error  // the fault
	afterDot bool   // it broke when the mail may have been taken
	tls      string // the version, "" in clear
	notifies bool   // the server sends notifications itself (RFC 3461)
}

// answered tells whether the server has answered for anybody.
func (o *outcome) answered() bool {
	for i := range o.answers {
		if o.answers[i].reply != nil {
			return true
		}
	}
	return false
}

// lost says that the connection broke. What was refused for good stays refused;
// everybody else has no answer.
func (o *outcome) lost(step string, err error) {
	o.fault, o.err = faultMail, &stepError{step: step, err: err}
	for i := range o.answers {
		if o.answers[i].code()/100 != 5 {
			o.answers[i] = answer{step: step, err: o.err}
		}
	}
}

// all gives one reply to every recipient that RCPT had accepted.
func (o *outcome) all(step string, r *reply) {
	for i := range o.answers {
		if o.answers[i].code()/100 == 2 {
			o.answers[i] = answer{step: step, reply: r}
		}
	}
}

// Deadlines of a mail's steps (RFC 5321 section 4.5.3.2). Each counts for a whole answer,
// however slowly its octets drip.
const (
	commandTimeout = 5 * time.Minute  // EHLO, MAIL, RCPT
	dataTimeout    = 2 * time.Minute  // DATA
	blockTimeout   = 3 * time.Minute  // for each part of a message
	messageTimeout = time.Hour        // for all of them
	dotTimeout     = 10 * time.Minute // the final dot
	lateTimeout    = 20 * time.Minute // what is waited behind that while the connection lives
)

// send gives a mail to the server. Recipients and sender must have passed package
// address right before.
func (c *client) send(from address.Address, to []address.Address, mail *queue.Mail) outcome {
	_, notifies := c.ext["DSN"]
	out := outcome{answers: make([]answer, len(to)), tls: c.tlsVersion(), notifies: notifies}
	if c.dirty {
		if _, err := c.command("RSET", "RSET", 2); err != nil {
			out.lost("RSET", err)
			return out
		}
	}
	c.dirty = true
	c.mails++
	if !c.envelope(&out, from, to, mail) {
		return out
	}
	c.deadline(dataTimeout)
	r, err := c.exchange("DATA")
	switch {
	case err != nil:
		out.lost("DATA", err)
		return out
	case r.code/100 == 2: // would count as delivered
		out.lost("DATA", fmt.Errorf("answered %d %q, expected 354", r.code, r.text()))
		return out
	case r.code/100 != 3:
		out.all("DATA", r)
		return out
	}
	if err := c.writeBody(mail.Body); err != nil {
		c.conn.Close() // a QUIT or RSET would complete half a mail
		out.lost("message", err)
		return out
	}
	if r, err = c.dot(); err != nil {
		out.lost("final dot", err)
		out.afterDot = true
		return out
	}
	c.dirty = false
	out.all("dot", r)
	return out
}

// dot sends the final dot and waits for the answer. From here on the server may have
// taken the mail, and another attempt may make it two: a late answer is waited for as
// long as the connection lives, within a bound.
func (c *client) dot() (*reply, error) {
	c.pastDot.Store(true)
	defer c.pastDot.Store(false)
	c.w.WriteString(".\r\n")
	err := c.w.Flush()
	c.end = time.Time{}
	if err != nil {
		return nil, err
	}
	c.deadline(dotTimeout)
	if _, err := c.r.Peek(1); err != nil {
		var netErr net.Error
		if !errors.As(err, &netErr) || !netErr.Timeout() {
			return nil, err
		}
		if c.late != nil {
			c.late()
		}
		c.deadline(lateTimeout)
	}
	return c.reply()
}

// envelope sends MAIL and the RCPTs, in one go when the server can (RFC 2920), and tells
// whether a recipient was accepted.
func (c *client) envelope(out *outcome, from address.Address, to []address.Address, mail *queue.Mail) bool {
	_, pipelining := c.ext["PIPELINING"]
	c.deadline(commandTimeout)
	c.w.WriteString(c.mailCommand(from, mail))
	if pipelining {
		for _, a := range to {
			c.w.WriteString(c.rcptCommand(a, mail))
		}
	}
	c.w.Flush() // a failure shows when the answer is read
	taken, err := c.reply()
	if err != nil {
		out.lost("MAIL", err)
		return false
	}
	if taken.code/100 != 2 {
		for i := range out.answers {
			out.answers[i] = answer{step: "MAIL", reply: taken}
			if pipelining && !c.broken {
				c.deadline(commandTimeout)
				_, err := c.reply()
				c.broken = err != nil
			}
		}
		return false
	}
	accepted := false
	for i, a := range to {
		c.deadline(commandTimeout)
		if !pipelining {
			c.w.WriteString(c.rcptCommand(a, mail))
			c.w.Flush()
		}
		r, err := c.reply()
		if err != nil {
			out.lost("RCPT", err)
			return false
		}
		out.answers[i] = answer{step: "RCPT", reply: r}
		accepted = accepted || r.code/100 == 2
	}
	return accepted
}

func (c *client) mailCommand(from address.Address, mail *queue.Mail) string {
	line := "MAIL FROM:<" + from.String() + ">"
	if _, ok := c.ext["SIZE"]; ok {
		line += " SIZE=" + strconv.Itoa(len(mail.Body))
	}
	if _, ok := c.ext["8BITMIME"]; ok && !isASCII(mail.Body) {
		line += " BODY=8BITMIME"
	}
	if _, ok := c.ext["DSN"]; ok { // RFC 3461 section 4
		if mail.Return != "" {
			line += " RET=" + mail.Return
		}
		if mail.EnvelopeID != "" {
			line += " ENVID=" + mail.EnvelopeID
		}
	}
	return line + "\r\n"
}

func (c *client) rcptCommand(a address.Address, mail *queue.Mail) string {
	line := "RCPT TO:<" + a.String() + ">"
	if _, ok := c.ext["DSN"]; ok {
		n := mail.Notify[a.String()]
		if n.On != "" {
			line += " NOTIFY=" + n.On
		}
		if n.Original != "" {
			line += " ORCPT=" + n.Original
		}
	}
	return line + "\r\n"
}

// writeBody sends a message whose lines end with CRLF, dots stuffed (RFC 5321 section
// 4.5.2), without the final dot. The end of it may still be in the buffer.
func (c *client) writeBody(body []byte) error {
	c.end = time.Now().Add(messageTimeout)
	for len(body) > 0 {
		end := bytes.IndexByte(body, '\n') + 1
		if end == 0 {
			end = len(body)
		}
		if body[0] == '.' {
			c.w.WriteByte('.')
		}
		c.w.Write(body[:end])
		if body[end-1] != '\n' {
			c.w.WriteString("\r\n")
		}
		body = body[end:]
	}
	_, err := c.w.Write(nil) // what went wrong so far
	return err
}

// blocks writes to a client's connection, with a deadline for each block while a message
// is under way.
type blocks struct{ *client }

// Write implements io.Writer.
func (b blocks) Write(p []byte) (int, error) {
	if !b.end.IsZero() {
		at := time.Now().Add(blockTimeout)
		if at.After(b.end) {
			at = b.end
		}
		b.conn.SetDeadline(at)
	}
	return b.conn.Write(p)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
