package relay

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/flowgraf/flowgraf/relay/control"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// downRelay is a relay whose smarthost does not answer, with n mails waiting.
func downRelay(t *testing.T, n int) (*Relay, Options) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts := testOptions(t, l.Addr().String())
	l.Close()
	r := start(t, opts)
	c := dial(t, r)
	for range n {
		c.mail("cron@example.com", "ops@example.com", "Subject: x\r\n\r\nhello\r\n")
	}
	return r, opts
}

func do(t *testing.T, spool, command string, ids ...string) *control.Response {
	t.Helper()
	response, err := Control(spool, control.Request{Command: command, IDs: ids})
	if err != nil {
		t.Fatal(err)
	}
	if len(response.Errors) > 0 {
		t.Fatalf("%s %q: %q", command, ids, response.Errors)
	}
	return response
}

// settled waits until no mail is being delivered.
func settled(t *testing.T, spool string) []control.Mail {
	t.Helper()
	for range 1000 {
		mails := do(t, spool, control.List).Mails
		busy := false
		for _, m := range mails {
			busy = busy || m.State == "delivering"
		}
		if !busy {
			return mails
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("a mail is always being delivered")
	return nil
}

// Every command works on the spool of a running relay, and holds survive a restart.
func TestControlOfARunningRelay(t *testing.T) {
	r, opts := downRelay(t, 4)
	mails := settled(t, opts.Spool)
	if len(mails) != 4 || mails[0].State != "waiting" || mails[0].From != "cron@example.com" ||
		mails[0].To[0].Address != "ops@example.com" {
		t.Fatalf("%+v", mails)
	}
	for _, m := range mails { // also those that were never tried say why they wait
		if len(m.Waits) != 1 || !strings.Contains(m.Waits[0].Why, "refused") ||
			m.Waits[0].Host != opts.Smarthosts[0][len("smtp://"):] ||
			time.Until(m.Waits[0].Until) <= 0 || m.Waits[0].Since.IsZero() ||
			m.Due.Before(m.Waits[0].Until.Add(-time.Second)) {
			t.Errorf("why %s waits: %+v, next try %v", m.ID, m.Waits, m.Due)
		}
	}
	held, removed, bounced, kept := mails[0].ID, mails[1].ID, mails[2].ID, mails[3].ID
	do(t, opts.Spool, control.Hold, held)
	do(t, opts.Spool, control.Remove, removed)
	settled(t, opts.Spool)
	do(t, opts.Spool, control.Bounce, bounced)
	states := map[string]string{}
	for _, m := range settled(t, opts.Spool) {
		states[m.ID] = m.State
	}
	// The notification for cron@example.com waits too.
	if len(states) != 3 || states[held] != "held" || states[kept] != "waiting" {
		t.Fatalf("states %v", states)
	}
	shown := do(t, opts.Spool, control.Show, held).Mails[0]
	if !strings.HasSuffix(shown.Message, "\r\n\r\nhello\r\n") {
		t.Errorf("shown %+v", shown)
	}
	if m := do(t, opts.Spool, control.Show, bounced).Mails[0]; m.State != "failed" || m.To[0].Answer == "" {
		t.Errorf("bounced mail %+v", m)
	}
	response, err := Control(opts.Spool, control.Request{Command: control.Hold, IDs: []string{"0-1"}})
	if err != nil || len(response.Errors) != 1 {
		t.Errorf("an unknown mail: %+v, %v", response, err)
	}

	r.Stop()
	k := newSink(t, opts.Smarthosts[0][len("smtp://"):])
	r = start(t, opts)
	k.await(t, 2)
	for r.Waiting() > 1 {
		time.Sleep(5 * time.Millisecond)
	}
	if mails := settled(t, opts.Spool); len(mails) != 1 || mails[0].State != "held" {
		t.Fatalf("after the restart: %+v", mails)
	}
	if released := do(t, opts.Spool, control.Release, held); len(released.Done) != 1 {
		t.Errorf("released: %+v", released)
	}
	k.await(t, 3)
	do(t, opts.Spool, control.Retry, bounced) // a failed mail comes back
	k.await(t, 4)
	r.Stop()
}

// Without a relay the spool is opened for a moment; a bounce needs a relay.
func TestControlOfAStoppedRelay(t *testing.T) {
	r, opts := downRelay(t, 2)
	settled(t, opts.Spool)
	r.Stop()
	mails := do(t, opts.Spool, control.List).Mails
	if len(mails) != 2 || len(mails[0].Waits) != 1 || !strings.Contains(mails[0].Waits[0].Why, "no relay is running") {
		t.Fatalf("%+v", mails)
	}
	do(t, opts.Spool, control.Remove, mails[0].ID)
	do(t, opts.Spool, control.Hold, mails[1].ID)
	if mails := do(t, opts.Spool, control.List).Mails; len(mails) != 1 || mails[0].State != "held" {
		t.Fatalf("%+v", mails)
	}
	response, err := Control(opts.Spool, control.Request{Command: control.Bounce, All: true})
	if err != nil || len(response.Errors) != 1 || !strings.Contains(response.Errors[0], "running relay") {
		t.Errorf("%+v, %v", response, err)
	}
	if _, err := Control(opts.Spool+"/none", control.Request{Command: control.List}); err == nil {
		t.Error("a spool that is not there is listed")
	}
}

// An urgent mail does not wait behind others. One connection, so that the order in which
// mails are sent is that in which they arrive.
func TestCriticalFirst(t *testing.T) {
	r, opts := downRelay(t, 0)
	c := dial(t, r)
	for range 200 {
		c.mail("a@example.com", "ops@example.com", "Subject: plain\r\n\r\n")
	}
	for _, header := range []string{"X-Priority: 1 (Highest)", "Importance: High", "priority: urgent"} {
		c.mail("a@example.com", "ops@example.com", header+"\r\nSubject: critical\r\n\r\n")
	}
	settled(t, opts.Spool)
	r.Stop()
	k := newSink(t, opts.Smarthosts[0][len("smtp://"):])
	opts.Delivery.HostConnections = 1
	start(t, opts)
	for i, m := range k.await(t, 203) {
		if critical := strings.Contains(m.body, "Subject: critical"); critical != (i < 3) {
			t.Errorf("mail %d is critical: %v", i, critical)
		}
	}
}

// list --failed shows a recipient that has failed at once, although the mail still waits
// for another one.
func TestListOfPartlyFailed(t *testing.T) {
	k := newSink(t, "")
	k.refuse = map[string]*smtp.SMTPError{
		"bad@example.com":   {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"},
		"later@example.com": {Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "greylisted"},
	}
	opts := testOptions(t, k.addr)
	r := start(t, opts)
	defer r.Stop()
	env := &queue.Envelope{ID: r.NewID(), To: []string{"bad@example.com", "later@example.com"}, Received: time.Now(),
		Origin: queue.OriginSMTP}
	if err := r.Submit(env, []byte("Subject: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	settled(t, opts.Spool)
	for range 1000 {
		if settled(t, opts.Spool)[0].To[0].State == "failed" {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	response, err := Control(opts.Spool, control.Request{Command: control.List, Failed: true})
	if err != nil || len(response.Mails) != 1 {
		t.Fatalf("%+v, %v", response, err)
	}
	m := response.Mails[0]
	if m.State != "waiting" || m.To[0].State != "failed" || m.To[1].State != "deferred" ||
		!strings.Contains(m.To[0].Answer, "550 5.1.1 no such user") || m.Attempts == 0 {
		t.Errorf("%+v", m)
	}
	do(t, opts.Spool, control.Bounce, m.ID)
	response, err = Control(opts.Spool, control.Request{Command: control.List, Failed: true})
	if err != nil || len(response.Mails) != 1 || response.Mails[0].State != "failed" ||
		response.Mails[0].Attempts == 0 {
		t.Errorf("once it has failed: %+v, %v", response, err)
	}
}

// A running relay tells of its alert rules, what they have seen, and where they draw the line.
func TestControlTellsOfAlerts(t *testing.T) {
	opts := testOptions(t, "127.0.0.1:1")
	opts.Alerts = []Rule{{Name: "load", Crit: "fields.load > 4.0", From: "a@example.com",
		To: []string{"ops@example.com"}}}
	r := start(t, opts)
	now := time.Now().Truncate(time.Minute)
	for i, load := range []float64{1, 9} {
		sample := Sample{Name: "system", Fields: map[string]any{"load": load},
			Time: now.Add(time.Duration(i) * time.Second)}
		if _, err := r.Apply([]Sample{sample}); err != nil {
			t.Fatal(err)
		}
	}
	list := do(t, opts.Spool, control.Alerts).Alerts
	if len(list) != 1 || list[0].Name != "load" || list[0].Field != "load" || list[0].To[0] != "ops@example.com" {
		t.Fatalf("%+v", list)
	}
	a := list[0]
	if len(a.Active) != 1 || a.Active[0].Level != "CRITICAL" || len(a.Events) != 1 || a.Events[0].Text == "" ||
		len(a.Bounds) != 1 || a.Bounds[0] != (control.Bound{Level: "CRITICAL", Value: 4}) ||
		len(a.Values) != 1 || a.Values[0] != (control.Value{Minute: now.Unix(), Least: 1, Most: 9}) {
		t.Errorf("%+v", a)
	}
}
