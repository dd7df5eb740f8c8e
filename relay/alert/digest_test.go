package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errFull = errors.New("disk full")

// flood applies a value for many hosts at a time.
func (d *desk) flood(hosts int, value any) {
	d.t.Helper()
	samples := make([]Sample, hosts)
	for i := range samples {
		samples[i] = now(fmt.Sprintf("h%04d", i), value)
	}
	d.apply(samples...)
}

// digests gives the mails that are digests.
func (d *desk) digests() (out []*Mail) {
	for _, m := range d.mails {
		if m.Change.Digest != "" {
			out = append(out, m)
		}
	}
	return out
}

// plain gives a mail's body as one line without the folding of quoted-printable.
func plain(t testing.TB, m *Mail) string {
	t.Helper()
	_, body := textOf(t, m)
	body = strings.NewReplacer("=\r\n", "", "=3D", "=").Replace(body)
	body, _, _ = strings.Cut(body, "text/html")
	return body
}

// 3,000 forged sources: ten mails, and the others in a digest that lists some and
// counts all; their recoveries likewise.
func TestFloodBecomesADigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "", testRule(nil))
		d.flood(3000, 90.0)
		d.tick(29 * time.Second)
		if len(d.mails) != 10 {
			t.Fatalf("%d mails at first, want 10", len(d.mails))
		}
		d.tick(2 * time.Second)
		digests := d.digests()
		if len(d.mails) != 11 || len(digests) != 1 || d.freed != 11 {
			t.Fatalf("%d mails and %d digests, %d released", len(d.mails), len(digests), d.freed)
		}
		if title, _ := textOf(t, digests[0]); title != "Digest of 2990 alerts: 2990 CRITICAL" {
			t.Errorf("subject %q", title)
		}
		body := plain(t, digests[0])
		if n := strings.Count(body, " is CRITICAL"); n != maxDigestLines {
			t.Errorf("%d lines, want %d", n, maxDigestLines)
		}
		for _, want := range []string{"CRITICAL: m:host=h0010 is CRITICAL", "and 2790 more of r: 2790 CRITICAL",
			"r: 2990 CRITICAL"} {
			if !strings.Contains(body, want) {
				t.Errorf("the digest lacks %q:\n%s", want, body)
			}
		}
		if digests[0].Change.Level != Critical || !strings.Contains(string(digests[0].Message), "X-Priority: 1") {
			t.Error("a digest of critical alerts is not urgent")
		}

		d.mails = nil
		time.Sleep(10 * time.Minute)
		d.flood(3000, 1.0)
		d.tick(time.Minute)
		if digests = d.digests(); len(d.mails) != 11 || len(digests) != 1 {
			t.Fatalf("%d mails for the recoveries, %d digests", len(d.mails), len(digests))
		}
		if title, _ := textOf(t, digests[0]); title != "Digest of 2990 alerts: 2990 OK" ||
			digests[0].Change.Level != OK {
			t.Errorf("subject %q", title)
		}
		if told := d.mon.Total("alert_held"); told != 5980 {
			t.Errorf("alert_held is %d", told)
		}
	})
}

// A flood that goes on is a digest in each interval, and each change is in exactly
// one mail.
func TestFloodGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "", testRule(func(r *Rule) { r.MaxMails = 3 }))
		changes := 0
		for minute := range 60 {
			value := 90.0
			if minute%2 == 1 {
				value = 1.0
			}
			d.flood(20, value)
			changes += 20
			d.tick(time.Minute)
		}
		d.tick(time.Hour)
		sum := 0
		for _, m := range d.mails {
			if m.Change.Digest == "" {
				sum++
				continue
			}
			title, _ := textOf(t, m)
			n := 0
			if _, err := fmt.Sscanf(title, "Digest of %d alert", &n); err != nil {
				t.Fatalf("%q: %v", title, err)
			}
			sum += n
		}
		if sum != changes {
			t.Errorf("the mails stand for %d changes, want %d", sum, changes)
		}
		if n := len(d.digests()); n < 11 || n > 13 {
			t.Errorf("%d digests in an hour, want one in 5 minutes", n)
		}
	})
}

// What is held over the limit of a recipient is told by other mails of the same
// rules to others at once.
func TestRecipientsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := testRule(func(r *Rule) { r.Name, r.MaxMails = "busy", -1 })
		both := testRule(func(r *Rule) {
			r.Name, r.To, r.Where = "both", []string{"t@example.com", "u@example.com"}, `tags.host == "h0039"`
		})
		d := newDesk(t, "", busy, both)
		d.flood(40, 90.0)
		var to []string
		for _, m := range d.mails {
			to = append(to, strings.Join(m.To, ","))
		}
		if len(to) != 31 || to[30] != "u@example.com" {
			t.Fatalf("%d mails, the last one to %q", len(to), to[len(to)-1])
		}
		d.tick(31 * time.Second)
		digests := d.digests()
		if len(digests) != 1 || strings.Join(digests[0].To, ",") != "t@example.com" {
			t.Fatalf("digests %v", digests)
		}
		if title, _ := textOf(t, digests[0]); title != "Digest of 11 alerts: 11 CRITICAL" {
			t.Errorf("subject %q", title)
		}
	})
}

// A limit below zero is none.
func TestNoLimit(t *testing.T) {
	d := newDesk(t, "", testRule(func(r *Rule) { r.MaxMails = -1 }))
	d.engine.limits.mails = -1
	d.flood(500, 90.0)
	if len(d.mails) != 500 {
		t.Errorf("%d mails", len(d.mails))
	}
}

// What is held survives a crash at every point, and is told once.
func TestDigestSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := filepath.Join(t.TempDir(), "alert.state")
		rule := testRule(func(r *Rule) { r.MaxMails = 2; r.To = []string{"t@example.com", "u@example.com"} })
		subjectOf := func(waiting []Change, stateText []byte) (titles []string) {
			path := filepath.Join(t.TempDir(), "alert.state")
			if stateText != nil {
				if err := os.WriteFile(path, stateText, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			d := newDesk(t, path, rule)
			if err := d.engine.Recover(waiting); err != nil {
				t.Fatal(err)
			}
			d.tick(10 * time.Minute)
			for _, m := range d.digests() {
				title, _ := textOf(t, m)
				titles = append(titles, m.To[0]+" "+title)
			}
			return titles
		}
		d := newDesk(t, state, rule)
		d.engine.limits.mails = 1 // the second mail is held for both
		d.flood(5, 90.0)
		before, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		want := "t@example.com Digest of 4 alerts: 4 CRITICAL|u@example.com Digest of 4 alerts: 4 CRITICAL"
		if got := strings.Join(subjectOf(nil, before), "|"); got != want {
			t.Errorf("after a crash: %s", got)
		}
		d.tick(31 * time.Second)
		digests := d.digests()
		if len(digests) != 2 {
			t.Fatalf("%d digests", len(digests))
		}
		// between the first digest's mail and the state
		if got := strings.Join(subjectOf([]Change{digests[0].Change}, before),
			"|"); got != "u@example.com Digest of 4 alerts: 4 CRITICAL" {
			t.Errorf("after a crash behind the first digest: %s", got)
		}
		after, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		if got := subjectOf([]Change{digests[0].Change, digests[1].Change}, after); got != nil {
			t.Errorf("told again: %q", got)
		}
		// a mail whose change is not in the state says who is still to be told
		half := Change{Rule: "r", ID: "x", Level: Critical, Seq: 99, Held: []string{"u@example.com"}, Text: "x is bad"}
		if got := strings.Join(subjectOf([]Change{half}, after),
			"|"); got != "u@example.com Digest of 1 alert: 1 CRITICAL" {
			t.Errorf("after a crash before the state: %s", got)
		}
		// who is no recipient any more
		rule.To = []string{"t@example.com"}
		if got := strings.Join(subjectOf(nil, before), "|"); got != "t@example.com Digest of 4 alerts: 4 CRITICAL" {
			t.Errorf("without one recipient: %s", got)
		}
	})
}

// A digest that cannot be stored is kept.
func TestDigestWhileTheSpoolIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "", testRule(nil))
		d.flood(12, 90.0)
		time.Sleep(time.Minute)
		d.fail = errFull
		if err := d.engine.Tick(time.Now()); !errors.Is(err, errFull) {
			t.Fatalf("error %v", err)
		}
		d.fail = nil
		d.tick(time.Second)
		if title, _ := textOf(t, d.digests()[0]); title != "Digest of 2 alerts: 2 CRITICAL" {
			t.Errorf("subject %q", title)
		}
	})
}

// The worst are listed when not all can be, one line for each id.
func TestDigestLines(t *testing.T) {
	d := &digest{From: "f@example.com", Counts: tally{}, Unlisted: tally{}}
	change := func(i int, level Level) {
		d.addChange(&Change{Rule: "r", ID: fmt.Sprint(i), Level: level, Text: fmt.Sprintf("%d is %s", i, level),
			Seq: uint64(i)})
	}
	for i := range maxDigestLines {
		change(i, Info)
		change(i, OK)
	}
	change(1000, Critical)
	change(1001, Info)
	change(5, Warning)
	if len(d.Lines) != maxDigestLines {
		t.Fatalf("%d lines", len(d.Lines))
	}
	want := tally{"r": {"INFO": 2, "OK": 1}}
	if !maps.EqualFunc(d.Unlisted, want, maps.Equal) {
		t.Errorf("unlisted %v, want %v", d.Unlisted, want)
	}
	mail, err := d.compose("t@example.com", "h.example.com", time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	body := plain(t, mail)
	for _, want := range []string{"CRITICAL: 1000 is CRITICAL", "INFO OK WARNING: 5 is WARNING",
		"and 3 more of r: 2 INFO, 1 OK"} {
		if !strings.Contains(body, want) {
			t.Errorf("the digest lacks %q:\n%s", want, body)
		}
	}
	if strings.Contains(body, " 1001 is") || strings.Index(body, "1000 is") > strings.Index(body, "5 is WARNING") {
		t.Errorf("the worst is not first:\n%s", body)
	}
	for range 3 * maxDigestLines { // one id that flaps stays one line
		change(5, OK)
	}
	b, err := json.Marshal(d)
	if err != nil || len(b) > 200*maxDigestLines {
		t.Errorf("%d octets, %v", len(b), err)
	}
	_, sum := describe(d.Counts.levels())
	_, unlisted := describe(d.Unlisted.levels())
	listed := 0
	for _, l := range d.Lines {
		listed += len(l.Changes)
	}
	if sum != listed+unlisted {
		t.Errorf("%d changes, %d listed and %d not", sum, listed, unlisted)
	}
	if way := d.Lines[d.find("5")].Way(); way != "(195 more) OK OK OK OK OK" {
		t.Errorf("way %q", way)
	}
}

func (d *digest) find(id string) int {
	for i := range d.Lines {
		if d.Lines[i].ID == id {
			return i
		}
	}
	return -1
}
