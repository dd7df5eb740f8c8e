package alert

import (
	"errors"
	"io"
	"mime"
	"net/mail"
	"strings"
	"testing"
	"time"
)

// Templates that would run for long, or make much, are refused at the start.
func TestTemplateIsBounded(t *testing.T) {
	doubling := "{{ $a := printf \"%999d\" 1 }}"
	for range 30 {
		doubling += "{{ $a = print $a $a }}"
	}
	for name, text := range map[string]string{
		"a loop":           "{{ range 2000000000 }}{{ end }}",
		"a loop in a loop": "{{ range 5000 }}{{ range 5000 }}{{ end }}{{ end }}",
		"a loop in a branch": "{{ if true }}{{ with .Name }}{{ else }}{{ range 2000000000 }}{{ end }}{{ end }}{{ " +
			"end }}",
		"a loop with continue": "{{ range 2000000000 }}{{ continue }}{{ end }}",
		"a loop's else":        "{{ range 0 }}{{ else }}{{ range 2000000000 }}{{ end }}{{ end }}",
		"a definition":         `{{ define "x" }}{{ range 2000000000 }}{{ end }}{{ end }}{{ template "x" }}`,
		"a block":              `{{ block "x" . }}{{ range 2000000000 }}{{ end }}{{ end }}`,
		"itself":               `{{ define "x" }}{{ template "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`,
		"two in turns": `{{ define "x" }}{{ template "y" }}{{ end }}` +
			`{{ define "y" }}{{ template "x" }}{{ end }}{{ template "x" }}`,
		"its own name":       `{{ template "message" . }}`,
		"much text":          "{{ range 9000 }}123456789012345{{ end }}",
		"a wide number":      `{{ printf "%1000000d" 1 }}`,
		"a precise number":   `{{ printf "%.1000000f" 1.0 }}`,
		"many wide numbers":  `{{ printf "` + strings.Repeat("%[1]999d", 2000) + `" 1 }}`,
		"doubling":           doubling,
		"doubling by printf": strings.ReplaceAll(doubling, "print $a $a", `printf "%s%[1]s" $a`),
		"doubling by html":   strings.ReplaceAll(doubling, "print $a $a", `print $a $a | html`),
		"its own size":       strings.Repeat("x", maxTemplateSize+1),
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			_, err := New(Options{Rules: []Rule{testRule(func(r *Rule) { r.Message = text })}})
			if !errors.Is(err, errTooSlow) && !errors.Is(err, errTooLong) && !errors.Is(err, errTooLarge) {
				t.Errorf("error %v after %s, want that it takes too long or too much", err, time.Since(begin))
			}
		})
	}
	for _, text := range []string{
		"{{ range $k, $v := .Tags }}{{ $k }}={{ $v }} {{ end }}", `{{ printf "%6.2f%%" 3.5 }}`, `{{ print "12345" }}`,
		`{{ printf "12345 %s" "a" }}`,
		"{{ range 100 }}x{{ end }}", `{{ define "x" }}y{{ end }}{{ range 10 }}{{ template "x" }}{{ end }}`,
	} {
		if _, err := New(Options{Rules: []Rule{testRule(func(r *Rule) { r.Message, r.ID = text, text })}}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What takes too long only with the data ends too, and the alert is told.
func TestTemplateEndsAtRunTime(t *testing.T) {
	d := newDesk(t, "", testRule(func(r *Rule) {
		r.Message = "{{ range $a := .Tags }}{{ range 2000000000 }}{{ end }}{{ end }}"
	}))
	d.apply(sample(1, 90.0), sample(2, 1.0))
	if got := d.levels(); got != "CRITICAL OK" {
		t.Fatalf("got %q", got)
	}
	if text := string(d.mails[0].Message); !strings.Contains(text, "Subject: m:host=a is CRITICAL") ||
		!strings.Contains(text, "runs too lon") {
		t.Errorf("the mail does not tell what failed:\n%s", text)
	}
	d = newDesk(t, "", testRule(func(r *Rule) { r.ID = "{{ range .Tags }}{{ range 2000000000 }}{{ end }}{{ end }}" }))
	d.apply(sample(1, 90.0))
	if len(d.mails) != 0 || d.mon.Total("alert_errors") != 1 {
		t.Errorf("%d mails, %d errors, want an error: there is no id", len(d.mails), d.mon.Total("alert_errors"))
	}
}

func TestFunctionsForPeople(t *testing.T) {
	d := newDesk(t, "", testRule(func(r *Rule) {
		r.Message = "{{ .Tags.host }} sent {{ bytes .Value }}, {{ si .Value \"B/s\" }}, for " +
			"{{ duration .Duration }}, limit {{ bytes .Fields.limit }}"
	}))
	d.apply(sample(1, int64(110_688_421)), sample(201, 1.0))
	for i, want := range []string{"a sent 110.7 MB, 110.7 MB/s, for 0 ms, limit -",
		"a sent 1 B, 1 B/s, for 3 min 20 s, limit -"} {
		if got, _ := textOf(t, d.mails[i]); got != want {
			t.Errorf("subject %q, want %q", got, want)
		}
	}
}

// textOf gives a mail's subject as mail programs show it, and its whole body.
func textOf(t testing.TB, m *Mail) (subject, body string) {
	t.Helper()
	parsed, err := mail.ReadMessage(strings.NewReader(string(m.Message)))
	if err != nil {
		t.Fatal(err)
	}
	subject, err = new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(parsed.Body)
	if err != nil {
		t.Fatal(err)
	}
	return subject, string(b)
}

// RFC 2047 section 2: what reads as an encoded word in a tag is shown as it stands.
func TestEncodedWordsStay(t *testing.T) {
	for _, tag := range []string{
		"=?utf-8?q?Bcc:_evil?=", "=?UTF-8?B?T0s=?=", "a =?iso-8859-1?q?=E4?= b", "ä =?utf-8?q?x?=", "=?utf-8?q?a",
		"a=?b?=c",
		strings.Repeat("=?utf-8?q?x?= ", 9) + "end", strings.Repeat("ü", 40) + "=?", "=?utf-8?q?a?==?utf-8?q?b?=",
	} {
		d := newDesk(t, "", testRule(func(r *Rule) { r.Message = "{{ .Tags.host }}" }))
		s := sample(1, 90.0)
		s.Tags = map[string]string{"host": tag}
		d.apply(s)
		if got, _ := textOf(t, d.mails[0]); got != tag {
			t.Errorf("tag %q is shown as %q", tag, got)
		}
		for line := range strings.SplitSeq(string(d.mails[0].Message), "\r\n") {
			if strings.HasPrefix(line, "Subject:") && (strings.Contains(line, tag) || len(line) > 78+len("Subject: ")) {
				t.Errorf("tag %q is written %q", tag, line)
			}
		}
	}
}

// Marks that turn a text around are no part of a subject.
func TestSubjectIsPrintable(t *testing.T) {
	for in, want := range map[string]string{"a\u202eb\u2066c": "a b c", "a\u0085b\u2028c": "a b c",
		"a\x00b\x7fc": "a b c", "Größe ✓": "Größe ✓"} {
		if got := subject(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}
