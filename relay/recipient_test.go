package relay

import (
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/relay/address"
)

// Who has a mailbox at the names of this host; other domains are not concerned.
func TestLocalRecipients(t *testing.T) {
	opts := testOptions(t, "127.0.0.1:1")
	opts.RelayDomains, opts.LocalDomains = []string{"any"}, []string{"local.example"}
	opts.Aliases = map[string][]string{"ops": {"ops@example.com"}}
	for rule, unknown := range map[string]string{
		"": "", RecipientsAny: "",
		RecipientsAliases: "root@local.example root@localhost nobodyhere@local.example",
		RecipientsUsers:   "nobodyhere@local.example",
	} {
		opts.LocalRecipients = rule
		r, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range []string{"root@local.example", "ROOT@example.net", "root@localhost",
			"nobodyhere@local.example", "nobodyhere@example.net", "ops@local.example"} {
			a, err := address.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			if r.unknown(a) {
				got = append(got, s)
			}
		}
		if strings.Join(got, " ") != unknown {
			t.Errorf("%q: unknown are %q, want %q", rule, got, unknown)
		}
	}
	opts.LocalRecipients = "all"
	if _, err := New(opts); err == nil || !strings.Contains(err.Error(), `local_recipients is "all"`) {
		t.Errorf("another word: %v", err)
	}
}
