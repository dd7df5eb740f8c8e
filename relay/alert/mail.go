package alert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// Mail is an alert mail for the queue.
type Mail struct {
	// From and To are the envelope's addresses.
	From string
	To   []string
	// Message has lines that end with CRLF.
	Message []byte
	// Change is what the mail tells; it must be kept with the mail for Recover.
	Change Change
}

// Change is a change of level.
type Change struct {
	Rule  string    `json:"rule"`
	ID    string    `json:"id"`
	Level Level     `json:"level"`
	Peak  Level     `json:"peak"`
	Since time.Time `json:"since"` // when OK was left
	Time  time.Time `json:"time"`  // of this change
	Seq   uint64    `json:"seq"`   // grows from change to change, over all ids
}

// messageID names a change, the same whenever it is made.
func (c *Change) messageID(hostname string) string {
	return mailID(hostname, c.Rule, c.ID, c.Level.String(), stamp(c.Time))
}

// rootID names the incident: all its mails refer to it, which makes them a thread.
func (c *Change) rootID(hostname string) string {
	return mailID(hostname, c.Rule, c.ID, "incident", stamp(c.Since))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func mailID(hostname string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "alert-" + hex.EncodeToString(sum[:16]) + "@" + hostname
}

// htmlPage shows the message and a table of tags and fields.
var htmlPage = template.Must(template.New("mail").Parse(`<!DOCTYPE html>
<html><body style="font-family:sans-serif">
<p style="white-space:pre-wrap;border-left:6px solid {{ .Color }};padding-left:8px">{{ .Text }}</p>
<table style="border-collapse:collapse">
{{ range .Rows }}<tr><th style="text-align:left;padding-right:12px">{{ .Key }}</th><td>{{ .Value }}</td></tr>
{{ end }}</table>
</body></html>
`))

var levelColors = [...]string{"#2e7d32", "#1565c0", "#ef6c00", "#c62828"}

type row struct {
	Key   string
	Value any
}

// maxRows bounds the table.
const maxRows = 200

func rows(data *messageData, rule string) []row {
	out := []row{
		{"alert", rule}, {"id", data.ID}, {"level", data.Level}, {"time", data.Time.UTC().Format(time.RFC3339)},
	}
	if data.Duration > 0 {
		out = append(out, row{"duration", data.Duration.Round(time.Second)}, row{"peak", data.Peak})
	}
	out = append(out, row{"measurement", data.Name})
	for _, key := range slices.Sorted(maps.Keys(data.Tags)) {
		out = append(out, row{key, data.Tags[key]})
	}
	for _, key := range slices.Sorted(maps.Keys(data.Fields)) {
		out = append(out, row{key, data.Fields[key]})
	}
	return out[:min(len(out), maxRows)]
}

// compose makes the mail of a change.
func (r *rule) compose(change Change, data *messageData, hostname string, now time.Time) (*Mail, error) {
	text, err := render(r.message, data, maxMessageSize)
	if err != nil { // an alert is not lost over its wording
		text = fmt.Sprintf("%s is %s\n\nThe message template of alert %q failed: %v", data.ID, data.Level, r.name, err)
	}
	table := rows(data, r.name)
	var plain, html bytes.Buffer
	plain.WriteString(strings.Trim(text, "\r\n") + "\n\n")
	for _, cell := range table {
		fmt.Fprintf(&plain, "%s: %s\n", oneLine(cell.Key), oneLine(fmt.Sprint(cell.Value)))
	}
	err = htmlPage.Execute(&html, map[string]any{"Text": text, "Rows": table, "Color": levelColors[change.Level]})
	if err != nil {
		return nil, fmt.Errorf("alert %q: table: %w", r.name, err)
	}

	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := m.From(r.from.String()); err != nil {
		return nil, fmt.Errorf("alert %q: from: %w", r.name, err)
	}
	out := &Mail{From: r.from.String(), Change: change}
	for _, a := range r.to {
		out.To = append(out.To, a.String())
	}
	if err := m.To(out.To...); err != nil {
		return nil, fmt.Errorf("alert %q: to: %w", r.name, err)
	}
	m.Subject(subject(text))
	m.SetDateWithValue(now)
	m.SetMessageIDWithValue(change.messageID(hostname))
	root := "<" + change.rootID(hostname) + ">"
	m.SetGenHeader(mail.HeaderReferences, root)
	m.SetGenHeader(mail.HeaderInReplyTo, root)
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	if change.Level == Critical {
		m.SetImportance(mail.ImportanceUrgent)
	}
	m.SetBodyString(mail.TypeTextPlain, plain.String())
	m.AddAlternativeString(mail.TypeTextHTML, html.String())
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("alert %q: writing the mail: %w", r.name, err)
	}
	out.Message = canonical(b.Bytes())
	return out, nil
}

// subject is the first line that has something on it, printable.
func subject(text string) string {
	const limit = 200
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(oneLine(line))
		if line == "" {
			continue
		}
		if runes := []rune(line); len(runes) > limit {
			line = string(runes[:limit]) + "…"
		}
		return line
	}
	return "(no text)"
}

// oneLine makes spaces of control characters.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// canonical makes every line end with CRLF.
func canonical(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	b = bytes.ReplaceAll(b, []byte("\r"), []byte("\n"))
	b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
	if !bytes.HasSuffix(b, []byte("\r\n")) {
		b = append(b, "\r\n"...)
	}
	return b
}
