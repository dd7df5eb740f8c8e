package delivery

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/mtasts"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// Options configure a Sender. Queue, Hostname and Smarthosts are needed, with KindMX
// among them Resolver too.
type Options struct {
	// Queue is the spool.
	Queue *queue.Queue `json:"-"`
	// Hostname is our name in EHLO.
	Hostname string
	// Smarthosts are tried in this order.
	Smarthosts []Smarthost
	// Routes are asked for recipients before Smarthosts, the first that takes one counts.
	Routes []Route
	// TLS says when connections are encrypted; default TLSRequired.
	TLS TLSMode
	// TLSConfig holds what verifying needs; ServerName is set by this package.
	TLSConfig *tls.Config `json:"-"`
	// Credentials gives what a smarthost wants to know, nil when it wants nothing;
	// may be nil.
	Credentials func(Smarthost) (*Credentials, error) `json:"-"`
	// AuthInClear allows to log in over connections that are not encrypted and
	// verified.
	AuthInClear bool
	// ExpireAfter is the age from which an attempt that is put off is the last one;
	// default 24 h. While no server can be reached nothing is given up, until four times
	// that.
	ExpireAfter time.Duration
	// Resolver finds the servers of KindMX.
	Resolver Resolver `json:"-"`
	// MXTLS is TLS for servers of KindMX without an MTA-STS policy; default
	// TLSOpportunistic.
	MXTLS TLSMode
	// Policies gives a domain's MTA-STS policy, nil when it has none; may be nil.
	Policies func(ctx context.Context, domain string) *mtasts.Policy `json:"-"`
	// Self tells whether a name, or an address that is listened on, is ours; one of
	// the two is given. May be nil.
	Self func(name string, addr netip.AddrPort) bool `json:"-"`
	// HostConnections is the number of connections to one server at a time, default
	// 2; HostMails that of mails on one connection, default 100.
	HostConnections, HostMails int
	// Parallel is the number of mails worked on at a time; default HostConnections,
	// with KindMX 20. One critical mail more may be.
	Parallel int
	// Allow is asked right before a recipient is put on the wire; nil allows.
	Allow func(env *queue.Envelope, to address.Address) error `json:"-"`
	// Delayed is called with recipients that wait when a mail is older than DelayAfter, once
	// in its life, and when it is given up at the earliest; nil, or no DelayAfter: nothing
	// is told. An error is logged.
	Delayed    func(mail *queue.Mail, waiting []queue.Result, until time.Time) error `json:"-"`
	DelayAfter time.Duration
	// Reached is called with recipients that have the mail, where the sender has asked to
	// hear of that and the next server does not tell; nil does nothing. It is not called
	// again after a kill. An error is logged.
	Reached func(mail *queue.Mail, reached []queue.Result) error `json:"-"`
	// Failed is called as soon as recipients of a mail have failed for good, with their
	// results, once for each recipient unless the process is killed meanwhile; nil does
	// nothing. An error is logged.
	Failed func(mail *queue.Mail, failed []queue.Result) error `json:"-"`
	// Monitor counts and logs; may be nil.
	Monitor *monitor.Monitor `json:"-"`
	// LookupHost gives the addresses of a smarthost's name, in the order in which to try
	// them; default the system's.
	LookupHost func(ctx context.Context, name string) ([]netip.Addr, error) `json:"-"`
	// Dial makes connections; default net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error) `json:"-"`
}

// Check names what is wrong among the modes, limits and times.
func (o *Options) Check() error {
	var errs []error
	switch o.TLS {
	case "", TLSRequired, TLSOpportunistic, TLSNone:
	default:
		errs = append(errs, fmt.Errorf(`smarthost_tls is %q: expected "required", "opportunistic" or "none"`, o.TLS))
	}
	switch o.MXTLS {
	case "", TLSRequired, TLSOpportunistic:
	default:
		errs = append(errs, fmt.Errorf(`mx_tls is %q: expected "required" or "opportunistic"`, o.MXTLS))
	}
	if min(o.HostConnections, o.HostMails, o.Parallel) < 0 || min(o.ExpireAfter, o.DelayAfter) < 0 {
		errs = append(errs, errors.New("limits and times of delivery must not be negative: "+
			"expected 0 for the default, or a positive value"))
	}
	return errors.Join(errs...)
}

const (
	defaultExpire          = 24 * time.Hour
	defaultHostConnections = 2
	defaultHostMails       = 100
	defaultDirectParallel  = 20

	idleConnection = 20 * time.Second
	sweepInterval  = time.Minute
	stopGrace      = 3 * time.Second
	dotGrace       = 20 * time.Second // for those that wait for the answer to the dot

	// slowAfter is how long an attempt keeps its place among the workers and among the
	// server's connections; then another mail gets both. At most maxSlow attempts are so
	// slow at a time.
	slowAfter = 10 * time.Second
	maxSlow   = 16
)

// schedule is the wait after the first, second, … failure ; it is
// shorter than RFC 5321 section 4.5.4.1 asks for, because alerts are urgent. The last one
// repeats.
var schedule = []time.Duration{
	15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
}

// backoff gives the wait after the n-th failure, 20 % more or less.
func backoff(n int) time.Duration {
	d := schedule[min(max(n, 1), len(schedule))-1]
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

func (opts *Options) setDefaults() {
	opts.ExpireAfter = cmp.Or(opts.ExpireAfter, defaultExpire)
	opts.HostConnections = cmp.Or(opts.HostConnections, defaultHostConnections)
	opts.HostMails = cmp.Or(opts.HostMails, defaultHostMails)
	opts.TLS = cmp.Or(opts.TLS, TLSRequired)
	opts.MXTLS = cmp.Or(opts.MXTLS, TLSOpportunistic)
	if opts.TLSConfig == nil {
		opts.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if opts.LookupHost == nil {
		opts.LookupHost = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	if opts.Dial == nil {
		opts.Dial = (&net.Dialer{}).DialContext
	}
}

// isSelf asks Self.
func (opts *Options) isSelf(name string, addr netip.AddrPort) bool {
	return opts.Self != nil && opts.Self(name, addr)
}
