package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/maillog"
	"github.com/flowgraf/flowgraf/relay/message"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// ErrRefused is wrapped when this relay's rules do not allow a mail.
var ErrRefused = errors.New("not allowed by the relay's rules")

// Deposit puts a mail of this host into the spool while no process has it: the relay's next
// start delivers it. The rules are those for a client at the loopback address. Refused
// recipients are errors that wrap ErrRefused, one each, and the others get the mail; it has no
// id when nobody does. The error wraps queue.ErrLocked when a relay runs, which is then to be
// asked over SMTP. Lines of body end with CRLF.
func (r *Relay) Deposit(from string, to []string, body []byte) (id string, refused []error, err error) {
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if r.policy == nil || !r.policy.AllowClient(local) {
		return "", nil, fmt.Errorf("%w: %s is not in relay_nets", ErrRefused, local)
	}
	if r.deniedNets.Contains(local) {
		return "", nil, fmt.Errorf("%w: %s is in denied_nets", ErrRefused, local)
	}
	sender, err := address.ParseReverse(from)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if r.senders != nil && !r.senders.Contains(sender) {
		return "", nil, fmt.Errorf("%w: sender <%s> is not in sender_domains", ErrRefused, from)
	}
	if r.deniedSenders.Contains(sender) {
		return "", nil, fmt.Errorf("%w: sender <%s> is in denied_senders", ErrRefused, from)
	}
	if !r.opts.SMTPD.LongLines && message.HasLongLine(body) {
		return "", nil, fmt.Errorf(`%w: a line has over %d octets, and long_lines is "refuse"`, ErrRefused,
			message.MaxLine)
	}
	env := &queue.Envelope{From: sender.String(), Received: time.Now().UTC(), Origin: queue.OriginSMTP,
		Client: local.String()}
	for _, s := range to {
		a, err := address.Parse(s)
		switch {
		case err != nil:
			refused = append(refused, fmt.Errorf("%w: %w", ErrRefused, err))
		case !r.known(a) && !r.policy.AllowRecipient(a):
			refused = append(refused, fmt.Errorf("<%s>: %w: %s is not in relay_domains", a, ErrRefused, a.Domain))
		case !r.known(a) && r.unknown(a):
			refused = append(refused, fmt.Errorf("<%s>: %w: neither an alias nor a user of this host", a, ErrRefused))
		default:
			env.To = append(env.To, a.String())
		}
	}
	if len(env.To) == 0 {
		return "", refused, nil
	}
	q, _, err := queue.Open(r.opts.Spool, r.opts.Monitor)
	if err != nil {
		return "", refused, fmt.Errorf("spool %s: %w", r.opts.Spool, err)
	}
	env.ID = q.NewID()
	prepared := r.prepare(env, body)
	if err := errors.Join(q.Add(env, prepared), q.Close()); err != nil {
		return "", refused, err
	}
	r.opts.Monitor.Count(monitor.Accepted, "")
	maillog.Arrived(r.opts.Monitor, &maillog.Arrival{ID: env.ID, From: sender.String(), To: env.To, Protocol: "local",
		Size: len(prepared), MessageID: message.ID(prepared)})
	return env.ID, refused, nil
}
