package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/relay/address"
)

// Networks is a list of networks. It is immutable and safe for concurrent use.
type Networks struct{ list []netip.Prefix }

// NewNetworks compiles a list; an empty one holds nothing. The error names the option and
// all entries that are wrong.
func NewNetworks(option string, list []string) (*Networks, error) {
	n := &Networks{}
	var errs []error
	for _, s := range list {
		prefix, err := ParseNetwork(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", option, err))
		}
		n.list = append(n.list, prefix)
	}
	return n, errors.Join(errs...)
}

// Contains tells whether an address is in the list; a nil list holds nothing. An IPv4
// address inside IPv6 counts as IPv4.
func (n *Networks) Contains(client netip.Addr) bool {
	if n == nil || !client.IsValid() {
		return false
	}
	client = client.Unmap().WithZone("")
	return slices.ContainsFunc(n.list, func(p netip.Prefix) bool { return p.Contains(client) })
}

// Senders is a list of addresses and domains. It is immutable and safe for concurrent use.
type Senders struct {
	domains   *Domains
	addresses map[string]bool // in lower case
}

// NewSenders compiles a list of addresses, and of domains as those of NewDomains; an empty
// one holds nothing. The error names the option and all entries that are wrong.
func NewSenders(option string, list []string) (*Senders, error) {
	s := &Senders{addresses: map[string]bool{}}
	var domains []string
	var errs []error
	for _, entry := range list {
		if !strings.Contains(entry, "@") {
			domains = append(domains, entry)
			continue
		}
		a, err := address.ParseConfigured(entry)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q: %w", option, entry, err))
		}
		s.addresses[strings.ToLower(a.String())] = true
	}
	var err error
	s.domains, err = NewDomains(option, domains)
	return s, errors.Join(append(errs, err)...)
}

// Contains tells whether a sender is in the list; a nil list holds nobody. Case does not
// matter.
func (s *Senders) Contains(a address.Address) bool {
	return s != nil && (s.domains.Contains(a) || s.addresses[strings.ToLower(a.String())])
}
