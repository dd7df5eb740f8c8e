package alert

import (
	"bytes"
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
