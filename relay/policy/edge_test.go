package policy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/relay/address"
)

// Nothing opens a relay by accident: the null address is no recipient even where any is
// allowed, and "<>" in the list of recipients is an error that says so.
func TestTheNullAddressIsNoRecipient(t *testing.T) {
	p, err := New([]string{"any"}, []string{"any"})
	if err != nil {
		t.Fatal(err)
	}
	if p.AllowRecipient(address.Address{}) || p.Allow(netip.MustParseAddr("192.0.2.1"), address.Address{}) {
		t.Error("the null address is a recipient")
	}
	_, err = New([]string{"any"}, []string{"example.com", "<>"})
	if err == nil || !strings.Contains(err.Error(), `relay_domains: "<>" is no recipient`) {
		t.Errorf("%v", err)
	}
}

// The edges of networks: the first and the last address are in, their neighbours are not;
// an address in its IPv4-mapped form or with a zone is that address.
func TestEdgesOfNetworks(t *testing.T) {
	for network, c := range map[string]struct{ in, out string }{
		"192.0.2.64/26":    {"192.0.2.64 192.0.2.127 ::ffff:192.0.2.100", "192.0.2.63 192.0.2.128"},
		"192.0.2.1":        {"192.0.2.1 ::ffff:192.0.2.1", "192.0.2.0 192.0.2.2"},
		"::ffff:192.0.2.1": {"192.0.2.1 ::ffff:192.0.2.1", "192.0.2.0 192.0.2.2"},
		"0.0.0.0/1":        {"0.0.0.0 127.255.255.255", "128.0.0.0 ::1 2001:db8::1"},
		"2001:db8::/33":    {"2001:db8:: 2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", "2001:db8:8000:: 192.0.2.1"},
		"fe80::1":          {"fe80::1 fe80::1%eth0", "fe80::2 fe80::2%eth0"},
		"255.255.255.255":  {"255.255.255.255", "255.255.255.254"},
	} {
		p, err := New([]string{"203.0.113.1", network}, []string{"any"})
		if err != nil {
			t.Errorf("%s: %v", network, err)
			continue
		}
		list, err := NewNetworks("allowed", []string{network})
		if err != nil {
			t.Errorf("%s: %v", network, err)
			continue
		}
		for _, text := range strings.Fields(c.in) {
			if a := netip.MustParseAddr(text); !p.AllowClient(a) || !list.Contains(a) {
				t.Errorf("%s does not hold %s", network, text)
			}
		}
		for _, text := range strings.Fields(c.out) {
			if a := netip.MustParseAddr(text); p.AllowClient(a) || list.Contains(a) {
				t.Errorf("%s holds %s", network, text)
			}
		}
	}
}

// Every entry that is wrong is named, so that a configuration is mended at once, and what
// stands behind it is read all the same.
func TestAllWrongEntriesAreNamed(t *testing.T) {
	_, err := New([]string{"192.0.2.1/24", "x", "192.0.2.0/24"}, []string{"ok.example", "a b", "-x.example"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`relay_nets: "192.0.2.1/24": bits are set after the prefix, expected "192.0.2.0/24"`,
		`relay_nets: "x": expected a network`, `relay_domains: "a b"`, `relay_domains: "-x.example"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "ok.example") {
		t.Errorf("a right entry is named:\n%v", err)
	}
	d, err := NewDomains("senders", []string{"<>", "example.com", ".example.org"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"": true, "a@example.com": true, "a@x.example.org": true,
		"a@example.org": false, "a@y.example.com": false} {
		a, err := address.ParseReverse(text)
		if err != nil {
			t.Fatal(err)
		}
		if d.Contains(a) != want {
			t.Errorf("%q is in the list: %v", text, !want)
		}
	}
	empty, err := NewDomains("senders", nil)
	if err != nil || empty.Contains(address.Address{Local: "a", Domain: "b"}) || empty.Contains(address.Address{}) {
		t.Errorf("an empty list holds somebody: %v", err)
	}
	var none *Domains
	if none.Contains(address.Address{}) {
		t.Error("no list holds somebody")
	}
}
