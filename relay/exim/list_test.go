package exim

import (
	"slices"
	"testing"
)

// dc_smarthost is one address, or a list whose separator is a colon or a semicolon; a port
// stands behind two of them.
func TestSmarthosts(t *testing.T) {
	for text, want := range map[string][]string{
		"mail.example.com": {"mail.example.com"}, " 2001:db8::1 ": {"2001:db8::1"},
		"a.example.com::587 : b.example.com": {"a.example.com:587", "b.example.com"},
		"a.example.com ; b.example.com::465": {"a.example.com", "b.example.com:465"}, "": nil, " : ": nil,
	} {
		if got := smarthosts(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
