// Package relay is a mail relay in one piece: it wires the listener (smtpd), the
// spool (queue), the smarthost client (delivery) and bounces (dsn) together under
// one policy. It knows nothing of flows, metrics or Telegraf.
//
// A mail's way: smtpd takes it from an allowed network for an allowed domain;
// queue puts it on stable storage, and only then is it answered 250; delivery gives
// it to a smarthost, after sender and recipients have passed grammar and policy
// again. What has failed for good stays in the spool's failed directory, and its
// sender gets a notification when the policy allows mail to the sender's domain.
package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/control"
	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/dkim"
	"github.com/flowgraf/flowgraf/relay/maillog"
	"github.com/flowgraf/flowgraf/relay/message"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/policy"
	"github.com/flowgraf/flowgraf/relay/queue"
	"github.com/flowgraf/flowgraf/relay/rewrite"
	"github.com/flowgraf/flowgraf/relay/smtpd"
)

// Options configure a Relay. Hostname, Spool and Smarthosts are needed, and with
// Listen also RelayNets and RelayDomains. What is zero has the default of the
// package that uses it.
type Options struct {
	// Listen are the addresses to take mail on, see smtpd.ParseListener; none: only
	// our own mail.
	Listen []string
	// TLSCert and TLSKey are PEM files for listeners with TLS.
	TLSCert, TLSKey string
	// Auth says whether the users of SMTPD must log in: AuthRequired, the default with
	// users, or AuthOptional.
	Auth string
	// Users may log in there.
	Users []User `json:"-"`
	// SenderDomains are those that mail may come from, with "<>" for the null
	// sender; none: all.
	SenderDomains []string
	// DeniedNets are those that nothing is taken from although RelayNets has them,
	// DeniedSenders addresses and domains that no mail may come from.
	DeniedNets, DeniedSenders []string
	// SMTPD are the listener's own options: HELO, lines, limits, times. What the
	// other fields here say is set by this package.
	SMTPD smtpd.Options
	// Hostname is our name in greetings and trace fields.
	Hostname string
	// RelayNets and RelayDomains say who may send to whom, see package policy.
	RelayNets, RelayDomains []string
	// Spool is the queue's directory.
	Spool string
	// Smarthosts are next servers and places, see delivery.ParseSmarthost, tried in
	// this order.
	Smarthosts []string
	// Routes give mail for some domains to others; the first that has a recipient's counts.
	Routes []Route
	// Login is for smarthosts; TLSCA a PEM file with the certificates that they are
	// verified by, the system's when empty.
	Login Login `json:"-"`
	TLSCA string
	// SmarthostCert and SmarthostKey are PEM files of a certificate that is shown to
	// smarthosts that ask for one; they are read for each connection.
	SmarthostCert, SmarthostKey string
	// Delivery are the sender's own options: TLS, connections, age. What the other fields
	// here say is set by this package.
	Delivery delivery.Options
	// LocalDomains are names of this host, besides Hostname and "localhost", whose
	// addresses Aliases and VisibleDomain are for, see package rewrite.
	LocalDomains  []string
	VisibleDomain string
	Aliases       map[string][]string
	// ArchiveCopy is an address that gets a copy of all mail; it need not be in
	// RelayDomains.
	ArchiveCopy string
	// SenderAddresses are the addresses that users of this host send with, by their names;
	// SenderAddressesFile, in the form of /etc/email-addresses, has more of them.
	SenderAddresses     map[string]string
	SenderAddressesFile string
	// AliasesFile, in the form of /etc/aliases, has more of them.
	AliasesFile string
	// LocalRecipients says who has a mailbox at these names: RecipientsAny (the
	// default), RecipientsAliases or RecipientsUsers.
	LocalRecipients string
	// DKIMDomain, DKIMSelector and DKIMKey, a PEM file, sign mails; none: unsigned.
	DKIMDomain, DKIMSelector, DKIMKey string
	// DNSServers are asked for the servers of "mx://", "address" or "address:port";
	// none: the system's.
	DNSServers []string
	// KeepConnections is how long the connections of clients stay open behind Stop, for a
	// next process, see KeepConnections the function; 0: not.
	KeepConnections time.Duration
	// Alerts are rules on the samples of Apply, whose mails leave by this relay.
	// RecipientMails and DigestInterval bound them, see package alert.
	Alerts         []Rule        `json:"-"`
	RecipientMails int           `json:"-"`
	DigestInterval time.Duration `json:"-"`
	// Log takes log lines, Count is called with every count and must not block; both may
	// be nil.
	Log   Logger                                    `json:"-"`
	Count func(event Event, reason string, n int64) `json:"-"`
	// Monitor counts and logs; nil: one is made of Log and Count.
	Monitor *monitor.Monitor `json:"-"`

	policyTransport http.RoundTripper // of MTA-STS, in tests
}

// Relay is inert until Start.
type Relay struct {
	opts          Options
	policy        *policy.Policy // nil without Listen and lists
	senders       *policy.Domains
	listen        []smtpd.Listener
	tls           *tls.Config // of listeners
	hosts         []delivery.Smarthost
	rules         *rewrite.Rules
	signer        *dkim.Signer // nil without a key
	alerts        *alerts      // nil without rules
	archiveCopy   string
	deniedNets    *policy.Networks
	deniedSenders *policy.Senders
	warnings      warnings

	hidden string // a sum of what the options do not show: secrets, contents of files

	resolver *net.Resolver
	addrs    []string // listened on

	era  int  // the reload before which it was started; running guards both
	left bool // for a successor

	queue  *queue.Queue
	sender *delivery.Sender
	server *smtpd.Server
	admin  *control.Server // nil when the socket could not be made
}

// ErrLocked is wrapped by the error of Start when another process has the spool.
var ErrLocked = queue.ErrLocked

// What Options of the packages below are made of.
type (
	// Logger takes log lines; a Telegraf logger is one.
	Logger = monitor.Logger
	// Event is what is counted.
	Event = monitor.Event
	// HeloRule says which names clients may give.
	HeloRule = smtpd.HeloRule
	// TLSMode says when connections are encrypted.
	TLSMode = delivery.TLSMode
)

// New checks the options without touching the network; files that they name are read. The
// error names each option that is wrong.
func New(opts Options) (*Relay, error) {
	r := &Relay{opts: opts}
	var errs []error
	fail := func(err error) { errs = append(errs, err) }
	var err error
	if opts.Monitor == nil {
		r.opts.Monitor = monitor.New(opts.Log, opts.Count)
	}
	if r.opts.Hostname, err = address.ParseDomain(opts.Hostname); err != nil {
		fail(fmt.Errorf("hostname: %w", err))
	}
	if opts.Spool == "" {
		fail(errors.New(`spool is empty: expected a directory such as "/var/spool/flowgraf"`))
	}
	if len(opts.Listen) > 0 || len(opts.RelayNets) > 0 || len(opts.RelayDomains) > 0 {
		r.policy, err = policy.New(opts.RelayNets, opts.RelayDomains)
		fail(err)
	}
	fail(r.configureUsers())
	fail(r.configureListeners())
	fail(r.configureRoutes())
	fail(r.readAliases())
	fail(r.readSenders())
	fail(r.configureDenials())
	if opts.ArchiveCopy != "" {
		a, err := address.ParseConfigured(opts.ArchiveCopy)
		if err != nil {
			fail(fmt.Errorf("archive_copy: %w", err))
		}
		r.archiveCopy = a.String()
	}
	if r.opts.Hostname != "" {
		fail(r.configureRewriting())
	}
	fail(r.checkLocalRecipients())
	fail(r.configureDirect())
	fail(opts.SMTPD.Check())
	fail(r.configureLogin())
	fail(r.configureTLS())
	fail(opts.Delivery.Check())
	fail(r.configureAlerts())
	r.hideSecrets()
	if opts.KeepConnections < 0 {
		fail(errors.New("keep_connections must not be negative: expected 0 to end them, or a positive value"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// The values of Options.Auth.
const (
	AuthRequired = "required"
	AuthOptional = "optional"
)

// configureListeners checks what concerns taking mail.
func (r *Relay) configureListeners() error {
	opts := &r.opts
	var errs []error
	encrypted, plain := false, ""
	for _, s := range opts.Listen {
		l, err := smtpd.ParseListener(s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r.listen = append(r.listen, l)
		if l.Encrypted() {
			encrypted = true
		} else {
			plain = s
		}
	}
	if encrypted {
		var err error
		if r.tls, err = smtpd.TLSConfig(opts.TLSCert, opts.TLSKey, opts.Monitor); err != nil {
			errs = append(errs, err)
		}
	}
	switch opts.Auth {
	case "", AuthRequired:
		if len(opts.SMTPD.Users) > 0 && plain != "" {
			errs = append(errs, fmt.Errorf(
				`listen: %q is plain text, where users cannot log in: expected "starttls://" or "smtps://", or `+
					`auth = "optional"`, plain))
		}
	case AuthOptional:
	default:
		errs = append(errs, fmt.Errorf(`auth is %q: expected "required" or "optional"`, opts.Auth))
	}
	if len(opts.SenderDomains) > 0 {
		var err error
		if r.senders, err = policy.NewDomains("sender_domains", opts.SenderDomains); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// configureDenials checks what is taken from nobody.
func (r *Relay) configureDenials() error {
	var netsErr, sendersErr error
	r.deniedNets, netsErr = policy.NewNetworks("denied_nets", r.opts.DeniedNets)
	r.deniedSenders, sendersErr = policy.NewSenders("denied_senders", r.opts.DeniedSenders)
	return errors.Join(netsErr, sendersErr)
}

// configureRewriting checks what concerns changes to mails. What an alias leads to
// must be in relay_domains: an alias opens no way that the policy closes.
func (r *Relay) configureRewriting() error {
	opts := &r.opts
	var err error
	r.rules, err = rewrite.New(rewrite.Options{
		LocalDomains:  append([]string{r.opts.Hostname, "localhost"}, opts.LocalDomains...),
		VisibleDomain: opts.VisibleDomain, Aliases: opts.Aliases, Senders: opts.SenderAddresses,
	})
	if err != nil {
		return err
	}
	if r.policy != nil {
		for name, targets := range r.rules.Targets() {
			for _, a := range targets {
				if !r.policy.AllowRecipient(a) {
					return fmt.Errorf("aliases: %q leads to %q: expected an address in relay_domains", name, a)
				}
			}
		}
	}
	if opts.DKIMDomain != "" || opts.DKIMSelector != "" || opts.DKIMKey != "" {
		r.signer, err = dkim.New(opts.DKIMDomain, opts.DKIMSelector, opts.DKIMKey)
	}
	return err
}

// known tells whether an alias takes mail for this address.
func (r *Relay) known(a address.Address) bool { return r.rules.Lookup(a) != nil }

// prepare makes of a mail what is kept and sent: aliases expanded, the sender's
// domain rewritten, signed. A mail that cannot be signed leaves without.
func (r *Relay) prepare(env *queue.Envelope, body []byte) []byte {
	r.expand(env)
	r.addArchiveCopy(env)
	env.From = r.rules.Sender(env.From)
	body = r.rules.Message(body)
	signed, err := r.signer.Sign(body)
	if err != nil {
		r.opts.Monitor.LimitedWarnf("dkim", "mail %s leaves unsigned: %v", env.ID, err)
	}
	return signed
}

// Start opens the spool, begins to deliver what waits, and opens the listeners.
// After an error nothing is open and Start may be called again. The end of ctx ends
// deliveries as Stop does. What a relay has left under a reload is taken over.
func (r *Relay) Start(ctx context.Context) error {
	running.starting.Lock()
	defer running.starting.Unlock()
	whole, server, err := r.inherit()
	if err != nil {
		return err
	}
	if !whole {
		if err := r.open(ctx, server); err != nil {
			return err
		}
	}
	r.enrol()
	return nil
}

// open opens what Start does. server is that of a predecessor, or nil.
func (r *Relay) open(ctx context.Context, server *smtpd.Server) error {
	q, waiting, err := queue.Open(r.opts.Spool, r.opts.Monitor)
	if err != nil {
		return abandon(server, fmt.Errorf("spool %q: %w", r.opts.Spool, err))
	}
	if r.alerts != nil {
		if err := r.recoverAlerts(waiting); err != nil {
			return abandon(server, errors.Join(err, q.Close()))
		}
	}
	r.queue = q
	r.sender = r.newSender(q)
	for i := range waiting {
		r.sender.Add(&waiting[i])
	}
	if err := r.serve(server, r.serverOptions(q)); err != nil {
		r.sender, r.queue = nil, nil
		return abandon(server, errors.Join(err, q.Close()))
	}
	r.addrs = r.listening()
	r.resume()
	r.sender.Start(ctx)
	commands := &admin{queue: q, sender: r.sender, failed: r.revive, bounce: true, alerts: r.alerts}
	if r.admin, err = control.Serve(r.opts.Spool, commands.do); err != nil {
		r.opts.Monitor.Warnf("%v; flowgraf queue cannot reach this relay", err)
	}
	return nil
}

func (r *Relay) newSender(q *queue.Queue) *delivery.Sender {
	o := r.opts.Delivery
	o.Queue, o.Hostname, o.Smarthosts, o.Resolver, o.Monitor = q, r.opts.Hostname, r.hosts, r.resolver, r.opts.Monitor
	o.Policies, o.Self, o.Allow, o.Failed = r.policies().Policy, r.isSelf, r.allow, r.bounce
	o.Delayed, o.Reached = r.delayed, r.reached
	return delivery.New(o)
}

func (r *Relay) serverOptions(q *queue.Queue) smtpd.Options {
	o := r.opts.SMTPD
	o.Listen, o.TLS, o.Open, o.Hostname, o.Monitor = r.listen, r.tls, openListener, r.opts.Hostname, r.opts.Monitor
	o.RequireAuth = len(o.Users) > 0 && r.opts.Auth != AuthOptional
	o.Policy, o.Senders, o.Known, o.Unknown = r.policy, r.senders, r.known, r.unknown
	o.DeniedNets, o.DeniedSenders = r.deniedNets, r.deniedSenders
	o.Instance, o.NewID, o.Submit = q.Instance(), q.NewID, r.Submit
	return o
}

// spoolPath gives a path in the spool.
func (r *Relay) spoolPath(name string) string { return filepath.Join(r.opts.Spool, name) }

// revive makes a failed mail wait again.
func (r *Relay) revive(id string) error {
	var env queue.Envelope
	if err := r.queue.Revive(id, &env); err != nil {
		return err
	}
	r.sender.Add(&env)
	return nil
}

// Stop stops delivering, ends the listeners, lets mails under way end, and closes
// the spool. It may be called twice, or after a failed Start.
func (r *Relay) Stop() {
	if claim(func(other *Relay) bool { return other == r }) != nil {
		r.halt(r.park)
	}
}

// halt ends a relay that the caller has claimed; endServer ends its server. Mails are taken,
// and wait, while the sender's end is held up by a smarthost that does not answer.
func (r *Relay) halt(endServer func()) {
	r.sender.Stop()
	r.admin.Close()
	endServer()
	if err := r.queue.Close(); err != nil {
		r.opts.Monitor.Errorf("closing the spool: %v", err)
	}
}

// CheckPlaces tells whether a relay with this spool and these listeners could start now:
// whether the spool can be written and no other relay has it, and whether the listeners'
// ports are free. What New refuses is passed over. It opens nothing for longer than the
// check.
func CheckPlaces(spool string, listen []string) error {
	var errs []error
	if spool != "" {
		errs = append(errs, queue.CheckWritable(spool))
	}
	for _, s := range listen {
		listener, err := smtpd.ParseListener(s)
		if err != nil {
			continue
		}
		l, err := openListener(listener.Addr)
		if err != nil {
			errs = append(errs, fmt.Errorf("listening on %q for mail: %w", listener.Addr, err))
			continue
		}
		l.Close()
	}
	return errors.Join(errs...)
}

// Addrs gives the listeners' addresses.
func (r *Relay) Addrs() []net.Addr { return r.server.Addrs() }

// Waiting gives the number of mails in the queue.
func (r *Relay) Waiting() int { return r.sender.Waiting() }

// Oldest gives the age of the mail that waits longest, 0 when none does.
func (r *Relay) Oldest() time.Duration { return r.sender.Oldest() }

// NewID gives an id for a mail.
func (r *Relay) NewID() string { return r.queue.NewID() }

// Submit puts a mail on stable storage and begins to deliver it.
func (r *Relay) Submit(env *queue.Envelope, body []byte) error {
	body = r.prepare(env, body)
	if err := r.queue.Add(env, body); err != nil {
		return err
	}
	r.sender.Add(env)
	return nil
}

// Hold puts a mail on stable storage without delivering it before Release, or the
// next Start.
func (r *Relay) Hold(env *queue.Envelope, body []byte) error {
	body = r.prepare(env, body)
	if err := r.queue.Add(env, body); err != nil {
		return err
	}
	maillog.Arrived(r.opts.Monitor, &maillog.Arrival{
		ID: env.ID, From: env.From, To: env.To, Protocol: env.Origin, Size: len(body),
		MessageID: message.ID(body),
	})
	return nil
}

// Release begins to deliver a mail that Hold has stored.
func (r *Relay) Release(env *queue.Envelope) { r.sender.Add(env) }

// allow is the policy at the moment of delivery. The recipients of alert mails and of the
// archive copy come from the administrator's configuration, not from a client.
func (r *Relay) allow(env *queue.Envelope, to address.Address) error {
	if env.Origin == queue.OriginAlert || to.String() == r.archiveCopy || (r.policy != nil &&
		r.policy.AllowRecipient(to)) {
		return nil
	}
	return fmt.Errorf("the domain of %q is not in relay_domains", to)
}
