package rollup

import (
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"
)

// PrivateNetworks are the networks that no others reach: private use (RFC 1918), shared
// address space (RFC 6598), link-local (RFC 3927, RFC 4291), loopback, and unique local
// addresses (RFC 4193).
var PrivateNetworks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
}

// networks is a set of networks.
type networks struct{ table bart.Lite }

// newNetworks returns the set; nil is PrivateNetworks.
func newNetworks(list []netip.Prefix) (*networks, error) {
	if list == nil {
		list = PrivateNetworks
	}
	n := &networks{}
	for _, p := range list {
		if !p.IsValid() {
			return nil, fmt.Errorf("networks: expected an address and its bits, got %q", p)
		}
		n.table.Insert(p.Masked())
	}
	return n, nil
}

// contain says whether an address is in one of the networks.
func (n *networks) contain(a netip.Addr) bool { return a.IsValid() && n.table.Lookup(a.Unmap()) }
