package exim

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/policy"
)

// list parts a list of exim's as update-exim4.conf does: at semicolons when it has
// one, at the character behind a leading "<", and else at colons. A separator
// written twice is part of an item. One address, or one network, is one item.
func list(s string) []string {
	s = strings.TrimSpace(s)
	switch {
	case isAddress(s):
		return []string{s}
	case len(s) > 1 && s[0] == '<':
		return split(s[2:], s[1])
	case strings.Contains(s, ";"):
		return split(s, ';')
	}
	return split(s, ':')
}

// smarthosts parts dc_smarthost, where semicolons are colons.
func smarthosts(s string) []string {
	if s = strings.TrimSpace(s); isAddress(s) {
		return []string{s}
	}
	return split(strings.ReplaceAll(s, ";", ":"), ':')
}

// split parts at a separator that is not written twice.
func split(s string, separator byte) []string {
	var out []string
	var item strings.Builder
	add := func() {
		if text := strings.TrimSpace(item.String()); text != "" {
			out = append(out, text)
		}
		item.Reset()
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != separator:
			item.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == separator:
			item.WriteByte(separator)
			i++
		default:
			add()
		}
	}
	add()
	return out
}

// isAddress says whether a value as a whole is one address, or one network.
func isAddress(s string) bool {
	_, addrErr := netip.ParseAddr(s)
	_, prefixErr := netip.ParsePrefix(s)
	return addrErr == nil || prefixErr == nil
}

// interfaceAddr reads an address of exim's local_interfaces: "192.0.2.1",
// "192.0.2.1.587", "[192.0.2.1]:587", "::1", "[::1]:587", "::1.587".
func interfaceAddr(s string) (string, bool) {
	if host, port, err := net.SplitHostPort(s); err == nil && strings.HasPrefix(s, "[") {
		_, addrErr := netip.ParseAddr(host)
		return s, addrErr == nil && validPort(port)
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return net.JoinHostPort(s, "25"), true
	}
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 {
		return "", false
	}
	addr, err := netip.ParseAddr(s[:dot])
	return net.JoinHostPort(s[:dot], s[dot+1:]), err == nil && addr.Zone() == "" && validPort(s[dot+1:])
}

// network reads an address or network of dc_relay_nets. exim takes bits after the prefix.
func network(s string) (string, bool) {
	if prefix, err := netip.ParsePrefix(s); err == nil {
		s = prefix.Masked().String()
	}
	_, err := policy.ParseNetwork(s)
	return s, err == nil
}

// domain reads a domain of dc_relay_domains: "example.com", or "*.example.com" for
// those below it.
func domain(s string) (string, error) {
	name, below := strings.CutPrefix(s, "*.")
	ascii, err := address.ConfiguredDomain(name)
	if below {
		ascii = "." + ascii
	}
	return ascii, err
}

// smarthost reads "host" or "host:port"; a host is a name or an address.
func smarthost(s string) (string, error) {
	host, port := strings.Trim(s, "[]"), "25"
	if strings.Contains(s, ":") && net.ParseIP(host) == nil {
		var err error
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", fmt.Errorf("%q: expected host::port", s)
		}
	}
	if _, err := address.ParseDomain(host); (err != nil && net.ParseIP(host) == nil) || !validPort(port) {
		return "", fmt.Errorf("%q: expected host::port", s)
	}
	scheme := "smtp://"
	if port == "465" {
		scheme = "smtps://"
	}
	return scheme + net.JoinHostPort(host, port), nil
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
