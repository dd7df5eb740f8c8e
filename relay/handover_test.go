package relay

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// A relay of before a reload is taken over although nobody has left it yet: the owner of
// the one before may be slow, or hang. Its own end comes to nothing then.
func TestSuccessorOfASlowOwner(t *testing.T) {
	k := newSink(t, "127.0.0.1:0")
	opts := testOptions(t, k.addr)
	opts.Listen, opts.Monitor = []string{activate(t)}, monitor.New(nil, nil)
	old := start(t, opts)
	c := dial(t, old)
	c.mail("a@example.com", "ops@example.com", "Subject: 1\r\n\r\n")
	BeginReload()
	defer EndReload()
	opts.SMTPD.MaxMessageSize = 1 << 20
	next := start(t, opts)
	c.mail("a@example.com", "ops@example.com", "Subject: 2\r\n\r\n")
	old.Leave()
	old.Stop()
	c.mail("a@example.com", "ops@example.com", "Subject: 3\r\n\r\n")
	k.await(t, 3)
	c.say(250, "EHLO client")
	if size := c.say(250, "EHLO client"); !strings.Contains(size, "SIZE 1048576") {
		t.Errorf("the new options are not in force: %q", size)
	}
	next.Leave()
	StopAll()
	if _, err := c.ReadLine(); err == nil {
		t.Error("the connection is open behind the end")
	}
}

// A stop behind a reload, which the agent does not tell the end of, keeps connections as any
// other does.
func TestStopBehindAReload(t *testing.T) {
	KeepConnections(os.Args[0], "keep-connections")
	defer KeepConnections()
	k := newSink(t, "127.0.0.1:0")
	opts := testOptions(t, k.addr)
	opts.KeepConnections = time.Minute
	old := start(t, opts)
	c := dial(t, old)
	c.mail("a@example.com", "ops@example.com", "Subject: 1\r\n\r\n")
	BeginReload()
	old.Leave()
	next := start(t, opts)
	c.mail("a@example.com", "ops@example.com", "Subject: 2\r\n\r\n")
	next.Leave()
	StopAll()
	start(t, opts)
	c.mail("a@example.com", "ops@example.com", "Subject: 3\r\n\r\n")
	k.await(t, 3)
}

// A relay that nobody takes over is stopped at the end of the reload, and its spool and
// its port are free.
func TestNoSuccessor(t *testing.T) {
	k := newSink(t, "127.0.0.1:0")
	opts := testOptions(t, k.addr)
	r := start(t, opts)
	addr := r.Addrs()[0].String()
	BeginReload()
	r.Leave()
	if c, err := net.Dial("tcp", addr); err != nil {
		t.Errorf("it does not go on: %v", err)
	} else {
		c.Close()
	}
	EndReload()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("it still listens")
	}
	start(t, opts).Leave() // behind the reload that is Stop
	start(t, opts)
}

// A relay with the same options goes on as it is, with its mails.
func TestTakenOverWithWaitingMail(t *testing.T) {
	opts := testOptions(t, "127.0.0.1:1")
	r := start(t, opts)
	dial(t, r).mail("a@example.com", "ops@example.com", "Subject: 1\r\n\r\n")
	server := r.server
	BeginReload()
	defer EndReload()
	r.Leave()
	next := start(t, opts)
	if next.server != server || next.Waiting() != 1 {
		t.Errorf("not the same relay, %d mails wait", next.Waiting())
	}
}

// A smarthost that does not answer the end of a mail holds up neither the clients of a
// relay that is reloaded with other options nor those of one that is stopped.
func TestSlowSmarthostHoldsUpNoClient(t *testing.T) {
	for name, happen := range map[string]func(t *testing.T, r *Relay, opts *Options) *Relay{
		"reload": reload, "stop": restart,
	} {
		t.Run(name, func(t *testing.T) {
			k := newSink(t, "127.0.0.1:0")
			k.hold = make(chan struct{})
			opts := testOptions(t, k.addr)
			opts.Listen, opts.Monitor = []string{activate(t)}, monitor.New(nil, nil)
			r := start(t, opts)
			c := dial(t, r)
			c.mail("a@example.com", "ops@example.com", "Subject: 1\r\n\r\n")
			k.await(t, 1)
			opts.SMTPD.MaxMessageSize = 1 << 20
			happened := make(chan struct{})
			go func() {
				happen(t, r, &opts)
				close(happened)
			}()
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
				running.Lock()
				begun := len(running.relays) == 0
				running.Unlock()
				if begun || time.Now().After(deadline) {
					break
				}
			}
			time.Sleep(20 * time.Millisecond)
			c.mail("a@example.com", "ops@example.com", "Subject: 2\r\n\r\n")
			select {
			case <-happened:
				t.Error("the answer came when all was over")
			default:
			}
			close(k.hold)
			<-happened
			k.await(t, 2)
		})
	}
}
