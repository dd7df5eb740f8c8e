package smtpd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/relay/policy"
)

// The classical shapes by which open relays were found: all lead out of example.com,
// as some server reads them (section 8, no 8).
var openRelayShapes = []struct{ from, to string }{
	{"<tester@example.net>", "<victim@example.org>"},
	{"<tester@localhost>", "<victim@example.org>"},
	{"<tester>", "<victim@example.org>"},
	{"<>", "<victim@example.org>"},
	{"<tester@relay.example.com>", "<victim@example.org>"},
	{"<tester@[127.0.0.1]>", "<victim@example.org>"},
	{"<tester@example.com>", "<victim%example.org@relay.example.com>"},
	{"<tester@example.com>", "<victim%example.org@[127.0.0.1]>"},
	{"<tester@example.com>", "<\"victim@example.org\">"},
	{"<tester@example.com>", "<\"victim%example.org\">"},
	{"<tester@example.com>", "<victim@example.org@relay.example.com>"},
	{"<tester@example.com>", "<\"victim@example.org\"@relay.example.com>"},
	{"<tester@example.com>", "<victim@example.org@[127.0.0.1]>"},
	{"<tester@example.com>", "<@relay.example.com:victim@example.org>"},
	{"<tester@example.com>", "<@[127.0.0.1]:victim@example.org>"},
	{"<tester@example.com>", "<example.org!victim>"},
	{"<tester@example.com>", "<example.org!victim@relay.example.com>"},
	{"<tester@example.com>", "<example.org!victim@[127.0.0.1]>"},
	{"<postmaster@relay.example.com>", "<victim@example.org>"},
}

// Nothing of them is taken, from a client in relay_nets or from one that is not.
func TestOpenRelay(t *testing.T) {
	for i, shape := range openRelayShapes {
		for _, inside := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d inside=%v", i+1, inside), func(t *testing.T) {
				s, mails := serve(t, func(o *Options) {
					if !inside {
						o.Policy, _ = policy.New([]string{"192.0.2.0/24"}, []string{"example.com", ".example.com"})
					}
				})
				p := dial(t, s)
				if !inside {
					p.expect("554 5.7.1")
					p.closed()
				} else {
					p.begin()
					p.send("MAIL FROM:" + shape.from + "\r\n")
					sender := p.reply()
					p.send("RCPT TO:" + shape.to + "\r\n")
					recipient := p.reply()
					if !strings.HasPrefix(recipient, "5") {
						t.Errorf("MAIL FROM:%s is answered %q, RCPT TO:%s is answered %q", shape.from, sender, shape.to,
							recipient)
					}
					p.send("DATA\r\n")
					p.expect("5")
				}
				if n := len(mails.got()); n != 0 {
					t.Errorf("%d mails were taken", n)
				}
			})
		}
	}
}
