// Package mtasts is MTA-STS (RFC 8461): a domain says over DNS and HTTPS which names
// its mail servers have and that mail goes to them over verified TLS only, so that
// nobody between can strip the encryption or redirect the mail.
//
// The package reads policies, fetches them and keeps them on disk; it does not
// connect to mail servers. What cannot be fetched or read counts as no policy, never
// as a failure of the mail, as section 3.3 says; a policy that is kept stays in force
// until its max_age has passed, so that an attacker who blocks HTTPS or DNS wins
// nothing. TLSRPT (RFC 8460) is not in scope.
package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
)

// Mode is what a policy asks for (RFC 8461 section 5).
type Mode string

// The modes. Enforce: deliver to matching servers over verified TLS only. Testing:
// deliver all the same, and tell. None: no policy.
const (
	Enforce Mode = "enforce"
	Testing Mode = "testing"
	None    Mode = "none"
)

const (
	maxPolicySize = 64 << 10 // octets, as section 3.2 suggests
	maxPatterns   = 1000
	maxMaxAge     = 31557600 * time.Second // section 3.2
)

// Policy is what a domain has published.
type Policy struct {
	// Mode is one of the modes.
	Mode Mode `json:"mode"`
	// MX are the patterns of the servers' names, "mail.example.com" or
	// "*.example.com", in lower case. Empty in mode None only.
	MX []string `json:"mx,omitempty"`
	// MaxAge is how long the policy may be kept, at most a year.
	MaxAge time.Duration `json:"max_age"`
}

// Parse reads a policy file (RFC 8461 section 3.2). Unknown keys are ignored; of keys
// given twice, mx excepted, the first one counts. The error says what is missing.
func Parse(text string) (*Policy, error) {
	if len(text) > maxPolicySize {
		return nil, fmt.Errorf("policy of %d octets, at most %d expected", len(text), maxPolicySize)
	}
	p := &Policy{}
	first := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		key, value, found := strings.Cut(strings.TrimRight(line, " \t\r"), ":")
		value = strings.TrimSpace(value)
		if !found {
			continue
		}
		if key == "mx" {
			pattern, err := parsePattern(value)
			if err != nil {
				return nil, err
			}
			if p.MX = append(p.MX, pattern); len(p.MX) > maxPatterns {
				return nil, fmt.Errorf("policy with over %d mx lines", maxPatterns)
			}
			continue
		}
		if _, seen := first[key]; !seen {
			first[key] = value
		}
	}
	if first["version"] != "STSv1" {
		return nil, fmt.Errorf("policy version %q, expected STSv1", clip(first["version"]))
	}
	seconds, err := strconv.ParseUint(first["max_age"], 10, 64) // up to ten digits, section 3.2
	if err != nil {
		return nil, fmt.Errorf("policy max_age %q, expected seconds", clip(first["max_age"]))
	}
	p.MaxAge = time.Duration(min(seconds, uint64(maxMaxAge/time.Second))) * time.Second
	p.Mode = Mode(first["mode"])
	switch p.Mode {
	case None:
	case Enforce, Testing:
		if len(p.MX) == 0 {
			return nil, errors.New("policy without mx lines")
		}
	default:
		return nil, fmt.Errorf("policy mode %q, expected enforce, testing or none", clip(first["mode"]))
	}
	return p, nil
}

func parsePattern(s string) (string, error) {
	name, wild := strings.CutPrefix(strings.TrimSuffix(s, "."), "*.")
	domain, err := address.ParseDomain(name)
	if err != nil {
		return "", fmt.Errorf("policy mx %q, expected a name: %w", clip(s), err)
	}
	if wild {
		return "*." + domain, nil
	}
	return domain, nil
}

// Matches tells whether a server's name is one of the policy's (RFC 8461 section 4.1):
// a "*" stands for exactly one label.
func (p *Policy) Matches(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	_, parent, _ := strings.Cut(name, ".")
	for _, pattern := range p.MX {
		suffix, wild := strings.CutPrefix(pattern, "*.")
		if pattern == name || (wild && parent == suffix) {
			return true
		}
	}
	return false
}

// ParseRecord finds the policy id among the TXT records of _mta-sts (RFC 8461
// section 3.1). ok is false when there is not exactly one record that begins with
// "v=STSv1", or it has no id of 1 to 32 letters and digits.
func ParseRecord(records []string) (id string, ok bool) {
	var record string
	for _, r := range records {
		version, _, _ := strings.Cut(r, ";")
		if strings.TrimRight(version, " \t") != "v=STSv1" {
			continue
		}
		if record != "" {
			return "", false
		}
		record = r
	}
	for field := range strings.SplitSeq(record, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		if key == "id" && id == "" {
			id = value
		}
	}
	if id == "" || len(id) > 32 {
		return "", false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "", false
		}
	}
	return id, true
}

// clip bounds what is quoted of a peer's text, and keeps it printable.
func clip(s string) string {
	const limit = 80
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s[:min(len(s), limit)])
}
