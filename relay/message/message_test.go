package message

import (
	"bytes"
	"net/mail"
	"strings"
	"testing"
	"time"
)

func TestSplitAndFields(t *testing.T) {
	for _, tt := range []struct{ in, head, rest string }{
		{"", "", "\r\n"},
		{"A: x\r\n y\r\nB:\r\n\r\nbody\r\n", "A: x\r\n y\r\nB:\r\n", "\r\nbody\r\n"},
		{"A: x\r\nno field\r\n", "A: x\r\n", "\r\nno field\r\n"},
		{"hello\r\n", "", "\r\nhello\r\n"},
	} {
		head, rest := Split([]byte(tt.in))
		if string(head) != tt.head || string(rest) != tt.rest {
			t.Errorf("%q is split into %q and %q", tt.in, head, rest)
		}
	}
	var names []string
	for field := range Fields([]byte("A : x\r\n y\r\nB-c:\r\nD: z\r\n\r\nE: body\r\n")) {
		names = append(names, string(Name(field))+"="+string(Value(field)))
	}
	if got := strings.Join(names, ";"); got != "A=x\r\n y;B-c=;D=z" {
		t.Errorf("fields %q", got)
	}
	if !Is([]byte("FROM : x\r\n"), "to", "from") || Is([]byte("Fromm: x\r\n"), "from") {
		t.Error("names are compared wrongly")
	}
}

func TestFold(t *testing.T) {
	word := strings.Repeat("y", 300)
	long := "X: " + word + " " + word + "\t" + word + "  " + word + " z\r\n"
	for name, in := range map[string]string{
		"words":        long,
		"folded":       "X: a\r\n " + strings.Repeat("b ", 1500) + "c\r\n",
		"no space":     "X: " + strings.Repeat("y", 1200) + "\r\n",
		"space at end": "X: " + strings.Repeat("y", 990) + strings.Repeat(" ", 20) + "\r\n",
		"short":        "X: y\r\n",
		"space first":  "X:" + strings.Repeat(" ", 1200) + "y\r\n",
	} {
		got := Fold(nil, []byte(in))
		unfold := func(s string) string { return strings.NewReplacer("\r\n ", " ", "\r\n\t", "\t").Replace(s) }
		if unfold(string(got)) != unfold(in) {
			t.Errorf("%s: %q became %q", name, in, got)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(string(got), "\r\n"), "\r\n") {
			if strings.TrimSpace(line) == "" {
				t.Errorf("%s: an empty line in %q", name, got)
			}
		}
		if wantLong := name == "no space" || name == "space at end" ||
			name == "space first"; HasLongLine(got) != wantLong {
			t.Errorf("%s: %q", name, got)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(append(Fold(nil, []byte(long)), "\r\nb"...)))
	if err != nil || m.Header.Get("X") != strings.TrimSpace(strings.ReplaceAll(long[3:], "\t", " ")) &&
		len(m.Header.Get("X")) < 1200 {
		t.Errorf("another reader finds %q, %v", m.Header.Get("X"), err)
	}
}

func TestTrimFromLine(t *testing.T) {
	for in, want := range map[string]string{
		"From root@db1 Mon Nov 28 14:00:00 2026\r\nSubject: x\r\n\r\nb": "Subject: x\r\n\r\nb",
		"From: a@b\r\n\r\n": "From: a@b\r\n\r\n", "From ": "From ", "": "",
	} {
		if got := TrimFromLine([]byte(in)); string(got) != want {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func TestDate(t *testing.T) {
	at := time.Date(2006, 1, 2, 15, 4, 5, 0, time.FixedZone("", -7*3600))
	parsed, err := mail.ParseDate(Date(at))
	if err != nil || !parsed.Equal(at) {
		t.Errorf("%q is %v, %v", Date(at), parsed, err)
	}
}

func FuzzFold(f *testing.F) {
	for _, seed := range []string{"X: y\r\n", "X:\r\n\ty\r\n", " \r\n", "a b"} {
		f.Add([]byte(seed), uint16(300))
	}
	f.Fuzz(func(t *testing.T, field []byte, times uint16) {
		if HasBare(field) || len(field) > 100 {
			return
		}
		in := bytes.Repeat(field, int(times%512))
		got := Fold(nil, in)
		if HasBare(got) || len(got) < len(in) || bytes.Contains(got, []byte("\r\n\r\n")) &&
			!bytes.Contains(in, []byte("\r\n\r\n")) {
			t.Fatalf("%q became %q", in, got)
		}
		again := Fold(nil, got)
		if !bytes.Equal(again, got) {
			t.Fatalf("%q became %q, then %q", in, got, again)
		}
		kept := bytes.ReplaceAll(got, []byte("\r\n"), nil)
		if !bytes.Equal(kept, bytes.ReplaceAll(in, []byte("\r\n"), nil)) {
			t.Fatalf("%q became %q", in, got)
		}
	})
}
