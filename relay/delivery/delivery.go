package delivery

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
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
	Queue *queue.Queue
	// Hostname is our name in EHLO.
	Hostname string
	// Smarthosts are tried in this order.
	Smarthosts []Smarthost
	// TLS says when connections are encrypted; default TLSRequired.
	TLS TLSMode
	// TLSConfig holds what verifying needs; ServerName is set by this package.
	TLSConfig *tls.Config
	// Credentials gives what a smarthost wants to know, nil when it wants nothing;
	// may be nil.
	Credentials func(Smarthost) (*Credentials, error)
	// AuthInClear allows to log in over connections that are not encrypted and
	// verified.
	AuthInClear bool
	// ExpireAfter is the age at which a mail that waits has failed; default 24 h.
	ExpireAfter time.Duration
	// Resolver finds the servers of KindMX.
	Resolver Resolver
	// MXTLS is TLS for servers of KindMX without an MTA-STS policy; default
	// TLSOpportunistic.
	MXTLS TLSMode
	// Policies gives a domain's MTA-STS policy, nil when it has none; may be nil.
	Policies func(ctx context.Context, domain string) *mtasts.Policy
	// Self tells whether a name, or an address that is listened on, is ours; one of
	// the two is given. May be nil.
	Self func(name string, addr netip.AddrPort) bool
	// HostConnections is the number of connections to one server at a time, default
	// 2; HostMails that of mails on one connection, default 100.
	HostConnections, HostMails int
	// Parallel is the number of mails worked on at a time; default HostConnections,
	// with KindMX 20. One critical mail more may be.
	Parallel int
	// Allow is asked right before a recipient is put on the wire; nil allows.
	Allow func(env *queue.Envelope, to address.Address) error
	// Failed is called when a mail has recipients that failed for good, before it
	// is kept aside; nil does nothing. An error is logged.
	Failed func(mail *queue.Mail) error
	// Monitor counts and logs; may be nil.
	Monitor *monitor.Monitor
	// Dial makes connections; default net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

const (
	defaultExpire          = 24 * time.Hour
	defaultHostConnections = 2
	defaultHostMails       = 100
	defaultDirectParallel  = 20

	idleConnection = 20 * time.Second
	startupGrace   = 15 * time.Minute // mails found expired are tried for this long
	sweepInterval  = time.Minute
	stopGrace      = 3 * time.Second
)

// schedule is the wait after the first, second, … failure (specs/mail-relay.md,
// section 5); the last one repeats.
var schedule = []time.Duration{
	15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
}

// backoff gives the wait after the n-th failure, 20 % more or less.
func backoff(n int) time.Duration {
	d := schedule[min(max(n, 1), len(schedule))-1]
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// Sender delivers. It is inert until Start.
type Sender struct {
	opts    Options
	dialer  dialer
	places  []*host // as configured
	mx      bool    // KindMX is among them
	mxPort  uint16
	started time.Time
	cancel  context.CancelFunc // breaks attempts off
	tidy    context.CancelFunc // ends sweep
	workers sync.WaitGroup

	mu           sync.Mutex // guards what follows, the destinations and the hosts
	ended        bool       // no further mail is begun
	destinations map[string]*destination
	dropAt       int // number of destinations at which unused ones are dropped
	exchangers   map[exchanger]*host
	plain        int // mails worked on that are not critical
	known        map[string]*entry
	wake         chan struct{} // closed and replaced when something became possible
}

// entry is a waiting mail.
type entry struct {
	id          string
	received    time.Time
	due         time.Time
	attempts    int
	critical    bool
	held        bool   // it waits until somebody lets it go
	destination string // whose lanes it waits in
	index       int    // in its lane, -1 while it is worked on or held
}

// New makes a Sender.
func New(opts Options) *Sender {
	opts.setDefaults()
	s := &Sender{
		opts: opts,
		dialer: dialer{
			hostname: opts.Hostname, tls: opts.TLSConfig, dial: opts.Dial,
			credentials: opts.Credentials, authInClear: opts.AuthInClear,
		},
		known: map[string]*entry{}, wake: make(chan struct{}),
		destinations: map[string]*destination{}, dropAt: minDestinations, exchangers: map[exchanger]*host{},
	}
	for _, h := range opts.Smarthosts {
		if h.Kind == KindMX {
			port, _ := strconv.ParseUint(strings.TrimPrefix(h.Addr, ":"), 10, 16) // ParseSmarthost has
			s.mx, s.mxPort = true, uint16(port)
		}
		s.places = append(s.places, &host{Smarthost: h, tls: opts.TLS, limit: opts.HostConnections})
	}
	if s.opts.Parallel == 0 {
		s.opts.Parallel = opts.HostConnections
		if s.mx {
			s.opts.Parallel = max(opts.HostConnections, defaultDirectParallel)
		}
	}
	return s
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
	if opts.Dial == nil {
		opts.Dial = (&net.Dialer{}).DialContext
	}
}

// isSelf asks Self.
func (opts *Options) isSelf(name string, addr netip.AddrPort) bool {
	return opts.Self != nil && opts.Self(name, addr)
}

// Start begins to deliver, until Stop or the end of ctx, which breaks attempts off.
func (s *Sender) Start(ctx context.Context) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.started = time.Now()
	for range s.opts.Parallel + 1 { // one is kept free for critical mails
		s.workers.Go(func() { s.work(ctx) })
	}
	var sweeping context.Context
	sweeping, s.tidy = context.WithCancel(ctx)
	s.workers.Go(func() { s.sweep(sweeping) })
}

// Stop begins no further mail, gives those under way 3 s, so that none is broken
// off between the smarthost's answer and our note of it, and waits. Mails stay in
// the queue. It may be called twice, or without Start.
func (s *Sender) Stop() {
	s.mu.Lock()
	s.ended = true
	s.notify()
	s.mu.Unlock()
	if s.cancel == nil {
		return
	}
	s.tidy()
	grace := time.AfterFunc(stopGrace, s.cancel)
	s.workers.Wait()
	grace.Stop()
	s.cancel()
	for _, c := range s.takeIdle(time.Now().Add(idleConnection)) {
		c.quit()
	}
}

// takeIdle gives the connections that nobody has used since then.
func (s *Sender) takeIdle(before time.Time) []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	var old []*client
	for _, h := range s.places {
		old = append(old, h.takeIdle(before)...)
	}
	for _, h := range s.exchangers {
		old = append(old, h.takeIdle(before)...)
	}
	return old
}

// Add says that a mail is in the queue and due now.
func (s *Sender) Add(env *queue.Envelope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[env.ID]; ok {
		return
	}
	now := time.Now() // on the monotonic clock from here on: the other one may jump
	e := &entry{
		id: env.ID, received: now.Add(-max(0, now.Sub(env.Received))), due: now, index: -1,
		critical: env.Critical, held: s.opts.Queue.IsHeld(env.ID), destination: s.domainOf(env),
	}
	s.known[env.ID] = e
	s.push(e)
	s.notify()
}

// Waiting gives the number of mails not delivered yet.
func (s *Sender) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known)
}

// lane gives the lane of an entry. The caller holds mu.
func (s *Sender) lane(e *entry) *entryHeap {
	lanes := &s.destination(e.destination).lanes
	if e.critical {
		return &lanes[0]
	}
	return &lanes[1]
}

// push makes an entry wait in its lane. The caller holds mu.
func (s *Sender) push(e *entry) {
	if !e.held {
		heap.Push(s.lane(e), e)
	}
}

// notify wakes the workers. The caller holds mu.
func (s *Sender) notify() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// work takes one mail after the other.
func (s *Sender) work(ctx context.Context) {
	for {
		e := s.next(ctx)
		if e == nil {
			return
		}
		s.attempt(ctx, e)
		if !e.critical {
			s.mu.Lock()
			s.plain--
			s.mu.Unlock()
		}
	}
}

// next waits for a mail that is due while its destination may be tried; nil at the
// end.
func (s *Sender) next(ctx context.Context) *entry {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.mu.Lock()
		if s.ended || ctx.Err() != nil {
			s.mu.Unlock()
			return nil
		}
		e, wait := s.pick(time.Now())
		wake := s.wake
		s.mu.Unlock()
		if e != nil {
			return e
		}
		timer.Reset(max(wait, time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-timer.C:
		}
	}
}

// putBack makes an entry wait, for these recipients. With tried it counts as an
// attempt.
func (s *Sender) putBack(e *entry, open []recipient, tried bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open != nil {
		e.destination = s.destinationOf(open)
	}
	if tried {
		e.attempts++
		e.due = time.Now().Add(backoff(e.attempts))
	}
	s.push(e)
	s.notify()
}

func (s *Sender) forget(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, e.id)
}

// attempt tries to deliver one mail.
func (s *Sender) attempt(ctx context.Context, e *entry) {
	mail, err := s.opts.Queue.Load(e.id)
	if errors.Is(err, queue.ErrCorrupt) {
		if err := s.opts.Queue.SetAside(e.id, err); err != nil {
			s.opts.Monitor.Errorf("mail %s: %v", e.id, err)
		}
		s.forget(e)
		return
	}
	if err != nil {
		s.opts.Monitor.LimitedWarnf("load", "mail %s: %v", e.id, err)
		s.putBack(e, nil, true)
		return
	}
	if s.expired(e) {
		s.expire(e, mail)
		return
	}
	from, open, results := s.recheck(mail)
	for _, group := range s.groups(open) {
		results = append(results, s.deliver(ctx, from, group, mail)...)
	}
	if len(results) == 0 && len(open) > 0 { // nothing was learnt: the mail is not put off
		s.putBack(e, open, s.mx && s.destinationOf(open) == "")
		return
	}
	s.conclude(e, mail, results)
}

// groups parts recipients by destination, in the order of the envelope.
func (s *Sender) groups(open []recipient) [][]recipient {
	if !s.mx {
		if len(open) == 0 {
			return nil
		}
		return [][]recipient{open}
	}
	var all [][]recipient
	at := map[string]int{}
	for _, r := range open {
		i, seen := at[r.Domain]
		if !seen {
			i = len(all)
			at[r.Domain] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], r)
	}
	return all
}

// recipient is one that waits, with its index in the envelope.
type recipient struct {
	index int
	address.Address
}

// recheck puts sender and recipients through grammar and policy once more, as they
// will be on the wire, and looks for line ends that are none.
func (s *Sender) recheck(mail *queue.Mail) (from address.Address, open []recipient, results []queue.Result) {
	states := mail.States()
	from, fromErr := address.ParseReverse(mail.From)
	if hasBare(mail.Body) {
		fromErr = errors.Join(fromErr, errors.New("the message has a bare CR or LF"))
	}
	for i, to := range mail.To {
		if states[i].Final() {
			continue
		}
		a, err := address.Parse(to)
		if err == nil && s.opts.Allow != nil {
			err = s.opts.Allow(&mail.Envelope, a)
		}
		if err = errors.Join(fromErr, err); err != nil {
			results = append(results, queue.Result{
				Recipient: i, State: queue.Undeliverable, Time: time.Now().UTC(),
				Status: "5.7.1", Text: printable(err.Error()),
			})
			continue
		}
		open = append(open, recipient{i, a})
	}
	return from, open, results
}

// hasBare tells whether a CR stands without LF or a LF without CR.
func hasBare(b []byte) bool {
	pairs := bytes.Count(b, []byte("\r\n"))
	return bytes.Count(b, []byte{'\r'}) != pairs || bytes.Count(b, []byte{'\n'}) != pairs
}

// deliver gives a mail to the recipients of one destination. It gives no results when
// none of the servers could be asked, so that nothing was learnt about this mail.
func (s *Sender) deliver(ctx context.Context, from address.Address, open []recipient, mail *queue.Mail) []queue.Result {
	s.mu.Lock()
	d := s.destination(s.destinationOf(open))
	s.mu.Unlock()
	refusal, ok := s.route(ctx, d)
	switch {
	case !ok:
		return nil
	case refusal != nil:
		out := outcome{replies: make([]*reply, len(open))}
		for i := range open {
			out.replies[i] = refusal
		}
		return toResults(d.domain, open, out, nil)
	}
	return s.tryHosts(ctx, d, from, open, mail)
}

// tryHosts asks a destination's servers in their order.
func (s *Sender) tryHosts(ctx context.Context, d *destination, from address.Address, open []recipient, mail *queue.Mail) (results []queue.Result) {
	to := make([]address.Address, len(open))
	for i, r := range open {
		to[i] = r.Address
	}
	asked := map[*host]bool{}
	for {
		h := s.acquire(d, asked, mail.Critical)
		if h == nil {
			return results
		}
		asked[h] = true
		out := s.sendTo(ctx, h, from, to, mail)
		if ctx.Err() != nil && out.lost { // we broke it
			s.abandon(h)
			return nil
		}
		switch {
		case out.err == nil:
			s.release(h, nil)
			return toResults(h.name(), open, out, nil)
		case out.lost && out.early:
			s.release(h, out.err)
		case out.lost:
			s.release(h, out.err)
			results = toResults(h.name(), open, out, out.err)
			if out.afterDot {
				return results // another server would make it two mails
			}
		default: // MAIL refused
			s.release(h, nil)
			results = toResults(h.name(), open, out, out.err)
			if h.direct && out.mail.code/100 == 5 { // the recipients' own server has spoken
				for i := range results {
					results[i].State = queue.Undeliverable
				}
				return results
			}
			s.opts.Monitor.Count(monitor.HostErrors, "mail")
			s.opts.Monitor.LimitedWarnf("mail "+h.name(), "%s refuses the sender of mail %s: %v; the mail waits", h.title(), mail.ID, out.err)
		}
	}
}

// sendTo gives a mail to a place on this machine, or to one smarthost, on a connection at hand or a new one. A
// connection at hand may have been closed by the server meanwhile: then once more.
func (s *Sender) sendTo(ctx context.Context, h *host, from address.Address, to []address.Address, mail *queue.Mail) outcome {
	if h.local() {
		return h.store(mail, to)
	}
	for {
		c := h.take(&s.mu)
		fresh := c == nil
		if fresh {
			var err error
			if c, err = s.dialer.connect(ctx, h); err != nil {
				return outcome{err: err, lost: true, early: true}
			}
			if h.testing && c.doubt != nil {
				s.opts.Monitor.Count(monitor.HostErrors, "mta-sts testing")
				s.opts.Monitor.LimitedWarnf("sts testing "+h.name(), "%s: its MTA-STS policy, in testing mode, is not met: %v", h.title(), c.doubt)
			}
		}
		stop := context.AfterFunc(ctx, func() { c.conn.Close() })
		out := c.send(from, to, mail.Body)
		stop()
		if out.mail != nil && out.mail.code == 421 { // RFC 5321 section 3.8: it goes away
			out.lost, out.early = true, true
		}
		switch {
		case out.lost:
			c.conn.Close()
		case c.mails >= s.opts.HostMails || ctx.Err() != nil:
			c.quit()
		default:
			h.put(&s.mu, c)
		}
		if !fresh && out.lost && out.early {
			continue
		}
		return out
	}
}

// toResults translates an outcome.
func toResults(host string, open []recipient, out outcome, err error) []queue.Result {
	results := make([]queue.Result, len(open))
	now := time.Now().UTC()
	for i, r := range open {
		result := queue.Result{Recipient: r.index, State: queue.Deferred, Time: now, Host: host}
		answer := out.mail
		if out.replies[i] != nil {
			answer = out.replies[i]
		}
		switch {
		case answer == nil:
			result.Text = printable(fmt.Sprint(err))
		default:
			result.Code, result.Status, result.Text = answer.code, answer.status, answer.text()
			if out.mail == nil {
				result.State = stateOf(answer.code)
			}
		}
		results[i] = result
	}
	return results
}

func stateOf(code int) queue.State {
	switch code / 100 {
	case 2:
		return queue.Delivered
	case 5:
		return queue.Undeliverable
	}
	return queue.Deferred
}

// conclude records results and decides what becomes of the mail.
func (s *Sender) conclude(e *entry, mail *queue.Mail, results []queue.Result) {
	mail.Results = append(mail.Results, results...)
	s.count(mail, results)
	open, failed := 0, 0
	for _, state := range mail.States() {
		switch {
		case !state.Final():
			open++
		case state == queue.Undeliverable:
			failed++
		}
	}
	var err error
	switch {
	case open > 0:
		err = s.opts.Queue.Record(e.id, results)
		s.opts.Monitor.Count(monitor.PutOff, "")
	case failed > 0:
		if err = s.opts.Queue.Record(e.id, results); err == nil {
			err = s.fail(mail)
		}
	default:
		err = s.opts.Queue.Remove(e.id)
	}
	if err != nil {
		// The spool does not take the result: what is delivered may be delivered
		// again, but nothing is lost.
		s.opts.Monitor.LimitedWarnf("conclude", "mail %s: %v", e.id, err)
	}
	if open > 0 || (failed > 0 && err != nil) {
		s.putBack(e, stillOpen(mail), true)
		return
	}
	s.forget(e)
}

// stillOpen gives the recipients without a final result.
func stillOpen(mail *queue.Mail) []recipient {
	var open []recipient
	states := mail.States()
	for i, to := range mail.To {
		if a, err := address.Parse(to); err == nil && !states[i].Final() {
			open = append(open, recipient{i, a})
		}
	}
	return open
}

// fail keeps a mail aside whose failed recipients will not be tried again.
func (s *Sender) fail(mail *queue.Mail) error {
	if s.opts.Failed != nil {
		if err := s.opts.Failed(mail); err != nil {
			s.opts.Monitor.Errorf("mail %s: notifying %q of the failure: %v", mail.ID, mail.From, err)
		}
	}
	return s.opts.Queue.Fail(mail.ID)
}

func (s *Sender) count(mail *queue.Mail, results []queue.Result) {
	for _, r := range results {
		switch r.State {
		case queue.Delivered:
			s.opts.Monitor.Count(monitor.Delivered, "")
			s.opts.Monitor.Add(monitor.LatencyMS, "", max(0, time.Since(mail.Received).Milliseconds()))
			s.opts.Monitor.Debugf("mail %s delivered to %q by %s", mail.ID, mail.To[r.Recipient], r.Host)
		case queue.Undeliverable:
			s.opts.Monitor.Count(monitor.Failed, mail.Origin)
			s.opts.Monitor.Errorf("mail %s from %q to %q has failed: %q answered %d %s %q",
				mail.ID, mail.From, mail.To[r.Recipient], r.Host, r.Code, r.Status, r.Text)
		default:
			s.opts.Monitor.Count(monitor.Deferred, fmt.Sprintf("%s %d", r.Host, r.Code))
			s.opts.Monitor.LimitedWarnf("deferred "+r.Host, "mail %s to %q waits: %s answered %d %s %q",
				mail.ID, mail.To[r.Recipient], r.Host, r.Code, r.Status, r.Text)
		}
	}
}

// expired tells whether a mail is too old. What was found old at the start is
// tried for a while first.
func (s *Sender) expired(e *entry) bool {
	now := time.Now()
	return now.Sub(e.received) > s.opts.ExpireAfter && now.Sub(s.started) > min(startupGrace, s.opts.ExpireAfter)
}

func (s *Sender) expire(e *entry, mail *queue.Mail) {
	var results []queue.Result
	last := map[int]queue.Result{}
	for _, r := range mail.Results {
		last[r.Recipient] = r
	}
	for i, state := range mail.States() {
		if state.Final() {
			continue
		}
		r := last[i]
		r.Recipient, r.State, r.Time, r.Status = i, queue.Undeliverable, time.Now().UTC(), "4.4.7"
		why := "no smarthost could be reached"
		if r.Text != "" {
			why = fmt.Sprintf("the last answer was %d %q", r.Code, r.Text)
		}
		r.Text = printable(fmt.Sprintf("not delivered within %s: %s", s.opts.ExpireAfter, why))
		r.Code = 0
		results = append(results, r)
	}
	s.conclude(e, mail, results)
}

// sweep fails expired mails also while no smarthost can be asked, and closes idle
// connections.
func (s *Sender) sweep(ctx context.Context) {
	ticker := time.NewTicker(min(sweepInterval, s.opts.ExpireAfter))
	idle := time.NewTicker(idleConnection / 2)
	defer ticker.Stop()
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			for _, c := range s.takeIdle(time.Now().Add(-idleConnection / 2)) {
				c.quit()
			}
		case <-ticker.C:
			for _, e := range s.takeExpired() {
				s.attempt(ctx, e)
			}
			s.mu.Lock()
			s.dropUnused()
			s.mu.Unlock()
		}
	}
}

func (s *Sender) takeExpired() []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var old []*entry
	for _, e := range s.known {
		if e.index >= 0 && s.expired(e) {
			old = append(old, e)
		}
	}
	for _, e := range old {
		heap.Remove(s.lane(e), e.index)
	}
	return old
}

// entryHeap orders entries by when they are due, then by age.
type entryHeap []*entry

func (h entryHeap) Len() int { return len(h) }

func (h entryHeap) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].id < h[j].id
}

func (h entryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *entryHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = -1
	return e
}
