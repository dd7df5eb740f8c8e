package delivery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/mtasts"
)

// Resolver asks the DNS; a net.Resolver is one.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Bounds of one domain's servers.
const (
	maxExchangers = 20 // names
	maxAddresses  = 40 // of all of them
	lookupTimeout = 30 * time.Second
)

// exchanger is a domain's own server at one address.
type exchanger struct {
	name    string // which a verified certificate must have
	addr    netip.AddrPort
	tls     TLSMode
	testing bool
}

// finalError says that mail for a domain has failed for good.
type finalError struct{ reply }

// Error implements error.
func (e *finalError) Error() string { return e.text() }

func final(code int, status, format string, args ...any) *finalError {
	return &finalError{reply{code: code, status: status, lines: []string{fmt.Sprintf(format, args...)}}}
}

// findExchangers gives a domain's servers in the order in which to try them (RFC 5321
// section 5.1), as far as its MTA-STS policy allows them. A *finalError means that
// the domain takes no mail; any other error that its servers are not known now.
func (s *Sender) findExchangers(ctx context.Context, domain string, port uint16) ([]exchanger, error) {
	dns, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	names, err := s.exchangerNames(dns, domain)
	if err != nil {
		return nil, err
	}
	var policy *mtasts.Policy
	if s.opts.Policies != nil {
		policy = s.opts.Policies(ctx, domain)
	}
	dns, cancel = context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var all, nearer []exchanger // nearer to the domain than the preference at hand
	var problems []error
	for i, mx := range names {
		if i > 0 && mx.Pref > names[i-1].Pref {
			nearer = all
		}
		found, err := s.exchangersAt(dns, mx.Host, port, policy)
		if s.isOurs(mx.Host, found) { // what is no nearer to the domain would send it back
			all = nearer
			if len(all)+len(problems) == 0 {
				return nil, final(554, "5.4.6", "mail for %s would loop: its best mail server is this relay", domain)
			}
			break
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if all = append(all, found...); len(all) >= maxAddresses {
			return all[:maxAddresses], nil
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no mail server of %s can be used: %w", domain, errors.Join(problems...))
	}
	return all, nil
}

// isOurs tells whether a mail server is this relay.
func (s *Sender) isOurs(name string, found []exchanger) bool {
	return s.opts.isSelf(name, netip.AddrPort{}) ||
		slices.ContainsFunc(found, func(x exchanger) bool { return s.opts.isSelf("", x.addr) })
}

// exchangerNames asks for a domain's MX records, best first, those of one preference
// in random order. A domain without any is its own server (the implicit MX).
func (s *Sender) exchangerNames(ctx context.Context, domain string) ([]*net.MX, error) {
	records, err := s.opts.Resolver.LookupMX(ctx, domain+".")
	var names []*net.MX
	null := false
	for _, mx := range records {
		if mx.Host == "." || mx.Host == "" {
			null = true
			continue
		}
		if name, err := address.ParseDomain(strings.TrimSuffix(mx.Host, ".")); err == nil &&
			len(names) < maxExchangers {
			names = append(names, &net.MX{Host: name, Pref: mx.Pref})
		}
	}
	var dnsErr *net.DNSError
	switch {
	case len(names) > 0:
		slices.SortStableFunc(names, func(a, b *net.MX) int { return int(a.Pref) - int(b.Pref) })
		return names, nil
	case null: // RFC 7505
		return nil, final(556, "5.1.10", "%s takes no mail (null MX)", domain)
	case len(records) > 0:
		return nil, fmt.Errorf("none of the %d MX records of %s is a host's name", len(records), domain)
	case err == nil, errors.As(err, &dnsErr) && dnsErr.IsNotFound:
		return []*net.MX{{Host: domain}}, s.mustExist(ctx, domain)
	}
	return nil, fmt.Errorf("looking up the mail servers of %s: %w", domain, cause(err))
}

// cause leaves out of a lookup's error the server, which package net may name wrongly.
func cause(err error) error {
	var dnsErr *net.DNSError
	if errors.As(err, &dnsErr) {
		return errors.New(dnsErr.Err)
	}
	return err
}

// mustExist gives an error when a domain without MX has no address either.
func (s *Sender) mustExist(ctx context.Context, domain string) error {
	_, err := s.opts.Resolver.LookupNetIP(ctx, "ip", domain+".")
	var dnsErr *net.DNSError
	if errors.As(err, &dnsErr) && dnsErr.IsNotFound {
		return final(550, "5.1.2", "%s does not exist, or has neither MX nor address records", domain)
	}
	return err
}

// exchangersAt gives one server's addresses, IPv6 and IPv4 in turns, and how to speak
// to it.
func (s *Sender) exchangersAt(
	ctx context.Context, name string, port uint16, policy *mtasts.Policy,
) ([]exchanger, error) {
	x := exchanger{name: name, tls: s.opts.MXTLS}
	if policy != nil {
		matches := policy.Matches(name)
		switch {
		case policy.Mode == mtasts.Enforce && !matches:
			return nil, fmt.Errorf("mail server %s is none of the domain's MTA-STS policy", name)
		case policy.Mode == mtasts.Enforce:
			x.tls = TLSRequired
		default:
			x.testing = true
			if !matches {
				s.opts.Monitor.LimitedWarnf("mta-sts "+name,
					"mail server %s is none of the domain's MTA-STS policy, which is in testing mode", name)
			}
		}
	}
	addrs, err := s.opts.Resolver.LookupNetIP(ctx, "ip", name+".")
	if err != nil {
		return nil, fmt.Errorf("looking up mail server %s: %w", name, cause(err))
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("mail server %s has no address", name)
	}
	var found []exchanger
	for _, addr := range inTurns(addrs) {
		x.addr = netip.AddrPortFrom(addr, port)
		found = append(found, x)
	}
	return found, nil
}

// inTurns orders addresses IPv6, IPv4, IPv6, …, so that a family that does not work
// costs little.
func inTurns(addrs []netip.Addr) []netip.Addr {
	var six, four, all []netip.Addr
	for _, addr := range addrs {
		if addr = addr.Unmap(); addr.Is6() {
			six = append(six, addr)
		} else {
			four = append(four, addr)
		}
	}
	for len(six)+len(four) > 0 {
		if len(six) > 0 {
			all, six = append(all, six[0]), six[1:]
		}
		if len(four) > 0 {
			all, four = append(all, four[0]), four[1:]
		}
	}
	return all
}
