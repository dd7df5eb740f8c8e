package nffilter

import (
	"strings"
	"testing"
)

// What may stand at a place is offered, with the names of values, and nothing behind a
// test that is whole but how it goes on.
func TestComplete(t *testing.T) {
	for text, want := range map[string]string{
		"pro": "proto", "": "src", "src ": "port", "src po": "port", "proto tcp ": "and", "proto tcp and dst n": "net",
		"next ": "ip", "proto u": "udp", "(proto ud": "udp", "not ": "host", "asa event den": "denied", "src port " +
			"= ": "",
	} {
		list, from := Complete(text)
		found := want == ""
		for _, c := range list {
			found = found || c.Text == want
			if !strings.HasPrefix(c.Text, strings.ToLower(text[from:])) {
				t.Errorf("%q offers %q", text, c.Text)
			}
		}
		if !found {
			t.Errorf("%q does not offer %q but %v", text, want, list)
		}
	}
	if list, _ := Complete("proto tcp "); len(list) != 2 {
		t.Errorf("behind a whole test: %v", list)
	}
}

func FuzzComplete(f *testing.F) {
	f.Add("src ip 10.0.0.1 and pro")
	f.Add("proto ")
	f.Add("((not asa event de")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 10_000 {
			return
		}
		list, from := Complete(text)
		if from < 0 || from > len(text) || len(list) > 2000 {
			t.Errorf("%q: %d words from %d", text, len(list), from)
		}
	})
}
