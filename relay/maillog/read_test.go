package maillog

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

const one, two, three = "0000000a-000000000000000b", "0000000a-000000000000000c", "0000000a-000000000000000d"

// written is the log of three mails: one is delivered, put off once before; one fails and
// bounces; and there are refusals.
func written() []string {
	var log lines
	mon := monitor.New(&log, nil)
	server, client := Peer{"mx.example.com", "192.0.2.25:25"}, Peer{"db1", "192.0.2.1"}
	deferred := Attempt{ID: one, From: "a@example.com", To: "b@example.org", Server: server, Answer: "451 4.7.1 later",
		Waited: time.Second, Took: time.Second / 2, Next: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
	delivered := Attempt{ID: one, From: "a@example.com", To: "b@example.org", Server: server, TLS: "TLS1.3", Size: 420,
		Answer: "250 2.0.0 queued as \"x\"", Waited: 20 * time.Second, Took: time.Second / 4}
	failed := Attempt{ID: two, From: "a@example.com", To: "c@example.com", Server: server, Size: 99,
		Answer: "550 5.1.1 no such user"}
	Arrived(mon, &Arrival{ID: one, From: "a@example.com", To: []string{"b@example.org"}, Client: client,
		Protocol: "ESMTPSA", User: "k v", Size: 42, Answer: "250 2.0.0 OK", Took: 4 * time.Millisecond,
		MessageID: "<m1@db1.example.com>"})
	Deferred(mon, &deferred)
	Failed(mon, &failed)
	Arrived(mon, &Arrival{ID: two, From: "a@example.com", To: []string{"c@example.com", "d@example.com"},
		Client: client, Size: 99, MessageID: "<" + two + "@relay.example.com>"})
	Bounced(mon, &Bounce{ID: three, About: two, To: []string{"a@example.com"}, Size: 900})
	Completed(mon, two, time.Minute)
	Delivered(mon, &delivered)
	Completed(mon, one, 20*time.Second)
	Refused(mon, &Refusal{Step: "RCPT", Client: client, From: "a@example.com", To: "d@example.net",
		Answer: "550 5.7.1 no", Untold: 7})
	Refused(mon, &Refusal{Step: "connection", Client: Peer{Addr: "192.0.2.9"}, Answer: "421 4.3.2 too many"})
	return log
}

// What is written is read again, whatever stands in front of it.
func TestParseGivesWhatWasWritten(t *testing.T) {
	got := make([]Entry, 0, 12)
	for _, line := range written() {
		e, ours := Parse(line)
		if !ours {
			t.Fatalf("not of this log: %s", line)
		}
		got = append(got, e)
	}
	server, client := Peer{"mx.example.com", "192.0.2.25:25"}, Peer{"db1", "192.0.2.1"}
	want := []Entry{
		{Step: StepArrived, ID: one, From: "a@example.com", To: []string{"b@example.org"}, Peer: client,
			Protocol: "ESMTPSA", User: "k v", Size: 42, MessageID: "<m1@db1.example.com>",
			Answer: "250 2.0.0 OK", Took: 4 * time.Millisecond},
		{Step: StepDeferred, ID: one, From: "a@example.com", To: []string{"b@example.org"}, Peer: server,
			Answer: "451 4.7.1 later", Waited: time.Second, Took: time.Second / 2,
			Next: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)},
		{Step: StepFailed, ID: two, From: "a@example.com", To: []string{"c@example.com"}, Peer: server, Size: 99,
			Answer: "550 5.1.1 no such user"},
		{Step: StepArrived, ID: two, From: "a@example.com", To: []string{"c@example.com", "d@example.com"},
			Peer: client, Size: 99},
		{Step: StepBounced, ID: three, About: two, To: []string{"a@example.com"}, Size: 900},
		{Step: StepCompleted, ID: two, Waited: time.Minute},
		{Step: StepDelivered, ID: one, From: "a@example.com", To: []string{"b@example.org"}, Peer: server,
			TLS: "TLS1.3", Size: 420, Answer: "250 2.0.0 queued as \"x\"", Waited: 20 * time.Second,
			Took: time.Second / 4},
		{Step: StepCompleted, ID: one, Waited: 20 * time.Second},
		{Step: StepRefused, Refused: "RCPT", Peer: client, From: "a@example.com", To: []string{"d@example.net"},
			Answer: "550 5.7.1 no", Untold: 7},
		{Step: StepRefused, Refused: "connection", Peer: Peer{Addr: "192.0.2.9"}, Answer: "421 4.3.2 too many"},
	}
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("line %d:\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

func TestParseOfWrappedLines(t *testing.T) {
	line := one + ` => b@example.org F=<a@example.com> C="250 say \"]: I! [x] \"" QT=1.000s`
	now := time.Now()
	for _, tt := range []struct {
		front, behind string
		stamp         time.Time
	}{
		{"", "", time.Time{}},
		{"2026-05-04T03:02:01Z I! [outputs.smtp_relay] ", "\r\n", time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)},
		{"May  4 03:02:01 host flowgraf[12]: 2026-05-04T03:02:01Z I! [outputs.smtp_relay::two] ", "\n",
			time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)},
		{"2026-05-04T05:02:01+0200 host flowgraf[12]: I! [outputs.smtp_relay] ", "",
			time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)},
		{"2026-05-04T03:02:01+00:00 host flowgraf[12]: ", "", time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)},
		{now.Format("Jan _2 15:04:05") + " host flowgraf[12]: ", "", now.Truncate(time.Second)},
	} {
		e, ours := Parse(tt.front + line + tt.behind)
		if !ours || e.ID != one || e.Answer != `250 say "]: I! [x] "` || !e.Time.Equal(tt.stamp) {
			t.Errorf("%s: %v %+v", tt.front, ours, e)
		}
	}
	for _, text := range []string{
		`{"level":"INFO","msg":"` + one + ` completed QT=2.000s","time":"2026-05-04T03:02:01Z"}`,
		`{"MESSAGE":"2026-05-04T03:02:01Z I! [outputs.smtp_relay] ` + one + ` completed QT=2.000s"}`,
		`{"MESSAGE":"` + one + ` completed QT=2.000s","__REALTIME_TIMESTAMP":"1777863721000000"}`,
	} {
		e, ours := Parse(text)
		if !ours || e.Step != StepCompleted || e.Waited != 2*time.Second ||
			!e.Time.Equal(time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)) {
			t.Errorf("%s: %v %+v", text, ours, e)
		}
	}
	for _, text := range []string{"", "2026-05-04T03:02:01Z I! Starting flowgraf", "{", one, one + " ?? x",
		"a-b <= x"} {
		if e, ours := Parse(text); ours {
			t.Errorf("%q is %+v", text, e)
		}
	}
}

func search(t *testing.T, text, pattern string, related bool) (mails [][]string) {
	t.Helper()
	s := Search{Related: related, Match: func(line string) bool { return strings.Contains(line, pattern) },
		Out: func(lines []string) error { mails = append(mails, lines); return nil }}
	if err := s.Read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return mails
}

// A mail's lines come together: its arrival first, although others' stand between and that
// one may be late.
func TestSearchGivesWholeMails(t *testing.T) {
	text := strings.Join(append(written(), "W! mail "+one+": something else"), "\n")
	mails := search(t, text, "<m1@db1.example.com>", false)
	if len(mails) != 1 || len(mails[0]) != 5 || !strings.Contains(mails[0][0], "<= a@example.com") ||
		!strings.HasPrefix(mails[0][4], "W! mail") {
		t.Errorf("by Message-ID: %q", mails)
	}
	if mails = search(t, text, "c@example.com", false); len(mails) != 1 || len(mails[0]) != 3 ||
		!strings.Contains(mails[0][0], "<= a@example.com") {
		t.Errorf("by recipient: %q", mails)
	}
	if mails = search(t, text, "c@example.com", true); len(mails) != 2 || len(mails[1]) != 1 {
		t.Errorf("with its notification: %q", mails)
	}
	if mails = search(t, text, "d@example.net", false); len(mails) != 1 || len(mails[0]) != 1 {
		t.Errorf("a refusal: %q", mails)
	}
	if mails = search(t, text, "a@example.com", false); len(mails) != 4 {
		t.Errorf("by sender: %q", mails)
	}
	if mails = search(t, text, "nobody", false); mails != nil {
		t.Errorf("nothing: %q", mails)
	}
	// Complete mails are given before the end, and memory is not held for what came before.
	long := strings.Repeat(text+"\n", 2000)
	if mails = search(t, long, "<m1@db1.example.com>", false); len(mails) < 2 {
		t.Errorf("%d mails of a long log", len(mails))
	}
}

func TestStatistics(t *testing.T) {
	text := "2026-05-04T03:59:59Z I! [outputs.smtp_relay] " + strings.Join(written(),
		"\n2026-05-04T04:00:00Z I! [outputs.smtp_relay] ")
	text = "2026-05-04T02:00:00Z I! [agent] Started\n" + text
	var sum Summary
	if err := sum.Read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	s := sum.Statistics()
	if s.Arrived != (Volume{Mails: 3, Octets: 42 + 99 + 900}) || s.Recipients != 4 || s.Bounces != 1 ||
		s.Delivered != (Volume{Mails: 1, Octets: 420}) || s.Failed != 1 || s.Deferred != 1 || s.DeferredMails != 1 ||
		s.Refused != 9 || s.Completed != 2 {
		t.Errorf("%+v", s)
	}
	for _, tt := range []struct {
		name      string
		got, want []Volume
	}{
		{"clients", s.Clients, []Volume{{"db1 [192.0.2.1]", 2, 141}, {"(local)", 1, 900}}},
		{"senders", s.SenderDomains, []Volume{{"example.com", 2, 141}, {"<>", 1, 900}}},
		{"servers", s.Servers, []Volume{{"mx.example.com [192.0.2.25:25]", 1, 420}}},
		{"recipients", s.RecipientDomains, []Volume{{"example.org", 1, 420}}},
		{"deferrals", s.Deferrals, []Volume{{"mx.example.com [192.0.2.25:25]: 451 4.7.1 later", 1, 0}}},
		{"failures", s.Failures, []Volume{{"mx.example.com [192.0.2.25:25]: 550 5.1.1 no such user", 1, 0}}},
		{"refusals", s.Refusals, []Volume{{"RCPT: 550 5.7.1 no", 1, 0}, {"connection: 421 4.3.2 too many", 1, 0}}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	hour := time.Date(2026, 5, 4, 3, 0, 0, 0, time.UTC)
	if want := []Hour{{hour, 1, 0, 0, 0, 0}, {hour.Add(time.Hour), 2, 1, 1, 1, 9}}; !slices.Equal(s.Hours, want) {
		t.Errorf("hours: %+v, want %+v", s.Hours, want)
	}
	if s.QueueTimes[2] != (Share{time.Minute, 1}) || s.QueueTimes[3] != (Share{5 * time.Minute, 1}) {
		t.Errorf("times: %+v", s.QueueTimes)
	}
}

// A rotated file is read as what it holds, and its lines are bounded.
func TestOpenReadsGzip(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log.1.gz")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	io.WriteString(z, strings.Repeat("x", 3*maxLine)+"\n"+one+" completed QT=1.000s\n")
	z.Close()
	f.Close()
	log, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var sizes []int
	if err := eachLine(log, func(line string) error { sizes = append(sizes, len(line)); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []int{maxLine + 1, len(one + " completed QT=1.000s\n")}; !slices.Equal(sizes, want) {
		t.Errorf("lines of %d octets, want %d", sizes, want)
	}
}

// FuzzParse: any line is taken apart or refused, and what is read is bounded by it.
func FuzzParse(f *testing.F) {
	for _, line := range written() {
		f.Add(line)
	}
	f.Add(`{"MESSAGE":"{"}`)
	f.Fuzz(func(t *testing.T, line string) {
		e, ours := Parse(line)
		if !ours {
			return
		}
		if e.Step == "" || e.Step != StepRefused && e.ID == "" || len(e.To) > len(line) || len(e.Answer) > 4*len(line) {
			t.Errorf("%q: %+v", line, e)
		}
		var sum Summary
		if err := sum.Read(strings.NewReader(line)); err != nil {
			t.Error(err)
		}
	})
}

// The addresses of an arrival end where the next word or the number of untold ones begins.
func TestRecipientsOfALine(t *testing.T) {
	const a, answer, id = "a@example.com", `C="250 OK"`, `M="<1@example.com>" b@example.com`
	for rest, want := range map[string]struct {
		to   []string
		more int
		left string
	}{
		a + " b@example.com " + answer: {[]string{a, "b@example.com"}, 0, answer},
		a + " (and 40 more) " + answer: {[]string{a}, 40, " " + answer},
		a + " (and many":               {[]string{a}, 0, ""},
		`C="for x@example.com"`:        {nil, 0, `C="for x@example.com"`},
		a + " " + id:                   {[]string{a}, 0, id},
	} {
		var e Entry
		if left := e.recipients(rest); left != want.left || e.More != want.more || !slices.Equal(e.To, want.to) {
			t.Errorf("%s: %q, %d more, %q is left", rest, e.To, e.More, left)
		}
	}
}

// A log that cannot be read is an error with its name; an empty one has no entries.
func TestOpenTellsTheName(t *testing.T) {
	dir := t.TempDir()
	broken, empty := filepath.Join(dir, "broken.gz"), filepath.Join(dir, "empty")
	for name, text := range map[string]string{broken: "\x1f\x8b\x08", empty: ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{broken, filepath.Join(dir, "none")} {
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	in, err := Open(empty)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if b, err := io.ReadAll(in); err != nil || len(b) > 0 {
		t.Errorf("%q, %v", b, err)
	}
}

func TestHost(t *testing.T) {
	for p, want := range map[Peer]string{
		{"mx.example.com", "192.0.2.1]:25"}: "mx.example.com [192.0.2.1]", {"mx.example.com", ""}: "mx.example.com",
		{"", "192.0.2.1"}: "[192.0.2.1]", {"192.0.2.1", "192.0.2.1"}: "192.0.2.1", {}: "nobody",
	} {
		if got := host(p, "nobody"); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}
