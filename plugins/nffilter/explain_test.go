package nffilter

import "testing"

// TestExplain: "and" binds more than "or", what is in parentheses stays together, and a
// test that nfdump takes for two is one line.
func TestExplain(t *testing.T) {
	for text, want := range map[string]string{
		"":        "any\n",
		"any":     "any\n",
		"host  A": "",
		"proto tcp and dst port in [80 443] or not (src net 192.0.2.0/24 and bytes > 1k)": "one of\n" +
			"  all of\n    proto tcp\n    dst port in [80 443]\n" +
			"  not\n    all of\n      src net 192.0.2.0/24\n      bytes > 1k\n",
		"host 192.0.2.1 and not flags S": "all of\n  host 192.0.2.1\n  not\n    flags S\n",
	} {
		f, err := Parse(text, Options{})
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken", text)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Explain(); got != want {
			t.Errorf("%q:\n%s\nexpected\n%s", text, got, want)
		}
	}
}

// TestSimilar: of three letters one may be wrong, of five two; a swap of neighbours is one, and what
// begins with the word is nearest.
func TestSimilar(t *testing.T) {
	for word, want := range map[string]string{"foo": "", "gro": "geo", "prot": "proto", "icpm": "icmp", "xyzzy": "",
		"hsot": "host", "hots": "host", "ohst": "host", "hostx": "host", "HOST": "host", "ho": "", "pr": "",
		"geox":  "geo",
		"porto": "proto", "prtoo": "proto", "rpoto": "proto", "ptoro": "proto", "otorp": "", "": "", "g": "",
		"ge": "geo",
		"eg": "", "hst": "host", "imcp": "icmp", "iicmp": "icmp", "icm": "icmp"} {
		if got := Similar(word, []string{"geo", "proto", "icmp", "host"}); got != want {
			t.Errorf("%q is near %q, expected %q", word, got, want)
		}
	}
	if got := Suggestion("porto", []string{"proto"}); got != `; did you mean "proto"?` {
		t.Errorf("got %q", got)
	}
	if got := Suggestion("porto", nil); got != "" {
		t.Errorf("got %q", got)
	}
}
