package relay

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/flowgraf/flowgraf/relay/mtasts"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// policyDir is the directory of MTA-STS policies in the spool.
const policyDir = "mta-sts"

// configureDirect checks what concerns delivery to the recipients' own servers.
func (r *Relay) configureDirect() error {
	servers := make([]string, len(r.opts.DNSServers))
	for i, s := range r.opts.DNSServers {
		addr, err := netip.ParseAddr(s)
		if err == nil {
			servers[i] = net.JoinHostPort(addr.String(), "53")
			continue
		}
		if _, err := netip.ParseAddrPort(s); err != nil {
			return fmt.Errorf(`dns_servers: %q: expected an address such as "192.0.2.53" or "192.0.2.53:53"`, s)
		}
		servers[i] = s
	}
	r.resolver = newResolver(servers)
	return nil
}

// newResolver asks these servers in turns, or the system's when there are none.
func newResolver(servers []string) *net.Resolver {
	if len(servers) == 0 {
		return net.DefaultResolver
	}
	var turn atomic.Uint64
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		n := turn.Add(1) - 1
		return (&net.Dialer{}).DialContext(ctx, network, servers[n%uint64(len(servers))])
	}}
}

// policies makes the cache of MTA-STS policies.
func (r *Relay) policies() *mtasts.Cache {
	transport := r.opts.policyTransport
	if transport == nil {
		own := &http.Transport{
			Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
			DialContext: (&net.Dialer{Resolver: r.resolver}).DialContext,
		}
		if r.opts.Delivery.TLSConfig != nil {
			own.TLSClientConfig = r.opts.Delivery.TLSConfig.Clone()
			own.TLSClientConfig.GetClientCertificate = nil // it is for smarthosts
		}
		transport = own
	}
	return mtasts.New(mtasts.Options{
		Dir: r.spoolPath(policyDir), LookupTXT: r.resolver.LookupTXT, Client: &http.Client{Transport: transport},
		Write: storage.WriteFile, Monitor: r.opts.Monitor,
	})
}

// isSelf tells whether a mail server is this relay: by its name, or because we listen
// on its address.
func (r *Relay) isSelf(name string, addr netip.AddrPort) bool {
	if name != "" {
		return name == r.opts.Hostname
	}
	for _, listen := range r.addrs {
		own, err := netip.ParseAddrPort(listen)
		if err != nil || own.Port() != addr.Port() {
			continue
		}
		if own.Addr().Unmap() == addr.Addr() || (own.Addr().IsUnspecified() && isLocal(addr.Addr())) {
			return true
		}
	}
	return false
}

// isLocal tells whether an address is one of this machine's.
func isLocal(addr netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == addr
	})
}

// listening notes the addresses that are listened on, with real ports.
func (r *Relay) listening() []string {
	var all []string
	for _, addr := range r.server.Addrs() {
		if tcp, ok := addr.(*net.TCPAddr); ok {
			ip, _ := netip.AddrFromSlice(tcp.IP)
			all = append(all, net.JoinHostPort(ip.Unmap().String(), strconv.Itoa(tcp.Port)))
		}
	}
	return all
}
