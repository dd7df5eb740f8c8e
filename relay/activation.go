package relay

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/activation"
)

// activated gives the sockets that a service manager has opened for this process
// (LISTEN_FDS, sd_listen_fds(3)). They stay open as long as the process lives: while no
// relay accepts, between two of them or when the process is restarted, clients wait in
// the socket's queue and lose nothing.
var activated = sync.OnceValue(func() []*os.File { return activation.Files(false) })

// openListener gives the activated socket that has an address, else opens one.
func openListener(addr string) (net.Listener, error) {
	for _, f := range activated() {
		l, err := net.FileListener(f) // of a copy
		if err != nil {
			continue // a socket of another kind
		}
		if sameAddress(l.Addr(), addr) {
			return l, nil
		}
		l.Close()
	}
	return net.Listen("tcp", addr)
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
