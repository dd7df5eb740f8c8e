package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// Deadlines of the dialogue with the relay, which is near.
const (
	dialTimeout   = 10 * time.Second
	submitTimeout = 5 * time.Minute
	retryPause    = 250 * time.Millisecond
)

// ErrUnreachable is wrapped when no relay has answered, so that nobody has the mail.
var ErrUnreachable = errors.New("the relay does not answer")

// Relay is where mail is given to.
type Relay struct {
	// Addr is "host:port".
	Addr string
	// Hostname is what we call ourselves.
	Hostname string
	// Patience is for how long a relay that does not answer is tried again.
	Patience time.Duration
}

// Submit gives a mail to the relay and returns what it has answered. Recipients that it
// refuses are errors; the mail goes to the others. The error has a Code; it wraps
// ErrUnreachable when nobody has answered.
func (r *Relay) Submit(ctx context.Context, o *Options, m *Mail) (answer string, err error) {
	c, err := r.connect(ctx)
	if err != nil {
		return "", err
	}
	defer c.Close()
	opts := &smtp.MailOptions{Size: int64(len(m.Message))}
	rcptOpts := &smtp.RcptOptions{}
	if dsn, _ := c.Extension("DSN"); dsn { // wishes that a server cannot fulfil are dropped (RFC 3461 section 4)
		opts.Return, opts.EnvelopeID = smtp.DSNReturn(o.Return), o.EnvelopeID
		for _, word := range o.Notify {
			rcptOpts.Notify = append(rcptOpts.Notify, smtp.DSNNotify(word))
		}
	}
	if err := c.Mail(m.From.String(), opts); err != nil {
		return "", refusal(fmt.Sprintf("sender <%s>", m.From), err)
	}
	var refused []error
	for _, to := range m.To {
		if err := c.Rcpt(to.String(), rcptOpts); err != nil {
			refused = append(refused, refusal(fmt.Sprintf("<%s>", to), err))
		}
	}
	if len(refused) == len(m.To) {
		return "", errors.Join(refused...)
	}
	if answer, err = send(c, m.Message); err != nil {
		return "", refusal("message", err)
	}
	c.Quit()
	return answer, errors.Join(refused...)
}

// send sends the message and gives the answer.
func send(c *smtp.Client, text []byte) (string, error) {
	w, err := c.Data()
	if err != nil {
		return "", err
	}
	if _, err := w.Write(text); err != nil {
		return "", err
	}
	response, err := w.CloseWithResponse()
	if err != nil {
		return "", err
	}
	return response.StatusText, nil
}

// connect opens a session, again and again for as long as patience lasts.
func (r *Relay) connect(ctx context.Context) (*smtp.Client, error) {
	for end := time.Now().Add(r.Patience); ; {
		c, err := r.greet(ctx)
		if err == nil {
			return c, nil
		}
		var said *smtp.SMTPError
		if errors.As(err, &said) && !said.Temporary() {
			return nil, refusal("connection", err)
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return nil, &Error{TempFail, fmt.Errorf("%w at %s: %w", ErrUnreachable, r.Addr, err)}
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// greet opens one session.
func (r *Relay) greet(ctx context.Context) (*smtp.Client, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(submitTimeout))
	c := smtp.NewClient(conn)
	c.CommandTimeout, c.SubmissionTimeout = submitTimeout, submitTimeout
	if err := c.Hello(r.Hostname); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Talk joins a caller that speaks SMTP itself (-bs) with the relay.
func (r *Relay) Talk(ctx context.Context, in io.Reader, out io.Writer) error {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		fmt.Fprint(out, "421 4.3.2 the relay does not answer\r\n")
		return &Error{TempFail, fmt.Errorf("%w at %s: %w", ErrUnreachable, r.Addr, err)}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go func() {
		io.Copy(conn, crlfReader(in))
		conn.(*net.TCPConn).CloseWrite()
	}()
	if _, err := io.Copy(out, conn); err != nil {
		return &Error{TempFail, fmt.Errorf("relay %s: %w", r.Addr, err)}
	}
	return nil
}

// refusal gives an answer of the relay its exit code.
func refusal(what string, err error) error {
	var said *smtp.SMTPError
	if !errors.As(err, &said) {
		return &Error{TempFail, fmt.Errorf("%s: the connection to the relay broke: %w", what, err)}
	}
	code := Unavailable
	switch {
	case said.Temporary():
		code = TempFail
	case said.EnhancedCode[1] == 1 && said.EnhancedCode[2] == 3, said.EnhancedCode[1] == 6, said.EnhancedCode[1] == 3,
		said.Code == 554 && said.EnhancedCode[1] == 5:
		code = DataErr
	case said.EnhancedCode[1] == 1:
		code = NoUser
	case said.EnhancedCode[1] == 7:
		code = NoPerm
	}
	return &Error{code, fmt.Errorf("%s: refused by the relay: %d %s", what, said.Code,
		strings.ReplaceAll(said.Message, "\n", " "))}
}
