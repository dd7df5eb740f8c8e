package address

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Which octets a mailbox may have, written down by hand from RFC 5322 (atext, without % and
// !) and RFC 1123 (letters, digits, hyphens): of 256 in each place none is taken that is
// not here, and none of these is refused. A taken one more is what two servers may read
// differently; one less is a user who gets no mail.
func TestEveryOctetInEveryPlace(t *testing.T) {
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	const atext = alnum + "#$&'*+-/=?^_`{|}~"
	for _, c := range []struct{ place, before, after, allowed string }{
		{"first of the local part", "", "x@example.com", strings.NewReplacer("|", "", "/", "").Replace(atext)},
		{"inside of the local part", "x", "x@example.com", atext + "."},
		{"last of the local part", "x", "@example.com", atext},
		{"alone before the @", "", "@example.com", strings.NewReplacer("|", "", "/", "").Replace(atext)},
		{"first of the domain", "x@", "x.com", alnum},
		{"inside of a label", "x@a", "b.com", alnum + "-."},
		{"last of a label", "x@a", ".com", alnum},
		{"first of the last label", "x@a.", "b", alnum},
		{"last of the domain", "x@a.b", "", alnum},
		{"a last label alone", "x@a.", "", alnum[:52]},
	} {
		for octet := range 256 {
			text := c.before + string([]byte{byte(octet)}) + c.after
			_, err := Parse(text)
			if want := strings.IndexByte(c.allowed, byte(octet)) >= 0; want != (err == nil) {
				t.Errorf("%s: %q is taken: %v, %v", c.place, text, err == nil, err)
			}
			if err != nil && !errors.Is(err, ErrSyntax) {
				t.Errorf("%s: %q: %v", c.place, text, err)
			}
		}
	}
}

// domainOf returns a domain of n octets.
func domainOf(n int) string {
	var labels []string
	for n > 63 {
		labels = append(labels, strings.Repeat("d", min(63, n-2)))
		n -= min(63, n-2) + 1
	}
	return strings.Join(append(labels, strings.Repeat("e", n)), ".")
}

// The limits of RFC 5321, section 4.5.3.1, to the octet.
func TestLimitsToTheOctet(t *testing.T) {
	for _, c := range []struct {
		local, domain int
		ok            bool
	}{
		{64, 20, true}, {65, 20, false}, {1, 252, true}, {2, 252, false}, {2, 251, true}, {63, 190, true},
		{64, 190, false}, {64, 189, true}, {1, 1, true}, {1, 63, true}, {1, 65, true},
	} {
		domain := domainOf(c.domain)
		if len(domain) != c.domain {
			t.Fatalf("a domain of %d octets: %q", len(domain), domain)
		}
		text := strings.Repeat("l", c.local) + "@" + domain
		if a, err := Parse(text); (err == nil) != c.ok || c.ok && a.String() != text {
			t.Errorf("%d and %d octets, %d together: %v", c.local, c.domain, len(text), err)
		}
	}
	for n, ok := range map[int]bool{254: true, 255: true, 256: false, 257: false} {
		if _, err := ParseDomain(domainOf(n)); (err == nil) != ok {
			t.Errorf("a domain of %d octets: %v", n, err)
		}
	}
	if _, err := Parse("x@example.1-1"); err != nil { // digits, but not all
		t.Error(err)
	}
	if _, err := ParseDomain(strings.Repeat("a", 64)); !errors.Is(err, ErrSyntax) {
		t.Errorf("a label of 64 octets: %v", err)
	}
}

// An address that was mistyped is told with what was expected in its place, by the error
// that a client sees.
func TestErrorsSayWhatWasExpected(t *testing.T) {
	for in, want := range map[string]string{
		"":                    `"": exactly one @ expected`,
		"ops":                 `"ops": exactly one @ expected`,
		"a@b@c":               `"a@b@c": exactly one @ expected`,
		"@example.com":        "local part of 1 to 64 octets expected, found 0",
		"|sh@example.com":     `a local part that does not begin with "|" or "/" expected`,
		"/tmp@example.com":    `a local part that does not begin with "|" or "/" expected`,
		".a@example.com":      "dots only between atoms expected",
		"a.@example.com":      "dots only between atoms expected",
		"a..b@example.com":    "dots only between atoms expected",
		"a%b@example.com":     "octet 0x25 in the local part, expected a dot-atom without ! and %",
		"a b@example.com":     "octet 0x20 in the local part",
		"a@":                  "domain of 1 to 255 octets expected, found 0",
		"a@b..c":              "labels of 1 to 63 octets expected",
		"a@-b.c":              "hyphens only inside labels expected",
		"a@b_c.d":             "octet 0x5f in the domain, expected letters, digits and hyphens",
		"a@192.0.2.1":         "a last label that is not all digits expected",
		"\x1b[2J@example.com": `"\x1b[2J@example.com"`,
	} {
		_, err := Parse(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%q: raw octets in %q", in, err)
		}
	}
	long := strings.Repeat("x", 200) + "@example.com"
	_, err := Parse(long)
	if want := fmt.Sprintf("%q: local part", long[:80]+"..."); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a long one is quoted as %v", err)
	}
	_, err = Parse(strings.Repeat("x", 255))
	if err == nil || !strings.Contains(err.Error(), "255 octets, at most 254 expected") {
		t.Errorf("255 octets: %v", err)
	}
}

// What an administrator writes may be an internationalized name; its ASCII form is that of
// IDNA 2008 (RFC 5891), here of published examples. What a client sends may not.
func TestInternationalizedDomains(t *testing.T) {
	for in, want := range map[string]string{
		"bücher.example": "xn--bcher-kva.example", "BÜCHER.example": "xn--bcher-kva.example",
		"faß.example": "xn--fa-hia.example", "例え.テスト": "xn--r8jz45g.xn--zckzah", "example.com": "example.com",
		"EXAMPLE.com": "example.com", "b_c.example": "", "": "", "bü cher.example": "", "bü_cher.example": "",
	} {
		got, err := ConfiguredDomain(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v, want %q", in, got, err, want)
		}
		if err != nil && !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %v", in, err)
		}
		a, err := ParseConfigured("ops@" + in)
		if want == "" && err == nil || want != "" && (err != nil || a != Address{Local: "ops", Domain: want}) {
			t.Errorf("ops@%s is %q, %v", in, a, err)
		}
	}
	if _, err := Parse("ops@bücher.example"); !errors.Is(err, ErrSyntax) {
		t.Errorf("a client's: %v", err)
	}
	if got, err := ParseDomain("Mail.EXAMPLE.com"); err != nil || got != "mail.example.com" {
		t.Errorf("%q, %v", got, err)
	}
}
