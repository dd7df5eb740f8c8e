package alert

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReadDuration: what formatDuration writes is read again, to its two units.
func TestReadDuration(t *testing.T) {
	for _, want := range []time.Duration{20 * time.Millisecond, 5 * time.Second, 65 * time.Second, 2 * time.Hour,
		2*time.Hour + 7*time.Minute, 25 * time.Hour, 49 * time.Hour} {
		if got := readDuration(formatDuration(want.Seconds())); got != want {
			t.Errorf("%s is %q, and read as %s", want, formatDuration(want.Seconds()), got)
		}
	}
	if got := readDuration("99999999999 h"); got != 0 {
		t.Errorf("a number that is too large is %s", got)
	}
}

// FuzzReadMail: whatever a mail is, reading it ends, and what it tells has a time.
func FuzzReadMail(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n" +
		"alert: a\r\ntime: 2026-11-22T12:00:00Z\r\nmeasurement: m\r\nsrc: 10.0.0.1\r\n--b--\r\n"))
	f.Add([]byte("Content-Transfer-Encoding: base64\n\nYWxlcnQ6IGE="))
	f.Add([]byte("\n\nalert: \nduration: 1 d 99999999999 h\ntime: \n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		told, err := ReadMail(bytes.NewReader(b))
		if err == nil && (told.Time.IsZero() || told.Fields >= len(told.Rows) && told.Fields > 0) {
			t.Errorf("%+v", told)
		}
	})
}

// TestReadWhatIsWritten: a mail that the engine has made is read again, with tags and
// fields in their places, as it is and inside of another program's parts.
func TestReadWhatIsWritten(t *testing.T) {
	d := newDesk(t, "", testRule(nil))
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for i, v := range []int64{90, 1} {
		d.apply(Sample{Name: "netflow", Tags: map[string]string{"source": "192.0.2.1", "name": "Fra\u00dfnell\u2028x"},
			Fields: map[string]any{"v": v, "bytes": 1.5e9, "up": true}, Time: at.Add(time.Duration(i) * time.Hour)})
	}
	if len(d.mails) != 2 {
		t.Fatalf("%d mails", len(d.mails))
	}
	rows := []Row{{"name", "Fra\u00dfnell x"}, {"source", "192.0.2.1"}, {"bytes", "1.5e+09"}, {"up", "true"}}
	for i, m := range d.mails {
		told, err := ReadMail(bytes.NewReader(append([]byte("Received: from a\r\nReceived: from b\r\n"), m.Message...)))
		if err != nil {
			t.Fatal(err)
		}
		level, since := []string{"CRITICAL", "OK"}[i], []time.Time{{}, at}[i]
		if told.Rule != "r" || told.ID != oneLine(m.Change.ID) || told.Level != level ||
			told.Measurement != "netflow" ||
			!told.Time.Equal(m.Change.Time) || !told.Since.Equal(since) || len(told.Received) != 2 ||
			told.Fields != 2 ||
			told.MessageID != m.Change.messageID("h.example.com") {
			t.Errorf("mail %d is read as %+v", i, told)
		}
		if !slices.Equal(told.Rows[:4], rows) {
			t.Errorf("mail %d has the rows %q, want %q", i, told.Rows, rows)
		}
	}
}

// TestReadRefuses: what is no alert's mail is an error, not an alert without a name.
func TestReadRefuses(t *testing.T) {
	const table = "alert: a\ntime: 2026-11-22T12:00:00Z\nmeasurement: m\n"
	for name, tt := range map[string]struct {
		mail string
		ok   bool
	}{
		"plain":          {"Subject: x\n\ntext\n\n" + table, true},
		"nothing":        {"", false},
		"no header":      {"text", false},
		"no table":       {"Subject: x\n\ntext\n", false},
		"no time":        {"Subject: x\n\nalert: a\nmeasurement: m\n", false},
		"no measurement": {"Subject: x\n\nalert: a\ntime: 2026-11-22T12:00:00Z\n", false},
		"time is none":   {"Subject: x\n\nalert: a\ntime: yesterday\nmeasurement: m\n", false},
		"HTML only":      {"Content-Type: text/html\n\n" + table, false},
		"inside a line":  {"Subject: x\n\ntext\n" + table, false},
		"base64": {"Content-Transfer-Encoding: base64\n\n" +
			base64.StdEncoding.EncodeToString([]byte(table)), true},
		"base64 is none": {"Content-Transfer-Encoding: base64\n\n!!!\n", false},
		"quoted-printable": {"Content-Transfer-Encoding: Quoted-Printable\n\n" + strings.ReplaceAll(table, "alert",
			"=61lert"), true},
		"parts without plain": {"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n" +
			table +
			"--b--\n", false},
		"nested": {"Content-Type: multipart/mixed; boundary=b\n\n--b\n" +
			"Content-Type: multipart/alternative; boundary=c\n\n" +
			"--c\nContent-Type: text/plain\n\n" + table + "--c--\n--b--\n", true},
		"the last table counts": {"Subject: x\n\nalert: first\ntime: 2026-11-22T12:00:00Z\nmeasurement: m\n\n" +
			table, true},
	} {
		told, err := ReadMail(strings.NewReader(tt.mail))
		if (err == nil) != tt.ok || tt.ok && (told.Rule != "a" || told.Measurement != "m") {
			t.Errorf("%s: %+v, %v", name, told, err)
		}
	}
}
