package delivery

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Caps on an answer. What exceeds those of lines is read to its end and left out: the
// code counts. Beyond maxReply the server is at fault.
const (
	maxReply      = 256 << 10 // octets
	maxReplyLine  = 2048
	maxReplyLines = 128
	maxReplyText  = 512  // octets kept for logs and lists
	maxReplySaid  = 4096 // octets kept for notifications
)

// reply is a server's answer.
type reply struct {
	code   int
	status string   // RFC 3463, "" when the server gave none
	lines  []string // without code and status
	said   []string // as the server said them, printable
	first  string   // the first line without its code, secrets and all: never for people
}

func (r *reply) text() string { return printable(strings.Join(r.lines, " / ")) }

// verbatim gives the answer as the server said it, its lines ended by LF, cut to
// maxReplySaid.
func (r *reply) verbatim() string {
	all := strings.Join(r.said, "\n")
	return strings.TrimRight(all[:min(len(all), maxReplySaid)], "\n")
}

// stepError says at which step a smarthost refused or was lost.
type stepError struct {
	step  string
	reply *reply // nil when there was none
	err   error  // nil when there was a reply
}

func (e *stepError) Error() string {
	if e.reply != nil {
		return fmt.Sprintf("%s: answered %d %q", e.step, e.reply.code, e.reply.text())
	}
	return fmt.Sprintf("%s: %v", e.step, e.err)
}

func (e *stepError) Unwrap() error { return e.err }

func expect(step string, r *reply, err error, class int) error {
	switch {
	case err != nil:
		return &stepError{step: step, err: err}
	case r.code/100 != class:
		return &stepError{step: step, reply: r}
	}
	return nil
}

// reply reads an answer (RFC 5321 section 4.2.1).
func (c *client) reply() (*reply, error) {
	r := &reply{}
	for budget := maxReply; ; {
		line, err := c.replyLine(&budget)
		if err != nil {
			return nil, err
		}
		if len(line) < 3 || (len(line) > 3 && line[3] != ' ' && line[3] != '-') {
			return nil, fmt.Errorf("answer %q, expected a reply code", printable(c.secrets.hide(line)))
		}
		code, err := strconv.Atoi(line[:3])
		if err != nil || code < 200 || code > 599 || (r.code != 0 && r.code != code) {
			return nil, fmt.Errorf("answer %q, expected one reply code of 200 to 599", printable(c.secrets.hide(line)))
		}
		if r.code = code; len(r.lines) == 0 {
			r.first = line[min(4, len(line)):]
		}
		if len(r.lines) < maxReplyLines {
			r.addLine(line[:min(4, len(line))], c.secrets.hide(line[min(4, len(line)):]))
		}
		if len(line) == 3 || line[3] == ' ' {
			return r, nil
		}
	}
}

// addLine keeps one line: its code with what separates it, and its text.
func (r *reply) addLine(code, text string) {
	r.said = append(r.said, ascii(code+text))
	if status, rest, ok := cutStatus(text); ok {
		r.status, text = status, rest
	}
	r.lines = append(r.lines, text)
}

// replyLine reads a line to its end and gives the front of it.
func (c *client) replyLine(budget *int) (string, error) {
	var line []byte
	for {
		part, err := c.r.ReadSlice('\n')
		if *budget -= len(part); *budget < 0 {
			return "", fmt.Errorf("answer over %d octets", maxReply)
		}
		line = append(line, part[:min(len(part), maxReplyLine-len(line))]...)
		if err == nil {
			return string(bytes.TrimRight(line, "\r\n")), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
	}
}

// cutStatus takes an enhanced status code (RFC 2034) from the front of a text.
func cutStatus(text string) (status, rest string, ok bool) {
	status, rest, _ = strings.Cut(text, " ")
	parts := strings.Split(status, ".")
	if len(parts) != 3 || len(status) > 9 {
		return "", text, false
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return "", text, false
		}
	}
	if parts[0] != "2" && parts[0] != "4" && parts[0] != "5" {
		return "", text, false
	}
	return status, rest, true
}

// printable makes a server's words fit for logs and lists, and bounds them.
func printable(s string) string { return ascii(s[:min(len(s), maxReplyText)]) }

// ascii makes a server's words fit for headers.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s)
}
