// Package address parses mailboxes by one strict grammar, narrower than RFC 5321
// section 4.1.2 on purpose: what two mail servers may read differently is not an
// address here. It aims at relaying safely, not at completeness.
//
// A mailbox is a dot-atom, exactly one "@", and a domain of LDH labels:
//
//	local   1 to 64 octets, RFC 5322 atext and single inner dots, without "%" and "!",
//	        not beginning with "|" or "/", which other servers read as programs and files
//	domain  1 to 255 octets, labels of 1 to 63 letters, digits and inner hyphens,
//	        the last label not all digits
//	whole   at most 254 octets (RFC 5321 section 4.5.3.1.3, without the brackets)
//
// There are no quoted local parts, address literals, source routes, comments,
// trailing dots or octets above 127. The package promises that String of a parsed
// Address is what was checked, with the domain in lower case, and that parsing it
// again gives the same value. It does not touch the network.
package address

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

// Limits in octets (RFC 5321 section 4.5.3.1).
const (
	MaxLocal  = 64
	MaxDomain = 255
	MaxWhole  = 254
	maxLabel  = 63
)

// ErrSyntax is wrapped by every error of this package.
var ErrSyntax = errors.New("not an address this relay accepts")

// Address is a mailbox that has passed the grammar. The zero value is the null
// reverse-path "<>" of RFC 5321 section 4.5.5.
type Address struct {
	// Local is the part before the "@", as written.
	Local string
	// Domain is the part after it, in lower case, ASCII only.
	Domain string
}

// IsNull tells whether a is the null reverse-path.
func (a Address) IsNull() bool { return a == Address{} }

// String gives the mailbox without angle brackets; "" for the null reverse-path.
func (a Address) String() string {
	if a.IsNull() {
		return ""
	}
	return a.Local + "@" + a.Domain
}

// Parse reads one mailbox, without angle brackets and spaces. The error wraps
// ErrSyntax and quotes the input, so it may be logged.
func Parse(s string) (Address, error) {
	fail := func(expected string) (Address, error) {
		return Address{}, fmt.Errorf("%w: %q: %s", ErrSyntax, clip(s), expected)
	}
	if len(s) > MaxWhole {
		return fail(fmt.Sprintf("%d octets, at most %d expected", len(s), MaxWhole))
	}
	local, domain, found := strings.Cut(s, "@")
	if !found || strings.Contains(domain, "@") {
		return fail("exactly one @ expected")
	}
	if err := checkLocal(local); err != nil {
		return fail(err.Error())
	}
	if err := checkDomain(domain); err != nil {
		return fail(err.Error())
	}
	return Address{Local: local, Domain: strings.ToLower(domain)}, nil
}

// ParseReverse is Parse, except that the empty string is the null reverse-path.
func ParseReverse(s string) (Address, error) {
	if s == "" {
		return Address{}, nil
	}
	return Parse(s)
}

// ParseConfigured reads an address that an administrator wrote: the domain may be
// an internationalized name, which becomes its ASCII form (RFC 5891).
func ParseConfigured(s string) (Address, error) {
	local, domain, found := strings.Cut(s, "@")
	if !found {
		return Parse(s)
	}
	ascii, err := ConfiguredDomain(domain)
	if err != nil {
		return Address{}, err
	}
	return Parse(local + "@" + ascii)
}

// ParseDomain checks one domain against the grammar and gives its lower case.
func ParseDomain(s string) (string, error) {
	if err := checkDomain(s); err != nil {
		return "", fmt.Errorf("%w: domain %q: %s", ErrSyntax, clip(s), err)
	}
	return strings.ToLower(s), nil
}

// ConfiguredDomain is ParseDomain for a domain that an administrator wrote: an
// internationalized name becomes its ASCII form (RFC 5891).
func ConfiguredDomain(s string) (string, error) {
	if isASCII(s) {
		return ParseDomain(s)
	}
	ascii, err := idna.Lookup.ToASCII(s)
	if err != nil {
		return "", fmt.Errorf("%w: domain %q: no ASCII form: %w", ErrSyntax, clip(s), err)
	}
	return ParseDomain(ascii)
}

func checkLocal(local string) error {
	if local == "" || len(local) > MaxLocal {
		return fmt.Errorf("local part of 1 to %d octets expected, found %d", MaxLocal, len(local))
	}
	if local[0] == '|' || local[0] == '/' {
		return errors.New(`a local part that does not begin with "|" or "/" expected`)
	}
	previous := byte('.')
	for i := 0; i < len(local); i++ {
		c := local[i]
		switch {
		case c == '.' && previous == '.':
			return errors.New("dots only between atoms expected in the local part")
		case c != '.' && !isAtext(c):
			return fmt.Errorf("octet %#02x in the local part, expected a dot-atom without ! and %%", c)
		}
		previous = c
	}
	if previous == '.' {
		return errors.New("dots only between atoms expected in the local part")
	}
	return nil
}

// isAtext is RFC 5322 section 3.2.3 without "%" and "!", which other servers read
// as routes.
func isAtext(c byte) bool {
	return isAlnum(c) || strings.IndexByte("#$&'*+-/=?^_`{|}~", c) >= 0
}

func checkDomain(domain string) error {
	if domain == "" || len(domain) > MaxDomain {
		return fmt.Errorf("domain of 1 to %d octets expected, found %d", MaxDomain, len(domain))
	}
	digits := false
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > maxLabel {
			return fmt.Errorf("labels of 1 to %d octets expected in the domain", maxLabel)
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("hyphens only inside labels expected in the domain")
		}
		digits = true
		for i := 0; i < len(label); i++ {
			c := label[i]
			if !isAlnum(c) && c != '-' {
				return fmt.Errorf("octet %#02x in the domain, expected letters, digits and hyphens", c)
			}
			digits = digits && c >= '0' && c <= '9'
		}
	}
	if digits {
		return errors.New("a last label that is not all digits expected in the domain")
	}
	return nil
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// clip bounds what an error quotes of a peer's bytes.
func clip(s string) string {
	const limit = 80
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}
