package policy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/relay/address"
)

func TestNetworks(t *testing.T) {
	n, err := NewNetworks("denied_nets", []string{"192.0.2.0/28", "2001:db8::7"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"192.0.2.15": true, "192.0.2.16": false, "::ffff:192.0.2.1": true, "2001:db8::7": true, "2001:db8::8": false,
	} {
		if n.Contains(netip.MustParseAddr(text)) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	if n.Contains(netip.Addr{}) || (*Networks)(nil).Contains(netip.MustParseAddr("192.0.2.1")) {
		t.Error("no address, or no list, holds something")
	}
	_, err = NewNetworks("denied_nets", []string{"300.1.1.1", "192.0.2.1/8"})
	if err == nil || strings.Count(err.Error(), "denied_nets: ") != 2 {
		t.Errorf("error %v", err)
	}
}

func TestSenders(t *testing.T) {
	s, err := NewSenders("denied_senders", []string{"Spam@example.com", "bad.example", ".worse.example", "<>"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"spam@EXAMPLE.com": true, "SPAM@example.com": true, "ham@example.com": false, "x@bad.example": true,
		"x@sub.bad.example": false, "x@sub.worse.example": true, "x@worse.example": false, "": true,
	} {
		a, err := address.ParseReverse(text)
		if err != nil {
			t.Fatal(err)
		}
		if s.Contains(a) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
	if (*Senders)(nil).Contains(address.Address{}) {
		t.Error("no list holds somebody")
	}
	_, err = NewSenders("denied_senders", []string{"a b@example.com", "a_b"})
	if err == nil || strings.Count(err.Error(), "denied_senders: ") != 2 {
		t.Errorf("error %v", err)
	}
}
