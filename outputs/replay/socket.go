package replay

import (
	"context"
	"net"
	"net/netip"
	"syscall"
)

// dial opens a socket from an address, any where it is the zero value, to the collector.
// Foreign lets the address be one that is not this machine's, where the system allows.
func dial(from netip.Addr, port uint16, to netip.AddrPort, foreign bool) (*net.UDPConn, error) {
	var d net.Dialer
	if from.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, port))
	}
	if foreign {
		d.Control = func(_, _ string, c syscall.RawConn) error { return allowForeign(c, from.Is6()) }
	}
	conn, err := d.DialContext(context.Background(), "udp", to.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}
