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
	"github.com/flowgraf/flowgraf/relay/maillog"
	"github.com/flowgraf/flowgraf/relay/message"
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
	known := opts.Known != nil && opts.Known(a) && opts.allows(s.conn.remote)
	if !known && !opts.Policy.Allow(s.conn.remote, a) {
		opts.Monitor.Count(monitor.Refused, "domain")
		return reply(550, smtp.EnhancedCode{5, 7, 1}, "%s takes no mail for %s: not in its relay_domains",
			opts.Hostname, a.Domain)
	}
	if !known && opts.Unknown != nil && opts.Unknown(a) {
		opts.Monitor.Count(monitor.Refused, "user")
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
	if errors.Is(err, errCrowded) {
		s.srv.options().Monitor.Count(monitor.Refused, "large messages")
		s.srv.options().Monitor.LimitedWarnf("large messages", "mail clients are put off: %v, each over %d octets", err,
			largeMessage)
		return reply(451, smtp.EnhancedCode{4, 3, 2}, "%v, try again later", err)
	}
	if err != nil {
		s.srv.options().Monitor.Count(monitor.Refused, "cut short")
		return reply(451, smtp.EnhancedCode{4, 4, 2}, "message cut short")
	}
	defer b.release()
	return s.accept(b)
}

func (s *session) readBody(r io.Reader) (*body, error) {
	if _, chunks := r.(*io.PipeReader); !chunks {
		return s.conn.readBody()
	}
	return s.readChunks(r)
}

// readChunks reads a message that comes with BDAT.
func (s *session) readChunks(r io.Reader) (*body, error) {
	limit := s.srv.options().MaxMessageSize
	b := &body{}
	for piece := make([]byte, 32<<10); ; {
		n, err := r.Read(piece)
		if b.tooLong = int64(len(b.octets)+n) > limit; b.tooLong {
			return b, nil // the library discards the rest
		}
		b.octets = append(b.octets, piece[:n]...)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = b.grow(s.srv)
		}
		if err != nil {
			b.release()
			return nil, err
		}
	}
	if s.conn.cut.Load() {
		b.release()
		return nil, io.ErrUnexpectedEOF
	}
	b.bare = message.HasBare(b.octets)
	if !bytes.HasSuffix(b.octets, []byte("\r\n")) {
		b.octets = append(b.octets, "\r\n"...) // what DATA would have needed to end
	}
	return b, nil
}

// accept checks a whole message, edits its header and hands it over. Its answer is an
// SMTPError for success, too.
func (s *session) accept(b *body) error {
	if refusal := s.check(b); refusal != nil {
		return refusal
	}
	m := message.TrimFromLine(b.octets)
	s.srv.handing.RLock() // the spool is not exchanged meanwhile
	defer s.srv.handing.RUnlock()
	s.srv.inFlight.Add(1)
	defer s.srv.inFlight.Done()
	opts, now := s.srv.options(), time.Now()
	env := &queue.Envelope{
		ID: opts.NewID(), From: s.from.String(), To: slices.Clone(s.to),
		Received: now.UTC(), Origin: queue.OriginSMTP, Client: s.conn.remote.String(), Critical: isUrgent(m),
		Return: s.conn.asked.ret, EnvelopeID: s.conn.asked.envelopeID, Notify: s.conn.asked.of(s.to),
	}
	trace := traceInfo{
		helo: s.smtp.Hostname(), client: s.conn.remote, hostname: opts.Hostname,
		id: env.ID, instance: opts.Instance, now: now, protocol: s.conn.protocol(),
	}
	edited, refusal := editHeader(m, &trace)
	if refusal != nil {
		opts.Monitor.Count(monitor.Refused, "message")
		return refusal
	}
	if err := opts.Submit(env, edited); err != nil {
		opts.Monitor.Count(monitor.Refused, "spool")
		opts.Monitor.LimitedWarnf("submit", "mail from %s not taken: %v", s.conn.remote, err)
		if queue.IsFull(err) {
			return reply(452, smtp.EnhancedCode{4, 3, 1}, "no space left for mail")
		}
		return reply(451, smtp.EnhancedCode{4, 3, 0}, "the mail could not be stored")
	}
	opts.Monitor.Count(monitor.Accepted, "")
	opts.Monitor.Add(monitor.AcceptedBytes, "", int64(len(b.octets)))
	maillog.Arrived(opts.Monitor, &maillog.Arrival{
		ID: env.ID, From: s.from.String(), To: s.to, Client: s.conn.peer(), Protocol: trace.protocol, User: s.conn.user,
		Size: len(b.octets), Answer: "250 2.0.0 OK id=" + env.ID, Took: time.Since(s.conn.trans.began),
		MessageID: message.ID(edited),
	})
	return reply(250, smtp.EnhancedCode{2, 0, 0}, "OK id=%s", env.ID)
}

// check refuses a message for its size and its lines.
func (s *session) check(b *body) *smtp.SMTPError {
	opts := s.srv.options()
	refuse := func(reason string, answer *smtp.SMTPError) *smtp.SMTPError {
		opts.Monitor.Count(monitor.Refused, reason)
		return answer
	}
	if b.tooLong {
		return refuse("size", reply(552, smtp.EnhancedCode{5, 3, 4}, "message too big, the limit is %d octets",
			opts.MaxMessageSize))
	}
	if head, _ := message.Split(b.octets); int64(len(head)) > opts.MaxHeaderSize {
		return refuse("header size", reply(552, smtp.EnhancedCode{5, 3, 4},
			"header fields too big, the limit is %d octets", opts.MaxHeaderSize))
	}
	if b.bare {
		return refuse("bare line feed", reply(554, smtp.EnhancedCode{5, 5, 2}, "message has a bare CR or LF"))
	}
	if !opts.LongLines && message.HasLongLine(b.octets) {
		return refuse("line length", reply(554, smtp.EnhancedCode{5, 6, 0}, "message has a line over %d octets",
			message.MaxLine))
	}
	return nil
}
