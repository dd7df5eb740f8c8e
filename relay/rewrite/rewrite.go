// Package rewrite changes who a mail is from and for, as the administrator wrote it:
// aliases of local names, addresses that local users have elsewhere, and one visible
// domain instead of the names of hosts. It reads /etc/aliases (aliases(5), addresses and
// names only: no pipes, files or includes) and /etc/email-addresses, and edits the fields
// From, Sender and Reply-To (RFC 5322 section 3.6.2). It decides nothing about who may
// send.
//
// It promises that rewriting twice is rewriting once, that the number of lines
// stays, and that nothing changes but the addresses of local users and the domains of
// local addresses, which also come to names without.
package rewrite

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/message"
)

// Options configure Rules.
type Options struct {
	// LocalDomains are the names of this host and of those that it speaks for.
	LocalDomains []string
	// VisibleDomain replaces them in sender addresses; empty: they stay.
	VisibleDomain string
	// Senders are, by local part, the addresses that local users send with, before
	// VisibleDomain. They are no local ones.
	Senders map[string]string
	// Aliases are, by local part or whole address, the addresses or further aliases
	// that get the mail.
	Aliases map[string][]string
}

// Rules are immutable and safe for concurrent use. Nil rules change nothing.
type Rules struct {
	local   map[string]bool
	visible string
	aliases map[string][]address.Address
	senders map[string]address.Address
}

// New checks and resolves the options. The error names the option.
func New(opts Options) (*Rules, error) {
	r := &Rules{local: map[string]bool{}, aliases: map[string][]address.Address{}}
	for _, s := range opts.LocalDomains {
		domain, err := address.ConfiguredDomain(s)
		if err != nil {
			return nil, fmt.Errorf("local_domains: %w", err)
		}
		r.local[domain] = true
	}
	if opts.VisibleDomain != "" {
		var err error
		if r.visible, err = address.ConfiguredDomain(opts.VisibleDomain); err != nil {
			return nil, fmt.Errorf("visible_domain: %w", err)
		}
	}
	if err := r.addSenders(opts.Senders); err != nil {
		return nil, err
	}
	table := map[string][]string{}
	for name, targets := range opts.Aliases {
		table[strings.ToLower(name)] = targets
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		targets, err := resolve(table, name, nil)
		if err != nil {
			return nil, fmt.Errorf("aliases: %q: %w", name, err)
		}
		r.aliases[name] = targets
	}
	return r, nil
}

// addSenders reads the addresses of local users.
func (r *Rules) addSenders(senders map[string]string) error {
	r.senders = map[string]address.Address{}
	var errs []error
	for _, user := range slices.Sorted(maps.Keys(senders)) {
		a, err := address.ParseConfigured(senders[user])
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("sender_addresses: %q: %w", user, err))
		case r.local[a.Domain]:
			errs = append(errs, fmt.Errorf("sender_addresses: %q: %q is an address of this host: expected another one",
				user, a))
		}
		r.senders[strings.ToLower(user)] = a
	}
	return errors.Join(errs...)
}

// maxTargets bounds what one alias may lead to.
const maxTargets = 1000

// resolve gives the addresses that a name leads to; path are the names before it.
func resolve(table map[string][]string, name string, path []string) ([]address.Address, error) {
	if slices.Contains(path, name) {
		return nil, fmt.Errorf("leads to itself by way of %q", strings.Join(path, ", "))
	}
	path = append(slices.Clip(path), name)
	if len(table[name]) == 0 {
		return nil, errors.New("leads nowhere: expected at least one address")
	}
	var all []address.Address
	for _, target := range table[name] {
		found := []address.Address{{}}
		var err error
		if _, further := table[strings.ToLower(target)]; further {
			found, err = resolve(table, strings.ToLower(target), path)
		} else if found[0], err = address.ParseConfigured(target); err != nil {
			err = fmt.Errorf("target %q: expected an address or another alias: %w", target, err)
		}
		if err != nil {
			return nil, err
		}
		for _, a := range found {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
		if len(all) > maxTargets {
			return nil, fmt.Errorf("leads to over %d addresses", maxTargets)
		}
	}
	return all, nil
}

// Targets gives every address that some alias leads to, by alias.
func (r *Rules) Targets() map[string][]address.Address { return r.aliases }

// Local tells whether a domain is one of this host.
func (r *Rules) Local(domain string) bool { return r != nil && r.local[domain] }

// Lookup gives what an address stands for, nil when it is no alias: whole addresses
// count, and local parts in local domains. Case does not matter.
func (r *Rules) Lookup(a address.Address) []address.Address {
	if r == nil {
		return nil
	}
	if targets := r.aliases[strings.ToLower(a.String())]; targets != nil {
		return targets
	}
	if r.local[a.Domain] {
		return r.aliases[strings.ToLower(a.Local)]
	}
	return nil
}

// Expand replaces the aliases among recipients, each address once.
func (r *Rules) Expand(recipients []string) []string {
	if r == nil || len(r.aliases) == 0 {
		return recipients
	}
	out := make([]string, 0, len(recipients))
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, s := range recipients {
		a, err := address.Parse(s)
		targets := r.Lookup(a)
		if err != nil || targets == nil {
			add(s)
			continue
		}
		for _, t := range targets {
			add(t.String())
		}
	}
	return out
}

// Sender gives an envelope's sender with a user's own address, or the visible domain.
// What is no address stays.
func (r *Rules) Sender(from string) string {
	a, err := address.Parse(from)
	if r == nil || err != nil || !r.local[a.Domain] {
		return from
	}
	if own, ok := r.senders[strings.ToLower(a.Local)]; ok {
		return own.String()
	}
	if r.visible != "" {
		a.Domain = r.visible
	}
	return a.String()
}

// Message gives a message with users' own addresses and the visible domain in From, Sender
// and Reply-To: instead of local addresses and domains, and of names that have no domain,
// as cron's "root (Cron Daemon)". Lines end with CRLF. The message given is not changed.
func (r *Rules) Message(m []byte) []byte {
	if r == nil || r.visible == "" && len(r.senders) == 0 {
		return m
	}
	return r.edit(m, "from", "sender", "reply-to")
}

// Qualify gives a message with a domain behind the names in its address fields that have
// none, as RFC 6409 section 8.1 lets a submission agent do: cron writes "To: root". Lines end
// with CRLF. The message given is not changed.
func Qualify(m []byte, domain string) []byte {
	r := &Rules{visible: domain}
	return r.edit(m, "from", "sender", "reply-to", "to", "cc", "resent-from", "resent-sender", "resent-to", "resent-cc")
}

// edit edits the fields with these names.
func (r *Rules) edit(m []byte, names ...string) []byte {
	var out []byte
	copied := 0
	at := 0
	for field := range message.Fields(m) {
		end := at + len(field)
		if message.Is(field, names...) {
			if edited := r.field(field); edited != nil {
				out = append(append(out, m[copied:at]...), edited...)
				copied = end
			}
		}
		at = end
	}
	if copied == 0 {
		return m
	}
	return append(out, m[copied:]...)
}

// field gives a field with local domains replaced and missing ones added, nil when there
// is nothing to do. Quoted strings and comments stay.
func (r *Rules) field(field []byte) []byte {
	s := scanner{field: field, at: bytes.IndexByte(field, ':') + 1}
	var out []byte
	copied := 0
	for m := s.next(); m != nil; m = s.next() {
		domain := ""
		if m.domain < m.end {
			domain = strings.ToLower(string(field[m.domain:m.end]))
		}
		own, has := r.senders[strings.ToLower(string(field[m.local:m.localEnd]))]
		switch {
		case has && (m.bare || r.local[domain]):
			out = append(append(out, field[copied:m.local]...), own.String()...)
		case r.visible == "":
			continue
		case m.bare:
			out = append(append(append(out, field[copied:m.end]...), '@'), r.visible...)
		case r.local[domain]:
			out = append(append(out, field[copied:m.domain]...), r.visible...)
		default:
			continue
		}
		copied = m.end
	}
	if copied == 0 {
		return nil
	}
	return append(out, field[copied:]...)
}

// ReadSenders reads a file in the form of /etc/email-addresses: lines "user: address". The
// error names the line.
func ReadSenders(in io.Reader) (map[string]string, error) {
	senders := map[string]string{}
	scanner := bufio.NewScanner(in)
	for number := 1; scanner.Scan(); number++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		user, a, found := strings.Cut(line, ":")
		user, a = strings.ToLower(strings.TrimSpace(user)), strings.TrimSpace(a)
		if !found || user == "" || a == "" || strings.ContainsAny(user+a, " \t,\"") {
			return nil, fmt.Errorf("line %d: expected \"user: address\", found %q", number, line)
		}
		if _, twice := senders[user]; !twice { // as exim's lookup, the first one counts
			senders[user] = a
		}
	}
	return senders, scanner.Err()
}

func isDomainOctet(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c >= 0x80
}

// ReadAliases reads a file in the form of /etc/aliases. The error names the line.
func ReadAliases(in io.Reader) (map[string][]string, error) {
	aliases := map[string][]string{}
	scanner := bufio.NewScanner(in)
	name, number := "", 0
	for scanner.Scan() {
		number++
		line := scanner.Text()
		text, _, _ := strings.Cut(line, "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' { // else it continues the line before
			var found bool
			name, text, found = strings.Cut(text, ":")
			name = strings.ToLower(strings.TrimSpace(name))
			if !found || name == "" || strings.ContainsAny(name, "\" \t,") {
				return nil, fmt.Errorf("line %d: expected \"name: address, address\", found %q", number, line)
			}
			if _, twice := aliases[name]; twice {
				return nil, fmt.Errorf("line %d: %q is there twice", number, name)
			}
			aliases[name] = nil
		} else if name == "" {
			return nil, fmt.Errorf("line %d: continues no line", number)
		}
		for target := range strings.SplitSeq(text, ",") {
			target = strings.TrimSpace(target)
			if target == "" {
				continue
			}
			if strings.ContainsAny(target[:1], `|/":\`) {
				return nil, fmt.Errorf("line %d: %q: expected addresses and names only; pipes, files and includes are "+
					"not supported", number, target)
			}
			aliases[name] = append(aliases[name], target)
		}
	}
	return aliases, scanner.Err()
}
