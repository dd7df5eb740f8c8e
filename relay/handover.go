package relay

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
	"github.com/flowgraf/flowgraf/relay/smtpd"
)

// A relay lives through a reload of the configuration: after BeginReload Leave does not
// stop it but leaves it running for a successor in the same process. The successor's Start
// takes it over: whole when the options are the same, else its listening sockets and
// client connections, while the spool is opened anew. A relay of before the reload that
// nobody has left yet, because its owner is slow, is taken over too.

// unclaimed is how long a relay that was left runs without a successor.
const unclaimed = time.Minute

// recoverable is the number of waiting mails up to which a relay with alert rules is taken
// over whole.
const recoverable = 1000

// running are the relays of this process.
var running struct {
	starting sync.Mutex // held by Start: a successor waits until its predecessor runs

	sync.Mutex
	reload bool // relays are left
	era    int  // reloads so far
	relays []*Relay
}

// BeginReload makes Leave keep relays running.
func BeginReload() {
	running.Lock()
	defer running.Unlock()
	running.reload = true
	running.era++
}

// EndReload makes Leave stop relays, and stops those that were left and have found no
// successor.
func EndReload() {
	running.Lock()
	running.reload = false
	running.Unlock()
	for r := claim((*Relay).isLeft); r != nil; r = claim((*Relay).isLeft) {
		r.halt(r.server.Stop)
	}
}

// StopAll stops all relays of this process, those that were left, too: their clients'
// connections are for the next start.
func StopAll() {
	running.Lock()
	running.reload = false
	running.Unlock()
	for r := claim(anyRelay); r != nil; r = claim(anyRelay) {
		r.halt(r.park)
	}
}

func anyRelay(*Relay) bool      { return true }
func (r *Relay) isLeft() bool   { return r.left }
func (r *Relay) isBefore() bool { return r.left || r.era < running.era }

// enrol makes r known as running.
func (r *Relay) enrol() {
	running.Lock()
	defer running.Unlock()
	r.era, r.left = running.era, false
	running.relays = append(running.relays, r)
}

// claim takes a running relay that is wanted, nil when there is none. Whoever has it
// ends it.
func claim(wanted func(*Relay) bool) *Relay {
	running.Lock()
	defer running.Unlock()
	i := slices.IndexFunc(running.relays, wanted)
	if i < 0 {
		return nil
	}
	r := running.relays[i]
	running.relays = slices.Delete(running.relays, i, i+1)
	return r
}

// Leave is Stop, except after BeginReload: then the relay goes on until another one takes
// it over, EndReload, or a minute has passed.
func (r *Relay) Leave() {
	running.Lock()
	kept := running.reload && slices.Contains(running.relays, r)
	if kept {
		r.left = true
	}
	running.Unlock()
	if !kept {
		r.Stop()
		return
	}
	time.AfterFunc(unclaimed, func() {
		if claim(func(left *Relay) bool { return left == r && left.left }) != nil {
			r.opts.Monitor.Warnf("the mail relay is stopped: no new one has taken its place within %s", unclaimed)
			r.halt(r.server.Stop)
		}
	})
}

// predecessor takes the relay that r follows: the one with the same options, or with a
// listening address of ours, or with our spool. Another one that has what we need is
// stopped.
func (r *Relay) predecessor() *Relay {
	first := claim(func(old *Relay) bool { return old.isBefore() && old.identity() == r.identity() })
	for _, related := range []func(*Relay) bool{
		func(old *Relay) bool { return old.isBefore() && slices.ContainsFunc(old.opts.Listen, r.listensOn) },
		func(old *Relay) bool { return old.isBefore() && old.opts.Spool == r.opts.Spool },
	} {
		for old := claim(related); old != nil; old = claim(related) {
			if first == nil {
				first = old
				continue
			}
			old.halt(old.server.Stop)
		}
	}
	return first
}

// listensOn tells whether a listener of another relay has an address of ours.
func (r *Relay) listensOn(s string) bool {
	other, err := smtpd.ParseListener(s)
	return err == nil && slices.ContainsFunc(r.listen, func(l smtpd.Listener) bool { return l.Addr == other.Addr })
}

// identity is the same for relays that do the same.
func (r *Relay) identity() [sha256.Size]byte {
	b, err := json.Marshal(&r.opts)
	if err != nil { // options are plain values, their functions are left out
		panic(err)
	}
	return sha256.Sum256(append(append(b, r.signer.Identity()...), r.hidden...))
}

// takeOver makes r the same relay as old, which goes on running. It tells whether it
// could: not when the options differ.
func (r *Relay) takeOver(old *Relay) (bool, error) {
	if old.identity() != r.identity() {
		return false, nil
	}
	if r.alerts != nil {
		waiting := old.sender.List()
		if len(waiting) > recoverable {
			return false, nil
		}
		var envelopes []queue.Envelope
		for _, status := range waiting {
			if m, err := old.queue.Load(status.ID); err == nil { // else it was delivered meanwhile
				envelopes = append(envelopes, m.Envelope)
			}
		}
		if err := r.recoverAlerts(envelopes); err != nil {
			return false, err
		}
	}
	r.queue, r.sender, r.server, r.admin, r.addrs = old.queue, old.sender, old.server, old.admin, old.addrs
	old.opts.Monitor.Redirect(r.opts.Monitor)
	return true, nil
}

// yield closes old's spool and gives its server, which goes on listening; clients wait
// until it is reconfigured. A smarthost that has not answered the end of a mail may hold up
// the sender's end: mails are taken meanwhile, and wait.
func (r *Relay) yield() *smtpd.Server {
	server := r.server
	r.sender.Stop()
	server.Suspend()
	r.admin.Close()
	if err := r.queue.Close(); err != nil {
		r.opts.Monitor.Errorf("closing the spool: %v", err)
	}
	return server
}

// inherit takes over what a relay has left that is to be followed. whole tells that
// nothing is left to start; server may be nil.
func (r *Relay) inherit() (whole bool, server *smtpd.Server, err error) {
	old := r.predecessor()
	if old == nil {
		return false, nil, nil
	}
	whole, err = r.takeOver(old)
	switch {
	case err != nil:
		old.halt(old.server.Stop)
		return false, nil, err
	case whole:
		return true, nil, nil
	}
	waiting := old.Waiting()
	server = old.yield()
	if waiting > 0 && old.opts.Spool != r.opts.Spool {
		r.opts.Monitor.Warnf("%s in the spool %q, which is no longer used until an agent runs with it again",
			monitor.MailsWait(waiting), old.opts.Spool)
	}
	return false, server, nil
}

// serve begins to take mail, with the server of a predecessor when there is one.
func (r *Relay) serve(server *smtpd.Server, opts smtpd.Options) error {
	if server != nil {
		r.server = server
		return server.Reconfigure(opts)
	}
	r.server = smtpd.New(opts)
	return r.server.Start()
}

// abandon ends a predecessor's server that could not be taken over.
func abandon(server *smtpd.Server, cause error) error {
	if server != nil {
		server.Stop()
		cause = errors.Join(cause, errors.New("the relay that ran before is stopped"))
	}
	return cause
}
