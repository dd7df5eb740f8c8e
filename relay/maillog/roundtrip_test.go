package maillog

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// hostile are the pieces of words that peers say.
var hostile = []string{"ok", " ", "\"", "\\", "=", "C=\"", "M=<fake@x>", "S=99", " QT=9s", "(and 5 more)", "for a@b",
	"\r\n", "\x1b[31m", "é", "\xff", "]: ", " I! [x] ", "refused", one, " => ", "[192.0.2.9]", "{", "\t", "completed",
	"%d", "…"}

// said returns random words of a peer.
func said(rng *rand.Rand) string {
	var b strings.Builder
	for range rng.IntN(8) {
		b.WriteString(hostile[rng.IntN(len(hostile))])
	}
	return b.String()
}

// Whatever peers say, and whatever a log puts in front, the words of a line are those that were
// written, and none that a peer has made up.
func TestPeersMakeNoWordsUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(95, 96))
	fronts := []string{"", "2026-05-04T03:02:01Z I! [outputs.smtp_relay] ", "May  4 03:02:01 host flowgraf[12]: ",
		"May  4 03:02:01 host flowgraf[12]: 2026-05-04T03:02:01Z I! [outputs.smtp_relay::two] "}
	for range 600 {
		var log lines
		mon := monitor.New(&log, nil)
		a := Attempt{ID: one, From: "a@example.com", To: "b@example.org", Server: Peer{"mx", "192.0.2.25:25"},
			Answer: said(rng), Waited: time.Duration(1+rng.IntN(1e6)) * time.Millisecond, Size: 1 + rng.IntN(1e6)}
		Failed(mon, &a)
		Arrived(mon, &Arrival{ID: two, From: "a@example.com", To: []string{"b@x", "c@y"}, User: said(rng), Answer: a.Answer,
			Client: Peer{"h", "192.0.2.1"}, Size: a.Size, MessageID: "<m@h>"})
		front := fronts[rng.IntN(len(fronts))]
		e, ours := Parse(front + log[0])
		if !ours || e.Step != StepFailed || e.ID != one || e.From != a.From || len(e.To) != 1 || e.To[0] != a.To ||
			e.Peer != a.Server || e.Answer != cut(a.Answer) || e.Waited != a.Waited || e.Size != a.Size || e.MessageID != "" ||
			e.More != 0 || e.About != "" {
			t.Fatalf("%q: %+v, %v", front+log[0], e, ours)
		}
		e, ours = Parse(front + log[1])
		if !ours || e.Step != StepArrived || e.ID != two || len(e.To) != 2 || e.Answer != cut(a.Answer) || e.Size != a.Size ||
			e.MessageID != "<m@h>" || e.Peer != (Peer{"h", "192.0.2.1"}) || e.Waited != 0 {
			t.Fatalf("%q: %+v, %v", front+log[1], e, ours)
		}
	}
}

// Addresses and names that are no words of printable ASCII do not break a line into others.
func TestOddAddresses(t *testing.T) {
	rng := rand.New(rand.NewPCG(97, 98))
	for range 500 {
		var log lines
		mon := monitor.New(&log, nil)
		from, to, name := "f"+said(rng)+"@x", "t"+said(rng)+"@y", "h"+said(rng)
		Delivered(mon, &Attempt{ID: one, From: from, To: to, Server: Peer{name, "192.0.2.1"}})
		e, ours := Parse(log[0])
		if !ours || e.Step != StepDelivered || e.To[0] != clean(to) || e.From != strings.Trim(clean(from), "<>") ||
			e.Peer != (Peer{clean(name), "192.0.2.1"}) {
			t.Fatalf("%q: %+v, %v", log[0], e, ours)
		}
	}
}

// A log that logrotate has compressed reads as it was; one that is cut says so, and one that only
// begins as such names its file.
func TestCompressedLogs(t *testing.T) {
	text := strings.Join(written(), "\n") + "\n"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for part := range strings.Lines(text) {
		fmt.Fprint(z, part)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	read := func(content []byte) (Statistics, error) {
		name := filepath.Join(dir, "mail.log")
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := Open(name)
		if err != nil {
			return Statistics{}, err
		}
		defer in.Close()
		var sum Summary
		err = sum.Read(in)
		return *sum.Statistics(), err
	}
	plain, err := read([]byte(text))
	if err != nil || plain.Arrived.Mails != 3 || plain.Refused != 9 {
		t.Fatalf("%+v, %v", plain, err)
	}
	if got, err := read(packed.Bytes()); err != nil || fmt.Sprint(got) != fmt.Sprint(plain) {
		t.Errorf("packed: %+v, %v, want %+v", got, err, plain)
	}
	if _, err := read(packed.Bytes()[:packed.Len()-9]); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %v", err)
	}
	if _, err := read([]byte("\x1f\x8bx")); err == nil || !strings.Contains(err.Error(), "mail.log") {
		t.Errorf("no gzip behind its first bytes: %v", err)
	}
	for _, short := range []string{"", "\x1f", "\n"} {
		if got, err := read([]byte(short)); err != nil || got.Arrived.Mails != 0 {
			t.Errorf("%q: %+v, %v", short, got, err)
		}
	}
}

// Lines without an end, of any length, with any line end, are each a line; what is longer than
// 64 KiB is cut, and the next line is whole.
func TestLinesOfAnyLength(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for in, want := range map[string][]string{"": nil, "a": {"a"}, "a\n": {"a"}, "a\r\nb": {"a", "b"}, "\n\n": {"", ""},
		"a\n\nb\n": {"a", "", "b"}, long[1:] + "\nb": {long[1:], "b"}, long + "\nb": {long, "b"}, long +
			"y\nb\n": {long, "b"},
		long + long + long + "\nb": {long, "b"}, long + long: {long}} {
		var got []string
		err := eachLine(strings.NewReader(in), func(line string) error {
			got = append(got, strings.TrimSuffix(line, "\n"))
			if !strings.HasSuffix(line, "\n") {
				t.Errorf("%.20q: a line without an end", in)
			}
			return nil
		})
		if err != nil || len(got) != len(want) {
			t.Errorf("%.20q of %d octets: %d lines, %v, want %d", in, len(in), len(got), err, len(want))
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%.20q: line %d has %d octets, want %d", in, i, len(got[i]), len(want[i]))
			}
		}
	}
	full := errors.New("the pipe is closed")
	if err := eachLine(strings.NewReader("a\nb\n"), func(string) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	if err := eachLine(failing{}, func(string) error { return nil }); !errors.Is(err, errNotRead) {
		t.Errorf("a reader that fails: %v", err)
	}
}

var errNotRead = errors.New("input/output error")

// failing is a disk that cannot be read.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errNotRead }

// Recipients that a line does not name are counted, and an empty log has lists, not nulls, for
// programs that read JSON.
func TestCountsAndLists(t *testing.T) {
	to := make([]string, maxRecipients+7)
	for i := range to {
		to[i] = fmt.Sprintf("r%d@example.com", i)
	}
	var log lines
	mon := monitor.New(&log, nil)
	Arrived(mon, &Arrival{ID: one, From: "a@example.com", To: to, Size: 10})
	Bounced(mon, &Bounce{ID: two, About: one, To: to[:3]})
	var sum Summary
	if err := sum.Read(strings.NewReader(strings.Join(log, "\n"))); err != nil {
		t.Fatal(err)
	}
	if s := sum.Statistics(); s.Recipients != len(to)+3 || s.Arrived.Mails != 2 || s.Bounces != 1 ||
		s.Arrived.Octets != 10 {
		t.Errorf("%+v", s)
	}
	b, err := json.Marshal(new(Summary).Statistics())
	if err != nil || bytes.Contains(b, []byte("null")) {
		t.Errorf("%s, %v", b, err)
	}
}
