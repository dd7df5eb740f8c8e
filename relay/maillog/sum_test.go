package maillog

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// sumOf sums a log up.
func sumOf(t *testing.T, lines ...string) *Statistics {
	t.Helper()
	var sum Summary
	if err := sum.Read(strings.NewReader(strings.Join(lines, "\n") + "\n")); err != nil {
		t.Fatal(err)
	}
	return sum.Statistics()
}

// stamped returns a line as Telegraf's text log has it, of a second of an hour.
func stamped(hour, second int, text string) string {
	return time.Date(2026, 5, 4, hour, 0, second, 0, time.UTC).Format(time.RFC3339) + " I! [outputs.smtp_relay] " + text
}

// The times of a summary are those of its earliest and latest line, whatever their order:
// logs of several files are read one behind the other. What has no time is in no hour of
// its own and moves none.
func TestTimesOfASummary(t *testing.T) {
	s := sumOf(t, stamped(7, 5, "00000001-1 <= a@b S=1 for c@d"), stamped(3, 9, "00000002-1 <= a@b S=2 for c@d"),
		stamped(9, 1, "00000001-1 => c@d H=h S=1"), stamped(8, 0, "00000002-1 ** c@d H=h C=\"550 no\""),
		stamped(11, 0, "not of the mail log"), "00000003-1 == c@d H=h C=\"451 later\"",
		stamped(10, 0, "00000001-1 completed QT=1s"))
	if want := "03:00:09"; s.First.Format(time.TimeOnly) != want {
		t.Errorf("first %s, want %s", s.First.Format(time.TimeOnly), want)
	}
	if want := "10:00:00"; s.Last.Format(time.TimeOnly) != want {
		t.Errorf("last %s, want %s", s.Last.Format(time.TimeOnly), want)
	}
	var hours []string
	for _, h := range s.Hours {
		hours = append(hours, fmt.Sprintf("%s %d %d %d %d %d", h.Start.Format("2006 15"), h.Arrived, h.Delivered,
			h.Deferred, h.Failed, h.Refused))
	}
	want := []string{"0001 00 0 0 1 0 0", "2026 03 1 0 0 0 0", "2026 07 1 0 0 0 0", "2026 08 0 0 0 1 0",
		"2026 09 0 1 0 0 0"} // a mail that is complete is in none
	if !slices.Equal(hours, want) {
		t.Errorf("hours %q, want %q", hours, want)
	}
}

// A mail that is put off often counts once among the mails, and each time among the
// attempts; the answers are told apart by server and text.
func TestDeferredMailsAndAttempts(t *testing.T) {
	s := sumOf(t, `00000001-1 == c@d H=mx1 C="451 later"`, `00000001-1 == e@f H=mx1 C="451 later"`,
		`00000001-1 == c@d H=mx2 C="451 later"`, `00000002-1 == c@d C="no route"`, `00000002-1 completed QT=2s`,
		`00000003-1 == c@d H=mx1 C="452 full"`)
	if s.Deferred != 5 || s.DeferredMails != 3 || s.Completed != 1 {
		t.Errorf("%d attempts of %d mails, %d complete", s.Deferred, s.DeferredMails, s.Completed)
	}
	want := []Volume{{"mx1: 451 later", 2, 0}, {"(no server): no route", 1, 0}, {"mx1: 452 full", 1, 0},
		{"mx2: 451 later", 1, 0}}
	if !slices.Equal(s.Deferrals, want) {
		t.Errorf("%v, want %v", s.Deferrals, want)
	}
}

// Queue times fall into the class that their bound says: one second exactly is not within
// a second. All classes together are all mails.
func TestClassesOfQueueTimes(t *testing.T) {
	var lines []string
	for i, waited := range []string{"0.999s", "1s", "9.999s", "10s", "59m59s", "1h", "23h59m59.999s", "24h", "900h"} {
		lines = append(lines, fmt.Sprintf("0000000%d-1 completed QT=%s", i, waited))
	}
	s := sumOf(t, lines...)
	want := map[time.Duration]int{time.Second: 1, 10 * time.Second: 2, time.Minute: 1, time.Hour: 1, 3 * time.Hour: 1,
		24 * time.Hour: 1, 0: 2}
	all := 0
	for _, share := range s.QueueTimes {
		if share.Mails != want[share.Within] {
			t.Errorf("within %v: %d, want %d", share.Within, share.Mails, want[share.Within])
		}
		all += share.Mails
	}
	if all != len(lines) || s.Completed != len(lines) {
		t.Errorf("%d of %d mails, %d complete", all, len(lines), s.Completed)
	}
}

// The tables are sorted by mails, then octets, then name, and bounded: a client with
// random names does not fill the memory, and what is beyond the bound is counted together.
func TestTablesAreSortedAndBounded(t *testing.T) {
	s := sumOf(t, "00000001-1 <= a@many.example S=1 for c@d", "00000002-1 <= a@LARGE.example S=500 for c@d",
		"00000003-1 <= b@many.example S=1 for c@d", "00000004-1 <= a@aaa.example S=3 for c@d",
		"00000005-1 <= a@bbb.example S=3 for c@d", "00000006-1 <= <> R=00000001-1 S=3 for c@d")
	want := []Volume{{"many.example", 2, 2}, {"large.example", 1, 500}, {"<>", 1, 3}, {"aaa.example", 1, 3},
		{"bbb.example", 1, 3}}
	if !slices.Equal(s.SenderDomains, want) {
		t.Errorf("%v, want %v", s.SenderDomains, want)
	}
	var m Summary
	for i := range maxNames + 50 {
		m.count(byClient, fmt.Sprint("client", i), 2)
	}
	m.count(byClient, "client0", 5)
	m.count(bySender, "somebody", 1)
	s = m.Statistics()
	if len(s.Clients) != maxNames+1 || s.Clients[0] != (Volume{Others, 50, 100}) ||
		s.Clients[1] != (Volume{"client0", 2, 7}) || s.SenderDomains[0].Name != "somebody" {
		t.Errorf("%d clients, the first are %v; senders %v", len(s.Clients), s.Clients[:2], s.SenderDomains)
	}
}

// Of a line that a person or another program wrote, only what has the form of a word is
// read: a bracket or a quote that does not end takes nothing along.
func TestWordsOfALine(t *testing.T) {
	for line, want := range map[string]Entry{
		`00000001-1 <= a@b H=name [192.0.2.1] P=esmtps A="us er" X=TLS1.3 M=<m@h> S=7 for c@d e@f C="250 ok" T=0.5s`: {
			Step: StepArrived, From: "a@b", Peer: Peer{"name", "192.0.2.1"}, Protocol: "esmtps", User: "us er",
			TLS: "TLS1.3", MessageID: "<m@h>", Size: 7, To: []string{"c@d", "e@f"}, Answer: "250 ok",
			Took: 500 * time.Millisecond},
		`00000001-1 <= <> S=x for c@d (and 12 more) C="250 ok"`: {Step: StepArrived, To: []string{"c@d"}, More: 12,
			Answer: "250 ok"},
		`00000001-1 => c@d F=<a@b> H=mx [192.0.2.2:25 QT=1m2s DT=3s C="a=b \"c\""`: {Step: StepDelivered,
			To: []string{"c@d"}, From: "a@b", Peer: Peer{Name: "mx"}, Waited: 62 * time.Second, Took: 3 * time.Second,
			Answer: `a=b "c"`},
		`00000001-1 ** c@d C="never ends H=x`:   {Step: StepFailed, To: []string{"c@d"}},
		`00000001-1 completed`:                  {Step: StepCompleted},
		`00000002-1 <= <> R=00000001-1 for x@y`: {Step: StepBounced, About: "00000001-1", To: []string{"x@y"}},
	} {
		got, ours := Parse(line)
		id, _, _ := strings.Cut(line, " ")
		want.ID = id
		if !ours || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s\n got %+v\nwant %+v", line, got, want)
		}
	}
	e, ours := Parse(`refused RCPT H=h [192.0.2.1] F=<a@b> T=<c@d> C="550 no" (and 8 refusals of this client before)`)
	if !ours || e.Step != StepRefused || e.Refused != "RCPT" || e.Untold != 8 || e.ID != "" || e.From != "a@b" ||
		!slices.Equal(e.To, []string{"c@d"}) || e.Took != 0 {
		t.Errorf("a refusal: %+v", e)
	}
}

// A line that is about no mail is given alone, and at once; the end of the search gives
// the rest in the order of their beginnings. What Out refuses ends the search.
func TestSearchOfOtherLines(t *testing.T) {
	const id = "0123abcd-0123456789abcdef"
	text := "something x\n" + id + " completed x QT=1s\nsomething y\nW! mail " + id + ": trouble x\n" +
		"0123abcd-0123456789abcde0 => c@d x\n"
	mails := search(t, text, "x", false)
	var got []string
	for _, m := range mails {
		got = append(got, strings.Join(m, ""))
	}
	want := []string{"something x\n", id + " completed x QT=1s\nW! mail " + id + ": trouble x\n",
		"0123abcd-0123456789abcde0 => c@d x\n"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	full := fmt.Errorf("the pipe is closed")
	s := Search{Match: func(string) bool { return true }, Out: func([]string) error { return full }}
	if err := s.Read(strings.NewReader("something\nanother\n")); err != full {
		t.Errorf("%v", err)
	}
	if s.number != 1 {
		t.Errorf("%d lines are read after the pipe is closed", s.number)
	}
}
