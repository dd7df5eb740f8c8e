package alert

import (
	"bytes"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

const (
	// firstDigestAfter is how long a first change waits for others.
	firstDigestAfter = 30 * time.Second
	// maxDigestLines bounds what a digest lists; the rest is counted.
	maxDigestLines = 200

	defaultDigestInterval = 5 * time.Minute
	defaultRecipientMails = 30
)

// digest gathers the changes that one recipient is told in a mail together.
type digest struct {
	From  string       `json:"from"`
	Since time.Time    `json:"since"` // of the first change, by the clock
	Due   time.Time    `json:"due"`
	Seq   uint64       `json:"seq"` // of the newest change
	Lines []digestLine `json:"lines"`
	// Counts has all changes by rule and level, Unlisted those without a line.
	Counts   tally `json:"counts"`
	Unlisted tally `json:"unlisted,omitempty"`
}

// digestLine is what has happened to one id.
type digestLine struct {
	Rule    string    `json:"rule"`
	ID      string    `json:"id"`
	Text    string    `json:"text"`  // the newest mail's subject
	Level   string    `json:"level"` // the newest
	Worst   Level     `json:"worst"`
	Time    time.Time `json:"time"` // of the newest change
	Changes []string  `json:"changes"`
}

// tally counts by rule and level.
type tally map[string]map[string]int

func (t tally) addAlert(rule, level string) {
	if t[rule] == nil {
		t[rule] = map[string]int{}
	}
	t[rule][level]++
}

// levels sums up over the rules.
func (t tally) levels() map[string]int {
	sum := map[string]int{}
	for _, counts := range t {
		for level, n := range counts {
			sum[level] += n
		}
	}
	return sum
}

// digestLevels are the words for levels in a digest, the worst first.
var digestLevels = []string{Critical.String(), Warning.String(), Info.String(), staleLevel, OK.String()}

// describe gives the counts as "3 CRITICAL, 1 OK", and their sum.
func describe(counts map[string]int) (text string, sum int) {
	var parts []string
	for _, level := range digestLevels {
		if n := counts[level]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, level))
			sum += n
		}
	}
	return strings.Join(parts, ", "), sum
}

// addChange takes a change into the digest. When all lines are taken, one that is less bad
// makes room.
func (d *digest) addChange(c *Change) {
	level := c.word()
	d.Seq = max(d.Seq, c.Seq)
	d.Counts.addAlert(c.Rule, level)
	at := slices.IndexFunc(d.Lines, func(l digestLine) bool { return l.Rule == c.Rule && l.ID == c.ID })
	if at < 0 && len(d.Lines) >= maxDigestLines {
		at = d.leastBad()
		if d.Lines[at].Worst >= c.Level {
			d.Unlisted.addAlert(c.Rule, level)
			return
		}
		for _, word := range d.Lines[at].Changes {
			d.Unlisted.addAlert(d.Lines[at].Rule, word)
		}
		d.Lines = slices.Delete(d.Lines, at, at+1)
		at = -1
	}
	if at < 0 {
		d.Lines = append(d.Lines, digestLine{Rule: c.Rule, ID: c.ID})
		at = len(d.Lines) - 1
	}
	line := &d.Lines[at]
	line.Text, line.Level, line.Time = c.Text, level, c.Time
	line.Worst = max(line.Worst, c.Level)
	if len(line.Changes) >= maxDigestLines {
		d.Unlisted.addAlert(c.Rule, line.Changes[0])
		line.Changes = line.Changes[1:]
	}
	line.Changes = append(line.Changes, level)
}

func (d *digest) leastBad() int {
	least := 0
	for i := range d.Lines {
		if d.Lines[i].Worst < d.Lines[least].Worst {
			least = i
		}
	}
	return least
}

// subject tells how much is in the digest.
func (d *digest) subject() string {
	text, sum := describe(d.Counts.levels())
	if sum == 1 {
		return "Digest of 1 alert: " + text
	}
	return fmt.Sprintf("Digest of %d alerts: %s", sum, text)
}

var digestPage = template.Must(template.New("digest").Parse(`<!DOCTYPE html>
<html><body style="font-family:sans-serif">
{{ range .Intro }}<p>{{ . }}</p>
{{ end }}<table style="border-collapse:collapse">
{{ range .Lines }}<tr><td style="padding-right:12px">{{ .Time.UTC.Format "15:04:05" }}</td>
<td style="padding-right:12px">{{ .Way }}</td><td>{{ .Text }}</td></tr>
{{ end }}</table>
{{ range .Rest }}<p>{{ . }}</p>
{{ end }}</body></html>
`))

// Way gives the levels of an id in their order; of many, the newest.
func (l digestLine) Way() string {
	const shown = 5
	if n := len(l.Changes) - shown; n > 0 {
		return fmt.Sprintf("(%d more) %s", n, strings.Join(l.Changes[n:], " "))
	}
	return strings.Join(l.Changes, " ")
}

// intro says what a digest is and what it has, by rule.
func (d *digest) intro() []string {
	_, sum := describe(d.Counts.levels())
	out := []string{fmt.Sprintf("Since %s there were more alerts than are mailed one by one. This mail "+
		"stands for %d of them.", d.Since.UTC().Format(time.RFC3339), sum)}
	for _, rule := range slices.Sorted(maps.Keys(d.Counts)) {
		text, _ := describe(d.Counts[rule])
		out = append(out, fmt.Sprintf("%s: %s", oneLine(rule), text))
	}
	return out
}

// rest counts what has no line, by rule.
func (d *digest) rest() []string {
	var out []string
	for _, rule := range slices.Sorted(maps.Keys(d.Unlisted)) {
		text, sum := describe(d.Unlisted[rule])
		out = append(out, fmt.Sprintf("and %d more of %s: %s", sum, oneLine(rule), text))
	}
	return out
}

// compose makes the mail of a digest.
func (d *digest) compose(to, hostname string, now time.Time) (*Mail, error) {
	slices.SortStableFunc(d.Lines, func(a, b digestLine) int { return int(b.Worst - a.Worst) })
	var plain, html bytes.Buffer
	for _, line := range d.intro() {
		plain.WriteString(line + "\n")
	}
	plain.WriteString("\n")
	for _, line := range d.Lines {
		fmt.Fprintf(&plain, "%s %s: %s\n", line.Time.UTC().Format("15:04:05"), line.Way(), oneLine(line.Text))
	}
	for _, line := range d.rest() {
		plain.WriteString("\n" + line + "\n")
	}
	if err := digestPage.Execute(&html, map[string]any{"Intro": d.intro(), "Lines": d.Lines,
		"Rest": d.rest()}); err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	id := mailID(hostname, "digest", to, fmt.Sprint(d.Seq))
	envelope := envelope{from: d.From, to: []string{to}, subject: d.subject(), id: id, root: id}
	envelope.urgent = d.Counts.levels()[Critical.String()] > 0
	message, err := envelope.message(plain.String(), html.String(), now)
	if err != nil {
		return nil, fmt.Errorf("digest for %s: %w", to, err)
	}
	out := &Mail{From: d.From, To: []string{to}, Message: message, Change: Change{Digest: to, Seq: d.Seq}}
	if envelope.urgent {
		out.Change.Level = Critical
	}
	return out, nil
}

// hold puts a change into the digests of recipients.
func (e *Engine) hold(c *Change, from string, recipients []string, now time.Time) {
	for _, to := range recipients {
		d := e.digests[to]
		if d == nil {
			d = &digest{From: from, Since: now, Due: e.nextDigest(to, now), Counts: tally{}, Unlisted: tally{}}
			e.digests[to] = d
			e.opts.Monitor.LimitedWarnf("digest "+to,
				"alert %q: more mails than its limit or that of %s; what follows is told in a digest at %s",
				c.Rule, to, d.Due.Format(time.RFC3339))
		}
		d.addChange(c)
		e.opts.Monitor.Count(monitor.AlertHeld, c.Rule)
	}
}

// nextDigest is when a recipient's next digest may go.
func (e *Engine) nextDigest(to string, now time.Time) time.Time {
	due := now.Add(min(firstDigestAfter, e.opts.DigestInterval))
	if last, ok := e.lastDigest[to]; ok && last.Add(e.opts.DigestInterval).After(due) {
		return last.Add(e.opts.DigestInterval)
	}
	return due
}

// sendDigests stores the mails of digests that are due.
func (e *Engine) sendDigests(now time.Time, releases []func()) ([]func(), error) {
	for _, to := range slices.Sorted(maps.Keys(e.digests)) {
		d := e.digests[to]
		if now.Before(d.Due) {
			continue
		}
		mail, err := d.compose(to, e.opts.Hostname, now)
		if err != nil {
			return releases, err
		}
		release, err := e.opts.Hold(mail)
		if err != nil {
			return releases, fmt.Errorf("storing the digest for %s: %w", to, err)
		}
		releases = append(releases, release)
		delete(e.digests, to)
		e.lastDigest[to] = now
		e.dirty = true
		e.opts.Monitor.Count(monitor.AlertDigests, "")
		e.opts.Monitor.Infof("alert digest for %s: %s", to, d.subject())
	}
	return releases, nil
}
