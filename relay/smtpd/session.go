package smtpd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// session is go-smtp's view of a client.
type session struct {
	srv  *Server
	conn *conn
	smtp *smtp.Conn

	from address.Address
	to   []string
}

func (s *Server) newSession(sc *smtp.Conn) (smtp.Session, error) {
	guard, ok := sc.Conn().(*conn)
	if !ok {
		return nil, reply(421, smtp.EnhancedCode{4, 3, 0}, "internal error")
	}
	return &session{srv: s, conn: guard, smtp: sc}, nil
}

func reply(code int, enhanced smtp.EnhancedCode, format string, args ...any) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: fmt.Sprintf(format, args...)}
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.from, s.to = address.Address{}, nil }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// Mail implements smtp.Session. The guard has checked the address in the form it
// had on the wire; it is checked again in the form the library made of it.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.Reset()
	a, err := address.ParseReverse(from)
	if err != nil {
		return reply(553, smtp.EnhancedCode{5, 1, 3}, "sender address not accepted")
	}
	s.from = a
	return nil
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	a, err := address.Parse(to)
	if err != nil {
		return reply(553, smtp.EnhancedCode{5, 1, 3}, "recipient address not accepted")
	}
	opts := s.srv.options()
	known := opts.Known != nil && opts.Known(a) && opts.Policy.AllowClient(s.conn.remote)
	if !known && !opts.Policy.Allow(s.conn.remote, a) {
		opts.Monitor.Count(monitor.Refused, "domain")
		opts.Monitor.LimitedWarnf("domain "+a.Domain, "mail client %s: recipient %q refused: its domain is not in relay_domains", s.conn.remote, a)
		return reply(550, smtp.EnhancedCode{5, 7, 1}, "%s takes no mail for %s: not in its relay_domains", opts.Hostname, a.Domain)
	}
	if !known && opts.Unknown != nil && opts.Unknown(a) {
		opts.Monitor.Count(monitor.Refused, "user")
		opts.Monitor.LimitedWarnf("user "+a.Domain, "mail client %s: recipient %q refused: no such user here", s.conn.remote, a)
		return reply(550, smtp.EnhancedCode{5, 1, 1}, "%s is neither an alias nor a user of this host", a)
	}
	if !slices.Contains(s.to, a.String()) {
		s.to = append(s.to, a.String())
	}
	return nil
}

// Data implements smtp.Session. For DATA the guard reads the body and r only gives
// its end; for BDAT the body comes through r.
func (s *session) Data(r io.Reader) error {
	b, err := s.readBody(r)
	if err != nil {
		s.srv.options().Monitor.Count(monitor.Refused, "cut short")
		return reply(451, smtp.EnhancedCode{4, 4, 2}, "message cut short")
	}
	err = s.accept(b)
	var refusal *smtp.SMTPError
	if errors.As(err, &refusal) {
		s.srv.options().Monitor.Debugf("mail client %s: mail from %q refused: %d %s", s.conn.remote, s.from, refusal.Code, refusal.Message)
	}
	return err
}

func (s *session) readBody(r io.Reader) (*body, error) {
	if _, chunks := r.(*io.PipeReader); !chunks {
		return s.conn.readBody()
	}
	limit := s.srv.options().MaxMessageSize
	octets, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if s.conn.cut.Load() {
		return nil, io.ErrUnexpectedEOF
	}
	b := &body{octets: octets, tooLong: int64(len(octets)) > limit, bare: hasBare(octets)}
	if !bytes.HasSuffix(octets, []byte("\r\n")) {
		b.octets = append(b.octets, "\r\n"...) // what DATA would have needed to end
	}
	return b, nil
}

// hasBare tells whether a CR stands without LF or a LF without CR.
func hasBare(b []byte) bool {
	pairs := bytes.Count(b, []byte("\r\n"))
	return bytes.Count(b, []byte{'\r'}) != pairs || bytes.Count(b, []byte{'\n'}) != pairs
}

// hasLongLine tells whether a line is longer than RFC 5321 section 4.5.3.1.6 lets every
// server take. Lines end with CRLF.
func hasLongLine(b []byte) bool {
	for len(b) > maxLine {
		end := bytes.LastIndexByte(b[:maxLine+2], '\n')
		if end < 0 {
			return true
		}
		b = b[end+1:]
	}
	return false
}

// accept checks a whole message, edits its header and hands it over.
func (s *session) accept(b *body) error {
	opts := s.srv.options()
	count := func(reason string) { opts.Monitor.Count(monitor.Refused, reason) }
	if b.tooLong {
		count("size")
		return reply(552, smtp.EnhancedCode{5, 3, 4}, "message too big, the limit is %d octets", opts.MaxMessageSize)
	}
	if b.bare {
		count("bare line feed")
		return reply(554, smtp.EnhancedCode{5, 5, 2}, "message has a bare CR or LF")
	}
	if !opts.LongLines && hasLongLine(b.octets) {
		count("line length")
		return reply(554, smtp.EnhancedCode{5, 6, 0}, "message has a line over %d octets", maxLine)
	}
	s.srv.handing.RLock() // the spool is not exchanged meanwhile
	defer s.srv.handing.RUnlock()
	s.srv.inFlight.Add(1)
	defer s.srv.inFlight.Done()
	opts = s.srv.options()
	env := &queue.Envelope{
		ID: opts.NewID(), From: s.from.String(), To: slices.Clone(s.to),
		Received: time.Now().UTC(), Origin: queue.OriginSMTP, Client: s.conn.remote.String(), Critical: isUrgent(b.octets),
	}
	trace := traceInfo{
		helo: s.smtp.Hostname(), client: s.conn.remote, hostname: opts.Hostname,
		id: env.ID, instance: opts.Instance, now: time.Now(), protocol: s.conn.protocol(),
	}
	message, refusal := editHeader(b.octets, trace)
	if refusal != nil {
		count("message")
		return refusal
	}
	if err := opts.Submit(env, message); err != nil {
		count("spool")
		opts.Monitor.LimitedWarnf("submit", "mail from %s not taken: %v", s.conn.remote, err)
		if queue.IsFull(err) {
			return reply(452, smtp.EnhancedCode{4, 3, 1}, "no space left for mail")
		}
		return reply(451, smtp.EnhancedCode{4, 3, 0}, "the mail could not be stored")
	}
	opts.Monitor.Count(monitor.Accepted, "")
	opts.Monitor.Add(monitor.AcceptedBytes, "", int64(len(b.octets)))
	opts.Monitor.Debugf("mail %s accepted from %s: %q to %q, %d octets", env.ID, s.conn.remote, env.From, env.To, len(b.octets))
	return nil
}
