package maillog

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Step is what a line tells.
type Step string

// The steps.
const (
	StepArrived   Step = "arrived"
	StepDelivered Step = "delivered"
	StepDeferred  Step = "deferred"
	StepFailed    Step = "failed"
	StepBounced   Step = "bounced"
	StepCompleted Step = "completed"
	StepRefused   Step = "refused"
)

// signs are those behind the id.
var signs = map[string]Step{
	"<=": StepArrived, "=>": StepDelivered, "==": StepDeferred, "**": StepFailed, "completed": StepCompleted,
}

// Entry is a line of the log, taken apart. What the line does not tell is zero.
type Entry struct {
	// Time is that of the line.
	Time time.Time
	Step Step
	// ID is the mail's; a refusal has none.
	ID string
	// About is the mail that a notification is about.
	About string
	// From is the sender, "" the null one. To are recipients; of attempts and refusals one.
	From string
	To   []string
	// More is the number of recipients that were too many to tell.
	More int
	// Refused is the command that was refused, Untold how many refusals before were not
	// logged.
	Refused string
	Untold  int
	// Peer is the client or the server.
	Peer Peer
	// Protocol, User, TLS, Size (octets) and Answer are those of Arrival and Attempt.
	Protocol, User, TLS string
	Size                int
	Answer              string
	// MessageID is the header's.
	MessageID string
	// Waited (QT) and Took (DT, T) are times, Next (N) that of the next try.
	Waited, Took time.Duration
	Next         time.Time
}

// idForm is the form of a mail's id; longID is what package queue makes of the time, and is
// known anywhere in a line.
var (
	idForm = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{1,16}\b`)
	longID = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{15,16}\b`)
)

// MailOf gives the id of the mail that a line of the log is about, whatever the line says: ""
// when it names none.
func MailOf(line string) string { return longID.FindString(line) }

// Parse takes a line of a log apart: as this package has written it, and as a log file, syslog
// or the journal has it, with what those put in front, or as JSON (Telegraf's structured log,
// journalctl -o json). It tells false for a line that is not of the mail log.
func Parse(line string) (Entry, bool) {
	text, stamp := unwrap(line)
	var e Entry
	word, rest, _ := strings.Cut(text, " ")
	if word == "refused" {
		e.Step = StepRefused
		e.Refused, rest, _ = strings.Cut(rest, " ")
	} else {
		if !isID(word) {
			return Entry{}, false
		}
		e.ID = word
		word, rest, _ = strings.Cut(rest, " ")
		if e.Step = signs[word]; e.Step == "" {
			return Entry{}, false
		}
		rest = e.who(rest)
	}
	e.words(rest)
	e.Time = stamp
	if e.About != "" {
		e.Step = StepBounced
	}
	return e, true
}

// isID tells whether a word has the form of a mail's id.
func isID(word string) bool {
	return word != "" && idForm.FindString(word) == word
}

// who reads the address behind a sign and gives the rest.
func (e *Entry) who(rest string) string {
	word, behind, _ := strings.Cut(rest, " ")
	switch e.Step {
	case StepArrived:
		if word != "<>" {
			e.From = word
		}
	case StepCompleted:
		return rest
	default:
		e.To = []string{word}
	}
	return behind
}

// words reads the words K=value.
func (e *Entry) words(rest string) {
	for rest = strings.TrimLeft(rest, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		word, behind, _ := strings.Cut(rest, " ")
		key, value, found := strings.Cut(word, "=")
		switch {
		case word == "for":
			behind = e.recipients(behind)
		case strings.HasPrefix(word, "[") && strings.HasSuffix(word, "]"):
			e.Peer.Addr = word[1 : len(word)-1]
		case strings.HasPrefix(rest, "(and "):
			n, _, _ := strings.Cut(behind, " ")
			e.Untold, _ = strconv.Atoi(n)
			return
		case found && strings.HasPrefix(value, `"`):
			quoted, err := strconv.QuotedPrefix(rest[len(key)+1:])
			if err != nil {
				return
			}
			behind = rest[len(key)+1+len(quoted):]
			value, _ = strconv.Unquote(quoted)
			e.word(key, value)
		case found:
			e.word(key, value)
		}
		rest = behind
	}
}

// recipients reads the addresses behind "for" and gives the rest.
func (e *Entry) recipients(rest string) string {
	for {
		word, behind, _ := strings.Cut(rest, " ")
		switch {
		case strings.HasPrefix(rest, "(and "):
			n, _, _ := strings.Cut(behind, " ")
			e.More, _ = strconv.Atoi(n)
			_, rest, _ = strings.Cut(rest, ")")
			return rest
		case !strings.Contains(word, "@") || strings.Contains(word, `"`):
			return rest
		}
		e.To = append(e.To, word)
		rest = behind
	}
}

func (e *Entry) word(key, value string) {
	seconds := func() time.Duration {
		d, _ := time.ParseDuration(value)
		return d
	}
	switch key {
	case "H":
		e.Peer.Name = value
	case "P":
		e.Protocol = value
	case "A":
		e.User = value
	case "X":
		e.TLS = value
	case "R":
		e.About = value
	case "M":
		e.MessageID = value
	case "S":
		e.Size, _ = strconv.Atoi(value)
	case "C":
		e.Answer = value
	case "F":
		e.From = strings.Trim(value, "<>")
	case "QT":
		e.Waited = seconds()
	case "DT":
		e.Took = seconds()
	case "N":
		e.Next, _ = time.Parse(time.RFC3339, value)
	case "T":
		if e.Step == StepRefused {
			e.To = []string{strings.Trim(value, "<>")}
		} else {
			e.Took = seconds()
		}
	}
}

// mark is where Telegraf's text log ends what it puts in front: level and plugin.
var mark = regexp.MustCompile(`\b[A-Z]! (\[[^\]]*\] )?`)

// unwrap gives what this package has written of a line, and the line's time.
func unwrap(line string) (text string, stamp time.Time) {
	line = strings.TrimRight(line, "\r\n")
	if strings.HasPrefix(line, "{") {
		return unwrapJSON(line)
	}
	if word, _, _ := strings.Cut(line, " "); word == "refused" || isID(word) {
		return line, time.Time{}
	}
	front := line // what stands before the id; peers' words stand behind
	if at := idForm.FindStringIndex(line); at != nil {
		front = line[:at[0]]
	}
	if at := mark.FindStringIndex(front); at != nil {
		return line[at[1]:], stampOf(line[:at[0]])
	}
	if at := strings.Index(front, "]: "); at >= 0 { // program[pid]: of syslog, without a level
		return line[at+len("]: "):], stampOf(front)
	}
	return line, time.Time{}
}

func unwrapJSON(line string) (text string, stamp time.Time) {
	var object struct {
		Time     time.Time `json:"time"`
		Text     string    `json:"msg"`
		Message  string    `json:"MESSAGE"`
		Realtime string    `json:"__REALTIME_TIMESTAMP"` // microseconds
	}
	if json.Unmarshal([]byte(line), &object) != nil {
		return "", stamp
	}
	if object.Message == "" {
		return object.Text, object.Time
	}
	if text, stamp = unwrap(strings.TrimLeft(object.Message, "{")); stamp.IsZero() {
		if n, err := strconv.ParseInt(object.Realtime, 10, 64); err == nil {
			stamp = time.UnixMicro(n).UTC()
		}
	}
	return text, stamp
}

// stampOf finds the last time in what stands in front: Telegraf's own, or that of the journal
// or syslog. One without a year is of this year, or of the last when it were to come.
func stampOf(front string) time.Time {
	words := strings.Fields(front)
	for i := len(words) - 1; i >= 0; i-- {
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-0700"} {
			if t, err := time.Parse(layout, words[i]); err == nil {
				return t
			}
		}
	}
	if len(words) < 3 {
		return time.Time{}
	}
	t, err := time.ParseInLocation("Jan 2 15:04:05", strings.Join(words[:3], " "), time.Local)
	if err != nil {
		return time.Time{}
	}
	now := time.Now()
	t = t.AddDate(now.Year(), 0, 0)
	if t.After(now.AddDate(0, 0, 1)) {
		t = t.AddDate(-1, 0, 0)
	}
	return t
}
