package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/maillog"
	"github.com/flowgraf/flowgraf/relay/message"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// probeTimeout bounds what is asked of one smarthost.
const probeTimeout = 5 * time.Second

// Probe asks the smarthosts, all at once, whether they would take mail from here: their names
// are looked up, and each is greeted (EHLO), with TLS as a delivery would have it. No mail is
// sent. There is an error for each that would not, none for places and for the recipients' own
// servers.
func (r *Relay) Probe(ctx context.Context) error {
	errs := make([]error, len(r.hosts))
	var asked sync.WaitGroup
	for i := range r.hosts {
		asked.Go(func() { errs[i] = r.probe(ctx, &r.hosts[i]) })
	}
	asked.Wait()
	return errors.Join(errs...)
}

func (r *Relay) probe(ctx context.Context, h *delivery.Smarthost) error {
	if h.Kind != delivery.KindSMTP && h.Kind != delivery.KindSMTPS && h.Kind != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	fail := func(step string, err error) error { return fmt.Errorf("smarthost %s: %s: %w", h.Addr, step, err) }
	conn, err := (&net.Dialer{Resolver: r.resolver}).DialContext(ctx, "tcp", h.Addr)
	if err != nil {
		return fail("connecting", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if r.opts.Delivery.TLSConfig != nil {
		config = r.opts.Delivery.TLSConfig.Clone()
	}
	config.ServerName = h.Host
	if h.Kind == delivery.KindSMTPS {
		encrypted := tls.Client(conn, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return fail("TLS", err)
		}
		conn = encrypted
	}
	c, err := smtp.NewClient(conn, h.Host)
	if err != nil {
		return fail("greeting", err)
	}
	if err := c.Hello(r.opts.Hostname); err != nil {
		return fail("EHLO", err)
	}
	offered, _ := c.Extension("STARTTLS")
	required := r.opts.Delivery.TLS == "" || r.opts.Delivery.TLS == delivery.TLSRequired
	switch {
	case h.Kind == delivery.KindSMTPS || r.opts.Delivery.TLS == delivery.TLSNone:
	case !offered && required:
		return fail("TLS", errors.New(`STARTTLS is not offered: expected it, or smtps://, or smarthost_tls = "none"`))
	case offered:
		config.InsecureSkipVerify = !required
		if err := c.StartTLS(config); err != nil {
			return fail("STARTTLS", err)
		}
	}
	c.Quit() // whatever it says to that
	return nil
}

// SendTest sends a mail to one address by the smarthosts of these options, with their logins,
// and waits for the answer: the first of a server that has taken it, or an error with what was
// said. It uses no spool but one of its own for this mail, opens no port, and asks no policy.
func SendTest(ctx context.Context, opts Options, to string) (answer string, err error) {
	if _, err := address.Parse(to); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "flowgraf-test-mail-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	lines := make(answers, 100)
	opts.Listen, opts.Alerts, opts.Spool, opts.Monitor, opts.Log, opts.KeepConnections = nil, nil, dir, nil, lines, 0
	r, err := New(opts)
	if err != nil {
		return "", err
	}
	if err := r.Start(ctx); err != nil {
		return "", err
	}
	defer r.Stop()
	now := time.Now()
	env := &queue.Envelope{ID: r.NewID(), From: "flowgraf@" + r.opts.Hostname, To: []string{to}, Received: now.UTC(),
		Origin: queue.OriginAlert, Note: []byte("{}")}
	text := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: test mail of flowgraf on %s\r\nDate: %s\r\n"+
		"Message-ID: <%s@%s>\r\nAuto-Submitted: auto-generated\r\n\r\n"+
		"This mail was sent by flowgraf check --send-test.\r\n",
		env.From, to, r.opts.Hostname, message.Date(now), env.ID, r.opts.Hostname)
	if err := r.Submit(env, []byte(text)); err != nil {
		return "", err
	}
	for {
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no smarthost has answered: %w", ctx.Err())
		case line := <-lines:
			e, _ := maillog.Parse(line)
			said := strings.TrimSpace(e.Peer.Name + " says " + e.Answer)
			switch e.Step {
			case maillog.StepDelivered:
				return said, nil
			case maillog.StepFailed, maillog.StepDeferred:
				return "", errors.New(said)
			}
		}
	}
}

// answers are the lines of the mail log; what there is no room for is left out.
type answers chan string

// Infof implements Logger.
func (a answers) Infof(format string, args ...any) {
	select {
	case a <- fmt.Sprintf(format, args...):
	default:
	}
}

// Errorf, Warnf and Debugf implement Logger: what they tell is in the answers too.
func (answers) Errorf(string, ...any) {}
func (answers) Warnf(string, ...any)  {}
func (answers) Debugf(string, ...any) {}
