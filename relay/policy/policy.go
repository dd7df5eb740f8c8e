// Package policy decides who may send what to whom: a client's network address
// and a recipient's domain must both be allowed. Nothing is allowed by default,
// the loopback addresses included.
//
// Networks are CIDR prefixes or single addresses. Domains are exact names, or
// ".example.com" for every name below example.com (and not example.com itself).
// The one word "any" opens a list; it stands alone. An empty list is an error, so
// that nobody opens a relay by leaving a line out.
//
// The same grammar of domains serves for senders, where "<>" stands for the null
// reverse-path.
package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/relay/address"
)

// Any is the word that allows every network or every domain.
const Any = "any"

// Policy is immutable after New and safe for concurrent use.
type Policy struct {
	anyNet  bool
	nets    []netip.Prefix
	domains *Domains
}

// Domains is a list of domains. It is immutable and safe for concurrent use.
type Domains struct {
	any      bool
	null     bool
	names    map[string]bool
	suffixes []string
}

// Null is the word that allows the null reverse-path in a list of senders.
const Null = "<>"

// New compiles the two lists. The error names the option and the entry.
func New(nets, domains []string) (*Policy, error) {
	p := &Policy{}
	netsErr := p.addNets(nets)
	if len(domains) == 0 {
		return nil, errors.Join(netsErr,
			errors.New(`relay_domains is empty: expected domains such as "example.com" or ".example.com", or "any"`))
	}
	if slices.Contains(domains, Null) {
		return nil, errors.Join(netsErr, errors.New(`relay_domains: "<>" is no recipient`))
	}
	var err error
	if p.domains, err = NewDomains("relay_domains", domains); err != nil || netsErr != nil {
		return nil, errors.Join(netsErr, err)
	}
	return p, nil
}

func (p *Policy) addNets(nets []string) error {
	if len(nets) == 0 {
		return errors.New(`relay_nets is empty: expected networks such as "192.0.2.0/24", or "any"`)
	}
	if slices.Contains(nets, Any) {
		if len(nets) > 1 {
			return errors.New(`relay_nets: "any" must stand alone`)
		}
		p.anyNet = true
		return nil
	}
	var errs []error
	for _, s := range nets {
		prefix, err := ParseNetwork(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("relay_nets: %w", err))
		}
		p.nets = append(p.nets, prefix)
	}
	return errors.Join(errs...)
}

// ParseNetwork reads a network or an address of relay_nets. It refuses what holds everyone,
// and what has bits set after the prefix.
func ParseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q: expected an address without a zone", s)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf(`%q: expected a network such as "192.0.2.0/24": %w`, s, err)
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q: expected the network in IPv4 form", s)
	case prefix.Masked() != prefix:
		return netip.Prefix{}, fmt.Errorf("%q: bits are set after the prefix, expected %q", s, prefix.Masked())
	case prefix.Bits() == 0:
		return netip.Prefix{}, fmt.Errorf(`%q: allows everyone; expected the word "any" if that is wanted`, s)
	}
	return prefix, nil
}

// NewDomains compiles a list; an empty one holds nothing. The error names the
// option and the entry.
func NewDomains(option string, list []string) (*Domains, error) {
	d := &Domains{names: map[string]bool{}}
	if slices.Contains(list, Any) {
		if len(list) > 1 {
			return nil, fmt.Errorf(`%s: "any" must stand alone`, option)
		}
		d.any = true
		return d, nil
	}
	var errs []error
	for _, s := range list {
		if s == Null {
			d.null = true
			continue
		}
		name, below := strings.CutPrefix(s, ".")
		ascii, err := address.ConfiguredDomain(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q: %w", option, s, err))
			continue
		}
		if below {
			d.suffixes = append(d.suffixes, "."+ascii)
		} else {
			d.names[ascii] = true
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return d, nil
}

// Contains tells whether the address's domain is in the list, or the null
// reverse-path when that is what it is. A nil list holds nothing.
func (d *Domains) Contains(a address.Address) bool {
	switch {
	case d == nil:
		return false
	case d.any:
		return true
	case a.IsNull():
		return d.null
	case d.names[a.Domain]:
		return true
	}
	for _, suffix := range d.suffixes {
		if strings.HasSuffix(a.Domain, suffix) {
			return true
		}
	}
	return false
}

// AllowClient tells whether a client at this address may send at all. An IPv4
// address inside IPv6 counts as IPv4; an invalid address is never allowed.
func (p *Policy) AllowClient(client netip.Addr) bool {
	if !client.IsValid() {
		return false
	}
	if p.anyNet {
		return true
	}
	client = client.Unmap().WithZone("")
	for _, prefix := range p.nets {
		if prefix.Contains(client) {
			return true
		}
	}
	return false
}

// AllowRecipient tells whether mail may go to this address. The null address is
// never allowed.
func (p *Policy) AllowRecipient(recipient address.Address) bool {
	return !recipient.IsNull() && p.domains.Contains(recipient)
}

// Allow is the whole decision: both conditions.
func (p *Policy) Allow(client netip.Addr, recipient address.Address) bool {
	return p.AllowClient(client) && p.AllowRecipient(recipient)
}
