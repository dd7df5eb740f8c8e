package smtpd

import (
	"maps"
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/relay/policy"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// What the sender asks for comes with the mail, with nothing of the mail before.
func TestNotifyIsKept(t *testing.T) {
	s, mails := serve(t, nil)
	p := dial(t, s)
	p.begin()
	p.send("MAIL FROM:<a@example.com> RET=full ENVID=QQ+2B1\r\n" +
		"RCPT TO:<one@example.com> NOTIFY=SUCCESS,delay ORCPT=rfc822;x+2By@example.com\r\n" +
		"RCPT TO:<two@example.com>\r\nRCPT TO:<three@example.net> NOTIFY=NEVER\r\nDATA\r\n")
	for _, want := range []string{"250", "250", "250", "550", "354"} {
		p.expect(want)
	}
	p.send("Subject: x\r\n\r\n.\r\n")
	p.expect("250")
	p.data()
	p.send("Subject: y\r\n\r\n.\r\n")
	p.expect("250")
	got := mails.got()
	want := map[string]queue.Notify{
		"one@example.com": {On: "SUCCESS,DELAY", Original: "rfc822;x+2By@example.com"},
	}
	if env := got[0].env; env.Return != "FULL" || env.EnvelopeID != "QQ+2B1" || !maps.Equal(env.Notify, want) {
		t.Errorf("kept are %q, %q, %v", env.Return, env.EnvelopeID, env.Notify)
	}
	if env := got[1].env; env.Return != "" || env.EnvelopeID != "" || env.Notify != nil {
		t.Errorf("the next mail has %q, %q, %v", env.Return, env.EnvelopeID, env.Notify)
	}
}

// Denied senders are told at MAIL, denied clients at the greeting, also after a reload.
func TestDenied(t *testing.T) {
	senders, err := policy.NewSenders("denied_senders", []string{"spam@example.com", "bad.example"})
	if err != nil {
		t.Fatal(err)
	}
	s, mails := serve(t, func(o *Options) { o.DeniedSenders = senders })
	p := dial(t, s)
	p.begin()
	for _, sender := range []string{"Spam@example.com", "x@bad.example"} {
		p.send("MAIL FROM:<" + sender + ">\r\n")
		p.expect("550 5.7.1")
	}
	p.data()
	p.send("Subject: x\r\n\r\n.\r\n")
	p.expect("250")
	opts := *s.options()
	if opts.DeniedNets, err = policy.NewNetworks("denied_nets", []string{"127.0.0.0/30"}); err != nil {
		t.Fatal(err)
	}
	if opts.allows(netip.MustParseAddr("127.0.0.1")) {
		t.Error("a denied network is allowed")
	}
	if err := s.Reconfigure(opts); err != nil {
		t.Fatal(err)
	}
	p.closed()
	p = dial(t, s)
	p.expect("554 5.7.1")
	p.closed()
	if n := len(mails.got()); n != 1 {
		t.Errorf("%d mails were taken, want 1", n)
	}
}

// FuzzRecipientParams reads arbitrary parameters; what is taken can be sent on.
func FuzzRecipientParams(f *testing.F) {
	for _, seed := range []string{"NOTIFY=NEVER", "NOTIFY=SUCCESS,FAILURE,DELAY", "ORCPT=rfc822;a+2Bb@c", "ORCPT=;",
		"X=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, param string) {
		n, problem := recipientParams([]string{param})
		if problem != "" || n == (queue.Notify{}) {
			return
		}
		again, problem := recipientParams([]string{"NOTIFY=" + n.On, "ORCPT=" + n.Original})
		if n.On != "" && n.Original != "" && (problem != "" || again != n) {
			t.Fatalf("%q gives %+v, and that %+v, %s", param, n, again, problem)
		}
		for _, c := range []byte(n.On + n.Original) {
			if c <= ' ' || c >= 0x7f {
				t.Fatalf("%q gives %q", param, n)
			}
		}
	})
}
