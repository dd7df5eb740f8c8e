package maillog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// lines is a log that keeps what is told at the default level.
type lines []string

func (l *lines) Errorf(string, ...any) {}
func (l *lines) Warnf(string, ...any)  {}
func (l *lines) Debugf(string, ...any) {}
func (l *lines) Infof(format string, args ...any) {
	*l = append(*l, fmt.Sprintf(format, args...))
}

func TestLines(t *testing.T) {
	var log lines
	mon := monitor.New(&log, nil)
	server := Peer{Name: "mx.example.com", Addr: "192.0.2.25:25"}
	next := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	Arrived(mon, &Arrival{
		ID: "0a-1", From: "a@example.com", To: []string{"b@example.com", "c@example.com"},
		Client: Peer{"db1", "192.0.2.1"}, Protocol: "ESMTPSA", User: "k", Size: 42, Answer: "250 2.0.0 OK",
		Took: 4 * time.Millisecond,
	})
	Refused(mon, &Refusal{Step: "RCPT", Client: Peer{"db1", "192.0.2.1"}, From: "a@example.com", To: "d@example.net",
		Answer: "550 5.7.1 no"})
	Delivered(mon, &Attempt{
		ID: "0a-1", From: "a@example.com", To: "b@example.com", Server: server, TLS: "TLS1.3", Size: 42,
		Answer: "250 2.0.0 queued", Waited: 1200 * time.Millisecond, Took: 300 * time.Millisecond,
	})
	Deferred(mon, &Attempt{ID: "0a-1", From: "a@example.com", To: "c@example.com", Server: server, Answer: "451 later",
		Next: next})
	Failed(mon, &Attempt{ID: "0a-1", To: "c@example.com", Server: server, Answer: "550 no \"c\"\r\nhere"})
	Bounced(mon, &Bounce{ID: "0a-2", About: "0a-1", To: []string{"a@example.com"}, Size: 900})
	Completed(mon, "0a-1", 2*time.Second)
	want := []string{
		`0a-1 <= a@example.com H=db1 [192.0.2.1] P=ESMTPSA A="k" S=42 for b@example.com c@example.com ` +
			`C="250 2.0.0 OK" T=0.004s`,
		`refused RCPT H=db1 [192.0.2.1] F=<a@example.com> T=<d@example.net> C="550 5.7.1 no"`,
		`0a-1 => b@example.com F=<a@example.com> H=mx.example.com [192.0.2.25:25] X=TLS1.3 S=42 ` +
			`C="250 2.0.0 queued" QT=1.200s DT=0.300s`,
		`0a-1 == c@example.com F=<a@example.com> H=mx.example.com [192.0.2.25:25] C="451 later" N=2026-05-04T03:02:01Z`,
		`0a-1 ** c@example.com F=<> H=mx.example.com [192.0.2.25:25] C="550 no \"c\"\r\nhere"`,
		`0a-2 <= <> R=0a-1 S=900 for a@example.com`,
		`0a-1 completed QT=2.000s`,
	}
	for i, line := range want {
		if i >= len(log) || log[i] != line {
			t.Errorf("line %d:\n got %q\nwant %q", i, append(log, make([]string, len(want))...)[i], line)
		}
	}
	if len(log) != len(want) {
		t.Errorf("%d lines, want %d", len(log), len(want))
	}
}

// Whatever a peer says, a line stays one line of printable ASCII, and bounded.
func TestLineIsBoundedAndPrintable(t *testing.T) {
	var log lines
	mon := monitor.New(&log, nil)
	hostile := strings.Repeat("x\r\n\x1b[31m\"é ", 1000)
	to := make([]string, 1000)
	for i := range to {
		to[i] = fmt.Sprintf("r%d@example.com", i)
	}
	Arrived(mon, &Arrival{ID: hostile, From: hostile, To: to, Client: Peer{hostile, hostile}, User: hostile,
		Answer: hostile})
	Refused(mon, &Refusal{Step: hostile, Client: Peer{hostile, hostile}, From: hostile, To: hostile, Answer: hostile})
	for _, line := range log {
		if i := strings.IndexFunc(line, func(r rune) bool { return (r < ' ' || r >= 0x7f) && r != '…' }); i >= 0 ||
			len(line) > 16<<10 {
			t.Errorf("%d octets, %q at %d", len(line), line[max(0, i):min(len(line), i+20)], i)
		}
	}
	if !strings.Contains(log[0], "r99@example.com (and 900 more)") {
		t.Errorf("recipients: %q", log[0])
	}
}
