package alert

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// Content is what a mail of an alert says.
type Content struct {
	Rule, ID, Level, Measurement string
	Time, Since                  time.Time // Since is zero where the mail does not tell
	MessageID                    string

	// Rows are the metric's tags and behind them its fields. The first field is at
	// Fields, where the order of their names tells, else that is -1.
	Rows   []Row
	Fields int

	Received []string // the header's lines of that name
}

// Row is a tag or a field of the metric in a mail.
type Row struct{ Key, Value string }

// maxRead bounds a mail that is read, in octets, and maxNested how deep its parts lie.
const (
	maxRead   = 8 << 20
	maxNested = 5
)

// errNoAlert says that a mail is none of an alert.
var errNoAlert = errors.New("expected a mail of an alert, with the table at the end of its text")

// ReadMail reads a mail that compose has made, as it was received. The table in it is the
// last of its plain text.
func ReadMail(r io.Reader) (*Content, error) {
	msg, err := mail.ReadMessage(bufio.NewReader(io.LimitReader(r, maxRead)))
	if err != nil {
		return nil, fmt.Errorf("expected a mail as it was received, with its header: %w", err)
	}
	text, err := plainText(msg.Header.Get("Content-Type"), msg.Header.Get("Content-Transfer-Encoding"), msg.Body, 0)
	if err != nil {
		return nil, err
	}
	received, err := readTable(text)
	if err != nil {
		return nil, err
	}
	received.MessageID = strings.Trim(msg.Header.Get("Message-Id"), "<> ")
	received.Received = msg.Header["Received"]
	return received, nil
}

// plainText returns the first text of a mail that is plain.
func plainText(contentType, encoding string, body io.Reader, depth int) (string, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") && depth < maxNested {
		for parts := multipart.NewReader(body, params["boundary"]); ; {
			part, err := parts.NextRawPart()
			if err != nil {
				return "", errNoAlert
			}
			text, err := plainText(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part,
				depth+1)
			if err == nil {
				return text, nil
			}
		}
	}
	if kind != "text/plain" {
		return "", errNoAlert
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, err := io.ReadAll(body)
	return string(b), err
}

// readTable reads the table at the end of a mail's text: see rows.
func readTable(text string) (*Content, error) {
	lines := strings.Split(strings.ReplaceAll(strings.TrimSpace(text), "\r\n", "\n"), "\n")
	begin := -1
	for i := range lines {
		if strings.HasPrefix(lines[i], "alert: ") && (i == 0 || lines[i-1] == "") {
			begin = i
		}
	}
	if begin < 0 {
		return nil, errNoAlert
	}
	t := &Content{Fields: -1}
	var duration time.Duration
	for _, line := range lines[begin:] {
		key, value, ok := strings.Cut(line, ": ")
		switch {
		case !ok:
		case t.Measurement != "":
			t.Rows = append(t.Rows, Row{key, value})
		case key == "alert":
			t.Rule = value
		case key == "id":
			t.ID = value
		case key == "level":
			t.Level = value
		case key == "time":
			t.Time, _ = time.Parse(time.RFC3339, value)
		case key == "duration":
			duration = readDuration(value)
		case key == "measurement":
			t.Measurement = value
		}
	}
	if t.Time.IsZero() || t.Measurement == "" {
		return nil, errNoAlert
	}
	if duration > 0 {
		t.Since = t.Time.Add(-duration)
	}
	for i := 1; i < len(t.Rows) && t.Fields < 0; i++ { // tags are sorted, and so are fields
		if t.Rows[i].Key < t.Rows[i-1].Key {
			t.Fields = i
		}
	}
	return t, nil
}

// readDuration reads what formatDuration writes, 0 where it is something else.
func readDuration(text string) (sum time.Duration) {
	words := strings.Fields(text)
	for i := 0; i+1 < len(words); i += 2 {
		n, err := strconv.ParseUint(words[i], 10, 16)
		unit := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour,
			"d": 24 * time.Hour}[words[i+1]]
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * unit
	}
	return sum
}
