package relay

import (
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/relay/keeper"
	"github.com/flowgraf/flowgraf/relay/smtpd"
)

// inherited are the sockets that the service manager has given this process.
var inherited struct {
	sync.Mutex
	read      bool
	activated []*os.File       // of .socket units
	listeners []keeper.Socket  // that the process before has stored
	sessions  []*smtpd.Session // likewise
}

// readInherited fills inherited once.
func readInherited() {
	if inherited.read {
		return
	}
	inherited.read = true
	var stored []keeper.Socket
	inherited.activated, stored = keeper.Inherited()
	for _, s := range stored {
		var k kept
		switch err := json.Unmarshal(s.Note, &k); {
		case err == nil && k.Session != nil:
			k.Session.Socket = s.File
			inherited.sessions = append(inherited.sessions, k.Session)
		case err == nil && k.Listener != "":
			inherited.listeners = append(inherited.listeners, s)
		default:
			s.File.Close()
		}
	}
	if len(stored) > 0 {
		time.AfterFunc(unclaimed, endInherited)
	}
}

// endInherited ends what was stored and no relay has claimed.
func endInherited() {
	inherited.Lock()
	defer inherited.Unlock()
	keeper.Close(inherited.listeners)
	go endSessions(inherited.sessions)
	inherited.listeners, inherited.sessions = nil, nil
}

// activated gives the sockets that a service manager has opened for this process
// (LISTEN_FDS, sd_listen_fds(3)). They stay open as long as the process lives: while no
// relay accepts, between two of them or when the process is restarted, clients wait in
// the socket's queue and lose nothing.
var activated = func() []*os.File {
	inherited.Lock()
	defer inherited.Unlock()
	readInherited()
	return inherited.activated
}

// openListener gives the activated socket that has an address, or the one that the process
// before had, else opens one.
func openListener(addr string) (net.Listener, error) {
	if l := activatedListener(addr); l != nil {
		return l, nil
	}
	inherited.Lock()
	defer inherited.Unlock()
	for i, s := range inherited.listeners {
		if l := listenerOf(s.File, addr); l != nil {
			inherited.listeners = slices.Delete(inherited.listeners, i, i+1)
			s.File.Close()
			return l, nil
		}
	}
	return net.Listen("tcp", addr)
}

// activatedListener gives a copy of the activated socket that has an address, nil when
// there is none.
func activatedListener(addr string) net.Listener {
	for _, f := range activated() {
		if l := listenerOf(f, addr); l != nil {
			return l
		}
	}
	return nil
}

// listenerOf gives a copy of a listening socket if it has an address, else nil.
func listenerOf(f *os.File, addr string) net.Listener {
	l, err := net.FileListener(f)
	if err != nil {
		return nil // a socket of another kind
	}
	if !sameAddress(l.Addr(), addr) {
		l.Close()
		return nil
	}
	return l
}

// claimSessions gives the stored sessions of the listeners of r, once.
func (r *Relay) claimSessions() (mine []*smtpd.Session) {
	inherited.Lock()
	defer inherited.Unlock()
	inherited.sessions = slices.DeleteFunc(inherited.sessions, func(s *smtpd.Session) bool {
		if r.listensOn(s.Listen) {
			mine = append(mine, s)
			return true
		}
		return false
	})
	return mine
}

// sameAddress tells whether a TCP listener has the address "host:port". All addresses of
// IPv4 and of IPv6 are the same.
func sameAddress(l net.Addr, addr string) bool {
	tcp, ok := l.(*net.TCPAddr)
	if !ok {
		return false
	}
	if strings.HasPrefix(addr, ":") {
		addr = "0.0.0.0" + addr
	}
	want, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil || want.Port != tcp.Port {
		return false
	}
	plain := func(a *net.TCPAddr) netip.Addr {
		ip := a.AddrPort().Addr().Unmap()
		if ip == netip.IPv6Unspecified() {
			return netip.IPv4Unspecified()
		}
		return ip
	}
	return plain(want) == plain(tcp)
}
