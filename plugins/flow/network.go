package flow

import (
	"fmt"
	"net/netip"
	"strings"
)

// ParseNetwork reads an address or a network, as users name exporters: "192.0.2.1" is
// the network of one address, an IPv4-mapped address or network the IPv4 one, and bits
// behind a prefix are cleared.
func ParseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return prefix, fmt.Errorf("address %q: expected an address or a network like 192.0.2.0/24: %w", text, err)
		}
		if mapped := prefix.Addr().Is4In6() && prefix.Bits() >= 96; mapped {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		return prefix.Masked(), nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("address %q: expected an address or a network like 192.0.2.0/24: %w", text,
			err)
	}
	addr = addr.Unmap().WithZone("")
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}
