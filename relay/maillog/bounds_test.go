package maillog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// Syslog's stamps have no year: it is this one, or the last when the line were to come; a
// clock that is a day ahead is believed.
func TestStampsWithoutYear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // its clock begins with the year 2000, in UTC
		time.Sleep(time.Until(time.Date(2000, 1, 1, 12, 0, 0, 0, time.Local)))
		for front, want := range map[string]time.Time{
			"Jan  1 11:00:00 h flowgraf[1]": time.Date(2000, 1, 1, 11, 0, 0, 0, time.Local),
			"Jan  2 11:59:59 h flowgraf[1]": time.Date(2000, 1, 2, 11, 59, 59, 0, time.Local),
			"Jan  2 12:00:01 h flowgraf[1]": time.Date(1999, 1, 2, 12, 0, 1, 0, time.Local),
			"Dec 31 23:59:59 h flowgraf[1]": time.Date(1999, 12, 31, 23, 59, 59, 0, time.Local),
			"Jan  1 11:00":                  {},
			"Jan  1":                        {},
			"":                              {},
			"1 2 3 4":                       {},
			"2026-05-04T03:02:01Z":          time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
			"2026-05-04T03:02:01.5+02:00 x": time.Date(2026, 5, 4, 1, 2, 1, 5e8, time.UTC),
			"2026-05-04T03:02:01-0130 h p":  time.Date(2026, 5, 4, 4, 32, 1, 0, time.UTC),
			"2025-01-01T00:00:00Z Jan 1 2026-05-04T03:02:01Z x": time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
		} {
			if got := stampOf(front); !got.Equal(want) {
				t.Errorf("%q: %v, want %v", front, got, want)
			}
		}
	})
}

// What stands without quotes is one word of printable ASCII, at most 400 octets of it.
func TestCleanAndCut(t *testing.T) {
	long := strings.Repeat("x", maxText)
	for in, want := range map[string]string{"a@b": "a@b", "!~": "!~", "a b\tc\nd": "a?b?c?d", "\x7f\"\u0080é": "????",
		long: long, long + "y": long, "": ""} {
		if got := clean(in); got != want {
			t.Errorf("%.20q: %.20q, want %.20q", in, got, want)
		}
	}
	if cut(long) != long || cut(long+"y") != long+"…" {
		t.Error("an answer is cut elsewhere")
	}
}

// Of a hundred recipients all are told, of one more the number.
func TestNumberOfRecipients(t *testing.T) {
	for n, want := range map[int]string{0: " for S=1", 1: " for r0@x", maxRecipients: " r99@x",
		maxRecipients + 1: " r99@x (and 1 more)"} {
		var to []string
		for i := range n {
			to = append(to, fmt.Sprintf("r%d@x", i))
		}
		var log lines
		Bounced(monitor.New(&log, nil), &Bounce{ID: one, About: two, To: to, Size: 1})
		e, ours := Parse(log[0])
		if !ours || len(e.To) != min(n, maxRecipients) || e.More != n-len(e.To) ||
			n > 0 && !strings.HasSuffix(log[0], want) {
			t.Errorf("%d recipients: %d and %d more in %q", n, len(e.To), e.More, log[0])
		}
	}
}

// A mail's lines may come behind the one that completes it, a thousand lines later at most;
// later ones are given alone.
func TestGraceOfASearch(t *testing.T) {
	for lines, want := range map[int]int{0: 1, grace: 1, grace + 1: 2} {
		text := one + " completed x QT=1s\n" + strings.Repeat(two+" => a@b\n", lines) + one + " <= a@b x for c@d\n"
		if mails := search(t, text, "x", false); len(mails) != want {
			t.Errorf("%d lines between: %d mails, want %d: %q", lines, len(mails), want, mails)
		}
	}
	// A mail that is complete twice, as a log that is read twice has it, is given once.
	text := strings.Repeat(one+" completed x QT=1s\n", 2) + strings.Repeat(two+" => a@b\n", grace+5)
	if mails := search(t, text, "x", false); len(mails) != 1 || len(mails[0]) != 2 {
		t.Errorf("%q", mails)
	}
}

// What Out refuses at the end is told, of each mail; a mail that does not match is not given.
func TestEndOfASearch(t *testing.T) {
	full := errors.New("the pipe is closed")
	s := Search{Match: func(line string) bool { return strings.Contains(line, "x") }, Out: func(lines []string) error {
		return fmt.Errorf("%w at %.25s", full, lines[0])
	}}
	if err := s.Read(strings.NewReader(two + " => a@x\n" + three + " => a@y\n" + one + " => b@x\n")); err != nil {
		t.Fatal(err)
	}
	err := s.Close()
	if err == nil || err.Error() != fmt.Sprintf("%v at %s\n%v at %s", full, two, full, one) || s.held != 0 {
		t.Errorf("%v, %d octets are held", err, s.held)
	}
	// Within a search too.
	s = Search{Match: func(string) bool { return true }, Out: func([]string) error { return full }}
	text := one + " completed QT=1s\n" + strings.Repeat(two+" => a@b\n", grace+1)
	if err := s.Read(strings.NewReader(text)); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

// With related mails, one that is about another comes with it in either direction, and with
// no third.
func TestRelatedMails(t *testing.T) {
	text := one + " <= a@x for b@y\n" + one + " ** b@y C=\"550 no\"\n" + two + " <= <> R=" + one + " for a@x\n" +
		three + " <= c@x for d@y\n"
	for pattern, want := range map[string][]int{"550 no": {2, 1}, "R=": {2, 1}, "c@x": {1}, "nobody": nil} {
		var got []int
		for _, m := range search(t, text, pattern, true) {
			got = append(got, len(m))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: mails of %d lines, want %d", pattern, got, want)
		}
	}
}

// What is no line of this log, and what another program has put in front.
func TestLinesOfOthers(t *testing.T) {
	for line, want := range map[string]bool{
		one + " => a@b":                            true,
		"0000000a-1 completed":                     true,
		"0000000a-":                                false,
		"0000000-1 completed":                      false,
		"0000000A-1 completed":                     false,
		"0000000a-12345678901234567 completed":     false,
		one + " =>":                                true, // a recipient of nothing
		one + " -> a@b":                            false,
		"refused RCPT":                             true,
		"refused":                                  true,
		"Refused RCPT":                             false,
		"x refused RCPT":                           false,
		"x]: refused RCPT":                         true,
		"h p[1]: " + one + " completed":            true,
		"h p[1]:" + one + " completed":             false,
		"2026-05-04T03:02:01Z W! " + one + " => a": true,
		"2026-05-04T03:02:01Z WW! x":               false,
		`{"msg":"refused RCPT"}`:                   true,
		`{"MESSAGE":"{refused RCPT"}`:              true,
		`{"msg":1}`:                                false,
		`{"MESSAGE":"x"}`:                          false,
	} {
		if e, ours := Parse(line); ours != want {
			t.Errorf("%q: %v, %+v", line, ours, e)
		}
	}
	for line, want := range map[string]string{"W! mail " + one + ": x": one, one: one, "(" + two + ")": two,
		"0000000a-1 x": "", "x" + one: "", one + "0000": "", "": ""} {
		if got := MailOf(line); got != want {
			t.Errorf("%q is about %q, want %q", line, got, want)
		}
	}
}
