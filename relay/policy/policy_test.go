package policy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/relay/address"
)

func TestAllow(t *testing.T) {
	p, err := New([]string{"192.0.2.0/24", "2001:db8::/32", "198.51.100.7"},
		[]string{"example.com", ".example.org", "bücher.example"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		client, recipient string
		want              bool
	}{
		{"192.0.2.9", "ops@example.com", true},
		{"::ffff:192.0.2.9", "ops@example.com", true},
		{"2001:db8::1", "ops@a.example.org", true},
		{"198.51.100.7", "ops@b.a.example.org", true},
		{"198.51.100.8", "ops@example.com", false},
		{"127.0.0.1", "ops@example.com", false}, // loopback is no exception
		{"::1", "ops@example.com", false},
		{"192.0.2.9", "ops@example.org", false}, // a leading dot is sub-domains only
		{"192.0.2.9", "ops@sub.example.com", false},
		{"192.0.2.9", "ops@notexample.com", false},
		{"192.0.2.9", "ops@notexample.org", false},
		{"192.0.2.9", "ops@xn--bcher-kva.example", true},
	}
	for _, tt := range tests {
		a, err := address.Parse(tt.recipient)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Allow(netip.MustParseAddr(tt.client), a); got != tt.want {
			t.Errorf("Allow(%s, %s) = %v, want %v", tt.client, tt.recipient, got, tt.want)
		}
	}
	if p.AllowClient(netip.Addr{}) || p.AllowRecipient(address.Address{}) {
		t.Error("an invalid client or the null recipient was allowed")
	}
}

func TestAny(t *testing.T) {
	p, err := New([]string{"any"}, []string{"any"})
	if err != nil {
		t.Fatal(err)
	}
	if !p.Allow(netip.MustParseAddr("203.0.113.1"), address.Address{Local: "a", Domain: "b"}) {
		t.Error("any did not allow")
	}
	if p.AllowClient(netip.Addr{}) {
		t.Error("any allowed an invalid client")
	}
}

func TestNewRefuses(t *testing.T) {
	nets, domains := []string{"192.0.2.0/24"}, []string{"example.com"}
	tests := []struct {
		name          string
		nets, domains []string
		want          string
	}{
		{"no nets", nil, domains, "relay_nets is empty"},
		{"no domains", nets, nil, "relay_domains is empty"},
		{"any with others", []string{"any", "192.0.2.0/24"}, domains, "alone"},
		{"any domain with others", nets, []string{"example.com", "any"}, "alone"},
		{"everyone by prefix", []string{"0.0.0.0/0"}, domains, `"any"`},
		{"everyone by IPv6 prefix", []string{"::/0"}, domains, `"any"`},
		{"host bits", []string{"192.0.2.5/24"}, domains, "192.0.2.0/24"},
		{"mapped", []string{"::ffff:192.0.2.0/120"}, domains, "IPv4 form"},
		{"zone", []string{"fe80::1%eth0"}, domains, "zone"},
		{"name as net", []string{"mail.example.com"}, domains, "relay_nets"},
		{"star", nets, []string{"*"}, "relay_domains"},
		{"star sub-domain", nets, []string{"*.example.com"}, "relay_domains"},
		{"address as domain", nets, []string{"ops@example.com"}, "relay_domains"},
		{"empty entry", nets, []string{""}, "relay_domains"},
		{"only a dot", nets, []string{"."}, "relay_domains"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.nets, tt.domains)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
