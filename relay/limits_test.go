package relay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// exim with limits: it takes few mails on a connection and few recipients in a mail, and
// does not relay to other domains. Nothing is put off for the first two, and nothing is
// bounced for the third.
func TestEximLimits(t *testing.T) {
	config := strings.NewReplacer(
		"acl_smtp_rcpt = rcpt\n", "acl_smtp_rcpt = rcpt\nrecipients_max = 3\nsmtp_accept_max_per_connection = 4\n",
		"  accept domains = sink.example\n         authenticated = *\n  deny domains = sink.example\n",
		"  deny domains = ! sink.example\n       message = relay not permitted\n",
	).Replace(eximConfig)
	s := startEximWith(t, newAuthority(t), config)
	opts := testOptions(t, "127.0.0.1:"+s.Plain)
	opts.RelayDomains = []string{"sink.example", "other.example"}
	r := start(t, opts)
	submit := func(to ...string) {
		t.Helper()
		env := &queue.Envelope{ID: r.NewID(), From: "a@sink.example", To: to, Received: time.Now(),
			Origin: queue.OriginSMTP}
		if err := r.Submit(env, []byte("Subject: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		submit("x@sink.example")
	}
	s.inbox(t, 20)
	var many []string
	for i := range 10 {
		many = append(many, fmt.Sprintf("x%d@sink.example", i))
	}
	submit(many...)
	s.inbox(t, 30)
	for r.Waiting() > 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if n := opts.Monitor.Total(monitor.PutOff); n != 0 {
		t.Errorf("%d mails were put off", n)
	}
	submit("x@other.example")
	for opts.Monitor.Total(monitor.PutOff) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if opts.Monitor.Get(monitor.HostErrors, "relay") == 0 || opts.Monitor.Total(monitor.Failed) != 0 ||
		r.Waiting() != 1 {
		t.Errorf("%d alarms, %d failed, %d wait", opts.Monitor.Get(monitor.HostErrors, "relay"),
			opts.Monitor.Total(monitor.Failed), r.Waiting())
	}
}
