package alert

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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
	// Stale: Level is OK because no metric has come.
	Stale bool `json:"stale,omitempty"`
	// Name and Tags are the metric's.
	Name string            `json:"name,omitempty"`
	Tags map[string]string `json:"tags,omitempty"`
	// Text is the subject, and Held are the recipients that get it in a digest only.
	Text string   `json:"text,omitempty"`
	Held []string `json:"held,omitempty"`
	// Digest is a recipient, when the mail is a digest of the changes up to Seq.
	Digest string `json:"digest,omitempty"`
}

// word is the level as mails tell it.
func (c *Change) word() string {
	if c.Stale {
		return staleLevel
	}
	return c.Level.String()
}

// messageID names a change, the same whenever it is made.
func (c *Change) messageID(hostname string) string {
	return mailID(hostname, c.Rule, c.ID, c.word(), stamp(c.Time))
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
		out = append(out, row{"duration", formatDuration(data.Duration)}, row{"peak", data.Peak})
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

// text gives the wording of a change.
func (r *rule) text(data *messageData) string {
	text, err := r.message.render(data, maxMessageSize)
	if err != nil { // an alert is not lost over its wording
		text = fmt.Sprintf("%s is %s\n\nThe message template of alert %q failed: %v", data.ID, data.Level, r.name, err)
	}
	if data.Stale {
		text = strings.TrimRight(text, "\r\n") + fmt.Sprintf(
			"\n\nNo metric has come for %s, the last one was of %s. Whether it is still %s is not known: this alert "+
				"ends here.",
			formatDuration(data.silence), data.Time.UTC().Format(time.RFC3339), data.Previous)
	}
	return text
}

// compose makes the mail of a change, worded as text, for some of the rule's
// recipients.
func (r *rule) compose(change Change, data *messageData, text string, to []string, hostname string,
	now time.Time) (*Mail, error) {
	table := rows(data, r.name)
	var plain, html bytes.Buffer
	plain.WriteString(strings.Trim(text, "\r\n") + "\n\n")
	for _, cell := range table {
		fmt.Fprintf(&plain, "%s: %s\n", oneLine(cell.Key), oneLine(fmt.Sprint(cell.Value)))
	}
	err := htmlPage.Execute(&html, map[string]any{"Text": text, "Rows": table, "Color": levelColors[change.Level]})
	if err != nil {
		return nil, fmt.Errorf("alert %q: table: %w", r.name, err)
	}
	envelope := envelope{
		from: r.from.String(), to: to, subject: subject(text), id: change.messageID(hostname),
		root:   change.rootID(hostname),
		urgent: change.Level == Critical,
	}
	message, err := envelope.message(plain.String(), html.String(), now)
	if err != nil {
		return nil, fmt.Errorf("alert %q: %w", r.name, err)
	}
	return &Mail{From: envelope.from, To: to, Message: message, Change: change}, nil
}

// envelope is what the header of a mail is made of.
type envelope struct {
	from, subject string
	to            []string
	id, root      string // Message-ID, and that of its thread
	urgent        bool
}

// message writes a mail with a text and an HTML part, in lines that end with CRLF.
func (e *envelope) message(plain, html string, now time.Time) ([]byte, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := m.From(e.from); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if err := m.To(e.to...); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	m.Subject(encodeAgain(e.subject))
	m.SetDateWithValue(now)
	m.SetMessageIDWithValue(e.id)
	m.SetGenHeader(mail.HeaderReferences, "<"+e.root+">")
	m.SetGenHeader(mail.HeaderInReplyTo, "<"+e.root+">")
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	if e.urgent {
		m.SetImportance(mail.ImportanceUrgent)
	}
	m.SetBodyString(mail.TypeTextPlain, plain)
	m.AddAlternativeString(mail.TypeTextHTML, html)
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("writing the mail: %w", err)
	}
	return canonical(b.Bytes()), nil
}

// encodeAgain encodes a text that holds what reads as an encoded word (RFC 2047
// section 2), so that it is shown as it stands and never decoded. Other texts are
// encoded where they need it when the header is written.
func encodeAgain(s string) string {
	if !strings.Contains(s, "=?") {
		return s
	}
	const most = 42 // octets; an encoded word has at most 75 characters
	var words []string
	for len(s) > 0 {
		n := 0
		for n < len(s) {
			_, size := utf8.DecodeRuneInString(s[n:])
			if n+size > most {
				break
			}
			n += size
		}
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, " ")
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

// oneLine makes spaces of control characters, and of marks that change the direction
// of a text.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
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
