package main

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/relay/alert"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// alertAt is when the alert of the tests begins.
var alertAt = time.Date(2026, 11, 22, 12, 2, 0, 0, time.UTC)

// raised lets an alert begin, and returns its mail. The spool has the state then.
func raised(t *testing.T, spool string) *alert.Mail {
	t.Helper()
	var sent *alert.Mail
	e, err := alert.New(alert.Options{
		Hostname: "collector.example.net", StateFile: filepath.Join(spool, alertState),
		Rules: []alert.Rule{{Name: "host-traffic", ID: "traffic of {{ .Tags.src }}", From: "flowgraf@example.net",
			To: []string{"noc@example.net"}, Crit: "double(fields.in_bytes) > 1000.0",
			Message: "{{ .ID }} is {{ .Level }}\n\nalert: this line is the rule's own text"}},
		Hold: func(m *alert.Mail) (func(), error) {
			sent = m
			return func() {}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Recover(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Apply([]alert.Sample{{Name: "netflow", Time: alertAt,
		Tags:   map[string]string{"src": "10.1.2.3", "protocol": "tcp", "source": "192.0.2.254", "zone": "it's"},
		Fields: map[string]any{"in_bytes": uint64(5000), "dst_port": uint64(443)}}}); err != nil {
		t.Fatal(err)
	}
	if sent == nil {
		t.Fatal("no alert came")
	}
	return sent
}

// flowsOfAlert writes an archive with flows of the alert's time, of which one is the
// alert's.
func flowsOfAlert(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	w, err := nffile.Create(filepath.Join(dir, "nfcapd.202611221200"), nffile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, src := range []string{"10.1.2.3", "10.1.2.4"} {
		r := flow.Record{Exporter: netip.MustParseAddr("192.0.2.254"), Src: netip.MustParseAddr(src),
			Dst: netip.MustParseAddr("198.51.100.7"), SrcPort: uint16(1000 + i), DstPort: 443, Proto: 6, Bytes: 5000,
			Packets: 5, IPVersion: 4, First: flow.TimeOf(alertAt.Add(-time.Minute)), Last: flow.TimeOf(alertAt)}
		r.Present = flow.SetOf(flow.Src, flow.Dst)
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// From the mail, by whatever name, to the flows, the metric and the queue.
func TestTrace(t *testing.T) {
	spool, dir := filepath.Join(t.TempDir(), "spool"), t.TempDir()
	if err := os.Mkdir(spool, 0o700); err != nil {
		t.Fatal(err)
	}
	sent := raised(t, spool)
	q, _, err := queue.Open(spool, monitor.New(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	id := q.NewID()
	if err := q.Add(&queue.Envelope{ID: id, From: sent.From, To: sent.To, Received: alertAt, Origin: queue.OriginAlert},
		sent.Message); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	file, log := filepath.Join(dir, "alert.eml"), filepath.Join(dir, "log")
	if err := os.WriteFile(file, sent.Message, 0o600); err != nil {
		t.Fatal(err)
	}
	way := "2026-11-22T12:02:01Z I! " + id + " <= <flowgraf@example.net> S=1000 for noc@example.net\n"
	if err := os.WriteFile(log, []byte("something else\n"+way+strings.Repeat("x", 100_000)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := readAlertMail(bytes.NewReader(sent.Message))
	if err != nil || !strings.HasPrefix(m.messageID, "alert-") {
		t.Fatalf("%+v, %v", m, err)
	}
	o := traceOptions{spool: spool, archive: flowsOfAlert(t), log: log, before: 10 * time.Minute, after: time.Minute,
		count: 5}
	begin, end := alertAt.Add(-10*time.Minute).Local(), alertAt.Add(time.Minute).Local()
	window := begin.Format("2006/01/02.15:04:05") + "-" + end.Format("2006/01/02.15:04:05")
	for name, argument := range map[string]string{"file": file, "standard input": "-", "id in the queue": id,
		"Message-ID": "<" + m.messageID + ">", "rule": "host-traffic", "id of the alert": "traffic of 10.1.2.3"} {
		var out bytes.Buffer
		if err := o.trace(context.Background(), &out, bytes.NewReader(sent.Message), argument); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wants := []string{"alert:   host-traffic\n", "level:   CRITICAL\n", " -t " + window + " ",
			"proto tcp and router ip 192.0.2.254 and src ip 10.1.2.3",
			`SELECT * FROM "netflow" WHERE time >= '2026-11-22T11:52:00Z' AND time <= '2026-11-22T12:03:00Z'`,
			`"src" = '10.1.2.3'`, `"zone" = 'it\'s'`, "10.1.2.3:1000"}
		if name != "rule" && name != "id of the alert" { // of which the mail is not known
			wants = append(wants, "id        "+id, "recipient <noc@example.net>", strings.TrimSpace(way))
		}
		for _, want := range wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in\n%s", name, want, &out)
			}
		}
		if strings.Contains(out.String(), "10.1.2.4") {
			t.Errorf("%s: flows of others are listed:\n%s", name, &out)
		}
	}
}

// What is no alert, or is not known any more, is an error that says so.
func TestTraceOfNothing(t *testing.T) {
	spool := t.TempDir()
	raised(t, spool)
	other := filepath.Join(t.TempDir(), "mail")
	if err := os.WriteFile(other, []byte("Subject: hello\r\n\r\nhow are you?\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for argument, want := range map[string]string{
		other: other + ": expected a mail of an alert", "nosuch": "no alert that is not OK: 1 are",
		"alert-1@example.net": "no mail with the Message-ID",
	} {
		o := traceOptions{spool: spool}
		if err := o.trace(context.Background(), &bytes.Buffer{}, nil, argument); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", argument, err, want)
		}
	}
}

// TestFilterOfTags: what tags say of flows.
func TestFilterOfTags(t *testing.T) {
	for _, c := range []struct {
		tags []tag
		want string
	}{
		{[]tag{{"src", "2001:db8::1"}, {"dst_port", "443"}}, "src ip 2001:db8::1 and dst port 443"},
		{[]tag{{"dst", "192.0.2.0/24"}, {"host", "no address"}}, "dst net 192.0.2.0/24"},
		{[]tag{{"in_vm", "web 1"}, {"host", "agent-1"}, {"unknown", "1"}}, `src vm "web 1"`},
		{[]tag{{"src", "10.0.0.1 or any"}}, ""},
		{nil, ""},
	} {
		if got := (&tracedAlert{tags: c.tags}).filter(); got != c.want {
			t.Errorf("%v: %q, expected %q", c.tags, got, c.want)
		}
	}
}
