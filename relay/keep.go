package relay

import (
	"encoding/json"
	"errors"
	"os"
	"sync"

	"github.com/flowgraf/flowgraf/relay/keeper"
	"github.com/flowgraf/flowgraf/relay/smtpd"
)

// A relay's connections live through a restart of the process, too: package keeper has
// them until the next relay on the same spool starts. systemd keeps the listening sockets
// as well; a helper process does not, so that another program can have their addresses.

// keeping is how the connections of this process outlive it.
var keeping struct {
	sync.Mutex
	command []string
}

// KeepConnections lets the connections of relays that are stopped outlive this process,
// for as long as their Options say: command, a program and its arguments, is started to
// have them, and calls keeper.Run. Without a call they end with their relay.
func KeepConnections(command ...string) {
	keeping.Lock()
	defer keeping.Unlock()
	keeping.command = command
}

// keepCommand gives the helper's command, nil when connections end with their relay.
func keepCommand() []string {
	keeping.Lock()
	defer keeping.Unlock()
	return keeping.command
}

// kept is what is noted of a socket: it is a listener's or a session's.
type kept struct {
	Listener string         `json:",omitempty"`
	Session  *smtpd.Session `json:",omitempty"`
}

// park ends the server and lets sessions that can outlive it live on, when somebody has
// them.
func (r *Relay) park() {
	command := keepCommand()
	if command == nil || r.opts.KeepConnections <= 0 || os.Getpid() == 1 && !keeper.Managed() {
		r.server.Stop() // the end of a container's first process ends all others
		return
	}
	var sockets []keeper.Socket
	if keeper.Managed() {
		for addr, f := range r.server.Sockets() {
			if l := activatedListener(addr); l != nil { // it stays anyway
				l.Close()
				f.Close()
				continue
			}
			sockets = append(sockets, newSocket(f, &kept{Listener: addr}))
		}
	}
	sessions := r.server.Park()
	for _, s := range sessions {
		sockets = append(sockets, newSocket(s.Socket, &kept{Session: s}))
	}
	if len(sockets) == 0 {
		return
	}
	if err := r.keep(command, sockets); err != nil {
		if !errors.Is(err, keeper.ErrNone) {
			r.opts.Monitor.Warnf("%d client connections end with this process: %v", len(sessions), err)
		}
		keeper.End(sockets)
		return
	}
	keeper.Close(sockets)
	if len(sessions) > 0 {
		r.opts.Monitor.Infof("client connections kept for the next start: %d", len(sessions))
	}
}

func (r *Relay) keep(command []string, sockets []keeper.Socket) error {
	if keeper.Managed() {
		return keeper.Store(sockets)
	}
	return keeper.Keep(r.opts.Spool, command, r.opts.KeepConnections, sockets)
}

func newSocket(f *os.File, k *kept) keeper.Socket {
	note, err := json.Marshal(k)
	if err != nil { // plain values
		panic(err)
	}
	return keeper.Socket{File: f, Note: note}
}

// resume takes on the connections that an earlier process has kept. The spool is ours, and
// the server listens.
func (r *Relay) resume() {
	sockets, err := keeper.Take(r.opts.Spool)
	if err != nil {
		r.opts.Monitor.Warnf("client connections of the process before: %v", err)
	}
	sessions := r.claimSessions()
	for _, s := range sockets {
		var k kept
		if err := json.Unmarshal(s.Note, &k); err != nil || k.Session == nil {
			s.File.Close()
			continue
		}
		k.Session.Socket = s.File
		sessions = append(sessions, k.Session)
	}
	if len(sessions) == 0 {
		return
	}
	refused := r.server.Adopt(sessions)
	r.opts.Monitor.Infof("%d of %d client connections of the process before are taken on",
		len(sessions)-len(refused), len(sessions))
	go endSessions(refused)
}

// endSessions ends sessions that nobody takes on.
func endSessions(sessions []*smtpd.Session) {
	sockets := make([]keeper.Socket, len(sessions))
	for i, s := range sessions {
		sockets[i].File = s.Socket
	}
	keeper.End(sockets)
}
