package flow

import "testing"

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32", "192.0.2.77/24": "192.0.2.0/24",
		"2001:db8::1": "2001:db8::1/128", "fe80::1%eth0": "fe80::1/128", "2001:db8::1/32": "2001:db8::/32",
		"2001:db8::1/120": "2001:db8::/120", "2001:db8::1/96": "2001:db8::/96", "::ffff:192.0.2.1/96": "0.0.0.0/0",
		"::ffff:192.0.2.1/95": "::fffe:0:0/95", "::1.2.3.4/104": "::100:0/104",
		"": "", "192.0.2": "", "192.0.2.0/33": "", "router": "",
	} {
		got, err := ParseNetwork(text)
		if want == "" && err == nil || want != "" && (err != nil || got.String() != want) {
			t.Errorf("%q is %v, %v, expected %q", text, got, err, want)
		}
	}
}
